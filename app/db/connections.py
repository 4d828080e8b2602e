"""Connections: their settings, their leases, and how far their streams have been read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from app.db.session import Database, Tenant, Tx
from app.domain import lead as policy_view
from app.domain.cells import Strategy
from app.domain.mapping import MappingTable, incoming, load
from app.domain.policy import Source
from app.domain.values import JSON, instant
from app.errors import LeadkeeperError

#: Seconds a worker holds a connection before it must say again that it lives.
LEASE_SECONDS = 30.0
#: Seconds a write call may take; the HTTP client gives up on it then.
WRITE_SECONDS = 20.0


class LeaseLost(LeadkeeperError):
    """Another instance works this connection now; nothing more is written here."""


class WebhookSecretTaken(LeadkeeperError):
    """Another account has this webhook secret: choose another one, or leave it out and one is made."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class DuplicateTarget(LeadkeeperError):
    """This workspace has a connection to that target already: change that one instead of adding a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A connection as it stands in the database."""

    id: UUID
    workspace_id: UUID
    account_id: UUID
    provider: str
    name: str
    target: str
    config: dict[str, JSON]
    mapping: list[dict[str, JSON]]
    mapping_version: int
    conflict_strategy: str
    priority: int
    create_policy: dict[str, JSON]
    schedule_minutes: int
    auto_approve: bool
    pushes: bool
    thresholds: dict[str, JSON]
    state: str
    reason: str | None
    next_run_at: datetime | None
    lead_xid: int
    lease_owner: str | None
    lease_token: int
    created_at: datetime

    @property
    def table(self) -> MappingTable:
        """The mapping, ready for use."""
        if self.provider == "instantly":
            return incoming(Source.INSTANTLY)
        return _table(
            self.mapping_version, orjson.dumps(self.mapping), frozenset(self.config.get("missing_columns", ()))
        )

    @property
    def view(self) -> policy_view.Connection:
        """The connection as the policy sees it."""
        return policy_view.Connection(
            id=str(self.id),
            source=Source(self.provider),
            mapping=self.table,
            strategy=Strategy(self.conflict_strategy),
            rank=(self.priority, instant(self.created_at), str(self.id)),
        )


@lru_cache(maxsize=256)
def _table(version: int, rows: bytes, missing: frozenset[str]) -> MappingTable:
    """Mappings change rarely and are asked for in every transaction."""
    return load(version, orjson.loads(rows), missing=missing)


@dataclass(slots=True)
class Lease:
    """The right to work one connection for a while, proven again in every transaction that confirms something."""

    db: Database
    tenant: Tenant
    connection_id: UUID
    owner: str
    token: int
    until: datetime
    #: how long it lasts without a sign of life
    seconds: float = LEASE_SECONDS

    @property
    def write_seconds(self) -> float:
        """How long one write call may take at the most: the lease outlasts it."""
        return min(WRITE_SECONDS, self.seconds * 2 / 3)

    async def fence(self, tx: Tx) -> None:
        """Keeps anybody from taking the connection over until this transaction ends; raises `LeaseLost` if one has."""
        held = await tx.value(
            "SELECT 1 FROM connection WHERE workspace_id = $1 AND id = $2 AND lease_token = $3 AND lease_owner = $4"
            " AND deleted_at IS NULL FOR SHARE",
            tx.workspace_id,
            self.connection_id,
            self.token,
            self.owner,
        )
        if not held:
            raise LeaseLost

    async def ensure(self, seconds: float) -> datetime:
        """Makes sure the lease lasts this long from now on; returns the time now."""
        async with self.db.transaction(self.tenant) as tx:
            if self.until - tx.now < timedelta(seconds=seconds):
                await self._renew(tx)
            return tx.now

    async def renew(self) -> None:
        """Says that this worker lives."""
        async with self.db.transaction(self.tenant) as tx:
            await self._renew(tx)

    async def _renew(self, tx: Tx) -> None:
        until = tx.now + timedelta(seconds=self.seconds)
        if not await tx.run(
            "UPDATE connection SET lease_until = $5 WHERE workspace_id = $1 AND id = $2 AND lease_token = $3"
            " AND lease_owner = $4",
            tx.workspace_id,
            self.connection_id,
            self.token,
            self.owner,
            until,
        ):
            raise LeaseLost
        self.until = until

    async def release(self, next_run_at: datetime | None) -> None:
        """Gives the connection back."""
        async with self.db.transaction(self.tenant) as tx:
            await tx.run(
                "UPDATE connection SET lease_owner = NULL, lease_until = NULL,"
                " next_run_at = coalesce($4, next_run_at)"
                " WHERE workspace_id = $1 AND id = $2 AND lease_token = $3",
                tx.workspace_id,
                self.connection_id,
                self.token,
                next_run_at,
            )


async def claim(db: Database, owner: str, limit: int = 4, *, seconds: float = LEASE_SECONDS) -> list[Lease]:
    """Takes connections with work that is due and that nobody works; an instance that died loses its own in time."""
    async with db.transaction() as tx:
        rows = await tx.all("SELECT * FROM claim_due($1, $2, $3, $4)", owner, tx.now, seconds, limit)
        until = tx.now + timedelta(seconds=seconds)
    return [
        Lease(db, Tenant(row["workspace_id"]), row["connection_id"], owner, row["token"], until, seconds)
        for row in rows
    ]


async def get(tx: Tx, connection_id: UUID) -> Stored | None:
    """Returns a connection that is not deleted."""
    row = await tx.one(
        "SELECT * FROM connection WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL",
        tx.workspace_id,
        connection_id,
    )
    return None if row is None else _stored(row)


