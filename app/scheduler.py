"""The scheduler: in every instance a tick looks for due work in Postgres and takes what nobody else works.

Nothing is kept in memory only. An instance that dies loses its leases in half a minute, and any other goes on where it
stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from os import getpid
from uuid import UUID

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from app.db import connections, watches
from app.db.connections import LEASE_SECONDS, Lease, LeaseLost
from app.db.session import DatabaseUnavailable, Tenant
from app.runtime import Runtime
from app.sync import hooks, run

log = structlog.get_logger()
#: Seconds that stopping waits for a tick under way.
LAST_TICK = 5.0
#: Connections one instance works at a time.
AT_ONCE = 4


class Worker:
    """Takes due connections and works them, several side by side."""

    def __init__(self, runtime: Runtime, name: str | None = None, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._runtime = runtime
        self._name = name or f"{socket.gethostname()}:{getpid()}"
        self._lease_seconds = lease_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def tick(self) -> None:
        """Claims what is due and starts working it."""
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return
        try:
            leases = await connections.claim(self._runtime.db, self._name, room, seconds=self._lease_seconds)
            left = await watches.claim_nobodys(self._runtime.db, hooks.EVERY)
        except DatabaseUnavailable:
            log.warning("scheduler.database_away")
            return
        for work in (*map(self._work, leases), *(self._clear_up(*one) for one in left)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, lease: Lease) -> None:
        try:
            await run.turn(self._runtime.db, lease, self._runtime.adapter)
        except DatabaseUnavailable:
            log.warning("turn.database_away", connection_id=str(lease.connection_id))
        except Exception as exc:
            log.exception("turn.failed", connection_id=str(lease.connection_id))
            with contextlib.suppress(DatabaseUnavailable, LeaseLost):
                await run.broke(self._runtime.db, lease, exc)

    async def _clear_up(self, workspace_id: UUID, connection_id: UUID) -> None:
        try:
            await hooks.remove_nobodys(self._runtime.db, Tenant(workspace_id), connection_id, self._runtime.adapter)
        except DatabaseUnavailable:
            log.warning("hook.database_away", connection_id=str(connection_id))
        except Exception:
            log.exception("hook.failed", connection_id=str(connection_id))

    @property
    def is_busy(self) -> bool:
        """Tells whether work is under way."""
        return bool(self._tasks)

    async def idle(self) -> None:
        """Waits until the work under way is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Ends the work under way; what is stored is enough to go on from."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def scheduled(runtime: Runtime, worker: Worker | None = None) -> AsyncIterator[Worker]:
    """Ticks for as long as the block runs."""
    worker = worker or Worker(runtime)
    scheduler = AsyncIOScheduler(timezone="UTC")
    ticking = asyncio.Lock()

    async def tick() -> None:
        async with ticking:
            await worker.tick()

    scheduler.add_job(
        tick,
        "interval",
        seconds=runtime.settings.scheduler_tick_seconds,
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
    )
    scheduler.start()
    try:
        yield worker
    finally:
        # a tick under way comes to its end, which takes a statement or two: cut off, it would be logged as a failure,
        # and what it has claimed would wait for its lease to run out
        scheduler.remove_all_jobs()
        await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_TICK), ticking:
                pass
        scheduler.shutdown(wait=False)
        await worker.stop()
