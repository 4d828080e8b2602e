"""The mailroom: takes deliveries in, and says so once they are committed.

What arrives while a statement is being committed waits for the next one, and shares it: many clients cost few commits,
and one client waits for nobody. A delivery is acknowledged after its commit, never before.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from app.db.deliveries import Delivery, Stored
from app.db.session import DatabaseUnavailable

log = structlog.get_logger()
#: Seconds a sender waits at most; the database may take as long for a statement.
PATIENCE = 4.5
#: What one statement takes, and what may wait: rows and bytes. More is told to come back.
GROUP_ROWS, GROUP_BYTES = 128, 8_000_000
WAITING_ROWS, WAITING_BYTES = 5_000, 64_000_000

#: A delivery, and what its sender waits for: what is kept, or None where nobody has the secret.
Waiting = tuple[Delivery, asyncio.Future[Stored | None]]
Store = Callable[[Sequence[Delivery]], Awaitable[list[Stored | None]]]


class Mailroom:
    """Stores deliveries in groups; one for each process."""

    def __init__(self, store: Store, on_kept: Callable[[], None] = lambda: None, *, patience: float = PATIENCE) -> None:
        self._store = store
        #: called after every commit
        self.on_kept = on_kept
        self._patience = patience
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    async def put(self, delivery: Delivery) -> Stored | None:
        """Returns what is kept, committed; None where nobody has the secret.

        Raises `DatabaseUnavailable` where that is not known in time: the sender sends it again, and it is kept once.
        """
        if len(self._waiting) >= WAITING_ROWS or self._bytes >= WAITING_BYTES:
            raise DatabaseUnavailable
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Stored | None] = loop.create_future()
        self._waiting.append((delivery, future))
        self._bytes += len(delivery.body)
        if self._task is None:
            # in a context of its own: it works for whoever comes
            self._task = loop.create_task(self._work(), context=contextvars.Context())
        timer = loop.call_later(self._patience, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Waits for what is being committed."""
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        group: list[Waiting] = []
        try:
            while group := self._next():
                await self._keep(group)
        finally:
            self._task = None
            for _, future in (*group, *self._waiting):
                _give_up(future)
            self._waiting.clear()
            self._bytes = 0

    def _next(self) -> list[Waiting]:
        """Takes those that waited longest; whoever has gone away was promised nothing."""
        group: list[Waiting] = []
        size = 0
        while self._waiting and len(group) < GROUP_ROWS and size < GROUP_BYTES:
            delivery, future = self._waiting.popleft()
            self._bytes -= len(delivery.body)
            if not future.done():
                size += len(delivery.body)
                group.append((delivery, future))
        return group

    async def _keep(self, group: list[Waiting]) -> None:
        try:
            # a connection that hangs is left behind; nobody waits for this group any more by then
            async with asyncio.timeout(2 * self._patience):
                kept = await self._store([delivery for delivery, _ in group])
        except Exception as exc:
            if len(group) > 1 and not isinstance(exc, DatabaseUnavailable):
                # one of them is the cause: the others are not refused for it
                for one in group:
                    await self._keep([one])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(exc)
            return
        for (_, future), stored in zip(group, kept, strict=True):
            if not future.done():
                future.set_result(stored)
        self.on_kept()


def _give_up(future: asyncio.Future[Stored | None]) -> None:
    if not future.done():
        future.set_exception(DatabaseUnavailable())
