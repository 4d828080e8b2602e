"""How fast a run gets on, and when it will be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.sync.job import pace

BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("done", "total", "seconds", "rate", "eta"),
    [
        (20, 100, 10, 2.0, "2026-03-02T09:00:50.000Z"),
        (100, 100, 10, 10.0, "2026-03-02T09:00:10.000Z"),
        # more came while it was at it
        (120, 100, 10, 12.0, "2026-03-02T09:00:10.000Z"),
        (20, None, 10, 2.0, None),
        (0, 100, 10, None, None),
        (20, 100, 0, None, None),
    ],
)
def test_the_pace_of_a_stage_says_when_it_ends(
    done: int, total: int | None, seconds: int, rate: float | None, eta: str | None
) -> None:
    assert pace(done, total, BEGAN, BEGAN + timedelta(seconds=seconds)) == {"rate": rate, "eta": eta}


def test_a_stage_that_has_not_begun_has_no_pace() -> None:
    assert pace(20, 100, None, BEGAN) == {"rate": None, "eta": None}
