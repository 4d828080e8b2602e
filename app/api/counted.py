"""Answers that cost a look at everything: counted at most once at a time, and kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final
from uuid import UUID

#: An answer is kept for so many times as long as it took, up to some seconds: counting takes a twentieth of the
#: database's time at most, and a small workspace is always up to date.
TIMES, LONGEST = 20, 60.0
#: Workspaces remembered at most; the one that was counted the longest ago is forgotten.
REMEMBERED: Final = 1000


class Counted:
    """Answers of one kind, by workspace."""

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._known: OrderedDict[UUID, tuple[float, bytes]] = OrderedDict()
        self._locks: dict[UUID, asyncio.Lock] = {}

    async def get(self, workspace_id: UUID, count: Callable[[], Awaitable[bytes]]) -> bytes:
        """Returns what was counted a moment ago, or counts; who asks meanwhile waits for the same answer."""
        lock = self._locks.setdefault(workspace_id, asyncio.Lock())
        try:
            async with lock:
                until, answer = self._known.get(workspace_id, (0.0, b""))
                if self._seconds() < until:
                    return answer
                began = self._seconds()
                answer = await count()
                ended = self._seconds()
                self._known[workspace_id] = (ended + min(TIMES * (ended - began), LONGEST), answer)
                self._known.move_to_end(workspace_id)
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
                return answer
        finally:
            if not lock.locked():
                self._locks.pop(workspace_id, None)
