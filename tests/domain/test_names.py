"""A name in its three fields: derived halves, particles, edits of either side."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.names import join, parse, settle

FULL, FIRST, LAST = "full_name", "first_name", "last_name"
BOTH = frozenset({FIRST, LAST})

WORDS = st.sampled_from(["Ada", "Anna", "Berg", "van", "der", "de", "Van", "'t", "dr.", "PhD", "Ma", ",", "Lovelace"])
NAMES = st.none() | st.lists(WORDS, min_size=1, max_size=4).map(" ".join) | st.text(min_size=1, max_size=8)
CHANGES = st.lists(
    st.dictionaries(st.sampled_from([FULL, FIRST, LAST]), NAMES, min_size=1, max_size=3), min_size=1, max_size=5
)
Values = dict[str, Any]


def values(full: str | None, first: str | None, last: str | None) -> Values:
    return {FULL: full, FIRST: first, LAST: last}


@pytest.mark.parametrize(
    ("full", "first", "last"),
    [
        (None, None, None),
        ("  ", None, None),
        ("Ada", "Ada", None),
        ("Ada Lovelace", "Ada", "Lovelace"),
        (" Ada \n  Lovelace ", "Ada", "Lovelace"),
        ("Mary Jane Watson", "Mary Jane", "Watson"),
        ("Anna van der Berg", "Anna", "van der Berg"),
        ("Anna Maria de Vries", "Anna Maria", "de Vries"),
        ("Jan 't Hart", "Jan", "'t Hart"),
        ("Piet Van den Broeck", "Piet", "Van den Broeck"),
        ("Anna Van", "Anna", "Van"),
        ("van der Berg", None, "van der Berg"),
        ("De Vries", None, "De Vries"),
        ("Van den Berg", None, "Van den Berg"),
        ("van", "van", None),
        ("van Berg", None, "van Berg"),
        ("Van Morrison", "Van", "Morrison"),
        ("Lovelace, Ada", "Ada", "Lovelace"),
        ("Berg, Anna van der", "Anna", "van der Berg"),
        ("van der Berg, Anna", "Anna", "van der Berg"),
        ("Berg, van", "van", "Berg"),
        ("Watson, Mary Jane", "Mary Jane", "Watson"),
        ("Lovelace,", "Lovelace", None),
        (", Ada", "Ada", None),
        ("dr. Ada Lovelace", "Ada", "Lovelace"),
        ("Prof. dr. Ada Lovelace", "Ada", "Lovelace"),
        ("Lovelace, dr. Ada", "Ada", "Lovelace"),
        ("dr.", "dr.", None),
        ("Ada Lovelace, Ph.D.", "Ada", "Lovelace"),
        ("Lovelace, Ada, PhD", "Ada", "Lovelace"),
        ("Smith, Ma", "Ma", "Smith"),
    ],
)
def test_a_whole_name_has_two_halves(full: str | None, first: str | None, last: str | None) -> None:
    assert parse(full) == (first, last)


@pytest.mark.parametrize(
    ("first", "last", "full"),
    [("Ada", "Lovelace", "Ada Lovelace"), ("Ada", None, "Ada"), (None, "de Vries", "de Vries"), (None, " ", None)],
)
def test_two_halves_make_a_whole(first: str | None, last: str | None, full: str | None) -> None:
    assert join(first, last) == full


@pytest.mark.parametrize(
    ("before", "after", "given_fields", "derived", "expected", "still_derived"),
    [
        pytest.param(
            values(None, None, None), values("Ada Lovelace", None, None), {FULL}, frozenset(),
            values("Ada Lovelace", "Ada", "Lovelace"), BOTH,
            id="halves nobody gave are derived from the whole",
        ),
        pytest.param(
            values(None, None, None), values(None, "Ada", "Lovelace"), BOTH, frozenset(),
            values("Ada Lovelace", "Ada", "Lovelace"), {FULL},
            id="a whole nobody gave is derived from the halves",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Grace Hopper", "Ada", "Lovelace"), {FULL}, BOTH,
            values("Grace Hopper", "Grace", "Hopper"), BOTH,
            id="derived halves follow the whole",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada", "Ada", "Lovelace"), {FULL}, BOTH,
            values("Ada", "Ada", None), {FIRST},
            id="a derived half that the whole no longer shows is cleared",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Lovelace", "Ada", "Lovelace"), {FULL}, BOTH,
            values("Lovelace", "Lovelace", None), {FIRST},
            id="a single word is a first name where nobody gave it as the last",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada", "Ada", "Lovelace"), {FULL}, frozenset({FULL}),
            values("Ada", "Ada", "Lovelace"), set(),
            id="a given half that the whole does not show stays",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada Byron", "Ada", "Lovelace"),
            {FULL}, frozenset({FULL}),
            values("Ada Byron", "Ada", "Byron"), {LAST},
            id="only the half that differs is rewritten",
        ),
        pytest.param(
            values("Anna Berg", "Anna", "Berg"), values("Anna van der Berg", "Anna", "van der Berg"),
            {FULL, LAST}, frozenset({FIRST}),
            values("Anna van der Berg", "Anna", "van der Berg"), {FIRST},
            id="both given, both kept",
        ),
        pytest.param(
            values(None, None, None), values("Ada Lovelace", "Augusta", "King"), {FULL, *BOTH}, frozenset(),
            values("Ada Lovelace", "Augusta", "King"), set(),
            id="all given, all kept, also when they disagree",
        ),
        pytest.param(
            values(None, None, None), values("Ada Lovelace", "Augusta", None), {FULL, FIRST}, frozenset(),
            values("Ada Lovelace", "Augusta", "Lovelace"), {LAST},
            id="the half that was not given comes from the whole that was",
        ),
        pytest.param(
            values("Anna Berg", "Anna", "Berg"), values("Berg, Anna", "Anna", "Berg"), {FULL}, frozenset(),
            values("Berg, Anna", "Anna", "Berg"), set(),
            id="another spelling of the whole rewrites nothing",
        ),
        pytest.param(
            values("van der Berg, Anna", "Anna", None), values("van der Berg, Anna", "Anna", "van der Berg"),
            {LAST}, frozenset(),
            values("van der Berg, Anna", "Anna", "van der Berg"), set(),
            id="van der Berg survives",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada Lovelace", "Ada", "King"), {LAST}, BOTH,
            values("Ada King", "Ada", "King"), {FIRST, FULL},
            id="an edited half rewrites the whole",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values(None, "Ada", "Lovelace"), {FULL}, frozenset({FIRST}),
            values(None, None, "Lovelace"), set(),
            id="clearing the whole clears the derived half only",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada Lovelace", None, None), BOTH, frozenset({FULL}),
            values(None, None, None), set(),
            id="clearing both halves clears a derived whole",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada Lovelace", None, None), BOTH, frozenset(),
            values("Ada Lovelace", None, None), set(),
            id="clearing both halves leaves a given whole",
        ),
        pytest.param(
            values(None, None, None), values(None, None, "Lovelace"), {LAST}, frozenset(),
            values("Lovelace", None, "Lovelace"), {FULL},
            id="a family name alone makes a whole",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Lovelace", "Ada", "Lovelace"),
            {FULL}, frozenset({FIRST}),
            values("Lovelace", None, "Lovelace"), set(),
            id="a whole that is the given family name is no first name",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada Lovelace", "Ada", "Lovelace"), {FIRST}, BOTH,
            values("Ada Lovelace", "Ada", "Lovelace"), {LAST},
            id="a derived half that a source now gives is given",
        ),
        pytest.param(
            values("Ada Lovelace", "Ada", "Lovelace"), values("Ada Lovelace", "Ada", "King"), set(), BOTH,
            values("Ada Lovelace", "Ada", "King"), BOTH,
            id="nothing given, nothing done",
        ),
    ],
)  # fmt: skip
def test_names_are_settled(
    before: Values, after: Values, given_fields: set[str], derived: frozenset[str], expected: Values,
    still_derived: set[str],
) -> None:  # fmt: skip
    found = settle(before, after, given_fields, derived)

    assert after == expected
    assert found == still_derived


def test_a_half_with_a_clear_mark_stays_empty() -> None:
    after = values("Ada King", "Ada", None)

    found = settle(values("Ada Lovelace", "Ada", None), after, {FULL}, frozenset({FIRST}), cleared={LAST})

    assert after == values("Ada King", "Ada", None)
    assert found == {FIRST}


def test_a_whole_with_a_clear_mark_stays_empty() -> None:
    after = values(None, "Ada", None)

    assert settle(values(None, None, None), after, {FIRST}, frozenset(), cleared={FULL}) == frozenset()
    assert after == values(None, "Ada", None)


@given(CHANGES)
@settings(max_examples=200)
def test_settled_names_stay_settled(changes: list[Values]) -> None:
    now: Values = values(None, None, None)
    derived: frozenset[str] = frozenset()
    for change in changes:
        before, now = now, now | change
        derived = settle(before, now, set(change), derived)
        settled = dict(now)

        assert {name: now[name] for name in change} == change  # what was given is kept
        assert settle(before, now, set(), derived) == derived
        assert settle(now, now, set(), derived) == derived
        assert settle(settled, now, set(change), derived) == derived  # our own echo
        assert now == settled
        assert all(now[name] is not None for name in derived)


@given(NAMES)
def test_a_whole_and_its_derived_halves_never_move_each_other(full: str | None) -> None:
    now = values(full, None, None)
    derived = settle(values(None, None, None), now, {FULL}, frozenset())
    settled = dict(now)

    settle({}, now, {FIRST, LAST}, derived)

    assert now[FULL] == settled[FULL]
