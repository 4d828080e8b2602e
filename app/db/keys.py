"""API keys: only their hash is kept; which workspace a key belongs to is found before any tenant is set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Database, Role, Transaction, Tx, begins

T = TypeVar("T")
_SHOWN = "id, name, prefix, role, acts_for, created_at, expires_at, revoked_at, last_used_at"
_FOUND = "k.workspace_id, k.id, k.role, k.name, k.acts_for"
_FIND = "FROM find_key($1, clock_timestamp()) AS k"
_ENTER = f"SELECT {_FOUND}, {begins('k.workspace_id::text', 'k.role')} {_FIND}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a valid key stands for."""

    workspace_id: UUID
    id: UUID
    role: Role
    name: str
    #: the person it acts for, an e-mail address
    acts_for: str | None


async def find(db: Database, key_hash: bytes) -> Found | None:
    """Returns what a key stands for; None for one that is unknown, expired or revoked."""
    row = await db.look_up(f"SELECT {_FOUND} {_FIND}", key_hash)
    return None if row is None else _found(row)


def enter(db: Database, key_hash: bytes, who: Callable[[Found | None], T]) -> Transaction[tuple[T, Tx]]:
    """Opens a transaction of what a key stands for; its first statement finds the key.

    `who` decides about what was found, and raises where that is None.
    """
    return db.transaction_of(lambda row: who(None if row is None else _found(row)), _ENTER, key_hash)


async def still_good(tx: Tx, hashes: Iterable[bytes]) -> set[bytes]:
    """Returns those of the keys that are neither expired nor revoked, of whichever workspace they are."""
    rows = await tx.all(
        "SELECT h FROM unnest($1::bytea[]) AS h WHERE EXISTS (SELECT FROM find_key(h, clock_timestamp()))", list(hashes)
    )
    return {row["h"] for row in rows}


async def create(
    tx: Tx,
    *,
    name: str,
    role: Role,
    prefix: str,
    key_hash: bytes,
    acts_for: str | None = None,
    expires_at: datetime | None = None,
) -> UUID:
    """Stores a new key's hash and returns its id."""
    key_id = new_id()
    await tx.run(
        "INSERT INTO api_key (workspace_id, id, name, prefix, hash, role, acts_for, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.workspace_id, key_id, name, prefix, key_hash, role, acts_for, tx.now, expires_at,
    )  # fmt: skip
    return key_id


async def get(tx: Tx, key_id: UUID) -> Any:
    """Returns a key without anything secret, or None."""
    return await tx.one(f"SELECT {_SHOWN} FROM api_key WHERE workspace_id = $1 AND id = $2", tx.workspace_id, key_id)


async def every(tx: Tx, limit: int | None = None, before: tuple[datetime, UUID] | None = None) -> list[Any]:
    """Returns the workspace's keys, the newest first, without anything secret; a page of them after one's keys."""
    return await tx.all(
        f"SELECT {_SHOWN} FROM api_key WHERE workspace_id = $1 AND ($3::timestamptz IS NULL OR (created_at, id) <"
        " ($3, $4::uuid)) ORDER BY created_at DESC, id DESC LIMIT $2",
        tx.workspace_id,
        limit,
        *(before or (None, None)),
    )


async def revoke(tx: Tx, key_id: UUID) -> bool:
    """Ends a key at once; returns whether there was such a key."""
    return bool(
        await tx.run(
            "UPDATE api_key SET revoked_at = coalesce(revoked_at, $3) WHERE workspace_id = $1 AND id = $2",
            tx.workspace_id,
            key_id,
            tx.now,
        )
    )


async def revoke_of(tx: Tx, person: str) -> list[Any]:
    """Ends every key that acts for a person (a canonical e-mail address) at once; returns their ids and roles."""
    return await tx.all(
        "UPDATE api_key SET revoked_at = $3 WHERE workspace_id = $1 AND lower(acts_for) = $2 AND revoked_at IS NULL"
        " RETURNING id, role",
        tx.workspace_id,
        person,
        tx.now,
    )


async def used(tx: Tx, key_ids: Iterable[UUID]) -> None:
    """Notes that keys were used, many at a time: a request does not write to answer."""
    await tx.run(
        "UPDATE api_key SET last_used_at = $3 WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        list(key_ids),
        tx.now,
    )


def _found(row: Any) -> Found:
    return Found(
        workspace_id=row["workspace_id"], id=row["id"], role=row["role"], name=row["name"], acts_for=row["acts_for"]
    )
