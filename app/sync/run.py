"""Run: one turn of one connection, from its lease to its ledger.

A turn does the runs that wait for the connection (asked for, scheduled, or left behind by a worker that died), then
whatever was changed here and is still to be written there. What it cannot do it says on the connection or on the run,
and the next turn starts where this one stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.db import connections, link_work, links, requests, runs
from app.db.connections import Lease, LeaseLost, Stored
from app.db.session import Database, DatabaseUnavailable, Tx
from app.domain.policy import COUNTERS
from app.providers.base import Mode, ProviderError, RateLimited, Refused, Rejected
from app.sync import (
    analytics,
    completeness,
    erase_there,
    hooks,
    mails,
    plans,
    pull,
    push,
    reconcile,
    sweep,
    write_back,
)
from app.sync.job import Cancelled, Job, OpenAdapter

log = structlog.get_logger()

#: Signs of life while a lease lasts, and seconds before a turn that failed is tried again.
HEARTBEATS, RETRY = 3, 60.0
#: What a status refresh may change.
REFRESHED = (*COUNTERS, "status", "is_positive_reply")


async def turn(db: Database, lease: Lease, open_adapter: OpenAdapter, *, heartbeat: bool = True) -> None:
    """Does everything that is due for a leased connection, and gives it back."""
    next_run_at: datetime | None = None
    try:
        async with db.transaction(lease.tenant) as tx:
            connection = await connections.get(tx, lease.connection_id)
            if connection is not None:
                await _queue_scheduled(tx, connection)
        if connection is None:
            return
        async with _alive(lease) if heartbeat else contextlib.nullcontext():
            next_run_at = await _work(db, lease, connection, open_adapter)
    except LeaseLost:
        log.warning("lease.lost", connection_id=str(lease.connection_id))
        return
    await lease.release(next_run_at)


async def _queue_scheduled(tx: Tx, connection: Stored) -> None:
    """Turns the schedule, or what was changed here, into a run, unless one waits already."""
    if connection.state not in ("active", "new") or await runs.open_for(tx, connection.id) is not None:
        return
    if connection.next_run_at is not None and connection.next_run_at <= tx.now:
        await runs.queue(tx, connection.id, "delta", "schedule")
    elif connection.state == "active" and await connections.has_work(tx, connection):
        await runs.queue(tx, connection.id, "to_remote", "change")


async def _work(db: Database, lease: Lease, connection: Stored, open_adapter: OpenAdapter) -> datetime | None:
    next_run_at: datetime | None = None
    try:
        async with open_adapter(db, lease.tenant, connection) as adapter:
            job = Job(db=db, tenant=lease.tenant, connection=connection, adapter=adapter, lease=lease)
            while (run := await _next_run(job)) is not None:
                next_run_at = await _one_run(job, run) or next_run_at
                if job.ended:
                    break
    except (ProviderError, DatabaseUnavailable) as exc:
        next_run_at = await _failed(db, lease, None, exc)
    return next_run_at


async def _next_run(job: Job) -> Any:
    async with job.fenced() as tx:
        run = await runs.open_for(tx, job.id)
        if run is not None:
            await runs.start(tx, run["id"])
        return run


async def _one_run(job: Job, run: Any) -> datetime | None:
    """Executes one run and closes it in the ledger, whatever happens."""
    job.run_id, job.options, job.stage = run["id"], run["options"], ""
    job.counters.clear()
    job.counters.update(run["counters"])
    log.info("run.started", run_id=str(job.run_id), kind=run["kind"], connection_id=str(job.id))
    try:
        await STEPS[run["kind"]](job)
    except Cancelled:
        return None
    except Rejected as exc:
        if await _lost_column(job, exc):
            return None
        return await _failed(job.db, job.lease, job, exc)
    except (ProviderError, DatabaseUnavailable) as exc:
        return await _failed(job.db, job.lease, job, exc)
    finally:
        finished, job.run_id = job.run_id, None
    async with job.fenced() as tx:
        await runs.finish(tx, finished, "done", job.counters)
        await connections.recovered(tx, job.id)
        if run["kind"] in ("to_remote", "analytics", completeness.KIND):
            return None
        return tx.now + timedelta(minutes=job.connection.schedule_minutes)


async def _lost_column(job: Job, exc: Rejected) -> bool:
    """A mapped column is no longer there: says so, and lets the run go on without it at the next claim."""
    every = {m.column: m.name for m in (*job.connection.table.fields.values(), *job.connection.table.pseudo.values())}
    if exc.column is None or exc.column not in every or exc.column in job.connection.table.missing:
        return False
    name = every[exc.column]
    reason = f"The column {name!r} is no longer in the table: add it again, or change the mapping. The rest goes on."
    async with job.fenced() as tx:
        missing = [*job.connection.config.get("missing_columns", []), exc.column]
        config = job.connection.config | {"missing_columns": missing}
        await connections.change(tx, job.id, config=config, reason=reason)
    job.ended = True
    return True


async def _failed(db: Database, lease: Lease, job: Job | None, exc: Exception) -> datetime | None:
    """Writes a failure where a person will see it; a refusal stops the connection, anything else is tried again."""
    log.warning("run.failed", connection_id=str(lease.connection_id), error=str(exc))
    if isinstance(exc, DatabaseUnavailable):
        raise exc
    async with db.transaction(lease.tenant) as tx:
        await lease.fence(tx)
        if job is not None and job.run_id is not None:
            await runs.finish(tx, job.run_id, "failed", job.counters, str(exc))
        if isinstance(exc, Refused):
            await connections.change(tx, lease.connection_id, state="stopped", reason=str(exc))
            # what else was asked for would only be refused again
            await runs.cancel_for(tx, lease.connection_id, str(exc))
            if job is not None:
                job.ended = True
            return None
        seconds = exc.retry_after if isinstance(exc, RateLimited) else RETRY
        return await _put_off(tx, lease.connection_id, str(exc), seconds)


async def broke(db: Database, lease: Lease, exc: Exception) -> None:
    """A turn ended in an error nobody foresaw: says so where a person looks, and tries again after a while."""
    error = f"This run broke off ({type(exc).__name__}): see the log. It is tried again."
    async with db.transaction(lease.tenant) as tx:
        await lease.fence(tx)
        run = await runs.open_for(tx, lease.connection_id)
        if run is not None:
            # one that was not begun yet as well: it would be taken up again at once
            await runs.finish(tx, run["id"], "failed", run["counters"], error)
        until = await _put_off(tx, lease.connection_id, error, RETRY)
    await lease.release(until)


async def _put_off(tx: Tx, connection_id: UUID, reason: str, seconds: float) -> datetime:
    """Lets all work of a connection wait, and says why; returns until when."""
    until = tx.now + timedelta(seconds=seconds)
    await connections.change(tx, connection_id, reason=reason)
    await link_work.put_off(tx, connection_id, until)
    await requests.put_off(tx, connection_id, until)
    return until


async def delta(job: Job) -> None:
    """Reads what changed, reconciles both ways, writes what is missing there."""
    await _read_and_write(job, "delta")


async def full(job: Job) -> None:
    """Reads everything, so that what a delta cannot show is found too; it never wipes anything."""
    await _read_and_write(job, "full")


async def _read_and_write(job: Job, mode: Mode) -> None:
    if job.connection.state == "new":
        await _first(job)
        return
    await hooks.watch(job)
    mode = await pull.pull(job, mode)
    if mode == "full" and job.connection.pushes:
        await sweep.sweep(job)
    elif job.connection.pushes and await sweep.is_due(job):
        began = await sweep.list_ids(job)
        if began is not None:
            await sweep.sweep(job, began)
    await both_ways(job)
    await _catch_up(job)


async def refresh(job: Job) -> None:
    """Reads everything, but lets only counters, status and the positive flag speak."""
    whole = job.adapter
    job.adapter = replace(whole, observe=lambda record: _only_refreshed(whole.observe(record)), shows_all=False)
    try:
        await full(job)
    finally:
        job.adapter = whole


def _only_refreshed(seen: links.Observation) -> links.Observation:
    return replace(seen, observed={name: seen.observed[name] for name in REFRESHED if name in seen.observed})


async def from_remote(job: Job) -> None:
    """Reads and reconciles; writes nothing there."""
    await pull.pull(job, "delta")
    await reconcile.reconcile(job)


async def _first(job: Job) -> None:
    """The first contact applies nothing: it reads everything and shows what would happen."""
    await pull.pull(job, "full")
    if job.connection.pushes:
        await sweep.sweep(job)
    await plans.propose(job)
    if job.connection.auto_approve:
        async with job.fenced() as tx:
            await plans.activate(tx, job.id, actor="auto_approve")
            stored = await connections.get(tx, job.id)
        assert stored is not None
        job.connection = stored
        await both_ways(job)


async def both_ways(job: Job) -> None:
    """Reconciles, and writes what changed here; reads only what it is about to write."""
    await reconcile.reconcile(job)
    if job.connection.pushes:
        await push.push(job)
        await reconcile.reconcile(job)
    if await write_back.write_back(job):
        await reconcile.reconcile(job)
    await erase_there.erase_there(job)


async def _catch_up(job: Job) -> None:
    """Finds what should have been delivered and was not, and what was counted."""
    await mails.poll(job)
    await completeness.look(job)
    await analytics.refresh(job)


STEPS: dict[str, Callable[[Job], Awaitable[None]]] = {
    "delta": delta,
    "full": full,
    "refresh": refresh,
    "to_remote": both_ways,
    "from_remote": from_remote,
    completeness.KIND: completeness.one_day,
    "analytics": analytics.backfill,
}


@contextlib.asynccontextmanager
async def _alive(lease: Lease) -> AsyncIterator[None]:
    """Renews the lease while its work goes on; work whose lease is lost is cancelled."""
    work = asyncio.current_task()
    assert work is not None
    lost: list[Exception] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(lease.seconds / HEARTBEATS)
            try:
                await lease.renew()
            except DatabaseUnavailable:
                continue
            except LeaseLost as exc:
                lost.append(exc)
                work.cancel()
                return

    task = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            raise LeaseLost from None
        raise
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
