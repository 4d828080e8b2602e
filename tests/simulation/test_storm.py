"""The storm, small: every fault, crashes, and edits on all sides inside running syncs, from one seed."""

from __future__ import annotations

from typing import get_args

import pytest

from app.lab.scratch import Scratch
from app.lab.storm import storm
from app.sandbox.core import FaultKind

SEED = 20260302
#: of each kind in 20 cycles; 200 cycles (`make simulate`) ask for 20
LEAST = {"quota": 3, "iterator": 3}


@pytest.mark.slow
async def test_both_sides_agree_after_a_storm_and_nothing_is_lost(place: Scratch) -> None:
    outcome = await storm(SEED, 20, await place.database("storm"))

    assert outcome.holds, str(outcome)
    assert outcome.crashes >= 3
    assert {kind: outcome.fired[kind] for kind in get_args(FaultKind) if outcome.fired[kind] < LEAST.get(kind, 4)} == {}


@pytest.mark.slow
async def test_a_seed_reproduces_the_identical_trace(place: Scratch) -> None:
    first, second = [await small(place, SEED + 1, 5, people=40) for _ in range(2)]

    assert len(first) > 100
    assert first == second


@pytest.mark.slow
async def test_another_seed_is_another_storm(place: Scratch) -> None:
    first, second = [await small(place, seed, 1, people=10) for seed in (1, 2)]

    assert first != second


async def small(place: Scratch, seed: int, cycles: int, *, people: int) -> list[str]:
    """The trace of a storm over a few people."""
    outcome = await storm(seed, cycles, await place.database("small"), rows=people, prospects=people)
    return outcome.trace
