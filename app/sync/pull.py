"""Pull: what the provider shows becomes stored observations, page by page, and the cursor moves with its rows.

Each page is one call and one transaction. The watermark of the next delta is the provider's own time at the first page,
and every delta overlaps the one before, because providers round times, clocks differ, and records change while a
listing runs. What comes twice is recognised as old news.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from app.db import accounts, connections, links, suppressions, sweeps
from app.db.connections import StreamState
from app.db.session import Tx
from app.domain.values import JSON
from app.providers.base import CursorExpired, Mode, Page, Record, Unavailable
from app.sync import campaigns
from app.sync.job import STREAM, Job, earlier

#: Seconds two deltas overlap: a clock that went from 60 s ahead to 60 s behind, whole seconds, and a margin.
OVERLAP = 150.0
_RESTARTS = 3


async def pull(job: Job, mode: Mode) -> Mode:
    """Reads a stream to its end, going on where an earlier attempt stopped; returns the mode it was read in.

    The first pull of a connection is always a full one.
    """
    async with job.db.transaction(job.tenant) as tx:
        state = await connections.stream(tx, job.id, STREAM)
        # what a page shows is at least as new as the end of the transaction before its call
        started = tx.now
    begins = state.position is None or (mode == "full" and state.progress.get("mode") != "full")
    restarts = 0
    while begins or state.position is not None:
        try:
            if begins:
                state, started = await _begin(job, state, mode, started)
                begins = False
            assert state.position is not None
            page = await job.adapter.provider.page(state.position)
        except CursorExpired:
            restarts += 1
            if restarts > _RESTARTS:
                raise Unavailable(
                    f"The listing of {job.connection.name} expired {restarts} times: it is tried again later."
                ) from None
            mode = mode if begins else state.progress["mode"]
            begins = True
            continue
        state, started = await job.db.retrying(partial(_store, job, state, page, started))
    mode_read: Mode = state.progress["mode"]
    return mode_read


async def _begin(job: Job, state: StreamState, mode: Mode, started: datetime) -> tuple[StreamState, datetime]:
    """Starts a listing; one that starts again forgets what it had seen, because only a whole listing proves absence."""
    if state.watermark is None:
        mode = "full"
    source = job.adapter.campaigns
    if source is None:
        since = None if state.watermark is None else earlier(state.watermark, OVERLAP)
        position = job.adapter.provider.start(mode, since)
        # it is stored, and forgets, with its first page: broken off before that, it starts again anyway
        return StreamState(position=position, watermark=state.watermark, progress={"mode": mode}), started
    await campaigns.look(job, source)
    async with job.fenced() as tx:
        position = source.scan(await campaigns.due(tx, job, everything=mode == "full"))
        # what a campaign's last page leaves out is looked up before that page is stored
        await sweeps.forget(tx, job.id)
        begun = StreamState(position=position, watermark=state.watermark, progress={"mode": mode})
        await connections.move_stream(tx, job.id, STREAM, begun)
    return begun, tx.now


async def _store(job: Job, state: StreamState, page: Page, started: datetime) -> tuple[StreamState, datetime]:
    """Keeps one page: observations that changed, and the cursor behind them, or neither; returns also when."""
    assert state.position is not None
    progress: dict[str, JSON] = dict(state.progress)
    is_first = "began" not in progress
    progress.setdefault("server_time", page.server_time)
    progress.setdefault("began", started.isoformat())
    ended = campaigns.Ended()
    source = job.adapter.campaigns
    if source is not None:
        campaign = source.scanning(state.position)
        if "campaign" not in progress or progress["campaign"] != campaign:
            progress |= {"campaign": campaign, "campaign_began": started.isoformat()}
        began = datetime.fromisoformat(progress["campaign_began"])
        ended = await campaigns.end_of(job, source, state.position, page, began)
    async with job.counting() as tx:
        records = await _readable(tx, job, [*page.records, *ended.elsewhere])
        await job.lease.fence(tx)
        if is_first and source is None:
            await sweeps.forget(tx, job.id)
        if source is not None or (progress["mode"] == "full" and job.connection.pushes):
            await sweeps.saw(tx, job.id, [record.remote_id for record in page.records])
        # locks leads, which comes before links
        await campaigns.close(tx, job, ended)
        observations = [job.adapter.observe(record) for record in records]
        if job.adapter.many_per_lead:
            job.count("moved_there", await links.follow_moves(tx, job.id, observations))
        changed = await links.observe(
            tx, job.id, observations, at=started, mapping_version=job.connection.mapping_version
        )
        await suppressions.add(
            tx,
            [
                (job.adapter.fingerprint(found.email), found.scope, found.reason)
                for record in records
                if (found := job.adapter.suppressed(record)) is not None
            ],
        )
        watermark = state.watermark
        if page.next is None:
            seen = progress["server_time"] or progress["began"]
            watermark = datetime.fromisoformat(seen)
        moved = StreamState(position=page.next, watermark=watermark, progress=progress)
        await connections.move_stream(tx, job.id, STREAM, moved)
        job.count("read", len(records))
        job.count("changed_there", changed)
        await job.progress(tx, "pull", done=len(page.records))
    return moved, tx.now


async def _readable(tx: Tx, job: Job, records: Sequence[Record]) -> Sequence[Record]:
    """Returns the records of campaigns that may be read here now: one may have been moved since the page was asked for.

    The account is locked before anything else, as it is where a campaign is moved.
    """
    if not any(record.campaign for record in records):
        return records
    readable = await accounts.readable(tx, job.connection)
    return [record for record in records if readable is None or record.campaign in readable]
