"""Merge: two leads that are one person become one, and can be made two again.

Everything of the other lead moves to the survivor; the other one is left as a tombstone that names it. Where both have
a record at a two-way connection, the survivor's record goes on speaking and the other one is only shown.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.db import connections, duplicates, history, leads, link_work, links, merges, reviews
from app.db.links import StoredLink
from app.db.merges import Merge
from app.db.session import Tx
from app.domain import policy, survivorship
from app.domain.cells import State
from app.domain.identity import Identity, strong
from app.domain.lead import Action, Lead, Origin, SetField
from app.domain.plan import drafted
from app.domain.policy import Source
from app.domain.survivorship import Decision, Side
from app.domain.values import JSON, instant
from app.errors import LeadkeeperError
from app.sync import place
from app.sync.canonical import FieldProblem, InvalidFields
from app.sync.duplicates import look_anew
from app.sync.edit import present
from app.sync.past import MERGED_FROM
from app.sync.place import note_second


class NotMerged(LeadkeeperError):
    """No other lead was merged into this one."""

    def __init__(self, lead_id: UUID, other: UUID | None, into: UUID | None = None) -> None:
        which = f"lead {other}" if other else "no other lead"
        verb = "was not" if other else "was"
        why = f"it was merged into {into}, which has to be a lead again first" if into else "there is nothing to undo"
        super().__init__(f"{which[0].upper()}{which[1:]} {verb} merged into {lead_id}: {why}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a merge does: every field, the records that move and those that stop writing, the cells to be written."""

    fields: Sequence[Decision]
    moves: Sequence[StoredLink]
    stops: Sequence[StoredLink]
    #: (link, field, what the record shows, what it will show)
    writes: Sequence[tuple[StoredLink, str, JSON, JSON]]


async def merge(
    tx: Tx,
    lead_id: UUID,
    other_id: UUID,
    *,
    choices: Mapping[str, Side],
    actor: str,
    dry_run: bool,
    version: int | None = None,
) -> Preview:
    """Merges the other lead into this one, or says what that would do.

    Raises:
        NotFound, Gone, Merged, StaleVersion, InvalidFields
    """
    _check(lead_id, other_id, choices)
    stored = await leads.lock(tx, [lead_id, other_id])
    survivor = present(lead_id, stored.get(lead_id), version)
    other = present(other_id, stored.get(other_id), None)
    decisions = survivorship.decide(survivor, other, choices)
    after, actions = survivorship.merged(survivor, other, decisions, instant(tx.now))
    known = {c.id: c for c in await connections.every(tx)}
    found = await links.of_leads(tx, [lead_id, other_id], {c.id: c.view for c in known.values()})
    dropped = _planned(found, lead_id)
    found = [s for s in found if s not in dropped]
    stops = _rivals(found, lead_id, {i for i, c in known.items() if c.pushes})
    preview = Preview(
        fields=decisions,
        moves=[s for s in found if s.lead_id == other_id],
        stops=stops,
        writes=_writes(after, [s for s in found if s not in stops and not s.ended and not s.gone]),
    )
    if not dry_run:
        await link_work.remove(tx, [UUID(s.link.id) for s in dropped])
        bases = {s.link.id: s.link.base_remote for s in found if not known[s.connection_id].pushes}
        await _apply(tx, survivor, other, after, actions, preview, bases, actor)
    return preview


def _check(lead_id: UUID, other_id: UUID, choices: Mapping[str, Side]) -> None:
    if lead_id == other_id:
        raise InvalidFields([FieldProblem("other", "It is the same lead: name the other one.")])
    problems = [
        FieldProblem(name, "There is nothing to choose here: name a field that people edit, not a union.", ("choices",))
        for name in choices
        if not survivorship.choosable(name)
    ]
    if problems:
        raise InvalidFields(problems)


def _planned(found: Sequence[StoredLink], survivor: UUID) -> list[StoredLink]:
    """Returns records that were only planned and are not needed: the other lead's, and where that one has a real one.

    What the survivor still needs there is planned anew.
    """
    real = {s.connection_id for s in found if s.link.writing and not s.is_new and not s.gone and not s.ended}
    return [s for s in found if s.is_new and not s.attempts and (s.lead_id != survivor or s.connection_id in real)]


def _rivals(found: Iterable[StoredLink], survivor: UUID, two_way: Container[UUID]) -> list[StoredLink]:
    """Returns the links that lose their say: of several at a connection the survivor's record speaks.

    One whose making was not answered yet speaks only where there is no other.
    """
    every = [s for s in found if s.link.writing and not s.gone and not s.ended and s.connection_id in two_way]
    every.sort(key=lambda s: (s.is_new, s.lead_id != survivor))
    first = {s.connection_id: s for s in reversed(every)}
    return [s for s in every if s is not first[s.connection_id]]


