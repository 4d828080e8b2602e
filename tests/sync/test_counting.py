"""What a run says it did: each thing once, however often it was tried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import asyncpg

from app.db import runs
from app.db.session import Database
from app.scheduler import Worker
from tests.sync.conftest import Bench

T = TypeVar("T")


class Unlucky(Database):
    """A database in which every transaction that may be tried again loses its first race."""

    is_losing = False

    async def retrying(self, work: Callable[[], Awaitable[T]]) -> T:
        self.is_losing = True
        return await super().retrying(work)

    async def _point(self, name: str) -> None:
        if name == "commit" and self.is_losing:
            self.is_losing = False
            raise asyncpg.DeadlockDetectedError("two waited for each other")


async def test_what_is_tried_again_is_counted_once(bench: Bench) -> None:
    connection_id = await bench.airtable()
    for n in range(3):
        bench.row(Full_Name=f"Lead {n}", Email=f"lead{n}@firm.test")
    bench.clock.advance(120)
    async with bench.world.transaction() as tx:
        run_id = await runs.queue(tx, connection_id, "delta", "test")
    worker = Worker(replace(bench.world.runtime, db=Unlucky(bench.world.runtime.db._pool)), "unlucky")
    await worker.tick()
    await worker.idle()
    async with bench.world.transaction() as tx:
        run = await runs.get(tx, run_id)

    assert await bench.value("SELECT count(*) FROM lead") == 3
    assert (run["counters"]["read"], run["counters"]["leads_created"]) == (3, 3)


async def test_two_records_of_a_new_person_do_not_break_their_batch(bench: Bench) -> None:
    bench.row(Full_Name="Ada", Email="ada@firm.test")
    bench.row(Full_Name="Ada L.", Email="ada@firm.test")
    bench.row(Full_Name="Bob", Email="bob@firm.test")
    await bench.airtable()

    assert await bench.value("SELECT count(*) FROM lead") == 2
    assert await bench.value("SELECT count(DISTINCT xid) FROM lead_change") == 1
    assert [item["field"] for item in await bench.items("candidate")] == ["second record"]
