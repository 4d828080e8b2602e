"""The two ladders. Sync only climbs them; a person may also step down."""

from __future__ import annotations

from app.domain.values import JSON

#: The funnel, lowest first; the index is the rank.
STATUS_LADDER: tuple[str, ...] = (
    "new",
    "not_interested",
    "contacted",
    "opened",
    "clicked",
    "replied",
    "booked",
    "lost",
    "won",
)

#: What happened to the mails of a lead, lowest first.
DELIVERY_LADDER: tuple[str, ...] = ("not_yet_emailed", "emailed", "bounced", "replied")

_RANKS = {status: rank for rank, status in enumerate(STATUS_LADDER)}


def rank(status: JSON) -> int:
    """Is the place of a status on the ladder; below the ladder (-1) for empty and for words that are not on it."""
    return _RANKS.get(status, -1)
