"""Law 16: whatever happens in between, after a quiet period both sides agree, and nothing was lost."""

from __future__ import annotations

import pytest

from app.lab.model import EPISODE, run

SEEDS = 150
PART = 25


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_law_16_any_interleaving_ends_in_agreement(first: int) -> None:
    failed = {seed: outcome.problems for seed in range(first, first + PART) if not (outcome := run(seed)).holds}

    assert failed == {}


@pytest.mark.slow
def test_everything_that_can_happen_happens() -> None:
    """The model proves little about an accident that it never has."""
    happened = run(1, 40 * EPISODE).happened

    assert min(happened[kind] for kind in ("crashes", "lost", "never", "late", "refused", "a write lands late")) >= 10
    decided = ("mapping changes", "resolved", "OpenConflict", "CloseConflict", "Refuse")
    assert min(happened[kind] for kind in decided) >= 5


def test_the_same_seed_gives_the_same_trace() -> None:
    assert run(7).trace == run(7).trace
    assert run(7).trace != run(8).trace


def test_a_long_run_tells_each_of_its_episodes() -> None:
    outcome = run(3, 2 * EPISODE + 10)

    assert len(outcome.trace) == 3
    assert outcome.holds
