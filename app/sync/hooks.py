"""Hooks: the one webhook of an account is kept registered and delivering, and what it missed is read again.

Workspaces that share an account share its hook: whoever has a turn looks, once in a few minutes, for all of them; with
the last of its connections the hook goes, too. Each
follows what was found for itself: a gap raises an alert and queues a full reading of its connection. What cannot be
done here never stops the reading: it is said on the connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from app.db import connections, reviews, runs, watches
from app.db.connections import StreamState
from app.db.session import Database, Tenant, Tx
from app.domain.values import JSON, instant
from app.providers.base import ProviderError, Refused
from app.providers.outreach import HookSource
from app.sync.job import Job, OpenAdapter

log = structlog.get_logger()
#: Seconds between two looks at an account's hook.
EVERY = 300.0
#: Days for which a connection shows a gap that is over.
SHOWN_DAYS = 7
#: The stream of gaps a connection has read again.
GAPS = "gaps"
#: The kind and the field of the review item that tells of a gap.
ALERT: Final = "alert"
FIELD: Final = "webhook"
UNSET = (
    "No webhook is registered: set PUBLIC_URL to where Instantly can reach this service. Until then what happens there"
    " is seen when leads are read."
)
DISABLED = "Instantly gave the webhook up after deliveries to it had failed; it was told to deliver again."
REMOVED = "The webhook was removed at Instantly; it was registered again."


async def watch(job: Job) -> None:
    """Looks after the account's hook if that is due, and lets what it missed be read again."""
    source = job.adapter.hooks
    if source is None:
        return
    account_id = job.connection.account_id
    async with job.fenced() as tx:
        is_due = await watches.claim(tx, account_id, "hook", EVERY)
        if source.target is None:
            if is_due:
                await watches.note_hook(tx, account_id, UNSET, state="unset")
            return
    if is_due:
        try:
            await _look_after(job, source)
        except ProviderError as exc:
            log.warning("hook.failed", connection_id=str(job.id), error=str(exc))
            async with job.fenced() as tx:
                state = "refused" if isinstance(exc, Refused) else None
                await watches.note_hook(tx, account_id, str(exc), state=state)
    async with job.fenced() as tx:
        await _follow(tx, job)


async def _look_after(job: Job, source: HookSource) -> None:
    """Registers the hook, or mends and resumes the one there is; what is found is noted before anything is done."""
    first, *others = [*await source.hooks(), None]
    if first is None:
        await _note_gap(job, None, REMOVED, only_if_known=True)
        await source.create(job.may_write)
    else:
        if not first.is_active:
            await _note_gap(job, first.failed_at, DISABLED)
        if not first.is_right:
            await source.mend(first.id, job.may_write)
        if not first.is_active:
            await source.resume(first.id, job.may_write)
    for other in others:
        if other is not None:
            # two looks at the same time, or an answer that was lost: each event would come twice
            await source.delete(other.id, job.may_write)
    async with job.fenced() as tx:
        await watches.hook_is_active(tx, job.connection.account_id)


async def remove_nobodys(db: Database, tenant: Tenant, connection_id: UUID, open_adapter: OpenAdapter) -> None:
    """Removes the webhook of an account whose last connection was deleted; claimed again later if that fails.

    Who connects the account again meanwhile registers a webhook again.
    """
    async with db.transaction(tenant) as tx:
        connection = {c.id: c for c in await connections.every(tx, disconnected=True)}[connection_id]
    try:
        async with open_adapter(db, tenant, connection) as adapter:
            source = adapter.hooks
            if source is None or source.target is None:
                return
            for hook in await source.hooks():
                await source.delete(hook.id, _at_any_time)
    except Refused as exc:
        # the key opens nothing any more: whoever has the account removes it there
        log.warning("hook.left_there", connection_id=str(connection_id), error=str(exc))
    except ProviderError as exc:
        log.warning("hook.failed", connection_id=str(connection_id), error=str(exc))
        return
    async with db.transaction(tenant) as tx:
        await watches.forget_nobodys(tx, connection.account_id)


async def _at_any_time() -> None:
    """Is the guard of a write that nobody's lease is about."""


async def _note_gap(job: Job, began_at: datetime | None, why: str, *, only_if_known: bool = False) -> None:
    account_id = job.connection.account_id
    async with job.fenced() as tx:
        known = (await watches.of(tx, [account_id]))[account_id]
        if only_if_known and known.hook_since is None:
            return
        began_at = began_at or known.hook_seen_at or tx.now
        log.warning("hook.gap", connection_id=str(job.id), since=instant(began_at), why=why)
        await watches.open_gap(tx, account_id, began_at, why)
        await watches.note_hook(tx, account_id, why, state="disabled")


async def _follow(tx: Tx, job: Job) -> None:
    """Queues a full reading for gaps that are over and were not read again by this connection yet."""
    state = await connections.stream(tx, job.id, GAPS)
    if state.watermark is None:
        # what there is was read when it was connected
        await _move(tx, job, tx.now)
        return
    found = await watches.gaps(tx, [job.connection.account_id], state.watermark)
    is_read_again = await runs.open_for(tx, job.id, "full") is not None
    if not found:
        if not is_read_again:
            await reviews.close(
                tx, kind=ALERT, connection_id=job.id, field=FIELD, why="what was missed has been read again"
            )
        return
    await reviews.put(tx, ALERT, _evidence(found), connection_id=job.id, field=FIELD)
    if ended := [gap.ended_at for gap in found if gap.ended_at is not None]:
        await _move(tx, job, max(ended))
        if not is_read_again:
            await runs.queue(tx, job.id, "full", "gap")


def _evidence(gaps: list[watches.Gap]) -> dict[str, JSON]:
    last = gaps[-1]
    until = None if last.ended_at is None else instant(last.ended_at)
    return {"why": last.why, "from": instant(gaps[0].began_at), "to": until, "gaps": len(gaps)}


async def _move(tx: Tx, job: Job, until: datetime) -> None:
    await connections.move_stream(tx, job.id, GAPS, StreamState(position=None, watermark=until, progress={}))


async def states(tx: Tx, account_ids: Sequence[UUID]) -> dict[UUID, dict[str, JSON]]:
    """Returns how the webhooks of accounts fare, each with its last gap."""
    known = await watches.of(tx, account_ids)
    last = {gap.account_id: gap for gap in await watches.gaps(tx, account_ids, tx.now - timedelta(days=SHOWN_DAYS))}
    return {
        account_id: {
            "state": watch.hook,
            "message": watch.hook_error,
            "checked_at": watch.hook_looked_at,
            "since": watch.hook_since,
            "mails": watch.mails_error,
            "gap": {"from": gap.began_at, "to": gap.ended_at, "why": gap.why}
            if (gap := last.get(account_id))
            else None,
        }
        for account_id, watch in known.items()
    }


async def remark(tx: Tx, account_id: UUID) -> list[str]:
    """Returns what there is to say of an account's webhook, a sentence or nothing."""
    watch = (await watches.of(tx, [account_id])).get(account_id)
    if watch is None or watch.hook == "unknown":
        return []
    return [watch.hook_error or "Its webhook delivers."]
