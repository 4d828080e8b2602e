"""Call budgets shared by every instance: one row per limited resource, holding when the next call may leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.db.session import Database

#: The next place of a resource from an instant on; it is taken with that.
_TAKE = (
    "INSERT INTO rate_bucket AS b (resource, next_at) VALUES ($1, $2::timestamptz + make_interval(secs => $3))"
    " ON CONFLICT (resource) DO UPDATE SET next_at = greatest(b.next_at, $2) + make_interval(secs => $3)"
    " RETURNING next_at - make_interval(secs => $3)"
)
_MOVE = "UPDATE rate_bucket SET next_at = $2::timestamptz + make_interval(secs => $3) WHERE resource = $1"


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
            slot, taken = tx.now, []
            for resource in ordered:
                slot = await tx.value(_TAKE, resource.key, slot, 1 / resource.rate)
                taken.append((resource, slot))
            for resource, place in taken:
                if place < slot:
                    # another one is free only later
                    await tx.run(_MOVE, resource.key, slot, 1 / resource.rate)
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
