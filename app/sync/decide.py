"""Decide: what a person says about an open item, or against a conflict that a strategy decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from app.db import connections, history, leads, link_work, links, reviews
from app.db.session import Tx
from app.domain.lead import Link, Origin
from app.domain.merge import State
from app.domain.notes import freeze
from app.domain.plan import apply, edit
from app.domain.policy import Source
from app.domain.values import JSON
from app.errors import LeadkeeperError
from app.sync.edit import NotFound, locked
from app.sync.job import instant

Keep = Literal["local", "remote"]


class MovedOn(LeadkeeperError):
    """The field has changed since the conflict: edit the lead instead."""


class NotAConflict(LeadkeeperError):
    """Only conflicts are resolved this way."""


async def resolve(tx: Tx, item_id: UUID, *, keep: Keep, version: int, actor: str) -> Any:
    """Resolves a conflict by keeping one side's value; returns the item as it is now, or None if there is no such item.

    A held field goes on from its frozen base. A conflict that a strategy decided is decided again by a person's edit,
    as long as the field has not changed since.

    Raises:
        NotAConflict, MovedOn, reviews.AlreadyDecided, NotFound
    """
    item = await reviews.get(tx, item_id)
    if item is None:
        return None
    if item["kind"] != "conflict":
        raise NotAConflict
    lead = await locked(tx, item["lead_id"], None)
    item = await reviews.get(tx, item_id, lock=True)
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


async def _thaw(tx: Tx, item: Any, keep: Keep) -> None:
    """Ends the hold: what was seen there is the base now; the lead's value, if kept, is news for the provider."""
    views = {c.id: c.view for c in await connections.every(tx)}
    found = await links.by_ids(tx, [item["link_id"]], views)
    if not found:
        raise NotFound(item["lead_id"])
    stored = found[0]
    link: Link = stored.link
    cell = link.cell(item["field"])
    if cell.state is not State.HELD:
        return
    remote, name = link.observed.get(item["field"]), item["field"]
    local: JSON = item["evidence"]["remote"] if keep == "remote" else cell.local
    state = State.AGREED if keep == "remote" else State.PENDING
    base_local = freeze(local) if name == "notes" and keep == "remote" else local
    link.put(name, replace(cell, state=state, remote=remote, local=base_local, reason=None, other=None))
    await links.save(tx, [stored], at_version={}, own=None)
    await link_work.touch(tx, [item["link_id"]])
