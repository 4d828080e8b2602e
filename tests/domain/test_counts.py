"""What a campaign counts by day."""

from __future__ import annotations

from app.domain.counts import DAY_COUNTS, DAY_SUMS, DAY_UNIQUE


def test_what_counts_a_lead_once_counts_something_that_can_be_added_up() -> None:
    assert {name.removeprefix("unique_") for name in DAY_UNIQUE} <= set(DAY_SUMS)
    assert len(set(DAY_COUNTS)) == len(DAY_SUMS) + len(DAY_UNIQUE)
