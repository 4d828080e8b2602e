"""`leadkeeper connections`: the accounts a workspace is kept in agreement with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.cli.account import Account, connect
from app.cli.console import (
    ACTOR,
    AsJson,
    CommandError,
    InWorkspace,
    as_json,
    as_table,
    load,
    out,
    run,
    runtime,
    workspace,
)
from app.db import connections, overview, reviews
from app.db.connections import Stored
from app.db.session import Tenant
from app.domain.cells import Strategy
from app.runtime import Runtime, probe_account
from app.settings import Settings
from app.sync import adjust, plans

app = typer.Typer(help="Connections to Airtable and Instantly: add, test, approve, pause.", no_args_is_help=True)
add = typer.Typer(help="Connect an account; its first plan waits for your approval.", no_args_is_help=True)
app.add_typer(add, name="add")

Named = Annotated[str, typer.Argument(help="The connection's name or id.")]
AutoApprove = Annotated[bool, typer.Option("--auto-approve", help="Apply the first plan without asking.")]


@app.command("list")
def every(in_workspace: InWorkspace = None, in_json: AsJson = False) -> None:
    """List a workspace's connections and how they stand."""
    found = run(_every(load("WARNING"), in_workspace))
    if in_json:
        as_json(found)
        return
    columns = ("name", "provider", "state", "links", "pending", "held", "run_kind", "run_state", "reason")
    empty = "There are no connections yet: `leadkeeper connections add` makes one."
    as_table(columns, [[row[name] for name in columns] for row in found], empty=empty)


async def _every(settings: Settings, in_workspace: str | None) -> list[dict[str, Any]]:
    async with runtime(settings) as open_runtime:
        workspace_id = await workspace(open_runtime.db, in_workspace)
        async with open_runtime.db.transaction(Tenant(workspace_id, "operator")) as tx:
            return [dict(row) for row in await overview.status(tx)]


@add.command("airtable")
def airtable(
    base: Annotated[str, typer.Option(help="The base's id (app…), from the address of the base.")],
    table: Annotated[str, typer.Option(help="The table's id (tbl…), from the same address.")],
    token: Annotated[
        str, typer.Option(prompt=True, hide_input=True, help="A personal access token; asked for if left out.")
    ],
    name: Annotated[str, typer.Option(help="What the connection is called.")] = "Airtable",
    strategy: Annotated[
        Strategy, typer.Option(help="Who wins when both sides changed a field.")
    ] = Strategy.REMOTE_WINS,
    create: Annotated[str, typer.Option(help="Leads to create there: default, none or all.")] = "default",
    auto_approve: AutoApprove = False,
    in_workspace: InWorkspace = None,
) -> None:
    """Connect an Airtable table, both ways."""
    account = Account(
        kind="airtable",
        name=name,
        config={"base_id": base, "table_id": table},
        secret={"token": token},
        options={"conflict_strategy": strategy, "create": create, "auto_approve": auto_approve},
    )
    out.print(run(_add(load("WARNING"), in_workspace, account)), markup=False, soft_wrap=True)


@add.command("instantly")
def instantly(
    key: Annotated[str, typer.Option(prompt=True, hide_input=True, help="An API v2 key; asked for if left out.")],
    name: Annotated[str, typer.Option(help="What the connection is called.")] = "Instantly",
    campaign: Annotated[list[str] | None, typer.Option(help="Only this campaign's id; may be repeated.")] = None,
    auto_approve: AutoApprove = False,
    in_workspace: InWorkspace = None,
) -> None:
    """Connect an Instantly workspace; its leads are read, and changed only where somebody asks for it."""
    account = Account(
        kind="instantly",
        name=name,
        config={"campaign_ids": campaign or None},
        secret={"api_key": key},
        options={"auto_approve": auto_approve},
    )
    out.print(run(_add(load("WARNING"), in_workspace, account)), markup=False, soft_wrap=True)


