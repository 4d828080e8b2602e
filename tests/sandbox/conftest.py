"""A sandbox Instantly on a clock that stands still, and a client of it without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.sandbox.instantly import InstantlySandbox


class StillClock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def world(clock: StillClock) -> InstantlySandbox:
    world = InstantlySandbox(clock=clock, seed=1)
    world.store.add_key("key-test")
    return world


@pytest.fixture
async def api(world: InstantlySandbox) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=world.app)
    headers = {"Authorization": "Bearer key-test", "User-Agent": "leadkeeper-tests"}
    async with httpx.AsyncClient(transport=transport, base_url="http://instantly.test", headers=headers) as client:
        yield client


@pytest.fixture
def campaign(world: InstantlySandbox) -> str:
    return world.store.add_campaign("Q3 founders").id