def _writes(after: Lead, found: Sequence[StoredLink]) -> list[tuple[StoredLink, str, JSON, JSON]]:
    """Returns the cells that will be written: what the next plan makes pending."""
    lead = after.copy()
    lead.sync_version += 1
    draft = drafted(lead, [s.link for s in found])
    if draft is None:
        return []
    return [
        (s, name, s.link.observed.get(name), draft.lead.values.get(name))
        for s in found
        for name, cell in draft.links[s.link.id].cells.items()
        if cell.state is State.PENDING and s.link.writing
    ]


async def _apply(
    tx: Tx,
    survivor: Lead,
    other: Lead,
    after: Lead,
    actions: list[Action],
    preview: Preview,
    bases: Mapping[str, JSON],
    actor: str,
) -> None:
    survivor_id, other_id = UUID(survivor.id), UUID(other.id)
    await leads.save(tx, [(survivor, after)])
    moved = await merges.move(
        tx,
        other_id,
        survivor_id,
        stopping=[UUID(s.link.id) for s in preview.stops],
        emails=[survivor.values.get("email"), other.values.get("email")],
    )
    await merges.bury(tx, other, survivor_id, actor=actor)
    await merges.keep(tx, survivor, other, after, moved | {"bases": dict(bases)}, actor=actor)
    for stored in preview.stops:
        if not stored.is_new:
            stored.lead_id = survivor_id
            await note_second(tx, stored)
    after.version = survivor.version + 1
    noted = [*actions, _came(None, other.id, f"merge of {other.id}", tx)]
    await history.record(tx, [(after, after.version, noted)], source=Source.USER.value, actor=actor)
    await _log(tx, survivor_id, "merged", after.version, actor, other_id)
    pair = sorted((survivor_id, other_id))
    await reviews.close(tx, kind="candidate", lead_id=pair[0], field=str(pair[1]), why="merged", by=actor)
    await look_anew(tx, [survivor_id])


async def unmerge(tx: Tx, lead_id: UUID, other_id: UUID | None, *, actor: str, version: int | None = None) -> UUID:
    """Makes two leads of one again, the newest merge first unless `other_id` names one; returns the other lead's id.

    Raises:
        NotFound, Gone, Merged, StaleVersion, NotMerged, leads.IdentityTaken
    """
    merge = await merges.find(tx, lead_id, other_id)
    stored = await leads.lock(tx, [lead_id] if merge is None else [lead_id, merge.loser_id])
    now = present(lead_id, stored.get(lead_id), version)
    # looked for again under the lock: somebody may have undone it meanwhile
    merge = None if merge is None else await merges.find(tx, lead_id, merge.loser_id)
    if merge is None:
        named = await leads.get(tx, other_id) if other_id else None
        raise NotMerged(lead_id, other_id, named.merged_into if named else None)
    buried = stored[merge.loser_id].lead
    known = {c.id: c for c in await connections.every(tx, disconnected=True)}
    found = await links.of_leads(tx, [lead_id], {i: c.view for i, c in known.items()})
    incoming = [s for s in found if not known[s.connection_id].pushes]
    back = _going_back(found, incoming, merge)
    stays = [str(s.connection_id) for s in found if s not in back]
    survivor, other, again = await _split(tx, now, merge, back, stays)
    other.version, other.sync_version, other.deleted = buried.version, buried.sync_version, False
    bases = {UUID(s.link.id): _base(s, merge) for s in back}
    speaking = await merges.move_back(tx, merge, bases)
    if again:
        stay = {s.link.id: _base(s, merge) or {} for s in incoming if s not in back}
        await merges.say_again(tx, lead_id, again, stay)
    counted = await links.silent_counts(tx, [lead_id, merge.loser_id], [])
    for lead in (survivor, other):
        survivorship.count(lead, counted.get(UUID(lead.id), {}))
    await merges.unearth(tx, buried, lead_id, actor=actor)
    await _take_back(tx, survivor, other)
    await leads.save(tx, [(now, survivor), (buried, other)])
    why = f"unmerge of {merge.loser_id}"
    await _record(tx, now, survivor, why, actor, _came(str(merge.loser_id), None, why, tx))
    # it has come back, which was its version before; this is what has become of it meanwhile
    await _record(tx, replace(buried, version=buried.version + 1), other, f"unmerge from {lead_id}", actor)
    await _log(tx, lead_id, "unmerged", now.version + 1, actor, merge.loser_id)
    for link_id in (*(i for i in bases if merge.moved["links"].get(str(i))), *speaking):
        apart = "the two leads are two again"
        await reviews.close(tx, kind="candidate", link_id=link_id, field="second record", why=apart)
    await merges.undone(tx, merge.id)
    await duplicates.part_ways(tx, lead_id, merge.loser_id, actor)
    await look_anew(tx, [lead_id, merge.loser_id])
    return merge.loser_id


