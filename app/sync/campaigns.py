"""Campaigns: which there are, which of them must be read now, and what is no longer in them.

A provider of mail campaigns has no "modified since", but it counts. So a delta asks for the counters of all campaigns
with one call, and reads only campaigns whose counters have moved since their last complete scan, those of which nothing
is counted, and those that were not read for a while, because a change of a lead's interest alone moves no counter.

A campaign read from its first page to its last without starting over proves what is not in it. A record it should have
shown is looked up once more; only then its link is gone, and the lead stays as it is. What was counted before the scan
began is noted as scanned in the transaction that ends the scan, so whatever moved meanwhile is read next time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from app.db import accounts, campaigns, sweeps
from app.db.campaigns import Listed
from app.db.connections import Stored
from app.db.session import Tx
from app.providers.base import CursorExpired, Page, Record, Refused, Rejected
from app.providers.outreach import CampaignSource
from app.sync import sweep
from app.sync.job import Job

#: A campaign whose counters rest is read again after this time; the providers' webhooks are sooner.
RESCAN: Final = timedelta(hours=6)

log = structlog.get_logger()


async def readable(tx: Tx, connection: Stored, listed: Collection[str]) -> set[str]:
    """Returns which of an account's campaigns (the provider's ids) this connection reads, and its workspace may see.

    Locks the account, so it comes before any other lock.
    """
    own = await accounts.readable(tx, connection)
    return set(listed) if own is None else set(own & set(listed))


async def look(job: Job, source: CampaignSource) -> None:
    """Takes over the list of campaigns with their counters, and ends the links of those that are gone."""
    found = await source.campaigns()
    counts = await _counts(source)
    there = {campaign.id for campaign in found}
    async with job.db.transaction(job.tenant) as tx:
        own = await readable(tx, job.connection, there)
        await job.lease.fence(tx)
        listed = [
            Listed(
                remote_id=c.id,
                name=c.name,
                status=c.status,
                namespace=job.adapter.namespace(c.id),
                counts=counts.get(c.id),
            )
            for c in found
            if c.id in own
        ]
        await campaigns.refresh(tx, job.id, listed)
        # one that is only no longer this workspace's says nothing about its records
        gone = [campaign for campaign in await campaigns.unburied(tx, job.id) if campaign not in there]
        now = tx.now
    for campaign in gone:
        missing, _ = await _missing(job, campaign, now, ())
        async with job.fenced() as tx:
            await sweep.end(tx, job, missing)
            await campaigns.scanned(tx, job.id, campaign, now)


async def _counts(source: CampaignSource) -> dict[str, dict[str, int]]:
    """Returns what is counted; without it (a plan or a key that does not allow it) every campaign is read."""
    try:
        return await source.counts()
    except CursorExpired:
        raise
    except (Refused, Rejected) as exc:
        log.warning("campaigns.not_counted", error=str(exc))
        return {}


async def due(tx: Tx, job: Job, *, everything: bool) -> list[str]:
    """Returns the campaigns to be read now (the provider's ids)."""
    chosen = await campaigns.to_scan(tx, job.id, everything=everything, before=tx.now - RESCAN)
    job.count("campaigns_due", len(chosen))
    return chosen


@dataclass(frozen=True, slots=True)
class Ended:
    """What the last page of a campaign's scan makes known."""

    #: the provider's id; None: the scan goes on
    campaign: str | None = None
    began: datetime | None = None
    #: links whose records are gone
    gone: list[Any] = field(default_factory=list)
    #: records that should have been shown, and are somewhere else
    elsewhere: list[Record] = field(default_factory=list)


async def end_of(job: Job, source: CampaignSource, position: dict[str, Any], page: Page, began: datetime) -> Ended:
    """Finds out whether a page ends its campaign's scan, which `began` then, and what is no longer in the campaign."""
    campaign = source.scanning(position)
    if campaign is None or (page.next is not None and source.scanning(page.next) == campaign):
        return Ended()
    return Ended(campaign, began, *await _missing(job, campaign, began, [record.remote_id for record in page.records]))


async def _missing(job: Job, campaign: str, began: datetime, shown: Sequence[str]) -> tuple[list[Any], list[Record]]:
    async with job.db.transaction(job.tenant) as tx:
        namespace = await campaigns.namespace(tx, job.id, campaign)
        rows = await sweeps.missing_of(tx, job.id, namespace, began, shown)
    return await sweep.look_up(job, rows)


async def close(tx: Tx, job: Job, ended: Ended) -> None:
    """Ends a campaign's scan in the transaction that stores its last page: the links that are gone, and the gate."""
    if ended.campaign is None or ended.began is None:
        return
    await sweep.end(tx, job, ended.gone)
    await sweeps.forget(tx, job.id)
    if job.adapter.shows_all:
        await campaigns.scanned(tx, job.id, ended.campaign, ended.began)
