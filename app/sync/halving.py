"""Halving: what is worked in batches stops at no single item; the one that breaks its batch is found and set aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.db.connections import LeaseLost
from app.db.leads import IdentityTaken
from app.db.session import Database, DatabaseUnavailable
from app.errors import LeadkeeperError
from app.sync.job import Cancelled

T = TypeVar("T")
_TRIES = 4


class Overtaken(LeadkeeperError):
    """A merge or an erasure was faster than the lock: who a lead is now is asked again."""


async def halving(
    db: Database,
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[None]],
    set_aside: Callable[[T, Exception], Awaitable[None]],
) -> None:
    """Does a transaction's work on some items, and where it cannot be done, on each half of them.

    It is done again where somebody else was faster, whose deeds are visible by then.
    """
    try:
        await _worked(db, items, work)
    except (DatabaseUnavailable, LeaseLost, Cancelled):
        raise
    except Exception as exc:
        if not items:
            raise
        if len(items) == 1:
            await set_aside(items[0], exc)
            return
        middle = len(items) // 2
        await halving(db, items[:middle], work, set_aside)
        await halving(db, items[middle:], work, set_aside)


async def _worked(db: Database, items: Sequence[T], work: Callable[[Sequence[T]], Awaitable[None]]) -> None:
    for attempt in range(_TRIES):
        try:
            await db.retrying(lambda: work(items))
        except (IdentityTaken, Overtaken):
            if attempt == _TRIES - 1:
                raise
        else:
            return
