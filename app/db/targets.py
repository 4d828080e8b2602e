"""What a workspace is or was connected to; a connection somebody deleted is not made again by a restart."""

from __future__ import annotations

from app.db.session import Tx


async def ever(tx: Tx) -> set[str]:
    """Returns the targets of every connection the workspace has or had."""
    rows = await tx.all("SELECT target FROM connection WHERE workspace_id = $1", tx.workspace_id)
    return {row["target"] for row in rows}
