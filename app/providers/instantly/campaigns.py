"""Instantly's campaigns: their list, what is counted of them, and the order in which their leads are read.

- `GET /campaigns/analytics` tells of all campaigns at once, and leaves out those that never sent.
- Nulls are omitted, codes nobody knows come up, and a number may be missing: what is no number is left out.
- A date is midnight UTC, so an end that names a day excludes it; the day after is asked for.
- Some parameters are called `id` here and `campaign_id` there, and one that is not known is dropped silently, which
  makes it an answer about every campaign. Only counters that say whom they belong to can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from app.providers.base import JSON, Clock, Cursor
from app.providers.http import BARE
from app.providers.instantly.funnel import PACING
from app.providers.instantly.leads import Instantly
from app.providers.outreach import Day, RemoteCampaign

#: Instantly's name of a total -> ours. Those of single steps and of money are left out.
TOTALS: Final[Mapping[str, str]] = {
    "emails_sent_count": "sent",
    "contacted_count": "contacted",
    "new_leads_contacted_count": "new_leads_contacted",
    "completed_count": "completed",
    "open_count": "opened",
    "open_count_unique": "unique_opened",
    "link_click_count": "clicks",
    "link_click_count_unique": "unique_clicks",
    "reply_count": "replies",
    "reply_count_unique": "unique_replies",
    "reply_count_automatic": "replies_automatic",
    "reply_count_automatic_unique": "unique_replies_automatic",
    "bounced_count": "bounced",
    "unsubscribed_count": "unsubscribed",
    "total_opportunities": "opportunities",
    "total_interested": "interested",
    "total_meeting_booked": "meetings_booked",
    "total_meeting_completed": "meetings_completed",
    "total_closed": "won",
}
#: The counters of a day; Instantly's names are ours.
DAILY: Final = (
    "sent", "contacted", "new_leads_contacted", "opened", "unique_opened", "clicks", "unique_clicks", "replies",
    "unique_replies", "replies_automatic", "unique_replies_automatic", "opportunities", "unique_opportunities",
)  # fmt: skip
#: What a campaign's status may be, to be stored: codes have two digits.
LARGEST_STATUS: Final = 2**31 - 1
#: A number that says nothing about leads.
NOT_COUNTED: Final = "campaign_status"


class InstantlyCampaigns:
    """The campaigns of one workspace.

    Args:
        pacing_seconds: the rest between the statistics of two campaigns.
    """

    def __init__(self, instantly: Instantly, *, clock: Clock, pacing_seconds: float = PACING) -> None:
        self._instantly = instantly
        self._funnel = instantly.funnel
        self._clock = clock
        self._pacing = pacing_seconds

    async def campaigns(self) -> list[RemoteCampaign]:
        """Returns all campaigns of the workspace; one without a name is called by what it is."""
        found = []
        for item in await self._instantly.campaigns():
            name = item["name"].strip() if isinstance(item["name"], str) else ""
            status = _number(item["status"])
            if status is not None and abs(status) > LARGEST_STATUS:
                status = None
            found.append(RemoteCampaign(id=item["id"], name=name or "Unnamed campaign", status=status))
        return found

    async def counts(self) -> dict[str, dict[str, int]]:
        """Returns every number Instantly tells of the campaigns that have sent, by campaign."""
        answer = await self._funnel.request("GET", "/campaigns/analytics", safe=True, expects=BARE)
        found = {}
        for row in answer.json[BARE]:
            if isinstance(row, dict) and isinstance(campaign := row.get("campaign_id"), str):
                numbers = {name: _number(value) for name, value in row.items() if name != NOT_COUNTED}
                found[campaign] = {name: number for name, number in numbers.items() if number is not None}
        return found

    async def overview(self, campaign_id: str, since: date | None = None, until: date | None = None) -> dict[str, int]:
        """Returns a campaign's totals, by our names."""
        params = {"id": campaign_id, **_period(since, until)}
        answer = await self._funnel.request("GET", "/campaigns/analytics/overview", params=params, safe=True)
        numbers = {ours: _number(answer.json.get(theirs)) for theirs, ours in TOTALS.items()}
        return {name: number for name, number in numbers.items() if number is not None}

    async def days(self, campaign_id: str, since: date, until: date) -> list[Day]:
        """Returns the days Instantly has numbers of."""
        params = {"campaign_id": campaign_id, **_period(since, until)}
        answer = await self._funnel.request("GET", "/campaigns/analytics/daily", params=params, safe=True, expects=BARE)
        found: dict[date, Day] = {}
        for row in answer.json[BARE]:
            day = _day(row.get("date")) if isinstance(row, dict) else None
            if day is not None and since <= day <= until:
                found[day] = Day(day=day, counts={name: _number(row.get(name)) or 0 for name in DAILY})
        return [found[day] for day in sorted(found)]

    def scan(self, campaign_ids: Sequence[str]) -> Cursor:
        """Returns the position before the first lead of these campaigns."""
        return {"campaigns": list(campaign_ids), "after": None}

    def scanning(self, cursor: Cursor) -> str | None:
        """Returns the campaign that is read at this position."""
        campaigns = cursor.get("campaigns") or [None]
        found: str | None = campaigns[0]
        return found

    async def rest(self) -> None:
        """Waits as long as is to lie between two campaigns."""
        await self._clock.sleep(self._pacing)


def _number(value: JSON) -> int | None:
    """Returns a count; a number without a fraction is one, however it is written."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return value if is_count else None


def _period(since: date | None, until: date | None) -> dict[str, str]:
    start = {} if since is None else {"start_date": since.isoformat()}
    end = {} if until is None else {"end_date": (until + timedelta(days=1)).isoformat()}
    return start | end


def _day(value: JSON) -> date | None:
    try:
        return date.fromisoformat(value[:10])
    except (TypeError, ValueError):
        return None
