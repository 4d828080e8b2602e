"""The scheduler ends as quietly as it began."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.scheduler import Worker, scheduled
from tests.sync.conftest import Bench


class Slow(Worker):
    """A worker whose ticks take a moment."""

    began: asyncio.Event

    ended = 0

    async def tick(self) -> None:
        self.began.set()
        await asyncio.sleep(0.05)
        self.ended += 1


async def test_a_tick_under_way_comes_to_its_end_and_nothing_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = bench.world.runtime
    often = replace(runtime, settings=runtime.settings.model_copy(update={"scheduler_tick_seconds": 0.01}))
    worker = Slow(often)
    worker.began = asyncio.Event()

    async with scheduled(often, worker):
        await worker.began.wait()

    assert worker.ended == 1
    assert [record.getMessage() for record in caplog.records if record.name.startswith("apscheduler")] == []
