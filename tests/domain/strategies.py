"""Leads and links for the laws: both sides start from one base and make small edits.

Sides that are drawn independently of each other would almost never meet in one field, and a law that is only tried on
fields where one side moved proves little.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import hypothesis
from hypothesis import strategies as st

from app.domain import mapping, notes
from app.domain.lead import Connection, Lead, Link, Origin
from app.domain.mapping import Direction
from app.domain.merge import Sent, State, Strategy
from app.domain.policy import COUNTERS, FIELDS, Source
from app.domain.values import JSON, MISSING
from tests.domain.builders import T0, T1, T2, T3, airtable, instantly, lead, link

Draw = Callable[[st.SearchStrategy[Any]], Any]
EXAMPLES = 250


@dataclass(slots=True)
class Effort:
    """None: the fixed profile."""

    examples: int | None = None
    seed: int | None = None


EFFORT = Effort()


def law(test: Any) -> Any:
    """Tries a law: the same examples on every run, or as many others as were asked for."""
    fixed = EFFORT.examples is None and EFFORT.seed is None
    tried = hypothesis.settings(
        max_examples=EFFORT.examples or EXAMPLES,
        derandomize=fixed,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )(test)
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


@st.composite
def worlds(draw: Draw, *, strategies: tuple[Strategy, ...] = tuple(Strategy)) -> World:
    """A lead with one table or two, at times a campaign beside them."""
    base = {name: draw(st.sampled_from(values)) for name, (values, _) in VALUES.items() if values}
    base["notes"] = [
        notes.entry(text, at=T0, by="somebody") for text in draw(st.sets(st.sampled_from(TEXTS), max_size=2))
    ]
    base["notes"].sort()
    has_base = draw(st.integers(0, 9)) > 1
    edited = draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))
    here = _lead(draw, base, edited)
    links = [_link(draw, base, edited, "A", 1, strategies, has_base=has_base)]
    if draw(st.integers(0, 3)) == 0:
        links.append(_link(draw, base, edited, "B", draw(st.integers(0, 2)), strategies, has_base=True))
    if draw(st.integers(0, 3)) == 0:
        links.append(draw(campaigns("I")))
    moved = {
        name
        for name in edited
        for found in links
        if found.connection.source is Source.AIRTABLE
        and here.values.get(name) != base[name]
        and found.observed.get(name, MISSING) not in (MISSING, found.base_remote.get(name, MISSING))
    }
    return World(lead=here, links=links, collisions=frozenset(moved), has_base=has_base)


def _lead(draw: Draw, base: Mapping[str, JSON], edited: list[str]) -> Lead:
    values = dict(base)
    for name in edited:
        values[name] = [*base["notes"], notes.entry("ours", at=T1, by="us")] if name == "notes" else _other(draw, name)
    made = lead({name: value for name, value in values.items() if value is not None})
    made.values |= values
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=2)):
        made.origins[name] = draw(st.sampled_from(ORIGINS))
    made.cleared = frozenset(
        name for name, value in values.items() if value is None and FIELDS.get(name) and draw(st.booleans())
    )
    return made


ORIGINS = (
    Origin(Source.AIRTABLE, "A", T0),
    Origin(Source.AIRTABLE, "B", T0),
    Origin(Source.INSTANTLY, "I", T0),
    Origin(Source.USER, None, T2),
)


def _other(draw: Draw, name: str) -> JSON:
    return draw(st.sampled_from(VALUES[name][0]))


def _link(
    draw: Draw,
    base: Mapping[str, JSON],
    edited: list[str],
    key: str,
    rank: int,
    strategies: tuple[Strategy, ...],
    *,
    has_base: bool,
) -> Link:
    direction: Direction | None = draw(st.sampled_from((None, None, None, None, "pull", "push")))
    there = _table(key, rank, draw(st.sampled_from(strategies)).value, direction)
    shown = {name: there.mapping.fields[name].encode(value) for name, value in base.items()}
    known = dict(shown) if has_base else {}
    local = {name: notes.freeze(v) if name == "notes" else v for name, v in base.items()} if has_base else {}
    also = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    for name in {*also, *(name for name in edited if draw(st.integers(0, 3)))}:
        shown[name] = _shown(draw, there, name, shown[name])
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=1)):
        del shown[name]
    times = draw(st.sampled_from((None, T0, T2)))
    made = link(there, shown, known, base_local=local, key=key, modified_at=times)
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        _remember(draw, made, name)
    return made


def _shown(draw: Draw, there: Connection, name: str, before: JSON) -> JSON:
    if name == "notes":
        lines = str(before or "").splitlines()
        return draw(
            st.sampled_from(("\n".join([*lines, "theirs"]), "\n".join(lines[1:]), "\n".join(lines) + " indeed", None))
        )
    values, odd = VALUES[name]
    encoded = [there.mapping.fields[name].encode(value) for value in values]
    return draw(st.sampled_from([*encoded, *odd]))


def _remember(draw: Draw, made: Link, name: str) -> None:
    """Puts a field into a state that an earlier run may have left it in."""
    known = made.cell(name)
    if known.remote is MISSING or name == "notes":
        return
    value = _other(draw, name)
    sent = Sent(
        remote=made.connection.mapping.fields[name].encode(value), local=value, until=draw(st.sampled_from((T0, T3)))
    )
    states = [
        replace(known, state=State.PENDING),
        replace(known, state=State.PENDING, ghost=sent),
        replace(known, ghost=sent),
        replace(known, fresh=draw(st.sampled_from((T0, T2)))),
        replace(known, state=State.DIVERGED, reason="the mapping changed", other="x"),
        replace(known, state=State.HELD, reason="conflict", other=["x", "y"]),
        replace(known, state=State.INFLIGHT, sent=sent),
    ]
    made.put(name, draw(st.sampled_from(states)))


@st.composite
def campaigns(draw: Draw, key: str, source: Source = Source.INSTANTLY) -> Link:
    """A record that only comes in, with something to say on every field there is."""
    there = replace(instantly(key), mapping=mapping.incoming(source), source=source)
    shown = draw(st.fixed_dictionaries({}, optional=INCOMING))
    return link(
        there,
        shown,
        key=key,
        created_at=draw(st.sampled_from((T0, T1))),
        epoch=draw(st.sampled_from("12")),
        namespace=key,
    )


_INSTANTS = st.sampled_from((None, T0, T1, T2))
INCOMING: dict[str, st.SearchStrategy[JSON]] = {
    **{name: st.integers(0, 5) for name in COUNTERS},
    **{name: st.sampled_from(values) for name, (values, _) in VALUES.items() if values and name in FIELDS},
    "notes": st.sampled_from((None, "imported", "called")),
    "last_name": st.sampled_from(("Berg", "Bo", None)),
    "linkedin_url": st.sampled_from((None, "https://www.linkedin.com/in/anna")),
    "delivery_status": st.sampled_from(("not_yet_emailed", "emailed", "bounced", "replied")),
    "last_contacted_at": _INSTANTS,
    "instantly_created_at": _INSTANTS,
    "sender_account": st.sampled_from(("x@ours.test", "y@ours.test")),
    "last_step_info": st.fixed_dictionaries({"step_id": st.sampled_from("12"), "at": _INSTANTS}),
    "is_positive_reply": st.fixed_dictionaries({"value": st.sampled_from((True, False, None)), "at": _INSTANTS}),
    "metadata": st.dictionaries(
        st.sampled_from("xyz"), st.one_of(st.integers(0, 2), st.dictionaries(st.sampled_from("pq"), st.integers(0, 1)))
    ),
}
