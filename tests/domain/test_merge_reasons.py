"""What a person reads about a decision: who won and why, and why a value was not taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain.cells import Cell, Flapping, Here, How, Seen, Sent, State, Strategy, Verdict
from app.domain.merge import judge, later
from app.domain.policy import Rule
from app.domain.values import JSON, MISSING
from tests.domain.builders import T0, T1, T2

AGREED = Cell(remote="Acme", local="Acme")


def judged(cell: Cell, there: JSON, here: JSON, *, seen: dict[str, Any], mine: dict[str, Any], **how: Any) -> Verdict:
    how = {"rule": Rule.AUTHORITY, "connection": "A", **how}
    return judge(cell, Seen(raw=there, **{"value": there, "at": T1, **seen}), Here(value=here, **mine), How(**how))


@pytest.mark.parametrize(
    ("strategy", "seen", "mine", "winner", "why"),
    [
        ("remote_wins", {}, {}, "remote", "the connection's strategy is remote_wins"),
        ("local_wins", {}, {}, "local", "the connection's strategy is local_wins"),
        ("manual", {}, {}, None, "the connection's strategy is manual"),
        ("last_modified_wins", {"modified_at": T2}, {"at": T1}, "remote", "the record there was modified last"),
        ("last_modified_wins", {"modified_at": T1}, {"at": T1}, "remote", "the record there was modified last"),
        ("last_modified_wins", {"modified_at": T0}, {"at": T1}, "local", "the lead was modified last"),
        ("last_modified_wins", {}, {"at": T1}, "remote", "the record there was modified last"),
        ("last_modified_wins", {}, {"at": T2}, "local", "the lead was modified last"),
        ("last_modified_wins", {"at": T2, "modified_at": T0}, {"at": T1}, "local", "the lead was modified last"),
        (
            "local_wins", {}, {"origin": "B", "outranked": True}, "remote",
            "this connection outranks the one the lead's value came from",
        ),
        (
            "remote_wins", {}, {"origin": "B", "outranked": False}, "local",
            "the lead's value came from a connection that outranks this one",
        ),
        (
            "local_wins", {}, {"origin": "A", "outranked": False}, "local",
            "the connection's strategy is local_wins",
        ),
        (
            "remote_wins", {}, {"origin": "A", "outranked": False}, "remote",
            "the connection's strategy is remote_wins",
        ),
    ],
)  # fmt: skip
def test_a_conflict_says_who_won_and_why(
    strategy: str, seen: dict[str, Any], mine: dict[str, Any], winner: str | None, why: str
) -> None:
    verdict = judged(AGREED, "There", "Here", seen=seen, mine=mine, strategy=Strategy(strategy))

    assert verdict.conflict is not None
    assert (verdict.conflict.winner, verdict.conflict.why) == (winner, why)
    assert (verdict.conflict.base, verdict.conflict.local, verdict.conflict.remote) == ("Acme", "Here", "There")
    assert verdict.value == ("There" if winner == "remote" else MISSING)
    assert verdict.cell.state is {"remote": State.AGREED, "local": State.PENDING, None: State.HELD}[winner]


@pytest.mark.parametrize(
    ("cell", "there", "here", "mine", "how", "reason"),
    [
        (Cell(), "There", None, {"cleared": True}, {}, "a person cleared this field here"),
        (AGREED, None, "Acme", {}, {"clears": False}, "this field is never empty"),
        (AGREED, "", "Acme", {}, {"clears": False}, "this field is never empty"),
        (
            Cell(remote="won", local="won"), "opened", "won", {}, {"rule": Rule.LADDER},
            "the status only climbs",
        ),
        (
            Cell(remote="opened", local="opened"), "opened", "opened", {}, {"rule": Rule.LADDER}, None,
        ),
        (AGREED, "There", "Acme", {}, {"push_only": True}, "this column is only written, never read"),
        (Cell(), "There", "Acme", {}, {"push_only": True}, "this column is only written, never read"),
        (Cell(), None, "Acme", {}, {"push_only": True}, None),
        (Cell(), None, "Acme", {"cleared": True}, {}, None),
        (AGREED, "There", "Acme", {}, {}, None),
    ],
)  # fmt: skip
def test_a_value_that_is_not_taken_says_why(
    cell: Cell, there: JSON, here: JSON, mine: dict[str, Any], how: dict[str, Any], reason: str | None
) -> None:
    assert judged(cell, there, here, seen={}, mine=mine, **how).refused == reason


@pytest.mark.parametrize(
    ("cell", "there", "here", "how", "reason"),
    [
        (AGREED, "Acme", "Here", {"pull_only": True}, "this column is only read"),
        (AGREED, "There", "Acme", {"rebase": True}, "the mapping changed"),
        (AGREED, "There", "Acme", {"push_only": True}, "this column is only written, never read"),
    ],
)
def test_sides_that_differ_for_good_say_why(
    cell: Cell, there: JSON, here: JSON, how: dict[str, Any], reason: str
) -> None:
    found = judged(cell, there, here, seen={}, mine={}, **how).cell

    assert (found.state, found.reason, found.other) == (State.DIVERGED, reason, there)


def test_a_value_of_another_lead_waits_for_a_person() -> None:
    verdict = judged(AGREED, "There", "Acme", seen={"owner": "lead 7"}, mine={})

    assert verdict.conflict is not None
    assert (verdict.conflict.winner, verdict.conflict.why) == (None, "another lead (lead 7) has this value")
    assert (verdict.cell.state, verdict.cell.reason) == (State.HELD, "collision")


def test_a_value_on_its_way_meets_a_new_mapping_and_still_goes() -> None:
    waiting = Cell(remote="Acme", local="Acme", state=State.PENDING)
    verdict = judged(waiting, "There", "Here", seen={}, mine={}, rebase=True)

    assert verdict.conflict is not None
    assert verdict.conflict.winner == "local"
    assert verdict.conflict.why == "the mapping changed while the lead's value was on its way"
    assert (verdict.conflict.base, verdict.conflict.local, verdict.conflict.remote) == ("Acme", "Here", "There")
    assert judged(waiting, "Acme", "Here", seen={}, mine={}, rebase=True).conflict is None


def test_two_values_that_meet_for_the_first_time_are_a_conflict() -> None:
    verdict = judged(Cell(), "There", "Here", seen={}, mine={})

    assert verdict.conflict is not None
    assert (verdict.conflict.base, verdict.value, verdict.cell.state) == (MISSING, "There", State.AGREED)


def test_what_is_not_said_is_the_ordinary_case() -> None:
    here, how = Here(value="x"), How(rule=Rule.AUTHORITY, connection="A")

    assert (here.cleared, here.yields, here.origin, here.outranked, here.at) == (False, False, None, True, "")
    assert (how.strategy, how.push_only, how.pull_only, how.clears, how.rebase) == (
        Strategy.REMOTE_WINS, False, False, True, False
    )  # fmt: skip
    assert (how.same("x", "x"), how.same("x", "y"), how.unite, how.freeze("x")) == (True, False, None, "x")
    assert Flapping(replaced="x", since=T0).times == 0


@pytest.mark.parametrize(("seconds", "times"), [(3599, 2), (3600, None)])
def test_a_remote_flaps_within_an_hour(seconds: int, times: int | None) -> None:
    cell = replace(AGREED, flapping=Flapping(replaced="There", since=T0, times=1))
    found = judged(cell, "There", "Acme", seen={"at": later(T0, seconds)}, mine={"origin": "A"}).cell

    assert (found.flapping and found.flapping.times) == times


def test_a_write_that_was_given_up_may_land_for_a_quarter_of_an_hour() -> None:
    cell = replace(AGREED, state=State.INFLIGHT, sent=Sent(remote="Sent", local="Sent", until=T1))
    found = judged(cell, "Acme", "Here", seen={"at": T1}, mine={}).cell

    assert found.ghost is not None
    assert (found.state, found.ghost.until) == (State.PENDING, later(T1, 15 * 60))


@pytest.mark.parametrize(("seconds", "value"), [(24 * 3600 - 1, MISSING), (24 * 3600, "Sent")])
def test_a_write_that_landed_is_known_as_ours_for_a_day(seconds: int, value: JSON) -> None:
    """After that what is seen is somebody's news."""
    cell = replace(AGREED, ghost=Sent(remote="Sent", local="Sent", until=T0))

    assert judged(cell, "Sent", "Here", seen={"at": later(T0, seconds)}, mine={}).value == value
