"""What a provider is handed, as doubles that record: a clock, a limiter, a log of its calls."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import respx

from app.providers.base import Guard, Resource


class FakeClock:
    """Sleeping moves it on at once."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += timedelta(seconds=seconds)


class FakeLimiter:
    """Waits out the pauses on its clock, and writes down what happened, in order."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.events: list[tuple[str, str, float]] = []
        self._until: dict[str, datetime] = {}

    async def acquire(self, resources: Sequence[Resource]) -> None:
        for resource in resources:
            if (left := (self._until.get(resource.key, self.clock.now()) - self.clock.now()).total_seconds()) > 0:
                await self.clock.sleep(left)
            self.events.append(("acquire", resource.key, resource.rate))

    async def pause(self, resource: Resource, seconds: float) -> None:
        self.events.append(("pause", resource.key, seconds))
        self._until[resource.key] = self.clock.now() + timedelta(seconds=seconds)

    @property
    def pauses(self) -> list[tuple[str, float]]:
        return [(key, seconds) for what, key, seconds in self.events if what == "pause"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limiter(clock: FakeClock) -> FakeLimiter:
    return FakeLimiter(clock)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(7)


@pytest.fixture
def calls() -> list[tuple[str, int]]:
    """What `on_call` was told."""
    return []


@pytest.fixture
def guard() -> Guard:
    async def allow() -> None:
        return None

    return allow


@pytest.fixture
def web() -> Iterator[respx.MockRouter]:
    """The provider as a table of answers; a call that is not in it fails the test."""
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
async def client(web: respx.MockRouter) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client
