"""The audit log: what operators and administrators did, through whichever door; written once, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

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


async def page(
    tx: Tx,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Any]:
    """Returns what was done in `[since, until)`, the newest first, before the entry with these keys."""
    args: list[Any] = [tx.workspace_id, limit]
    where = "workspace_id = $1"
    for test, values in (("at >= {}", since), ("at < {}", until), ("(at, id) < ({}, {})", before)):
        if values is not None:
            found = values if isinstance(values, tuple) else (values,)
            where += " AND " + test.format(*(f"${len(args) + i}" for i in range(1, len(found) + 1)))
            args.extend(found)
    return await tx.all(
        f"SELECT id, at, actor, action, detail FROM audit WHERE {where} ORDER BY at DESC, id DESC LIMIT $2", *args
    )
