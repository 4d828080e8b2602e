"""The shapes of campaigns: what they are, their leads, and what their provider counts of them; no id of it."""

from __future__ import annotations

from datetime import date
from typing import Any, Final
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, Body, NextCursor, Shown, Whole, example

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00Z"
CAMPAIGN: Final[dict[str, Any]] = {
    "id": _ID, "connection_id": _ID, "name": "Founders Q2", "status": "active",
    "leads": {"total": 240, "replied": 12, "bounced": 4, "emailed": 150, "not_yet_emailed": 74},
    "seen_at": _AT, "read_at": _AT, "gone_at": None,
}  # fmt: skip
NOTE: Final = (
    "Unique counts are not sums of days: who opens on two days counts on each of them, and once in the totals."
)


class CampaignLeads(Shown):
    """How many leads of this workspace a campaign has, by the delivery status they have by now."""

    total: int
    replied: int
    bounced: int
    emailed: int
    not_yet_emailed: int


class Campaign(Shown):
    """A mail campaign."""

    model_config = example(**CAMPAIGN)
    id: UUID
    connection_id: UUID
    name: str
    status: str = Field(
        description="draft, active, paused, completed, running_subsequences, accounts_unhealthy, bounce_protect, "
        "account_suspended, or unknown."
    )
    leads: CampaignLeads
    seen_at: At = Field(description="When it was listed last.")
    read_at: At | None = Field(description="When its leads were last read, all of them.")
    gone_at: At | None = Field(description="When it was found missing; its leads and its numbers stay.")


class Campaigns(Shown):
    """Campaigns by name."""

    model_config = example(items=[CAMPAIGN], next_cursor=None)
    items: list[Campaign]
    next_cursor: NextCursor


class Sums(Shown):
    """Counts that can be added up."""

    sent: int = Field(description="E-mails.")
    contacted: int
    new_leads_contacted: int
    opened: int = Field(description="Opens.")
    clicks: int
    replies: int = Field(description="Replies of people.")
    replies_automatic: int
    opportunities: int


class CampaignDay(Sums):
    """A day (UTC) of a campaign; unique counts count a lead once that day."""

    day: date
    unique_opened: int
    unique_clicks: int
    unique_replies: int
    unique_replies_automatic: int
    unique_opportunities: int


class CampaignTotals(Shown):
    """What a campaign did in all its time; unique counts count a lead once. Null: not told."""

    sent: int | None = None
    contacted: int | None = None
    new_leads_contacted: int | None = None
    completed: int | None = None
    opened: int | None = None
    unique_opened: int | None = None
    clicks: int | None = None
    unique_clicks: int | None = None
    replies: int | None = None
    unique_replies: int | None = None
    replies_automatic: int | None = None
    unique_replies_automatic: int | None = None
    bounced: int | None = None
    unsubscribed: int | None = None
    opportunities: int | None = None
    interested: int | None = None
    meetings_booked: int | None = None
    meetings_completed: int | None = None
    won: int | None = None


_SUMS: Final = {
    "sent": 40, "contacted": 40, "new_leads_contacted": 25, "opened": 18, "clicks": 3, "replies": 2,
    "replies_automatic": 1, "opportunities": 1,
}  # fmt: skip
_DAY: Final = {
    "day": "2026-03-02", **_SUMS, "unique_opened": 15, "unique_clicks": 3, "unique_replies": 2,
    "unique_replies_automatic": 1, "unique_opportunities": 1,
}  # fmt: skip
_TOTALS: Final = dict.fromkeys(CampaignTotals.model_fields) | {
    "sent": 410, "contacted": 166, "new_leads_contacted": 166, "completed": 90, "opened": 190, "unique_opened": 101,
    "clicks": 20, "unique_clicks": 15, "replies": 14, "unique_replies": 12, "bounced": 4, "unsubscribed": 2,
}  # fmt: skip


class CampaignAnalytics(Shown):
    """What the provider counts of a campaign: by day, added up, and in all its time."""

    model_config = example(
        **{"id": _ID, "name": "Founders Q2", "from": "2026-02-01", "to": "2026-03-02", "days": [_DAY], "sums": _SUMS},
        overview=_TOTALS, overview_at=_AT, read_at=_AT, note=NOTE,
    )  # fmt: skip
    id: UUID
    name: str
    since: date = Field(alias="from")
    until: date = Field(alias="to")
    days: list[CampaignDay] = Field(description="Days on which something was counted, the oldest first.")
    sums: Sums = Field(description="The sums of these days, of the counts that can be added up.")
    overview: CampaignTotals = Field(description="All its time, whatever days are asked for, unique counts included.")
    overview_at: At | None = Field(description="When the overview changed last.")
    read_at: At | None = Field(description="When the numbers were read last; null: not yet.")
    note: str


class AnalyticsRequest(Body):
    """How far back."""

    model_config = example(days=365)
    days: Whole = Field(365, ge=1, le=1095, description="Days, today included.")
