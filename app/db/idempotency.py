"""Idempotency keys: the first request under a key leaves its answer, in the transaction of its effect.

The row is inserted before the effect. A second request with the same key waits for the first one's transaction on that
row: if it commits, its answer is repeated; if not, the second one does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.db.session import Tx
from app.errors import LeadkeeperError


class KeyReused(LeadkeeperError):
    """This Idempotency-Key was used for another request: send a new one."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered under a key."""

    status: int
    body: bytes
    headers: Mapping[str, str]


async def begin(tx: Tx, key: str, body_hash: bytes) -> Answer | None:
    """Takes a key for this transaction, or returns what was answered under it; raises `KeyReused`."""
    taken = await tx.value(
        "INSERT INTO idempotency_key (workspace_id, key, body_hash, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (workspace_id, key) DO UPDATE SET body_hash = $3, created_at = $4, status = NULL"
        " WHERE idempotency_key.created_at < $4::timestamptz - interval '24 hours' RETURNING 1",
        tx.workspace_id,
        key,
        body_hash,
        tx.now,
    )
    return None if taken else await find(tx, key, body_hash)


async def find(tx: Tx, key: str, body_hash: bytes) -> Answer | None:
    """Returns what was answered under a key, or None; raises `KeyReused`."""
    row = await tx.one(
        "SELECT body_hash, status, answer, headers FROM idempotency_key WHERE workspace_id = $1 AND key = $2"
        " AND status IS NOT NULL AND created_at >= $3::timestamptz - interval '24 hours'",
        tx.workspace_id,
        key,
        tx.now,
    )
    if row is None:
        return None
    if row["body_hash"] != body_hash:
        raise KeyReused
    return Answer(row["status"], row["answer"], row["headers"])


async def finish(tx: Tx, key: str, answer: Answer) -> None:
    """Leaves the answer with the effect."""
    await tx.run(
        "UPDATE idempotency_key SET status = $3, answer = $4, headers = $5 WHERE workspace_id = $1 AND key = $2",
        tx.workspace_id,
        key,
        answer.status,
        answer.body,
        dict(answer.headers),
    )


async def forget(tx: Tx) -> int:
    """Removes keys that are older than a day."""
    return await tx.run(
        "DELETE FROM idempotency_key WHERE workspace_id = $1 AND created_at < $2::timestamptz - interval '24 hours'",
        tx.workspace_id,
        tx.now,
    )
