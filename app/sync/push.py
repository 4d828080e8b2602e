"""Push: what a link's record does not have yet is written there, and nothing is overwritten unread.

For up to a hundred links: read the records again in one call, reconcile what they show, then write what is still
pending, ten records a call. What was read is believed for three seconds; whatever has not left by then is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app.db import link_work, links
from app.db.link_work import Work
from app.providers.base import Guard, Record, Write
from app.sync import outgoing, reconcile
from app.sync.batch import gather
from app.sync.create import create
from app.sync.job import Job
from app.sync.outgoing import FRESH_SECONDS, Outgoing


async def push(job: Job) -> None:
    """Writes everything that is due, until nothing is left that can be written now."""
    await create(job)
    before = -1
    while before != (before := job.counters["looked_at"] + job.counters["written_there"]):
        async with job.db.transaction(job.tenant) as tx:
            due = await link_work.push_due(tx, job.id, job.adapter.provider.read_batch)
        if not due:
            return
        read_at = await _read_again(job, due)
        size = job.adapter.provider.write_batch
        while due and (await job.db.now()) - read_at < timedelta(seconds=FRESH_SECONDS):
            chunk, due = due[:size], due[size:]
            await _write(job, chunk, read_at)


async def _read_again(job: Job, due: Sequence[Work]) -> datetime:
    """Stores what the records show now and lets it be judged, so that the write meets no news it did not know."""
    async with job.db.transaction(job.tenant) as tx:
        views = await job.views(tx)
        stored = await links.by_ids(tx, dict(due), views)
        started = tx.now
    records = await job.adapter.provider.read([s.remote_id for s in stored if s.remote_id])
    shown = {record.key for record in records}
    seen = [UUID(s.link.id) for s in stored if s.link.key in shown]
    unseen = [UUID(s.link.id) for s in stored if s.link.key not in shown]
    async with job.fenced() as tx:
        observations = [job.adapter.observe(record) for record in records]
        await links.observe(tx, job.id, observations, at=started, mapping_version=job.connection.mapping_version)
        await link_work.looked_at(tx, seen, started)
        # perhaps deleted there; only a complete listing says so, and until then nothing is written to it
        error = "The record was not found there; the next complete listing tells whether it is gone."
        await link_work.delay(tx, unseen, until=tx.now + timedelta(hours=1), failed=False, error=error)
    await reconcile.run_batch(job, [(link_id, dict(due)[link_id]) for link_id in seen])
    return started


async def _write(job: Job, chunk: Sequence[Work], read_at: datetime) -> None:
    async with job.fenced() as tx:
        views = await job.views(tx)
        batch = await gather(tx, job, [lead_id for _, lead_id in chunk if lead_id], views)
        ready: list[Outgoing] = []
        for stored, lead in batch.find(link_id for link_id, _ in chunk):
            if lead.deleted:
                continue
            out = outgoing.pick(stored, lead)
            if out.cells:
                ready.append(out)
            elif out.blocked:
                await outgoing.wait_blocked(tx, out)
        await outgoing.store(tx, job, ready, "update")
    if ready:
        await outgoing.send(job, ready, lambda some, guard: _update(job, some, guard), read_at)


async def _update(job: Job, some: Sequence[Outgoing], guard: Guard) -> list[Record]:
    writes = [Write(remote_id=out.stored.remote_id, cells=out.cells) for out in some]
    return await job.adapter.provider.update(writes, guard)
