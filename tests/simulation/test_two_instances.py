"""Two instances on one database: work is done once, and what one leaves behind the other takes up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.db import runs
from app.lab.kills.arena import arena
from app.lab.kills.syncing import two_instances
from app.lab.scratch import Scratch
from app.scheduler import Worker

RUNS = 6


async def test_two_workers_do_each_run_once(place: Scratch, tmp_path: Path) -> None:
    async with arena(place, 1, name="once", rows=5) as ring:
        workers = [Worker(ring.world.runtime, name) for name in ("first", "second")]
        while not await ring.is_done():
            await workers[0].tick()
            await workers[0].idle()
        calls = len(ring.world.airtable.sandbox.calls)
        for _ in range(RUNS):
            await ring.world.queue(ring.airtable)
            await ring.world.queue(ring.instantly)
        while not await ring.is_done():
            await asyncio.gather(*(worker.tick() for worker in workers))
            await asyncio.sleep(0.01)

        # a delta without news is one call
        assert [call.path.rpartition("/")[2] for call in ring.world.airtable.sandbox.calls[calls:]] == (
            ["listRecords"] * RUNS
        )
        async with ring.world.transaction() as tx:
            assert {row["state"] for row in await runs.recent(tx, 4 * RUNS)} == {"done"}


@pytest.mark.slow
async def test_the_other_instance_takes_over_and_the_dead_one_writes_nothing_more(place: Scratch) -> None:
    lease = 3.0
    outcome = await two_instances(place, 3, lease_seconds=lease)

    assert outcome.holds, str(outcome)
    # half a lease more than the lease: 45 s where it is 30 s, which `make simulate` measures
    assert outcome.takeovers[0] <= lease * 1.5 + 1
