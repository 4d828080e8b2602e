"""Ids are UUIDv7, made in one place: they sort roughly by time, and are never used as an ordering guarantee."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import uuid_utils

_source: Callable[[], UUID] | None = None


def new_id() -> UUID:
    """Returns a new id."""
    if _source is not None:
        return _source()
    return UUID(bytes=uuid_utils.uuid7().bytes)


def seed_ids(rng: random.Random | None, now: Callable[[], datetime] | None = None) -> None:
    """Makes ids repeatable for a simulation; None makes them unique again."""
    global _source  # noqa: PLW0603 - ids are made in one place, so the place is global
    if rng is None or now is None:
        _source = None
        return

    def repeatable() -> UUID:
        stamp = int(now().timestamp() * 1000).to_bytes(6, "big")
        version, variant = 0x70 | rng.randrange(16), 0x80 | rng.randrange(64)
        return UUID(bytes=stamp + bytes((version, rng.randrange(256), variant)) + rng.randbytes(7))

    _source = repeatable
