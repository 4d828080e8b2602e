"""Real processes and a real database are killed while they work; afterwards both sides agree and nothing is lost."""

from __future__ import annotations

import pytest

from app.lab.kills.receiving import kill_service
from app.lab.kills.syncing import kill_postgres, kill_workers
from app.lab.scratch import Scratch, scratch

SEED, STAGES = 2, {"pull", "reconcile", "push", "sweep"}


@pytest.mark.slow
async def test_six_killed_workers_lose_and_double_nothing(place: Scratch) -> None:
    outcome = await kill_workers(place, SEED, 6)

    assert outcome.holds, str(outcome)
    assert len(outcome.stages) == 6
    assert {stage.partition(" ")[0] for stage in outcome.stages} <= STAGES, str(outcome)


@pytest.mark.slow
async def test_a_database_that_is_stopped_at_once_loses_nothing() -> None:
    async with scratch(fast_unsafe=False) as place:
        outcome = await kill_postgres(place, SEED, 1)

    assert outcome.holds, str(outcome)
    assert {stage.partition(" ")[0] for stage in outcome.stages} <= STAGES, str(outcome)


@pytest.mark.by_hand
async def test_what_was_acknowledged_survives_the_service_and_its_database() -> None:
    async with scratch(fast_unsafe=False) as place:
        outcome = await kill_service(place, SEED, 1)

    assert outcome.holds, str(outcome)
    assert outcome.stages == ["acknowledging"], str(outcome)
