"""Survivorship: what becomes of every field when two leads are one, and when they are two again."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.lead import Lead, Link, Origin
from app.domain.policy import COUNTERS, FIELDS, Source
from app.domain.survivorship import Side, choosable, count, decide, merged, split
from tests.domain.builders import instantly

AT = "2026-03-02T09:00:00.000Z"


def _lead(lead_id: str, **values: Any) -> Lead:
    lead = Lead(id=lead_id)
    lead.values |= values
    lead.untouched -= values.keys()
    lead.origins = {name: Origin(Source.USER, None, AT) for name in values}
    return lead


def _merged(one: Lead, other: Lead, choices: dict[str, Side] | None = None) -> Lead:
    return merged(one, other, decide(one, other, choices), AT)[0]


@pytest.mark.parametrize(
    ("name", "here", "there", "value", "side"),
    [
        ("title", "CTO", "CEO", "CTO", "survivor"),
        ("title", None, "CEO", "CEO", "other"),
        ("email", "a@x.test", "b@x.test", "a@x.test", "survivor"),
        ("status", "contacted", "replied", "replied", "other"),
        ("status", "booked", "replied", "booked", "survivor"),
        ("email_open_count", 2, 3, 5, "both"),
        ("campaigns", ["A"], ["B"], ["A", "B"], "both"),
        ("last_contacted_at", "2026-01-01", "2026-02-01", "2026-02-01", "other"),
        ("instantly_created_at", "2026-01-01", "2026-02-01", "2026-01-01", "survivor"),
        ("notes", [["1", "a", AT, "u"]], [["2", "b", AT, "u"]], [["1", "a", AT, "u"], ["2", "b", AT, "u"]], "both"),
        ("metadata", {"a": 1, "b": {"x": 1}}, {"b": {"x": 2, "y": 2}}, {"a": 1, "b": {"x": 1, "y": 2}}, "both"),
        ("custom.color", "red", "blue", "red", "survivor"),
        ("last_step_info", {"step": 1, "at": "2026-01"}, None, {"step": 1, "at": "2026-01"}, "survivor"),
        ("last_contacted_at", "2026-01-01", None, "2026-01-01", "survivor"),
        ("delivery_status", "emailed", None, "emailed", "survivor"),
        ("verified", True, False, True, "survivor"),
        ("last_step_info", {"step": 1, "at": "2026-01"}, {"step": 2, "at": "2026-02"},
         {"step": 2, "at": "2026-02"}, "other"),
    ],
)  # fmt: skip
def test_a_field_of_two_leads(name: str, here: Any, there: Any, value: Any, side: str) -> None:
    one, other = _lead("1", **{name: here}), _lead("2", **{name: there})

    found = next(decision for decision in decide(one, other) if decision.field == name)

    assert (found.value, found.side) == (value, side)
    assert _merged(one, other).values[name] == value


def test_what_a_person_cleared_is_not_filled_by_a_merge_but_by_choice() -> None:
    one, other = _lead("1", title=None), _lead("2", title="CEO")
    one.cleared = frozenset({"title"})

    assert _merged(one, other).values["title"] is None
    assert _merged(one, other, {"title": "other"}).values["title"] == "CEO"


def test_names_and_claims_move_together() -> None:
    one = _lead("1", first_name="Ada", claimed_by="ann@x.test", claimed_at="2026-01-01")
    other = _lead("2", full_name="Grace Hopper", last_name="Hopper", claimed_by="ben@x.test", claimed_at="2026-02-01")

    values = _merged(one, other).values

    assert (values["first_name"], values.get("last_name"), values.get("full_name")) == ("Ada", None, None)
    assert (values["claimed_by"], values["claimed_at"]) == ("ann@x.test", "2026-01-01")
    assert _merged(_lead("3"), other).values["full_name"] == "Grace Hopper"


def test_the_later_answer_decides_whether_it_was_positive() -> None:
    one, other = _lead("1", is_positive_reply=True), _lead("2", is_positive_reply=False)
    one.positive_at, other.positive_at = "2026-01-01", "2026-02-01"

    after = _merged(one, other)

    assert (after.values["is_positive_reply"], after.positive_at) == (False, "2026-02-01")
    assert _merged(other, one).values["is_positive_reply"] is False


def test_only_what_people_edit_and_one_side_holds_can_be_chosen() -> None:
    assert {name for name in FIELDS if not choosable(name)} >= {*COUNTERS, "notes", "campaigns", "metadata"}
    assert choosable("title")
    assert choosable("email")
    assert not choosable("nonsense")


def test_a_split_undoes_a_merge_and_keeps_what_was_edited_since() -> None:
    mine, theirs = instantly("mine"), instantly("theirs")
    one = _lead("1", title="CTO", notes=[["1", "a", AT, "u"]], email_open_count=2, metadata={"one": 1})
    other = _lead("2", location="Oslo", notes=[["2", "b", AT, "u"]], email_open_count=3, metadata={"two": 2})
    one.own_counts, other.own_counts = {"email_open_count": 1}, {"email_open_count": 1}
    kept = Link(id="a", connection=mine, key="a", counters={"email_open_count": {"": 1}})
    back = Link(id="b", connection=theirs, key="b", counters={"email_open_count": {"": 2}}, namespace="two")
    after = _merged(one, other)
    now = after.copy()
    now.values |= {
        "title": "CEO", "sender_account": "x@y.test", "metadata": {"one": 1, "two": 3, "new": 4},
        "notes": [["1", "a", AT, "u"], ["2", "b, revised", AT, "u"], ["3", "c", AT, "u"]],
    }  # fmt: skip
    now.origins["sender_account"] = Origin(Source.INSTANTLY, "theirs", AT)

    first, second = split(now, one, after, other, [back], ["mine"])
    count(first, [kept])
    count(second, [back])

    assert (first.values["title"], first.values.get("location"), first.values.get("sender_account")) == (
        "CEO", None, None,
    )  # fmt: skip
    assert (second.values["location"], second.values["sender_account"]) == ("Oslo", "x@y.test")
    assert [entry[1] for entry in first.values["notes"]] == ["a", "c"]
    assert [entry[1] for entry in second.values["notes"]] == ["b, revised"]
    assert (first.values["metadata"], second.values["metadata"]) == ({"one": 1, "new": 4}, {"two": 3})
    assert (first.values["email_open_count"], second.values["email_open_count"]) == (2, 3)
    assert (first.own_counts, second.own_counts) == (one.own_counts, other.own_counts)


def test_a_split_right_after_a_merge_gives_both_back_as_they_were() -> None:
    one = _lead("1", title="CTO", **{"custom.a": 1})
    other = _lead("2", title="CEO", location="Oslo", **{"custom.b": 2})
    after = _merged(one, other, {"title": "other"})

    first, second = split(after, one, after, other, [], [])

    assert (first, second) == (one, other)


def test_notes_keys_and_the_positive_answer_go_back_to_whom_they_came_from() -> None:
    one = _lead("1", notes=[["1", "a", AT, "u"]], metadata={"one": 1})
    other = _lead("2", metadata={"two": 2}, is_positive_reply=True)
    other.positive_at = AT
    after = _merged(one, other)

    first, second = split(after, one, after, other, [], [])

    assert (after.values["is_positive_reply"], after.positive_at) == (True, AT)
    assert (first, second) == (one, other)
