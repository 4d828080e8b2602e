"""Duplicates: who looks like whom is noticed when leads are added or renamed, and by a scan; a person decides.

Noticing blocks nothing: what was found is a review item beside the lead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db import duplicates, reviews
from app.db.session import Tx
from app.domain.duplicates import person, scan
from app.domain.lead import Lead

#: Leads that are compared with their likes at once.
STEP = 1_000


async def notice(tx: Tx, moved: Sequence[tuple[Lead | None, Lead]]) -> None:
    """Looks for the likes of leads that were added (None before), or whose name, company or phone changed."""
    new = [lead for before, lead in moved if before is None and not lead.deleted]
    renamed = [lead for before, lead in moved if before is not None and _compares_anew(before, lead)]
    if not new and not renamed:
        return
    await duplicates.block(tx, [person(lead.id, lead.values) for lead in new], anew=False)
    if renamed:
        await duplicates.block(tx, await duplicates.people(tx, [UUID(lead.id) for lead in renamed]), anew=True)
    await _look(tx, [UUID(lead.id) for lead in (*new, *renamed)])


def _compares_anew(before: Lead, after: Lead) -> bool:
    return not after.deleted and any(before.values.get(n) != after.values.get(n) for n in duplicates.COMPARED)


async def _look(tx: Tx, lead_ids: Iterable[UUID]) -> int:
    wanted = {str(lead_id) for lead_id in lead_ids}
    found = await duplicates.near(tx, map(UUID, sorted(wanted)))
    return await duplicates.put(tx, scan(found, among=wanted))


@dataclass(frozen=True, slots=True)
class Scanned:
    """How far a scan came, what it found, and after which lead it goes on (None: that was all)."""

    leads: int
    pairs: int
    after: UUID | None


async def look_through(tx: Tx, after: UUID | None, limit: int) -> Scanned:
    """Compares the next `limit` leads with all others."""
    done = pairs = 0
    while done < limit:
        step = min(STEP, limit - done)
        ids, blank = await duplicates.part(tx, after, step)
        if blank:
            await duplicates.block(tx, await duplicates.people(tx, blank), anew=False)
        pairs += await _look(tx, ids)
        done += len(ids)
        if len(ids) < step:
            return Scanned(done, pairs, None)
        after = ids[-1]
    return Scanned(done, pairs, after)


async def dismiss(tx: Tx, item_id: UUID, *, actor: str) -> Any:
    """Decides that two leads are two people, for good; returns the pair, or None if there is no such pair.

    Raises:
        reviews.AlreadyDecided: the two were merged.
    """
    item = await duplicates.get(tx, item_id)
    if item is None:
        return None
    item = await reviews.get(tx, item_id, lock=True)
    if item["state"] != "decided":
        await reviews.decide(tx, item_id, item["version"], {"dismissed": True}, actor)
    return await duplicates.get(tx, item_id)
