"""What a campaign counts by day: the counters that can be added up, and those that count a lead once."""

from __future__ import annotations

from typing import Final

DAY_SUMS: Final = (
    "sent",
    "contacted",
    "new_leads_contacted",
    "opened",
    "clicks",
    "replies",
    "replies_automatic",
    "opportunities",
)
DAY_UNIQUE: Final = (
    "unique_opened",
    "unique_clicks",
    "unique_replies",
    "unique_replies_automatic",
    "unique_opportunities",
)
DAY_COUNTS: Final = DAY_SUMS + DAY_UNIQUE
