"""Analytics: what a provider counts of campaigns, by day and in all their time, kept here as it says it.

Every turn looks for campaigns whose statistics are old: an hour where the campaign's counters have moved, six where
they rest. Their totals and their last 90 days are read again, so a day that the provider corrects is corrected here. A
longer past is read on request. Whatever is said again in the same words changes no row.

Statistics are an extra: where they cannot be read, the leads of the turn are in agreement all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import structlog

from app.db import campaigns
from app.providers.base import ProviderError, Refused, Rejected
from app.providers.outreach import CampaignSource
from app.sync.campaigns import readable
from app.sync.job import Job

#: Days that are read again and again.
WINDOW: Final = 90
#: How old statistics may be, of a campaign whose counters have moved and of one whose counters rest.
MOVED, RESTING = timedelta(hours=1), timedelta(hours=6)

log = structlog.get_logger()


async def refresh(job: Job) -> None:
    """Reads the statistics of campaigns that are old; what fails is tried again in the next turn."""
    source = job.adapter.campaigns
    if source is None:
        return
    async with job.db.transaction(job.tenant) as tx:
        due = await campaigns.to_analyse(tx, job.id, moved_before=tx.now - MOVED, before=tx.now - RESTING)
        today = tx.now.date()
    try:
        await _read(job, source, due, today, WINDOW)
    except ProviderError as exc:
        log.warning("analytics.failed", connection_id=str(job.id), error=str(exc))
        job.count("analytics_failed")


async def backfill(job: Job) -> None:
    """Reads the statistics of all campaigns, as many days back as were asked for."""
    source = job.adapter.campaigns
    if source is None:
        return
    async with job.db.transaction(job.tenant) as tx:
        every = await campaigns.to_analyse(tx, job.id, moved_before=tx.now, before=tx.now)
        today = tx.now.date()
    try:
        await _read(job, source, every, today, job.options["days"])
    except Refused as exc:
        # a key that may not do this may still read leads
        raise Rejected(str(exc)) from exc


async def _read(job: Job, source: CampaignSource, chosen: Sequence[Any], until: date, days: int) -> None:
    since = until - timedelta(days=days - 1)
    for number, row in enumerate(chosen):
        if number:
            await source.rest()
        overview = await source.overview(row["remote_id"])
        found = await source.days(row["remote_id"], since, until)
        async with job.db.transaction(job.tenant) as tx:
            own = await readable(tx, job.connection, [row["remote_id"]])
            await job.lease.fence(tx)
            if own:
                days_and_counts = [(day.day, day.counts) for day in found]
                changed = await campaigns.save_analysis(
                    tx, row["id"], overview, days_and_counts, since=since, until=until
                )
                await campaigns.analysed(tx, row["id"])
                job.count("campaigns_analysed")
                job.count("statistics_changed", changed)
            await job.progress(tx, "analytics", done=1, total=len(chosen))
