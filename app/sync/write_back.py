"""Write-backs: what people asked to be changed in a lead's row at a mail-campaign provider.

A request is stored when somebody asks, and again right before its call leaves; the call is made with no transaction
open and never repeated blindly. A removal is done once the row is gone. An interest is only accepted by the call: the
row is read until it shows it. Where an answer was lost, the row is read before anything is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from app.db import history, link_work, links, requests
from app.db.requests import Kind, Request
from app.db.session import Tx
from app.errors import LeadkeeperError
from app.providers.base import ProviderError, Refused, Rejected, Uncertain
from app.providers.outreach import RowWriter
from app.sync import edit
from app.sync.job import Job

#: Requests handled at a time; their rows are read in one call.
AT_ONCE = 50
#: Seconds until a change that was accepted is looked for, doubled each time, and how often that is done.
FIRST_LOOK, LOOKS = 5.0, 8
#: How often a change is sent whose answer is lost.
ATTEMPTS = 3
GONE = "The lead is not in this campaign any more."


class NoSuchCampaign(LeadkeeperError):
    """There is no such campaign in this workspace, or the lead is not in it."""


class InNoCampaign(LeadkeeperError):
    """The lead is in no campaign at Instantly, so nothing can be changed there: add it to one in Instantly first."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


async def ask(
    tx: Tx, lead_id: UUID, kind: Kind, *, campaign_id: UUID | None, interest: str | None = None, actor: str,
    version: int | None = None,
) -> list[UUID]:  # fmt: skip
    """Stores what is to be changed of a lead in one campaign, or in all it is in, and returns the requests' ids.

    Raises:
        NoSuchCampaign, InNoCampaign, edit.NotFound, edit.Gone, edit.Merged, edit.StaleVersion
    """
    await edit.locked(tx, lead_id, version)
    wanted = await requests.memberships(tx, lead_id, campaign_id)
    if not wanted and campaign_id is not None:
        raise NoSuchCampaign(f"This lead is in no campaign {campaign_id}: see its links.")
    if not wanted:
        raise InNoCampaign
    ids = await requests.add(tx, lead_id, wanted, kind, interest=interest, requested_by=actor)
    entries = [
        (lead_id, f"{kind}.requested", tx.now, actor, _detail(kind, row["interest"], row["campaign"]), f"{row['id']}")
        for row in await requests.shown(tx, ids)
    ]
    await history.log(tx, entries)
    return ids


async def write_back(job: Job) -> bool:
    """Makes the changes that wait and looks for those that were sent; tells whether any row was read."""
    rows = job.adapter.rows
    looked = False
    while rows is not None:
        async with job.db.transaction(job.tenant) as tx:
            due = await requests.due(tx, job.id, AT_ONCE)
        if not due:
            break
        if sent := [request for request in due if request.state == "sent"]:
            await _look(job, rows, sent)
            looked = True
        for request in due:
            if request.state == "queued" and request.is_gone:
                await _end(job, request, GONE)
            elif request.state == "queued":
                await _send(job, rows, request)
    return looked


async def _send(job: Job, rows: RowWriter, request: Request) -> None:
    async with job.fenced() as tx:
        # longer than the call can take: until then nobody takes it for lost
        until = tx.now + timedelta(seconds=job.lease.write_seconds + FIRST_LOOK)
        if not await requests.send(tx, request.id, until):
            return
        await job.progress(tx, "write back")

    try:
        if request.kind == "remove":
            await rows.remove(request.remote_id, job.may_write)
        else:
            await rows.label(request.email or "", request.campaign_id, request.interest, job.may_write)
    except (Rejected, Refused) as exc:
        # what the key may not do, or is not possible, must not stop what it may
        await _end(job, request, str(exc))
    except Uncertain as exc:
        await _look_later(job, request, str(exc))
    except ProviderError as exc:
        async with job.fenced() as tx:
            await requests.send_again(tx, request.id, None, error=str(exc), sent=False)
        raise
    else:
        await (_end(job, request, None) if request.kind == "remove" else _look_later(job, request, None))


async def _look_later(job: Job, request: Request, error: str | None) -> None:
    async with job.fenced() as tx:
        at = tx.now + timedelta(seconds=FIRST_LOOK)
        await requests.look_again(tx, request.id, at, error=error, looked=False)


async def _look(job: Job, rows: RowWriter, sent: Sequence[Request]) -> None:
    """Reads the rows of changes that were sent; what they show is an observation like any other."""
    started = await job.db.now()
    found = await job.adapter.provider.read(sorted({request.remote_id for request in sent}))
    there = {record.remote_id: record for record in found}
    async with job.fenced() as tx:
        observations = [job.adapter.observe(record) for record in found]
        await links.observe(tx, job.id, observations, at=started, mapping_version=job.connection.mapping_version)
    for request in sent:
        record = there.get(request.remote_id)
        if record is None:
            is_removed = request.kind == "remove"
            await _end(job, request, None if is_removed else GONE)
        elif request.kind == "interest" and rows.shows(record, request.interest):
            await _end(job, request, None)
        else:
            await _not_yet(job, request)


async def _not_yet(job: Job, request: Request) -> None:
    """The row is as it was: looks again later, or sends again what may never have arrived."""
    is_lost = request.error is not None or request.kind == "remove"
    async with job.fenced() as tx:
        at = tx.now + timedelta(seconds=FIRST_LOOK * 2 ** (request.looks + 1))
        if is_lost and (request.kind == "remove" or request.looks >= 1) and request.attempts < ATTEMPTS:
            await requests.send_again(tx, request.id, at, error=request.error, sent=True)
            return
        if request.looks + 1 < LOOKS:
            await requests.look_again(tx, request.id, at, error=request.error, looked=True)
            return
    await _end(job, request, "It was sent, but the row there does not show it: look there, or ask again.")


async def _end(job: Job, request: Request, error: str | None) -> None:
    """Closes a request, and says so in the lead's activity log."""
    async with job.fenced() as tx:
        ended = await (requests.confirm(tx, request.id) if error is None else requests.fail(tx, request.id, error))
        if not ended:
            return
        if request.kind == "remove" and error is None:
            await link_work.mark_gone(tx, [request.link_id], speaks_again=True)
        outcome = "failed" if error else "done"
        detail = _detail(request.kind, request.interest, request.campaign) | ({"error": error} if error else {})
        kind, key = f"{request.kind}.{outcome}", f"{request.id}:{outcome}"
        await history.log(tx, [(request.lead_id, kind, tx.now, None, detail, key)])
        job.count("written_back" if error is None else "write_backs_failed")
        await job.progress(tx, "write back", done=1)


def _detail(kind: str, interest: object, campaign: object) -> dict[str, object]:
    return {"campaign": campaign} | ({"interest": interest} if kind == "interest" else {})
