"""Breakers: when a lot vanishes at once on the other side, a person is asked before anything is believed.

A mass delete is found by the sweep. A mass clear is found here, before news is judged: if one column became empty on
more records than its threshold, the clears of that column wait (everything else goes on) at a quarantine item. If the
values come back, the item closes by itself; approved, the clears are judged like any other news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from app.db import link_work, reviews, runs, sweeps
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain.cells import State
from app.domain.values import JSON, is_empty
from app.errors import LeadkeeperError
from app.sync.job import Job

#: More clears of one column than this, and than this share of all records, wait for a person.
MASS, MASS_SHARE = 20, 0.2
DELETE, CLEAR = "mass delete", "mass clear"


class NotInQuarantine(LeadkeeperError):
    """Only quarantined mass deletes and mass clears are approved or rejected this way."""


async def check_clears(tx: Tx, job: Job) -> None:
    """Finds the fields whose clears wait; opens and closes the items that say so."""
    decided = {*job.options.get("allowed_clears", ()), *job.options.get("refused_clears", ())}
    job.held_clears = frozenset()
    known = {item["field"] for item in await reviews.of_connection(tx, "quarantine", job.id) if item["field"]}
    waiting = await link_work.clears_waiting(tx, job.id, known)
    if not waiting and not known:
        return
    # not before: a fence is a write, and mostly there is nothing to say
    await job.lease.fence(tx)
    total = await sweeps.count_links(tx, job.id)
    held = set()
    for field, records in waiting.items():
        limit = job.connection.thresholds.get(f"mass_clear.{field}", job.connection.thresholds.get("mass_clear"))
        limit = max(MASS, int(total * MASS_SHARE)) if limit is None else limit
        if records > limit and field not in decided:
            held.add(field)
            evidence = {
                "what": CLEAR,
                "field": field,
                "records": records,
                "of": total,
                "why": f"{field} became empty on {records} of {total} records at once: approve it, or undo it there",
            }
            await reviews.put(tx, "quarantine", evidence, connection_id=job.id, field=field)
    for field in known - held:
        why = "the values are there again, or their clears were approved"
        await reviews.close(tx, kind="quarantine", connection_id=job.id, field=field, why=why)
    job.held_clears = frozenset(held)


def hold_back(stored: Sequence[StoredLink], job: Job) -> None:
    """Lets links say nothing about fields whose clears wait, and refuses the clears a person rejected."""
    refused = frozenset(job.options.get("refused_clears", ()))
    for found in stored:
        link = found.link
        for name in (job.held_clears | refused) & set(link.observed):
            if not is_empty(link.observed[name]) or is_empty(link.base_remote.get(name)):
                continue
            if name in refused:
                link.put(name, replace(link.cell(name), state=State.PENDING, remote=link.observed[name]))
            else:
                link.observed = {key: raw for key, raw in link.observed.items() if key != name}


async def decide(tx: Tx, item_id: UUID, *, approve: bool, version: int, actor: str) -> Any:
    """Approves or rejects a quarantine item; returns it as it is now, or None if there is no such item.

    Either way a run looks at the evidence again before it believes it. A rejected mass delete ends the links and leaves
    the leads as they are; a rejected mass clear writes the values back there.

    Raises:
        NotInQuarantine, reviews.AlreadyDecided
    """
    item = await reviews.get(tx, item_id, lock=True)
    if item is None:
        return None
    if item["kind"] != "quarantine":
        raise NotInQuarantine
    evidence, connection_id = item["evidence"], item["connection_id"]
    await reviews.decide(tx, item_id, version, {"approved": approve, "by": actor}, actor)
    options: dict[str, JSON]
    if evidence["what"] == CLEAR:
        options = {"allowed_clears" if approve else "refused_clears": [evidence["field"]]}
        await link_work.touch_all(tx, connection_id)
        await runs.queue(tx, connection_id, "to_remote", "approval", requested_by=actor, options=options)
    else:
        options = {"allowed_deletes": evidence["missing"], "keep_leads": not approve}
        await runs.queue(tx, connection_id, "full", "approval", requested_by=actor, options=options)
    return await reviews.get(tx, item_id)
