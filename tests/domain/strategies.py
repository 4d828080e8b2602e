"""Leads and links for the laws: both sides start from one base and make small edits.

Sides that are drawn independently of each other would almost never meet in one field, and a law that is only tried on
fields where one side moved proves little.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import hypothesis
from hypothesis import strategies as st

from app.domain import mapping, notes
from app.domain.cells import Sent, State, Strategy
from app.domain.lead import Connection, Lead, Link, Origin
from app.domain.mapping import Direction
from app.domain.policy import COUNTERS, FIELDS, Source
from app.domain.values import JSON, MISSING
from tests.domain.builders import T0, T1, T2, T3, airtable, instantly, lead, link

EXAMPLES = 250
T = TypeVar("T")


@dataclass(slots=True)
class Effort:
    """None: the fixed profile."""

    examples: int | None = None
    seed: int | None = None


EFFORT = Effort()


def law(test: Any) -> Any:
    """Tries a law: the same examples on every run, or as many others as were asked for."""
    fixed = EFFORT.examples is None and EFFORT.seed is None
    tried = hypothesis.settings(max_examples=EFFORT.examples or EXAMPLES, derandomize=fixed)(test)
    return tried if EFFORT.seed is None else hypothesis.seed(EFFORT.seed)(tried)


#: Two-way field -> lead values it takes, and further spellings and oddities that only a record shows.
VALUES: Mapping[str, tuple[list[JSON], list[JSON]]] = {
    "company_name": (["Acme", "Globex", "Initech", None], [" Acme ", ""]),
    "title": (["CEO", "CFO", "Clerk", None], ["CEO\n"]),
    "phone": (["+31612345678", "+31687654321", None], ["06 12 34 56 78", "nobody knows"]),
    "email": (["a@acme.test", "b@acme.test", "taken@acme.test", None], ["A@Acme.test", "a@@"]),
    "status": (["new", "contacted", "opened", "replied", "won"], ["Called", "Unheard of", None]),
    "verified": ([True, False], []),
    "campaigns": ([["a"], ["a", "b"], ["b", "c"], None], [["b", "a"]]),
    "notes": ([], []),
    "full_name": (["Anna Berg", "Bo van Dam", None], []),
    "first_name": (["Anna", "Bo", None], []),
    "claimed_by": (["ann@acme.test", "bob@acme.test", None], [{"email": "Ann@acme.test"}]),
    "custom.tier": (["gold", "tin", None], [{"x": 1}]),
}
NAMES = tuple(VALUES)
OWNERS = {("email", "taken@acme.test"): "other"}
TEXTS = ("called", "wants a demo", "wants\na demo", "gone")


@dataclass(frozen=True, kw_only=True)
class World:
    """One lead, its links, and what is known of the example."""

    lead: Lead
    links: list[Link]
    #: fields that moved away from their base on both sides
    collisions: frozenset[str] = frozenset()
    has_base: bool = True
    owners: Mapping[Any, str] = field(default_factory=lambda: dict(OWNERS))

    def copy(self) -> World:
        return copy.deepcopy(self)


@lru_cache(maxsize=64)
def _table(name: str, rank: int, strategy: str, direction: Direction | None) -> Connection:
    made = airtable(*NAMES, name=name, rank=rank, strategy=strategy)
    if direction is None:
        return made
    fields = {n: replace(m, direction=direction) for n, m in made.mapping.fields.items()}
    return replace(made, mapping=replace(made.mapping, fields=fields))


class Pick:
    """Choices out of drawn bytes: far quicker than a strategy per choice, and zeros shrink to the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def one(self, choices: Sequence[T]) -> T:
        return choices[next(self._data, 0) % len(choices)]

    def some(self, choices: Sequence[T], most: int) -> list[T]:
        return list(dict.fromkeys(self.one(choices) for _ in range(next(self._data, 0) % (most + 1))))

    def chance(self, of: int) -> bool:
        return next(self._data, 0) % of == of - 1


def worlds() -> st.SearchStrategy[World]:
    """A lead with one table or two, at times a campaign beside them."""
    return st.binary(min_size=100, max_size=100).map(lambda data: _world(Pick(data)))


def _world(pick: Pick) -> World:
    base = {name: pick.one(values) for name, (values, _) in VALUES.items() if values}
    base["notes"] = [notes.entry(text, at=T0, by="somebody") for text in pick.some(TEXTS, 2)]
    has_base = not pick.chance(6)
    edited = pick.some(NAMES, 5)
    here = _lead(pick, base, edited)
    links = [_link(pick, base, edited, "A", 1, has_base=has_base)]
    if pick.chance(4):
        links.append(_link(pick, base, edited, "B", pick.one((0, 1, 2)), has_base=True))
    if pick.chance(4):
        links.append(_campaign(pick, "I", Source.INSTANTLY))
    moved = {
        name
        for name in edited
        for found in links
        if found.connection.source is Source.AIRTABLE
        and here.values.get(name) != base[name]
        and found.observed.get(name, MISSING) not in (MISSING, found.base_remote.get(name, MISSING))
    }
    return World(lead=here, links=links, collisions=frozenset(moved), has_base=has_base)


