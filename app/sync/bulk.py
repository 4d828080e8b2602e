"""Bulk: many operations in one transaction, each with its own outcome, written set by set.

Every lead that is named is locked first, in id order. Operations are then taken one after the other in memory, as if
each had come alone; a lead that comes twice, or anything that must be read again, ends a set and begins the next one.
An identity that somebody else takes meanwhile sends the whole of it back to the savepoint, where it is seen. One that
is taken again and again, and a value that the database cannot hold, are found by halving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from app.db import leads, link_work
from app.db.ids import new_id
from app.db.leads import IdentityTaken
from app.db.session import Tx, Unstorable
from app.domain import identity
from app.domain.identity import Identity
from app.domain.lead import Action, Lead, SetField
from app.domain.policy import Source
from app.domain.values import JSON
from app.errors import LeadkeeperError
from app.sync import duplicates, edit
from app.sync.canonical import FieldProblem, InvalidFields, canonical
from app.sync.edit import AlreadyClaimed, Gone, Merged, NotClaimed, NotFound, NotOneself, StaleVersion

_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is wanted of one lead."""

    op: Literal["create", "update", "upsert", "delete"]
    lead_id: UUID | None = None
    #: the version the caller saw; None: any
    version: int | None = None
    #: fields as they were sent
    fields: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one operation: the lead as it is now, or why not."""

    status: int = 0
    lead_id: UUID | None = None
    version: int | None = None
    error: LeadkeeperError | None = None


@dataclass(frozen=True, slots=True)
class _By:
    """Who does it, and whose claims they may make and end."""

    actor: str
    claims: str | None


#: An operation's fields in canonical form, or what is wrong with them.
Values = dict[str, JSON] | LeadkeeperError
Read = tuple[Operation, Values]


async def run(tx: Tx, operations: Sequence[Operation], *, actor: str, claims: str | None = None) -> list[Outcome]:
    """Carries out operations in their order; what one of them cannot do is its own outcome and stops no other.

    `claims` is whose claims may be made and ended; None: anybody's.
    """
    read = [(operation, _read(operation)) for operation in operations]
    by = _By(actor, claims)
    try:
        return await _set(tx, read, by)
    except (Unstorable, IdentityTaken):
        # from here on halves are locked one after the other, so all of it is locked in order first
        await leads.lock(tx, await _named(tx, read))
        return await _halved(tx, read, by)


async def _halved(tx: Tx, read: Sequence[Read], by: _By) -> list[Outcome]:
    try:
        return await _set(tx, read, by)
    except (Unstorable, IdentityTaken) as exc:
        if len(read) == 1:
            return [Outcome(lead_id=read[0][0].lead_id, error=exc)]
        middle = len(read) // 2
        return await _halved(tx, read[:middle], by) + await _halved(tx, read[middle:], by)


async def _set(tx: Tx, read: Sequence[Read], by: _By) -> list[Outcome]:
    for attempt in range(_TRIES):
        try:
            async with tx.savepoint():
                return await _Batch(tx, by).work(read)
        except IdentityTaken:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError


async def _named(tx: Tx, read: Sequence[Read]) -> set[UUID]:
    """Returns the leads that operations are about, those that an address stands for included."""
    owners = await leads.owners(
        tx, {i for operation, values in read if operation.op == "upsert" for i in _address(values)}
    )
    return {operation.lead_id for operation, _ in read if operation.lead_id} | {
        UUID(owner) for owner in owners.values()
    }


def _read(operation: Operation) -> Values:
    try:
        values = canonical(operation.fields)
        if operation.op == "upsert" and not _address(values):
            raise InvalidFields([FieldProblem("email", "It takes the address of one person to find their lead by.")])
    except LeadkeeperError as exc:
        return exc
    return values


def _address(values: Values) -> tuple[Identity, ...]:
    """Returns the identity an upsert goes by."""
    return () if isinstance(values, LeadkeeperError) else identity.strong({"email": values.get("email")})


class _Batch:
    """What has been decided and is not written yet."""

    def __init__(self, tx: Tx, by: _By) -> None:
        self._tx = tx
        self._by = by
        self._stored: dict[UUID, leads.Stored] = {}
        self._owners: dict[Identity, str] = {}
        self._created: list[tuple[Lead, list[Action]]] = []
        self._changed: list[tuple[Lead, Lead, list[Action]]] = []
        self._deleted: list[Lead] = []
        self._touched: set[UUID] = set()
        #: touched in a set before this one, and read again before they are touched once more
        self._written: set[UUID] = set()

    async def work(self, read: Sequence[Read]) -> list[Outcome]:
        """Takes operations one after the other, and writes them."""
        self._stored = await leads.lock(self._tx, await _named(self._tx, read))
        shown = {i for _, values in read if not isinstance(values, LeadkeeperError) for i in identity.strong(values)}
        self._owners = await leads.owners(self._tx, shown)
        outcomes = []
        for operation, values in read:
            try:
                outcomes.append(await self._do(operation, values))
            except _REFUSED as exc:
                outcomes.append(Outcome(lead_id=operation.lead_id, error=exc))
        await self._write()
        return outcomes

    async def _do(self, operation: Operation, values: Values) -> Outcome:
        if isinstance(values, LeadkeeperError):
            raise values
        lead_id = operation.lead_id
        if operation.op == "upsert":
            address = _address(values)[0]
            owner = self._owners.get(address)
            lead_id = None if owner is None else UUID(owner)
            known = (self._stored, self._touched, self._written)
            if lead_id is not None and not any(lead_id in ours for ours in known):
                # somebody made it since the first look: it is locked in its order the next time
                raise IdentityTaken(address, lead_id)
        if lead_id is None:
            return self._create(values)
        if lead_id in self._touched:
            await self._write()
        if lead_id in self._written and lead_id not in self._stored:
            self._stored |= await leads.lock(self._tx, [lead_id])
        before = edit.present(lead_id, self._stored.get(lead_id), operation.version)
        if operation.op == "delete":
            self._touched.add(lead_id)
            self._deleted.append(before)
            self._release(identity.strong(before.values), before.id)
            return Outcome(status=204, lead_id=lead_id, version=before.version + 1)
        after, actions = edit.edited(before, values, self._tx.now, claims=self._by.claims)
        if not any(isinstance(action, SetField) for action in actions):
            return Outcome(status=200, lead_id=lead_id, version=before.version)
        self._take(before, after)
        after.version, after.sync_version = before.version + 1, before.sync_version + 1
        self._touched.add(lead_id)
        self._changed.append((before, after, actions))
        return Outcome(status=200, lead_id=lead_id, version=after.version)

    def _create(self, values: dict[str, JSON]) -> Outcome:
        lead, actions = edit.edited(Lead(id=str(new_id())), values, self._tx.now, claims=self._by.claims)
        self._take(None, lead)
        lead.version = lead.sync_version = 1
        self._touched.add(UUID(lead.id))
        self._created.append((lead, actions))
        return Outcome(status=201, lead_id=UUID(lead.id), version=1)

    def _take(self, before: Lead | None, after: Lead) -> None:
        had = set(identity.strong(before.values)) if before is not None else set()
        has = set(identity.strong(after.values))
        for wanted in sorted(has - had):
            if (owner := self._owners.get(wanted)) is not None and owner != after.id:
                raise _Taken(wanted, UUID(owner))
        self._owners |= dict.fromkeys(has, after.id)
        self._release(had - has, after.id)

    def _release(self, identities: Iterable[Identity], lead_id: str) -> None:
        for gone in identities:
            if self._owners.get(gone) == lead_id:
                del self._owners[gone]

    async def _write(self) -> None:
        """Writes what was decided, each kind of it in one go."""
        tx, actor = self._tx, self._by.actor
        await leads.tombstone(tx, self._deleted, source=Source.USER.value, actor=actor)
        await link_work.end_of_lead(tx, [UUID(lead.id) for lead in self._deleted])
        await leads.insert(tx, [(lead, Source.USER.value) for lead, _ in self._created])
        await leads.save(tx, [(before, after) for before, after, _ in self._changed])
        moves: list[tuple[Lead | None, Lead]] = [(None, lead) for lead, _ in self._created]
        moves += [(before, after) for before, after, _ in self._changed]
        await leads.claim_identities(tx, moves)
        recorded = [(lead, lead.version, actions) for lead, actions in self._created]
        recorded += [(after, after.version, actions) for _, after, actions in self._changed]
        await edit.record(tx, recorded, actor, Source.USER)
        await duplicates.notice(tx, moves)
        # as they were read they are no more
        for lead_id in self._touched:
            self._stored.pop(lead_id, None)
        self._written |= self._touched
        self._created, self._changed, self._deleted, self._touched = [], [], [], set()


class _Taken(IdentityTaken):
    """One operation's identity belongs to another lead: that operation's outcome, not a race."""


#: What one operation can be refused with.
_REFUSED = (AlreadyClaimed, Gone, InvalidFields, Merged, NotClaimed, NotFound, NotOneself, StaleVersion, _Taken)
