"""The rules of fields that only come in, one value against another."""

from __future__ import annotations

import pytest

from app.domain import rules
from app.domain.policy import Rule
from app.domain.values import JSON, MISSING
from tests.domain.builders import T0, T1

EARLY, LATE = {"step_id": "1", "at": T0}, {"step_id": "2", "at": T1}


@pytest.mark.parametrize("rule", [Rule.FILL, Rule.SET_ONCE, Rule.IDENTITY])
@pytest.mark.parametrize(
    ("here", "there", "yields", "cleared", "expected"),
    [
        (None, "a", False, False, "a"),
        ("", "a", False, False, "a"),
        ("b", "a", False, False, MISSING),
        ("b", "a", True, False, "a"),
        (None, "a", False, True, MISSING),
        ("b", "a", True, True, MISSING),
        (None, None, False, False, MISSING),
        ("b", "", True, False, MISSING),
        (True, False, True, False, False),
    ],
)
def test_only_what_is_free_is_filled(
    rule: Rule, here: JSON, there: JSON, yields: bool, cleared: bool, expected: JSON
) -> None:
    assert rules.take(rule, here, there, yields=yields, cleared=cleared) == expected


@pytest.mark.parametrize(
    ("rule", "here", "there", "expected"),
    [
        (Rule.NEWEST, None, T0, T0),
        (Rule.NEWEST, T0, T1, T1),
        (Rule.NEWEST, T1, T0, MISSING),
        (Rule.NEWEST, T0, T0, MISSING),
        (Rule.NEWEST, T0, None, MISSING),
        (Rule.NEWEST, None, None, MISSING),
        (Rule.OLDEST, None, T1, T1),
        (Rule.OLDEST, T1, T0, T0),
        (Rule.OLDEST, T0, T1, MISSING),
        (Rule.OLDEST, T0, T0, MISSING),
        (Rule.OLDEST, T1, None, MISSING),
        (Rule.OLDEST, None, None, MISSING),
        (Rule.REPLACE, "a", "b", "b"),
        (Rule.REPLACE, "a", None, None),
        (Rule.REPLACE, None, "b", "b"),
        (Rule.REPLACE, None, None, MISSING),
        (Rule.REPLACE, EARLY, LATE, LATE),
        (Rule.REPLACE, LATE, EARLY, MISSING),
        (Rule.REPLACE, EARLY, {"step_id": "3", "at": T0}, {"step_id": "3", "at": T0}),
        (Rule.REPLACE, {"step_id": "1", "at": None}, EARLY, EARLY),
        (Rule.REPLACE, EARLY, {"step_id": "1", "at": None}, MISSING),
        (Rule.REPLACE, {"step_id": "1"}, {"step_id": "2"}, {"step_id": "2"}),
        (Rule.REPLACE, None, EARLY, EARLY),
        (Rule.REPLACE, EARLY, None, None),
        (Rule.LADDER, "new", "opened", "opened"),
        (Rule.LADDER, "opened", "new", MISSING),
        (Rule.LADDER, "opened", "opened", MISSING),
        (Rule.LADDER, "opened", None, MISSING),
        (Rule.LADDER, None, "new", "new"),
        (Rule.LADDER, None, None, MISSING),
        (Rule.LADDER, None, "bounced", "bounced"),
        (Rule.LADDER, "emailed", "bounced", "bounced"),
        (Rule.LADDER, "bounced", "emailed", MISSING),
        (Rule.LADDER, "emailed", "emailed", MISSING),
        (Rule.LADDER, None, "not_yet_emailed", "not_yet_emailed"),
        # `replied` stands on both ladders: it is judged by the one that the lead stands on
        (Rule.LADDER, "contacted", "replied", "replied"),
        (Rule.LADDER, "won", "replied", MISSING),
        (Rule.LADDER, "won", "emailed", MISSING),
    ],
)
def test_a_value_of_a_source_meets_its_rule(rule: Rule, here: JSON, there: JSON, expected: JSON) -> None:
    assert rules.take(rule, here, there, yields=False, cleared=False) == expected


@pytest.mark.parametrize(
    ("here", "here_at", "there", "there_at", "expected"),
    [
        (None, None, False, None, True),
        (None, T1, True, T0, True),
        (True, T0, False, T1, True),
        (False, T0, True, T1, True),
        (False, T1, True, T0, False),
        (True, T0, False, T0, True),
        (False, T0, True, T0, False),
        (True, T0, True, T0, False),
        (True, None, False, None, True),
        (False, None, True, None, False),
        (False, None, True, T0, True),
        (True, T0, False, None, False),
    ],
)
def test_the_later_event_decides_and_at_equal_times_the_negative_one(
    here: bool | None, here_at: str | None, there: bool, there_at: str | None, expected: bool
) -> None:
    assert rules.later_event(here, here_at, there, there_at) is expected


@pytest.mark.parametrize(
    ("base", "here", "there", "expected"),
    [
        (MISSING, None, {"a": 1}, {"a": 1}),
        (MISSING, "text", {"a": 1}, {"a": 1}),
        ({}, {"b": 2}, {"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 5}, {"a": 1}, {"a": 5}),
        ({"a": 1}, {"a": 5}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 1}, {}, {"a": 1}),
        ({"a": {"x": 1}}, {"a": {"x": 5, "y": 2}}, {"a": {"x": 1, "z": 3}}, {"a": {"x": 5, "y": 2, "z": 3}}),
        ({}, {"a": {"y": 2}}, {"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}),
        ({}, {"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": None}, {}, {"a": None}, {}),
        ({}, {}, {"a": None}, {"a": None}),
    ],
)
def test_keys_are_merged_that_are_new_since_the_base(base: JSON, here: JSON, there: JSON, expected: JSON) -> None:
    before = str((base, here, there))

    assert rules.merge_keys(base, here, there) == expected
    assert rules.unite_objects(base, here, there, T0) == (expected, there)
    assert str((base, here, there)) == before


@pytest.mark.parametrize(
    ("base", "here", "there", "expected"),
    [
        (MISSING, ["b"], ["a"], ["a", "b"]),
        (MISSING, None, None, None),
        (["a"], ["a", "b"], ["a"], ["a", "b"]),
        (["a"], ["a"], ["a", "c"], ["a", "c"]),
        (["a", "b"], ["a"], ["a", "b"], ["a"]),
        (["a", "b"], ["a", "b"], ["b"], ["b"]),
        (["a"], ["a"], None, None),
        (["a"], None, ["a"], None),
        (None, ["a"], ["a"], ["a"]),
    ],
)
def test_a_set_takes_the_additions_and_removals_of_both_sides(
    base: JSON, here: JSON, there: JSON, expected: JSON
) -> None:
    assert rules.unite_sets(base, here, there, T0) == (expected, there)
