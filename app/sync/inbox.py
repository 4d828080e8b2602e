"""Inbox: stored deliveries become what happened to leads, a batch per transaction.

A lead's row is locked first and only then are the deliveries looked at again, so that two instances with the same batch
do the work once and nobody locks a delivery. What cannot be applied is kept with its reason: a delivery whose lead is
not known yet is tried again by itself, an answer of somebody unknown makes a lead or waits for a person, by the
workspace's choice. Nothing a prospect said is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.db import deliveries, erasure, history, leads, recipients, reviews, suppressions, workspaces
from app.db.deliveries import Loaded, Outcome
from app.db.ids import new_id
from app.db.recipients import Addressed, Known
from app.db.session import Database, Tenant, Tx
from app.domain import events, happened, instantly, normalize
from app.domain.events import Event, Unread
from app.domain.lead import Action, Lead, SetField
from app.domain.policy import Source
from app.domain.values import JSON
from app.sync import activity, duplicates, edit
from app.sync.halving import Overtaken, halving

log = structlog.get_logger()
Fingerprint = Callable[[str], bytes]
#: Minutes until a delivery whose lead is unknown is looked at again: doubled each time, up to the last.
FIRST_LOOK, LAST_LOOK = 1, 6 * 60
#: Two reports of one reply are this far apart at the most where only one of them names its mail.
SAME_REPLY = timedelta(minutes=10)
#: Who sets a status on purpose.
_DECIDERS = (Source.USER.value, Source.AIRTABLE.value)


async def apply(db: Database, tenant: Tenant, ids: Sequence[UUID], *, fingerprint: Fingerprint) -> None:
    """Applies deliveries of one workspace; doing it again changes nothing.

    `fingerprint` gives the keyed hash of an address. A delivery that breaks its batch is kept with what went wrong, and
    the rest goes on.
    """

    async def keep(broken: UUID, exc: Exception) -> None:
        log.exception("delivery.failed", delivery_id=str(broken))
        async with db.transaction(tenant) as tx:
            await deliveries.failed(tx, broken, f"It could not be applied ({type(exc).__name__}): see the log.")

    await halving(db, ids, lambda some: _apply(db, tenant, some, fingerprint), keep)


@dataclass(slots=True)
class _Batch:
    """Deliveries of one transaction, and what is known around them."""

    read: list[tuple[Loaded, dict[str, JSON], Event]]
    campaigns: Mapping[str, Known]
    settings: Mapping[str, JSON]
    fingerprint: Fingerprint
    outcomes: list[Outcome] = field(default_factory=list)
    suppressed: list[tuple[bytes, str, str]] = field(default_factory=list)
    activities: list[tuple[UUID, str, datetime, str | None, Mapping[str, JSON], str]] = field(default_factory=list)
    #: (lead, key, kind) of replies whose webhook says whether they are automatic; a mailbox only suggests it
    replies: list[tuple[UUID, str, str]] = field(default_factory=list)
    #: what a person should look at, by what it is about: one item each, however many deliveries say so
    remarks: dict[tuple[str, UUID | None], dict[str, JSON]] = field(default_factory=dict)
    #: people who were made into leads, with what made them so
    made: dict[UUID, tuple[Lead, list[Action]]] = field(default_factory=dict)

    def campaign(self, delivery: Loaded) -> Known | None:
        """Returns the campaign a delivery belongs to, where the workspace knows it."""
        return self.campaigns.get(delivery.campaign_id or "")

    def remark(self, row: Loaded, about: str, why: str, kind: str | None, lead_id: UUID | None = None) -> None:
        """Asks a person to look."""
        self.remarks[about, lead_id] = {"why": why, "event_type": kind, "delivery": str(row.id)}


async def _apply(db: Database, tenant: Tenant, ids: Sequence[UUID], fingerprint: Fingerprint) -> None:
    async with db.transaction(tenant) as tx:
        ours = await deliveries.hold(tx, ids)
        batch = await _read(tx, await deliveries.load(tx, ours), fingerprint)
        found = await recipients.find(tx, (a for d, _, e in batch.read for a in _addresses(d, e)))
        locked = await leads.lock(tx, found.values())
        if any(stored.merged_into for stored in locked.values()) or len(locked) < len(set(found.values())):
            raise Overtaken
        # under the locks: what another instance applied meanwhile is done
        waiting = await deliveries.waiting(tx, [d.id for d, _, _ in batch.read])
        by_lead: dict[UUID, list[tuple[Loaded, Event]]] = {}
        unknown: dict[str, list[tuple[Loaded, dict[str, JSON], Event]]] = {}
        for delivery, said, event in batch.read:
            if delivery.id not in waiting:
                continue
            lead_id = next((found[a] for a in _addresses(delivery, event) if a in found), None)
            if lead_id is None:
                unknown.setdefault(event.emails[0], []).append((delivery, said, event))
            elif locked[lead_id].lead.deleted:
                _deleted_here(batch, delivery, event, lead_id)
            else:
                by_lead.setdefault(lead_id, []).append((delivery, event))
        await _place_unknown(tx, batch, unknown, by_lead)
        await _happen(tx, batch, {lead_id: stored.lead for lead_id, stored in locked.items()}, by_lead)
        for (about, lead_id), evidence in sorted(batch.remarks.items(), key=str):
            await reviews.put(tx, "delivery", evidence, lead_id=lead_id, field=about)
        await suppressions.add(tx, batch.suppressed)
        await deliveries.settle(tx, batch.outcomes)


async def _read(tx: Tx, rows: Sequence[Loaded], fingerprint: Fingerprint) -> _Batch:
    """Reads payloads; those that say nothing about a lead are settled at once."""
    known = await recipients.campaigns(tx, {row.campaign_id for row in rows if row.campaign_id})
    batch = _Batch([], known, await workspaces.settings(tx), fingerprint)
    for row in rows:
        if row.content is None:
            _put_aside(batch, row, "its body is not a JSON object", about="unreadable")
            continue
        said = normalize.storable(row.content)
        event = events.read(said, campaign=row.campaign_id, received=row.received_at)
        if isinstance(event, Unread) and event.is_understood:
            batch.outcomes.append(Outcome(row.id, "ignored", event.reason))
        elif isinstance(event, Unread):
            _put_aside(batch, row, event.reason, about=f"unreadable:{event.type or ''}")
        else:
            batch.read.append((row, said, event))
            _remark(batch, row, said, event)
    return batch


def _addresses(delivery: Loaded, event: Event) -> list[Addressed]:
    return [Addressed(delivery.campaign_id, email) for email in event.emails]


def _remark(batch: _Batch, row: Loaded, said: Mapping[str, JSON], event: Event) -> None:
    """Tells a person what is odd about a delivery that is applied all the same."""
    if batch.campaign(row) is None:
        why = "it names a campaign that is not known here: it was applied to the lead all the same; run a full sync"
        batch.remark(row, f"campaign:{row.campaign_id or ''}", why, event.type)
    if event.kind.activity == "label":
        why = f"nobody knows an event {event.type!r} here: it is in the lead's activity log and changed nothing else"
        batch.remark(row, f"type:{event.type}", why, event.type)
    if overwritten := events.collisions(said):
        why = f"a variable of the lead overwrites Instantly's own {', '.join(overwritten)}: give it another name there"
        batch.remark(row, f"collision:{','.join(overwritten)}", why, event.type)


def _put_aside(batch: _Batch, row: Loaded, why: str, *, about: str) -> None:
    """Keeps what nobody can read, and says so."""
    batch.outcomes.append(Outcome(row.id, "parked", why))
    batch.remark(row, about, f"{why}: it is kept as it came, and can be applied again", None)


def _deleted_here(batch: _Batch, delivery: Loaded, event: Event, lead_id: UUID) -> None:
    """Nothing rises from the dead: a person who deleted a lead is told that it answered."""
    why = "its lead was deleted here"
    batch.outcomes.append(Outcome(delivery.id, "parked" if event.kind.is_answer else "ignored", why, lead_id))
    _suppress(batch, delivery, event)
    if event.kind.is_answer:
        batch.remark(delivery, "deleted", f"{why} and answered: restore it, then apply this again", event.type, lead_id)


async def _place_unknown(
    tx: Tx,
    batch: _Batch,
    unknown: Mapping[str, Sequence[tuple[Loaded, dict[str, JSON], Event]]],
    by_lead: dict[UUID, list[tuple[Loaded, Event]]],
) -> None:
    """Makes leads of people who answered and whom nobody knew; everything else waits for its lead."""
    erased = await erasure.known(tx, {batch.fingerprint(email) for email in unknown})
    for email, came in unknown.items():
        answers = [item for item in came if item[2].kind.is_answer]
        if batch.fingerprint(email) in erased:
            await _turn_away(tx, batch, came)
        elif answers and batch.settings.get("unknown_replies", "create") == "create":
            lead, actions = _new_lead(tx, email, answers)
            batch.made[UUID(lead.id)] = (lead, actions)
            by_lead[UUID(lead.id)] = [(delivery, event) for delivery, _, event in came]
        else:
            _wait(tx.now, batch, came, answers)


def _new_lead(
    tx: Tx, email: str, answers: Sequence[tuple[Loaded, dict[str, JSON], Event]]
) -> tuple[Lead, list[Action]]:
    delivery, said, _ = min(answers, key=lambda item: item[2].order)
    values = events.person(said, email, instantly.namespace(delivery.campaign_id or ""))
    return edit.edited(Lead(id=str(new_id())), values, tx.now, source=Source.EVENT)


async def _turn_away(tx: Tx, batch: _Batch, came: Sequence[tuple[Loaded, dict[str, JSON], Event]]) -> None:
    """Keeps nothing of what was said about somebody who was erased, except that it was."""
    why = "it is about a person who was erased here"
    for delivery, _, event in came:
        _suppress(batch, delivery, event)
        batch.outcomes.append(Outcome(delivery.id, "ignored", why, forget=True))
    delivery, _, event = came[-1]
    if any(event.kind.is_answer for _, _, event in came):
        evidence = {"why": f"{why} and answered: add the lead by hand if it is wanted", "delivery": str(delivery.id)}
        await reviews.put(tx, "erased", evidence, field=str(delivery.id))


def _wait(
    now: datetime,
    batch: _Batch,
    came: Sequence[tuple[Loaded, dict[str, JSON], Event]],
    answers: Sequence[tuple[Loaded, dict[str, JSON], Event]],
) -> None:
    for delivery, _, event in came:
        _suppress(batch, delivery, event)
        minutes = min(FIRST_LOOK * 2**delivery.attempts, LAST_LOOK)
        retry_at = now + timedelta(minutes=minutes)
        batch.outcomes.append(Outcome(delivery.id, "parked", "no lead has this address yet", retry_at=retry_at))
    if answers:
        delivery, _, event = answers[-1]
        why = f"{event.emails[0]} answered and no lead has this address: add the lead, and this is applied to it"
        batch.remark(delivery, _unknown(batch, event.emails[0]), why, event.type)


def _unknown(batch: _Batch, email: str) -> str:
    """Names the item about an unknown address without keeping the address."""
    return f"lead:{batch.fingerprint(email).hex()[:32]}"


def _suppress(batch: _Batch, delivery: Loaded, event: Event) -> None:
    """Keeps the very address from being written to again, whoever has it by now."""
    reason = event.kind.suppresses
    if reason is None:
        return
    everywhere = reason == "bounced" or delivery.campaign_id is None or batch.settings.get("unsubscribe") == "workspace"
    scope = "workspace" if everywhere else instantly.namespace(delivery.campaign_id or "")
    batch.suppressed.append((batch.fingerprint(event.emails[0]), scope, reason))


async def _happen(
    tx: Tx, batch: _Batch, present: Mapping[UUID, Lead], by_lead: Mapping[UUID, Sequence[tuple[Loaded, Event]]]
) -> None:
    """Writes what happened to each lead: its values, its history, its activity log."""
    decided = await recipients.decided(tx, by_lead, _DECIDERS)
    known = await recipients.replies(tx, by_lead, sorted(events.REPLIES))
    moved: list[tuple[Lead | None, Lead]] = []
    recorded: list[tuple[Lead, int, list[Action]]] = []
    for lead_id, came in sorted(by_lead.items()):
        before, first = batch.made.get(lead_id) or (present[lead_id], [])
        newest, _ = max(came, key=lambda item: item[1].order)
        campaign = batch.campaign(newest)
        draft = happened.take(
            before,
            [event for _, event in came],
            connection=str(campaign.connection_id) if campaign else None,
            decided=decided.get(lead_id),
        )
        if lead_id in batch.made or any(isinstance(action, SetField) for action in draft.actions):
            moved.append((None if lead_id in batch.made else before, draft.lead))
            draft.lead.version, draft.lead.sync_version = before.version + 1, before.sync_version + 1
        recorded.append((draft.lead, draft.lead.version, [*first, *draft.actions]))
        for delivery, event in sorted(came, key=lambda item: item[1].order):
            _note(batch, lead_id, delivery, event, known.setdefault(lead_id, []))
            _suppress(batch, delivery, event)
            batch.outcomes.append(Outcome(delivery.id, "applied", None, lead_id))
            if delivery.attempts:
                address = _unknown(batch, event.emails[0])
                await reviews.close(tx, kind="delivery", field=address, why="its lead is known now")
    await leads.insert(tx, [(lead, Source.EVENT.value) for before, lead in moved if before is None])
    await leads.save(tx, [(before, lead) for before, lead in moved if before is not None])
    await leads.claim_identities(tx, [(before, lead) for before, lead in moved if before is None])
    await history.record(tx, recorded, source=Source.EVENT.value)
    await activity.log(tx, recorded, actor=Source.EVENT.value)
    await history.log(tx, batch.activities)
    await history.correct(tx, batch.replies)
    await duplicates.notice(tx, [(before, lead) for before, lead in moved if before is None])


def _note(batch: _Batch, lead_id: UUID, delivery: Loaded, event: Event, replies: list[recipients.Reply]) -> None:
    """Adds an event to the activity log, unless another report of the same reply is there."""
    campaign = batch.campaign(delivery)
    at = datetime.fromisoformat(event.moment)
    campaign_id = str(campaign.id) if campaign else None
    if event.kind.activity in events.REPLIES:
        by_mail = event.key.startswith(events.BY_MAIL)
        if any(
            reply.key.startswith(events.BY_MAIL) is not by_mail
            and reply.campaign_id == campaign_id
            and abs(reply.at - at) <= SAME_REPLY
            for reply in replies
        ):
            return
        replies.append(recipients.Reply(event.key, at, campaign_id))
    # a lead may have several: those of leads that were merged into it go with them
    detail = dict(event.detail) | {"address": event.emails[0]}
    if campaign:
        detail |= {"campaign": campaign.name, "campaign_id": campaign_id}
    actor = campaign.connection if campaign else None
    batch.activities.append((lead_id, event.kind.activity, at, actor, detail, event.key))
    if event.kind.activity in events.REPLIES and delivery.via != "mail":
        batch.replies.append((lead_id, event.key, event.kind.activity))
