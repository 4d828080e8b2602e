"""Workspaces: the tenants, which only an operator sees side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.db import audits
from app.db.ids import new_id
from app.db.session import NOBODY, Database, Tenant, Tx
from app.errors import LeadkeeperError


class NameTaken(LeadkeeperError):
    """Another workspace has this name: choose another one."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


async def create(db: Database, name: str | None = None, *, made_by: str | None = None) -> UUID:
    """Adds a workspace and returns its id; without a name it is called after its id. Its audit log says who made it."""
    async with db.transaction(NOBODY) as tx:
        workspace_id: UUID = (await add(tx, name, made_by=made_by))["id"]
    return workspace_id


async def add(tx: Tx, name: str | None = None, *, made_by: str | None = None) -> Any:
    """Adds a workspace as `create` does, from within whichever other one; returns it (id, name, created_at)."""
    workspace_id = new_id()
    async with tx.elsewhere(Tenant(workspace_id, "operator")) as there:
        row = await there.one(
            "INSERT INTO workspace (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING"
            " RETURNING id, name, created_at",
            workspace_id,
            name or f"workspace {workspace_id}",
            tx.now,
        )
        if row is None:
            raise NameTaken
        if made_by is not None:
            await audits.note(there, made_by, "workspace.created")
    return row


async def ids(db: Database) -> list[UUID]:
    """Returns every workspace's id, for an operator."""
    async with db.transaction(NOBODY) as tx:
        return [row["id"] for row in await tx.all("SELECT id FROM list_workspaces()")]


async def get(db: Database, workspace_id: UUID) -> Any:
    """Returns a workspace (id, name, created_at), or None."""
    async with db.transaction(Tenant(workspace_id, "operator")) as tx:
        return await tx.one("SELECT id, name, created_at FROM workspace WHERE id = $1", workspace_id)


async def settings(tx: Tx) -> dict[str, Any]:
    """Returns what a workspace has chosen; what it has not chosen has no key."""
    found: dict[str, Any] = await tx.value("SELECT settings FROM workspace WHERE id = $1", tx.workspace_id) or {}
    return found


async def choose(tx: Tx, settings: Mapping[str, Any]) -> None:
    """Keeps what a workspace chooses; the rest stays as it was."""
    await tx.run("UPDATE workspace SET settings = settings || $2 WHERE id = $1", tx.workspace_id, dict(settings))


async def users(tx: Tx, limit: int, after: str | None = None) -> list[Any]:
    """Returns people of a workspace by their e-mail addresses, those after one."""
    return await tx.all(
        "SELECT id, email, role, created_at FROM app_user WHERE workspace_id = $1 AND ($3::text IS NULL OR email > $3)"
        " ORDER BY email LIMIT $2",
        tx.workspace_id,
        limit,
        after,
    )


async def add_user(tx: Tx, email: str, role: str) -> Any:
    """Adds a person to the workspace, or gives one who is there another role."""
    return await tx.one(
        "INSERT INTO app_user (workspace_id, id, email, role, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (workspace_id, email) DO UPDATE SET role = excluded.role RETURNING id, email, role, created_at",
        tx.workspace_id,
        new_id(),
        email,
        role,
        tx.now,
    )


async def remove_user(tx: Tx, user_id: UUID) -> str | None:
    """Removes a person from the workspace and returns their e-mail address; what they did stays in the history."""
    found: str | None = await tx.value(
        "DELETE FROM app_user WHERE workspace_id = $1 AND id = $2 RETURNING email", tx.workspace_id, user_id
    )
    return found
