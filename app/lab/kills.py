"""Kills: real processes, real sockets, real SIGKILLs, at seeded moments while a known stage is running.

A worker of its own process works against Postgres and against the sandboxes, which this process serves over HTTP. While
people edit on both sides it is killed, again and again; each kill counts only if the run ledger shows the stage it fell
into. Afterwards both sides must agree, nothing may be doubled, and every edit must be there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from app.db import embedded, leads, runs
from app.db.session import DatabaseUnavailable, Tx
from app.domain import notes
from app.lab import agreement
from app.lab.scratch import Scratch
from app.lab.servers import serving
from app.lab.simulated import COLUMNS, KEY, PEOPLE, TOKEN
from app.lab.world import World, make
from app.runtime import opened
from app.sandbox.airtable import AirtableSandbox, Table
from app.sandbox.core import MovableClock
from app.sandbox.instantly import InstantlySandbox
from app.settings import Settings
from app.sync import edit

T = TypeVar("T")
SECRET = "a secret of the kills, not of anybody"  # noqa: S105 - encrypts the sandboxes' tokens
#: Seconds: a lease in the tests, how long anything may take before it counts as stuck, how often we look.
SHORT_LEASE, STUCK, LOOK = 1.5, 60.0, 0.02
ROWS = 40


class Stuck(AssertionError):
    """Something that should happen soon did not happen."""


@dataclass(slots=True)
class Kills:
    """What was killed, and what was wrong afterwards."""

    seed: int
    #: the stage each kill fell into
    stages: list[str] = field(default_factory=list)
    #: seconds from a kill to the next worker's first own call
    takeovers: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tells whether everything is as it must be."""
        return not self.problems

    def __str__(self) -> str:
        stages = ", ".join(f"{n} in {stage}" for stage, n in sorted(Counter(self.stages).items()))
        return f"seed {self.seed}: {len(self.stages)} kills ({stages}); " + (
            "all is well" if self.holds else "PROBLEMS: " + " | ".join(self.problems[:10])
        )


