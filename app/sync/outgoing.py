"""Outgoing: one batch of writes from its values to its answer.

The values are stored before they are sent and the lock of the leads is let go; the call is made with no transaction
open; its answer becomes the new base. An answer that is lost is never guessed: the value stays known as *sent*, and the
next look at the record tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from app.db import history, link_work, links
from app.db.ids import new_id
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain import notes
from app.domain.cells import Cell, Sent, State
from app.domain.lead import Lead
from app.domain.mapping import RIDE_ALONG, Mapped, MappingError
from app.domain.merge import confirmed
from app.domain.policy import Source
from app.domain.values import JSON, MISSING, instant, is_empty
from app.errors import LeadkeeperError
from app.providers.base import Guard, ProviderError, Record, Rejected, Uncertain
from app.sync import reconcile
from app.sync.batch import gather, lock_leads_of
from app.sync.job import Job
from app.sync.place import note_second

#: Seconds after which what we read of a record is too old to write on.
FRESH_SECONDS = 3.0
#: Seconds before a refused write is tried again; doubled each time.
BACKOFF, LONGEST_BACKOFF = 30.0, 6 * 60 * 60.0


class StaleRead(LeadkeeperError):
    """Waiting for a free call took so long that the record must be read again before it is written."""


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """One record about to be written: the cells, and which lead fields they carry."""

    stored: StoredLink
    lead: Lead
    cells: dict[str, JSON]
    #: field -> (as written, as the lead has it)
    fields: dict[str, tuple[JSON, JSON]]
    #: fields that cannot be written as they are, and why
    blocked: dict[str, str]
    attempt_id: UUID


#: The call itself: some of the batch, to the records as they are afterwards.
Call = Callable[[Sequence[Outgoing], Guard], Awaitable[list[Record]]]


def pick(stored: StoredLink, lead: Lead) -> Outgoing:
    """Chooses what a record lacks: every pending field, or for a new record every field that says anything."""
    out = Outgoing(stored=stored, lead=lead, cells={}, fields={}, blocked={}, attempt_id=new_id())
    for name, mapped in stored.link.connection.mapping.fields.items():
        if mapped.direction == "pull" or not _is_wanted(stored, name, lead.values.get(name)):
            continue
        if mapped.column in stored.link.connection.mapping.missing:
            out.blocked[name] = f"The column {mapped.name!r} is no longer in the table."
            continue
        try:
            encoded = _encode(mapped, stored.link.observed.get(name), lead.values.get(name))
        except MappingError as exc:
            out.blocked[name] = str(exc)
            continue
        out.cells[mapped.column] = encoded
        out.fields[name] = (encoded, lead.values.get(name))
    return out


def _is_wanted(stored: StoredLink, name: str, value: JSON) -> bool:
    if stored.is_new:
        return not is_empty(value)
    cell = stored.link.cells.get(name)
    return cell is not None and cell.state is State.PENDING


def _encode(mapped: Mapped, shown: JSON, value: JSON) -> JSON:
    """Encodes a value, unless the cell shows something nobody has mapped: that is never overwritten unread."""
    if mapped.values and shown is not None and mapped.decode(shown) is MISSING:
        raise MappingError(
            f"The option {shown!r} of the column {mapped.name} is not mapped: map it, or change it there."
        )
    return mapped.encode(value)


async def store(tx: Tx, job: Job, outgoing: Sequence[Outgoing], action: str) -> None:
    """Puts the outgoing fields in flight, and writes the attempt down, before anything leaves."""
    latest = tx.now + timedelta(seconds=FRESH_SECONDS + job.lease.write_seconds)
    for out in outgoing:
        for name, (encoded, value) in out.fields.items():
            cell = out.stored.link.cell(name)
            origin = out.lead.origins.get(name)
            foreign = origin is not None and origin.source is Source.AIRTABLE and origin.connection != str(job.id)
            sent = Sent(
                remote=encoded,
                local=notes.freeze(value) if name == "notes" else value,
                until=instant(latest),
                replaced=out.stored.link.observed.get(name) if foreign else MISSING,
            )
            out.stored.link.put(name, replace(cell, state=State.INFLIGHT, sent=sent, reason=None, other=None))
        out.cells |= _ride_along(job, out, instant(tx.now))
    await links.save(tx, [out.stored for out in outgoing], at_version={}, own=None)
    await link_work.delay(tx, _ids(outgoing), until=latest, failed=action == "create", error=None)
    rows = [(out.attempt_id, UUID(out.stored.link.id), UUID(out.lead.id), action, out.cells) for out in outgoing]
    await history.attempt(tx, job.id, job.run_id, rows)
    await job.progress(tx, "push")


def _ride_along(job: Job, out: Outgoing, now: str) -> dict[str, JSON]:
    """Returns the sync columns, which come along with a write that carries data anyway."""
    error = "; ".join(out.blocked.values()) or None
    values: dict[str, JSON] = {"last_sync": now, "sync_status": "Error" if error else "Synced", "sync_error": error}
    cells: dict[str, JSON] = {}
    for name in RIDE_ALONG:
        mapped = job.connection.table.pseudo.get(name)
        if mapped is None or (mapped.options and values[name] not in (None, *mapped.options)):
            continue
        cells[mapped.column] = (error is None) if mapped.type == "checkbox" else values[name]
    return cells


async def send(job: Job, outgoing: Sequence[Outgoing], call: Call, read_at: datetime) -> None:
    """Makes the call and records what became of it; a refused batch is halved until the refused record stands alone."""
    started = await job.db.now()

    async def guard() -> None:
        now = await job.outlast_a_write()
        if now - read_at > timedelta(seconds=FRESH_SECONDS):
            raise StaleRead

    try:
        records = await call(outgoing, guard)
    except StaleRead:
        await _give_up(job, outgoing, "not sent", None)
    except Rejected as exc:
        if len(outgoing) > 1:
            middle = len(outgoing) // 2
            await send(job, outgoing[:middle], call, read_at)
            await send(job, outgoing[middle:], call, read_at)
        elif (rest := without_culprit(outgoing[0], exc)) is not None:
            await _give_up(job, outgoing, "not sent", str(exc), fields=set(outgoing[0].fields) - set(rest.fields))
            await send(job, [rest], call, read_at)
        else:
            await _give_up(job, outgoing, "refused", str(exc))
    except Uncertain as exc:
        await _give_up(job, outgoing, "uncertain", str(exc))
    except ProviderError as exc:
        await _give_up(job, outgoing, "not sent", str(exc))
        raise
    else:
        await _confirm(job, outgoing, records, started)


def without_culprit(out: Outgoing, exc: Rejected) -> Outgoing | None:
    """Returns what can still be written once the field that was refused is left out; None where that is not known."""
    mapping = out.stored.link.connection.mapping
    culprits = {name for name, (encoded, _) in out.fields.items() if _is_culprit(mapping.fields[name], encoded, exc)}
    if not culprits or not set(out.fields) - culprits:
        return None
    columns = {mapping.fields[name].column for name in culprits}
    return replace(
        out,
        cells={column: value for column, value in out.cells.items() if column not in columns},
        fields={name: sent for name, sent in out.fields.items() if name not in culprits},
        blocked=out.blocked | dict.fromkeys(culprits, str(exc)),
    )


def _is_culprit(mapped: Mapped, encoded: JSON, exc: Rejected) -> bool:
    """Tells whether a refusal is about this field: it names the column, or an option only this field wanted."""
    option = exc.details.get("option")
    wanted = encoded if isinstance(encoded, list) else [encoded]
    return exc.column in (mapped.column, mapped.name) or (option is not None and option in wanted)


async def _confirm(job: Job, outgoing: Sequence[Outgoing], records: Sequence[Record], started: datetime) -> None:
    """Makes the answer the new base of the fields sent; everything else in it is an ordinary observation."""
    observations = [job.adapter.observe(record) for record in records]
    async with job.fenced() as tx:
        # before the links themselves are written: whoever locks a lead first waits for nobody who has its links
        await lock_leads_of(tx, _ids(outgoing))
        for out, seen in zip(outgoing, observations, strict=True):
            if out.stored.is_new:
                await link_work.adopt(tx, job.id, [(UUID(out.stored.link.id), seen)])
        await links.observe(tx, job.id, observations, at=started, mapping_version=job.connection.mapping_version)
        answers = {out.stored.link.id: seen.observed for out, seen in zip(outgoing, observations, strict=True)}
        settled = []
        for out, stored in await _locked(tx, job, outgoing):
            for name in out.fields:
                cell = stored.link.cell(name)
                if cell.state is State.INFLIGHT:
                    stored.link.put(name, confirmed(cell, answers[stored.link.id].get(name), instant(tx.now)))
            stored.error = "; ".join(out.blocked.values()) or None
            settled.append(stored)
            if out.stored.is_new and not stored.link.writing:
                # the lead was merged meanwhile, with one that has a record
                await note_second(tx, stored)
        await links.save(tx, settled, at_version={}, own=None)
        await link_work.delay(tx, _ids(outgoing), until=None, failed=False, error=None)
        for out in outgoing:
            if out.blocked:
                await wait_blocked(tx, out)
        await history.settle_attempts(tx, [out.attempt_id for out in outgoing], "confirmed")
        created = sum(out.stored.is_new for out in outgoing)
        job.count("created_there", created)
        job.count("written_there", len(outgoing) - created)
        await job.progress(tx, "push", done=len(outgoing))
    await reconcile.run_batch(job, [(UUID(out.stored.link.id), out.stored.lead_id) for out in outgoing])


async def wait_blocked(tx: Tx, out: Outgoing) -> None:
    """Lets the fields that cannot be written wait, longer each time; any edit of the lead brings them back at once."""
    until = tx.now + timedelta(seconds=backoff(out.stored.attempts))
    error = "; ".join(out.blocked.values())
    await link_work.delay(tx, [UUID(out.stored.link.id)], until=until, failed=True, error=error)


async def _give_up(
    job: Job, outgoing: Sequence[Outgoing], outcome: str, error: str | None, fields: Set[str] | None = None
) -> None:
    """The write did not happen, or nobody knows: its values (or some `fields` of it) wait for a new look."""
    async with job.fenced() as tx:
        for out, stored in await _locked(tx, job, outgoing):
            for name in out.fields:
                cell = stored.link.cell(name)
                if cell.state is State.INFLIGHT and cell.sent is not None and (fields is None or name in fields):
                    stored.link.put(name, _ended(cell, tx) if outcome == "uncertain" else _unsent(cell))
            stored.error = error
            await links.save(tx, [stored], at_version={}, own=None)
            until = tx.now + timedelta(seconds=backoff(stored.attempts)) if outcome == "refused" else None
            failed = outcome != "not sent" and not stored.is_new
            await link_work.delay(tx, [UUID(stored.link.id)], until=until, failed=failed, error=error)
        if fields is None:
            await history.settle_attempts(tx, [out.attempt_id for out in outgoing], outcome, error)
        job.count(f"writes_{outcome.replace(' ', '_')}", len(outgoing))


async def _locked(tx: Tx, job: Job, outgoing: Sequence[Outgoing]) -> list[tuple[Outgoing, StoredLink]]:
    """Loads the links of outgoing records once more, under the locks of their leads."""
    views = await job.views(tx)
    batch = await gather(tx, job, await lock_leads_of(tx, _ids(outgoing)), views)
    now = {s.link.id: s for found in batch.links.values() for s in found}
    return [(out, now[out.stored.link.id]) for out in outgoing if out.stored.link.id in now]


def _ids(outgoing: Sequence[Outgoing]) -> list[UUID]:
    return [UUID(out.stored.link.id) for out in outgoing]


def _ended(cell: Cell, tx: Tx) -> Cell:
    """The call has ended: the next look at the record tells whether it happened."""
    assert cell.sent is not None
    return replace(cell, sent=replace(cell.sent, until=instant(tx.now)))


def _unsent(cell: Cell) -> Cell:
    """The call certainly did not happen: there is nothing to recognise later."""
    return replace(cell, state=State.PENDING, sent=None)


def backoff(attempts: int) -> float:
    """Returns how many seconds to wait before a record is tried again that was refused this often."""
    return float(min(BACKOFF * 2 ** min(attempts, 20), LONGEST_BACKOFF))
