"""Rate limits and the monthly quota, applied before a call is processed."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import floor

from app.sandbox.airtable.errors import quota_used_up, rate_limited
from app.sandbox.airtable.switches import Switches
from app.sandbox.core import Clock


@dataclass(slots=True)
class Window:
    """The recent calls of one base or token, and until when it is locked out."""

    calls: deque[float] = field(default_factory=deque)
    locked_until: float = 0.0

    def has_room(self, now: float, rate: int, kind: str) -> bool:
        """Tells whether one more call fits into the current second."""
        start = floor(now) if kind == "fixed" else now - 1.0
        while self.calls and (self.calls[0] < start if kind == "fixed" else self.calls[0] <= start):
            self.calls.popleft()
        return len(self.calls) < rate


class Limits:
    """Counts calls per base, per token and per calendar month."""

    def __init__(self, clock: Clock, switches: Switches) -> None:
        self.clock = clock
        self.switches = switches
        #: data calls per "2026-08"
        self.used: Counter[str] = Counter()
        self._windows: dict[str, Window] = {}

    def charge(self, token: str, base_id: str | None, *, is_data: bool) -> None:
        """Counts one call, or refuses it."""
        if self.switches.limiter:
            self._charge_rate(
                {token: self.switches.token_rate} | ({base_id: self.switches.base_rate} if base_id else {})
            )
        if not is_data:
            # Meta endpoints kept answering while data calls were blocked.
            return
        month = f"{self.clock.now():%Y-%m}"
        if self.switches.monthly_quota is not None and self.used[month] >= self.switches.monthly_quota:
            raise quota_used_up()
        self.used[month] += 1

    def _charge_rate(self, rates: dict[str, int]) -> None:
        now, penalty = self.clock.now().timestamp(), self.switches.penalty_seconds
        windows = {key: self._windows.setdefault(key, Window()) for key in rates}
        for key, window in windows.items():
            if now < window.locked_until:
                raise rate_limited(self._retry_after(window.locked_until - now))
            if not window.has_room(now, rates[key], self.switches.limiter_window):
                window.locked_until = now + penalty
                raise rate_limited(self._retry_after(penalty))
        for window in windows.values():
            window.calls.append(now)

    def _retry_after(self, seconds: float) -> float | None:
        return seconds if self.switches.retry_after_header else None
