"""The demo: three systems come to agreement before your eyes, over real HTTP, with no account and no set-up."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.db import connections, leads, links, recipients, reviews, runs
from app.domain.values import JSON
from app.errors import LeadkeeperError
from app.lab import agreement
from app.lab.servers import serving, until_ended
from app.lab.world import World, over_http
from app.main import create_app
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import MovableClock
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.seed import SALESPEOPLE, DemoWorld, seed_demo
from app.scheduler import scheduled
from app.settings import Settings

DATABASE = "leadkeeper_demo"
#: Only leads with a reply are created in Airtable.
CREATE = {"email_reply_count[gt]": 0}


@dataclass(slots=True)
class Summary:
    """What the demo measured; printed as one JSON line."""

    agree: bool = False
    seconds: float = 0.0
    leads: int = 0
    records: int = 0
    cells_compared: int = 0
    airtable_calls: int = 0
    instantly_calls: int = 0
    records_written: int = 0
    records_created: int = 0
    #: per later reconciliation: Airtable calls, records written, lead versions moved
    again: list[dict[str, int]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    open_items: dict[str, int] = field(default_factory=dict)
    disagreements: list[list[str]] = field(default_factory=list)


class DemoUnderWay(LeadkeeperError):
    """A demo runs on this data folder already, and this one would empty its database: end that one with Ctrl-C, or set
    LEADKEEPER_DATA_DIR to another folder."""

    def __init__(self) -> None:
        super().__init__(" ".join(str(self.__doc__).split()))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other demos of this folder out until the block, or the process, ends."""
    handle = os.open(folder / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoUnderWay from None
        yield
    finally:
        os.close(handle)


async def demo(settings: Settings, sock: socket.socket | None = None) -> int:
    """Runs the demo; returns the process's exit code: 0 when both sides agree.

    With a bound socket it then serves the API of what it made, until somebody ends it. It never touches the database
    of `DATABASE_URL`: it has one of its own on the embedded server, made anew each time.
    """
    with _alone(settings.data_dir):
        return await _demo(settings, sock)


async def _demo(settings: Settings, sock: socket.socket | None) -> int:
    console = Console(highlight=False, soft_wrap=True)
    # Instantly's webhook is registered where this demo will listen
    public_url = None if sock is None else "http://{}:{}".format(*sock.getsockname())
    local = settings.model_copy(update={"database_url": None, "migration_database_url": None, "public_url": public_url})
    started = time.monotonic()
    clock = MovableClock()
    airtable, instantly = AirtableSandbox(clock=clock, seed=1), InstantlySandbox(clock=clock, seed=1)
    facts = seed_demo(airtable, instantly)
    rows = sum(len(table.records) for table in airtable.store.bases[facts.base_id].tables.values())
    console.print(
        f"[bold]Leadkeeper demo[/]: {rows:,} Airtable rows, {len(instantly.store.leads):,} Instantly leads"
        f" in {len(facts.campaign_ids)} campaigns, all local."
    )
    async with over_http(local, airtable, instantly, database=DATABASE) as world:
        summary = await reconcile(world, facts, console)
        summary.seconds = round(time.monotonic() - started, 1)
        show(summary, console)
        console.print(json.dumps({name: getattr(summary, name) for name in summary.__slots__}), markup=False)
        if sock is not None:
            await serve(world, facts, console, sock)
    return 0 if summary.agree else 1


async def serve(world: World, facts: DemoWorld, console: Console, sock: socket.socket) -> None:
    """Serves the API on what the demo made, syncing in the background, and says what to try."""
    key = await world.key("admin", acts_for=next(iter(SALESPEOPLE)))
    app = create_app(runtime=world.runtime)
    async with scheduled(world.runtime), app.router.lifespan_context(app), serving(app, sock) as url:
        for line in await _what_to_try(world, facts, url, key):
            console.print(line, markup=False)
        await until_ended()


async def _what_to_try(world: World, facts: DemoWorld, url: str, key: str) -> list[str]:
    """Lines to paste: an edit on either side, each about one lead that is in both."""
    async with world.transaction() as tx:
        connection = next(c for c in await connections.every(tx) if c.provider == "airtable")
        ids = [row["id"] for row in await links.of_connection(tx, connection.id)]
        known = await links.by_ids(tx, ids[:50], {connection.id: connection.view})
        prospect = _prospect(world)
        theirs = (await recipients.find(tx, [prospect]))[prospect]
    stored = next(s for s in known if s.lead_id is not None and s.link.writing)
    sandbox, auth = world.runtime.settings.airtable_api_url, f"-H 'Authorization: Bearer {key}'"
    as_json = "-H 'Content-Type: application/json'"
    edit = json.dumps({"table": facts.table_id, "record": stored.link.key, "fields": {"Title": "Head of Edits"}})
    lead = f"{url}/api/leads/{stored.lead_id}"
    reply = json.dumps({"lead": prospect.email, "campaign": prospect.campaign, "do": "reply", "positive": True})
    return [
        "",
        f"The API is on {url}, its documentation on {url}/docs. Ctrl-C ends the demo.",
        f"Your key (admin): {key}",
        "",
        "Edit a cell as a person would in Airtable, sync, and see the lead:",
        f"  curl -s {sandbox}/_sandbox/edit {as_json} -d '{edit}'",
        f"  curl -s -X POST '{url}/api/admin/sync/delta?wait=30' {auth}",
        f"  curl -s {lead} {auth}",
        "Edit the lead here; seconds later Airtable has it:",
        f"  curl -s -X PATCH {lead} {auth} -H 'Content-Type: application/merge-patch+json' -d '{{\"title\": \"CTO\"}}'",
        f"  sleep 5; curl -s '{sandbox}/v0/{facts.base_id}/{facts.table_id}/{stored.link.key}'"
        f" -H 'Authorization: Bearer {facts.token}'",
        "Reply as a prospect in Instantly; its webhook brings it within a second:",
        f"  curl -s {world.runtime.settings.instantly_api_url}/_sandbox/act {as_json} -d '{reply}'",
        f"  sleep 1; curl -s '{url}/api/leads/{theirs}/activity' {auth}",
    ]


def _prospect(world: World) -> recipients.Addressed:
    """Returns somebody in a campaign who has not answered yet."""
    fresh = next(
        row
        for row in world.instantly.store.leads.values()
        if row.email and row.status == 1 and not row.email_reply_count
    )
    return recipients.Addressed(fresh.campaign, str(fresh.email).lower())


async def _connect(
    world: World, console: Console, kind: str, config: dict[str, JSON], secret: dict[str, str], **settings: JSON
) -> UUID:
    """Connects a provider, shows the plan of its first contact, approves it, and sees it applied."""
    connection_id = await world.connect(kind, config, secret, **settings)
    async with _progress(world, console, f"Reading {kind.capitalize()} and planning"):
        await world.settle()
    await _show_plans(world, console)
    await world.approve(connection_id)
    async with _progress(world, console, "Applying the approved plan"):
        await world.settle()
    return connection_id


async def reconcile(world: World, facts: DemoWorld, console: Console) -> Summary:
    """Connects both providers, approves their plans, and reconciles three times."""
    summary = Summary()
    airtable = await _connect(
        world, console, "airtable", {"base_id": facts.base_id, "table_id": facts.table_id}, {"token": facts.token},
        create=CREATE,
    )  # fmt: skip
    instantly = await _connect(
        world, console, "instantly", {"campaign_ids": None, "pacing_seconds": 0.1}, {"api_key": facts.api_key}
    )
    await _settle_late_changes(world)
    for _ in range(2):
        async with _progress(world, console, "Reconciling again"):
            summary.again.append(await _again(world, [airtable, instantly]))
    found = await agreement.measure(world.runtime.db, world.tenant, airtable, world.airtable)
    summary.airtable_calls = len(world.airtable.sandbox.calls)
    summary.instantly_calls = len(world.instantly.sandbox.calls)
    summary.records, summary.cells_compared = found.records, found.cells
    summary.disagreements = [[str(part) for part in row] for row in found.disagreements[:10]]
    async with world.transaction() as tx:
        summary.leads = await leads.count(tx)
        summary.counters = await runs.sum_counters(tx)
        summary.open_items = await reviews.count_open(tx)
    summary.records_created = summary.counters.get("created_there", 0)
    written = sum(len(call.wrote) for call in world.airtable.sandbox.calls)
    summary.records_written = written - summary.records_created
    quiet = all(round_["records_written"] == 0 and round_["versions_moved"] == 0 for round_ in summary.again)
    summary.agree = found.holds and quiet
    return summary


async def _again(world: World, connection_ids: list[UUID]) -> dict[str, int]:
    calls = len(world.airtable.sandbox.calls)
    async with world.transaction() as tx:
        versions = await leads.sum_versions(tx)
        for connection_id in connection_ids:
            await runs.queue(tx, connection_id, "delta", "demo")
    await world.settle()
    async with world.transaction() as tx:
        moved = await leads.sum_versions(tx) - versions
    made = world.airtable.sandbox.calls[calls:]
    return {
        "airtable_calls": len(made),
        "records_written": sum(len(call.wrote) for call in made),
        "versions_moved": moved,
    }


async def _settle_late_changes(world: World) -> None:
    """Lets changes made a moment ago take their second to be noticed."""
    await asyncio.sleep(1.1)
    await world.settle()


async def _show_plans(world: World, console: Console) -> None:
    async with world.transaction() as tx:
        plans = await reviews.page(tx, ["plan"], ["open"], 10)
    for item in reversed(plans):
        name = (await world.connection(item["connection_id"])).name
        plan = item["evidence"]
        console.print(
            f"  [bold]{name}[/] plan: {plan['leads_created_here']:,} leads created and {plan['leads_changed_here']:,}"
            f" changed here, {plan['records_updated_there']:,} records written and {plan['records_created_there']:,}"
            f" created there, {plan['refused']:,} values refused. Approved."
        )


@contextlib.asynccontextmanager
async def _progress(world: World, console: Console, title: str) -> AsyncIterator[None]:
    """Shows how the runs get on while the block runs."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    if not console.is_terminal:
        console.print(f"{title} …")
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=None, note="")

        async def watch() -> None:
            while True:
                async with world.transaction() as tx:
                    under_way = [row for row in await runs.recent(tx, 4) if row["state"] == "running"]
                note = " · ".join(
                    f"{row['stage'] or 'start'} {row['progress'].get('done') or 0:,}" for row in under_way
                )
                progress.update(bar, note=note)
                await asyncio.sleep(0.25)

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            progress.update(bar, total=1, completed=1, note="done")


def show(summary: Summary, console: Console) -> None:
    """Prints the result as a short table."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    counters = summary.counters
    for name, value in (
        ("Leads in Postgres", f"{summary.leads:,}"),
        ("Airtable rows", f"{summary.records:,}"),
        ("Cells compared", f"{summary.cells_compared:,}, {len(summary.disagreements)} differ"),
        ("Rows written / created in Airtable", f"{summary.records_written:,} / {summary.records_created:,}"),
        ("Conflicts decided", f"{counters.get('conflicts', 0):,}"),
        ("Values refused by the policy", f"{counters.get('refused', 0):,}"),
        ("Waiting for a person", ", ".join(f"{n} {kind}" for kind, n in summary.open_items.items()) or "nothing"),
        ("Airtable / Instantly calls", f"{summary.airtable_calls:,} / {summary.instantly_calls:,}"),
        ("Written by a 2nd and 3rd reconciliation", ", ".join(str(r["records_written"]) for r in summary.again)),
        ("Both sides agree", "yes" if summary.agree else "NO"),
        ("Seconds", f"{summary.seconds}"),
    ):
        table.add_row(name, value)
    console.print(table)
