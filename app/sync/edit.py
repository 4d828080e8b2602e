"""Edit: what a person (or an import) does to a lead. Lock the lead, change it, write the history; nothing else.

The sync notices by itself that the lead has moved on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import history, leads, link_work, merges, reviews
from app.db.ids import new_id
from app.db.session import Tx
from app.domain import identity, normalize, notes, policy
from app.domain.lead import Action, Lead, Origin, SetField
from app.domain.plan import apply, edit
from app.domain.policy import Source
from app.domain.values import JSON, instant
from app.errors import LeadkeeperError
from app.sync import activity, duplicates, size
from app.sync.canonical import NOTE_LIMIT, FieldProblem, InvalidFields, canonical

_NOBODY: Final = f"A lead needs something that tells who it is: one of {', '.join(identity.TELLING)}."


class NotFound(LeadkeeperError):
    """There is no such lead in this workspace."""

    def __init__(self, lead_id: UUID) -> None:
        super().__init__(f"There is no lead {lead_id} in this workspace.")


class Gone(LeadkeeperError):
    """The lead was deleted; restore it first."""

    def __init__(self, lead_id: UUID) -> None:
        super().__init__(f"Lead {lead_id} was deleted: restore it first.")


class Merged(LeadkeeperError):
    """The lead was merged into another one."""

    def __init__(self, lead_id: UUID, survivor: UUID) -> None:
        self.lead_id = lead_id
        self.survivor = survivor
        super().__init__(f"Lead {lead_id} was merged into {survivor}: use that one.")


class StaleVersion(LeadkeeperError):
    """The lead has moved on since you read it: read it again, and send its new version."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"The lead is at version {version} by now: read it again, and send that one.")


class AlreadyClaimed(LeadkeeperError):
    """Somebody else works this lead."""

    def __init__(self, holder: str, since: str | None) -> None:
        self.holder = holder
        super().__init__(f"{holder} claimed this lead{f' at {since}' if since else ''}: ask them to let it go.")


class NotClaimed(LeadkeeperError):
    """Nobody claims this lead: send claimed_by with claimed_at."""


class NotOneself(LeadkeeperError):
    """Claiming for somebody else needs a key with the role operator or admin."""


async def create(tx: Tx, values: Mapping[str, JSON], *, actor: str, claims: str | None = None) -> Lead:
    """Adds a lead with these canonical values; `claims` as for `change`.

    Raises:
        leads.IdentityTaken, InvalidFields, NotClaimed, NotOneself
    """
    lead, actions = edited(Lead(id=str(new_id())), values, tx.now, claims=claims)
    await leads.insert(tx, [(lead, Source.USER.value)])
    await leads.claim_identities(tx, [(None, lead)])
    lead.version = lead.sync_version = 1
    await record(tx, [(lead, lead.version, actions)], actor, Source.USER)
    await duplicates.notice(tx, [(None, lead)])
    return lead


def edited(
    lead: Lead,
    values: Mapping[str, JSON],
    now: datetime,
    *,
    source: Source = Source.USER,
    claims: str | None = None,
) -> tuple[Lead, list[Action]]:
    """Returns a lead with these canonical values, and the actions that make it so; writes nothing."""
    origin = Origin(source, None, instant(now))
    actions = edit(lead, _flat(lead, values, origin, claims), origin, rule=source.value)
    return _applied(lead, actions), actions


async def change(
    tx: Tx,
    lead_id: UUID,
    values: Mapping[str, JSON],
    *,
    actor: str,
    version: int | None = None,
    replace: bool = False,
    claims: str | None = None,
) -> Lead:
    """Changes a lead; `replace` (PUT) empties every writable field that is not among the values.

    `claims` is whose claims may be made and ended; None: anybody's.

    Raises:
        NotFound, Gone, Merged, StaleVersion, leads.IdentityTaken, InvalidFields, AlreadyClaimed, NotClaimed, NotOneself
    """
    before = await locked(tx, lead_id, version)
    if replace:
        # notes are entries that people added one by one, a lead always has a status, and letting it go is said
        kept = {"notes", "status", "campaigns", "metadata", "claimed_by", "claimed_at"}
        values = dict.fromkeys(policy.WRITABLE - kept) | dict(values)
        values |= {name: False for name in ("verified", "enriched") if values.get(name) is None}
    origin = Origin(Source.USER, None, instant(tx.now))
    return await _save(tx, before, edit(before, _flat(before, values, origin, claims), origin), actor)


