"""Duplicates: who looks like whom is noticed when leads are added or renamed, and by a scan; a person decides.

Noticing blocks nothing: what was found is a review item beside the lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db import duplicates, reviews
from app.db.session import Tx
from app.domain.duplicates import Person, person, scan
from app.domain.lead import Lead

#: Leads that are compared with their likes at once: of a million, these have seven thousand.
STEP = 250


async def notice(tx: Tx, moved: Sequence[tuple[Lead | None, Lead]]) -> None:
    """Looks for the likes of leads that were added (None before), came back, or changed name, company or phone."""
    new = [lead for before, lead in moved if before is None and not lead.deleted]
    renamed = [lead for before, lead in moved if before is not None and _compares_anew(before, lead)]
    if not new and not renamed:
        return
    added = [person(lead.id, lead.values) for lead in new]
    await duplicates.block(tx, added, anew=False)
    await look_anew(tx, [UUID(lead.id) for lead in renamed], beside=added)


async def look_anew(tx: Tx, lead_ids: Sequence[UUID], *, beside: Sequence[Person] = ()) -> None:
    """Looks for the likes of leads by what they show by now, and for those of others whose keys are stored already."""
    others = await duplicates.people(tx, lead_ids) if lead_ids else []
    await duplicates.block(tx, others, anew=True)
    await _look(tx, [*beside, *others])


def _compares_anew(before: Lead, after: Lead) -> bool:
    if after.deleted:
        return False
    return before.deleted or any(before.values.get(n) != after.values.get(n) for n in duplicates.COMPARED)


async def _look(tx: Tx, found: Sequence[Person]) -> int:
    """Compares leads, whose blocking keys are stored, with one another and with all others."""
    likes = await duplicates.near(tx, found)
    return await duplicates.put(tx, scan([*found, *likes], among={one.id for one in found}))


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
        found = await duplicates.part(tx, after, step)
        await duplicates.block(tx, found, anew=False)
        pairs += await _look(tx, found)
        done += len(found)
        if len(found) < step:
            return Scanned(done, pairs, None)
        after = UUID(found[-1].id)
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
