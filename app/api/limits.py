"""Token buckets in memory: requests per key, and failed keys per client. They protect one instance, not a quota."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

#: Callers remembered at most; the one that was quiet the longest is forgotten.
REMEMBERED = 10_000


class Buckets:
    """A bucket per caller, refilled evenly over a minute."""

    def __init__(self, per_minute: int, seconds: Callable[[], float]) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._seconds = seconds
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, caller: object) -> float:
        """Takes one token; returns 0, or how many seconds until there is one again."""
        now = self._seconds()
        left = self._left(caller, now)
        self._buckets[caller] = (left - 1 if left >= 1 else left, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def wait(self, caller: object) -> float:
        """Returns how many seconds until there is a token, without taking one."""
        left = self._left(caller, self._seconds())
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def _left(self, caller: object, now: float) -> float:
        left, since = self._buckets.get(caller, (self._size, now))
        return min(self._size, left + max(0.0, now - since) * self._rate)
