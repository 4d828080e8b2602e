"""The audit log: what operators and administrators did, written once."""

from __future__ import annotations

from collections.abc import Mapping

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.values import JSON


async def note(tx: Tx, actor: str, action: str, detail: Mapping[str, JSON] | None = None) -> None:
    """Writes down who did what."""
    await tx.run(
        "INSERT INTO audit (workspace_id, id, actor, action, detail, at) VALUES ($1, $2, $3, $4, $5, $6)",
        tx.workspace_id,
        new_id(),
        actor,
        action,
        dict(detail or {}),
        tx.now,
    )
