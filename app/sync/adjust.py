"""Adjust: an existing connection's settings and state. What concerns its links makes them be looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from app.db import accounts, audits, connections, erasure, link_work, reviews, runs, watches
from app.db.connections import Stored, StreamState
from app.db.ids import new_id
from app.db.session import Tx
from app.domain import filters, mapping
from app.domain.cells import Strategy
from app.domain.mapping import MappingTable
from app.domain.values import JSON
from app.errors import LeadkeeperError
from app.providers.base import Column
from app.sync import connect, hooks
from app.sync.ask import NoSuchConnection
from app.sync.canonical import FieldProblem, InvalidFields
from app.sync.job import STREAM

#: Settings whose change makes every link be judged again.
_JUDGED_AGAIN = frozenset({"mapping", "conflict_strategy", "priority"})
#: Settings that a turn under way goes by.
_APPLIED = _JUDGED_AGAIN | {"create"}
#: Takes the connection from the worker that has it, which stops at its next transaction; the lease itself runs out, so
#: that nobody else begins while a call of that worker may be in the air.
_TURN_ENDS: dict[str, Any] = {"lease_owner": None}


class NotYours(LeadkeeperError):
    """Other workspaces share this account: ask an operator to change its webhook secret."""


class WrongState(LeadkeeperError):
    """The connection's state does not allow this."""


async def known(tx: Tx, connection_id: UUID) -> Stored:
    """Returns a connection; raises `NoSuchConnection`."""
    stored = await connections.get(tx, connection_id)
    if stored is None:
        raise NoSuchConnection
    return stored


def check(stored: Stored, changes: Mapping[str, JSON], columns: Sequence[Column]) -> MappingTable:
    """Returns the connection's mapping as it will be, in its next version; raises `MappingError`."""
    strategy = Strategy(str(changes.get("conflict_strategy") or stored.conflict_strategy))
    rows: Any = changes.get("mapping") or rows_of(stored)
    wanted = connect.Wanted(
        provider=stored.provider, name=stored.name, config=stored.config, target=stored.target, fingerprint="",
        sealed=b"", mapping=rows, conflict_strategy=strategy,
    )  # fmt: skip
    return replace(connect.check(wanted, columns), version=stored.mapping_version + 1)


def rows_of(stored: Stored) -> list[dict[str, JSON]]:
    """Returns a stored mapping as somebody would write it."""
    return [{k: row[k] for k in ("field", "remote", "direction", "values") if k in row} for row in stored.mapping]


async def verdict(tx: Tx, stored: Stored, columns: Sequence[Column]) -> str:
    """Says in a sentence (two, of a webhook) that a connection works; raises `MappingError` with what is missing."""
    if not stored.pushes:
        if await accounts.readable(tx, stored) == frozenset():
            return (
                f"{stored.name} works: the key is accepted. It reads nothing until an operator assigns it a campaign."
            )
        said = await hooks.remark(tx, stored.account_id)
        return " ".join([f"{stored.name} works: the key is accepted and its campaigns can be read.", *said])
    table = mapping.check(rows_of(stored), columns)
    written = sum(m.direction != "pull" for m in table.fields.values())
    return f"{stored.name} works: {len(columns)} columns, {len(table.fields)} of them mapped, {written} written to."


async def change(
    tx: Tx, stored: Stored, changes: Mapping[str, JSON], table: MappingTable | None, *, actor: str
) -> None:
    """Changes settings (checked before); a new mapping reads everything again under its own version."""
    columns: dict[str, Any] = {
        name: changes[name]
        for name in ("name", "conflict_strategy", "priority", "schedule_minutes", "auto_approve", "thresholds")
        if name in changes
    }
    if "create" in changes:
        # every lead is a candidate again under another filter
        columns |= {"create_policy": filters.check(changes["create"]), "lead_xid": 0}
    if table is not None and "mapping" in changes:
        columns |= {"mapping": table.dump(), "mapping_version": table.version, "config": _with_all_columns(stored)}
    if "config" in changes:
        if stored.pushes:
            raise InvalidFields([FieldProblem("config", "Only of a provider of campaigns: there is nothing to pace.")])
        columns["config"] = stored.config | dict(changes["config"])
    if _APPLIED & changes.keys():
        columns |= _TURN_ENDS
    if columns:
        await connections.change(tx, stored.id, **columns)
    if _JUDGED_AGAIN & changes.keys():
        await link_work.touch_all(tx, stored.id)
    if "mapping" in changes and stored.pushes:
        at_rest = StreamState(position=None, watermark=None, progress={})
        await connections.move_stream(tx, stored.id, STREAM, at_rest)
        await reviews.close(tx, kind="plan", connection_id=stored.id, why="the mapping has changed")
        if stored.state in ("new", "active"):
            await runs.queue(tx, stored.id, "full", "mapping", requested_by=actor)
    await _note(tx, actor, "connection.changed", stored, fields=sorted(changes))


