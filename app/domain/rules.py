"""The rules of fields that only come in: what a new value from a source makes of the lead's value.

Each is a join: taking the same value twice equals once, and for the lattice rules (newest, oldest, ladder, event time)
the order in which sources speak does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.ladder import DELIVERY_LADDER, rank
from app.domain.policy import Rule
from app.domain.values import JSON, MISSING, Missing, is_empty


def take(rule: Rule, here: JSON, there: JSON, *, yields: bool = False, cleared: bool = False) -> JSON | Missing:
    """Returns the lead's value after a source showed `there`, or MISSING where the rule refuses it.

    `yields`: the lead holds an untouched default or a derived half of a name. `cleared`: a person emptied the field.
    """
    match rule:
        case Rule.FILL | Rule.SET_ONCE | Rule.IDENTITY:
            free = (is_empty(here) or yields) and not cleared
            return there if free and not is_empty(there) else MISSING
        case Rule.NEWEST:
            return there if there is not None and (here is None or there > here) else MISSING
        case Rule.OLDEST:
            return there if there is not None and (here is None or there < here) else MISSING
        case Rule.REPLACE:
            return there if _is_later(here, there) else MISSING
    assert rule is Rule.LADDER
    return there if there is not None and _climbs(here, there) else MISSING


def _is_later(here: JSON, there: JSON) -> bool:
    """Orders replacements by the source's own time where they carry one."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        return (there.get("at") or "") >= (here.get("at") or "")
    return there is not None or here is not None


def _climbs(here: JSON, there: JSON) -> bool:
    if there in DELIVERY_LADDER and (here is None or here in DELIVERY_LADDER):
        return here is None or DELIVERY_LADDER.index(there) > DELIVERY_LADDER.index(here)
    return rank(there) > rank(here)


def later_event(here: bool | None, here_at: str | None, there: bool, there_at: str | None) -> bool:
    """Tells whether a yes/no event supersedes the known one: the later does; at equal times the negative one.

    An undated event counts as happening before every dated one.
    """
    if here is None:
        return True
    return (there_at or "", not there) > (here_at or "", not here)


def merge_keys(base: JSON | Missing, here: JSON, there: Mapping[str, JSON]) -> dict[str, JSON]:
    """Takes the keys of `there` that are new since `base`; keys missing there stay; objects merge, arrays are whole."""
    known: Mapping[str, JSON] = base if isinstance(base, Mapping) else {}
    merged: dict[str, JSON] = dict(here) if isinstance(here, Mapping) else {}
    for key, value in there.items():
        before = known.get(key, MISSING)
        if value == before:
            continue
        if isinstance(value, Mapping):
            merged[key] = merge_keys(before, merged.get(key), value)
        else:
            merged[key] = value
    return merged


def unite_sets(base: JSON | Missing, here: JSON, there: JSON, _at: str) -> tuple[JSON, JSON]:
    """Returns both sides' additions without either side's removals, and what the other side holds already."""
    before = set() if base is MISSING else set(base or ())
    ours, theirs = set(here or ()), set(there or ())
    united = (ours & theirs) | (ours - before) | (theirs - before)
    return sorted(united) or None, there


def unite_objects(base: JSON | Missing, here: JSON, there: JSON, _at: str) -> tuple[JSON, JSON]:
    """Returns the keys of both sides, of a key changed on both sides the other side's value, and what is there."""
    return merge_keys(base, here, there), there
