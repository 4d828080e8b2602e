"""Decide: what a person says about an open item, or against a conflict that a strategy decided."""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from app.db import connections, history, leads, link_work, links, reviews
from app.db.session import Tx
from app.domain.cells import State
from app.domain.lead import Lead, Origin
from app.domain.merge import resolved
from app.domain.plan import apply, edit
from app.domain.policy import Source
from app.domain.values import instant
from app.errors import LeadkeeperError
from app.sync.edit import NotFound, present

Keep = Literal["local", "remote"]
#: Kinds of items that ask for nothing but to be known.
NOTICES: Final[frozenset[reviews.Kind]] = frozenset({"deleted", "erased", "delivery", "alert"})


class MovedOn(LeadkeeperError):
    """The field has changed since the conflict: edit the lead instead."""


class NeedsDecision(LeadkeeperError):
    """This waits for a decision, an acknowledgement is not enough: use one of the actions that the item names."""


class NotAConflict(LeadkeeperError):
    """Only conflicts are resolved this way."""


async def resolve(tx: Tx, item_id: UUID, *, keep: Keep, version: int, actor: str) -> Any:
    """Resolves a conflict by keeping one side's value; returns the item as it is now, or None if there is no such item.

    A held field goes on from its frozen base. A conflict that a strategy decided is decided again by a person's edit,
    as long as the field has not changed since.

    Raises:
        NotAConflict, MovedOn, reviews.AlreadyDecided, NotFound
    """
    found = await _locked(tx, item_id)
    if found is None:
        return None
    item, lead = found
    await reviews.decide(tx, item_id, version, {"keep": keep, "by": actor}, actor)
    evidence = item["evidence"]
    chosen = evidence[keep]
    if item["state"] == "auto":
        winner = evidence[item["decision"]["winner"]]
        if lead.values.get(item["field"]) != winner:
            raise MovedOn
    else:
        await _thaw(tx, item, keep)
    actions = edit(
        lead, {item["field"]: chosen}, Origin(Source.USER, None, instant(tx.now)), rule="resolved by a person"
    )
    if actions:
        after, _ = apply(lead, [], actions)
        await leads.save(tx, [(lead, after)])
        await leads.claim_identities(tx, [(lead, after)])
        after.version = lead.version + 1
        await history.record(tx, [(after, after.version, actions)], source=Source.USER.value, actor=actor)
    return await reviews.get(tx, item_id)


def is_notice(item: Any) -> bool:
    """Tells whether an item only says something that a person should know."""
    # a candidate without a link is a pair of leads
    return item["kind"] in NOTICES or (item["kind"] == "candidate" and item["link_id"] is not None)


async def acknowledge(tx: Tx, item_id: UUID, *, version: int, actor: str) -> Any:
    """Closes a notice; returns it as it is now, or None if there is no such item.

    It is not opened again as long as there is nothing else to say. Raises `NeedsDecision` or `reviews.AlreadyDecided`.
    """
    item = await reviews.get(tx, item_id, lock=True)
    if item is None:
        return None
    if not is_notice(item):
        raise NeedsDecision
    await reviews.decide(tx, item_id, version, {"acknowledged": True, "by": actor}, actor)
    return await reviews.get(tx, item_id)


async def _locked(tx: Tx, item_id: UUID) -> tuple[Any, Lead] | None:
    """Locks a conflict's lead and then the conflict; a merge may have moved it to another lead meanwhile."""
    item = await reviews.get(tx, item_id)
    while item is not None:
        if item["kind"] != "conflict":
            raise NotAConflict
        lead_id = item["lead_id"]
        stored = (await leads.lock(tx, [lead_id])).get(lead_id)
        item = await reviews.get(tx, item_id)
        if item is not None and item["lead_id"] == lead_id:
            if stored is not None and stored.merged_into is not None:
                raise MovedOn
            return await reviews.get(tx, item_id, lock=True), present(lead_id, stored, None)
    return None


async def _thaw(tx: Tx, item: Any, keep: Keep) -> None:
    """Ends the hold; what the record shows by now, if it has moved since the item was made, is judged after that."""
    views = {c.id: c.view for c in await connections.every(tx)}
    found = await links.by_ids(tx, [item["link_id"]], views)
    if not found:
        raise NotFound(item["lead_id"])
    stored = found[0]
    cell = stored.link.cell(item["field"])
    if cell.state is not State.HELD:
        return
    stored.link.put(item["field"], resolved(cell, keeps_remote=keep == "remote"))
    await links.save(tx, [stored], at_version={}, own=None)
    await link_work.touch(tx, [item["link_id"]])
