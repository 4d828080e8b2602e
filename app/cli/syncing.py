"""`leadkeeper sync`: sync now and watch, or look at what a sync would do."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.connecting import find
from app.cli.console import (
    ACTOR,
    AsJson,
    CommandError,
    InWorkspace,
    as_json,
    as_table,
    errors,
    load,
    out,
    run,
    runtime,
    workspace,
)
from app.db import connections, runs
from app.db.connections import Stored
from app.db.session import Tenant
from app.runtime import Runtime
from app.scheduler import Worker
from app.settings import Settings
from app.sync import plans


def sync(
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would change, from what was read last.")] = False,
    connection: Annotated[str | None, typer.Option(help="Only this connection, by its name or id.")] = None,
    in_workspace: InWorkspace = None,
    in_json: AsJson = False,
) -> None:
    """Sync the workspace's connections now, and wait for it."""
    work = _plan if plan else _sync
    found = run(work(load("ERROR"), in_workspace, connection, show=not in_json))
    if in_json:
        as_json(found)
    elif plan:
        _show_plans(found)
    else:
        _show_runs(found)
    if any(row.get("state") == "failed" for row in found):
        raise typer.Exit(1)


async def _chosen(open_runtime: Runtime, in_workspace: str | None, name: str | None) -> tuple[Tenant, list[Stored]]:
    if name is not None:
        tenant, stored = await find(open_runtime, in_workspace, name)
        chosen = [stored]
    else:
        tenant = Tenant(await workspace(open_runtime.db, in_workspace), "operator")
        async with open_runtime.db.transaction(tenant) as tx:
            chosen = [c for c in await connections.every(tx) if c.state in ("new", "active")]
    for stored in chosen:
        if stored.state in ("paused", "stopped"):
            remedy = f"`leadkeeper connections resume {stored.name!r}` lets it sync again"
            raise CommandError(f"{stored.name} is {stored.state} ({stored.reason}): {remedy}.")
    if not chosen:
        raise CommandError("Nothing to sync: add a connection with `leadkeeper connections add`, or resume one.")
    return tenant, chosen


async def _plan(settings: Settings, in_workspace: str | None, name: str | None, *, show: bool) -> list[dict[str, Any]]:
    async with runtime(settings) as open_runtime:
        tenant, chosen = await _chosen(open_runtime, in_workspace, name)
        found = []
        for stored in chosen:
            if show:
                errors.print(f"Planning {stored.name} …", style="dim", markup=False)
            found.append(
                {"connection": stored.name} | await plans.draw(open_runtime.db, tenant, stored, open_runtime.adapter)
            )
        return found


async def _sync(settings: Settings, in_workspace: str | None, name: str | None, *, show: bool) -> list[dict[str, Any]]:
    async with runtime(settings) as open_runtime:
        tenant, chosen = await _chosen(open_runtime, in_workspace, name)
        queued: dict[str, UUID] = {}
        async with open_runtime.db.transaction(tenant) as tx:
            await runs.take_turns(tx)
            for stored in chosen:
                waits = await runs.open_for(tx, stored.id, "delta", begun=False)
                run_id = waits["id"] if waits else await runs.queue(tx, stored.id, "delta", "cli", requested_by=ACTOR)
                queued[stored.name] = run_id
        await _watch(open_runtime, tenant, queued, show=show)
        async with open_runtime.db.transaction(tenant) as tx:
            return [{"connection": title} | dict(await runs.get(tx, run_id)) for title, run_id in queued.items()]


async def _watch(open_runtime: Runtime, tenant: Tenant, queued: dict[str, UUID], *, show: bool) -> None:
    """Works what is queued, or watches the service do it, until every run has ended."""
    worker = Worker(open_runtime)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, disable=not show, transient=True) as progress:
        bars = {run_id: progress.add_task(title, total=None, note="") for title, run_id in queued.items()}
        try:
            while bars:
                await worker.tick()
                await asyncio.sleep(0.2)
                async with open_runtime.db.transaction(tenant) as tx:
                    found = [await runs.get(tx, run_id) for run_id in bars]
                for row in found:
                    done, total = row["progress"].get("done") or 0, row["progress"].get("total")
                    note = f"{row['stage'] or row['state']} {done:,}" + (f" of {total:,}" if total else "")
                    progress.update(bars[row["id"]], note=note, total=total, completed=done)
                    if row["state"] in runs.FINISHED:
                        progress.update(bars.pop(row["id"]), total=1, completed=1)
        finally:
            await worker.stop()


def _show_runs(found: list[dict[str, Any]]) -> None:
    rows = []
    for row in found:
        counts = ", ".join(f"{name} {n:,}" for name, n in sorted(row["counters"].items()) if n)
        rows.append((row["connection"], row["state"], row["error"] or counts or "nothing new"))
    as_table(("connection", "state", "what happened"), rows, empty="")


def _show_plans(found: list[dict[str, Any]]) -> None:
    columns = (
        "connection", "leads_created_here", "leads_changed_here", "records_updated_there", "records_created_there",
        "conflicts", "refused", "calls",
    )  # fmt: skip
    as_table(columns, [[row[name] for name in columns] for row in found], empty="")
    for row in found:
        for change in row["here"][:20]:
            line = f"  {row['connection']}: {change['field']} {change['old']!r} -> {change['new']!r} ({change['rule']})"
            out.print(line, markup=False, soft_wrap=True)
