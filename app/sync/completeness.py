"""Completeness: the provider's own log of what it delivered is compared with the inbox, day by day (UTC).

What the log has and the inbox has not is taken from the log. Nothing can be known of the time in which the hook was
disabled, unless the log is seen to go on meanwhile; that is said, and what REST can tell of it has been read again.
The log is the account's: whoever has a turn compares it for all workspaces that share it, each of which counts its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson
import structlog

from app.db import deliveries, runs, watches
from app.db.session import Tx
from app.db.watches import Gap, LogDay
from app.domain.normalize import Unreadable, instant
from app.domain.values import JSON
from app.providers.base import CursorExpired, ProviderError, Refused, Unavailable
from app.providers.outreach import HookSource, Logged
from app.sync import ask
from app.sync.job import Job

log = structlog.get_logger()
#: Seconds between two comparisons of an account, of today and of yesterday.
EVERY = 3600.0
#: Seconds into a gap in which deliveries that were under way may still be logged.
EDGE = timedelta(seconds=60)
_RESTARTS = 3
#: The kind of run that compares one day.
KIND = "completeness"


@dataclass(slots=True)
class Found:
    """What one reading of a day's log has shown."""

    #: attempts that failed and have no content
    lost: list[datetime | None] = field(default_factory=list)
    #: gaps during which the log went on
    logged: dict[datetime, Gap] = field(default_factory=dict)


async def look(job: Job) -> None:
    """Compares today and yesterday, if that is due."""
    source = job.adapter.hooks
    if source is None or source.target is None:
        return
    async with job.fenced() as tx:
        if not await watches.claim(tx, job.connection.account_id, "log", EVERY):
            return
        today = tx.now.astimezone(UTC).date()
    await compare(job, source, [today - timedelta(days=1), today])


async def one_day(job: Job) -> None:
    """Compares the day that a run is about."""
    source = job.adapter.hooks
    if source is None:
        return
    await compare(job, source, [date.fromisoformat(job.options["day"])], always=True)


async def compare(job: Job, source: HookSource, days: Sequence[date], *, always: bool = False) -> None:
    """Reads the log of some days, where it has changed, and takes over what the inbox lacks."""
    account_id = job.connection.account_id
    async with job.db.transaction(job.tenant) as tx:
        known = {one.day: one for one in await watches.log_days(tx, [account_id], days)}
    try:
        totals = await source.totals(days[0], days[-1])
        for day in days:
            total, failed = totals.get(day, (0, 0))
            before = known.get(day)
            if always or before is None or before.error or (before.total, before.failed) != (total, failed):
                found = await _read(job, source, day)
            else:
                found = None
            await _close(job, day, total, failed, before, found)
    except ProviderError as exc:
        # pulling goes on without it; only who asked for it is told so by their run
        if always and not isinstance(exc, Refused):
            raise
        await _close_unread(job, days, str(exc))


async def _read(job: Job, source: HookSource, day: date) -> Found:
    """Reads a day's log to its end, and keeps every delivery in it that is not kept yet."""
    account_id, begin, end = job.connection.account_id, *_bounds(day)
    async with job.db.transaction(job.tenant) as tx:
        gaps = await watches.gaps(tx, [account_id], begin, end)
    found, after, restarts = Found(), None, 0
    while True:
        try:
            page = await source.delivered(day, after)
        except CursorExpired:
            restarts += 1
            if restarts > _RESTARTS:
                raise Unavailable("The delivery log cannot be read to its end: it is tried again later.") from None
            found, after = Found(), None
            continue
        await _keep(job, page.attempts, day)
        found.lost += [one.at for one in page.attempts if one.payload is None and not one.is_success]
        found.logged |= {gap.began_at: gap for gap in gaps if any(_is_inside(one, gap) for one in page.attempts)}
        after = page.next
        if after is None:
            return found


async def _keep(job: Job, attempts: Sequence[Logged], day: date) -> None:
    rows = [
        deliveries.delivery(
            orjson.dumps(one.payload),
            fingerprint=job.adapter.fingerprint,
            account_id=job.connection.account_id,
            via="log",
            path=one.path,
        )
        for one in attempts
        if one.payload is not None
    ]
    stored = [one for one in await deliveries.store(job.db, rows) if one is not None]
    if not stored:
        return
    async with job.fenced() as tx:
        await watches.note_logged(tx, job.connection.account_id, [one.id for one in stored], day)
        job.count("deliveries_recovered", await deliveries.own(tx, [one.id for one in stored if one.is_new]))
        await job.progress(tx, "completeness", done=len(attempts))