async def delete(tx: Tx, lead_id: UUID, *, actor: str, version: int | None = None) -> None:
    """Tombstones a lead: its links end, the records there are left alone, its identities are free again."""
    before = await locked(tx, lead_id, version)
    await leads.tombstone(tx, [before], source=Source.USER.value, actor=actor)
    await link_work.end_of_lead(tx, [lead_id])


async def restore(tx: Tx, lead_id: UUID, *, actor: str) -> None:
    """Brings a deleted lead back: it takes its identities again, and its records come back by first contact.

    One that is not deleted stays as it is. Raises `leads.IdentityTaken` where another lead has become that person.
    """
    stored = (await leads.lock(tx, [lead_id])).get(lead_id)
    if stored is None:
        raise NotFound(lead_id)
    if stored.merged_into is not None:
        raise Merged(lead_id, stored.merged_into)
    if not stored.lead.deleted:
        return
    await leads.revive(tx, stored.lead, source=Source.USER.value, actor=actor)
    await merges.reclaim(tx, lead_id)
    await link_work.return_of_lead(tx, lead_id)
    for kind in ("deleted", "conflict"):
        # a first contact opens those anew in which the sides still differ
        await reviews.close(tx, kind=kind, lead_id=lead_id, why="the lead was restored")
    await duplicates.notice(tx, [(stored.lead, replace(stored.lead, deleted=False))])


async def claim(tx: Tx, lead_id: UUID, *, by: str, actor: str) -> Lead:
    """Takes a lead to work on; claiming one's own again changes nothing. Raises `AlreadyClaimed` for everybody else."""
    before = await locked(tx, lead_id, None)
    holder = before.values.get("claimed_by")
    if holder == by:
        return before
    if holder is not None:
        raise AlreadyClaimed(str(holder), before.values.get("claimed_at"))
    at = instant(tx.now)
    origin = Origin(Source.USER, None, at)
    return await _save(tx, before, edit(before, {"claimed_by": by, "claimed_at": at}, origin), actor)


async def unclaim(tx: Tx, lead_id: UUID, *, actor: str, by: str | None) -> Lead:
    """Lets a lead go; `by` is who may let go of it only if they hold it (None: anybody's)."""
    before = await locked(tx, lead_id, None)
    holder = before.values.get("claimed_by")
    if holder is None:
        return before
    if by is not None and holder != by:
        raise AlreadyClaimed(str(holder), before.values.get("claimed_at"))
    origin = Origin(Source.USER, None, instant(tx.now))
    return await _save(tx, before, edit(before, {"claimed_by": None, "claimed_at": None}, origin), actor)


async def join_campaign(tx: Tx, lead_id: UUID, name: str, *, actor: str, version: int | None = None) -> Lead:
    """Adds a lead to a campaign; being in it already changes nothing."""
    before = await locked(tx, lead_id, version)
    mine = before.values.get("campaigns") or []
    return await _save(tx, before, _campaigns(before, [*mine, name], tx.now), actor)


async def leave_campaign(tx: Tx, lead_id: UUID, name: str, *, actor: str, version: int | None = None) -> Lead:
    """Takes a lead out of a campaign; not being in it changes nothing."""
    before = await locked(tx, lead_id, version)
    mine = before.values.get("campaigns") or []
    return await _save(
        tx, before, _campaigns(before, [other for other in mine if other != name.strip()], tx.now), actor
    )


def _campaigns(lead: Lead, names: Sequence[str], now: datetime) -> list[Action]:
    return edit(lead, canonical({"campaigns": list(names)}), Origin(Source.USER, None, instant(now)))


async def add_note(tx: Tx, lead_id: UUID, text: str, *, actor: str) -> Lead:
    """Adds a note to a lead and to its activity log."""
    body = normalize.text(text)
    if body is None:
        raise InvalidFields([FieldProblem("text", "A note needs some text.")])
    if len(body) > NOTE_LIMIT:
        raise InvalidFields([FieldProblem("text", f"It has {len(body):,} characters; {NOTE_LIMIT:,} is the most.")])
    before = await locked(tx, lead_id, None)
    at = instant(tx.now)
    entry = [str(new_id()), body, at, actor]
    entries = [*(before.values.get("notes") or []), entry]
    return await _save(tx, before, edit(before, {"notes": entries}, Origin(Source.USER, None, at)), actor)