def _going_back(found: Sequence[StoredLink], incoming: Sequence[StoredLink], merge: Merge) -> list[StoredLink]:
    """Returns the survivor's links that came with the other lead, and records that showed up since and only show it."""
    came, bases, mine = merge.moved["links"], merge.moved.get("bases", {}), {*strong(merge.survivor_before.values)}
    theirs = {Identity(kind, value) for kind, value in merge.moved["identities"]}
    late = [s for s in incoming if s.link.id not in bases] + [s for s in found if not s.link.writing]
    shown = {s.link.id: {*place.identities(s)} for s in late}
    hers = {link_id for link_id, seen in shown.items() if seen & theirs and not seen & mine}
    return [s for s in found if s.link.id in came or s.link.id in hers]


def _base(s: StoredLink, merge: Merge) -> JSON:
    """Returns what a record had shown when the leads were merged, where it only comes in: the rest is news once more.

    None: its base goes on as it is.
    """
    is_late = s.link.id not in merge.moved["links"] and "bases" in merge.moved
    return merge.moved.get("bases", {}).get(s.link.id, {} if is_late else None)


async def _split(
    tx: Tx, now: Lead, merge: Merge, back: Sequence[StoredLink], stays: Sequence[str]
) -> tuple[Lead, Lead, set[str]]:
    """Takes a merge out of the survivor as it is, and out of what the merges since then remember of it."""
    since: list[Lead] = []

    def split(lead: Lead) -> tuple[Lead, Lead, set[str]]:
        return survivorship.split(
            lead, merge.survivor_before, merge.survivor_after, merge.loser_before, [s.link for s in back], stays, since
        )

    gone = {s.link.id for s in back}
    for later in await merges.later(tx, merge):
        before, *_ = split(later.survivor_before)
        since.append(later.loser_before)
        after, *_ = split(later.survivor_after)
        bases = {i: base for i, base in later.moved.get("bases", {}).items() if i not in gone}
        await merges.keep_without(tx, later, before, after, bases)
    return split(now)


async def _take_back(tx: Tx, survivor: Lead, other: Lead) -> None:
    """Gives both leads the identities their values show; raises `IdentityTaken` where somebody else has one by now."""
    wanted: dict[Identity, str] = {}
    for lead in (other, survivor):
        for identity in strong(lead.values):
            if wanted.setdefault(identity, lead.id) != lead.id:
                raise leads.IdentityTaken(identity, UUID(survivor.id))
    owned = await leads.owners(tx, wanted)
    ours = {survivor.id, other.id}
    for identity, owner in owned.items():
        if owner not in ours:
            raise leads.IdentityTaken(identity, UUID(owner))
    await leads.assign(tx, wanted)


def _came(old: str | None, new: str | None, rule: str, tx: Tx) -> SetField:
    """Says in the survivor's history who came and who went, also where no field of it changes."""
    return SetField(field=MERGED_FROM, value=new, old=old, rule=rule, origin=Origin(Source.USER, None, instant(tx.now)))


async def _record(tx: Tx, before: Lead, after: Lead, rule: str, actor: str, *more: Action) -> None:
    person = Origin(Source.USER, None, instant(tx.now))
    names = [n for n in {**before.values, **after.values} if before.values.get(n) != after.values.get(n)]
    actions: list[Action] = [
        SetField(
            field=name, value=after.values.get(name), old=before.values.get(name), rule=rule,
            origin=after.origins.get(name, person),
        )
        for name in names if name in policy.FIELDS or name.startswith("custom.")
    ]  # fmt: skip
    await history.record(tx, [(after, before.version + 1, [*actions, *more])], source=Source.USER.value, actor=actor)


async def _log(tx: Tx, lead_id: UUID, kind: str, version: int, actor: str, other: UUID) -> None:
    detail: dict[str, Any] = {"other": str(other)}
    await history.log(tx, [(lead_id, kind, tx.now, actor, detail, f"{kind}:{version}")])
