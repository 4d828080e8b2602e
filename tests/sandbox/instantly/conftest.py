"""A sandbox Instantly on a clock that stands still, and a client of it without sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.instantly import InstantlySandbox

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def world(clock: VirtualClock) -> InstantlySandbox:
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


@dataclass(frozen=True, slots=True)
class Posted:
    """One POST as the receiver of a webhook saw it."""

    url: str
    headers: dict[str, str]
    payload: Any


class Receiver:
    """Takes webhooks in; answers what it is told to, 200 where it is told nothing."""

    def __init__(self) -> None:
        self.calls: list[Posted] = []
        #: what the next calls get: a status, or an exception that is raised
        self.answers: list[int | Exception] = []

    @property
    def payloads(self) -> list[Any]:
        return [call.payload for call in self.calls]

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        self.calls.append(Posted(url, dict(headers), json.loads(body)))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def receiver(world: InstantlySandbox) -> Receiver:
    receiver = Receiver()
    world.deliveries.sender = receiver
    return receiver
