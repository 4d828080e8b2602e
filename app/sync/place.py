"""Place: which lead a record nobody knows belongs to.

One strong identity (or the lead's own id in the CRM-id column) that matches ties the record to that lead; two that
point at different leads tie it to neither and ask a person; none makes a new lead, unless the record shows somebody who
was erased: then nothing is kept of it but an item that says it is still there. Per two-way connection the oldest
record of a lead has a say, every further one is only shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.db import erasure, leads, link_work, reviews
from app.db.ids import new_id
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain import identity
from app.domain.identity import Identity
from app.domain.lead import Lead
from app.domain.normalize import Unreadable
from app.domain.values import JSON, MISSING
from app.sync.job import Job


@dataclass(slots=True)
class Placement:
    """Where records of one batch go: records by lead, leads to be added, and who owns which identity now."""

    owners: dict[Identity, str]
    by_lead: dict[UUID, list[StoredLink]] = field(default_factory=dict)
    new: dict[UUID, Lead] = field(default_factory=dict)
    unplaced: list[StoredLink] = field(default_factory=list)

    def put(self, lead_id: UUID, stored: StoredLink) -> None:
        """Ties a record to a lead."""
        stored.lead_id = lead_id
        self.by_lead.setdefault(lead_id, []).append(stored)


def identities(stored: StoredLink, lead: Lead | None = None) -> tuple[Identity, ...]:
    """Returns the strong identities a record shows, beside those its lead has in the same words."""
    values: dict[str, JSON] = {}
    for name in identity.STRONG:
        mapped = stored.link.connection.mapping.fields.get(name)
        raw = stored.link.observed.get(name)
        if mapped is None or raw is None or (lead is not None and raw == lead.values.get(name)):
            continue
        try:
            value = mapped.decode(raw)
        except Unreadable:
            continue
        if value is not MISSING:
            values[name] = value
    return identity.strong(values) if values else ()


async def place(tx: Tx, records: Sequence[StoredLink], fingerprint: Callable[[str], bytes]) -> Placement:
    """Finds the lead of each record that has none; records of one person that come together go to one lead.

    `fingerprint` gives the keyed hashes by which the erased are recognised.
    """
    shown = {stored.link.id: identities(stored) for stored in records}
    placement = Placement(await leads.owners(tx, {i for found in shown.values() for i in found}))
    named = await _leads_named(tx, records)
    erased = await _erased(tx, records, shown, fingerprint)
    for stored in records:
        if (lead_id := named.get(stored.link.id)) is not None:
            placement.put(lead_id, stored)
            continue
        match identity.match(shown[stored.link.id], placement.owners):
            case identity.One(lead_id=found):
                placement.put(UUID(found), stored)
            case identity.Ambiguous(lead_ids=several):
                placement.unplaced.append(stored)
                await _ask_who(tx, stored, several)
            case _ if stored.link.id in erased:
                placement.unplaced.append(stored)
                await _turn_away(tx, stored)
            case _:
                _new_lead(placement, stored, shown[stored.link.id])
    return placement


def _new_lead(placement: Placement, stored: StoredLink, found: Sequence[Identity]) -> None:
    lead = Lead(id=str(new_id()))
    placement.new[UUID(lead.id)] = lead
    placement.owners |= dict.fromkeys(found, lead.id)
    placement.put(UUID(lead.id), stored)


async def _leads_named(tx: Tx, records: Sequence[StoredLink]) -> dict[str, UUID]:
    """Returns the lead each new record names in its CRM-id column, where there is such a lead."""
    wanted: dict[str, UUID] = {}
    for stored in records:
        with contextlib.suppress(ValueError):
            wanted[stored.link.id] = UUID((stored.crm_id or "").strip())
    known = await leads.existing(tx, wanted.values()) if wanted else {}
    return {link_id: known[lead_id] for link_id, lead_id in wanted.items() if lead_id in known}


async def _ask_who(tx: Tx, stored: StoredLink, lead_ids: Sequence[str]) -> None:
    evidence = {
        "record": stored.link.key,
        "leads": list(lead_ids),
        "why": "its identities belong to different leads; say which lead it is, or merge them",
    }
    await reviews.put(
        tx, "candidate", evidence, connection_id=stored.connection_id, link_id=UUID(stored.link.id), field="identity"
    )


async def _erased(
    tx: Tx,
    records: Sequence[StoredLink],
    shown: Mapping[str, Sequence[Identity]],
    fingerprint: Callable[[str], bytes],
) -> set[str]:
    """Returns the records that show somebody who was erased: by an identity, by their key, or by the lead they name."""
    if not records or not await erasure.has_any(tx):
        return set()
    marks = {
        stored.link.id: {
            fingerprint(text)
            for text in (stored.link.key, (stored.crm_id or "").strip(), *(i.value for i in shown[stored.link.id]))
        }
        for stored in records
    }
    known = await erasure.known(tx, {mark for found in marks.values() for mark in found})
    return {link_id for link_id, found in marks.items() if found & known}


async def _turn_away(tx: Tx, stored: StoredLink) -> None:
    """Forgets what a record of an erased person shows; whoever asked for the erasure must know that it is there."""
    await link_work.remove(tx, [UUID(stored.link.id)])
    evidence = {
        "record": stored.remote_id,
        "why": "this record is about a person who was erased here: delete it there, or add the lead again by hand",
    }
    await reviews.put(tx, "erased", evidence, connection_id=stored.connection_id, field=stored.remote_id or "")


async def elect(
    tx: Tx, job: Job, newcomers: Sequence[StoredLink], known: Mapping[UUID, Sequence[StoredLink]]
) -> list[StoredLink]:
    """Decides, for records just tied to a lead, which record of this connection has a say for the lead.

    Returns the others, to be shown to a person once their lead is stored.
    """
    silenced: list[StoredLink] = []
    if job.adapter.many_per_lead:
        return silenced
    oldest_first = sorted(newcomers, key=lambda s: (s.link.created_at, s.link.key))
    for stored in oldest_first:
        planned = [other for other in _beside(stored, job, known) if other.is_new]
        if planned:
            # created by us, its answer lost: this record is the one that was to be created
            named = f"{link_work.NEW}{(stored.crm_id or '').strip()}"
            plan = next((other for other in planned if other.link.key == named), planned[0])
            stored.link.writing, stored.link.cells = plan.link.writing, dict(plan.link.cells)
            await link_work.remove(tx, [UUID(plan.link.id)])
            plan.link.writing, plan.gone_at = False, tx.now
    for stored in oldest_first:
        for rival in [other for other in _beside(stored, job, known) if not other.is_new and other.link.writing]:
            # one that has no say already has lost it for good, to a merge or to an older record
            contenders = (rival, stored) if stored.link.writing else (stored,)
            younger = max(contenders, key=lambda s: (s.link.created_at, s.link.key))
            younger.link.writing = False
            silenced.append(younger)
    return silenced


def _beside(stored: StoredLink, job: Job, known: Mapping[UUID, Sequence[StoredLink]]) -> list[StoredLink]:
    """Returns the other links that the lead of a link has at this connection."""
    assert stored.lead_id is not None
    return [
        other
        for other in known.get(stored.lead_id, ())
        if other.connection_id == job.id and other is not stored and not other.gone and not other.ended
    ]


async def note_second(tx: Tx, stored: StoredLink) -> None:
    """Shows a person that a lead has a further record, which has no say."""
    evidence = {
        "record": stored.link.key,
        "why": "a further record of the same lead: it is shown but has no say; merge the two there, or archive it",
    }
    await reviews.put(
        tx,
        "candidate",
        evidence,
        connection_id=stored.connection_id,
        link_id=UUID(stored.link.id),
        lead_id=stored.lead_id,
        field="second record",
    )
