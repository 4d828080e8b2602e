"""Reconcile: stored observations and edits become decisions, a batch of leads per transaction.

Here is what is to be looked at; a `batch` locks, plans and writes, and all policy is in `domain`. A batch that lost a
race is run again; a record that breaks its batch is found by halving, noted on its link, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from app.db import connections, leads, link_work, links
from app.db.ids import new_id
from app.db.link_work import Work
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain import filters
from app.sync import breakers, place
from app.sync.batch import gather, settle
from app.sync.halving import Overtaken, halving
from app.sync.job import Job

log = structlog.get_logger()
#: Leads one transaction locks: a tenth of a second's work, so that an edit of one of them hardly waits.
BATCH = 500


async def reconcile(job: Job) -> None:
    """Works through everything of this connection that changed, there and here, until nothing is left."""
    async with job.db.transaction(job.tenant) as tx:
        if job.connection.pushes:
            await breakers.check_clears(tx, job)
        batch = await link_work.dirty(tx, job.id, BATCH)
    await _changed_there(job, batch)
    if job.connection.pushes:
        await _changed_here(job)


async def _changed_there(job: Job, batch: Sequence[Work]) -> None:
    """Reconciles links with a new observation or decision, of which `batch` are the first."""
    while batch:
        await run_batch(job, batch)
        if len(batch) < BATCH:
            return
        async with job.db.transaction(job.tenant) as tx:
            batch = await link_work.dirty(tx, job.id, BATCH)


async def run_batch(job: Job, work: Sequence[Work]) -> None:
    """Reconciles some links in one transaction; where one of them breaks it, goes on without it."""

    async def park(broken: Work, exc: Exception) -> None:
        link_id, _ = broken
        log.exception("link.failed", link_id=str(link_id), connection_id=str(job.id))
        async with job.fenced() as tx:
            error = f"This record could not be reconciled ({type(exc).__name__}): see the log."
            await link_work.park(tx, [link_id], error)
        job.count("failed")

    await halving(job.db, work, lambda some: _batch(job, some), park)


async def _batch(job: Job, work: Sequence[Work]) -> None:
    async with job.fenced() as tx:
        views = await job.views(tx)
        # a merge may have moved them since they were found
        work = await link_work.whose(tx, [link_id for link_id, _ in work])
        unknown = await links.by_ids(tx, [link_id for link_id, lead_id in work if lead_id is None], views)
        oldest_first = sorted(unknown, key=lambda s: (s.link.created_at, s.link.key))
        placement = await place.place(tx, oldest_first, job.adapter.fingerprint)
        known = {lead_id for _, lead_id in work if lead_id is not None}
        batch = await gather(tx, job, known, views, placement)
        if any(stored.merged_into for stored in batch.leads.values()):
            raise Overtaken
        ours = [s for found in batch.links.values() for s in found if s.connection_id == job.id]
        newcomers = [
            s for s in ours if s.link.reconciled < 0 and not s.link.base_remote and not s.is_new and not s.gone
        ]
        silenced = await place.elect(tx, job, newcomers, batch.links)
        breakers.hold_back(ours, job)
        await settle(tx, job, batch)
        for stored in silenced:
            await place.note_second(tx, stored)
        idle = placement.unplaced + [s for s in ours if s.link.id in batch.idle]
        await link_work.clean(tx, [UUID(s.link.id) for s in idle])
        await job.progress(tx, "reconcile", done=len(work))


async def _changed_here(job: Job) -> None:
    """Reconciles links of leads that were changed here, and plans the records that are to be created there."""
    xid, after, finished = job.connection.lead_xid, None, False
    creates = not job.connection.create_policy.get("never")
    while not finished:
        async with job.fenced() as tx:
            ids, xid, finished = await leads.changed_since(tx, job.id, xid, after, BATCH, creates=creates)
            after = ids[-1] if ids else after
            if ids:
                await _learn(tx, job, ids)
            if finished or ids:
                await connections.change(tx, job.id, lead_xid=xid)
    job.connection = replace(job.connection, lead_xid=xid)


async def look_at_own_changes(job: Job) -> None:
    """Goes through the leads this very transaction changed, which `_changed_here` cannot see yet (for a preview)."""
    if not job.connection.pushes:
        return
    async with job.db.transaction(job.tenant) as tx:
        ids = await leads.changed_by_this(tx)
        for start in range(0, len(ids), BATCH):
            await _learn(tx, job, ids[start : start + BATCH])


async def _learn(tx: Tx, job: Job, lead_ids: Sequence[UUID]) -> None:
    views = await job.views(tx)
    batch = await gather(tx, job, lead_ids, views)
    creates = [
        lead_id
        for lead_id, stored in batch.leads.items()
        if not stored.lead.deleted
        and not any(s.connection_id == job.id and not s.gone for s in batch.links[lead_id])
        and not _created_elsewhere(job, batch.links[lead_id])
        and filters.wants(job.connection.create_policy, stored.lead.values, stored.created_by)
    ]
    await link_work.add_new(tx, job.id, [(new_id(), lead_id) for lead_id in creates], job.connection.mapping_version)
    job.count("to_create_there", len(creates))
    stale = {
        lead_id: stored
        for lead_id, stored in batch.leads.items()
        if any(s.connection_id == job.id and s.link.reconciled < stored.lead.sync_version for s in batch.links[lead_id])
    }
    batch.leads = stale
    await settle(tx, job, batch)
    await link_work.hurry(tx, job.id, [i for i in stale if any(s.waits for s in batch.links[i])])
    await job.progress(tx, "reconcile", done=len(stale))


def _created_elsewhere(job: Job, of_lead: Sequence[StoredLink]) -> bool:
    """At most one connection creates a record of a lead."""
    return any(s.is_new and s.connection_id != job.id for s in of_lead)
