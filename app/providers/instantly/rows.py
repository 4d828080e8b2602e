"""Instantly: the two things that are changed of a lead's row, removing it and its interest.

Neither has an idempotency key. A row is deleted by its id, which Instantly never uses again; an interest is asked for,
answered with 202, and shows later.
"""

from __future__ import annotations

from urllib.parse import quote

from app.domain.instantly import INTERESTS
from app.providers.base import Guard, Record, Rejected
from app.providers.http import Funnel
from app.providers.outreach import RowWriter


class InstantlyRows(RowWriter):
    """The rows of one Instantly workspace."""

    def __init__(self, funnel: Funnel) -> None:
        self._funnel = funnel

    async def remove(self, remote_id: str, guard: Guard) -> None:
        """Deletes a row. Sent without a body and without a content type, which together are refused."""
        try:
            await self._funnel.request("DELETE", f"/leads/{quote(remote_id, safe='')}", safe=False, guard=guard)
        except Rejected as exc:
            if exc.details.get("status") != 404:
                raise

    async def label(self, email: str, campaign_id: str, interest: str | None, guard: Guard) -> None:
        """Asks for another interest. The campaign is named `campaign_id` here, unlike in most calls."""
        body = {"lead_email": email, "campaign_id": campaign_id, "interest_value": _code(interest)}
        await self._funnel.request("POST", "/leads/update-interest-status", body=body, safe=False, guard=guard)

    def shows(self, record: Record, interest: str | None) -> bool:
        """Tells whether a row shows an interest; one without any has no such key."""
        return bool((record.raw or {}).get("lt_interest_status") == _code(interest))


def _code(interest: str | None) -> int | None:
    return None if interest is None else INTERESTS[interest]
