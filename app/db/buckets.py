"""Call budgets shared by every instance: one row per limited resource, holding when the next call may leave."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.db.session import Database


class Resource(Protocol):
    """Something limited: a key, and how many calls a second it takes."""

    @property
    def key(self) -> str: ...
    @property
    def rate(self) -> float: ...


class Clock(Protocol):
    """Waits; a simulation only pretends to."""

    async def sleep(self, seconds: float) -> None: ...


class SharedLimiter:
    """Gives every call its own place in time, evenly spread, so that no window of any shape is ever exceeded."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def acquire(self, resources: Sequence[Resource]) -> None:
        """Waits until one call may leave, and counts it against every resource."""
        ordered = sorted(resources, key=lambda r: r.key)
        async with self._db.transaction() as tx:
            slot = tx.now
            for resource in ordered:
                # locking first: two callers must not read the same place
                await tx.run(
                    "INSERT INTO rate_bucket (resource, next_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    resource.key,
                    tx.now,
                )
                next_at: datetime = await tx.value(
                    "SELECT next_at FROM rate_bucket WHERE resource = $1 FOR UPDATE", resource.key
                )
                slot = max(slot, next_at)
            for resource in ordered:
                await tx.run(
                    "UPDATE rate_bucket SET next_at = $2::timestamptz + make_interval(secs => $3) WHERE resource = $1",
                    resource.key,
                    slot,
                    1 / resource.rate,
                )
            wait = (slot - tx.now).total_seconds()
        if wait > 0:
            await self._clock.sleep(wait)

    async def pause(self, resource: Resource, seconds: float) -> None:
        """Keeps everybody from calling a resource for that long."""
        async with self._db.transaction() as tx:
            await tx.run(
                "INSERT INTO rate_bucket AS b (resource, next_at)"
                " VALUES ($1, $2::timestamptz + make_interval(secs => $3))"
                " ON CONFLICT (resource) DO UPDATE SET next_at = greatest(b.next_at, excluded.next_at)",
                resource.key,
                tx.now,
                seconds,
            )
