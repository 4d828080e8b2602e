"""What must be true after a storm, from what people did, without asking the sync.

The oracle knows nothing of the sync: it remembers what people did and listens to the calls. The judge compares what is
there, on both sides, with what the oracle remembers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import orjson

from app.db import leads, links
from app.domain import notes
from app.domain.cells import State
from app.domain.identity import strong
from app.lab import agreement
from app.lab.simulated import Simulated

#: Airtable columns that only people there edit, and lead fields that only people here edit.
ONLY_THERE, ONLY_HERE = (
    {"Location": "location", "Source": "source"},
    {"industry": "Industry", "company_size": "Company Size"},
)


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

    def note(self, text: str) -> None:
        """Adds a line to the trace."""
        self.trace.append(text)

    def __str__(self) -> str:
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(self.fired.items()))
        return (
            f"seed {self.seed}: {self.cycles} cycles, {self.turns} turns, {self.calls} calls, {self.crashes} crashes, "
            f"{sum(self.edits.values())} edits, {self.conflicts} conflicts decided, {self.unread} overwritten unread; "
            f"faults: {faults}; {self.records} records, {self.leads} leads; "
            + ("all is well" if self.holds else f"{len(self.problems)} PROBLEMS: " + " | ".join(self.problems[:12]))
        )


class Oracle:
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


class Judge:
    """Compares what is there after a storm with what must be there."""

    def __init__(self, world: Simulated, outcome: Outcome, oracle: Oracle, airtable: UUID, instantly: UUID) -> None:
        self.world = world
        self.outcome = outcome
        self.oracle = oracle
        self.airtable = airtable
        self.instantly = instantly

    async def judge(self) -> None:
        """Compares what is there with what must be there."""
        await self.compare("", with_deletes=True)
        self.outcome.calls = len(self.world.airtable.sandbox.calls)
        self.outcome.unread = self.oracle.unread
        await self._judge_cells()
        await self._judge_oracle()
        await self._judge_quiet()

    async def compare(self, when: str, *, with_deletes: bool) -> None:
        """Compares what both sides show now."""
        found = await agreement.measure(
            self.world.runtime.db,
            self.world.tenant,
            self.airtable,
            self.world.airtable,
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
        stored = await self.world.connection(self.airtable)
        async with self.world.transaction() as tx:
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
        stored = await self.world.connection(self.airtable)
        async with self.world.transaction() as tx:
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
        # a further record that becomes the one with a say begins with a first contact: two values meet the strategy,
        # an empty one takes the other side's
        records_of = Counter(s.lead_id for s in every)
        for (record_id, column), value in self.oracle.there.items():
            lead = speaking.get(record_id)
            if record_id not in records or lead is None or records_of[UUID(lead.id)] > 1:
                continue
            shown, held = self.world.table.read(records[record_id]).get(column), lead.values.get(ONLY_THERE[column])
            if (shown, held) != (value, value):
                what = f"was last edited there: {value!r}, now {shown!r} there, {held!r} here"
                problems.append(f"{record_id} {column} {what}")
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
        sandbox = self.world.airtable.sandbox
        calls = len(sandbox.calls)
        async with self.world.transaction() as tx:
            before = await leads.sum_versions(tx)
        for connection_id in (self.airtable, self.instantly):
            await self.world.queue(connection_id)
        await self.world.settle()
        async with self.world.transaction() as tx:
            moved = await leads.sum_versions(tx) - before
        wrote = [record for call in sandbox.calls[calls:] for record in call.wrote]
        if moved or wrote:
            self.outcome.problems.append(f"a delta without news moved {moved} versions and wrote {wrote}")