def _lead(pick: Pick, base: Mapping[str, JSON], edited: list[str]) -> Lead:
    values = dict(base)
    for name in edited:
        ours = [*base["notes"], notes.entry("ours", at=T1, by="us")]
        values[name] = ours if name == "notes" else pick.one(VALUES[name][0])
    made = lead({name: value for name, value in values.items() if value is not None})
    made.values |= values
    for name in pick.some(NAMES, 2):
        made.origins[name] = pick.one(ORIGINS)
    made.cleared = frozenset(name for name, v in values.items() if v is None and name in FIELDS and pick.chance(2))
    return made


ORIGINS = (
    Origin(Source.AIRTABLE, "A", T0),
    Origin(Source.AIRTABLE, "B", T0),
    Origin(Source.INSTANTLY, "I", T0),
    Origin(Source.USER, None, T2),
)


def _link(pick: Pick, base: Mapping[str, JSON], edited: list[str], key: str, rank: int, *, has_base: bool) -> Link:
    directions: tuple[Direction | None, ...] = (None, None, None, None, "pull", "push")
    there = _table(key, rank, pick.one(tuple(Strategy)).value, pick.one(directions))
    shown = {name: there.mapping.fields[name].encode(value) for name, value in base.items()}
    known = dict(shown) if has_base else {}
    local = {name: notes.freeze(v) if name == "notes" else v for name, v in base.items()} if has_base else {}
    for name in dict.fromkeys([*pick.some(NAMES, 2), *(name for name in edited if not pick.chance(4))]):
        shown[name] = _shown(pick, there, name, shown[name])
    for name in pick.some(NAMES, 1):
        del shown[name]
    made = link(there, shown, known, base_local=local, key=key, modified_at=pick.one((None, T0, T2)))
    for name in pick.some(NAMES, 3):
        _remember(pick, made, name)
    return made


def _shown(pick: Pick, there: Connection, name: str, before: JSON) -> JSON:
    if name == "notes":
        lines = str(before or "").splitlines()
        edits: tuple[list[str], ...] = ([*lines, "theirs"], ["theirs", *lines], lines[1:], [*lines[:-1], "indeed"], [])
        return "\n".join(pick.one(edits)) or None
    values, odd = VALUES[name]
    return pick.one([*(there.mapping.fields[name].encode(value) for value in values), *odd])


def _remember(pick: Pick, made: Link, name: str) -> None:
    """Puts a field into a state that an earlier run may have left it in."""
    known, mapped = made.cell(name), made.connection.mapping.fields[name]
    if known.remote is MISSING or name == "notes" or mapped.is_one_way:
        return
    value = pick.one(VALUES[name][0])
    sent = Sent(remote=mapped.encode(value), local=value, until=pick.one((T0, T3)))
    states = (
        replace(known, state=State.PENDING),
        replace(known, state=State.PENDING, ghost=sent),
        replace(known, ghost=sent),
        replace(known, fresh=pick.one((T0, T2))),
        replace(known, state=State.DIVERGED, reason="the mapping changed", other="x"),
        replace(known, state=State.HELD, reason="conflict", other=["x", "y"]),
        replace(known, state=State.INFLIGHT, sent=sent),
    )
    made.put(name, pick.one(states))


def campaigns(key: str, source: Source = Source.INSTANTLY) -> st.SearchStrategy[Link]:
    """A record that only comes in, and may have something to say on every field there is."""
    return st.binary(min_size=60, max_size=60).map(lambda data: _campaign(Pick(data), key, source))


def _campaign(pick: Pick, key: str, source: Source) -> Link:
    there = replace(instantly(key), mapping=_incoming(source), source=source)
    shown = {name: pick.one(values) for name, values in INCOMING.items() if pick.chance(2)}
    created_at, epoch = pick.one((T0, T1)), pick.one("12")
    return link(there, shown, key=key, created_at=created_at, epoch=epoch, namespace=key)


@lru_cache
def _incoming(source: Source) -> mapping.MappingTable:
    return mapping.incoming(source)


INCOMING: Mapping[str, Sequence[JSON]] = {
    **{name: range(6) for name in COUNTERS},
    **{name: values for name, (values, _) in VALUES.items() if values and name in FIELDS},
    "notes": (None, "imported", "called"),
    "last_name": ("Berg", "Bo", None),
    "linkedin_url": (None, "https://www.linkedin.com/in/anna"),
    "delivery_status": ("not_yet_emailed", "emailed", "bounced", "replied"),
    "last_contacted_at": (None, T0, T1, T2),
    "instantly_created_at": (None, T0, T1, T2),
    "sender_account": ("x@ours.test", "y@ours.test"),
    "last_step_info": tuple({"step_id": step, "at": at} for step in "12" for at in (None, T0, T1)),
    "is_positive_reply": tuple({"value": value, "at": at} for value in (True, False, None) for at in (None, T0, T1)),
    "metadata": ({}, {"x": 1}, {"x": 2, "y": 1}, {"z": {"p": 0}}, {"z": {"q": 1}, "y": {"p": 1}}),
}
