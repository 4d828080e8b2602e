"""Call budgets: every call has its own place in time, for each of its resources."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.db.buckets import SharedLimiter
from app.db.session import Database
from app.providers.base import Resource
from tests.conftest import Urls


class Still:
    """A time that stands; whoever waits is written down."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 3, 2, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


async def test_a_call_takes_the_first_place_that_each_of_its_resources_has(urls: Urls) -> None:
    clock = Still()
    db = await Database.open(urls.app, clock=clock)
    limiter, fast, slow = SharedLimiter(db, clock), Resource("a fast one", 5), Resource("the slow one", 1)
    for resources in ([fast], [fast], [fast], [slow, fast], [slow], [fast, slow], [fast], [slow]):
        await limiter.acquire(resources)
    await limiter.pause(slow, 60)
    await limiter.acquire([fast, slow])
    await limiter.acquire([fast])
    await db.close()

    assert clock.waited == pytest.approx([0.2, 0.4, 0.6, 1.6, 2.6, 2.8, 3.6, 60, 60.2])
