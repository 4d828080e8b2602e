"""One lead with all its links: every decision, listed before the first one is applied.

`plan` is the only place where sources meet. It walks the links in their declared order, lets each say what is new, and
then marks what the lead now holds and a two-way link does not. `apply` carries the actions out and decides nothing; so
a preview, a dry run and the laws cost no extra code, and planning what was applied plans nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat

from app.domain import names, notes, policy, rules
from app.domain.cells import Here, How, Seen, State, Verdict
from app.domain.draft import Draft, Owners, origin_of, taken
from app.domain.incoming import sum_counters, take_incoming
from app.domain.lead import (
    Action,
    CloseConflict,
    Connection,
    Lead,
    Link,
    OpenConflict,
    Origin,
    Rebase,
    Refuse,
    Reread,
    SetCell,
    SetField,
)
from app.domain.mapping import Mapped
from app.domain.merge import judge
from app.domain.normalize import Unreadable
from app.domain.policy import NAMES, Rule, Source
from app.domain.values import JSON, MISSING, Missing, is_empty


def plan(lead: Lead, links: Sequence[Link], owners: Owners | None = None) -> list[Action]:
    """Returns everything to be done about a lead, given what its links last observed; changes none of its inputs."""
    draft = drafted(lead, links, owners)
    return [] if draft is None else draft.actions


def drafted(
    lead: Lead, links: Sequence[Link], owners: Owners | None = None, silent: Mapping[str, int] | None = None
) -> Draft | None:
    """Returns the plan together with what it makes of the lead and its links: what `apply` would; None: nothing.

    `silent` is what the lead's other links have counted, which have no say: paused, disconnected, gone.
    """
    for link in links:
        if link.writing and not _at_rest(lead, link):
            break
    else:
        return None
    draft = Draft(lead.copy(), {link.id: link.copy() for link in links}, owners or {}, silent or {})
    ordered = sorted((link for link in draft.links.values() if link.writing), key=lambda link: link.order)
    for link in ordered:
        _reconcile(draft, link)
    while [link for link in ordered if _learn(draft, link)]:
        pass  # what one link said is news for the others; every link says a thing once, so this ends
    sum_counters(draft)
    return draft


def apply(lead: Lead, links: Iterable[Link], actions: Iterable[Action]) -> tuple[Lead, dict[str, Link]]:
    """Returns the lead and its links (by id) after the actions; changes none of its inputs."""
    draft = Draft(lead.copy(), {link.id: link.copy() for link in links})
    for action in actions:
        draft.do(action)
    return draft.lead, draft.links


def edit(lead: Lead, changes: Mapping[str, JSON], origin: Origin, *, rule: str = "user") -> list[Action]:
    """Returns the actions of a person's edit (or an import's first values): canonical values, as given."""
    draft = Draft(lead.copy())
    given = {name for name in changes if name in NAMES}
    before = draft.names()
    for name, value in changes.items():
        unmoved = value == draft.lead.values.get(name)
        if unmoved and not (name in draft.lead.untouched or name in draft.lead.derived):
            continue
        clears = is_empty(value) and policy.field(name).clears
        event_at = origin.at if name == "is_positive_reply" else None
        draft.set(name, value, rule=rule, origin=origin, clears=clears, event_at=event_at)
    _settle_names(draft, before, given, origin, None)
    return draft.actions


def _at_rest(lead: Lead, link: Link) -> bool:
    """Tells in a few comparisons that a link has nothing to say and nothing to learn."""
    return (
        link.reconciled == lead.sync_version
        and not link.cells
        and link.observed == link.base_remote
        and link.mapping_version == link.connection.mapping.version
        and (not link.counters or all(link.epoch in epochs for epochs in link.counters.values()))
    )


def _reconcile(draft: Draft, link: Link) -> None:
    """Lets one link say what is new, and notes what it has to learn."""
    mapping = link.connection.mapping
    is_readable = link.observed_version == mapping.version
    is_rebased = link.mapping_version != mapping.version
    before, start = draft.names(), len(draft.actions)
    if is_rebased and is_readable:
        is_readable = _confirm_first(draft, link)
    if is_readable:
        take_incoming(draft, link)
    for mapped in mapping.three_way if is_rebased or not is_readable else _unsettled(draft.lead, link):
        _judge(draft, link, mapped, is_readable=is_readable)
    if is_rebased and is_readable:
        _rebase(draft, link)
    draft.known[link.id] = len(draft.actions)
    _settle_what_moved(draft, link, before, draft.actions[start:])


def _unsettled(lead: Lead, link: Link) -> list[Mapped]:
    """Returns the fields in which one side differs from the base, or that wait for something."""
    mapping, cells, absent = link.connection.mapping, link.cells, repeat(MISSING)
    names = mapping.three_way_names
    sides = zip(
        mapping.three_way,
        map(link.observed.get, names, absent),
        map(link.base_remote.get, names, absent),
        map(lead.values.get, names),
        map(link.base_local.get, names, absent),
        strict=True,
    )
    found = [
        mapped
        for mapped, there, remote, here, local in sides
        if there != remote or here != local or (cells and mapped.field in cells)
    ]
    # a base keeps less of the notes than the lead does: entries that look different may be the same
    return [mapped for mapped in found if mapped.rule is not Rule.APPEND or not _same_notes(lead, link)]


def _same_notes(lead: Lead, link: Link) -> bool:
    here, shown = notes.freeze(lead.values.get("notes")), link.observed.get("notes", MISSING)
    base = (link.base_remote.get("notes", MISSING), link.base_local.get("notes", MISSING))
    return (shown, here) == base and "notes" not in link.cells


def _learn(draft: Draft, link: Link) -> bool:
    """Judges again what the lead has changed since this link was asked; tells whether there was anything."""
    start = draft.known[link.id]
    if start == len(draft.actions):
        return False
    moved = dict.fromkeys(action.field for action in draft.actions[start:] if isinstance(action, SetField))
    before, start = draft.names(), len(draft.actions)
    mapping = link.connection.mapping
    for mapped in [mapped for mapped in mapping.three_way if mapped.field in moved] if moved else ():
        _judge(draft, link, mapped, is_readable=link.observed_version == mapping.version == link.mapping_version)
    draft.known[link.id] = len(draft.actions)
    _settle_what_moved(draft, link, before, draft.actions[start:])
    return bool(moved)


def _confirm_first(draft: Draft, link: Link) -> bool:
    """Judges, after a change of the mapping, the fields in flight; tells whether the others may be judged too."""
    fields = link.connection.mapping.fields
    for name in [name for name, cell in link.cells.items() if cell.state is State.INFLIGHT and name in fields]:
        _judge(draft, link, fields[name], is_readable=True)
    return not any(cell.state is State.INFLIGHT and name in fields for name, cell in link.cells.items())


def _rebase(draft: Draft, link: Link) -> None:
    """Moves a link to the mapping its record was read under; fields it no longer maps are forgotten."""
    fields = link.connection.mapping.fields
    for name, cell in link.cells.items():
        if cell.state is State.HELD and name not in fields:
            draft.emit(CloseConflict(link=link.id, field=name))
    draft.emit(Rebase(link=link.id, mapping_version=link.connection.mapping.version))


def _judge(draft: Draft, link: Link, mapped: Mapped, *, is_readable: bool) -> None:
    """Runs one field through the state machine and notes the verdict."""
    name, cell = mapped.field, link.cell(mapped.field)
    seen = _seen(draft, link, mapped) if is_readable else None
    here = _here(draft, link, name)
    verdict = judge(cell, seen, here, _how(link, mapped, here, seen))
    if verdict.value is not MISSING:
        _accept(draft, link, mapped, verdict)
    if verdict.cell != cell:
        draft.emit(SetCell(link=link.id, field=name, cell=verdict.cell))
    if verdict.conflict is not None:
        draft.emit(OpenConflict(link=link.id, field=name, conflict=verdict.conflict))
    if cell.state is State.HELD and verdict.cell.state is not State.HELD:
        draft.emit(CloseConflict(link=link.id, field=name))
    if verdict.refused is not None and seen is not None:
        shown = seen.raw if seen.refused else seen.value
        draft.emit(Refuse(link=link.id, field=name, value=shown, kept=here.value, reason=verdict.refused))
    if verdict.reread and not link.reread:
        draft.emit(Reread(link=link.id))


def _accept(draft: Draft, link: Link, mapped: Mapped, verdict: Verdict) -> None:
    name, value, conflict = mapped.field, verdict.value, verdict.conflict
    # not through `Draft.set`: this is made for every cell that changed there
    draft.emit(
        SetField(
            field=name,
            value=value,
            old=draft.lead.values.get(name),
            rule=mapped.rule.value,
            origin=origin_of(link),
            link=link.id,
            losers=({"value": conflict.local, "why": conflict.why},) if conflict is not None else (),
            clears=is_empty(value) and policy.field(name).clears,
            event_at=link.observed_at if name == "is_positive_reply" else None,
        )
    )


def _seen(draft: Draft, link: Link, mapped: Mapped) -> Seen | None:
    """Returns what the observation shows of a field; None where the record was never looked at."""
    if not link.observed_at:
        return None
    raw = link.observed.get(mapped.field, MISSING)
    value: JSON | Missing = MISSING
    refused = None
    if raw is not MISSING:
        try:
            value = mapped.decode(raw)
        except Unreadable as exc:
            value, refused = None, str(exc)
    return Seen(
        raw=raw,
        value=value,
        at=link.observed_at,
        refused=refused,
        modified_at=link.modified_at,
        owner=taken(draft, mapped.field, value),
    )


def _here(draft: Draft, link: Link, name: str) -> Here:
    lead = draft.lead
    origin = lead.origins.get(name)
    authority = None
    if origin is not None and origin.source is Source.AIRTABLE:
        # a connection that has no record of this lead any more outranks nobody
        authority = draft.connections.get(origin.connection or "")
    return Here(
        value=lead.values.get(name),
        cleared=name in lead.cleared,
        yields=name in lead.untouched or name in lead.derived,
        origin=authority.id if authority else None,
        outranked=authority is None or link.connection.rank < authority.rank,
        at=origin.at if origin else "",
    )


def _how(link: Link, mapped: Mapped, here: Here, seen: Seen | None) -> How:
    connection = link.connection
    how = connection.hows.get(mapped.field)
    if how is None:
        how = connection.hows[mapped.field] = _rule_of(connection, mapped)
    if how.rule is Rule.DEEP_MERGE and seen and isinstance(here.value, Mapping) and isinstance(seen.value, Mapping):
        how = replace(how, unite=rules.unite_objects)
    return how if link.mapping_version == connection.mapping.version else replace(how, rebase=True)


def _rule_of(connection: Connection, mapped: Mapped) -> How:
    how = How(
        rule=mapped.rule,
        connection=connection.id,
        strategy=connection.strategy,
        push_only=mapped.direction == "push",
        pull_only=mapped.direction == "pull",
        clears=policy.field(mapped.field).clears,
    )
    if mapped.rule is Rule.APPEND:
        unite = partial(notes.unite, by=connection.id)
        return replace(how, same=notes.same, freeze=notes.freeze, unite=unite)
    return replace(how, unite=rules.unite_sets) if mapped.rule is Rule.SET else how


def _settle_what_moved(draft: Draft, link: Link, before: Mapping[str, JSON], actions: Sequence[Action]) -> None:
    """Keeps fields that belong together together, after one link has spoken."""
    moved = {action.field: action for action in actions if isinstance(action, SetField)}
    if not moved:
        return
    origin = origin_of(link)
    given: set[str] = {name for name in NAMES if name in moved}
    if given:
        is_authority = link.connection.source is Source.AIRTABLE
        _settle_names(draft, before, given, origin, link.id, kept=frozenset() if is_authority else _given_names(draft))
    if "claimed_by" in moved and "claimed_at" not in moved:
        _regenerate_claim_time(draft, link, origin)


def _given_names(draft: Draft) -> frozenset[str]:
    """The name fields that somebody gave; a tool that fills another one rewrites none of these."""
    values, derived = draft.lead.values, draft.lead.derived
    return frozenset(name for name in NAMES if not is_empty(values.get(name)) and name not in derived)


def _settle_names(
    draft: Draft,
    before: Mapping[str, JSON],
    given: set[str],
    origin: Origin,
    link: str | None,
    *,
    kept: frozenset[str] = frozenset(),
) -> None:
    """Derives the name fields nobody gave."""
    if not given:
        return
    after = {name: draft.lead.values.get(name) for name in NAMES}
    now = dict(after)
    derived = names.settle(before, after, given, draft.lead.derived, cleared=draft.lead.cleared | kept)
    for name in NAMES:
        if after[name] != now[name] or (name in derived) != (name in draft.lead.derived):
            draft.set(name, after[name], rule="derived", origin=origin, link=link, derived=name in derived)


def _regenerate_claim_time(draft: Draft, link: Link, origin: Origin) -> None:
    """The claimer changed there and the claim time did not: the old time would be stale."""
    at = link.observed_at if draft.lead.values.get("claimed_by") else None
    if at != draft.lead.values.get("claimed_at"):
        draft.set("claimed_at", at, rule="moves with claimed_by", origin=origin, link=link.id)
