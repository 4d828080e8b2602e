"""Mails: replies are also read from the mailboxes, so that one is found whose webhook never came.

Each becomes a delivery that says what the webhook would have said; the same reply told by both has one identity, the
mail's id. Mailboxes belong to the account: whoever has a turn reads for all workspaces that share it, a few calls at a
time, and goes on where the last one stopped.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
import structlog

from app.db import deliveries, watches
from app.providers.base import CursorExpired, ProviderError
from app.providers.outreach import MailPage
from app.sync.job import Job
from app.sync.pull import OVERLAP

log = structlog.get_logger()
#: Seconds between two polls of an account, and calls in one of them (20 a minute is all there is).
EVERY, CALLS = 60.0, 3
#: Days before the first poll that are read too: replies of that time tell which mailbox answers whom.
BEGINNING = 30


async def poll(job: Job) -> None:
    """Keeps the replies that have arrived since the last poll."""
    if job.adapter.mails is None:
        return
    account_id = job.connection.account_id
    async with job.fenced() as tx:
        if not await watches.claim(tx, account_id, "mails", EVERY):
            return
        known = (await watches.of(tx, [account_id]))[account_id]
        since = known.mails_since or tx.now - timedelta(days=BEGINNING)
        position = known.mails_position or {"after": None, "began": None}
    for _ in range(CALLS):
        try:
            page = await job.adapter.mails.received(since - timedelta(seconds=OVERLAP), position["after"])
        except CursorExpired:
            # the overlap and the mails' own ids make it harmless to begin again
            position = {"after": None, "began": None}
            continue
        except ProviderError as exc:
            log.warning("mails.failed", connection_id=str(job.id), error=str(exc))
            async with job.fenced() as tx:
                await watches.note_mails(tx, account_id, str(exc))
            return
        await _keep(job, page)
        async with job.fenced() as tx:
            began = position["began"] or (page.server_time or tx.now).isoformat()
            if page.next is None:
                await watches.move_mails(tx, account_id, datetime.fromisoformat(began), None)
                return
            position = {"after": page.next, "began": began}
            await watches.move_mails(tx, account_id, since, position)


async def _keep(job: Job, page: MailPage) -> None:
    rows = [
        deliveries.delivery(
            orjson.dumps(reply),
            fingerprint=job.adapter.fingerprint,
            account_id=job.connection.account_id,
            via="mail",
        )
        for reply in page.replies
    ]
    stored = await deliveries.store(job.db, rows)
    if new := [one.id for one in stored if one is not None and one.is_new]:
        async with job.db.transaction(job.tenant) as tx:
            job.count("replies_found", await deliveries.own(tx, new))
