"""The storm, small: every fault, crashes, and edits on all sides inside running syncs, from one seed."""

from __future__ import annotations

from typing import get_args

import pytest

from app.lab.simulate import Scratch
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
    traces = [(await storm(SEED + 1, 5, await place.database(name))).trace for name in ("first", "second")]

    assert len(traces[0]) > 100
    assert traces[0] == traces[1]


@pytest.mark.slow
async def test_another_seed_is_another_storm(place: Scratch) -> None:
    traces = [(await storm(seed, 1, await place.database(f"seed{seed}"), rows=10)).trace for seed in (1, 2)]

    assert traces[0] != traces[1]
