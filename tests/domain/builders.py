"""What the tests of the policy are built from: connections, links and leads in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.domain import mapping, notes
from app.domain.cells import Cell, Sent, State, Strategy
from app.domain.draft import Owners
from app.domain.lead import Action, Connection, Lead, Link, Origin
from app.domain.mapping import MappingTable
from app.domain.merge import confirmed, later
from app.domain.plan import apply, plan
from app.domain.policy import DEFAULTS, Source
from app.domain.values import JSON, MISSING
from app.providers.base import Column

BEFORE, T0, T1, T2, T3 = (f"2026-03-02T{hour:02d}:00:00.000Z" for hour in range(7, 12))
NEVER = "2026-03-09T08:00:00.000Z"
TYPES = {
    "status": "singleSelect",
    "verified": "checkbox",
    "needs_enrichment": "checkbox",
    "campaigns": "multipleSelects",
    "claimed_by": "singleCollaborator",
}
OPTIONS = {
    "New": "new",
    "Contacted": "contacted",
    "Called": "contacted",
    "Opened": "opened",
    "Replied": "replied",
    "Won": "won",
}


def column(name: str, kind: str = "", *, writable: bool = True, options: Sequence[str] = ()) -> Column:
    """A remote column whose id is `fld-<name>`."""
    return Column(
        id=f"fld-{name}",
        name=name,
        type=kind or TYPES.get(name, "singleLineText"),
        writable=writable,
        options=tuple(options or (OPTIONS if name == "status" else ())),
    )


def table(
    *names: str,
    version: int = 1,
    direction: str | None = None,
    options: Mapping[str, str] = OPTIONS,
    rule: str | None = None,
) -> MappingTable:
    """The mapping of columns named like the fields."""
    rows: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"field": name, "remote": f"fld-{name}", "direction": direction}
        if name == "status":
            row |= {"values": dict(options), "rule": rule}
        rows.append(row)
    columns = [column(name, options=tuple(options) if name == "status" else ()) for name in names]
    return mapping.check(rows, columns, version=version)


def airtable(*names: str, name: str = "A", rank: int = 1, strategy: str = "remote_wins", **extra: Any) -> Connection:
    """A two-way connection that maps these fields."""
    return Connection(
        id=name,
        source=Source.AIRTABLE,
        mapping=table(*names, **extra),
        strategy=Strategy(strategy),
        rank=(rank, "", name),
    )


def instantly(name: str = "I", rank: int = 9) -> Connection:
    """A connection whose records only come in."""
    return Connection(
        id=name, source=Source.INSTANTLY, mapping=mapping.incoming(Source.INSTANTLY), rank=(rank, "", name)
    )


def link(
    connection: Connection, observed: Mapping[str, JSON], base: Mapping[str, JSON] | None = None, **rest: Any
) -> Link:
    """A link that showed `observed` at T1; `base` is what both sides held before."""
    key = rest.pop("key", connection.id)
    local = rest.pop("base_local", base)
    defaults = {"observed_at": T1, "created_at": BEFORE}
    return Link(
        id=key,
        connection=connection,
        key=key,
        observed=dict(observed),
        base_remote=dict(base or {}),
        base_local=dict(local or {}),
        **{**defaults, **rest},
    )


def lead(values: Mapping[str, JSON] | None = None, **rest: Any) -> Lead:
    """A lead whose given values a person gave at T0; defaults nobody gave stay untouched."""
    given = dict(values or {})
    origins = rest.pop("origins", {name: Origin(Source.USER, None, T0) for name in given})
    untouched = rest.pop("untouched", Lead(id="").untouched - set(given))
    return Lead(id="lead", values={**DEFAULTS, **given}, origins=origins, untouched=untouched, **rest)


def settle(
    here: Lead, links: Sequence[Link], owners: Owners | None = None
) -> tuple[Lead, dict[str, Link], list[Action]]:
    """Plans, applies, and proves that planning again plans nothing."""
    actions = plan(here, links, owners)
    after, kept = apply(here, links, actions)

    assert plan(after, list(kept.values()), owners) == []
    return after, kept, actions


def push(here: Lead, there: Link, name: str, *, answer: JSON = MISSING, at: str = T2) -> Link:
    """The link after a pending field was written there and the answer, asked for a second before, was recorded."""
    flown = inflight(here, there, name, until=at)
    sent = flown.cell(name).sent
    assert sent is not None
    shown = sent.remote if answer is MISSING else answer
    done = flown.copy()
    done.put(name, confirmed(flown.cell(name), shown, at))
    done.observed = {**done.observed, name: shown}
    done.observed_at = later(at, -1)
    return done


def inflight(here: Lead, there: Link, name: str, *, until: str = T2) -> Link:
    """The link after a pending field was stored as sent."""
    cell, value = there.cell(name), here.values.get(name)
    assert cell.state is State.PENDING, cell
    encoded = there.connection.mapping.fields[name].encode(value)
    local = notes.freeze(value) if name == "notes" else value
    flown = there.copy()
    sent = Sent(remote=encoded, local=local, until=until)
    flown.put(name, replace(cell, state=State.INFLIGHT, sent=sent))
    return flown


def look(there: Link, shown: Mapping[str, JSON], at: str, **rest: Any) -> Link:
    """The link after the record was read again."""
    return replace(there.copy(), observed={**there.observed, **shown}, observed_at=at, reread=False, **rest)


def cell(state: str = "agreed", **rest: Any) -> Cell:
    """What a link remembers of a field."""
    return Cell(state=State(state), **rest)
