"""Survivorship: what becomes of two leads that are one person, field by field, and of one that was two.

The survivor keeps what it holds; what it does not hold comes from the other one. Fields that only ever grow (notes,
campaigns, counters, the ladders, newest and oldest) take both sides. A person may choose the other side's value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.domain import policy, rules
from app.domain.lead import Action, Lead, Link, Origin, SetField
from app.domain.plan import apply
from app.domain.policy import COUNTERS, NAMES, Rule, Source
from app.domain.values import JSON, MISSING, is_empty

Side = Literal["survivor", "other", "both"]
#: Fields that move together.
_GROUPS: Final = (NAMES, ("claimed_by", "claimed_at"))
_UNITED: Final = (Rule.SET, Rule.APPEND, Rule.DEEP_MERGE)
_JOINED: Final = (Rule.NEWEST, Rule.OLDEST, Rule.LADDER, Rule.EVENT_TIME, Rule.COUNTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one field of the survivor will be, and why."""

    field: str
    survivor: JSON
    other: JSON
    value: JSON
    #: whose value it is
    side: Side
    rule: str


def rule_of(name: str) -> Rule:
    """Returns the rule by which two leads' values of a field become one."""
    row = policy.field(name)
    if row.airtable in _UNITED:
        return row.airtable
    if row.instantly in _JOINED:
        return row.instantly
    return Rule.REPLACE if name == "last_step_info" else Rule.FILL


def choosable(name: str) -> bool:
    """Tells whether a person may choose a side: not where both sides are kept anyway, nor what sync counts."""
    try:
        return policy.field(name).user == "read-write" and rule_of(name) not in _UNITED
    except KeyError:
        return False


def decide(survivor: Lead, other: Lead, choices: Mapping[str, Side] | None = None) -> list[Decision]:
    """Returns what becomes of every field that one of the two holds."""
    found = []
    led = {name: group[0] for group in _GROUPS for name in group}
    chosen_for = _with_their_groups(choices or {})
    for name in dict.fromkeys((*policy.FIELDS, *sorted(survivor.values), *sorted(other.values))):
        here, there = survivor.values.get(name), other.values.get(name)
        if is_empty(here) and is_empty(there):
            continue
        chosen = chosen_for.get(name)
        if chosen is not None:
            value, side, why = (here if chosen == "survivor" else there), chosen, "chosen"
        elif name in led and name not in _GROUPS[0]:
            value, side = _filled(survivor, other, led[name])
            value, why = (here if side == "survivor" else there), Rule.FILL.value
        elif name in _GROUPS[0]:
            whole = _is_named(survivor) or not _is_named(other)
            value, side, why = (here, "survivor", "fill_if_empty") if whole else (there, "other", "fill_if_empty")
        else:
            value, side = _joined(survivor, other, name)
            why = rule_of(name).value
        found.append(Decision(field=name, survivor=here, other=there, value=value, side=side, rule=why))
    return found


def _with_their_groups(choices: Mapping[str, Side]) -> dict[str, Side]:
    """Lets the other fields of a group go with the first that was chosen, unless they were chosen themselves."""
    found: dict[str, Side] = {}
    for group in _GROUPS:
        first = next((choices[name] for name in group if name in choices), None)
        if first is not None:
            found |= dict.fromkeys(group, first)
    return found | dict(choices)


def _is_named(lead: Lead) -> bool:
    return any(not is_empty(lead.values.get(name)) for name in NAMES)


def _filled(survivor: Lead, other: Lead, name: str) -> tuple[JSON, Side]:
    here, there = survivor.values.get(name), other.values.get(name)
    yields = name in survivor.untouched or name in survivor.derived
    taken = rules.take(Rule.FILL, here, there, yields=yields, cleared=name in survivor.cleared)
    return (here, "survivor") if taken is MISSING else (taken, "other")


