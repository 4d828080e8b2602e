"""The arena: a world over real HTTP with worker processes in it, people who edit on both sides, and a judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from app.db import leads
from app.db.session import Tx
from app.domain import notes
from app.lab import agreement, processes
from app.lab.processes import Stuck
from app.lab.sandboxes import KEY, TOKEN, furnished
from app.lab.scratch import Scratch
from app.lab.servers import serving
from app.lab.world import World, make
from app.runtime import opened
from app.sandbox.core import MovableClock
from app.settings import Settings
from app.sync import edit
from app.sync.canonical import canonical

SECRET = "a secret of the kills, not of anybody"  # noqa: S105 - encrypts the sandboxes' tokens
#: Seconds: a lease in the tests, and how long anything may take before it counts as stuck.
SHORT_LEASE, STUCK = 1.5, 60.0
ROWS = 40


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
        """Ends it at once."""
        await processes.kill(self.process)


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

    async def hire(self) -> Child:
        """Starts a worker process, which waits until it may begin."""
        name = f"worker-{len(self._children) + 1}"
        args = (name, str(self.folder / "settings.json"), str(self.lease_seconds))
        process = await processes.start("app.lab.kills.worker", *args, folder=self.folder, talks=True)
        child = Child(name, process)
        self._children.append(child)
        return child

    async def dismiss_all(self) -> None:
        """Ends every process that is left."""
        for child in self._children:
            await child.kill()

    async def edit(self) -> None:
        """People edit on both sides: cells of their own, notes, and new leads."""
        rows = list(self.world.table.records.values())
        for record in self.rng.sample(rows, 6):
            email = str(self.world.table.read(record).get("Email"))
            self._edits += 1
            word = f"edit {self._edits}"
            self.world.table.edit(record.id, {"Title": word})
            self.cells[email, "title"] = word
            await self._edit_here(email, f"{word} here")
        self._edits += 1
        email = f"made{self._edits}@here.test"

        async def create(tx: Tx) -> None:
            await edit.create(tx, canonical({"email": email, "full_name": "Made Here"}), actor="ann@team.test")

        await self.world.ask(create)
        self.created.add(email)

    async def _edit_here(self, email: str, word: str) -> None:
        async def work(tx: Tx) -> bool:
            lead_id = await tx.value("SELECT id FROM lead WHERE email = $1 AND deleted_at IS NULL", email)
            if lead_id is None:
                return False
            await edit.change(tx, lead_id, {"industry": word}, actor="ann@team.test")
            await edit.add_note(tx, lead_id, f"note {word}", actor="ann@team.test")
            return True

        if await self.world.ask(work):
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

        return await self.world.ask(work)

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

        return await self.world.ask(work)

    async def judge(self, outcome: Kills) -> None:
        """Compares both sides, and with what people did."""
        found = await agreement.measure(self.world.runtime.db, self.world.tenant, self.airtable, self.world.airtable)
        problems = outcome.problems
        if not found.holds:
            problems.append(f"no agreement: {found}")
        rows = [self.world.table.read(record) for record in self.world.table.records.values()]
        for column in ("CRM ID", "Email"):
            times = Counter(row[column] for row in rows if row.get(column))
            problems += [f"{n} rows have {column} {value}" for value, n in times.items() if n > 1]
        async with self.world.transaction() as tx:
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
    airtable, instantly = furnished(MovableClock(), (seed, seed))
    (base,) = airtable.store.bases.values()
    (table,) = base.tables.values()
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