@dataclass(slots=True)
class Child:
    """A worker process."""

    name: str
    process: asyncio.subprocess.Process

    async def begin(self) -> None:
        """Waits until it is ready, and lets it work."""
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), STUCK)
        if line != b"ready\n":
            raise Stuck(f"{self.name} did not start.")
        self.process.stdin.write(b"go\n")
        await self.process.stdin.drain()

    async def kill(self) -> None:
        """Ends it at once, as the kernel would."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@dataclass(slots=True, kw_only=True)
class Arena:
    """A world over real HTTP, and the processes that work in it."""

    world: World
    folder: Path
    rng: random.Random
    lease_seconds: float
    airtable: UUID = field(default_factory=lambda: UUID(int=0))
    instantly: UUID = field(default_factory=lambda: UUID(int=0))
    #: what must be in a lead's notes at the end, and what a cell must hold
    texts: list[tuple[str, str]] = field(default_factory=list)
    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    _children: list[Child] = field(default_factory=list)
    _edits: int = 0

    @property
    def table(self) -> Table:
        """The one table of the sandbox Airtable."""
        base = next(iter(self.world.airtable.store.bases.values()))
        return next(iter(base.tables.values()))

    async def hire(self) -> Child:
        """Starts a worker process, which waits until it may begin."""
        name = f"worker-{len(self._children) + 1}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.lab.worker_process", name, str(self.folder / "settings.json"),
            str(self.lease_seconds),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        child = Child(name, process)
        self._children.append(child)
        return child

    async def dismiss_all(self) -> None:
        """Ends every process that is left."""
        for child in self._children:
            await child.kill()

    async def ask(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Does something in a transaction, also while the database comes back."""
        deadline = time.monotonic() + STUCK
        while True:
            try:
                async with self.world.runtime.db.transaction(self.world.tenant) as tx:
                    return await work(tx)
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def queue(self, connection_id: UUID, kind: str = "delta") -> None:
        """Asks for a run."""

        async def work(tx: Tx) -> None:
            await runs.queue(tx, connection_id, kind, "kills")

        await self.ask(work)

    async def edit(self) -> None:
        """People edit on both sides: cells of their own, notes, and new leads."""
        rows = list(self.table.records.values())
        for record in self.rng.sample(rows, 6):
            email = str(self.table.read(record).get("Email"))
            self._edits += 1
            word = f"edit {self._edits}"
            self.table.edit(record.id, {"Title": word})
            self.cells[email, "title"] = word
            await self._edit_here(email, f"{word} here")
        self._edits += 1
        email = f"made{self._edits}@here.test"

        async def create(tx: Tx) -> None:
            await edit.create(tx, edit.canonical({"email": email, "full_name": "Made Here"}), actor="ann@team.test")

        await self.ask(create)
        self.created.add(email)

    async def _edit_here(self, email: str, word: str) -> None:
        async def work(tx: Tx) -> bool:
            lead_id = await tx.value("SELECT id FROM lead WHERE email = $1 AND deleted_at IS NULL", email)
            if lead_id is None:
                return False
            await edit.change(tx, lead_id, {"industry": word}, actor="ann@team.test")
            await edit.add_note(tx, lead_id, f"note {word}", actor="ann@team.test")
            return True

        if await self.ask(work):
            self.cells[email, "industry"] = word
            self.texts.append((email, f"note {word}"))

    async def stage(self) -> str | None:
        """Returns the stage of a run that is under way, or None."""

        async def work(tx: Tx) -> str | None:
            row = await tx.one(
                "SELECT r.stage FROM sync_run r JOIN connection c ON c.workspace_id = r.workspace_id"
                " AND c.id = r.connection_id WHERE r.state = 'running' AND r.stage IS NOT NULL"
                " AND c.lease_until > clock_timestamp() ORDER BY r.started_at LIMIT 1"
            )
            sent = await tx.value(
                "SELECT count(*) FROM write_attempt WHERE outcome = 'sent'"
                " AND at > clock_timestamp() - interval '0.5 s'"
            )
            if row is None:
                return None
            return f"{row['stage']} (a write in the air)" if sent else str(row["stage"])

        return await self.ask(work)

    async def until(self, claim: Callable[[], Awaitable[bool]], what: str, seconds: float = STUCK) -> None:
        """Waits until something is so."""
        deadline = time.monotonic() + seconds
        while not await claim():
            if time.monotonic() > deadline:
                raise Stuck(f"After {seconds:.0f} s it is still not so that {what}.")
            await asyncio.sleep(LOOK)

    async def is_done(self) -> bool:
        """Tells whether nothing is left to do."""

        async def work(tx: Tx) -> bool:
            left = await tx.value(
                "SELECT (SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running'))"
                " + (SELECT count(*) FROM link WHERE push_due OR dirty)"
                " + (SELECT count(*) FROM connection c WHERE c.lease_owner IS NOT NULL OR (c.pushes AND EXISTS ("
                "SELECT FROM lead l WHERE l.changed_xid >= c.lead_xid)))"
            )
            return not left

        return await self.ask(work)

    async def judge(self, outcome: Kills) -> None:
        """Compares both sides, and with what people did."""
        found = await agreement.measure(self.world.runtime.db, self.world.tenant, self.airtable, self.world.airtable)
        problems = outcome.problems
        if not found.holds:
            problems.append(f"no agreement: {found}")
        rows = [self.table.read(record) for record in self.table.records.values()]
        for column in ("CRM ID", "Email"):
            times = Counter(row[column] for row in rows if row.get(column))
            problems += [f"{n} rows have {column} {value}" for value, n in times.items() if n > 1]
        async with self.world.runtime.db.transaction(self.world.tenant) as tx:
            ids = [row["id"] for row in await tx.all("SELECT id FROM lead WHERE deleted_at IS NULL")]
            here = {s.lead.values.get("email"): s.lead for s in (await leads.lock(tx, ids)).values()}
        for (email, name), value in self.cells.items():
            if here[email].values.get(name) != value:
                problems.append(f"{email} {name} was {value!r}, now {here[email].values.get(name)!r}")
        for email, text in self.texts:
            if text not in (notes.render(here[email].values.get("notes")) or ""):
                problems.append(f"{email} has lost {text!r}")
        there = {row.get("Email") for row in rows}
        problems += [f"{email} was never created there" for email in sorted(self.created - there)]


@contextlib.asynccontextmanager
async def arena(
    place: Scratch, seed: int, *, name: str, lease_seconds: float = SHORT_LEASE, rows: int = ROWS
) -> AsyncIterator[Arena]:
    """Opens a world over HTTP on a database of its own; every process started in it ends with it."""
    clock = MovableClock()
    airtable, instantly = AirtableSandbox(clock=clock, seed=seed), InstantlySandbox(clock=clock, seed=seed)
    airtable.switches.limiter, instantly.switches.rate_limits = False, False
    base = airtable.store.add_base("Sales")
    table = base.add_table("Leads", COLUMNS)
    for email in PEOPLE:
        base.add_collaborator(email, email.partition("@")[0].capitalize())
    airtable.store.add_token(TOKEN)
    instantly.store.add_key(KEY)
    campaign = instantly.store.add_campaign("Founders")
    for number in range(rows):
        email = f"person{number}@firm.test"
        table.create({"Full Name": f"Given{number} Family{number}", "Email": email, "Status": "New"})
        instantly.store.add_lead(campaign.id, email=email, first_name=f"Given{number}", last_name=f"Family{number}")
    url = await place.database(name)
    async with contextlib.AsyncExitStack() as stack:
        airtable_url = await stack.enter_async_context(serving(airtable.app))
        instantly_url = await stack.enter_async_context(serving(instantly.app))
        given = {
            "database_url": url, "airtable_api_url": airtable_url, "instantly_api_url": instantly_url,
            "secret_key": SECRET, "scheduler_tick_seconds": 0.1, "database_pool": 4,
        }  # fmt: skip
        folder = place.folder / name
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(given))
        settings = Settings.model_validate(given)
        runtime = await stack.enter_async_context(opened(settings))
        world = await make(runtime, airtable, instantly)
        ring = Arena(world=world, folder=folder, rng=random.Random(seed), lease_seconds=lease_seconds)
        stack.push_async_callback(ring.dismiss_all)
        config = {"base_id": base.id, "table_id": table.id}
        ring.airtable = await world.connect("airtable", config, {"token": TOKEN}, auto_approve=True)
        ring.instantly = await world.connect(
            "instantly", {"campaign_ids": None, "pacing_seconds": 0}, {"api_key": KEY}, auto_approve=True
        )
        yield ring