async def locked(tx: Tx, lead_id: UUID, version: int | None) -> Lead:
    """Locks a lead that is there, at the version the caller saw (None: any)."""
    return present(lead_id, (await leads.lock(tx, [lead_id])).get(lead_id), version)


def present(lead_id: UUID, stored: leads.Stored | None, version: int | None) -> Lead:
    """Returns what a lock found, or raises why that cannot be changed."""
    if stored is None:
        raise NotFound(lead_id)
    if stored.merged_into is not None:
        raise Merged(lead_id, stored.merged_into)
    if stored.lead.deleted:
        raise Gone(lead_id)
    if version is not None and version != stored.lead.version:
        raise StaleVersion(stored.lead.version)
    return stored.lead


def _flat(lead: Lead, values: Mapping[str, JSON], origin: Origin, claims: str | None) -> dict[str, JSON]:
    """Returns the changes by policy field: `custom` key by key, notes as entries, objects merged (RFC 7396)."""
    flat = _claimed(lead, values, origin, claims) if {"claimed_by", "claimed_at"} & values.keys() else {}
    for name, value in values.items():
        if name == "custom":
            keys = [key for key in lead.values if key.startswith("custom.")] if value is None else []
            patches = dict.fromkeys(keys) | {f"custom.{key}": item for key, item in (value or {}).items()}
            flat |= {key: merge_patch(lead.values.get(key), patch) for key, patch in patches.items()}
        elif name == "metadata":
            flat[name] = merge_patch(lead.values.get("metadata") or {}, value)
        elif name == "notes":
            flat[name] = _notes(lead, value, origin)
        elif name not in flat:
            flat[name] = value
    return flat


def _claimed(lead: Lead, values: Mapping[str, JSON], origin: Origin, claims: str | None) -> dict[str, JSON]:
    """Returns who holds the lead and since when: both move together, and only as far as a claim and its end may."""
    holder, since = lead.values.get("claimed_by"), lead.values.get("claimed_at")
    by, at = values.get("claimed_by", holder), values.get("claimed_at")
    if by is None and at is not None:
        raise NotClaimed
    if by is not None and at is None:
        at = since if by == holder and since is not None else origin.at
    if claims is not None and (by, at) != (holder, since):
        if holder not in (None, claims):
            raise AlreadyClaimed(str(holder), None if since is None else str(since))
        if by not in (None, claims):
            raise NotOneself
    return {"claimed_by": by, "claimed_at": at}


def _notes(lead: Lead, text: JSON, origin: Origin) -> JSON:
    """Reads a new text of all notes into entries: text added becomes one, text changed revises one, none disappears."""
    entries = lead.values.get("notes") or []
    united, there = notes.unite(notes.freeze(entries), entries, text, at=origin.at, by=Source.USER.value)
    if len(there) < len(united):
        raise InvalidFields(
            [FieldProblem("notes", "Notes are never removed: send them all, changed or with new ones.")]
        )
    return united or None


def merge_patch(target: JSON, patch: JSON) -> JSON:
    """Applies an RFC 7396 merge patch."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _applied(before: Lead, actions: Sequence[Action]) -> Lead:
    """Returns a lead after an edit; raises `InvalidFields` where it would hold more than it may, or be nobody."""
    after, _ = apply(before, [], actions)
    # what a tool brought without a name may stay so
    if not identity.is_somebody(after.values) and (before.version == 0 or identity.is_somebody(before.values)):
        raise InvalidFields([FieldProblem("", _NOBODY)])
    moved = {action.field.partition(".")[0] for action in actions if isinstance(action, SetField)}
    if problems := [FieldProblem(name, message) for name, message in size.too_much(before, after, moved)]:
        raise InvalidFields(problems)
    return after


async def _save(tx: Tx, before: Lead, actions: list[Action], actor: str) -> Lead:
    if not any(isinstance(action, SetField) for action in actions):
        return before
    after = _applied(before, actions)
    await leads.save(tx, [(before, after)])
    await leads.claim_identities(tx, [(before, after)])
    after.version, after.sync_version = before.version + 1, before.sync_version + 1
    await record(tx, [(after, after.version, actions)], actor, Source.USER)
    await duplicates.notice(tx, [(before, after)])
    return after


async def record(tx: Tx, recorded: Sequence[tuple[Lead, int, list[Action]]], actor: str, source: Source) -> None:
    """Writes down what somebody did to leads, at their new versions: the history, and what the activity log shows."""
    await history.record(tx, recorded, source=source.value, actor=actor)
    await activity.log(tx, recorded, actor=actor)
