"""Explain: for every field of a lead its value, where it came from and by which rule, and where each link stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.db import connections, lead_queries, leads, links, recipients, requests
from app.db.connections import Stored
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain import events, notes, policy
from app.domain.cells import State
from app.domain.lead import Lead, Link
from app.domain.mapping import Mapped
from app.domain.normalize import Unreadable
from app.domain.policy import Rule, Source
from app.domain.values import JSON, MISSING, instant, is_empty


async def explain(tx: Tx, lead_id: UUID) -> dict[str, JSON] | None:
    """Returns the explanation of a lead, by field; None if there is no such lead."""
    stored = await leads.get(tx, lead_id)
    if stored is None:
        return None
    names = {c.id: c for c in await connections.every(tx)}
    found = await links.of_leads(tx, [lead_id], {i: c.view for i, c in names.items()})
    changes = await lead_queries.last_changes(tx, lead_id)
    refused: dict[str, list[JSON]] = {}
    for row in await lead_queries.refusals(tx, lead_id):
        refused.setdefault(row["refused"]["field"], []).append({**row["refused"], "at": row["at"]})
    seen = await recipients.uncounted(tx, lead_id, [kind for kinds in events.COUNTED.values() for kind in kinds])
    fields = [*policy.FIELDS, *sorted(name for name in stored.lead.values if name.startswith("custom."))]
    return {
        "id": str(lead_id),
        "version": stored.lead.version,
        "fields": {
            name: _field(stored.lead, name, changes.get(name), refused.get(name, []), found, names)
            # an event may come twice, or after the reading that counted it: it is told beside the number, never added
            | {
                "seen_since": sum(seen.get(kind, 0) for kind in events.COUNTED[name])
                if name in events.COUNTED
                else None
            }
            for name in fields
        },
    }


def _field(
    lead: Lead,
    name: str,
    last: Mapping[str, Any] | None,
    refused: list[JSON],
    found: list[StoredLink],
    names: Mapping[UUID, Stored],
) -> dict[str, JSON]:
    origin, row = lead.origins.get(name), policy.field(name)
    change = last["change"] if last else {}
    return {
        "value": notes.render(lead.values.get(name)) if name == "notes" else lead.values.get(name),
        "source": origin.source.value if origin else None,
        "connection_id": origin.connection if origin else None,
        "at": origin.at if origin else None,
        "rule": change.get("rule"),
        "why": row.reason,
        "version": last["version"] if last else None,
        "actor": last["actor"] if last else None,
        "run_id": str(last["run_id"]) if last and last["run_id"] else None,
        "cleared": name in lead.cleared,
        "losing": [
            *change.get("losers", []),
            *({"value": r["value"], "why": r["reason"], "at": r["at"]} for r in refused),
        ],
        "links": [
            _shown(lead, s, mapped, names[s.connection_id])
            for s in found
            if (mapped := s.link.connection.mapping.fields.get(name)) is not None
        ],
    }


def _shown(lead: Lead, stored: StoredLink, mapped: Mapped, connection: Stored) -> dict[str, JSON]:
    link, name = stored.link, mapped.field
    raw = link.observed.get(name, MISSING)
    state, reason = _ended(stored) or (
        _incoming(lead, link, mapped, raw) if mapped.direction == "pull" else _two_way(link, name)
    )
    return {
        "link_id": link.id,
        "connection_id": str(connection.id),
        "connection": connection.name,
        "remote_id": stored.remote_id if link.connection.source is Source.AIRTABLE else None,
        "direction": mapped.direction,
        "rule": mapped.rule.value,
        "state": state,
        "reason": reason,
        "observed": None if raw is MISSING else raw,
        "observed_at": link.observed_at or None,
    }


def _ended(stored: StoredLink) -> tuple[str, str | None] | None:
    if stored.gone_at is not None:
        return State.DIVERGED.value, f"the record is gone since {instant(stored.gone_at)}"
    if stored.ended:
        return State.DIVERGED.value, "this link has ended"
    if not stored.link.writing:
        return State.DIVERGED.value, "another record speaks for this lead"
    return None


def _two_way(link: Link, name: str) -> tuple[str, str | None]:
    cell = link.cell(name)
    return cell.state.value, cell.reason


def _incoming(lead: Lead, link: Link, mapped: Mapped, raw: JSON) -> tuple[str, str | None]:
    """An incoming field has no state of its own: it is derived by comparing both sides."""
    name = mapped.field
    if raw is MISSING:
        return State.AGREED.value, "not shown there"
    if raw != link.base_remote.get(name, MISSING):
        return State.PENDING.value, "seen, and not yet judged"
    here = lead.values.get(name)
    try:
        there = mapped.decode(raw) if link.connection.source is Source.AIRTABLE else raw
    except Unreadable as exc:
        return State.DIVERGED.value, str(exc)
    if _agrees(link, mapped.rule, here, there):
        return State.AGREED.value, None
    return State.DIVERGED.value, f"the rule {mapped.rule.value} keeps the value here"


def _agrees(link: Link, rule: Rule, here: JSON, there: JSON) -> bool:
    if there is MISSING or is_empty(there) or here == there:
        return True
    match rule:
        case Rule.COUNTER:
            return int(there) <= int(here or 0)
        case Rule.EVENT_TIME:
            return isinstance(there, Mapping) and there.get("value") in (None, here)
        case Rule.DEEP_MERGE:
            held = (here or {}).get(link.namespace, {}) if link.namespace else here
            return isinstance(there, Mapping) and isinstance(held, Mapping) and there.items() <= held.items()
    return False


async def links_of(tx: Tx, lead_id: UUID) -> list[dict[str, JSON]]:
    """Returns the remote records of a lead, with what is under way; Instantly's own ids are never shown."""
    names = {c.id: c for c in await connections.every(tx)}
    found = await links.of_leads(tx, [lead_id], {i: c.view for i, c in names.items()})
    asked: dict[str, list[JSON]] = {}
    for row in await requests.of_links(tx, [UUID(s.link.id) for s in found]):
        asked.setdefault(str(row["link_id"]), []).append(row)
    return [
        {
            "id": s.link.id,
            "connection_id": s.connection_id,
            "remote_id": s.remote_id if s.link.connection.source is Source.AIRTABLE else None,
            "writing": s.link.writing,
            "observed": s.link.observed,
            "observed_at": s.link.observed_at or None,
            "states": {name: cell.state.value for name, cell in s.link.cells.items() if cell.state is not State.AGREED},
            "pending": s.push_due,
            "error": s.error,
            "ended": s.ended,
            "gone": s.gone,
            "gone_since": s.gone_at,
            "requests": asked.get(s.link.id, []),
        }
        for s in sorted(found, key=lambda s: s.link.order)
    ]
