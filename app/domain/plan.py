"""One lead with all its links: every decision, listed before the first one is applied.

`plan` is the only place where sources meet. It walks the links in their declared order, lets each say what is new, and
then marks what the lead now holds and a two-way link does not. `apply` carries the actions out and decides nothing; so
a preview, a dry run and the laws cost no extra code, and planning what was applied plans nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from app.domain import ladder, names, notes, policy, rules
from app.domain.identity import Identity, strong
from app.domain.lead import (
    Action,
    Advance,
    CloseConflict,
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
_ROUNDS = 4


def plan(lead: Lead, links: Sequence[Link], owners: Owners | None = None) -> list[Action]:
    """Returns everything to be done about a lead, given what its links last observed; changes none of its inputs."""
    if all(_at_rest(lead, link) for link in links if link.writing):
        return []
    draft = _Draft(lead.copy(), {link.id: link.copy() for link in links}, owners or {}, [])
    ordered = sorted((link for link in draft.links.values() if link.writing), key=lambda link: link.order)
    for _ in range(_ROUNDS):
        known = len(draft.actions)
        for link in ordered:
            _reconcile(draft, link)
        _sum_counters(draft)
        if not any(isinstance(action, SetField) for action in draft.actions[known:]):
            break
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
    before = dict(draft.lead.values)
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
            case SetCell(link=link, field=name, cell=cell):
                self.links[link].put(name, cell)
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
    name = frozenset((action.field,))
    lead.values[action.field] = action.value
    lead.origins[action.field] = action.origin
    lead.untouched -= name
    lead.derived = lead.derived | name if action.derived else lead.derived - name
    if action.clears:
        lead.cleared |= name
    elif not is_empty(action.value):
        lead.cleared -= name
    if action.field == "is_positive_reply":
        lead.positive_at = action.event_at


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
    before = dict(draft.lead.values)
    known = len(draft.actions)
    if is_rebased and is_readable:
        is_readable = _confirm_first(draft, link)
    seen: dict[str, JSON] = {}
    for name, mapped in mapping.fields.items():
        raw = link.observed.get(name, MISSING) if is_readable else MISSING
        if mapped.rule is Rule.COUNTER:
            _take_count(draft, link, name, raw)
        if mapped.is_one_way:
            if raw is not MISSING and raw != link.base_remote.get(name, MISSING) and _take(draft, link, mapped, raw):
                seen[name] = raw
        elif (
            is_rebased
            or name in link.cells
            or raw != link.base_remote.get(name, MISSING)
            or _frozen(name, draft.lead.values.get(name)) != link.base_local.get(name, MISSING)
        ):
            _judge(draft, link, mapped, raw, is_readable=is_readable)
    if seen:
        draft.emit(Advance(link=link.id, remote=seen))
    if is_rebased and is_readable:
        _rebase(draft, link)
    _settle_what_moved(draft, link, before, draft.actions[known:])


def _confirm_first(draft: _Draft, link: Link) -> bool:
    """Judges, after a change of the mapping, the fields in flight; tells whether the others may be judged too."""
    fields = link.connection.mapping.fields
    for name in [name for name, cell in link.cells.items() if cell.state is State.INFLIGHT and name in fields]:
        _judge(draft, link, fields[name], link.observed.get(name, MISSING), is_readable=True)
    return not any(cell.state is State.INFLIGHT and name in fields for name, cell in link.cells.items())


def _rebase(draft: _Draft, link: Link) -> None:
    """Moves a link to the mapping its record was read under; fields it no longer maps are forgotten."""
    fields = link.connection.mapping.fields
    for name, cell in link.cells.items():
        if cell.state is State.HELD and name not in fields:
            draft.emit(CloseConflict(link=link.id, field=name))
    draft.emit(Rebase(link=link.id, mapping_version=link.connection.mapping.version))


def _judge(draft: _Draft, link: Link, mapped: Mapped, raw: JSON | Missing, *, is_readable: bool) -> None:
    """Runs one two-way field through the state machine and notes the verdict."""
    name, cell = mapped.field, link.cell(mapped.field)
    seen = _seen(link, mapped, raw) if is_readable else None
    here = _here(draft, name)
    verdict = judge(cell, seen, here, _how(draft, link, mapped))
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
    name, value = mapped.field, verdict.value
    old = draft.lead.values.get(name)
    if value == old and name not in draft.lead.untouched | draft.lead.derived:
        return
    losers = () if verdict.conflict is None else ({"value": verdict.conflict.local, "why": verdict.conflict.why},)
    clears = is_empty(value) and policy.field(name).clears
    event_at = link.observed_at if name == "is_positive_reply" else None
    draft.set(
        name,
        value,
        rule=mapped.rule.value,
        origin=_origin(link),
        link=link.id,
        losers=losers,
        clears=clears,
        event_at=event_at,
    )


def _seen(link: Link, mapped: Mapped, raw: JSON | Missing) -> Seen | None:
    """Returns what the observation shows of a field; None where the record was never looked at."""
    if not link.observed_at:
        return None
    value: JSON | Missing = MISSING
    refused = None
    if raw is not MISSING:
        try:
            value = mapped.decode(raw)
        except Unreadable as exc:
            value, refused = None, str(exc)
    return Seen(raw=raw, value=value, at=link.observed_at, refused=refused, modified_at=link.modified_at)


def _here(draft: _Draft, name: str) -> Here:
    lead = draft.lead
    origin = lead.origins.get(name)
    authority = None
    if origin is not None and origin.source is Source.AIRTABLE:
        # a connection that has no record of this lead any more outranks nobody
        authority = next((k.connection.id for k in draft.links.values() if k.connection.id == origin.connection), None)
    return Here(
        value=lead.values.get(name),
        cleared=name in lead.cleared,
        yields=name in lead.untouched or name in lead.derived,
        origin=authority,
        at=origin.at if origin else "",
    )


def _how(draft: _Draft, link: Link, mapped: Mapped) -> How:
    connection, name = link.connection, mapped.field
    ranks = {other.connection.id: other.connection.rank for other in draft.links.values()}
    is_notes = mapped.rule is Rule.APPEND
    unite = None
    if is_notes:

        def unite(base: JSON | Missing, here: JSON, there: JSON) -> tuple[JSON, JSON]:
            return notes.unite(base, here, there, at=link.observed_at, by=connection.id)

    elif mapped.rule is Rule.SET:
        unite = rules.unite_sets
    elif mapped.rule is Rule.DEEP_MERGE and _are_objects(link, mapped, draft.lead.values.get(name)):
        unite = rules.unite_objects
    return How(
        rule=mapped.rule,
        connection=connection.id,
        strategy=connection.strategy,
        push_only=mapped.direction == "push",
        pull_only=mapped.direction == "pull",
        clears=policy.field(name).clears,
        outranks=lambda other: connection.rank < ranks[other],
        taken=lambda value: _taken(draft, name, value),
        same=notes.same if is_notes else _equal,
        freeze=notes.freeze if is_notes else _itself,
        unite=unite,
        rank=ladder.rank,
        rebase=link.mapping_version != connection.mapping.version,
    )


def _are_objects(link: Link, mapped: Mapped, here: JSON) -> bool:
    raw = link.observed.get(mapped.field)
    return isinstance(here, Mapping) and isinstance(raw, Mapping)


def _equal(here: JSON, there: JSON) -> bool:
    return bool(here == there)


def _itself(value: JSON) -> JSON:
    return value


def _frozen(name: str, value: JSON) -> JSON:
    return notes.freeze(value) if name == "notes" else value


def _taken(draft: _Draft, name: str, value: JSON) -> str | None:
    """Returns the other lead that owns this strong identity, if any."""
    if not draft.owners or name not in ("email", "linkedin_url") or value is None:
        return None
    for identity in strong({name: value}):
        owner = draft.owners.get(identity)
        if owner is not None and owner != draft.lead.id:
            return owner
    return None


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


def _take_count(draft: _Draft, link: Link, name: str, raw: JSON | Missing) -> None:
    """A row added again may show the count its predecessor had: news or not, what counts is the epoch."""
    if raw is not MISSING and int(raw or 0) > link.counters.get(name, {}).get(link.epoch, 0):
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
    if (here, draft.lead.positive_at) != (there, at):
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
    for name in COUNTERS:
        links = [link for link in draft.links.values() if name in link.counters]
        total = draft.lead.own_counts.get(name, 0) + sum(sum(link.counters[name].values()) for link in links)
        if total != draft.lead.values.get(name, 0):
            source = links[-1].connection if links else None
            origin = Origin(
                source.source if source else Source.IMPORT,
                source.id if source else None,
                max((link.observed_at for link in links), default=""),
            )
            draft.set(name, total, rule=Rule.COUNTER.value, origin=origin)
