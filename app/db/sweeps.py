"""Sweeps: which records a complete listing has shown, and which links it has not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.session import Tx

_UNSEEN = (
    "SELECT k.id, k.lead_id, k.remote_id, k.writing FROM link k WHERE k.workspace_id = $1 AND k.connection_id = $2"
    " AND k.remote_id IS NOT NULL AND k.gone_at IS NULL AND k.created_at < $3"
    " AND NOT EXISTS (SELECT FROM sweep_seen s"
    " WHERE s.workspace_id = $1 AND s.connection_id = $2 AND s.remote_key = k.remote_id)"
)


async def saw(tx: Tx, connection_id: UUID, remote_ids: Sequence[str]) -> None:
    """Remembers that the listing under way has shown these records."""
    await tx.run(
        "INSERT INTO sweep_seen (workspace_id, connection_id, remote_key)"
        " SELECT DISTINCT $1::uuid, $2::uuid, key FROM unnest($3::text[]) AS key ON CONFLICT DO NOTHING",
        tx.workspace_id,
        connection_id,
        list(remote_ids),
    )


async def forget(tx: Tx, connection_id: UUID) -> None:
    """Forgets what a listing has shown."""
    await tx.run(
        "DELETE FROM sweep_seen WHERE workspace_id = $1 AND connection_id = $2", tx.workspace_id, connection_id
    )


async def missing(tx: Tx, connection_id: UUID, began: datetime) -> list[Any]:
    """Returns the links (id, lead_id, remote_id, writing) whose records a complete listing did not show.

    Links that came after the listing began are left out: it may have passed their place already.
    """
    return await tx.all(
        f"{_UNSEEN} ORDER BY k.id",
        tx.workspace_id,
        connection_id,
        began,
    )


async def missing_of(tx: Tx, connection_id: UUID, namespace: str, began: datetime, shown: Sequence[str]) -> list[Any]:
    """Returns the same for a listing of one campaign's records, whose last page, not stored yet, has `shown` these."""
    return await tx.all(
        # said twice: the index of campaigns is one of links that have one
        f"{_UNSEEN} AND k.namespace = $4 AND k.namespace <> '' AND k.remote_id <> ALL($5) ORDER BY k.id",
        tx.workspace_id,
        connection_id,
        began,
        namespace,
        list(shown),
    )


async def count_links(tx: Tx, connection_id: UUID) -> int:
    """Returns how many records of a connection are known and there."""
    return int(
        await tx.value(
            "SELECT count(*) FROM link WHERE workspace_id = $1 AND connection_id = $2 AND gone_at IS NULL"
            " AND remote_id IS NOT NULL",
            tx.workspace_id,
            connection_id,
        )
    )
