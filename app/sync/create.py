"""Create: records for leads that the connection's create filter wants there.

The lead's id goes into the CRM-id column where there is one, so that a create can be recognised. Before a record is
created it is looked up: by that id if an earlier attempt may have happened, by e-mail always. A create whose answer is
lost is looked up again, never repeated blindly.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.db import link_work, links
from app.db.links import StoredLink
from app.domain.identity import strong
from app.domain.lead import Lead
from app.domain.mapping import CRM_ID
from app.providers.base import Guard, Record, Write
from app.sync import outgoing, reconcile
from app.sync.batch import gather, lock_leads_of
from app.sync.job import Job
from app.sync.outgoing import Outgoing

#: Records looked up in one call.
LOOK_UP = 50


async def create(job: Job) -> None:
    """Creates every record that is due."""
    while True:
        async with job.db.transaction(job.tenant) as tx:
            due = await link_work.new_due(tx, job.id, LOOK_UP)
            batch = await gather(tx, job, await lock_leads_of(tx, dict(due)), await job.views(tx))
            started = tx.now
            wanted = [(s, lead) for s, lead in batch.find(dict(due)) if not lead.deleted]
            await link_work.remove(tx, dict(due).keys() - {UUID(s.link.id) for s, _ in wanted})
        if not due:
            return
        known = await _look_up(job, wanted)
        await _adopt(job, [(s, known[s.link.id]) for s, _ in wanted if s.link.id in known], started)
        missing = [s for s, _ in wanted if s.link.id not in known]
        await _drop(job, [s for s in missing if not s.link.writing])
        missing = [s for s in missing if s.link.writing]
        size = job.adapter.provider.write_batch
        for start in range(0, len(missing), size):
            await _create(job, missing[start : start + size])


async def _look_up(job: Job, wanted: Sequence[tuple[StoredLink, Lead]]) -> dict[str, Record]:
    """Returns, by link, the records that are there already; of several the oldest."""
    table, provider = job.connection.table, job.adapter.provider
    found: dict[str, Record] = {}
    if CRM_ID in table.pseudo:
        tried = {s.link.key.removeprefix(link_work.NEW): s.link.id for s, _ in wanted if s.attempts}
        column = table.pseudo[CRM_ID].column
        for record in await provider.find(column, sorted(tried)) if tried else []:
            found.setdefault(tried.get(str(record.cells.get(column)).strip(), ""), record)
    if "email" in table.fields:
        column = table.fields["email"].column
        by_email = {
            identity.value: s.link.id
            for s, lead in wanted
            for identity in strong(lead.values)
            if identity.kind == "email" and s.link.id not in found
        }
        records = await provider.find(column, sorted(by_email)) if by_email else []
        for record in sorted(records, key=lambda r: (r.created_at or "", r.key)):
            found.setdefault(by_email.get(str(record.cells.get(column)).strip().lower(), ""), record)
    found.pop("", None)
    return found


async def _adopt(job: Job, pairs: Sequence[tuple[StoredLink, Record]], started: datetime) -> None:
    """Ties leads to records that were there already, by first contact; the plan to create them is dropped."""
    if not pairs:
        return
    async with job.fenced() as tx:
        observations = [job.adapter.observe(record) for _, record in pairs]
        await link_work.adopt(tx, job.id, [(UUID(s.link.id), o) for (s, _), o in zip(pairs, observations, strict=True)])
        await links.observe(tx, job.id, observations, at=started, mapping_version=job.connection.mapping_version)
        job.count("found_there", len(pairs))
    await reconcile.reconcile(job)


async def _drop(job: Job, silenced: Sequence[StoredLink]) -> None:
    """Forgets plans whose lead has a record that speaks by now, and whose own was not made."""
    if silenced:
        async with job.fenced() as tx:
            await link_work.remove(tx, [UUID(s.link.id) for s in silenced])


async def _create(job: Job, chunk: Sequence[StoredLink]) -> None:
    column = job.connection.table.pseudo[CRM_ID].column if CRM_ID in job.connection.table.pseudo else None
    async with job.fenced() as tx:
        ids = [UUID(s.link.id) for s in chunk]
        batch = await gather(tx, job, await lock_leads_of(tx, ids), await job.views(tx))
        ready = []
        for stored, lead in batch.find(ids):
            if not stored.link.writing or lead.deleted:
                continue
            out = outgoing.pick(stored, lead)
            if column is not None:
                out.cells[column] = lead.id
            if out.cells:
                ready.append(out)
        await outgoing.store(tx, job, ready, "create")
        started = tx.now
    if ready:
        await outgoing.send(job, ready, lambda some, guard: _call(job, some, guard, column), started)


async def _call(job: Job, some: Sequence[Outgoing], guard: Guard, column: str | None) -> list[Record]:
    writes = [Write(remote_id=None, cells=out.cells) for out in some]
    return await job.adapter.provider.create(writes, guard, merge_on=column)
