"""Instants as Airtable writes and reads them."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(seconds: float) -> datetime:
    """Returns seconds since 1970 as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    """Returns `2022-01-09T00:09:23.000Z`."""
    return instant(seconds).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse(text: str) -> datetime:
    """Returns the instant an ISO string means; without a zone it is UTC."""
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