async def _add(settings: Settings, in_workspace: str | None, account: Account) -> str:
    async with runtime(settings) as open_runtime:
        tenant = Tenant(await workspace(open_runtime.db, in_workspace), "operator")
        await connect(open_runtime, tenant, account, actor=ACTOR)
    return (
        f"{account.name} is connected. Its first sync reads everything and applies nothing: run `leadkeeper sync`, "
        f"look at it with `leadkeeper sync --plan`, then `leadkeeper connections approve {account.name!r}`."
    )


@app.command("test")
def try_out(name: Named, in_workspace: InWorkspace = None) -> None:
    """Say in one sentence what works and what is missing."""
    out.print(run(_test(load("WARNING"), in_workspace, name)), markup=False, soft_wrap=True)


async def _test(settings: Settings, in_workspace: str | None, name: str) -> str:
    async with runtime(settings) as open_runtime:
        tenant, stored = await find(open_runtime, in_workspace, name)
        async with open_runtime.db.transaction(tenant) as tx:
            sealed = await connections.secret(tx, stored.account_id)
        secret = open_runtime.vault.open(sealed or b"")
        columns = await probe_account(open_runtime, stored.provider, dict(stored.config), secret)
        async with open_runtime.db.transaction(tenant) as tx:
            return await adjust.verdict(tx, stored, columns)


@app.command("approve")
def approve(name: Named, in_workspace: InWorkspace = None) -> None:
    """Approve a connection's first plan; it is applied by the next sync."""
    out.print(run(_approve(load("WARNING"), in_workspace, name)), markup=False, soft_wrap=True)


async def _approve(settings: Settings, in_workspace: str | None, name: str) -> str:
    async with runtime(settings) as open_runtime:
        tenant, stored = await find(open_runtime, in_workspace, name)
        async with open_runtime.db.transaction(tenant) as tx:
            item = await reviews.find_open(tx, "plan", stored.id)
        if item is None:
            raise CommandError(
                f"{stored.name} has no plan that waits for approval: "
                + ("run `leadkeeper sync` first, it reads everything." if stored.state == "new" else "it is past that.")
            )
        async with open_runtime.db.transaction(tenant) as tx:
            await plans.approve(tx, stored.id, actor=ACTOR, digest=item["evidence"]["digest"])
    return f"The plan of {stored.name} is approved; the service applies it now, or run `leadkeeper sync`."


@app.command("pause")
def pause(name: Named, in_workspace: InWorkspace = None) -> None:
    """Keep a connection from syncing; edits reach it after it is resumed."""
    out.print(run(_change(load("WARNING"), in_workspace, name, pause=True)), markup=False)


@app.command("resume")
def resume(name: Named, in_workspace: InWorkspace = None) -> None:
    """Let a paused or stopped connection sync again."""
    out.print(run(_change(load("WARNING"), in_workspace, name, pause=False)), markup=False)


async def _change(settings: Settings, in_workspace: str | None, name: str, *, pause: bool) -> str:
    async with runtime(settings) as open_runtime:
        tenant, stored = await find(open_runtime, in_workspace, name)
        async with open_runtime.db.transaction(tenant) as tx:
            if pause:
                await adjust.pause(tx, stored.id, actor=ACTOR)
            else:
                await adjust.resume(tx, stored.id, actor=ACTOR)
    return f"{stored.name} is {'paused' if pause else 'active'}."


async def find(open_runtime: Runtime, in_workspace: str | None, name: str) -> tuple[Tenant, Stored]:
    """Returns a connection by its name or id, and the tenant it belongs to."""
    tenant = Tenant(await workspace(open_runtime.db, in_workspace), "operator")
    async with open_runtime.db.transaction(tenant) as tx:
        every = await connections.every(tx)
    found = [c for c in every if name in (c.name, str(c.id))]
    if len(found) == 1:
        return tenant, found[0]
    listed = ", ".join(c.name for c in every) or "there are none"
    if found:
        raise CommandError(f"{len(found)} connections are called {name!r}: give the id of one ({found[0].id}, …).")
    raise CommandError(f"There is no connection {name!r} in this workspace ({listed}).")
