"""The inbox's loop: what was delivered is applied at once, and what a crash left behind a few seconds later.

Nothing is kept in memory only: the database says what is due, and whoever asks gets the same answer. Several instances
may work the same deliveries; whoever locks the lead first has done it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import structlog

from app.db import deliveries
from app.db.session import DatabaseUnavailable, Tenant
from app.runtime import Runtime
from app.sync.inbox import apply

log = structlog.get_logger()
#: Seconds between two looks at what nobody has announced, and between two looks for a workspace of what had none.
SWEEP_EVERY, ROUTE_EVERY = 3.0, 300.0
#: Deliveries of a workspace in one transaction, and workspaces at a time.
BATCH, AT_ONCE = 100, 4
#: Seconds after a failure, doubled with each one that follows.
FIRST_WAIT, LAST_WAIT = 1.0, 30.0
#: Failures of a workspace's batch before its deliveries are tried one by one.
PATIENCE = 2


class Inbox:
    """Applies what is due, workspace by workspace."""

    def __init__(self, runtime: Runtime, *, sweep_every: float = SWEEP_EVERY, first_wait: float = FIRST_WAIT) -> None:
        self._db = runtime.db
        self._sweep_every = sweep_every
        self._first_wait = first_wait
        self._fingerprint = runtime.vault.address
        self._nudged = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        #: failures in a row, and when to try again
        self._failures: dict[UUID, tuple[int, float]] = {}

    def nudge(self) -> None:
        """Says that something was stored just now."""
        self._nudged.set()

    async def drain(self) -> int:
        """Applies everything that is due now; returns how many deliveries that was."""
        count = 0
        while True:
            now = asyncio.get_running_loop().time()
            found = await deliveries.due(self._db, BATCH)
            batches = [(w, ids) for w, ids in found if self._failures.get(w, (0, 0.0))[1] <= now]
            if not batches:
                return count
            done = await asyncio.gather(*(self._apply(workspace, ids) for workspace, ids in batches))
            count += sum(done)

    async def work(self) -> None:
        """Works until it is cancelled."""
        failures, routed = 0, 0.0
        clock = asyncio.get_running_loop().time
        while True:
            self._nudged.clear()
            try:
                if clock() - routed >= ROUTE_EVERY:
                    async with self._db.transaction() as tx:
                        await deliveries.route(tx)
                    routed = clock()
                await self.drain()
                failures = 0
            except DatabaseUnavailable:
                failures += 1
                log.warning("inbox.database_away")
            except Exception:
                failures += 1
                log.exception("inbox.failed")
            if failures:
                # what arrives meanwhile finds the database as we do: it does not shorten the wait
                await asyncio.sleep(self._wait(failures))
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self._sweep_every)

    async def _apply(self, workspace_id: UUID, ids: list[UUID]) -> int:
        """Applies a batch; one workspace's trouble is not another's."""
        async with self._room:
            failed = self._failures.get(workspace_id, (0, 0.0))[0]
            tenant = Tenant(workspace_id)
            try:
                if failed < PATIENCE:
                    await apply(self._db, tenant, ids, fingerprint=self._fingerprint)
                else:
                    await self._one_by_one(tenant, ids)
            except Exception as exc:
                if not isinstance(exc, DatabaseUnavailable):
                    log.exception("inbox.failed", workspace_id=str(workspace_id))
                until = asyncio.get_running_loop().time() + self._wait(failed + 1)
                self._failures[workspace_id] = failed + 1, until
                return 0
            self._failures.pop(workspace_id, None)
            return len(ids)

    async def _one_by_one(self, tenant: Tenant, ids: list[UUID]) -> None:
        """Finds what keeps a batch from being applied, such as a lead that somebody holds locked, and lets it wait."""
        for one in ids:
            try:
                await apply(self._db, tenant, [one], fingerprint=self._fingerprint)
            except Exception as exc:
                async with self._db.transaction(tenant) as tx:
                    await deliveries.failed(tx, one, f"It could not be applied ({type(exc).__name__}).")

    def _wait(self, failures: int) -> float:
        return min(LAST_WAIT, self._first_wait * 2.0 ** min(failures - 1, 10))


@contextlib.asynccontextmanager
async def applied(runtime: Runtime, inbox: Inbox | None = None) -> AsyncIterator[Inbox]:
    """Applies deliveries for as long as the block runs."""
    found = inbox or Inbox(runtime)
    task = asyncio.create_task(found.work())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
