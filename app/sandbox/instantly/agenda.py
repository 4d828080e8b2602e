"""Work Instantly does after it has answered waits here until the clock has passed it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime

from app.sandbox.core import Clock

Work = Callable[[datetime], None]


class Agenda:
    """Deeds by the time they are due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[datetime, int, Work]] = []
        self._queued = 0

    def add(self, due: datetime, work: Work) -> None:
        self._queued += 1
        heapq.heappush(self._waiting, (due, self._queued, work))

    def settle(self) -> None:
        """Does everything that is due by now, in order."""
        now = self._clock.now()
        while self._waiting and self._waiting[0][0] <= now:
            due, _, work = heapq.heappop(self._waiting)
            work(due)