def _joined(survivor: Lead, other: Lead, name: str) -> tuple[JSON, Side]:
    here, there, rule = survivor.values.get(name), other.values.get(name), rule_of(name)
    match rule:
        case Rule.FILL:
            return _filled(survivor, other, name)
        case Rule.COUNTER:
            return (here or 0) + (there or 0), "both"
        case Rule.SET:
            united: JSON = sorted({*(here or ()), *(there or ())}) or None
        case Rule.APPEND:
            known = {entry[0] for entry in here or ()}
            united = [*(here or ()), *(entry for entry in there or () if entry[0] not in known)] or None
        case Rule.DEEP_MERGE if isinstance(here, Mapping) and isinstance(there, Mapping):
            united = rules.merge_keys(MISSING, there, here)
        case Rule.DEEP_MERGE:
            return _filled(survivor, other, name)
        case Rule.EVENT_TIME:
            if there is not None and rules.later_event(here, survivor.positive_at, there, other.positive_at):
                return there, "other"
            return here, "survivor"
        case _:
            # an empty one is no later one
            taken = MISSING if is_empty(there) else rules.take(rule, here, there)
            return (here, "survivor") if taken is MISSING else (taken, "other")
    return united, "survivor" if united == here else "other" if united == there else "both"


def merged(survivor: Lead, other: Lead, decisions: Sequence[Decision], at: str) -> tuple[Lead, list[Action]]:
    """Returns the survivor as the decisions make it, and the actions for its history."""
    actions: list[Action] = []
    for decision in decisions:
        name = decision.field
        if decision.value == decision.survivor and not (name in survivor.untouched and name not in other.untouched):
            continue
        origin = other.origins.get(name) if decision.side == "other" else None
        actions.append(
            SetField(
                field=name,
                value=decision.value,
                old=decision.survivor,
                rule=f"merge of {other.id}",
                origin=origin or Origin(Source.USER, None, at),
                derived=decision.side == "other" and name in other.derived,
                clears=decision.rule == "chosen" and is_empty(decision.value) and policy.field(name).clears,
                event_at=other.positive_at if decision.side == "other" else survivor.positive_at,
            )
        )
    after, _ = apply(survivor, [], actions)
    after.own_counts = _sum(survivor.own_counts, other.own_counts, 1)
    return after, actions


def split(
    now: Lead,
    before: Lead,
    after: Lead,
    other: Lead,
    moved: Sequence[Link],
    stays: Collection[str],
    later: Sequence[Lead] = (),
) -> tuple[Lead, Lead, set[str]]:
    """Returns the survivor and the other lead as two again, and what the survivor's own records must say once more.

    What was edited after the merge stays with the survivor, unless it came from a connection whose links all go back.
    Where links of one connection go both ways, nobody knows which of them a value came from: those that only come in
    say again what they have said since, each to its own lead.

    Args:
        now: the survivor as it is.
        before: the survivor as it was before the merge; `after`: as the merge left it.
        other: the other lead as it was before the merge.
        moved: the links that go back to it, as they are now.
        stays: the connections of the survivor's own links.
        later: the leads that were merged in since then, as they were: they fill what goes back.
    """
    one, two = now.copy(), other.copy()
    theirs = {link.connection.id for link in moved}
    namespaces = {link.namespace for link in moved if link.namespace}
    again: set[str] = set()
    for name in {*now.values, *before.values, *after.values}:
        origin = now.origins.get(name)
        if name == "notes":
            _split_notes(one, two, before, theirs - set(stays))
        elif name == "campaigns":
            _split_members(one, before, after, later)
        elif _is_keyed(name, now, before, after):
            if _split_keys(one, name, before, after, namespaces):
                again.add(name)
        elif name in COUNTERS or now.values.get(name) == after.values.get(name):
            _put_back(one, name, before)
        elif origin is not None and origin.connection in theirs - set(stays):
            _put_back(two, name, now)
            _put_back(one, name, before)
        elif origin is not None and origin.connection in theirs and origin.source is Source.INSTANTLY:
            _put_back(one, name, before)
            again.add(name)
    for lead in later:
        _refill(one, now, lead)
    one.own_counts = _sum(now.own_counts, other.own_counts, -1)
    return one, two, again


def count(lead: Lead, counted: Mapping[str, int]) -> None:
    """Gives a lead the counts of its own links."""
    for name in COUNTERS:
        lead.values[name] = lead.own_counts.get(name, 0) + counted.get(name, 0)


