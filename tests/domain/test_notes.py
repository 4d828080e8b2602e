"""Notes: entries here, one text there, and no text is ever lost between them."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import notes
from app.domain.values import MISSING
from tests.domain.builders import T0, T1
from tests.domain.strategies import law

LINES = st.sampled_from(("called", "called again", "wants a demo", "x", "called\nleft a message"))


def _entries(*texts: str) -> list[notes.Entry]:
    return [notes.entry(text, at=T0, by=f"person {n}") for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("before", "here", "text", "expected"),
    [
        (["a"], ["a"], "a\nb", ["a", "b"]),
        (["a", "b"], ["a", "b"], "a\nnew\nb", ["a", "new", "b"]),
        (["a", "b"], ["a", "b"], "a changed\nb", ["a changed", "b"]),
        (["a", "b"], ["a", "b"], "b", ["a", "b"]),
        (["a", "b"], ["a", "b"], "", ["a", "b"]),
        (["a", "b"], ["a", "b"], "something else", ["something else", "a", "b"]),
        (["First call", "Sent it"], ["First call", "Sent it"], "Sent it (v2)\nSigned",
         ["First call", "Sent it (v2)", "Signed"]),
        (["Rang\ntwice", "b"], ["Rang\ntwice", "b"], "new\nRang\nthree times\nb", ["new", "Rang\nthree times", "b"]),
        (["call", "call back"], ["call", "call back"], "call back", ["call", "call back"]),
        (["a"], ["a", "ours"], "a\ntheirs", ["a", "theirs", "ours"]),
        (["a"], ["a mine"], "a theirs", ["a mine", "a theirs"]),
        (["a"], ["a both"], "a both", ["a both"]),
        (["a", "b"], ["b"], "a theirs\nb", ["b", "a theirs"]),
        (["a", "b"], ["b"], "a\nb", ["b"]),
        (["a", "b"], ["b"], "a\nnew\nb", ["b", "new"]),
        (["a"], ["a"], "a\r\nb", ["a", "b"]),
    ],
    ids=[
        "appended", "put between", "edited inside", "removed: nothing is removed here", "all removed",
        "written over", "changed where another one was removed", "several lines, changed and moved down",
        "an entry inside another is not it", "appended on both sides", "edited on both sides",
        "edited alike", "edited there, taken away here", "taken away here", "put behind what was taken away here",
        "line ends of another system",
    ],
)  # fmt: skip
def test_a_changed_cell(before: list[str], here: list[str], text: str, expected: list[str]) -> None:
    known = _entries(*before)
    mine = []
    for n, words in enumerate(here):
        same = next((e for e in known if e[1] == words or e[1] == words.split()[0] != "ours"), None)
        mine.append([same[0], words, T0, "x"] if same else notes.entry(words, at=T0, by=f"me {n}"))

    united, there = notes.unite(notes.freeze(known), mine, text, at=T1, by="table")

    assert [e[1] for e in united] == expected
    assert "\n".join(e[1] for e in there) == text.replace("\r\n", "\n")
    assert there == notes.freeze(there), "a base keeps key and text"


def test_text_read_twice_makes_one_entry() -> None:
    once, _ = notes.unite([], [], "new", at=T1, by="table")
    twice, there = notes.unite([], once, "new", at=T1, by="table")

    assert once == twice
    assert there == notes.freeze(once)


@pytest.mark.parametrize(
    ("ours", "text", "united", "there"),
    [
        (["ours"], "theirs", ["theirs", "ours"], ["theirs"]),
        (["ours", "same"], "theirs\nsame", ["theirs", "ours", "same"], ["theirs", "same"]),
        (["same", "ours"], "same\ntheirs", ["same", "theirs", "ours"], ["same", "theirs"]),
    ],
)
def test_without_a_base_what_is_not_in_the_cell_is_not_there_instead_of_changed(
    ours: list[str], text: str, united: list[str], there: list[str]
) -> None:
    found, shown = notes.unite(MISSING, _entries(*ours), text, at=T1, by="table")

    assert ([e[1] for e in found], [e[1] for e in shown]) == (united, there)


def test_an_entry_is_known_by_its_words_its_origin_and_its_time() -> None:
    """Keys are stored: one that was made differently would make every note twice."""
    assert notes.entry("called", at=T0, by="ann") == ["3c2303f6c0db22e6", "called", T0, "ann"]


def test_a_cell_rewritten_as_a_whole_is_read_in_bounded_time_and_loses_nothing() -> None:
    known = _entries(*(f"call {n}" for n in range(300)))

    united, _ = notes.unite(notes.freeze(known), known, "\n".join(f"Call {n}!" for n in range(300)), at=T1, by="table")

    assert {e[1] for e in known} < {e[1] for e in united}


def test_a_long_note_is_held_against_other_text_in_bounded_time() -> None:
    known = _entries("ac\n" * 4_999 + "ac")
    began = process_time()

    united, _ = notes.unite(notes.freeze(known), known, "bd\n" * 5_000, at=T1, by="table")

    assert len(united) == 2
    assert process_time() - began < 5


def test_a_word_changed_in_a_long_note_revises_it() -> None:
    lines = [f"line {n} of the call with Ann" for n in range(500)]
    known = _entries("\n".join(lines))

    united, _ = notes.unite(notes.freeze(known), known, "\n".join([*lines[:-1], "bye"]), at=T1, by="table")

    assert [e[1].splitlines()[-1] for e in united] == ["bye"]


def test_no_entries_are_no_text() -> None:
    assert (notes.render(None), notes.freeze(None), notes.unite([], None, None, at=T1, by="t")) == (None, [], ([], []))


@law
@given(st.lists(LINES, max_size=4), st.lists(LINES, max_size=4), st.lists(LINES, max_size=5))
def test_no_text_is_lost_and_no_entry_removed(before: list[str], more: list[str], shown: list[str]) -> None:
    known = _entries(*before)
    mine = [*known, *(notes.entry(text, at=T1, by="me") for text in dict.fromkeys(more))]
    text = "\n".join(shown)

    united, there = notes.unite(notes.freeze(known), mine, text, at=T1, by="table")

    rendered = (notes.render(united) or "").splitlines()
    assert set(text.splitlines()) <= set(rendered)
    assert [e[0] for e in united if e[0] in {m[0] for m in mine}] == [m[0] for m in mine]
    assert "\n".join(e[1] for e in there).split() == text.split()


@law
@given(st.lists(LINES, max_size=4), st.lists(LINES, max_size=5))
def test_after_writing_the_notes_there_both_sides_agree(before: list[str], shown: list[str]) -> None:
    united, _ = notes.unite(notes.freeze(_entries(*before)), _entries(*before), "\n".join(shown), at=T1, by="table")

    written = notes.render(united)

    assert notes.same(united, written)
    again, _ = notes.unite(notes.freeze(united), united, written, at=T1, by="table")
    assert again == united
