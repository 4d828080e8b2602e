"""Two Airtable tables that speak for the same lead: what is said in one arrives in the other, and rank decides."""

from __future__ import annotations

from uuid import UUID

from app.lab.sandboxes import COLUMNS, TOKEN
from tests.sync.conftest import Bench


async def _second(bench: Bench, **settings: object) -> tuple[UUID, str]:
    other = bench.base.add_table("Partners", COLUMNS)
    record = other.create({"Full Name": "Anna Berg", "Email": "anna@berg.test", "Status": "New"})
    config = {"base_id": bench.base.id, "table_id": other.id}
    connection_id = await bench.world.connect("airtable", config, {"token": TOKEN}, name="Partners", **settings)
    await bench.world.settle()
    await bench.world.approve(connection_id)
    await bench.settle()
    return connection_id, record.id


async def test_what_one_table_says_arrives_in_the_other(bench: Bench) -> None:
    first = bench.row(full_name="Anna Berg", email="anna@berg.test")
    one = await bench.airtable()
    two, second = await _second(bench)
    assert await bench.value("SELECT count(*) FROM lead") == 1

    partners = bench.base.tables[list(bench.base.tables)[1]]
    bench.clock.advance(1)
    partners.edit(second, {"Title": "CTO"})
    await bench.sync(two)
    await bench.sync(one)

    assert bench.cell(first, "Title") == "CTO"
    await bench.agree(one)
    await bench.agree(two)


async def test_when_both_tables_change_a_field_rank_decides_whichever_runs_first(bench: Bench) -> None:
    first = bench.row(full_name="Anna Berg", email="anna@berg.test")
    one = await bench.airtable(priority=10)
    two, second = await _second(bench, priority=20)
    partners = bench.base.tables[list(bench.base.tables)[1]]
    for order in ((one, two), (two, one)):
        bench.clock.advance(5)
        bench.edit_there(first, title=f"first says {order.index(one)}")
        partners.edit(second, {"Title": f"second says {order.index(one)}"})
        for connection_id in order:
            await bench.sync(connection_id)
        for connection_id in (one, two, one, two):
            await bench.sync(connection_id)

        assert partners.read(partners.records[second])["Title"] == f"first says {order.index(one)}"
        await bench.agree(one)
        await bench.agree(two)
