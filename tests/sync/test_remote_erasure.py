"""Erasing a person at the providers as well: remembered as ids alone, done by the next run, and then forgotten."""

from __future__ import annotations

from uuid import UUID

from app.db.session import Tenant
from app.sandbox.core import Fault
from app.sync import adjust, erase
from tests.conftest import Urls
from tests.sync.conftest import Bench
from tests.sync.test_erasure import told

WHO = "zebedee@quill.test"


async def _erase(bench: Bench) -> None:
    lead = await bench.lead(WHO)
    async with bench.world.runtime.db.transaction(Tenant(bench.world.tenant.workspace_id, "admin")) as tx:
        fingerprint = bench.world.runtime.vault.address
        await erase.erase(tx, UUID(lead.id), fingerprint=fingerprint, actor="ada@team.test", remote=True)


async def _waiting(bench: Bench) -> int:
    return int(await bench.value("SELECT count(*) FROM remote_erasure"))


async def test_the_records_of_an_erased_person_are_deleted_everywhere(bench: Bench, urls: Urls) -> None:
    theirs = [bench.row(full_name="Zebedee", email=WHO), bench.row(full_name="Z. Quill", email=WHO)]
    other = bench.row(full_name="Anna Berg", email="anna@berg.test")
    there = bench.world.instantly.store
    for campaign in bench.campaigns:
        there.add_lead(campaign.id, email=WHO)
    there.add_lead(bench.campaigns[0].id, email="anna@berg.test")
    airtable, instantly = await bench.airtable(), await bench.instantly()

    await _erase(bench)
    assert not {table for word in ("zebedee", "quill") for table in await told(urls, word)}
    assert await _waiting(bench) == 4
    await bench.settle()

    assert list(bench.table.records) == [other]
    assert theirs[0] not in bench.table.records
    assert [lead.email for lead in there.leads.values()] == ["anna@berg.test"]
    assert await _waiting(bench) == 0
    await bench.sync(airtable, instantly, kind="full")
    assert await bench.items("erased") == []
    assert await bench.value("SELECT count(*) FROM lead") == 1


async def test_a_record_that_cannot_be_deleted_is_shown_and_tried_again(bench: Bench) -> None:
    record = bench.row(full_name="Zebedee", email=WHO)
    airtable = await bench.airtable()
    bench.world.airtable.sandbox.faults.add(Fault(kind="status", status=422, method="DELETE", count=1))
    await _erase(bench)
    await bench.settle()

    (item,) = await bench.items("erased")
    assert (item["field"], "could not be deleted there" in item["evidence"]["why"]) == (record, True)
    assert record in bench.table.records
    await bench.value("UPDATE remote_erasure SET next_attempt_at = NULL RETURNING 1")
    await bench.sync(airtable)

    assert record not in bench.table.records
    assert await bench.items("erased") == []
    assert await _waiting(bench) == 0


async def test_a_lost_answer_and_a_record_deleted_by_hand_end_it_as_well(bench: Bench) -> None:
    bench.row(full_name="Zebedee", email=WHO)
    airtable = await bench.airtable()
    bench.world.airtable.sandbox.faults.add(Fault(kind="drop_after", method="DELETE", count=1))
    await _erase(bench)
    await bench.settle()
    assert (await _waiting(bench), len(bench.table.records)) == (1, 0)

    await bench.value("UPDATE remote_erasure SET next_attempt_at = NULL RETURNING 1")
    await bench.sync(airtable)

    assert await _waiting(bench) == 0
    assert await bench.items("erased") == []


async def test_a_paused_connection_does_it_once_it_is_resumed_and_a_deleted_one_never(bench: Bench) -> None:
    record = bench.row(full_name="Zebedee", email=WHO)
    airtable = await bench.airtable()
    async with bench.world.transaction() as tx:
        await adjust.pause(tx, airtable, actor="ann@team.test")
    await _erase(bench)
    await bench.settle()
    assert (await _waiting(bench), record in bench.table.records) == (1, True)

    async with bench.world.transaction() as tx:
        await adjust.resume(tx, airtable, actor="ann@team.test")
    await bench.settle()
    assert (await _waiting(bench), record in bench.table.records) == (0, False)

    bench.row(full_name="Zebedee", email="other@quill.test")
    await bench.sync(airtable)
    async with bench.world.transaction() as tx:
        await tx.run(
            "INSERT INTO remote_erasure (workspace_id, connection_id, remote_id) VALUES ($1, $2, 'recX')",
            tx.workspace_id, airtable,
        )  # fmt: skip
        await adjust.remove(tx, airtable, actor="me")
    assert await _waiting(bench) == 0
