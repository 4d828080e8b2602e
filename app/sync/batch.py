"""Batch: leads that are locked, with their links; planned, and what the plans change is written.

Every stage that decides works on one: what it read before it had the locks, it reads again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.db import deliveries, history, leads, link_work, links, reviews
from app.db.links import StoredLink
from app.db.session import Tx
from app.domain import identity
from app.domain.draft import Draft
from app.domain.identity import Identity, strong
from app.domain.lead import Action, CloseConflict, Connection, Lead, OpenConflict, Refuse, SetCell, SetField
from app.domain.plan import drafted
from app.domain.values import MISSING
from app.sync import activity, duplicates, place
from app.sync.job import Job
from app.sync.place import Placement


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


@dataclass(slots=True)
class _Plans:
    """What the plans of a batch come to, before it is written."""

    #: leads before and after; None: new
    moved: list[tuple[Lead | None, Lead]] = field(default_factory=list)
    links: list[StoredLink] = field(default_factory=list)
    #: every lead that was planned, its version after it, and what was done
    recorded: list[tuple[Lead, int, Sequence[Action]]] = field(default_factory=list)


async def settle(tx: Tx, job: Job, batch: Batch) -> None:
    """Plans every lead of a batch, applies the plan, and writes what moved."""
    plans = _Plans()
    speaking = {i: [s for s in batch.links[i] if not s.ended and not s.gone] for i in batch.leads}
    silent = await links.silent_counts(tx, batch.leads.keys() - batch.new, speaking.values())
    for lead_id, stored in sorted(batch.leads.items()):
        if stored.lead.deleted:
            await _deleted_here(tx, batch, lead_id)
            continue
        before = None if lead_id in batch.new else stored.lead
        draft = drafted(stored.lead, [s.link for s in speaking[lead_id]], batch.owners, silent.get(lead_id))
        lead, actions = (draft.lead, draft.actions) if draft else (stored.lead, [])
        if before is None or any(isinstance(action, SetField) for action in actions):
            _move(batch, before, lead)
            plans.moved.append((before, lead))
        plans.links += _spoken(job, speaking[lead_id], draft)
        plans.recorded.append((lead, lead.version, actions))
        await _note_conflicts(tx, batch, lead_id, actions)
        _count(job, actions, is_new=before is None)
    await _write(tx, job, plans)


def _move(batch: Batch, before: Lead | None, lead: Lead) -> None:
    """Gives a new or changed lead its next version; the leads planned after it know whose its identities are."""
    lead.version, lead.sync_version = (before.version + 1, before.sync_version + 1) if before else (1, 1)
    if before is None or identity.moved(before.values, lead.values):
        batch.owners |= dict.fromkeys(strong(lead.values), lead.id)


def _spoken(job: Job, of_lead: Sequence[StoredLink], draft: Draft | None) -> Iterator[StoredLink]:
    """Gives links what the plan made of them; yields those to be saved: moved ones, and ours, which were looked at."""
    for stored in of_lead:
        known = stored.link
        stored.link = draft.links[known.id] if draft else known
        if stored.link != known or stored.connection_id == job.id:
            yield stored


async def _write(tx: Tx, job: Job, plans: _Plans) -> None:
    source, moved, recorded = job.connection.view.source.value, plans.moved, plans.recorded
    await leads.insert(tx, [(lead, source) for before, lead in moved if before is None])
    await leads.save(tx, [(before, lead) for before, lead in moved if before is not None])
    await leads.claim_identities(tx, moved)
    versions = {UUID(lead.id): lead.sync_version for lead, *_ in recorded}
    await links.save(tx, plans.links, at_version=versions, own=job.id)
    await history.record(tx, recorded, source=source, run_id=job.run_id, connection_id=job.id)
    await activity.log(tx, recorded, actor=job.connection.name)
    await duplicates.notice(tx, moved)
    new = [str(lead.values["email"]) for before, lead in moved if before is None and lead.values.get("email")]
    await deliveries.unpark(tx, [job.adapter.fingerprint(email) for email in new])


async def _note_conflicts(tx: Tx, batch: Batch, lead_id: UUID, actions: Sequence[Action]) -> None:
    conflicts = [action for action in actions if isinstance(action, OpenConflict | CloseConflict)]
    if not conflicts:
        return
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
