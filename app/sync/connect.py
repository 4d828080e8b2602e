"""Connect: a new connection, checked against the provider before it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db import accounts, audits, connections, deliveries, runs
from app.db.ids import new_id
from app.db.session import Tx
from app.domain import filters, mapping
from app.domain.cells import Strategy
from app.domain.mapping import MODIFIED, MappingError, MappingTable
from app.domain.policy import Source
from app.domain.values import JSON
from app.providers.base import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A connection as somebody asked for it."""

    provider: str
    name: str
    config: Mapping[str, JSON]
    target: str
    fingerprint: str
    sealed: bytes
    #: by what the account's deliveries are recognised, and whether somebody chose it
    webhook_hash: bytes | None = None
    webhook_chosen: bool = False
    mapping: str | Sequence[Mapping[str, JSON]] = "auto"
    conflict_strategy: Strategy = Strategy.REMOTE_WINS
    create: JSON = None
    priority: int = 100
    schedule_minutes: int = 15
    auto_approve: bool = False
    thresholds: Mapping[str, JSON] | None = None


def check(wanted: Wanted, columns: Sequence[Column]) -> MappingTable:
    """Returns the checked mapping of a connection; raises `MappingError` with one sentence and the remedy."""
    if wanted.provider == "instantly":
        return mapping.incoming(Source.INSTANTLY)
    rows = mapping.propose(columns) if isinstance(wanted.mapping, str) else wanted.mapping
    table = mapping.check(rows, columns)
    if not table.fields:
        names = ", ".join(c.name for c in columns)
        raise MappingError(f"No column of the table suggests a lead field: map some of {names} by hand.")
    if wanted.conflict_strategy is Strategy.LAST_MODIFIED_WINS:
        _check_modified(table, {c.id: c for c in columns})
    return table


def _check_modified(table: MappingTable, columns: Mapping[str, Column]) -> None:
    """last_modified_wins needs a time to compare: of the right kind, and of every mapped column."""
    mapped = table.pseudo.get(MODIFIED)
    if mapped is None:
        raise MappingError(
            "The strategy last_modified_wins needs a last-modified-time column: add one to the table and map it to"
            " modified_at, or choose remote_wins."
        )
    column = columns[mapped.column]
    if not column.has_time:
        raise MappingError(
            f"The column {column.name!r} shows no time of day: let it include the time, for last_modified_wins."
        )
    watched = column.watches
    unwatched = [m.name for m in table.fields.values() if watched is not None and m.column not in watched]
    if unwatched:
        raise MappingError(
            f"The column {column.name!r} does not watch {', '.join(unwatched)}: let it watch all mapped columns."
        )


async def connect(tx: Tx, wanted: Wanted, table: MappingTable, *, actor: str) -> UUID:
    """Stores a connection whose first run will propose a plan; raises `connections.DuplicateTarget` and
    `connections.WebhookSecretTaken`.
    """
    account_id = await connections.account(tx, wanted.provider, wanted.fingerprint, wanted.sealed, new_id())
    if wanted.webhook_hash is not None:
        await connections.give_webhook_secret(
            tx, account_id, wanted.sealed, wanted.webhook_hash, replaces=wanted.webhook_chosen
        )
    connection_id = new_id()
    pushes = wanted.provider == "airtable"
    if not pushes:
        await accounts.join(tx, account_id)
    columns: dict[str, Any] = {
        "id": connection_id,
        "account_id": account_id,
        "provider": wanted.provider,
        "name": wanted.name,
        "target": wanted.target,
        "config": dict(wanted.config),
        "mapping": table.dump() if pushes else [],
        "conflict_strategy": wanted.conflict_strategy.value,
        "priority": wanted.priority,
        "create_policy": filters.check(wanted.create) if pushes else {"never": True},
        "schedule_minutes": wanted.schedule_minutes,
        "auto_approve": wanted.auto_approve,
        "pushes": pushes,
        "thresholds": dict(wanted.thresholds or {}),
        "created_at": tx.now,
    }
    await connections.add(tx, columns)
    await deliveries.route(tx, account_id)
    await runs.queue(tx, connection_id, "delta", "connect", requested_by=actor)
    await audits.note(tx, actor, "connection.created", {"id": str(connection_id), "name": wanted.name})
    return connection_id
