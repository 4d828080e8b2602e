"""What a provider of mail campaigns can do beside listing records: protocols, no vendors.

Campaigns are known by the provider's own ids here; clients of the API never see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from app.providers.base import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCampaign:
    """A campaign as it is listed. `status` is the provider's own number (None: not said)."""

    id: str
    name: str
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What a campaign did on one day (UTC), by the name of the counter; unique counts count a lead once that day."""

    day: date
    counts: Mapping[str, int]


class CampaignSource(Protocol):
    """The campaigns of one account, and what the provider counts of them."""

    async def campaigns(self) -> list[RemoteCampaign]:
        """Returns all campaigns of the account."""
        ...

    async def counts(self) -> dict[str, dict[str, int]]:
        """Returns, with one call, the counters of every campaign that the provider counts; one that never sent may be
        missing, and says nothing thereby."""
        ...

    async def overview(self, campaign_id: str, since: date | None = None, until: date | None = None) -> dict[str, int]:
        """Returns a campaign's counters from `since` to `until`, both included; by default of its whole time."""
        ...

    async def days(self, campaign_id: str, since: date, until: date) -> list[Day]:
        """Returns the days from `since` to `until`, both included, on which anything happened, the oldest first."""
        ...

    def scan(self, campaign_ids: Sequence[str]) -> Cursor:
        """Returns the position before the first record of these campaigns, which are read in this order."""
        ...

    def scanning(self, cursor: Cursor) -> str | None:
        """Returns the campaign that the next page belongs to; None where nothing is left."""
        ...
