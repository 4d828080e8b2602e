"""One lead with all its links: every decision, listed before the first one is applied.

`plan` is the only place where sources meet. It walks the links in their declared order, lets each say what is new, and
then marks what the lead now holds and a two-way link does not. `apply` carries the actions out and decides nothing; so
a preview, a dry run and the laws cost no extra code, and planning what was applied plans nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import assert_never

from app.domain import ladder, names, notes, policy, rules
from app.domain.identity import Identity, strong
from app.domain.lead import (
    Action,
    Advance,
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
    SetCounter,
    SetField,
)
from app.domain.mapping import Mapped
from app.domain.merge import Here, How, Seen, State, Verdict, judge
from app.domain.normalize import Unreadable
from app.domain.policy import COUNTERS, NAMES, Rule, Source
from app.domain.values import JSON, MISSING, Missing, is_empty

#: Which lead owns a strong identity.
Owners = Mapping[Identity, str]


def plan(lead: Lead, links: Sequence[Link], owners: Owners | None = None) -> list[Action]:
    """Returns everything to be done about a lead, given what its links last observed; changes none of its inputs."""
    if all(_at_rest(lead, link) for link in links if link.writing):
        return []
    draft = _Draft(lead.copy(), {link.id: link.copy() for link in links}, owners or {}, [])
    ordered = sorted((link for link in draft.links.values() if link.writing), key=lambda link: link.order)
    for link in ordered:
        _reconcile(draft, link)
    while [link for link in ordered if _learn(draft, link)]:
        pass  # what one link said is news for the others; every link says a thing once, so this ends
    _sum_counters(draft)
    return draft.actions


def apply(lead: Lead, links: Iterable[Link], actions: Iterable[Action]) -> tuple[Lead, dict[str, Link]]:
    """Returns the lead and its links (by id) after the actions; changes none of its inputs."""
    draft = _Draft(lead.copy(), {link.id: link.copy() for link in links}, {}, [])
    for action in actions:
        draft.do(action)
    return draft.lead, draft.links


def edit(lead: Lead, changes: Mapping[str, JSON], origin: Origin, *, rule: str = "user") -> list[Action]:
    """Returns the actions of a person's edit (or an import's first values): canonical values, as given."""
    draft = _Draft(lead.copy(), {}, {}, [])
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


@dataclass(slots=True)
class _Draft:
    """A lead and its links while the plan is made: every action is noted and carried out at once."""

    lead: Lead
    links: dict[str, Link]
    owners: Owners
    actions: list[Action]
    #: up to which action each link has learnt what moved
    known: dict[str, int] = field(default_factory=dict)
    #: the connections that have a record of this lead
    connections: dict[str, Connection] = field(init=False)

    def __post_init__(self) -> None:
        self.connections = {link.connection.id: link.connection for link in self.links.values()}

    def names(self) -> dict[str, JSON]:
        return {name: self.lead.values.get(name) for name in NAMES}

    def emit(self, action: Action) -> None:
        self.actions.append(action)
        self.do(action)

    def set(self, name: str, value: JSON, *, rule: str, origin: Origin, **extra: object) -> None:
        old = self.lead.values.get(name)
        self.emit(SetField(field=name, value=value, old=old, rule=rule, origin=origin, **extra))  # type: ignore[arg-type]

    def do(self, action: Action) -> None:
        """Carries one action out."""
        match action:
            case SetField():
                _set_field(self.lead, action)
            case SetCell():
                self.links[action.link].put(action.field, action.cell)
            case Advance(link=link, remote=remote):
                self.links[link].base_remote.update(remote)
            case SetCounter(link=link, field=name, epoch=epoch, count=count):
                self.links[link].counters.setdefault(name, {})[epoch] = count
            case Rebase(link=link, mapping_version=version):
                self.links[link].rebase(version)
            case Reread(link=link):
                self.links[link].reread = True
            case Refuse() | OpenConflict() | CloseConflict():
                pass  # kept for people; no value moves
            case _:
                assert_never(action)


def _set_field(lead: Lead, action: SetField) -> None:
    name = action.field
    lead.values[name] = action.value
    lead.origins[name] = action.origin
    lead.untouched = _marked(lead.untouched, name, is_marked=False)
    lead.derived = _marked(lead.derived, name, is_marked=action.derived)
    if action.clears or not is_empty(action.value):
        lead.cleared = _marked(lead.cleared, name, is_marked=action.clears)
    if name == "is_positive_reply":
        lead.positive_at = action.event_at


def _marked(names: frozenset[str], name: str, *, is_marked: bool) -> frozenset[str]:
    if (name in names) is is_marked:
        return names
    return names | {name} if is_marked else names - {name}


def _at_rest(lead: Lead, link: Link) -> bool:
    """Tells in a few comparisons that a link has nothing to say and nothing to learn."""
    return (
        link.reconciled == lead.sync_version
        and not link.cells
        and link.observed == link.base_remote
        and link.mapping_version == link.connection.mapping.version
        and all(link.epoch in epochs for epochs in link.counters.values())
    )


def _reconcile(draft: _Draft, link: Link) -> None:
    """Lets one link say what is new, and notes what it has to learn."""
    mapping = link.connection.mapping
    is_readable = link.observed_version == mapping.version
    is_rebased = link.mapping_version != mapping.version
    before, start = draft.names(), len(draft.actions)
    if is_rebased and is_readable:
        is_readable = _confirm_first(draft, link)
    if is_readable:
        _take_incoming(draft, link)
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


def _learn(draft: _Draft, link: Link) -> bool:
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


def _confirm_first(draft: _Draft, link: Link) -> bool:
    """Judges, after a change of the mapping, the fields in flight; tells whether the others may be judged too."""
    fields = link.connection.mapping.fields
    for name in [name for name, cell in link.cells.items() if cell.state is State.INFLIGHT and name in fields]:
        _judge(draft, link, fields[name], is_readable=True)
    return not any(cell.state is State.INFLIGHT and name in fields for name, cell in link.cells.items())


def _rebase(draft: _Draft, link: Link) -> None:
    """Moves a link to the mapping its record was read under; fields it no longer maps are forgotten."""
    fields = link.connection.mapping.fields
    for name, cell in link.cells.items():
        if cell.state is State.HELD and name not in fields:
            draft.emit(CloseConflict(link=link.id, field=name))
    draft.emit(Rebase(link=link.id, mapping_version=link.connection.mapping.version))


def _judge(draft: _Draft, link: Link, mapped: Mapped, *, is_readable: bool) -> None:
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


def _accept(draft: _Draft, link: Link, mapped: Mapped, verdict: Verdict) -> None:
    name, value, conflict = mapped.field, verdict.value, verdict.conflict
    draft.emit(
        SetField(
            field=name,
            value=value,
            old=draft.lead.values.get(name),
            rule=mapped.rule.value,
            origin=_origin(link),
            link=link.id,
            losers=({"value": conflict.local, "why": conflict.why},) if conflict is not None else (),
            clears=is_empty(value) and policy.field(name).clears,
            event_at=link.observed_at if name == "is_positive_reply" else None,
        )
    )


def _seen(draft: _Draft, link: Link, mapped: Mapped) -> Seen | None:
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
        owner=_taken(draft, mapped.field, value),
    )


def _here(draft: _Draft, link: Link, name: str) -> Here:
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
        rank=ladder.rank,
    )
    if mapped.rule is Rule.APPEND:
        unite = partial(notes.unite, by=connection.id)
        return replace(how, same=notes.same, freeze=notes.freeze, unite=unite)
    return replace(how, unite=rules.unite_sets) if mapped.rule is Rule.SET else how


def _taken(draft: _Draft, name: str, value: JSON | Missing) -> str | None:
    """Returns the other lead that owns this strong identity, if any."""
    if name not in ("email", "linkedin_url") or not draft.owners or value is None or value is MISSING:
        return None
    for identity in strong({name: value}):
        owner = draft.owners.get(identity)
        if owner is not None and owner != draft.lead.id:
            return owner
    return None


def _take_incoming(draft: _Draft, link: Link) -> None:
    """Judges what is new of the fields that only come in."""
    judged: dict[str, JSON] = {}
    for mapped in link.connection.mapping.one_way:
        name, raw = mapped.field, link.observed.get(mapped.field, MISSING)
        if raw is MISSING:
            continue
        if mapped.rule is Rule.COUNTER:
            _take_count(draft, link, name, raw)
        if raw != link.base_remote.get(name, MISSING) and _take(draft, link, mapped, raw):
            judged[name] = raw
    if judged:
        draft.emit(Advance(link=link.id, remote=judged))


def _take(draft: _Draft, link: Link, mapped: Mapped, raw: JSON) -> bool:
    """Runs one incoming field through its rule; tells whether it was judged, and so is old news from now on."""
    if mapped.rule is Rule.COUNTER:
        return True  # counted already
    if mapped.rule is Rule.EVENT_TIME:
        _take_event(draft, link, mapped.field, raw)
    elif mapped.rule is Rule.DEEP_MERGE:
        merged = _merge_keys(link, mapped.field, draft.lead.values.get(mapped.field), raw)
        if merged != draft.lead.values.get(mapped.field):
            draft.set(mapped.field, merged, rule=mapped.rule.value, origin=_origin(link), link=link.id)
    else:
        return _take_value(draft, link, mapped, raw)
    return True


def _take_value(draft: _Draft, link: Link, mapped: Mapped, raw: JSON) -> bool:
    lead, name, rule = draft.lead, mapped.field, mapped.rule
    here = lead.values.get(name)
    try:
        shown = mapped.decode(raw) if link.connection.source is Source.AIRTABLE else raw
    except Unreadable as exc:
        draft.emit(Refuse(link=link.id, field=name, value=raw, kept=here, reason=str(exc)))
        return True
    if shown is MISSING or shown == here:
        return shown is not MISSING
    yields = name in lead.untouched or name in lead.derived
    value = rules.take(rule, here, shown, yields=yields, cleared=name in lead.cleared)
    reason = _refusal(rule)
    if value is not MISSING and (owner := _taken(draft, name, value)) is not None:
        value, reason = MISSING, f"lead {owner} has this value"
    if value is not MISSING:
        draft.set(name, value, rule=rule.value, origin=_origin(link), link=link.id)
    elif not is_empty(shown):
        draft.emit(Refuse(link=link.id, field=name, value=shown, kept=here, reason=reason))
    return True


def _origin(link: Link) -> Origin:
    return Origin(link.connection.source, link.connection.id, link.observed_at)


def _refusal(rule: Rule) -> str:
    return {
        Rule.FILL: "only an empty field is filled",
        Rule.IDENTITY: "an identity is never replaced",
        Rule.SET_ONCE: "set once, and it was",
        Rule.LADDER: "the ladder is only climbed",
        Rule.NEWEST: "a newer one is known",
        Rule.OLDEST: "an older one is known",
    }.get(rule, "an older value than the known one")


def _take_count(draft: _Draft, link: Link, name: str, raw: JSON) -> None:
    """A row added again may show the count its predecessor had: news or not, what counts is the epoch."""
    if int(raw or 0) > link.counters.get(name, {}).get(link.epoch, 0):
        draft.emit(SetCounter(link=link.id, field=name, epoch=link.epoch, count=int(raw)))


def _take_event(draft: _Draft, link: Link, name: str, raw: JSON) -> None:
    if not isinstance(raw, Mapping) or raw.get("value") is None:
        return
    here, there, at = draft.lead.values.get(name), bool(raw["value"]), raw.get("at")
    if not rules.later_event(here, draft.lead.positive_at, there, at):
        if here != there:
            reason = "a later event said otherwise"
            draft.emit(Refuse(link=link.id, field=name, value=there, kept=here, reason=reason))
        return
    draft.set(name, there, rule=Rule.EVENT_TIME.value, origin=_origin(link), link=link.id, event_at=at)


def _merge_keys(link: Link, name: str, here: JSON, raw: JSON) -> JSON:
    if not isinstance(raw, Mapping):
        return here if raw is None or isinstance(here, Mapping) else raw
    if not link.namespace:
        return rules.merge_keys(link.base_remote.get(name, MISSING), here, raw)
    base = {link.namespace: link.base_remote.get(name, {})}
    return rules.merge_keys(base, here, {link.namespace: raw}) if raw else here


def _settle_what_moved(draft: _Draft, link: Link, before: Mapping[str, JSON], actions: Sequence[Action]) -> None:
    """Keeps fields that belong together together, after one link has spoken."""
    moved = {action.field: action for action in actions if isinstance(action, SetField)}
    if not moved:
        return
    origin = _origin(link)
    given: set[str] = {name for name in NAMES if name in moved}
    if given:
        is_authority = link.connection.source is Source.AIRTABLE
        _settle_names(draft, before, given, origin, link.id, kept=frozenset() if is_authority else _given_names(draft))
    if "claimed_by" in moved and "claimed_at" not in moved:
        _regenerate_claim_time(draft, link, origin)


def _given_names(draft: _Draft) -> frozenset[str]:
    """The name fields that somebody gave; a tool that fills another one rewrites none of these."""
    values, derived = draft.lead.values, draft.lead.derived
    return frozenset(name for name in NAMES if not is_empty(values.get(name)) and name not in derived)


def _settle_names(
    draft: _Draft,
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


def _regenerate_claim_time(draft: _Draft, link: Link, origin: Origin) -> None:
    """The claimer changed there and the claim time did not: the old time would be stale."""
    at = link.observed_at if draft.lead.values.get("claimed_by") else None
    if at != draft.lead.values.get("claimed_at"):
        draft.set("claimed_at", at, rule="moves with claimed_by", origin=origin, link=link.id)


def _sum_counters(draft: _Draft) -> None:
    """The lead shows, per counter, the sum over links and epochs, and what belongs to no link."""
    counted = [link for link in draft.links.values() if link.counters]
    for name in COUNTERS:
        links = [link for link in counted if name in link.counters]
        total = draft.lead.own_counts.get(name, 0) + sum(sum(link.counters[name].values()) for link in links)
        if total != draft.lead.values.get(name, 0):
            source = links[-1].connection if links else None
            origin = Origin(
                source.source if source else Source.IMPORT,
                source.id if source else None,
                max((link.observed_at for link in links), default=""),
            )
            draft.set(name, total, rule=Rule.COUNTER.value, origin=origin)
