"""Time travel through what syncs did: every state a lead was in, whoever brought it about."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import orjson

from app.db import lead_queries
from app.sync import past
from tests.sync.conftest import Bench


async def test_what_syncs_changed_can_be_gone_back_to(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", notes="one", campaigns=["Alpha"])
    airtable = await bench.airtable()
    lead_id = UUID((await bench.lead("anna@berg.test")).id)
    states: list[tuple[Any, dict[str, Any]]] = []

    async def look() -> None:
        await asyncio.sleep(0.002)
        async with bench.world.transaction() as tx:
            found = await lead_queries.as_json(tx, lead_id)
            assert found is not None
            states.append((tx.now, orjson.loads(found.json)))
        await asyncio.sleep(0.002)

    await look()
    bench.edit_there(record, title="CTO", status="Replied", notes="one\ntwo", campaigns=["Beta"])
    await bench.sync(airtable)
    await look()
    bench.world.instantly.store.add_lead(
        bench.campaigns[0].id,
        email="anna@berg.test",
        company_name="Berg B.V.",
        payload={"Size": "9"},
    )
    instantly = await bench.instantly()
    await look()
    await bench.patch("anna@berg.test", title=None, custom={"stand": "B12"})
    await bench.settle()
    await look()
    bench.edit_there(record, title="CEO", notes="two")
    await bench.sync(airtable, instantly, kind="full")
    await look()

    assert len({state["version"] for _, state in states}) == len(states)
    async with bench.world.transaction() as tx:
        for at, state in states:
            then = await past.as_of(tx, lead_id, at)
            # these tests set the time of the last change back
            assert then | {"updated_at": None} == state | {"updated_at": None}
