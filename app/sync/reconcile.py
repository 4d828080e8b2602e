"""Reconcile: stored observations and edits become decisions, a batch of leads per transaction.

Lock the leads in id order, load their links, plan, apply, write. All policy is in `domain`; here is only the order of
reading and writing. A batch that lost a race is run again; a record that breaks its batch is found by halving, noted on
its link, and the rest goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import structlog

from app.db import connections, deliveries, history, leads, link_work, links, reviews
from app.db.ids import new_id
from app.db.link_work import Work
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain import filters, identity
from app.domain.identity import Identity, strong
from app.domain.lead import Action, CloseConflict, Connection, Lead, OpenConflict, Refuse, SetCell, SetField
from app.domain.plan import drafted
from app.domain.values import JSON, MISSING
from app.sync import breakers, duplicates, place
from app.sync.halving import Overtaken, halving
from app.sync.job import Job
from app.sync.place import Placement

log = structlog.get_logger()
#: Leads one transaction locks: a tenth of a second's work, so that an edit of one of them hardly waits.
BATCH = 500
#: Characters of a campaign's name that the activity log's key holds.
NAME_IN_KEY = 200


async def reconcile(job: Job) -> None:
    """Works through everything of this connection that changed, there and here, until nothing is left."""
    async with job.db.transaction(job.tenant) as tx:
        if job.connection.pushes:
            await job.lease.fence(tx)
            await breakers.check_clears(tx, job)
        batch = await link_work.dirty(tx, job.id, BATCH)
    await _changed_there(job, batch)
    if job.connection.pushes:
        await _changed_here(job)


async def _changed_there(job: Job, batch: Sequence[Work]) -> None:
    """Reconciles links with a new observation or decision, of which `batch` are the first."""
    while batch:
        await run_batch(job, batch)
        if len(batch) < BATCH:
            return
        async with job.db.transaction(job.tenant) as tx:
            batch = await link_work.dirty(tx, job.id, BATCH)


async def run_batch(job: Job, work: Sequence[Work]) -> None:
    """Reconciles some links in one transaction; where one of them breaks it, goes on without it."""

    async def park(broken: Work, exc: Exception) -> None:
        link_id, _ = broken
        log.exception("link.failed", link_id=str(link_id), connection_id=str(job.id))
        async with job.fenced() as tx:
            error = f"This record could not be reconciled ({type(exc).__name__}): see the log."
            await link_work.park(tx, [link_id], error)
        job.count("failed")

    await halving(job.db, work, lambda some: _batch(job, some), park)


async def _batch(job: Job, work: Sequence[Work]) -> None:
    async with job.fenced() as tx:
        views = await job.views(tx)
        # a merge may have moved them since they were found
        work = await link_work.whose(tx, [link_id for link_id, _ in work])
        unknown = await links.by_ids(tx, [link_id for link_id, lead_id in work if lead_id is None], views)
        oldest_first = sorted(unknown, key=lambda s: (s.link.created_at, s.link.key))
        placement = await place.place(tx, oldest_first, job.adapter.fingerprint)
        known = {lead_id for _, lead_id in work if lead_id is not None}
        batch = await gather(tx, job, known, views, placement)
        if any(stored.merged_into for stored in batch.leads.values()):
            raise Overtaken
        ours = [s for found in batch.links.values() for s in found if s.connection_id == job.id]
        newcomers = [
            s for s in ours if s.link.reconciled < 0 and not s.link.base_remote and not s.is_new and not s.gone
        ]
        silenced = await place.elect(tx, job, newcomers, batch.links)
        breakers.hold_back(ours, job)
        await settle(tx, job, batch)
        for stored in silenced:
            await place.note_second(tx, stored)
        idle = placement.unplaced + [s for s in ours if s.link.id in batch.idle]
        await link_work.clean(tx, [UUID(s.link.id) for s in idle])
        await job.progress(tx, "reconcile", done=len(work))


async def lock_leads_of(tx: Tx, link_ids: Collection[UUID]) -> dict[UUID, leads.Stored]:
    """Locks the leads that links belong to; where a merge moves a link meanwhile, the survivor is locked as well."""
    stored: dict[UUID, leads.Stored] = {}
    while True:
        wanted = {lead_id for _, lead_id in await link_work.whose(tx, link_ids) if lead_id is not None}
        if wanted <= stored.keys():
            return {lead_id: stored[lead_id] for lead_id in wanted}
        stored = await leads.lock(tx, wanted)


@dataclass(slots=True)
class Batch:
    """Locked leads with their links, and who owns which identity."""

    leads: dict[UUID, leads.Stored]
    links: dict[UUID, list[StoredLink]]
    owners: dict[Identity, str]
    new: set[UUID] = field(default_factory=set)
    #: links that have no say: their lead is gone, or another record speaks for it
    idle: set[str] = field(default_factory=set)

    def find(self, wanted: Iterable[UUID]) -> list[tuple[StoredLink, Lead]]:
        """Returns those of the links that still belong to one of the leads, with their lead."""
        ids = {str(link_id) for link_id in wanted}
        every = [(s, self.leads[lead_id].lead) for lead_id, found in self.links.items() for s in found]
        return [(s, lead) for s, lead in every if s.link.id in ids]


async def gather(
    tx: Tx, job: Job, lead_ids: Iterable[UUID], views: Mapping[UUID, Connection], placement: Placement | None = None
) -> Batch:
    """Locks leads, and then loads everything a plan for them needs; what was read before the lock is read again."""
    placed = placement or Placement({})
    stored = await leads.lock(tx, {*lead_ids, *placed.by_lead} - placed.new.keys())
    source = job.connection.view.source.value
    stored |= {lead_id: leads.Stored(lead=lead, created_by=source) for lead_id, lead in placed.new.items()}
    every: dict[UUID, list[StoredLink]] = {lead_id: [] for lead_id in stored}
    for loaded in await links.of_leads(tx, stored, views):
        assert loaded.lead_id is not None
        every[loaded.lead_id].append(loaded)
    for lead_id, newcomers in placed.by_lead.items():
        # a lead that was erased since its records were placed takes none of them
        if lead_id in every:
            every[lead_id] += newcomers
    # every link of these leads speaks in a plan, so whose identities they show matters for all of them
    shown = {i for lead_id, found in every.items() for s in found for i in place.identities(s, stored[lead_id].lead)}
    owners = placed.owners | await leads.owners(tx, shown - placed.owners.keys())
    return Batch(stored, every, owners, set(placed.new))


async def settle(tx: Tx, job: Job, batch: Batch) -> dict[UUID, Lead]:
    """Plans every lead of a batch, applies the plan, and writes what moved; returns the leads as they are now."""
    after: dict[UUID, Lead] = {}
    moved: list[tuple[Lead | None, Lead]] = []
    changed_links: list[StoredLink] = []
    recorded: list[tuple[Lead, int, Sequence[Action]]] = []
    versions: dict[UUID, int] = {}
    speaking = {i: [s for s in batch.links[i] if not s.ended and not s.gone] for i in batch.leads}
    silent = await links.silent_counts(tx, batch.leads.keys() - batch.new, speaking.values())
    for lead_id, stored in sorted(batch.leads.items()):
        before = stored.lead
        if before.deleted:
            await _deleted_here(tx, batch, lead_id)
            continue
        having_a_say = speaking[lead_id]
        draft = drafted(before, [s.link for s in having_a_say], batch.owners, silent.get(lead_id))
        lead, actions = (draft.lead, draft.actions) if draft else (before, [])
        after[lead_id] = lead
        is_new = lead_id in batch.new
        if is_new or any(isinstance(action, SetField) for action in actions):
            moved.append((None if is_new else before, lead))
            if not is_new:
                lead.version, lead.sync_version = before.version + 1, before.sync_version + 1
            else:
                lead.version, lead.sync_version = 1, 1
            if is_new or identity.moved(before.values, lead.values):
                batch.owners |= dict.fromkeys(strong(lead.values), lead.id)
        versions[lead_id] = lead.sync_version
        for s in having_a_say:
            known = s.link
            s.link = draft.links[known.id] if draft else known
            if s.link != known or s.connection_id == job.id:
                changed_links.append(s)
        recorded.append((lead, lead.version, actions))
        if conflicts := [action for action in actions if isinstance(action, OpenConflict | CloseConflict)]:
            await _note_conflicts(tx, batch, lead_id, conflicts)
        _count(job, actions, is_new=is_new)
    await _write(tx, job, moved, changed_links, versions, recorded)
    return after


async def _write(
    tx: Tx,
    job: Job,
    moved: Sequence[tuple[Lead | None, Lead]],
    changed_links: Sequence[StoredLink],
    versions: Mapping[UUID, int],
    recorded: Sequence[tuple[Lead, int, Sequence[Action]]],
) -> None:
    source = job.connection.view.source.value
    await leads.insert(tx, [(lead, source) for before, lead in moved if before is None])
    await leads.save(tx, [(before, lead) for before, lead in moved if before is not None])
    await leads.claim_identities(tx, moved)
    await links.save(tx, changed_links, at_version=versions, own=job.id)
    await history.record(tx, recorded, source=source, run_id=job.run_id, connection_id=job.id)
    await log_moves(tx, recorded, actor=job.connection.name)
    await duplicates.notice(tx, moved)
    new = [str(lead.values["email"]) for before, lead in moved if before is None and lead.values.get("email")]
    await deliveries.unpark(tx, [job.adapter.fingerprint(email) for email in new])


async def log_moves(tx: Tx, recorded: Sequence[tuple[Lead, int, Sequence[Action]]], *, actor: str) -> None:
    """Adds to the activity log what a person wants to see there: notes, claims, moves of status and campaigns."""
    rows = [
        (UUID(lead.id), kind, tx.now, actor, detail, f"{key}:{version}")
        for lead, version, actions in recorded
        for action in actions
        if isinstance(action, SetField) and action.old != action.value
        for kind, detail, key in _moves(action)
    ]
    await history.log(tx, rows)


def _moves(action: SetField) -> Iterator[tuple[str, dict[str, JSON], str]]:
    """Yields what a change is in the activity log: its kind, the detail, and what tells it apart in its version."""
    match action.field:
        case "notes":
            old = {e[0]: e[1] for e in action.old or []}
            for key, text, *_ in action.value or []:
                if old.get(key) != text:
                    kind = "note.revised" if key in old else "note.added"
                    yield kind, {"text": text} | ({"was": old[key]} if key in old else {}), f"note:{key}"
        case "status" | "claimed_by":
            yield action.field, {"old": action.old, "new": action.value, "rule": action.rule}, action.field
        case "campaigns":
            was, now = set(action.old or ()), set(action.value or ())
            for kind, names in (("campaign.joined", now - was), ("campaign.left", was - now)):
                for name in sorted(names):
                    # a column of any text may be mapped to campaigns, and an index takes only so much of it
                    known = name if len(name) <= NAME_IN_KEY else hashlib.sha256(name.encode()).hexdigest()
                    yield kind, {"campaign": name}, f"{kind}:{known}"


async def _note_conflicts(
    tx: Tx, batch: Batch, lead_id: UUID, conflicts: Sequence[OpenConflict | CloseConflict]
) -> None:
    by_id = {s.link.id: s for s in batch.links[lead_id]}
    decided = []
    for action in conflicts:
        if isinstance(action, CloseConflict):
            why = "the sides met, or only one of them differs any more"
            await reviews.close(tx, kind="conflict", link_id=UUID(action.link), field=action.field, why=why)
        else:
            c = action.conflict
            evidence = {
                "base": None if c.base is MISSING else c.base,
                "local": c.local,
                "remote": c.remote,
                "why": c.why,
                "record": by_id[action.link].link.key,
            }
            where = (by_id[action.link].connection_id, UUID(action.link), lead_id, action.field)
            if c.winner is None:
                await reviews.put(
                    tx, "conflict", evidence, connection_id=where[0], link_id=where[1], lead_id=lead_id, field=where[3]
                )
            else:
                decided.append((*where, evidence, {"winner": c.winner, "why": c.why}))
    await reviews.note_decided(tx, decided)


async def _deleted_here(tx: Tx, batch: Batch, lead_id: UUID) -> None:
    """The lead was deleted here and its record changed there: a person decides, nothing rises from the dead."""
    for stored in batch.links[lead_id]:
        batch.idle.add(stored.link.id)
        if stored.dirty and not stored.gone and stored.link.observed != stored.link.base_remote:
            evidence = {
                "record": stored.link.key,
                "why": "the lead was deleted here and its record changed there: restore the lead, or leave it deleted",
            }
            await reviews.put(
                tx,
                "deleted",
                evidence,
                connection_id=stored.connection_id,
                link_id=UUID(stored.link.id),
                lead_id=lead_id,
            )


def _count(job: Job, actions: Sequence[Action], *, is_new: bool) -> None:
    fields = set()
    for action in actions:
        match action:
            case SetField() if action.old != action.value:
                fields.add(action.field)
            case SetCell():
                job.count("cells_settled")
            case OpenConflict():
                job.count("conflicts")
            case Refuse():
                job.count("refused")
    job.count("leads_created", int(is_new))
    job.count("leads_changed", int(bool(fields) and not is_new))
    job.count("fields_changed", len(fields))


async def _changed_here(job: Job) -> None:
    """Reconciles links of leads that were changed here, and plans the records that are to be created there."""
    xid, after, finished = job.connection.lead_xid, None, False
    creates = not job.connection.create_policy.get("never")
    while not finished:
        async with job.fenced() as tx:
            ids, xid, finished = await leads.changed_since(tx, job.id, xid, after, BATCH, creates=creates)
            after = ids[-1] if ids else after
            if ids:
                await _learn(tx, job, ids)
            if finished or ids:
                await connections.change(tx, job.id, lead_xid=xid)
    job.connection = replace(job.connection, lead_xid=xid)


async def look_at_own_changes(job: Job) -> None:
    """Goes through the leads this very transaction changed, which `_changed_here` cannot see yet (for a preview)."""
    if not job.connection.pushes:
        return
    async with job.db.transaction(job.tenant) as tx:
        ids = await leads.changed_by_this(tx)
        for start in range(0, len(ids), BATCH):
            await _learn(tx, job, ids[start : start + BATCH])


async def _learn(tx: Tx, job: Job, lead_ids: Sequence[UUID]) -> None:
    views = await job.views(tx)
    batch = await gather(tx, job, lead_ids, views)
    creates = [
        lead_id
        for lead_id, stored in batch.leads.items()
        if not stored.lead.deleted
        and not any(s.connection_id == job.id and not s.gone for s in batch.links[lead_id])
        and not _created_elsewhere(job, batch.links[lead_id])
        and filters.wants(job.connection.create_policy, stored.lead.values, stored.created_by)
    ]
    await link_work.add_new(tx, job.id, [(new_id(), lead_id) for lead_id in creates], job.connection.mapping_version)
    job.count("to_create_there", len(creates))
    stale = {
        lead_id: stored
        for lead_id, stored in batch.leads.items()
        if any(s.connection_id == job.id and s.link.reconciled < stored.lead.sync_version for s in batch.links[lead_id])
    }
    batch.leads = stale
    await settle(tx, job, batch)
    await link_work.hurry(tx, job.id, [i for i in stale if any(s.waits for s in batch.links[i])])
    await job.progress(tx, "reconcile", done=len(stale))


def _created_elsewhere(job: Job, of_lead: Sequence[StoredLink]) -> bool:
    """At most one connection creates a record of a lead."""
    return any(s.is_new and s.connection_id != job.id for s in of_lead)
