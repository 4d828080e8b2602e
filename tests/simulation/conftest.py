"""A server of each process's own: transactions of other tests would decide when a change becomes visible."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.lab.scratch import Scratch, scratch
from tests.simulation.scene import scene as scene


@pytest.fixture(scope="session")
async def place() -> AsyncIterator[Scratch]:
    """A server where a simulation makes as many migrated databases as it needs."""
    async with scratch() as made:
        yield made
