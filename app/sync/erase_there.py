"""Erase there: the records of erased people are deleted at their providers, if whoever erased them asked for that.

The person is gone here already; all that is known is which record is meant, and that is forgotten once it is deleted.
A lost answer is no trouble: a record that is not there any more is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from app.db import erasure, reviews
from app.providers.base import Refused, Rejected, Uncertain
from app.sync.job import Job

#: Seconds until a record is tried again that could not be deleted.
AGAIN = 3600.0
WHY = "this record is about a person who was erased here, and could not be deleted there; it is tried again"


async def erase_there(job: Job) -> None:
    """Deletes everything that is due."""
    size = job.adapter.provider.write_batch
    while True:
        async with job.db.transaction(job.tenant) as tx:
            due = await erasure.due_there(tx, job.id, size)
        if not due:
            return
        await _delete(job, due)


async def _delete(job: Job, remote_ids: Sequence[str]) -> None:
    try:
        await job.adapter.provider.delete(remote_ids, job.may_write)
    except (Rejected, Refused, Uncertain) as exc:
        if isinstance(exc, Rejected) and len(remote_ids) > 1:
            for remote_id in remote_ids:
                await _delete(job, [remote_id])
            return
        async with job.fenced() as tx:
            await erasure.put_off_there(tx, job.id, remote_ids, tx.now + timedelta(seconds=AGAIN))
            for remote_id in remote_ids:
                evidence = {"record": remote_id, "why": f"{WHY}: {exc}"}
                await reviews.put(tx, "erased", evidence, connection_id=job.id, field=remote_id)
    else:
        async with job.fenced() as tx:
            await erasure.forget_there(tx, job.id, remote_ids)
            for remote_id in remote_ids:
                await reviews.close(
                    tx, kind="erased", connection_id=job.id, field=remote_id, why="the record was deleted there"
                )
            job.count("erased_there", len(remote_ids))
            await job.progress(tx, "erase", done=len(remote_ids))
