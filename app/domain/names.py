"""A name is stored three times, whole and in two halves; what nobody gave is derived from what somebody did.

The whole and the halves *agree* when the whole parses into the halves or is the halves joined. While they agree
nothing is rewritten, so "Berg, Anna van der" and "dr. Ada Lovelace" survive; a change that breaks the agreement
rewrites the other side, and what was rewritten is derived. A half that the whole does not show is cleared only if it
was derived: nobody took it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from app.domain import normalize
from app.domain.values import JSON

Halves = tuple[str | None, str | None]

#: Words that open a family name.
PARTICLES: Final = normalize.words(
    "van von vom de den der des dem ten ter te 't ’t het la le du da di do dos das del della aan bij op zu zur"
)
#: Particles that are given names too, when capitalised and alone: Van Morrison, Di Jones, Le Thi.
GIVEN_TOO: Final = normalize.words("van di da del do della le la du")
#: Forms of address before a name, in neither half; those that could be a name only with their full stop.
TITLES: Final = normalize.words(
    "dr dr. drs drs. prof prof. mr mr. mrs mrs. ms. ir. ing. dhr dhr. mevr mevr. mw mw. herr frau"
)
#: Degrees and generations behind a comma.
POSTNOMINALS: Final = normalize.words("phd msc bsc ma ba mba md rn cpa llm jr sr ii iii iv")


def parse(full: str | None) -> Halves:
    """Is (first, last) of a whole name: particles open the last name, a comma stands behind it, titles are left out."""
    before, _, behind = (full or "").partition(",")
    words, rest = _untitled(before.split()), _untitled(behind.replace(",", " ").split())
    given = [word for word in rest if word.replace(".", "").lower() not in POSTNOMINALS]
    if not words or not (given or (rest and len(words) == 1)):
        return _split(words or rest)
    given = given or rest  # Smith, Ma: behind a single word nothing is a degree
    while len(given) > 1 and given[-1].lower() in PARTICLES:  # Berg, Anna van der
        words.insert(0, given.pop())
    return " ".join(given), " ".join(words)


def join(first: str | None, last: str | None) -> str | None:
    """Is the whole name of two halves."""
    return " ".join(f"{first or ''} {last or ''}".split()) or None


def settle(
    before: Mapping[str, JSON],
    after: dict[str, JSON],
    given: Set[str],
    derived: frozenset[str],
    *,
    cleared: Set[str] = frozenset(),
) -> frozenset[str]:
    """Brings whole and halves into agreement after a change, in `after`; returns which of them are derived now.

    Args:
        given: the name fields a source set in this change, also those it cleared; they are kept as they are.
        derived: the fields that were derived before.
        cleared: fields with a clear mark; they stay empty.
    """
    made = set(derived - given)
    changed = {name for name in given if before.get(name) != after.get(name)}
    fixed = given | cleared
    if "full_name" in changed:
        _halves_follow(after, made, fixed)
    elif changed and "full_name" not in fixed:
        _whole_follows(after, made)
    return frozenset(name for name in made if after.get(name) is not None)


def _halves_follow(after: dict[str, JSON], made: set[str], fixed: Set[str]) -> None:
    if _agree(after):
        return
    first, last = parse(after["full_name"])
    if last is None and first == after.get("last_name") and "last_name" not in made:
        first, last = None, first  # the whole is the family name somebody gave
    for name, shown in (("first_name", first), ("last_name", last)):
        if name not in fixed and after.get(name) != shown and (shown is not None or name in made):
            after[name] = shown
            made.add(name)


def _whole_follows(after: dict[str, JSON], made: set[str]) -> None:
    whole = join(after.get("first_name"), after.get("last_name"))
    if _agree(after) or (whole is None and "full_name" not in made):
        return
    after["full_name"] = whole
    made.add("full_name")


def _agree(values: Mapping[str, JSON]) -> bool:
    halves = (values.get("first_name"), values.get("last_name"))
    whole = values.get("full_name")
    return whole == join(*halves) or parse(whole) == halves


def _untitled(words: list[str]) -> list[str]:
    start = next((i for i, word in enumerate(words) if word.lower() not in TITLES), 0)
    return words[start:]


def _split(words: list[str]) -> Halves:
    if not words:
        return None, None
    start = 0 if _opens_with_family_name(words) else _family_start(words)
    return " ".join(words[:start]) or None, " ".join(words[start:]) or None


def _opens_with_family_name(words: list[str]) -> bool:
    """`van der Berg` and `De Vries` lack a first name; `Van Morrison` does not."""
    word = words[0].lower()
    if len(words) == 1 or word not in PARTICLES:
        return False
    return words[0] == word or word not in GIVEN_TOO or words[1].lower() in PARTICLES


def _family_start(words: list[str]) -> int:
    particle = next((i for i, word in enumerate(words[:-1]) if i and word.lower() in PARTICLES), None)
    return particle or max(1, len(words) - 1)
