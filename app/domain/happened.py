"""What events make of a lead: each field meets the policy's rule for events.

Every rule is a join by the event's own time, so that events may come late, twice and in any order and end in the same
lead. A person's word about the status counts from when it was given: what happened before that and is told afterwards
climbs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.domain import policy, rules
from app.domain.draft import Draft
from app.domain.events import Event
from app.domain.incoming import judge_reply
from app.domain.lead import Lead, Origin, Refuse
from app.domain.policy import Rule, Source
from app.domain.values import JSON, MISSING


def take(lead: Lead, events: Iterable[Event], *, connection: str | None, decided: str | None = None) -> Draft:
    """Returns the lead after some events, with the actions that make it so; changes none of its inputs.

    `decided` is when a person (or an authority) last set the status, however it moved since.
    """
    draft = Draft(lead.copy())
    for event in sorted(events, key=lambda event: event.order):
        origin = Origin(Source.EVENT, connection, event.moment)
        _climb(
            draft, "status", event.kind.status, origin, since=decided if (event.at or "") < (decided or "") else None
        )
        _climb(draft, "delivery_status", event.kind.delivery, origin)
        if event.kind.positive is not None:
            judge_reply(draft, event.kind.positive, event.at, origin)
        if event.kind.is_contact:
            _take_contact(draft, event, origin)
            _take_step(draft, event, origin)
        _take_account(draft, event, origin)
    return draft


def _climb(draft: Draft, name: str, there: str | None, origin: Origin, *, since: str | None = None) -> None:
    if there is None:
        return
    here = draft.lead.values.get(name)
    yields = name in draft.lead.untouched
    value = rules.take(policy.field(name).event, here, there, yields=yields)
    if value is MISSING:
        return
    if since is not None:
        reason = f"it happened before somebody set the status, at {since}"
        draft.emit(Refuse(field=name, value=there, kept=here, reason=reason))
        return
    draft.set(name, value, rule=Rule.LADDER.value, origin=origin)


def _take_contact(draft: Draft, event: Event, origin: Origin) -> None:
    name = "last_contacted_at"
    value = rules.take(Rule.NEWEST, draft.lead.values.get(name), event.at)
    if value is not MISSING:
        draft.set(name, value, rule=Rule.NEWEST.value, origin=origin)


def _take_step(draft: Draft, event: Event, origin: Origin) -> None:
    """Steps are counted from 1 here, as the payload does; Instantly's REST names steps by ids."""
    if event.at is None or event.step is None:
        return
    here = draft.lead.values.get("last_step_info") or {}
    there = {"at": event.at, "from": "campaign", "step": event.step, "variant": event.variant}
    if _place(here) < _place(there):
        draft.set("last_step_info", there, rule=Rule.REPLACE.value, origin=origin)


def _place(step: JSON) -> tuple[str, bool, int, int]:
    """Orders steps: by time; at one time the one that names its id is said best."""
    return step.get("at") or "", step.get("step_id") is not None, step.get("step") or 0, step.get("variant") or 0


def _take_account(draft: Draft, event: Event, origin: Origin) -> None:
    """The mailbox of the newest event that names one: where an answer goes."""
    if event.account is None:
        return
    here, known = draft.lead.values.get("sender_account"), draft.lead.origins.get("sender_account")
    at = known.at if known is not None and here is not None else ""
    if (at, here or "") < (event.at or "", event.account):
        there = origin._replace(at=event.at or "")
        draft.set("sender_account", event.account, rule=Rule.REPLACE.value, origin=there)
