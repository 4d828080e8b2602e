"""Survivorship: what becomes of every field when two leads are one, and when they are two again."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import notes
from app.domain.lead import Lead, Link, Origin
from app.domain.policy import COUNTERS, FIELDS, Source
from app.domain.survivorship import Side, choosable, count, decide, merged, split
from tests.domain.builders import T0, T1, instantly
from tests.domain.strategies import INCOMING, TEXTS, VALUES, Pick, law

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


def test_fields_that_belong_together_are_chosen_together_unless_each_is_named() -> None:
    one = _lead("1", full_name="A. Berg", first_name="A.", last_name="Berg", claimed_by="ann@x.test", claimed_at=T0)
    other = _lead("2", full_name="Anna Bos", first_name="Anna", last_name="Bos", claimed_by="ben@x.test", claimed_at=T1)

    values = _merged(one, other, {"first_name": "other", "last_name": "survivor", "claimed_by": "other"}).values

    assert [values[name] for name in ("full_name", "first_name", "last_name")] == ["Anna Bos", "Anna", "Berg"]
    assert (values["claimed_by"], values["claimed_at"]) == ("ben@x.test", T1)


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
    theirs = instantly("theirs")
    one = _lead("1", title="CTO", notes=[["1", "a", AT, "u"]], email_open_count=2, metadata={"one": 1})
    other = _lead("2", location="Oslo", notes=[["2", "b", AT, "u"]], email_open_count=3, metadata={"two": 2})
    one.own_counts, other.own_counts = {"email_open_count": 1}, {"email_open_count": 1}

    back = Link(id="b", connection=theirs, key="b", counters={"email_open_count": {"": 2}}, namespace="two")
    after = _merged(one, other)
    now = after.copy()
    now.values |= {
        "title": "CEO", "sender_account": "x@y.test", "metadata": {"one": 1, "two": 3, "new": 4},
        "notes": [["1", "a", AT, "u"], ["2", "b, revised", AT, "u"], ["3", "c", AT, "u"], ["4", "d", AT, "theirs"]],
    }  # fmt: skip
    now.origins["sender_account"] = Origin(Source.INSTANTLY, "theirs", AT)

    first, second, again = split(now, one, after, other, [back], ["mine"])
    count(first, {"email_open_count": 1})
    count(second, {"email_open_count": 2})

    assert (first.values["title"], first.values.get("location"), first.values.get("sender_account")) == (
        "CEO", None, None,
    )  # fmt: skip
    assert (second.values["location"], second.values["sender_account"]) == ("Oslo", "x@y.test")
    assert [entry[1] for entry in first.values["notes"]] == ["a", "c"]
    assert [entry[1] for entry in second.values["notes"]] == ["b, revised", "d"]
    # what its campaign has changed since is said again, to whom it belongs
    assert (first.values["metadata"], second.values["metadata"]) == ({"one": 1, "new": 4}, {"two": 2})
    assert again == {"metadata"}
    assert (first.values["email_open_count"], second.values["email_open_count"]) == (2, 3)
    assert (first.own_counts, second.own_counts) == (one.own_counts, other.own_counts)


def test_what_records_of_one_connection_said_since_is_said_again_and_what_people_did_stays() -> None:
    shared = instantly("shared")
    one, other = _lead("1", status="contacted", campaigns=["A"]), _lead("2", status="opened", campaigns=["B"])
    after = _merged(one, other)
    now = after.copy()
    now.values |= {"status": "replied", "title": "CEO", "campaigns": ["A", "B", "C"]}
    now.origins["status"] = Origin(Source.INSTANTLY, "shared", AT)

    first, second, again = split(now, one, after, other, [Link(id="b", connection=shared, key="b")], ["shared"])

    assert again == {"status"}
    assert (first.values["status"], second.values["status"]) == ("contacted", "opened")
    assert (first.values["title"], first.values["campaigns"]) == ("CEO", ["A", "C"])


def test_a_lead_merged_in_later_gives_what_the_one_that_leaves_had_given() -> None:
    one = _lead("1", phone="1", is_positive_reply=True, metadata={"mine": 1}, campaigns=["A"])
    one.values |= {"notes": [["1", "a", AT, "u"]], "custom.x": {"deep": {"a": 1}}, "custom.y": {"a": 1}}
    one.positive_at = "2026-01-01T00:00:00.000Z"
    two = _lead("2", title="CEO", location="Oslo", full_name="Two Lead", first_name="Two", campaigns=["B"])
    two.values |= {"email_open_count": 1, "is_positive_reply": False, "metadata": {"hers": 2}}
    two.values |= {"custom.x": {"deep": {"b": 2}}, "custom.y": {"b": 2}}
    two.positive_at = "2026-02-01T00:00:00.000Z"
    three = _lead("3", title="CFO", full_name="Lead Three", last_name="Three", metadata={"hers": 3, "third": 3})
    for lead in (one, two, three):
        lead.own_counts = {"email_open_count": lead.values.get("email_open_count", 0)}
    with_two = _merged(one, two)
    now = _merged(with_two, three)
    now.values["custom.x"] = {"deep": {"a": 1, "b": 2, "since": 3}}

    left, back, again = split(now, one, with_two, two, [], [], [three])

    assert again == set()
    assert back.values == two.values
    assert (left.values["title"], left.values.get("location"), left.values["phone"]) == ("CFO", None, "1")
    assert (left.values["full_name"], left.values.get("first_name")) == ("Lead Three", None)
    assert left.values["metadata"] == {"mine": 1, "hers": 3, "third": 3}
    assert left.values["custom.x"] == {"deep": {"a": 1, "since": 3}}
    assert left.values["custom.y"] == {"a": 1}
    assert (left.values["notes"], left.values["campaigns"]) == (one.values["notes"], ["A"])
    assert (left.values["is_positive_reply"], left.positive_at) == (True, "2026-01-01T00:00:00.000Z")


def _anybody(pick: Pick, lead_id: str) -> Lead:
    """A lead that holds something of about every other field."""
    lead = Lead(id=lead_id, own_counts={name: 1 + pick.one(range(3)) for name in COUNTERS if pick.chance(2)})
    for name, known in {**INCOMING, **{name: values for name, (values, _) in VALUES.items()}}.items():
        if name in COUNTERS or name == "notes" or pick.chance(2):
            continue
        value = pick.one(known)
        if name == "is_positive_reply":
            value, lead.positive_at = value["value"], value["at"]
        lead.values[name] = value or None
        lead.untouched -= {name}
        lead.origins[name] = Origin(Source.USER, None, AT)
        lead.cleared |= {name} if value is None and pick.chance(2) else set()
    lead.values["custom.x"] = {key: pick.one("12") for key in pick.some("pqr", 2)} or None
    lead.values["notes"] = [notes.entry(text, at=AT, by=lead_id) for text in pick.some(TEXTS, 2)] or None
    count(lead, {})
    return lead


def _known(lead: Lead) -> Lead:
    """The lead without what is empty, which need not be there."""
    return replace(lead, values={name: value for name, value in lead.values.items() if value not in (None, 0)})


@law
@given(st.binary(min_size=250, max_size=250))
def test_a_merge_makes_what_its_decisions_say_and_a_split_gives_both_back(data: bytes) -> None:
    pick = Pick(data)
    one, other = _anybody(pick, "1"), _anybody(pick, "2")
    choices: dict[str, Side] = {name: pick.one(("survivor", "other")) for name in FIELDS if choosable(name)}
    choices = {name: side for name, side in choices.items() if pick.chance(4)}
    before = copy.deepcopy((one, other))

    decisions = decide(one, other, choices)
    after, _ = merged(one, other, decisions, AT)

    assert (one, other) == before
    said = {decision.field: decision.value for decision in decisions}
    assert {name: after.values.get(name) for name in said} == said
    assert _known(replace(after, values={**after.values, **dict.fromkeys(said)})).values == {}
    first, second, again = split(after, one, after, other, [], [])
    assert (_known(first), _known(second), again) == (_known(one), _known(other), set())


@law
@given(st.binary(min_size=370, max_size=370))
def test_of_two_merges_the_first_can_be_undone_first(data: bytes) -> None:
    pick = Pick(data)
    one, two, three = (_anybody(pick, lead_id) for lead_id in "123")
    with_two = _merged(one, two)
    with_both = _merged(with_two, three)

    without_two, back, _ = split(with_both, one, with_two, two, [], [], [three])
    count(without_two, {})
    before, after = split(with_two, one, with_two, two, [], [])[0], without_two
    left, last, _ = split(without_two, before, after, three, [], [])
    count(left, {})

    assert _known(without_two).values == _known(_merged(one, three)).values
    assert (_known(left), _known(back), _known(last)) == (_known(one), _known(two), _known(three))
