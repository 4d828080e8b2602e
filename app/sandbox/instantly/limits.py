"""The sliding windows in which Instantly counts calls: per workspace, over all keys."""

from __future__ import annotations

import math
from collections import deque

from app.sandbox.core import Clock


class Window:
    """At most `calls` in any `seconds`."""

    def __init__(self, clock: Clock, calls: int, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._seen: deque[float] = deque()
        self.calls = calls

    def wait(self) -> int | None:
        """Returns the whole seconds until a call fits again, None where one fits now."""
        now = self._clock.now().timestamp()
        while self._seen and self._seen[0] <= now - self._seconds:
            self._seen.popleft()
        if len(self._seen) < self.calls:
            return None
        # The call that has to leave first; more than one where refused calls were counted.
        blocking = self._seen[len(self._seen) - self.calls]
        return max(1, math.ceil(blocking + self._seconds - now))

    def count(self) -> None:
        self._seen.append(self._clock.now().timestamp())


class Limits:
    """All windows of the workspace."""

    def __init__(self, clock: Clock) -> None:
        self._everything = (Window(clock, 100, 1), Window(clock, 6000, 60))
        self._emails = Window(clock, 20, 60)

    def admit(self, path: str, *, count_refused: bool) -> int | None:
        """Counts a call and returns None, or returns the seconds to wait."""
        windows = (*self._everything, self._emails) if path == "/api/v2/emails" else self._everything
        waits = [wait for window in windows if (wait := window.wait()) is not None]
        if not waits or count_refused:
            for window in windows:
                window.count()
        return max(waits, default=None)
