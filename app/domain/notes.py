"""Notes: a list of entries here, one text cell there.

An entry is `[key, text, at, by]`; the cell holds the entries' texts, one below the other. What a person does in the
cell is read back entry by entry against what the cell held before: text added becomes an entry, text changed inside an
entry revises it (the history keeps the old text), and text removed removes nothing: the entry is written back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.fuzz import ratio, token_set_ratio

from app.domain.values import JSON, MISSING, Missing

#: How much alike (of 100), letter by letter or word by word, an entry's text is before and after an edit.
LIKE = 60.0
#: Entries times lines that are compared at most: a fifth of a second. A cell rewritten beyond that is all new.
MOST = 20_000

#: `[key, text, at, by]`; in a base only `[key, text]`
Entry = list[JSON]


def render(entries: Sequence[Entry] | None) -> str | None:
    """Returns the text of all entries as a cell shows it, or None where there are none."""
    return "\n".join(str(entry[1]) for entry in entries) if entries else None


def freeze(entries: Sequence[Entry] | None) -> list[Entry]:
    """Returns the entries as a base keeps them: key and text."""
    return [entry[:2] for entry in entries or []]


def same(entries: Sequence[Entry] | None, text: str | None) -> bool:
    """Tells whether the cell shows exactly these entries (white space at line ends aside)."""
    return _lines(render(entries)) == _lines(text)


def entry(text: str, *, at: str, by: str) -> Entry:
    """Makes an entry whose key depends on its content and origin only, so that reading it twice makes one entry."""
    digest = hashlib.sha256(f"{by}\n{at}\n{text}".encode()).hexdigest()[:16]
    return [digest, text, at, by]


def unite(
    base: JSON | Missing, entries: Sequence[Entry] | None, text: str | None, at: str, *, by: str
) -> tuple[list[Entry], list[Entry]]:
    """Reads a cell that changed from `base` to `text` into the entries here.

    Returns the united entries, and those of them the cell holds already (`[key, text]`).
    """
    here = [list(e) for e in entries or []]
    known = freeze(here) if base is MISSING else [list(e) for e in base or []]
    there: list[Entry] = []
    for piece in _align(known, text or "", strict=base is MISSING):
        if not piece.text:
            continue  # removed there: removes nothing here
        if piece.old is None:
            fresh = entry(piece.text, at=at, by=by)
            if fresh[0] not in {e[0] for e in here}:
                _insert_after(here, there[-1][0] if there else None, fresh)
            there.append(fresh[:2])
        else:
            there.append(_revise(here, piece, at=at, by=by))
    return here, there


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the cell: the entry it was before (None: new), and its text now ("": removed)."""

    old: Entry | None
    text: str


def _revise(here: list[Entry], piece: _Piece, *, at: str, by: str) -> Entry:
    """Gives an entry its new text, unless it was changed or taken away here as well: then the new text is an entry."""
    assert piece.old is not None
    key, before = piece.old
    mine = next((e for e in here if e[0] == key), None)
    if piece.text == before or (mine is not None and mine[1] == piece.text):
        return [key, piece.text]
    if mine is None or mine[1] != before:
        fresh = entry(piece.text, at=at, by=by)
        _insert_after(here, key, fresh)
        return fresh[:2]
    mine[1] = piece.text
    return [key, piece.text]


def _insert_after(here: list[Entry], key: str | None, fresh: Entry) -> None:
    """Puts an entry behind another one (None: in front of all; one that is not here: behind all)."""
    index = -1 if key is None else next((i for i, e in enumerate(here) if e[0] == key), len(here) - 1)
    here.insert(index + 1, fresh)


def _align(known: list[Entry], text: str, *, strict: bool) -> list[_Piece]:
    """Splits a cell's text into the entries it held before and what was written between, over or instead of them.

    With `strict` (no base: nobody knows what the cell held before) an entry that does not occur is not there at all,
    instead of changed.
    """
    pieces: list[_Piece] = []
    position, missing = 0, []
    for old in known:
        found = _find(text, old[1], position)
        if found < 0:
            missing.append(old)
            continue
        pieces += _gap(missing if not strict else [], text[position:found])
        pieces.append(_Piece(old, old[1]))
        position, missing = found + len(old[1]), []
    return pieces + _gap(missing if not strict else [], text[position:])


def _gap(missing: list[Entry], between: str) -> list[_Piece]:
    """The text between two unchanged entries: what is like an entry missing there was that entry, the rest is new."""
    pieces: list[_Piece] = []
    lines = between.splitlines()
    for old in missing if len(missing) * len(lines) <= MOST else ():
        start, end = _likest(old[1], lines)
        if start < end:
            pieces += [_Piece(None, _text(lines[:start])), _Piece(old, _text(lines[start:end]))]
            lines = lines[end:]
    return [*pieces, _Piece(None, _text(lines))]


def _likest(entry_text: str, lines: list[str]) -> tuple[int, int]:
    """Returns from where to where the lines are most like an entry; an empty stretch where none are like it."""
    height = entry_text.count("\n") + 1
    best, place = 0.0, (0, 0)
    for start in range(len(lines)):
        for end in {min(start + height + more, len(lines)) for more in (-1, 0, 1)} - {start}:
            now = _text(lines[start:end])
            likeness = ratio(entry_text, now)
            if likeness > best and max(likeness, token_set_ratio(entry_text, now)) >= LIKE:
                best, place = likeness, (start, end)
    return place


def _text(lines: list[str]) -> str:
    return "\n".join(lines).strip()


def _find(text: str, entry_text: str, start: int) -> int:
    """Finds an entry standing on lines of its own."""
    while (found := text.find(entry_text, start)) >= 0:
        end = found + len(entry_text)
        if (found == 0 or text[found - 1] == "\n") and (end == len(text) or text[end] in "\r\n"):
            return found
        start = found + 1
    return -1


def _lines(text: str | None) -> list[str]:
    return [line.rstrip() for line in (text or "").strip().splitlines()]
