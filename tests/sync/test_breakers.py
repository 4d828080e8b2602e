"""Breakers: a mass clear and a mass delete wait for a person, and the rest goes on."""

from __future__ import annotations

from uuid import UUID

from app.sync import breakers
from tests.sync.conftest import Bench


async def _decide(bench: Bench, *, approve: bool) -> None:
    [item] = await bench.items("quarantine")
    async with bench.world.transaction() as tx:
        await breakers.decide(tx, item["id"], approve=approve, version=item["version"], actor="ann@team.test")
    await bench.settle()


async def _with_titles(bench: Bench) -> tuple[UUID, list[str]]:
    rows = [bench.row(full_name=f"P {n}", email=f"p{n}@x.test", title="CTO") for n in range(30)]
    return await bench.airtable(), rows


async def test_a_mass_clear_waits_while_other_news_goes_on_and_ends_when_the_values_return(bench: Bench) -> None:
    airtable, rows = await _with_titles(bench)
    for record in rows:
        bench.edit_there(record, title=None, company="New BV")
    await bench.sync(airtable)
    await bench.sync(airtable)

    assert await bench.value("SELECT count(*) FROM lead WHERE title = 'CTO' AND company_name = 'New BV'") == 30
    [item] = await bench.items("quarantine")
    assert (item["field"], item["evidence"]["records"]) == ("title", 30)

    for record in rows:
        bench.edit_there(record, title="CTO")
    await bench.sync(airtable)
    assert await bench.items("quarantine") == []
    await bench.agree(airtable)


async def test_an_approved_mass_clear_is_believed(bench: Bench) -> None:
    airtable, rows = await _with_titles(bench)
    for record in rows:
        bench.edit_there(record, title=None)
    await bench.sync(airtable)
    await _decide(bench, approve=True)

    assert await bench.value("SELECT count(*) FROM lead WHERE title IS NULL") == 30
    await bench.agree(airtable)


async def test_a_rejected_mass_clear_is_written_back(bench: Bench) -> None:
    airtable, rows = await _with_titles(bench)
    for record in rows:
        bench.edit_there(record, title=None)
    await bench.sync(airtable)
    await _decide(bench, approve=False)

    assert {bench.cell(record, "Title") for record in rows} == {"CTO"}
    await bench.agree(airtable)


async def test_an_emptied_table_deletes_nothing_until_approved(bench: Bench) -> None:
    airtable, rows = await _with_titles(bench)
    for record in rows:
        bench.table.delete(record)
    await bench.sync(airtable, kind="full")
    assert await bench.value("SELECT count(*) FROM lead WHERE deleted_at IS NULL") == 30

    await _decide(bench, approve=True)
    assert await bench.value("SELECT count(*) FROM lead WHERE deleted_at IS NULL") == 0


async def test_a_rejected_mass_delete_keeps_the_leads_and_asks_no_more(bench: Bench) -> None:
    airtable, rows = await _with_titles(bench)
    for record in rows:
        bench.table.delete(record)
    await bench.sync(airtable, kind="full")
    await _decide(bench, approve=False)
    await bench.sync(airtable, kind="full")

    assert await bench.value("SELECT count(*) FROM lead WHERE deleted_at IS NULL") == 30
    assert await bench.items("quarantine") == []
