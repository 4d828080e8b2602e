"""Token buckets in memory: requests per key, and failed keys per client. They protect one instance, not a quota."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import Scope

from app.api.errors import Problem

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


class Strangers:
    """Keeps a client waiting that has shown too many keys or secrets nobody knows.

    A wrong one that comes again is no guess: somebody was not told that it has ended. It counts apart, so that it keeps
    nobody else out behind the same address, which may be an office's, or that of a provider with many customers.
    """

    def __init__(self, per_minute: int, seconds: Callable[[], float]) -> None:
        self._failures = Buckets(per_minute, seconds)
        self._good: set[bytes] = set()
        self._wrong: set[bytes] = set()

    def check(self, scope: Scope, shown: bytes, what: str) -> None:
        """Answers 429, with what came too often, before anybody looks at what is shown (its hash)."""
        # one that was good before is not kept out by somebody else's failures behind the same address
        if shown not in self._good and (wait := self._failures.wait(self._counted(scope, shown))):
            raise slow_down(wait, what)

    def knows(self, shown: bytes) -> bool:
        """Tells whether what is shown was good before."""
        return shown in self._good

    def note(self, scope: Scope, shown: bytes, *, is_good: bool) -> None:
        """Notes whether what was shown is good."""
        if not is_good:
            self._good.discard(shown)
            self._failures.take(self._counted(scope, shown))
        known = self._good if is_good else self._wrong
        if len(known) >= REMEMBERED:
            known.clear()
        known.add(shown)

    def _counted(self, scope: Scope, shown: bytes) -> tuple[str, bool]:
        """Returns whose failure it would be."""
        return _client(scope), shown in self._wrong


def slow_down(wait: float, what: str) -> Problem:
    """Returns the answer to what comes too often: 429, and in how many seconds to come again."""
    seconds = math.ceil(wait)
    return Problem(429, f"{what}: try again in {seconds} s.", headers={"Retry-After": str(seconds)})


def _client(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""
