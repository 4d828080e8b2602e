"""Sweep: what a complete listing did not show is gone, unless too much is gone at once.

Only a listing read from its first page to its last without starting over proves absence, and every missing record is
looked up once more before anything is believed. A mass delete stops at a quarantine item that waits for a person; if
the records are back by then, the item closes by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.db import connections, leads, link_work, reviews, sweeps
from app.db.session import Tx
from app.domain.lead import Origin
from app.domain.values import instant
from app.providers.base import CursorExpired, Record
from app.sync.batch import lock_leads_of
from app.sync.job import STREAM, Job

#: A sweep that misses more than this many records, and more than this share of all, waits for a person.
MASS, MASS_SHARE = 10, 0.05
SWEEP = "sweep"
EVERY = timedelta(hours=24)


async def is_due(job: Job) -> bool:
    """Tells whether it is time to look for records that are gone."""
    async with job.db.transaction(job.tenant) as tx:
        state = await connections.stream(tx, job.id, SWEEP)
        return state.watermark is None or tx.now - state.watermark >= EVERY


async def list_ids(job: Job) -> datetime | None:
    """Lists every record id; returns when the listing began, or None where it broke off and proves nothing."""
    began: datetime | None = None
    position = job.adapter.provider.start("sweep")
    async with job.fenced() as tx:
        await sweeps.forget(tx, job.id)
        began = tx.now
    while True:
        try:
            page = await job.adapter.provider.page(position)
        except CursorExpired:
            return None
        async with job.fenced() as tx:
            await sweeps.saw(tx, job.id, [record.remote_id for record in page.records])
            await job.progress(tx, "sweep", done=len(page.records))
        if page.next is None:
            return began
        position = page.next


async def sweep(job: Job, began: datetime | None = None) -> None:
    """Ends the links of records that are gone, and the leads that lose their last record with them."""
    if began is None:
        async with job.db.transaction(job.tenant) as tx:
            state = await connections.stream(tx, job.id, STREAM)
        began = datetime.fromisoformat(state.progress["began"])
    async with job.db.transaction(job.tenant) as tx:
        missing = await sweeps.missing(tx, job.id, began)
        total = await sweeps.count_links(tx, job.id)
    gone, _ = await look_up(job, missing)
    threshold = job.connection.thresholds.get("mass_delete", max(MASS, int(total * MASS_SHARE)))
    async with job.fenced() as tx:
        if len(gone) > max(threshold, job.options.get("allowed_deletes", 0)):
            await _quarantine(tx, job, gone, total)
        else:
            await reviews.close(
                tx,
                kind="quarantine",
                connection_id=job.id,
                field="",
                why="the records are there again, or were approved",
            )
            await end(tx, job, gone)
        await sweeps.forget(tx, job.id)
        done = connections.StreamState(position=None, watermark=tx.now, progress={})
        await connections.move_stream(tx, job.id, SWEEP, done)


async def look_up(job: Job, missing: Sequence[Any]) -> tuple[list[Any], list[Record]]:
    """Looks every missing record up once more; returns the links of those that are gone, and the others' records."""
    gone: list[Any] = []
    found: list[Record] = []
    size = job.adapter.provider.read_batch
    for start in range(0, len(missing), size):
        chunk = missing[start : start + size]
        read = await job.adapter.provider.read([row["remote_id"] for row in chunk])
        there = {record.remote_id for record in read}
        found += read
        gone += [row for row in chunk if row["remote_id"] not in there]
    return gone, found


async def _quarantine(tx: Tx, job: Job, gone: Sequence[Any], total: int) -> None:
    evidence = {
        "what": "mass delete",
        "missing": len(gone),
        "of": total,
        "records": [row["remote_id"] for row in gone[:20]],
        "why": f"{len(gone)} of {total} records are gone at once: approve it, or restore them there",
    }
    await reviews.put(tx, "quarantine", evidence, connection_id=job.id)
    job.count("quarantined", len(gone))


async def end(tx: Tx, job: Job, gone: Sequence[Any]) -> None:
    """Ends links; a lead whose writing record is gone goes on with the next oldest, or is tombstoned with the last."""
    if not gone:
        return
    # whose they are by now: merges went on while the provider was asked
    stored = await lock_leads_of(tx, [row["id"] for row in gone])
    await link_work.mark_gone(tx, [row["id"] for row in gone], speaks_again=job.adapter.many_per_lead)
    job.count("gone_there", len(gone))
    if job.adapter.many_per_lead:
        return
    left = await link_work.others(tx, job.id, list(stored))
    heirs: dict[UUID, UUID] = {}
    for row in left:
        heirs.setdefault(row["lead_id"], row["id"])
    for link_id in await link_work.inherit(tx, list(heirs.values())):
        why = "the record beside it is gone: this one speaks now"
        await reviews.close(tx, kind="candidate", link_id=link_id, field="second record", why=why)
    ended = [s.lead for lead_id, s in stored.items() if lead_id not in heirs and not s.lead.deleted]
    if job.options.get("keep_leads"):
        return
    origin = Origin(job.connection.view.source, str(job.id), instant(tx.now))
    await leads.tombstone(tx, ended, source=origin.source.value, run_id=job.run_id, connection_id=job.id)
    await link_work.end_of_lead(tx, [UUID(lead.id) for lead in ended])
    job.count("leads_deleted", len(ended))
