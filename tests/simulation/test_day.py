"""A day of webhooks, with everything that goes wrong on a day, ends in what a clean log of it says."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from app.lab.kills.day import Day, live
from app.lab.scratch import scratch
from tests.simulation.fold import DELIVERY, LADDER, Person, fold

SEED = 7
VALUES = (
    "status", "delivery_status", "is_positive_reply", "last_contacted_at", "sender_account", "suppressed",
)  # fmt: skip


def expected(person: Person, scopes: dict[str, str]) -> dict[str, Any]:
    """What the workspace should hold of somebody."""
    return {
        "status": person.status,
        "delivery_status": person.delivery_status,
        "is_positive_reply": person.is_positive_reply,
        "last_contacted_at": person.last_contacted_at and datetime.fromisoformat(person.last_contacted_at),
        "sender_account": person.sender_account,
        "suppressed": {(scopes[campaign], "unsubscribed") for campaign in person.unsubscribed}
        | ({("workspace", "bounced")} if person.bounced else set()),
        "log": person.log,
    }


def differences(day: Day) -> list[str]:
    """Everybody in whom the workspace and the clean log differ."""
    found = []
    for email, person in fold(day.log).items():
        want, have = expected(person, day.scopes), day.people[email]
        found += [f"{email} {name}: {have[name]!r}, not {want[name]!r}" for name in VALUES if have[name] != want[name]]
        found += [f"{email} lacks {happened}" for happened in want["log"] - have["log"]]
        found += [f"{email} has {happened} too often" for happened in have["log"] - want["log"]]
    return found


@pytest.mark.slow
async def test_a_day_with_kills_outages_and_junk_ends_as_its_clean_log_says(request: pytest.FixtureRequest) -> None:
    events, seed = request.config.getoption("--deliveries"), request.config.getoption("--day")
    async with scratch(fast_unsafe=False) as place:
        day = await live(place, seed, events, kills=2, stops=1)

    assert len(day.log) >= events
    assert (day.kills, day.stops) == (2, 1)
    assert differences(day) == [], str(day)
    assert [shown["missing"] for shown in day.completeness] == [0] * len(day.completeness)
    assert sum(shown["recovered"] for shown in day.completeness) > 0
    began = datetime.fromisoformat(day.log[0]["timestamp"])
    unknown = [gap for shown in day.completeness for gap in shown["unknown"]]
    # only what was before the webhook was there
    assert [gap for gap in unknown if datetime.fromisoformat(gap["to"]) > began] == []
    assert day.inbox.keys() <= {"applied", "ignored", "parked"}


@pytest.mark.slow
async def test_an_hour_that_left_no_trace_is_said_to_be_unknown_and_what_rest_tells_is_there() -> None:
    async with scratch() as place:
        day = await live(place, SEED, 1_000, kills=0, stops=0, log_while_disabled=False)

    assert day.gap is not None
    gaps = [gap for shown in day.completeness for gap in shown["unknown"]]
    assert gaps, day.completeness
    first, last = min(gap["from"] for gap in gaps), max(gap["to"] for gap in gaps)
    assert datetime.fromisoformat(first) <= day.gap[0]
    assert datetime.fromisoformat(last) >= day.gap[1]
    # what fell into the gap was on its way then: an event up to an hour older than it may have been lost as well
    told, whole = fold(event for event in day.log if not _may_be_lost(day, event)), fold(day.log)
    for email, person in whole.items():
        least, have = told.get(email, Person()), day.people[email]
        assert LADDER.index(least.status) <= LADDER.index(have["status"]) <= LADDER.index(person.status), email
        assert DELIVERY.index(have["delivery_status"]) == DELIVERY.index(person.delivery_status), email
        assert have["last_contacted_at"] == expected(person, {c: c for c in day.scopes})["last_contacted_at"], email
        replies = Counter({key: n for key, n in person.log.items() if key[0] == "mail.replied"})
        assert Counter({key: n for key, n in have["log"].items() if key[0] == "mail.replied"}) == replies, email


def _may_be_lost(day: Day, event: dict[str, Any]) -> bool:
    assert day.gap is not None
    at = datetime.fromisoformat(event["timestamp"])
    return (day.gap[0] - at).total_seconds() < 3600 + 300 and at <= day.gap[1]