async def kill_workers(place: Scratch, seed: int, kills: int, *, lease_seconds: float = SHORT_LEASE) -> Kills:
    """Kills a worker so many times while it works."""
    outcome = Kills(seed)
    async with arena(place, seed, name="killed_workers", lease_seconds=lease_seconds) as ring:
        worker, standby = await ring.hire(), await ring.hire()
        await worker.begin()
        while len(outcome.stages) < kills:
            await _make_work(ring)
            await _in_a_stage(ring)
            await worker.kill()
            if (stage := await ring.stage()) is not None:
                outcome.stages.append(stage)
            worker, standby = standby, await ring.hire()
            await worker.begin()
        await _finish(ring, outcome)
    return outcome


async def kill_postgres(place: Scratch, seed: int, kills: int) -> Kills:
    """Stops the database at once, so many times, while a worker works on it."""
    outcome = Kills(seed)
    async with arena(place, seed, name="killed_postgres") as ring:
        worker = await ring.hire()
        await worker.begin()
        while len(outcome.stages) < kills:
            await _make_work(ring)
            stage = await _in_a_stage(ring)
            await asyncio.to_thread(place.server.stop, immediate=True)
            place.server = await asyncio.to_thread(embedded.start, place.folder / "pg")
            if stage is not None:
                outcome.stages.append(stage)
        if worker.process.returncode is not None:
            outcome.problems.append("the worker did not survive the database")
        await _finish(ring, outcome)
    return outcome


async def _make_work(ring: Arena) -> None:
    await ring.edit()
    await ring.queue(ring.airtable, ring.rng.choice(("delta", "full")))
    await ring.queue(ring.instantly)


async def _in_a_stage(ring: Arena) -> str | None:
    """Waits until a stage is running, and then for a seeded moment more; returns the stage it is in now."""
    wanted = ring.rng.choice(("pull", "reconcile", "push", "sweep", "air"))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not await ring.is_done():
        stage = await ring.stage()
        if stage is not None and wanted in stage:
            break
        await asyncio.sleep(LOOK)
    await asyncio.sleep(ring.rng.uniform(0, 0.03))
    return await ring.stage()


async def _finish(ring: Arena, outcome: Kills) -> None:
    for connection_id in (ring.airtable, ring.instantly):
        await ring.queue(connection_id, "full")
    try:
        await ring.until(ring.is_done, "nothing is left to do")
    except Stuck as exc:
        outcome.problems.append(str(exc))
    await ring.judge(outcome)


async def two_instances(place: Scratch, seed: int, *, lease_seconds: float) -> Kills:
    """Kills one of two workers in the middle of its work and sees how soon the other one goes on."""
    outcome = Kills(seed)
    async with arena(place, seed, name=f"two_{seed}", lease_seconds=lease_seconds) as ring:
        both = [await ring.hire(), await ring.hire()]
        for child in both:
            await child.begin()
        await ring.until(ring.is_done, "both connections are in step")
        await _make_work(ring)
        dead: Child | None = None
        deadline = time.monotonic() + STUCK
        while dead is None and time.monotonic() < deadline:
            owner = await _owner_in_a_stage(ring)
            dead = next((child for child in both if child.name == owner), None)
        if dead is None:
            outcome.problems.append("no worker was ever seen at work")
            return outcome
        await dead.kill()
        killed, sandbox = time.monotonic(), ring.world.airtable.sandbox
        stage = await ring.stage()
        calls = len(sandbox.calls)
        outcome.stages.append(stage or "between two stages")

        async def is_taken_over() -> bool:
            await asyncio.sleep(0)
            return any(dead.name not in call.agent for call in sandbox.calls[calls:])

        await ring.until(is_taken_over, "the other worker has taken over")
        outcome.takeovers.append(time.monotonic() - killed)
        await _finish(ring, outcome)
        # what was on its way into the socket when it died may still arrive; nothing may follow it
        late = [call for call in sandbox.calls[calls + 1 :] if dead.name in call.agent and call.wrote]
        outcome.problems += [f"the dead {dead.name} wrote {call.wrote}" for call in late]
    return outcome


async def _owner_in_a_stage(ring: Arena) -> str | None:
    async def work(tx: Tx) -> Any:
        return await tx.value(
            "SELECT c.lease_owner FROM connection c JOIN sync_run r ON r.workspace_id = c.workspace_id"
            " AND r.connection_id = c.id WHERE r.state = 'running' AND r.stage IS NOT NULL AND c.id = $1",
            ring.airtable,
        )

    found: str | None = await ring.ask(work)
    return found
