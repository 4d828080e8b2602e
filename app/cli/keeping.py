"""`leadkeeper keys`: who may use the API, and the first workspace."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

import typer

from app.cli.console import (
    ACTOR,
    AsJson,
    CommandError,
    InWorkspace,
    as_json,
    as_table,
    errors,
    load,
    names,
    out,
    run,
    runtime,
    workspace,
)
from app.db import audits, keys, workspaces
from app.db.session import Database, Role, Tenant
from app.domain.normalize import Unreadable
from app.domain.normalize import email as canonical_email
from app.settings import Settings
from app.vault import new_key

#: What the first workspace is called unless somebody names it.
FIRST = "main"
Roles = Literal["operator", "admin", "member", "viewer", "cron"]
app = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)


def _person(text: str | None) -> str | None:
    """Reads an e-mail address into the form that claims and people are known by."""
    try:
        return canonical_email(text)
    except Unreadable as exc:
        raise typer.BadParameter(exc.plain) from None


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for; the history shows it.")] = "command line",
    role: Annotated[Roles, typer.Option(help="What the key may do.")] = "admin",
    acts_for: Annotated[
        str | None, typer.Option(help="The e-mail address of the person it acts for.", callback=_person)
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; without it, it does not.")] = None,
    in_workspace: InWorkspace = None,
    in_json: AsJson = False,
) -> None:
    """Make a key and print it once; the first key makes the first workspace."""
    shown = run(_create(load("WARNING"), in_workspace, name=name, role=role, acts_for=acts_for, days=days))
    if in_json:
        as_json(shown)
    else:
        errors.print(f"This key is shown once; its role is {role}, its workspace {shown['workspace']}.", markup=False)
        typer.echo(shown["key"])


async def _create(
    settings: Settings, in_workspace: str | None, *, name: str, role: Role, acts_for: str | None, days: int | None
) -> dict[str, str]:
    async with runtime(settings) as open_runtime:
        db = open_runtime.db
        workspace_id = await _workspace(db, in_workspace)
        key, prefix, key_hash = new_key()
        async with db.transaction(Tenant(workspace_id, "operator")) as tx:
            key_id = await keys.create(
                tx,
                name=name,
                role=role,
                prefix=prefix,
                key_hash=key_hash,
                acts_for=acts_for,
                expires_at=None if days is None else tx.now + timedelta(days=days),
            )
            await audits.note(tx, ACTOR, "key.created", {"id": str(key_id), "role": role})
        called = {workspace_id: title for title, workspace_id in (await names(db)).items()}
        return {"id": str(key_id), "key": key, "role": role, "workspace": called[workspace_id]}


async def _workspace(db: Database, name: str | None) -> UUID:
    if await workspaces.ids(db):
        return await workspace(db, name)
    return await workspaces.create(db, name or FIRST, made_by=ACTOR)


@app.command("list")
def every(in_workspace: InWorkspace = None, in_json: AsJson = False) -> None:
    """List the keys of a workspace, without anything secret."""
    found = run(_every(load("WARNING"), in_workspace))
    if in_json:
        as_json(found)
        return
    columns = ("id", "name", "prefix", "role", "acts_for", "last_used_at", "expires_at", "revoked_at")
    as_table(columns, [[row[name] for name in columns] for row in found], empty="There are no keys.")


async def _every(settings: Settings, in_workspace: str | None) -> list[dict[str, object]]:
    async with runtime(settings) as open_runtime:
        workspace_id = await workspace(open_runtime.db, in_workspace)
        async with open_runtime.db.transaction(Tenant(workspace_id, "operator")) as tx:
            return [dict(row) for row in await keys.every(tx)]


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, or its visible prefix (lk_…).")],
    in_workspace: InWorkspace = None,
) -> None:
    """End a key at once."""
    out.print(run(_revoke(load("WARNING"), key_id, in_workspace)), markup=False)


async def _revoke(settings: Settings, key_id: str, in_workspace: str | None) -> str:
    async with runtime(settings) as open_runtime:
        workspace_id = await workspace(open_runtime.db, in_workspace)
        async with open_runtime.db.transaction(Tenant(workspace_id, "operator")) as tx:
            found = [row for row in await keys.every(tx) if key_id in (str(row["id"]), row["prefix"])]
            if len(found) != 1:
                raise CommandError(
                    f"{len(found)} keys are {key_id}: give the id of one, as `leadkeeper keys list` shows it."
                )
            await keys.revoke(tx, found[0]["id"])
            await audits.note(tx, ACTOR, "key.revoked", {"id": str(found[0]["id"])})
    return f"The key {found[0]['name']} ({found[0]['prefix']}…) is revoked."
