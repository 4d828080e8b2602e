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
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import httpx
import orjson

from app.db import leads, links, runs
from app.db.session import Tx
from app.domain import notes
from app.domain.identity import strong
from app.domain.merge import State
from app.errors import LeadkeeperError
from app.lab import agreement
from app.lab.simulated import CAMPAIGNS, PEOPLE, STATUSES, Crash, Simulated, simulated
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import Fault, FaultKind
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.instantly.store import Refused
from app.sync import edit

#: What may befall a call, without the two that are dealt one by one.
COMMON: tuple[FaultKind, ...] = tuple(k for k in get_args(FaultKind) if k not in ("quota", "iterator"))
FAULTY, CRASHING, EDITING, LATE = 0.3, 0.004, 0.06, 0.06
#: How many rows both sides edit far more often than the others.
HOT = 8
#: Airtable columns that only people there edit, and lead fields that only people here edit.
ONLY_THERE, ONLY_HERE = (
    {"Location": "location", "Source": "source"},
    {"industry": "Industry", "company_size": "Company Size"},
)
BOTH = {"Title": "title", "Company": "company_name", "Full Name": "full_name", "Phone": "phone"}
LADDER = ("contacted", "opened", "clicked", "replied", "booked", "lost", "won", "not_interested", "new")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a storm was, and what was wrong after it."""

    seed: int
    cycles: int
    problems: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    #: how often each kind of fault fired, and each kind of edit was made
    fired: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    crashes: int = 0
    turns: int = 0
    records: int = 0
    leads: int = 0
    conflicts: int = 0
    #: edits overwritten before anybody could read them
    unread: int = 0

    @property
    def holds(self) -> bool:
        """Tells whether everything is as it must be."""
        return not self.problems

    def __str__(self) -> str:
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(self.fired.items()))
        return (
            f"seed {self.seed}: {self.cycles} cycles, {self.turns} turns, {self.calls} calls, {self.crashes} crashes, "
            f"{sum(self.edits.values())} edits, {self.conflicts} conflicts decided, {self.unread} overwritten unread; "
            f"faults: {faults}; {self.records} records, {self.leads} leads; "
            + ("all is well" if self.holds else f"{len(self.problems)} PROBLEMS: " + " | ".join(self.problems[:12]))
        )


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
        await weather.calm_down()
        await weather.judge()
        return weather.outcome


class _Weather:
    """The driver of one storm."""

    def __init__(self, world: Simulated, outcome: Outcome) -> None:
        self.world = world
        self.outcome = outcome
        self.rng = random.Random(world.rng.randrange(1 << 30))
        self.number = 0
        self.blows = False
        self.dead = False
        self.airtable = self.instantly = UUID(int=0)
        self.oracle = _Oracle()
        self._deck: list[FaultKind] = []
        self._late_until = world.clock.now()
        self._owed: list[FaultKind] = []
        world.moments.happen = self._moment

    def note(self, text: str) -> None:
        self.outcome.trace.append(text)

    # The world before the storm ---------------------------------------------------------------------------------

    async def begin(self, rows: int, prospects: int) -> None:
        """Fills both sandboxes and connects them in fair weather."""
        table, store, rng = self.world.table, self.world.world.instantly.store, self.rng
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
                cells |= {"Claimed By": self._person_there(), "Claimed At": "2026-02-01T10:00:00.000Z"}
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
            await self.world.world.approve(connection_id)
        await self.world.settle()

    # Cycles -----------------------------------------------------------------------------------------------------

    async def cycle(self, number: int) -> None:
        """Lets a quarter of an hour pass with edits, a sync, and whatever befalls it."""
        rng, clock = self.rng, self.world.clock
        self.note(f"cycle {number}")
        if rng.random() < 0.3:
            self.world.skew.off_by = rng.uniform(-60, 60)
        every = max(1, self.outcome.cycles // 5)
        if number % every == 0:
            self._owed += ["quota", "iterator"]
        for _ in range(rng.randrange(10)):
            await self._edit(may_write=True)
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
            self.note("crash")
            await self.world.die()
            return True
        except LeadkeeperError as exc:
            self.note(f"turn failed: {exc}")
            return True
        return worked

    async def _release(self) -> None:
        """A person sees that a connection stopped, and lets it go on."""
        async with self.world.world.runtime.db.transaction(self.world.world.tenant) as tx:
            for connection_id in (self.airtable, self.instantly):
                released = await tx.run(
                    "UPDATE connection SET state = 'active', reason = NULL WHERE workspace_id = $1 AND id = $2"
                    " AND state = 'stopped'",
                    tx.workspace_id,
                    connection_id,
                )
                if released:
                    self.note("released")
                    await runs.queue(tx, connection_id, "delta", "released")

    async def _moment(self, name: str, request: httpx.Request | None, answer: httpx.Response | None) -> None:
        rng = self.rng
        if request is not None and "airtable" in request.url.host:
            self.oracle.hear(name, request, answer, self.world.table)
        if name.startswith("answer "):
            self._log(answer)
        if self.dead:
            raise Crash
        if not self.blows:
            return
        self.world.clock.advance(rng.choice((0.001, 0.003, 0.02)) if request is None else rng.uniform(0.05, 0.4))
        if rng.random() < EDITING:
            # a transaction that is about to commit holds its leads: nobody else can write them now
            await self._edit(may_write=name != "commit")
        if rng.random() < CRASHING:
            self.note(f"crash at {name}")
            self.dead = True
            raise Crash
        if self.world.late.kept and self.world.clock.now() >= self._late_until:
            await self._arrive_late()
        if name.startswith("call ") and request is not None:
            self._strike(request)

    async def _arrive_late(self) -> None:
        """A write whose caller gave up arrives after all."""
        oracle, table = self.oracle, self.world.table
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
            "api.airtable.com": self.world.world.airtable,
            "api.instantly.ai": self.world.world.instantly,
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
        airtable, instantly = self.world.world.airtable.sandbox, self.world.world.instantly.sandbox
        for sandbox in (airtable, instantly):
            sandbox.faults.active = [fault for fault in sandbox.faults.active if fault.count]
        last = max((s.calls[-1] for s in (airtable, instantly) if s.calls), key=lambda call: call.at)
        status = "no answer" if answer is None else answer.status_code
        self.note(f"{self.world.clock.now().isoformat()} {last.method} {last.path} {status} {last.fault or ''}")

    # Edits ------------------------------------------------------------------------------------------------------

    async def _edit(self, *, may_write: bool) -> None:
        """Somebody does something somewhere."""
        deeds: list[tuple[int, str, Callable[[], Awaitable[None]]]] = [
            (24, "cell there", self._cell_there),
            (6, "note there", self._note_there),
            (2, "row there", self._row_there),
            (1, "row gone there", self._delete_there),
            (8, "prospect", self._prospect),
        ]
        if may_write:
            deeds += [
                (24, "field here", self._field_here),
                (6, "note here", self._note_here),
                (6, "duel", self._duel),
                (3, "claim here", self._claim_here),
                (3, "lead here", self._lead_here),
                (1, "lead gone here", self._delete_here),
            ]
        _, name, deed = self.rng.choices(deeds, [weight for weight, _, _ in deeds])[0]
        self.outcome.edits[name] += 1
        await deed()

    def _word(self) -> str:
        self.number += 1
        return f"v{self.number}"

    def _person_there(self) -> str:
        people = sorted(self.world.base.collaborators.values(), key=lambda p: str(p.email))
        return str(self.rng.choice(people).id)

    def _row(self) -> Any:
        """Picks a row; every second time one of a few, so that both sides often edit the same."""
        rows = list(self.world.table.records.values())
        return self.rng.choice(rows[:HOT] if self.rng.random() < 0.5 else rows)

    async def _cell_there(self) -> None:
        row, rng, word = self._row(), self.rng, self._word()
        column = rng.choice(
            [*ONLY_THERE, *ONLY_THERE, *BOTH, "Status", "Campaigns", "Claimed By", "Needs Enrichment", "Email"]
        )
        value: Any = word
        match column:
            case "Status":
                value = rng.choice(STATUSES)
            case "Campaigns":
                value = sorted(rng.sample(CAMPAIGNS, rng.randrange(4))) or None
            case "Claimed By":
                value = None if rng.random() < 0.3 else self._person_there()
            case "Needs Enrichment":
                value = rng.random() < 0.5
            case "Full Name":
                value = rng.choice((f"Given{word} Family{word}", f"Given{word} van der Family", None))
            case "Phone":
                value = rng.choice((f"06 {20000000 + self.number}", f"+31 6 {20000000 + self.number}", None))
            case "Email":
                other = self.world.table.read(self._row()).get("Email")
                value = other if other and rng.random() < 0.2 else f"{word}@moved.test"
            case _ if rng.random() < 0.15:
                value = None
        self.world.table.edit(row.id, {column: value})
        if column in ONLY_THERE:
            self.oracle.there[row.id, column] = value
        self.oracle.touched(row.id, self.world.table.fields, column)
        self.note(f"there {row.id} {column} {value}")

    async def _note_there(self) -> None:
        row, word = self._row(), self._word()
        before = self.world.table.read(row).get("Notes")
        text = f"note {word} there"
        self.world.table.edit(row.id, {"Notes": f"{before}\n{text}" if before else text})
        self.oracle.notes_there.append((row.id, text))
        self.oracle.touched(row.id, self.world.table.fields, "Notes")
        self.note(f"there {row.id} {text}")

    async def _row_there(self) -> None:
        word, rng = self._word(), self.rng
        cells = {"Full Name": f"Given{word} Family{word}", "Email": f"{word}@there.test", "Status": "New"}
        if rng.random() < 0.3:
            cells["Email"] = self.world.table.read(self._row()).get("Email") or cells["Email"]
        row = self.world.table.create(cells)
        self.note(f"there new {row.id} {cells['Email']}")

    async def _delete_there(self) -> None:
        row = self._row()
        self.world.table.delete(row.id)
        self.note(f"there gone {row.id}")

    async def _prospect(self) -> None:
        rng, store = self.rng, self.world.world.instantly.store
        store.settle()
        lead = rng.choice(list(store.leads.values()))
        what = rng.choice(
            ("send", "open", "open", "click", "reply", "interest", "add", "delete", "move", "bounce", "unsubscribe")
        )
        match what:
            case "send":
                store.send(lead.id)
            case "open":
                store.open(lead.id)
            case "click":
                store.click(lead.id)
            case "reply":
                store.reply(lead.id, positive=rng.choice((True, False, None)))
            case "interest":
                store.set_interest(lead.id, rng.choice((1, 2, 3, 4, -1, -2, -3, 0, None)))
            case "add":
                campaign = rng.choice(list(store.campaigns))
                store.add_lead(campaign, email=f"{self._word()}@prospect.test", first_name="Pro", last_name="Spect")
            case "delete" if rng.random() < 0.3:
                store.delete(lead.id)
            case "move":
                try:
                    store.move(lead.id, rng.choice(list(store.campaigns)))
                except Refused:
                    what = "move refused"
            case "bounce" if rng.random() < 0.3:
                store.bounce(lead.id)
            case "unsubscribe" if rng.random() < 0.3:
                store.unsubscribe(lead.id)
        self.note(f"prospect {lead.email} {what}")

    async def _here(self, work: Callable[[Tx], Awaitable[Any]]) -> bool:
        """Does something as the API does; returns False where the API would refuse."""
        db, tenant = self.world.world.runtime.db, self.world.world.tenant
        try:
            async with db.transaction(tenant) as tx:
                await work(tx)
        except (LeadkeeperError, ValueError) as exc:
            self.note(f"here refused: {exc}")
            return False
        return True

    async def _lead(self) -> UUID | None:
        db, tenant = self.world.world.runtime.db, self.world.world.tenant
        async with db.transaction(tenant) as tx:
            rows = await tx.all(
                "SELECT id FROM lead WHERE workspace_id = $1 AND deleted_at IS NULL AND ($2::text[] IS NULL OR id IN"
                " (SELECT lead_id FROM link WHERE workspace_id = $1 AND remote_key = ANY($2))) ORDER BY id",
                tx.workspace_id,
                list(self.world.table.records)[:HOT] if self.rng.random() < 0.5 else None,
            )
        return self.rng.choice(rows)["id"] if rows else None

    async def _field_here(self) -> None:
        lead_id, rng, word = await self._lead(), self.rng, self._word()
        if lead_id is None:
            return
        name = rng.choice(
            [*ONLY_HERE, *ONLY_HERE, *BOTH.values(), "status", "campaigns", "needs_enrichment", "email", "custom"]
        )
        value: Any = word
        match name:
            case "status":
                value = rng.choice(LADDER)
            case "campaigns":
                value = sorted(rng.sample(CAMPAIGNS, rng.randrange(4))) or None
            case "needs_enrichment":
                value = rng.random() < 0.5
            case "full_name":
                value = rng.choice((f"Given{word} Family{word}", None))
            case "phone":
                value = rng.choice((f"+316{30000000 + self.number}", None))
            case "email":
                value = f"{word}@moved-here.test"
            case "custom":
                value = {"colour": word}
            case _ if rng.random() < 0.15:
                value = None

        async def work(tx: Tx) -> None:
            await edit.change(tx, lead_id, edit.canonical({name: value}), actor="ann@team.test")

        if await self._here(work) and name in ONLY_HERE:
            self.oracle.here[lead_id, name] = value
        self.note(f"here {lead_id} {name} {value}")

    async def _duel(self) -> None:
        """Two people edit the same field at the same time, one on each side."""
        row, column = self._row(), self.rng.choice(list(BOTH))
        db, tenant, word = self.world.world.runtime.db, self.world.world.tenant, self._word()
        async with db.transaction(tenant) as tx:
            lead_id = await tx.value(
                "SELECT l.id FROM link k JOIN lead l ON l.workspace_id = k.workspace_id AND l.id = k.lead_id WHERE"
                " k.workspace_id = $1 AND k.remote_key = $2 AND l.deleted_at IS NULL",
                tx.workspace_id,
                row.id,
            )
        if lead_id is None or column == "Phone":
            return

        async def work(tx: Tx) -> None:
            await edit.change(tx, lead_id, {BOTH[column]: f"here {word}"}, actor="ann@team.test")

        await self._here(work)
        self.world.table.edit(row.id, {column: f"there {word}"})
        self.oracle.touched(row.id, self.world.table.fields, column)
        self.note(f"duel {lead_id} {row.id} {column} {word}")

    async def _note_here(self) -> None:
        lead_id, text = await self._lead(), f"note {self._word()} here"
        if lead_id is None:
            return

        async def work(tx: Tx) -> None:
            await edit.add_note(tx, lead_id, text, actor="ben@team.test")

        if await self._here(work):
            self.oracle.notes_here.append((lead_id, text))
        self.note(f"here {lead_id} {text}")

    async def _claim_here(self) -> None:
        lead_id, who = await self._lead(), self.rng.choice(PEOPLE)
        if lead_id is None:
            return
        lets_go = self.rng.random() < 0.3

        async def work(tx: Tx) -> None:
            if lets_go:
                await edit.unclaim(tx, lead_id, actor=who, by=None)
            else:
                await edit.claim(tx, lead_id, by=who, actor=who)

        await self._here(work)
        self.note(f"here {lead_id} {'unclaim' if lets_go else 'claim'} {who}")

    async def _lead_here(self) -> None:
        word = self._word()
        email = f"{word}@here.test"

        async def work(tx: Tx) -> None:
            await edit.create(tx, edit.canonical({"email": email, "full_name": f"New {word}"}), actor="ann@team.test")

        await self._here(work)
        self.note(f"here new {email}")

    async def _delete_here(self) -> None:
        lead_id = await self._lead()
        if lead_id is None:
            return

        async def work(tx: Tx) -> None:
            await edit.delete(tx, lead_id, actor="ann@team.test")

        await self._here(work)
        self.note(f"here gone {lead_id}")

    # Afterwards -------------------------------------------------------------------------------------------------

    async def calm_down(self) -> None:
        """The quiet period: nobody edits, nothing fails, and everything that waits has its time."""
        self.note("calm")
        while self.world.late.kept:
            await self._arrive_late()
        for sandbox in (self.world.world.airtable.sandbox, self.world.world.instantly.sandbox):
            self.outcome.fired.update(sandbox.faults.fired)
            sandbox.faults.clear()
        self.world.clock.advance(3600)
        await self._release()
        for kind in ("delta", "full", "delta", "delta"):
            self.outcome.turns += await self.world.settle()
            if kind == "full":
                # what the deltas have missed must show before a full listing mends it
                await self._compare("after deltas only: ", with_deletes=False)
            # the longest back-off of a write that was refused
            self.world.clock.advance(6.5 * 3600)
            for connection_id in (self.airtable, self.instantly):
                await self.world.queue(connection_id, kind)
        self.outcome.turns += await self.world.settle()

    async def judge(self) -> None:
        """Compares what is there with what must be there."""
        await self._compare("", with_deletes=True)
        self.outcome.calls = len(self.world.world.airtable.sandbox.calls)
        self.outcome.unread = self.oracle.unread
        await self._judge_cells()
        await self._judge_oracle()
        await self._judge_quiet()

    async def _compare(self, when: str, *, with_deletes: bool) -> None:
        found = await agreement.measure(
            self.world.world.runtime.db,
            self.world.world.tenant,
            self.airtable,
            self.world.world.airtable,
            forgiven=frozenset({State.HELD.value}),
        )
        self.outcome.records = found.records
        problems = self.outcome.problems
        problems += [
            f"{when}{row} {name}: there {there!r}, here {here!r}" for row, name, there, here in found.disagreements
        ]
        problems += [f"{when}nobody knows {record}" for record in found.unknown]
        problems += [f"{when}two writing records have {email}" for email in found.duplicates]
        if with_deletes:
            problems += [f"{record} is gone and its link is not" for record in found.vanished]

    async def _judge_cells(self) -> None:
        stored = await self.world.world.connection(self.airtable)
        async with self.world.world.runtime.db.transaction(self.world.world.tenant) as tx:
            ids = [row["id"] for row in await links.of_connection(tx, self.airtable)]
            every = await links.by_ids(tx, ids, {self.airtable: stored.view})
            here = await leads.lock(tx, {s.lead_id for s in every if s.lead_id})
            self.outcome.leads = await leads.count(tx)
            self.outcome.conflicts = await tx.value("SELECT count(*) FROM review_item WHERE state = 'auto'")
            parked = await tx.all("SELECT remote_key, error FROM link WHERE error LIKE 'This record could not%'")
            unfinished = await tx.value("SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running')")
        problems = self.outcome.problems
        problems += [f"{row['remote_key']} is parked: {row['error']}" for row in parked]
        if unfinished:
            problems.append(f"{unfinished} runs are still open")
        for s in every:
            if s.ended or s.gone or not s.link.writing or s.lead_id is None or here[s.lead_id].lead.deleted:
                continue
            if s.is_new:
                problems.append(f"lead {s.lead_id} was never created there")
            for name, cell in s.link.cells.items():
                if cell.state in (State.PENDING, State.INFLIGHT, State.DIVERGED):
                    problems.append(f"{s.link.key} {name} is {cell.state.value}: {cell.reason}")
        crm = [self.world.table.read(r).get("CRM ID") for r in self.world.table.records.values()]
        twice = [value for value, times in Counter(c for c in crm if c).items() if times > 1]
        problems += [f"two records carry the lead {value}" for value in twice]

    async def _judge_oracle(self) -> None:
        stored = await self.world.world.connection(self.airtable)
        async with self.world.world.runtime.db.transaction(self.world.world.tenant) as tx:
            ids = [row["id"] for row in await links.of_connection(tx, self.airtable)]
            every = await links.by_ids(tx, ids, {self.airtable: stored.view})
            everybody = await tx.all("SELECT id FROM lead WHERE workspace_id = $1", tx.workspace_id)
            here = {lead_id: s.lead for lead_id, s in (await leads.lock(tx, [row["id"] for row in everybody])).items()}
        speaking = {
            s.link.key: here[s.lead_id]
            for s in every
            if s.lead_id and s.link.writing and not (s.gone or s.ended or s.is_new or here[s.lead_id].deleted)
        }
        problems, records = self.outcome.problems, self.world.table.records
        for (record_id, column), value in self.oracle.there.items():
            lead = speaking.get(record_id)
            if record_id not in records or lead is None:
                continue
            shown, held = self.world.table.read(records[record_id]).get(column), lead.values.get(ONLY_THERE[column])
            if (shown, held) != (value, value):
                what = f"was last edited there: {value!r}, now {shown!r} there, {held!r} here"
                problems.append(f"{record_id} {column} {what}")
        # a further record that becomes the one with a say begins with a first contact, where Airtable wins
        records_of = Counter(s.lead_id for s in every)
        for (lead_id, name), value in self.oracle.here.items():
            held = here[lead_id].values.get(name)
            if not here[lead_id].deleted and records_of[lead_id] < 2 and held != value:
                problems.append(f"lead {lead_id} {name} was last edited here: {value!r}, now {held!r}")
        for lead_id, text in self.oracle.notes_here:
            if not here[lead_id].deleted and text not in (notes.render(here[lead_id].values.get("notes")) or ""):
                problems.append(f"lead {lead_id} has lost {text!r}")
        for record_id, text in self.oracle.notes_there:
            lead = speaking.get(record_id)
            if record_id not in records or lead is None or (record_id, text) in self.oracle.lost_notes:
                continue
            if text not in (notes.render(lead.values.get("notes")) or ""):
                problems.append(f"{record_id} has lost {text!r}")
        emails = Counter(i for lead in here.values() if not lead.deleted for i in strong(lead.values))
        problems += [f"two leads have {identity}" for identity, times in emails.items() if times > 1]

    async def _judge_quiet(self) -> None:
        """The next delta writes nothing, there or here."""
        sandbox, db, tenant = self.world.world.airtable.sandbox, self.world.world.runtime.db, self.world.world.tenant
        calls = len(sandbox.calls)
        async with db.transaction(tenant) as tx:
            before = await leads.sum_versions(tx)
        for connection_id in (self.airtable, self.instantly):
            await self.world.queue(connection_id)
        await self.world.settle()
        async with db.transaction(tenant) as tx:
            moved = await leads.sum_versions(tx) - before
        wrote = [record for call in sandbox.calls[calls:] for record in call.wrote]
        if moved or wrote:
            self.outcome.problems.append(f"a delta without news moved {moved} versions and wrote {wrote}")


class _Oracle:
    """What people did, and what of it the service was never shown before it wrote the same cell."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], Any] = {}
        self.here: dict[tuple[UUID, str], Any] = {}
        self.notes_there: list[tuple[str, str]] = []
        self.notes_here: list[tuple[UUID, str]] = []
        self.lost_notes: set[tuple[str, str]] = set()
        self.unread = 0
        #: cells (record, column id) edited since the service saw them last
        self._unseen: set[tuple[str, str]] = set()
        self._notes_before: dict[str, list[str]] = {}

    def touched(self, record_id: str, fields: Any, column: str) -> None:
        """A person edited a cell."""
        column_id = next(f.id for f in fields.values() if f.name == column)
        self._unseen.add((record_id, column_id))

    def hear(self, name: str, request: httpx.Request, answer: httpx.Response | None, table: Any) -> None:
        """Listens to a call: what it shows the service, and what it overwrites."""
        body = orjson.loads(request.content or b"{}")
        notes_id = next(f.id for f in table.fields.values() if f.name == "Notes")
        if name.startswith("call PATCH"):
            self._notes_before = {
                record.id: str(record.values.get(notes_id) or "").splitlines() for record in table.records.values()
            }
        elif name.startswith("answer PATCH"):
            self._overwritten(body, table, notes_id)
        elif name.endswith("/listRecords") and answer is not None and answer.status_code == 200:
            self._shown(answer, set(body.get("fields", ())))

    def _shown(self, answer: httpx.Response, columns: set[str]) -> None:
        try:
            records = orjson.loads(answer.content)["records"]
        except (orjson.JSONDecodeError, KeyError):
            return
        for record in records:
            self._unseen -= {(record["id"], column) for column in columns}

    def _overwritten(self, body: Any, table: Any, notes_id: str) -> None:
        for written in body.get("records", ()):
            record = table.records.get(written.get("id"))
            if record is None:
                continue
            hit = {(record.id, column) for column in written["fields"]} & self._unseen
            self.unread += len(hit)
            self._unseen -= hit
            if (record.id, notes_id) in hit:
                now = str(record.values.get(notes_id) or "").splitlines()
                self.lost_notes |= {
                    (record.id, line) for line in self._notes_before.get(record.id, ()) if line not in now
                }
