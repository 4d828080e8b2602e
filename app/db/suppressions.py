"""Whom nobody may write to any more: keyed hashes of addresses, which outlive every lead."""

from __future__ import annotations

from collections.abc import Sequence

from app.db.session import Tx


async def add(tx: Tx, rows: Sequence[tuple[bytes, str, str]]) -> None:
    """Adds (keyed hash of the address, scope, reason); what is known stays, and nothing here is ever taken back."""
    if rows:
        await tx.run(
            "INSERT INTO suppression (workspace_id, email_hash, scope, reason, at)"
            " SELECT $1, n.*, $5 FROM (SELECT DISTINCT * FROM unnest($2::bytea[], $3::text[], $4::text[]))"
            " AS n(h, s, r)"
            " WHERE NOT EXISTS (SELECT FROM suppression x WHERE x.workspace_id = $1 AND x.email_hash = n.h"
            " AND x.scope = n.s AND x.reason = n.r) ON CONFLICT DO NOTHING",
            tx.workspace_id,
            [row[0] for row in rows],
            [row[1] for row in rows],
            [row[2] for row in rows],
            tx.now,
        )


async def of(tx: Tx, email_hash: bytes) -> list[tuple[str, str]]:
    """Returns (scope, reason) of everything known against writing to an address."""
    rows = await tx.all(
        "SELECT scope, reason FROM suppression WHERE workspace_id = $1 AND email_hash = $2 ORDER BY 1, 2",
        tx.workspace_id,
        email_hash,
    )
    return [(row["scope"], row["reason"]) for row in rows]
