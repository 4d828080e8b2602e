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
#: Entries times lines, and letters times letters, that are compared at most: a fifth of a second. Of an entry beyond
#: that only all that was written in its place is held against it, and a cell rewritten beyond that is all new.
MOST, MOST_LETTERS = 20_000, 4_000_000_000

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
    mine = {e[0]: e for e in reversed(here)}
    known = freeze(here) if base is MISSING else [list(e) for e in base or []]
    there: list[Entry] = []
    for piece in _align(known, text or "", strict=base is MISSING):
        if not piece.text:
            continue  # removed there: removes nothing here
        if piece.old is None:
            fresh = entry(piece.text, at=at, by=by)
            if fresh[0] not in mine:
                _insert_after(here, there[-1][0] if there else None, fresh)
                mine[fresh[0]] = fresh
            there.append(fresh[:2])
        else:
            there.append(_revise(here, mine, piece, at=at, by=by))
    return here, there


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the cell: the entry it was before (None: new), and its text now ("": removed)."""

    old: Entry | None
    text: str


def _revise(here: list[Entry], mine: dict[JSON, Entry], piece: _Piece, *, at: str, by: str) -> Entry:
    """Gives an entry its new text, unless it was changed or taken away here as well: then the new text is an entry."""
    assert piece.old is not None
    key, before = piece.old
    own = mine.get(key)
    if piece.text == before or (own is not None and own[1] == piece.text):
        return [key, piece.text]
    if own is None or own[1] != before:
        fresh = entry(piece.text, at=at, by=by)
        _insert_after(here, key, fresh)
        mine[fresh[0]] = fresh
        return fresh[:2]
    own[1] = piece.text
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
    text, position, missing = f"\n{text}", 1, []
    absent: set[JSON] = set()
    for old in known:
        found = 0 if old[1] in absent else _find(text, old[1], position)
        if not found:
            missing.append(old)
            absent.add(old[1])
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
        start, end = _likest(old[1], lines, MOST_LETTERS // len(missing))
        if start < end:
            pieces += [_Piece(None, _text(lines[:start])), _Piece(old, _text(lines[start:end]))]
            lines = lines[end:]
    return [*pieces, _Piece(None, _text(lines))]


def _likest(entry_text: str, lines: list[str], most: int) -> tuple[int, int]:
    """Returns from where to where the lines are most like an entry; an empty stretch where none are like it.

    It holds at most so many letters times letters against one another.
    """
    height = entry_text.count("\n") + 1
    once = len(entry_text) * sum(map(len, lines))
    # each of three heights, from each line
    stretches = [
        (start, end)
        for start in range(len(lines) if 3 * (height + 1) * once <= most else 0)
        for end in {min(start + height + more, len(lines)) for more in (-1, 0, 1)} - {start}
    ] or [(0, len(lines))]
    best, place = 0.0, (0, 0)
    for start, end in stretches if once <= most else ():
        now = _text(lines[start:end])
        likeness = ratio(entry_text, now)
        if likeness > best and max(likeness, token_set_ratio(entry_text, now)) >= LIKE:
            best, place = likeness, (start, end)
    return place


def _text(lines: list[str]) -> str:
    return "\n".join(lines).strip()


def _find(text: str, entry_text: str, start: int) -> int:
    """Finds an entry standing on lines of its own; 0 where there is none, since the text begins with a line end."""
    while found := text.find(f"\n{entry_text}", start - 1) + 1:
        end = found + len(entry_text)
        if end == len(text) or text[end] in "\r\n":
            return found
        start = found + 1
    return 0


def _lines(text: str | None) -> list[str]:
    return [line.rstrip() for line in (text or "").strip().splitlines()]
