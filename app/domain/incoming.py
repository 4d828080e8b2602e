"""Fields that only come in: what a record newly shows meets its rule, once, and is old news from then on."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain import rules
from app.domain.draft import Draft, origin_of, taken
from app.domain.lead import Advance, Link, Origin, Refuse, SetCounter
from app.domain.mapping import Mapped
from app.domain.normalize import Unreadable
from app.domain.policy import COUNTERS, Rule, Source
from app.domain.values import JSON, MISSING, is_empty


def take_incoming(draft: Draft, link: Link) -> None:
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


def _take(draft: Draft, link: Link, mapped: Mapped, raw: JSON) -> bool:
    """Runs one incoming field through its rule; tells whether it was judged, and so is old news from now on."""
    if mapped.rule is Rule.COUNTER:
        return True  # counted already
    if mapped.rule is Rule.EVENT_TIME:
        if isinstance(raw, Mapping) and raw.get("value") is not None:
            judge_reply(draft, bool(raw["value"]), raw.get("at"), origin_of(link), link.id)
    elif mapped.rule is Rule.DEEP_MERGE:
        merged = _merge_keys(link, mapped.field, draft.lead.values.get(mapped.field), raw)
        if merged != draft.lead.values.get(mapped.field):
            draft.set(mapped.field, merged, rule=mapped.rule.value, origin=origin_of(link), link=link.id)
    else:
        return _take_value(draft, link, mapped, raw)
    return True


def _take_value(draft: Draft, link: Link, mapped: Mapped, raw: JSON) -> bool:
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
    if value is not MISSING and (owner := taken(draft, name, value)) is not None:
        value, reason = MISSING, f"lead {owner} has this value"
    if value is not MISSING:
        draft.set(name, value, rule=rule.value, origin=origin_of(link), link=link.id)
    elif not is_empty(shown):
        draft.emit(Refuse(link=link.id, field=name, value=shown, kept=here, reason=reason))
    return True


def _take_count(draft: Draft, link: Link, name: str, raw: JSON) -> None:
    """A row added again may show the count its predecessor had: news or not, what counts is the epoch."""
    if int(raw or 0) > link.counters.get(name, {}).get(link.epoch, 0):
        draft.emit(SetCounter(link=link.id, field=name, epoch=link.epoch, count=int(raw)))


def judge_reply(draft: Draft, there: bool, at: str | None, origin: Origin, link: str | None = None) -> None:
    """Takes a source's word on whether the lead answered in favour, as of when that was said (None: undated)."""
    name = "is_positive_reply"
    here = draft.lead.values.get(name)
    if rules.later_event(here, draft.lead.positive_at, there, at):
        draft.set(name, there, rule=Rule.EVENT_TIME.value, origin=origin, link=link, event_at=at)
    elif here != there:
        draft.emit(Refuse(link=link, field=name, value=there, kept=here, reason="a later event said otherwise"))


def _merge_keys(link: Link, name: str, here: JSON, raw: JSON) -> JSON:
    if not isinstance(raw, Mapping):
        return here if raw is None or isinstance(here, Mapping) else raw
    if not link.namespace:
        return rules.merge_keys(link.base_remote.get(name, MISSING), here, raw)
    base = {link.namespace: link.base_remote.get(name, {})}
    return rules.merge_keys(base, here, {link.namespace: raw}) if raw else here


def _refusal(rule: Rule) -> str:
    return {
        Rule.FILL: "only an empty field is filled",
        Rule.IDENTITY: "an identity is never replaced",
        Rule.SET_ONCE: "set once, and it was",
        Rule.LADDER: "the ladder is only climbed",
        Rule.NEWEST: "a newer one is known",
        Rule.OLDEST: "an older one is known",
    }.get(rule, "an older value than the known one")


def sum_counters(draft: Draft) -> None:
    """The lead shows, per counter, the sum over links (silent ones too) and epochs, and what belongs to no link."""
    counted = [link for link in draft.links.values() if link.counters]
    for name in COUNTERS:
        links = [link for link in counted if name in link.counters] if counted else counted
        total = draft.lead.own_counts.get(name, 0) + draft.silent.get(name, 0)
        for link in links:
            total += sum(link.counters[name].values())
        if total != draft.lead.values.get(name, 0):
            source = links[-1].connection if links else None
            origin = Origin(
                source.source if source else Source.IMPORT,
                source.id if source else None,
                max((link.observed_at for link in links), default=""),
            )
            draft.set(name, total, rule=Rule.COUNTER.value, origin=origin)