def check_token(stored: Stored) -> None:
    """Raises `InvalidFields` for a connection that is not opened with a token."""
    if not stored.pushes:
        raise InvalidFields([FieldProblem("secret", "Only Airtable has a token; connect another API key anew.")])


async def give_token(tx: Tx, stored: Stored, fingerprint: str, sealed: bytes) -> None:
    """Lets a connection be opened with another token, tried before; raises `InvalidFields`.

    Others that use the former one, perhaps in another workspace, keep it: the connection goes to another account.
    """
    check_token(stored)
    account_id = await connections.account(tx, stored.provider, fingerprint, sealed, new_id())
    # a turn under way would go on with the former one
    await connections.change(tx, stored.id, account_id=account_id, **_TURN_ENDS)


async def give_webhook_secret(tx: Tx, stored: Stored, sealed: bytes, hashed: bytes, *, is_operator: bool) -> None:
    """Lets the account's deliveries be known by another secret, and its webhook be told of it soon.

    Raises:
        InvalidFields, NotYours, connections.WebhookSecretTaken
    """
    if stored.pushes:
        raise InvalidFields([FieldProblem("secret", "Only of a provider of campaigns: nothing comes in by webhook.")])
    if (await watches.accounts(tx))[stored.account_id] and not is_operator:
        raise NotYours
    await connections.give_webhook_secret(tx, stored.account_id, sealed, hashed, replaces=True)
    await watches.look_soon(tx, stored.account_id)
    # a turn under way would tell it the former one again
    soon = {"next_run_at": tx.now} if stored.state == "active" else {}
    await connections.change(tx, stored.id, **_TURN_ENDS, **soon)


def _with_all_columns(stored: Stored) -> dict[str, JSON]:
    """Forgets which columns were missing: they are asked for again."""
    return {name: value for name, value in stored.config.items() if name != "missing_columns"}


async def pause(tx: Tx, connection_id: UUID, *, actor: str) -> None:
    """Keeps a connection from syncing; edits go on here and reach it after it is resumed."""
    stored = await known(tx, connection_id)
    if stored.state == "new":
        raise WrongState(f"{stored.name} does nothing before its first plan is approved: there is nothing to pause.")
    columns = {"state": "paused", "reason": f"paused by {actor}", "next_run_at": None}
    await connections.change(tx, connection_id, **columns, **_TURN_ENDS)
    await runs.cancel_for(tx, connection_id, "the connection was paused")
    await _note(tx, actor, "connection.paused", stored)


async def resume(tx: Tx, connection_id: UUID, *, actor: str) -> None:
    """Lets a paused or stopped connection sync again, at once."""
    stored = await known(tx, connection_id)
    if stored.state == "new":
        raise WrongState(f"{stored.name} waits for its first plan: approve that.")
    if stored.state == "active":
        return
    await _note(tx, actor, "connection.resumed", stored)
    if not await reviews.was_approved(tx, connection_id):
        # it was stopped before anybody saw its plan: that still comes first
        await connections.change(tx, connection_id, state="new", reason=None)
        await runs.queue(tx, connection_id, "delta", "resume", requested_by=actor)
        return
    await connections.change(
        tx, connection_id, state="active", reason=None, next_run_at=tx.now, config=_with_all_columns(stored)
    )
    await link_work.touch_all(tx, connection_id)


async def remove(tx: Tx, connection_id: UUID, *, actor: str) -> None:
    """Ends a connection; the records there and the leads here stay as they are."""
    stored = await known(tx, connection_id)
    await runs.cancel_for(tx, connection_id, "the connection was deleted")
    await watches.look_soon(tx, stored.account_id)
    await connections.change(tx, connection_id, deleted_at=tx.now, state="paused", next_run_at=None, reason="deleted")
    await link_work.end_of_connection(tx, connection_id)
    await reviews.close(tx, connection_id=connection_id, why="the connection was deleted")
    await erasure.forget_there(tx, connection_id)
    await _note(tx, actor, "connection.deleted", stored)


async def _note(tx: Tx, actor: str, action: str, stored: Stored, **detail: JSON) -> None:
    await audits.note(tx, actor, action, {"id": str(stored.id), "name": stored.name, **detail})
