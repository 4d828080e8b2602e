"""Planning, applying and editing, beside the cases and stories of the merge policy."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.lead import Origin, SetField
from app.domain.plan import apply, edit
from app.domain.policy import Source
from tests.domain.builders import T0, T1, lead

PERSON = Origin(Source.USER, None, T1)


def test_an_action_that_nobody_knows_is_refused_and_not_skipped() -> None:
    with pytest.raises(AssertionError):
        apply(lead(), [], ["clear everything"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("change", "cleared"),
    [
        ({"value": None, "clears": True}, {"title", "phone"}),
        ({"value": None, "clears": False}, {"phone"}),
        ({"value": "CEO", "clears": False}, {"phone"}),
    ],
    ids=["emptied on purpose", "emptied by the way", "given a value"],
)
def test_a_field_is_marked_as_cleared_only_by_who_means_it(change: dict[str, Any], cleared: set[str]) -> None:
    before = lead({"title": "CFO"}, cleared=frozenset({"phone"}))
    set_title = SetField(field="title", old="CFO", rule="user", origin=PERSON, **change)

    assert apply(before, [], [set_title])[0].cleared == cleared


def test_a_cleared_field_that_is_emptied_again_stays_cleared_and_one_that_gets_a_value_does_not() -> None:
    before = lead({"title": None}, cleared=frozenset({"title"}))
    emptied = SetField(field="title", value=None, old=None, rule="user", origin=PERSON)
    filled = SetField(field="title", value="CEO", old=None, rule="user", origin=PERSON)

    assert apply(before, [], [emptied])[0].cleared == {"title"}
    assert apply(before, [], [emptied, filled])[0].cleared == set()


def test_only_the_reply_itself_moves_the_time_of_the_reply() -> None:
    before = lead({"is_positive_reply": True}, positive_at=T0)
    other = SetField(field="title", value="CEO", old=None, rule="user", origin=PERSON, event_at=T1)
    reply = SetField(field="is_positive_reply", value=False, old=True, rule="user", origin=PERSON, event_at=T1)

    assert apply(before, [], [other])[0].positive_at == T0
    assert apply(before, [], [reply])[0].positive_at == T1


def test_an_edit_is_a_persons_and_says_what_was_there() -> None:
    (action,) = edit(lead({"title": "CFO"}), {"title": "CEO"}, PERSON)

    assert action == SetField(field="title", value="CEO", old="CFO", rule="user", origin=PERSON)


def test_an_edit_that_empties_a_field_means_it_where_the_field_may_be_empty() -> None:
    edited = edit(lead({"title": "CFO", "notes": []}), {"title": None, "notes": None}, PERSON)

    assert [(a.field, a.clears) for a in edited if isinstance(a, SetField)] == [("title", True), ("notes", False)]


def test_a_person_who_confirms_a_derived_half_makes_it_their_own() -> None:
    known, _ = apply(lead(), [], edit(lead(), {"full_name": "Ada Lovelace"}, PERSON))
    confirmed = edit(known, {"first_name": "Ada"}, PERSON)

    assert known.derived == {"first_name", "last_name"}
    assert [(a.field, a.value, a.derived) for a in confirmed if isinstance(a, SetField)] == [
        ("first_name", "Ada", False)
    ]
    assert apply(known, [], confirmed)[0].derived == {"last_name"}
