"""The storm: people edit on all sides while the sync runs, providers fail, workers crash; afterwards everybody agrees.

One seed drives the data, the edits, the faults, the crashes and the clock. Edits happen between any two I/O calls of
the real stages. An oracle that knows nothing of the sync remembers what must not be lost:

- fields edited on one side only hold the last edit of that side, here and there;
- every note somebody added is in the lead's notes.

An edit in Airtable that was never shown to the service before the service's own write of that cell arrived is the one
known loss (Airtable has no compare-and-set); the oracle sees every call, so it forgives exactly those, and counts them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import httpx

from app.db import runs
from app.errors import LeadkeeperError
from app.lab.sandboxes import CAMPAIGNS, STATUSES
from app.lab.simulated import Crash, Simulated, simulated
from app.lab.storm.oracle import Judge, Outcome
from app.lab.storm.people import People
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import Fault, FaultKind
from app.sandbox.instantly import InstantlySandbox

#: What may befall a call, without the two that are dealt one by one.
COMMON: tuple[FaultKind, ...] = tuple(k for k in get_args(FaultKind) if k not in ("quota", "iterator"))
FAULTY, CRASHING, EDITING, LATE = 0.3, 0.004, 0.06, 0.15


async def storm(
    seed: int,
    cycles: int,
    database_url: str,
    *,
    rows: int = 110,
    prospects: int = 100,
    progress: Callable[[int], None] = lambda _cycle: None,
) -> Outcome:
    """Runs a storm on a migrated, empty database and says what became of the data."""
    async with simulated(database_url, seed) as world:
        weather = _Weather(world, Outcome(seed=seed, cycles=cycles))
        await weather.begin(rows, prospects)
        for cycle in range(cycles):
            await weather.cycle(cycle)
            progress(cycle + 1)
        judge = Judge(world, weather.outcome, weather.people.oracle, weather.airtable, weather.instantly)
        await weather.calm_down(judge)
        await judge.judge()
        return weather.outcome


class _Weather:
    """The driver of one storm."""

    def __init__(self, world: Simulated, outcome: Outcome) -> None:
        self.world = world
        self.outcome = outcome
        self.rng = random.Random(world.rng.randrange(1 << 30))
        self.people = People(world, outcome, self.rng)
        self.blows = False
        self.dead = False
        self.airtable = self.instantly = UUID(int=0)
        self._deck: list[FaultKind] = []
        self._late_until = world.clock.now()
        self._owed: list[FaultKind] = []
        world.moments.happen = self._moment

    # The world before the storm ---------------------------------------------------------------------------------

    async def begin(self, rows: int, prospects: int) -> None:
        """Fills both sandboxes and connects them in fair weather."""
        table, store, rng = self.world.table, self.world.instantly.store, self.rng
        for number in range(rows):
            cells: dict[str, Any] = {
                "Full Name": f"Given{number} Family{number}", "Email": f"person{number}@firm{number % 20}.test",
                "Status": rng.choice(STATUSES), "Company": f"Firm {number % 20}", "Title": f"Title {number}",
                "Phone": f"06 {10000000 + number}", "Location": "Utrecht", "Industry": "Bikes",
            }  # fmt: skip
            if rng.random() < 0.3:
                cells["Notes"] = f"first note of {number}\nwith two lines"
            if rng.random() < 0.3:
                cells["Campaigns"] = rng.sample(CAMPAIGNS, 2)
            if rng.random() < 0.2:
                cells |= {"Claimed By": self.people.person_there(), "Claimed At": "2026-02-01T10:00:00.000Z"}
            if rng.random() < 0.1:
                del cells["Email"]
            if number % 17 == 16:
                cells["Email"] = f"PERSON{number - 1}@firm{(number - 1) % 20}.test"
            table.create(cells)
            self.world.clock.advance(30)
        campaigns = [store.add_campaign(name) for name in ("Founders", "Agencies")]
        for number in range(prospects):
            person = number + rows // 2 if number < prospects * 2 // 3 else number - prospects // 2
            store.add_lead(
                campaigns[0 if number < prospects * 2 // 3 else 1].id,
                email=f"person{person}@firm{person % 20}.test",
                first_name=f"Given{person}",
                last_name=f"Family{person}",
                company_name=f"Firm {person % 20}",
                payload={"city": "Utrecht"} if rng.random() < 0.2 else None,
            )
        self.world.clock.advance(3600)
        create = {"created_by": ["user", "import"]}
        self.airtable = await self.world.connect_airtable(create=create, thresholds={"mass_delete": 1000})
        self.instantly = await self.world.connect_instantly()
        await self.world.settle()
        for connection_id in (self.airtable, self.instantly):
            await self.world.approve(connection_id)
        await self.world.settle()

    # Cycles -----------------------------------------------------------------------------------------------------

    async def cycle(self, number: int) -> None:
        """Lets a quarter of an hour pass with edits, a sync, and whatever befalls it."""
        rng, clock = self.rng, self.world.clock
        self.outcome.note(f"cycle {number}")
        if rng.random() < 0.3:
            self.world.skew.off_by = rng.uniform(-60, 60)
        every = max(1, self.outcome.cycles // 5)
        if number % every == 0:
            self._owed += ["quota", "iterator"]
        for _ in range(rng.randrange(10)):
            await self.people.edit(may_write=True)
            clock.advance(rng.choice((0, 0.4, 1, 7)))
        clock.advance(rng.uniform(60, 900))
        if rng.random() < 0.35:
            connection_id = rng.choice((self.airtable, self.instantly))
            kinds = ["delta", "delta", "full", "to_remote", "from_remote"]
            kinds += ["refresh"] if connection_id == self.instantly else []
            await self.world.queue(connection_id, rng.choice(kinds))
        self.blows = True
        try:
            for _ in range(rng.randrange(3, 9)):
                if not await self._turn():
                    break
        finally:
            self.blows = False
        await self._release()

    async def _turn(self) -> bool:
        """One turn, which may end in a crash."""
        try:
            worked = await self.world.turn()
            self.outcome.turns += int(worked)
        except Crash:
            self.dead = False
            self.outcome.crashes += 1
            self.outcome.note("crash")
            await self.world.die()
            return True
        except LeadkeeperError as exc:
            self.outcome.note(f"turn failed: {exc}")
            return True
        return worked

    async def _release(self) -> None:
        """A person sees that a connection stopped, and lets it go on."""
        async with self.world.transaction() as tx:
            for connection_id in (self.airtable, self.instantly):
                released = await tx.run(
                    "UPDATE connection SET state = 'active', reason = NULL WHERE workspace_id = $1 AND id = $2"
                    " AND state = 'stopped'",
                    tx.workspace_id,
                    connection_id,
                )
                if released:
                    self.outcome.note("released")
                    await runs.queue(tx, connection_id, "delta", "released")

    async def _moment(self, name: str, request: httpx.Request | None, answer: httpx.Response | None) -> None:
        rng = self.rng
        if request is not None and "airtable" in request.url.host:
            self.people.oracle.hear(name, request, answer, self.world.table)
        if name.startswith("answer "):
            self._log(answer)
        if self.dead:
            raise Crash
        if not self.blows:
            return
        self.world.clock.advance(rng.choice((0.001, 0.003, 0.02)) if request is None else rng.uniform(0.05, 0.4))
        if rng.random() < EDITING:
            # a transaction that is about to commit holds its leads: nobody else can write them now
            await self.people.edit(may_write=name != "commit")
        if rng.random() < CRASHING:
            self.outcome.note(f"crash at {name}")
            self.dead = True
            raise Crash
        if self.world.late.kept and self.world.clock.now() >= self._late_until:
            await self._arrive_late()
        if name.startswith("call ") and request is not None:
            self._strike(request)

    async def _arrive_late(self) -> None:
        """A write whose caller gave up arrives after all."""
        oracle, table = self.people.oracle, self.world.table
        oracle.hear("call PATCH", self.world.late.kept[0], None, table)
        request, answer = await self.world.late.deliver()
        oracle.hear("answer PATCH", request, answer, table)
        self.outcome.fired["late"] += 1
        self._log(answer)

    def _strike(self, request: httpx.Request) -> None:
        """Deals out one fault to the call that leaves now."""
        if request.method == "PATCH" and b"performUpsert" not in request.content and self.rng.random() < LATE:
            self.world.late.keeps_next = True
            self._late_until = self.world.clock.now() + timedelta(seconds=self.rng.uniform(1, 400))
            return
        sandboxes: dict[str, AirtableSandbox | InstantlySandbox] = {
            "api.airtable.com": self.world.airtable,
            "api.instantly.ai": self.world.instantly,
        }
        sandbox = sandboxes[request.url.host].sandbox
        rng, kind = self.rng, None
        is_list = request.url.path.endswith(("/listRecords", "/leads/list"))
        if self._owed and is_list:
            kind = self._owed.pop(0)
        elif rng.random() < FAULTY:
            if not self._deck:
                self._deck = [*COMMON, *COMMON]
                rng.shuffle(self._deck)
            kind = self._deck.pop()
        if kind is not None:
            sandbox.faults.add(
                Fault(
                    kind=kind,
                    count=1,
                    status=rng.choice((500, 503)),
                    retry_after=rng.choice((None, 1, 35)),
                    delay=rng.choice((0.5, 5, 19, 45)),
                )
            )

    def _log(self, answer: httpx.Response | None) -> None:
        airtable, instantly = self.world.airtable.sandbox, self.world.instantly.sandbox
        for sandbox in (airtable, instantly):
            sandbox.faults.active = [fault for fault in sandbox.faults.active if fault.count]
        last = max((s.calls[-1] for s in (airtable, instantly) if s.calls), key=lambda call: call.at)
        status = "no answer" if answer is None else answer.status_code
        self.outcome.note(f"{self.world.clock.now().isoformat()} {last.method} {last.path} {status} {last.fault or ''}")

    # Afterwards -------------------------------------------------------------------------------------------------

    async def calm_down(self, judge: Judge) -> None:
        """The quiet period: nobody edits, nothing fails, and everything that waits has its time."""
        self.outcome.note("calm")
        while self.world.late.kept:
            await self._arrive_late()
        for sandbox in (self.world.airtable.sandbox, self.world.instantly.sandbox):
            self.outcome.fired.update(sandbox.faults.fired)
            sandbox.faults.clear()
        self.world.clock.advance(3600)
        await self._release()
        for kind in ("delta", "full", "delta", "delta"):
            self.outcome.turns += await self.world.settle()
            if kind == "full":
                # what the deltas have missed must show before a full listing mends it
                await judge.compare("after deltas only: ", with_deletes=False)
            # the longest back-off of a write that was refused
            self.world.clock.advance(6.5 * 3600)
            for connection_id in (self.airtable, self.instantly):
                await self.world.queue(connection_id, kind)
        self.outcome.turns += await self.world.settle()