async def every(tx: Tx, *, disconnected: bool = False) -> list[Stored]:
    """Returns the workspace's connections, the oldest first; on request those that were disconnected as well."""
    rows = await tx.all(
        "SELECT * FROM connection WHERE workspace_id = $1 AND (deleted_at IS NULL OR $2) ORDER BY created_at, id",
        tx.workspace_id,
        disconnected,
    )
    return [_stored(row) for row in rows]


async def has_work(tx: Tx, connection: Stored) -> bool:
    """Tells whether something waits to be written there: changed here a second ago, or its time has come (as
    `claim_due`)."""
    return bool(
        await tx.value(
            "SELECT $5 AND EXISTS (SELECT FROM lead WHERE workspace_id = $1 AND changed_xid >= $3"
            " AND updated_at <= $4::timestamptz - interval '1 second')"
            " OR EXISTS (SELECT FROM link WHERE workspace_id = $1 AND connection_id = $2 AND push_due"
            " AND (next_attempt_at IS NULL OR next_attempt_at <= $4))"
            " OR EXISTS (SELECT FROM outreach_request WHERE workspace_id = $1 AND connection_id = $2"
            " AND state IN ('queued', 'sent') AND (next_attempt_at IS NULL OR next_attempt_at <= $4))",
            tx.workspace_id,
            connection.id,
            connection.lead_xid,
            tx.now,
            connection.pushes,
        )
    )


async def add(tx: Tx, connection: Mapping[str, Any]) -> None:
    """Adds a connection; raises `DuplicateTarget` where the workspace has one to that target."""
    names = list(connection)
    places = ", ".join(f"${i}" for i in range(2, len(names) + 2))
    added = await tx.run(
        f"INSERT INTO connection (workspace_id, {', '.join(names)}) VALUES ($1, {places})"
        " ON CONFLICT (workspace_id, target) WHERE deleted_at IS NULL DO NOTHING",
        tx.workspace_id,
        *connection.values(),
    )
    if not added:
        raise DuplicateTarget


async def change(tx: Tx, connection_id: UUID, **columns: Any) -> None:
    """Changes settings or state of a connection."""
    sets = ", ".join(f"{name} = ${i}" for i, name in enumerate(columns, 3))
    await tx.run(
        f"UPDATE connection SET {sets} WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id,
        connection_id,
        *columns.values(),
    )


async def recovered(tx: Tx, connection_id: UUID) -> None:
    """Takes back what was said of a failure, unless something is still to be mended."""
    await tx.run(
        "UPDATE connection SET reason = NULL WHERE workspace_id = $1 AND id = $2 AND state = 'active'"
        " AND reason IS NOT NULL AND coalesce(jsonb_array_length(config -> 'missing_columns'), 0) = 0",
        tx.workspace_id,
        connection_id,
    )


async def account(tx: Tx, provider: str, fingerprint: str, secret: bytes, account_id: UUID) -> UUID:
    """Returns the account with this secret, adding it under `account_id` if nobody has it yet."""
    found = await tx.value(
        "SELECT ensure_account($1, $2, $3, $4, $5)", account_id, provider, fingerprint, secret, tx.now
    )
    assert isinstance(found, UUID)
    return found


async def give_webhook_secret(
    tx: Tx, account_id: UUID, sealed: bytes, webhook_hash: bytes, *, replaces: bool = False
) -> bool:
    """Lets an account's deliveries be known by a secret, which `sealed` holds too; returns whether it was taken.

    One that the account has stays unless this one `replaces` it. Raises `WebhookSecretTaken`.
    """
    try:
        return bool(
            await tx.value("SELECT give_webhook_secret($1, $2, $3, $4)", account_id, sealed, webhook_hash, replaces)
        )
    except asyncpg.UniqueViolationError:
        raise WebhookSecretTaken from None


async def secret(tx: Tx, account_id: UUID) -> bytes | None:
    """Returns the encrypted secret of an account this workspace uses."""
    found: bytes | None = await tx.value("SELECT secret FROM provider_account WHERE id = $1", account_id)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """How far a stream has been read: the position inside a listing (None: at rest) and the watermark of the next."""

    position: dict[str, JSON] | None
    watermark: datetime | None
    progress: dict[str, JSON]


async def stream(tx: Tx, connection_id: UUID, name: str) -> StreamState:
    """Returns where a stream stands."""
    row = await tx.one(
        "SELECT position, watermark, progress FROM stream_cursor"
        " WHERE workspace_id = $1 AND connection_id = $2 AND stream = $3",
        tx.workspace_id,
        connection_id,
        name,
    )
    if row is None:
        return StreamState(position=None, watermark=None, progress={})
    return StreamState(position=row["position"], watermark=row["watermark"], progress=row["progress"])


async def move_stream(tx: Tx, connection_id: UUID, name: str, state: StreamState) -> None:
    """Moves a stream, in the transaction that stores the rows it has passed."""
    await tx.run(
        "INSERT INTO stream_cursor (workspace_id, connection_id, stream, position, watermark, progress, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (workspace_id, connection_id, stream) DO UPDATE"
        " SET position = $4, watermark = $5, progress = $6, updated_at = $7",
        tx.workspace_id,
        connection_id,
        name,
        state.position,
        state.watermark,
        state.progress,
        tx.now,
    )


def _stored(row: Mapping[str, Any]) -> Stored:
    return Stored(**{name: row[name] for name in Stored.__dataclass_fields__})