def _is_inside(one: Logged, gap: Gap) -> bool:
    """Tells whether something that happened during a gap was logged; attempts to repeat what came before are not it."""
    try:
        told = instant((one.payload or {}).get("timestamp"))
    except Unreadable:
        return False
    if told is None:
        return False
    at = datetime.fromisoformat(told)
    return gap.began_at + EDGE < at and (gap.ended_at is None or at < gap.ended_at)


async def _close(job: Job, day: date, total: int, failed: int, before: LogDay | None, found: Found | None) -> None:
    """Writes down what a day's log was found to hold; None: what it held before."""
    begin, end = _bounds(day)
    kept = before if found is None else None
    lost = found.lost if found else []
    async with job.fenced() as tx:
        for gap in found.logged.values() if found else ():
            await watches.gap_is_logged(tx, gap)
        await watches.put_log_day(
            tx,
            LogDay(
                account_id=job.connection.account_id,
                day=day,
                total=total,
                failed=failed,
                lost=kept.lost if kept else len(lost),
                lost_from=kept.lost_from if kept else min((at or begin for at in lost), default=None),
                lost_to=kept.lost_to if kept else max((at or end for at in lost), default=None),
                error=None,
                checked_at=tx.now,
            ),
        )


async def _close_unread(job: Job, days: Sequence[date], error: str) -> None:
    log.warning("completeness.failed", connection_id=str(job.id), error=error)
    async with job.fenced() as tx:
        for day in days:
            nothing = LogDay(
                account_id=job.connection.account_id, day=day, total=0, failed=0, lost=0, lost_from=None, lost_to=None,
                error=error, checked_at=tx.now,
            )  # fmt: skip
            await watches.put_log_day(tx, nothing)


async def request(tx: Tx, day: date, *, actor: str) -> Any:
    """Queues the comparison of a day and returns its run, or the one of that day under way.

    Raises:
        ask.NothingToSync
    """
    await runs.take_turns(tx)
    one_each = {c.account_id: c.id for c in await ask.choose(tx, provider="instantly")}
    if not one_each:
        raise ask.NothingToSync
    options = {"day": day.isoformat()}
    (first, *others) = one_each.values()
    under_way = await runs.open_for(tx, None if others else first, KIND)
    if under_way is not None and under_way["options"] == options:
        return under_way
    whole = await runs.queue(tx, None if others else first, KIND, "api", requested_by=actor, options=options)
    if others:
        await runs.start(tx, whole)
        for connection_id in (first, *others):
            await runs.queue(tx, connection_id, KIND, "api", requested_by=actor, options=options, parent_id=whole)
    return await runs.get(tx, whole)


async def of_day(tx: Tx, day: date) -> dict[str, JSON]:
    """Returns how complete a workspace's inbox is for a day: counts of its own deliveries, and what nobody knows."""
    accounts = await watches.accounts(tx)
    known = {one.account_id: one for one in await watches.log_days(tx, list(accounts), [day])}
    begin, end = _bounds(day)
    end = max(begin, min(end, tx.now))
    unknown: list[dict[str, JSON]] = []
    looked = await watches.of(tx, list(accounts))
    for account_id in accounts:
        one, watch = known.get(account_id), looked.get(account_id)
        if one is None:
            unknown.append(_span(begin, end, "The delivery log of this day has not been looked at."))
        elif one.error is not None:
            unknown.append(_span(begin, end, one.error))
        elif one.lost:
            unknown.append(_span(one.lost_from, one.lost_to, "Deliveries failed, and the log no longer has them."))
        since = watch.hook_since if watch else None
        if one is not None and one.error is None and since is not None and since > begin:
            unknown.append(_span(begin, min(since, end), "The webhook was not registered yet."))
    for gap in await watches.gaps(tx, list(accounts), begin, end):
        if not gap.is_logged:
            unknown.append(_span(max(gap.began_at, begin), min(gap.ended_at or end, end), gap.why))
    counted = dict(await watches.count_logged(tx, day))
    checked = [one.checked_at for one in known.values()]
    return {
        "day": day,
        **counted,
        # whose they were cannot be said where others share the account
        "missing": sum(one.lost for one in known.values() if not accounts[one.account_id]),
        "unknown": sorted(unknown, key=lambda one: (one["from"], one["to"])),
        "checked_at": min(checked) if checked and len(checked) == len(accounts) else None,
    }


def _span(begin: datetime | None, end: datetime | None, why: str) -> dict[str, JSON]:
    return {"from": begin, "to": end, "why": why}


def _bounds(day: date) -> tuple[datetime, datetime]:
    """Returns when a day (UTC) begins and ends."""
    begin = datetime.combine(day, time(), UTC)
    return begin, begin + timedelta(days=1)
