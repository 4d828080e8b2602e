"""The pool of connections: asyncpg's, with those that have just committed at hand for the next transaction.

asyncpg takes a connection back in a task of its own, which costs as much as a statement that reads a row. One whose
transaction was committed is at rest and needs nothing of that; every other one goes asyncpg's way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import asyncpg

#: Seconds after which a connection that nobody used is closed, as asyncpg does with those it holds: what is between it
#: and the server may have forgotten it.
UNUSED: Final = 300.0


class Pool:
    """Wraps a pool of asyncpg's."""

    def __init__(self, pool: Any, seconds: Callable[[], float] = monotonic) -> None:
        self._pool = pool
        self._seconds = seconds
        #: the one that was used last at the end
        self._resting: list[tuple[Any, float]] = []
        self._waiting = 0
        self._is_closing = False

    async def acquire(self, *, timeout: float) -> Any:
        """Returns a connection; waits so many seconds for one."""
        while self._resting:
            connection, since = self._resting.pop()
            # asyncpg has taken one that broke back already, and says so with an error
            with contextlib.suppress(asyncpg.InterfaceError):
                if not connection.is_closed() and self._seconds() - since <= UNUSED:
                    return connection
                connection.terminate()
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=timeout)
        finally:
            self._waiting -= 1

    async def rest(self, connection: Any) -> None:
        """Takes back a connection on which nothing is under way: what it did last was committed."""
        if self._waiting or self._is_closing:
            await self._pool.release(connection)
        else:
            self._resting.append((connection, self._seconds()))

    async def release(self, connection: Any) -> None:
        """Takes back a connection, in whatever state it is."""
        await self._pool.release(connection)

    async def close(self) -> None:
        """Closes every connection; waits for those in use."""
        self._is_closing = True
        while self._resting:
            connection, _ = self._resting.pop()
            await self._pool.release(connection)
        await self._pool.close()

    def terminate(self) -> None:
        """Closes every connection at once."""
        self._pool.terminate()

    def get_size(self) -> int:
        """Returns how many connections there are."""
        size: int = self._pool.get_size()
        return size

    def get_idle_size(self) -> int:
        """Returns how many of them nobody uses."""
        idle: int = self._pool.get_idle_size() + len(self._resting)
        return idle