def _refill(one: Lead, now: Lead, other: Lead) -> None:
    """Takes from a lead that was merged in later what it would have given, had the earlier one not been there."""
    went = {name for name in {*one.values, *now.values} if one.values.get(name) != now.values.get(name)}
    went |= (one.cleared ^ now.cleared) | (one.untouched ^ now.untouched) | (one.derived ^ now.derived)
    went |= {name for group in _GROUPS if went & {*group} for name in group}
    for decision in decide(one, other):
        name = decision.field
        if decision.side == "survivor" or name not in went:
            continue
        if _is_keyed(name, one, now, other):
            had, here = now.values.get(name) or {}, one.values.get(name) or {}
            one.values[name] = {key: value for key, value in decision.value.items() if key in had or key in here}
        elif rule_of(name) not in (Rule.SET, Rule.APPEND, Rule.COUNTER):
            _put_back(one, name, other)


def _put_back(lead: Lead, name: str, known: Lead) -> None:
    """Gives a lead what another state of it knows of a field: value, origin and marks."""
    if name in known.values:
        lead.values[name] = known.values[name]
    else:
        lead.values.pop(name, None)
    lead.origins.pop(name, None)
    if name in known.origins:
        lead.origins[name] = known.origins[name]
    for mark in ("cleared", "untouched", "derived"):
        rest = getattr(lead, mark) - {name}
        setattr(lead, mark, rest | {name} if name in getattr(known, mark) else rest)
    if name == "is_positive_reply":
        lead.positive_at = known.positive_at


def _split_notes(one: Lead, two: Lead, before: Lead, leaving: Collection[str]) -> None:
    """Entries go back to whom they came from, with the words they have by now; new ones stay, unless their record (of
    a connection that is leaving) goes.
    """
    mine = {entry[0] for entry in before.values.get("notes") or ()}
    here = one.values.get("notes") or []
    words = {entry[0]: entry for entry in here}
    had = two.values.get("notes") or []
    known = {entry[0] for entry in had}
    since = [entry for entry in here if entry[0] not in mine | known and entry[3] in leaving]
    back = (known - mine) | {entry[0] for entry in since}
    one.values["notes"] = [entry for entry in here if entry[0] not in back] or None
    if back:
        two.values["notes"] = [words.get(entry[0], entry) for entry in had] + since
    if one.values["notes"] == before.values.get("notes"):
        _put_back(one, "notes", before)


def _split_members(one: Lead, before: Lead, after: Lead, later: Sequence[Lead]) -> None:
    """Campaigns that the merge brought leave, unless a lead that was merged in later is in them as well."""
    was, then = (set(lead.values.get("campaigns") or ()) for lead in (before, after))
    left = then - was - {name for lead in later for name in lead.values.get("campaigns") or ()}
    one.values["campaigns"] = sorted(set(one.values.get("campaigns") or ()) - left) or None
    if set(one.values["campaigns"] or ()) == was:
        _put_back(one, "campaigns", before)


def _is_keyed(name: str, *states: Lead) -> bool:
    """Tells whether a field holds keys that are told apart: metadata, and objects among the custom fields."""
    return rule_of(name) is Rule.DEEP_MERGE and all(isinstance(lead.values.get(name) or {}, Mapping) for lead in states)


def _split_keys(one: Lead, name: str, before: Lead, after: Lead, namespaces: Collection[str]) -> bool:
    """Keys that the merge brought, and those of campaigns that go back, are as they were before.

    Tells whether such a campaign has changed its keys since the merge.
    """
    now, was, then = (lead.values.get(name) or {} for lead in (one, before, after))
    rest = {key: value for key, value in now.items() if key not in namespaces}
    kept = _without(rest | {key: then[key] for key in namespaces if key in then}, was, then)
    if kept == was:
        _put_back(one, name, before)
    else:
        one.values[name] = kept or None
    return any(now.get(key) != then.get(key) for key in namespaces)


def _without(now: Mapping[str, JSON], was: Mapping[str, JSON], then: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns the keys as they are, but as they `was` where they are as `then`; objects key by key."""
    kept = {}
    for key, value in now.items():
        if value == then.get(key, MISSING):
            if key in was:
                kept[key] = was[key]
        elif isinstance(value, Mapping) and isinstance(then.get(key), Mapping):
            known = was.get(key)
            kept[key] = _without(value, known if isinstance(known, Mapping) else {}, then[key])
        else:
            kept[key] = value
    return kept


def _sum(a: Mapping[str, int], b: Mapping[str, int], sign: int) -> dict[str, int]:
    found = {name: a.get(name, 0) + sign * b.get(name, 0) for name in {*a, *b}}
    return {name: number for name, number in found.items() if number}
