"""Time that a simulation owns: the service and both sandboxes share it, and nobody waits for real."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class VirtualClock:
    """A clock that stands still until somebody sleeps or moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def now(self) -> datetime:
        """Returns the time, to the millisecond, as the database gives it."""
        return self._now.replace(microsecond=self._now.microsecond // 1000 * 1000)

    async def sleep(self, seconds: float) -> None:
        """Lets the time pass at once, and others have their turn."""
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Moves the time forward."""
        self._now += timedelta(seconds=max(0.0, seconds))


class SkewedClock:
    """Somebody else's clock: the shared one, off by some seconds."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.off_by = 0.0

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self.off_by)

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class SharedClock:
    """The wall clock plus an offset that lies in a file, so that several processes live in the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            self._write(0.0)

    def now(self) -> datetime:
        """Returns the time, to the millisecond, as the database gives it."""
        now = datetime.now(UTC) + timedelta(seconds=float(self._path.read_text()))  # noqa: TID251 - a stand-in for it
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    async def sleep(self, seconds: float) -> None:
        """Waits for real."""
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Moves the time of everybody."""
        self._write(float(self._path.read_text()) + seconds)

    def _write(self, offset: float) -> None:
        # replaced whole, because others read it at any moment
        fresh = self._path.with_suffix(".new")
        fresh.write_text(repr(offset))
        fresh.replace(self._path)
