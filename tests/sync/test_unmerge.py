"""Unmerge: what came with a lead, and what was said about it meanwhile, goes back to it, and nothing happens twice."""

from __future__ import annotations

from uuid import UUID

from app.db import link_work
from app.db.ids import new_id
from app.sync import edit, inbox
from tests.sync.conftest import Bench
from tests.sync.test_merge import ANNA, HOME, _merge, _two, _unmerge


async def test_what_a_lead_answered_while_it_was_merged_is_its_own_afterwards(bench: Bench) -> None:
    """Both leads are in campaigns of one account, so a value's connection does not tell whose it is."""
    one, other, *_, airtable, instantly = await _two(bench)
    await bench.patch(HOME, status="contacted")
    await _merge(bench, one, other)
    there = bench.world.instantly.store
    (theirs,) = [lead for lead in there.leads.values() if lead.email == HOME]
    there.reply(theirs.id)
    # a row that nobody had seen when they were merged
    late = there.add_lead(bench.campaigns[0].id, email=HOME, first_name="Anne")
    there.send(late.id)
    there.open(late.id)
    await bench.sync(instantly, kind="full")
    both = (await bench.lead(ANNA)).values
    assert (both["status"], both["email_reply_count"], both["email_open_count"]) == ("replied", 1, 4)

    await _unmerge(bench, one, other)
    for _ in range(2):
        await bench.sync(airtable, instantly)

    mine, back = (await bench.lead(ANNA)).values, (await bench.lead(HOME)).values
    assert [mine[name] for name in ("status", "delivery_status", "email_open_count")] == ["contacted", "emailed", 1]
    assert [back[name] for name in ("status", "delivery_status", "email_open_count")] == ["replied", "replied", 3]
    assert (mine["email_reply_count"], back["email_reply_count"]) == (0, 1)
    await bench.agree(airtable)


async def test_two_leads_of_one_campaign_keep_their_variables_apart(bench: Bench) -> None:
    there = bench.world.instantly.store
    for email, city in ((ANNA, "Oslo"), (HOME, "Rome")):
        there.add_lead(bench.campaigns[0].id, email=email, payload={"city": city})
    instantly = await bench.instantly()
    one, other = [UUID((await bench.lead(email)).id) for email in (ANNA, HOME)]
    before = [(await bench.lead(email)).values["metadata"] for email in (ANNA, HOME)]

    await _merge(bench, one, other)
    await bench.sync(instantly, kind="full")
    await _unmerge(bench, one)
    await bench.sync(instantly, kind="full")

    assert [(await bench.lead(email)).values["metadata"] for email in (ANNA, HOME)] == before


async def test_what_a_connection_counted_before_it_was_disconnected_goes_back_too(bench: Bench) -> None:
    one, other, *_, instantly = await _two(bench)
    await _merge(bench, one, other)
    await bench.value("UPDATE connection SET deleted_at = now() WHERE id = $1 RETURNING 1", instantly)

    await _unmerge(bench, one)

    assert [(await bench.lead(email)).values["email_open_count"] for email in (ANNA, HOME)] == [1, 2]
    assert await bench.value("SELECT count(*) FROM link WHERE lead_id = $1", other) == 2


async def test_an_event_that_is_applied_again_after_a_merge_or_its_undoing_is_in_the_log_once(bench: Bench) -> None:
    one, other, *_ = await _two(bench)
    payload = {"event_type": "email_opened", "timestamp": "2026-03-02T08:00:00Z", "lead_email": HOME}
    delivery = await bench.deliver(payload | {"campaign_id": bench.campaigns[1].id})
    runtime = bench.world.runtime
    logged = "SELECT array_agg(lead_id) FROM activity WHERE kind = 'mail.opened'"

    async def again() -> list[UUID]:
        await bench.value("UPDATE webhook_delivery SET state = 'received', applied_at = NULL RETURNING 1")
        await inbox.apply(runtime.db, bench.world.tenant, [delivery], fingerprint=runtime.vault.address)
        return list(await bench.value(logged))

    assert await again() == [other]
    await _merge(bench, one, other)
    assert await again() == [one]
    await _unmerge(bench, one)
    assert await again() == [other]

    # what is heard of it while it is merged is in the log of the survivor, and goes back as well
    await bench.value("DELETE FROM activity WHERE kind = 'mail.opened' RETURNING 1")
    await _merge(bench, one, other)
    assert await again() == [one]
    await _unmerge(bench, one)
    assert await again() == [other]


async def test_a_record_that_was_only_planned_is_not_made_where_the_other_lead_has_one(bench: Bench) -> None:
    bench.row(full_name="Anna Berg", email=HOME)
    airtable = await bench.airtable(create="all")
    other = UUID((await bench.lead(HOME)).id)
    async with bench.world.transaction() as tx:
        one = UUID((await edit.create(tx, {"email": ANNA}, actor="ann@team.test")).id)
        await link_work.add_new(tx, airtable, [(new_id(), one)], 1)

    await _merge(bench, one, other)
    await bench.sync(airtable)
    assert len(bench.table.records) == 1
    await bench.agree(airtable)

    await _unmerge(bench, one)
    # the one record shows the survivor's address until it is written: it is no record of the survivor's
    await bench.sync(airtable)
    await bench.value("UPDATE link SET next_attempt_at = now() WHERE error LIKE '%another lead%' RETURNING 1")
    await bench.sync(airtable)
    assert {bench.cell(record, "Email") for record in bench.table.records} == {ANNA, HOME}
    await bench.agree(airtable)


async def test_a_survivor_that_was_deleted_and_restored_is_known_by_both_addresses(bench: Bench) -> None:
    one, other, *_ = await _two(bench)
    await _merge(bench, one, other)
    async with bench.world.transaction() as tx:
        await edit.delete(tx, one, actor="ann@team.test")
        await edit.restore(tx, one, actor="ann@team.test")

    assert await bench.value("SELECT array_agg(value ORDER BY value) FROM lead_identity") == [HOME, ANNA]


async def test_a_second_record_that_goes_back_with_its_lead_still_waits_for_a_person(bench: Bench) -> None:
    one, other, _, second, airtable, _ = await _two(bench)
    bench.row(full_name="Ann Berg", email="third@x.test")
    await bench.sync(airtable)
    third = UUID((await bench.lead("third@x.test")).id)
    await _merge(bench, one, other)
    await _merge(bench, third, one)
    await _unmerge(bench, third, one)
    await bench.sync(airtable)

    seconds = [
        item["evidence"]["record"] for item in await bench.items("candidate") if item["field"] == "second record"
    ]
    assert seconds == [second]
