"""Model: the policy core alone, driven through everything that can happen between two systems.

A store in memory stands in for Postgres and the stages: leads, links, one worker per connection that goes through the
protocol of `sync/` step by step (page, reconcile, re-read, store in flight, send, record the answer). Between any two
steps people edit here and there, workers crash, answers get lost, writes land late, pages come late or twice, mappings
change. Then everybody is quiet, and what must hold is checked. One seed decides everything.

What Airtable cannot prevent is part of the model: a write lands on whatever the cell holds by then.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain import mapping, notes
from app.domain.identity import Identity, strong
from app.domain.lead import Action, Connection, Lead, Link, OpenConflict, Origin, Refuse, SetCell, SetField
from app.domain.mapping import Mapped, MappingError
from app.domain.merge import Cell, Conflict, Sent, State, Strategy, confirmed, later
from app.domain.normalize import Unreadable
from app.domain.plan import apply, edit, plan
from app.domain.policy import COUNTERS, Rule, Source
from app.domain.values import JSON, MISSING, is_empty
from app.providers.base import Column

START = "2026-03-02T08:00:00.000Z"
#: How long what was read is believed, and how long a write may be in the air.
FRESH, IN_THE_AIR = 3.0, 23.0
#: Steps between two quiet periods; a longer run is many of these.
EPISODE = 250
#: Turns after which a quiet world must have come to rest.
PATIENCE = 40
TEXTS = ("title", "company_name", "full_name", "first_name", "custom.tier")
TYPES = {"status": "singleSelect", "verified": "checkbox", "campaigns": "multipleSelects"}
OPTIONS = {
    "New": "new", "Contacted": "contacted", "Called": "contacted", "Opened": "opened", "Replied": "replied",
    "Won": "won",
}  # fmt: skip
TWO_WAY = (*TEXTS, "email", "phone", "status", "verified", "notes", "campaigns", "claimed_by", "claimed_at")
#: Reasons for which two sides may differ for good: a person has to settle these.
ACCEPTED = ("the mapping changed", "the other side undid")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run was, and what was wrong."""

    seed: int
    steps: int
    problems: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    #: how often each kind of thing happened
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        """Tells whether everything is as it must be."""
        return not self.problems


def run(seed: int, steps: int = EPISODE) -> Outcome:
    """Plays `steps` steps, in episodes that each end in a quiet period, and tells what did not hold.

    The trace of one episode is complete; of many, each episode is one line, and those that failed are complete.
    """
    if steps <= EPISODE:
        return World(seed).play(steps)
    whole = Outcome(seed=seed, steps=steps)
    for number in range(-(-steps // EPISODE)):
        part = World(seed * 1_000_003 + number).play(min(EPISODE, steps - number * EPISODE))
        digest = hashlib.sha256("\n".join(part.trace).encode()).hexdigest()[:16]
        whole.trace += [f"seed {part.seed}: {digest}", *(part.trace if part.problems else ())]
        whole.problems += [f"seed {part.seed}: {problem}" for problem in part.problems]
        whole.happened += part.happened
    return whole


@dataclass(slots=True, kw_only=True)
class Tied:
    """A remote record and the link that ties it to a lead."""

    link: Link
    lead: str
    #: what the record shows now: by column, or by field where the source has no columns
    cells: dict[str, JSON]
    modified_at: str
    dirty: bool = True
    next_attempt: str = ""


@dataclass(slots=True, kw_only=True)
class Writing:
    """One record's write, from its values to its answer."""

    tied: Tied
    cells: dict[str, JSON]
    fields: list[str]
    #: a write whose worker is gone can land until then
    until: str


@dataclass(slots=True, kw_only=True)
class Page:
    """What a listing showed, with the time it was asked for."""

    side: Side
    version: int
    started: str
    shown: dict[str, tuple[dict[str, JSON], str]]


@dataclass(slots=True, kw_only=True)
class Side:
    """One connection: its records, its worker, and what is still under way."""

    connection: Connection
    records: dict[str, Tied] = field(default_factory=dict)
    worker: Generator[str, None, None] | None = None
    sending: list[Writing] = field(default_factory=list)
    in_the_air: list[Writing] = field(default_factory=list)
    #: the names of the status options, which somebody may change
    options: dict[str, str] = field(default_factory=lambda: dict(OPTIONS))

    @property
    def is_table(self) -> bool:
        return self.connection.source is Source.AIRTABLE

    def two_way(self) -> list[Mapped]:
        return [m for m in self.connection.mapping.fields.values() if m.direction == "both"] if self.is_table else []


class World:
    """Leads, connections, people and accidents."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seconds = 0.0
        self.typed = 0
        self.quiet = False
        self.outcome = Outcome(seed=seed, steps=0)
        self.leads: dict[str, Lead] = {}
        self.sides: list[Side] = []
        self.late: list[Page] = []
        #: every value that a lead had, or that is kept for a person to see, by lead and field
        self.kept: dict[tuple[str, str], list[JSON]] = {}
        #: every line somebody added to the notes, and whether we were ever shown it
        self.lines: dict[str, list[str]] = {}
        #: few fields, so that people meet in them
        self.fields = self.rng.sample(TWO_WAY, self.rng.randint(3, 7))
        self._furnish()

    # --- the world ------------------------------------------------------------------------------------------------

    def _furnish(self) -> None:
        for number in range(self.rng.choice((1, 2, 2))):
            lead = Lead(id=f"lead{number}")
            self.leads[lead.id] = lead
            self.lines[lead.id] = []
            self.kept |= {(lead.id, name): [value] for name, value in lead.values.items()}
            first = {"email": f"person{number}@example.com", "title": self._token(), "notes": self._entries(lead.id)}
            some = {name: value for name, value in first.items() if name == "email" or self.rng.random() < 0.7}
            self._take_edit(lead.id, some)
        for number in range(self.rng.choice((1, 1, 2))):
            self._add_table(number)
        for number in range(self.rng.choice((0, 1, 1))):
            self._add_campaign(number)

    def _add_table(self, number: int) -> None:
        strategy = self.rng.choice(tuple(Strategy))
        fields = ["email", *(name for name in self.fields if name != "email" and self.rng.random() < 0.9)]
        side = Side(
            connection=Connection(
                id=f"table{number}", source=Source.AIRTABLE, strategy=strategy, rank=(number, "", ""),
                mapping=_table(fields, OPTIONS, 1, {}, pull=self.rng.choice(("", "", "title"))),
            )
        )  # fmt: skip
        for lead in self.leads.values():
            cells: dict[str, JSON] = {f"fld-{name}": None for name in fields}
            side.records[lead.id] = self._tie(side, lead.id, cells)
            for name in fields:
                if name == "verified" or self.rng.random() < 0.4:
                    self._type_there(side, lead.id, name)
            cells["fld-email"] = lead.values["email"]
        self.sides.append(side)

    def _add_campaign(self, number: int) -> None:
        table = mapping.incoming(Source.INSTANTLY)
        side = Side(
            connection=Connection(id=f"campaign{number}", source=Source.INSTANTLY, mapping=table, rank=(9, "", ""))
        )
        for lead in self.leads.values():
            cells = {"email": lead.values["email"], "status": None, "metadata": {}, **dict.fromkeys(COUNTERS, 0)}
            side.records[lead.id] = self._tie(side, lead.id, cells)
        self.sides.append(side)

    def _tie(self, side: Side, lead: str, cells: dict[str, JSON]) -> Tied:
        key = f"{side.connection.id}/{lead}"
        link = Link(id=key, connection=side.connection, key=key, epoch="1", namespace="" if side.is_table else key)
        return Tied(link=link, lead=lead, cells=cells, modified_at=self.now())

    def now(self) -> str:
        return later(START, self.seconds)

    def note(self, kind: str, what: str = "") -> None:
        self.outcome.happened[kind] += 1
        self.outcome.trace.append(f"{self.seconds:.3f} {kind} {what}")

    def fail(self, problem: str) -> None:
        self.outcome.problems.append(problem)
        self.note("PROBLEM", problem)

    def play(self, steps: int) -> Outcome:
        """Lets things happen, then waits until everybody is quiet, and checks."""
        self.outcome.steps = steps
        for _ in range(steps):
            self.seconds += self.rng.choice((0.005, 0.02, 0.1, 0.4))
            self._step()
        self._come_to_rest()
        self._check()
        return self.outcome

    def _step(self) -> None:
        chance = self.rng.random()
        side = self.rng.choice(self.sides)
        if chance < 0.10:
            self._edit_here(self.rng.choice(sorted(self.leads)))
        elif chance < 0.22:
            self._edit_there(side)
        elif chance < 0.25:
            self._crash(side)
        elif chance < 0.28 and self.late:
            self._store(self.late.pop(self.rng.randrange(len(self.late))))
        elif chance < 0.33:
            self._land_late(side)
        elif chance < 0.35:
            self.seconds += self.rng.choice((3, 30, 30, 1200))
            self.note("time passes")
        elif chance < 0.37:
            self._resolve(side)
        elif chance < 0.375 and side.is_table:
            self._change_mapping(side)
        else:
            self._work(side)

    def _work(self, side: Side) -> None:
        side.worker = side.worker or self._turn(side)
        step = next(side.worker, None)
        if step is None:
            side.worker = None
        else:
            self.note(step, side.connection.id)

    def _crash(self, side: Side) -> None:
        """The worker is gone between two steps; a call it had begun may still arrive."""
        if side.worker is None:
            return
        self.note("crashes", side.connection.id)
        if self.rng.random() < 0.5:
            side.in_the_air += side.sending
        side.sending, side.worker = [], None

    def _land_late(self, side: Side) -> None:
        if side.in_the_air:
            writing = side.in_the_air.pop(0)
            if self.now() < writing.until:
                self.note("a write lands late", writing.tied.link.key)
                self._write(writing)

    # --- people ---------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        self.typed += 1
        return f"word {self.typed}"

    def _line(self, lead: str) -> str:
        self.lines[lead].append(f"note {len(self.lines[lead])}")
        return self.lines[lead][-1]

    def _entries(self, lead: str) -> JSON:
        entries = [list(e) for e in self.leads[lead].values.get("notes") or []]
        return [*entries, notes.entry(self._line(lead), at=self.now(), by="a person")]

    def _edit_here(self, lead: str) -> None:
        name = self.rng.choice(self.fields)
        self._take_edit(lead, {name: self._value_here(lead, name)})

    def _value_here(self, lead: str, name: str) -> JSON:
        known = [value for value in self.kept.get((lead, name), ()) if name in TEXTS]
        match name:
            case "status":
                return self.rng.choice(sorted(set(OPTIONS.values())))
            case "verified":
                return not self.leads[lead].values.get("verified")
            case "campaigns":
                return sorted(self.rng.sample(("a", "b", "c", "d"), self.rng.randint(0, 3))) or None
            case "notes":
                return self._entries(lead)
            case "email":
                return f"{self._token().replace(' ', '')}@example.com"
            case "phone":
                return self.rng.choice((None, f"+3161234{self.rng.randint(1000, 9999)}"))
            case "claimed_by":
                return self.rng.choice((None, "ann@example.com", "bob@example.com"))
            case "claimed_at":
                return self.now()
        if known and self.rng.random() < 0.2:
            return self.rng.choice(known)  # changed back
        return None if self.rng.random() < 0.15 else self._token()

    def _take_edit(self, lead: str, changes: Mapping[str, JSON]) -> None:
        actions = edit(self.leads[lead], changes, Origin(Source.USER, None, self.now()))
        self.note("edit here", f"{lead} {dict(changes)}")
        self._save(lead, apply(self.leads[lead], [], actions)[0], actions)

    def _edit_there(self, side: Side) -> None:
        lead = self.rng.choice(sorted(side.records))
        if side.is_table:
            self._type_there(side, lead, self.rng.choice(sorted(side.connection.mapping.fields)))
        else:
            self._event_there(side.records[lead])

    def _type_there(self, side: Side, lead: str, name: str) -> None:
        tied, mapped = side.records[lead], side.connection.mapping.fields[name]
        shown = tied.cells[mapped.column]
        tied.cells[mapped.column] = self._value_there(side, lead, name, shown)
        tied.modified_at = self.now()[:19] + ".000Z"
        self.note("edit there", f"{tied.link.key} {name} {shown!r} -> {tied.cells[mapped.column]!r}")

    def _value_there(self, side: Side, lead: str, name: str, shown: JSON) -> JSON:
        match name:
            case "status":
                return self.rng.choice((*side.options, *side.options, "Unheard of", None))
            case "verified":
                return self.rng.random() < 0.5
            case "campaigns":
                return self.rng.sample(("a", "b", "c", "d"), self.rng.randint(0, 3)) or None
            case "notes":
                return self._text_there(lead, shown)
            case "email":
                other = self.rng.choice(sorted(self.leads))
                word = self._token().replace(" ", "")
                return self.rng.choice((f"{word}@Example.com", self.leads[other].values["email"], f"{word}@@"))
            case "phone":
                return self.rng.choice((None, f"06 1234 {self.rng.randint(1000, 9999)}"))
            case "claimed_by":
                return self.rng.choice((None, "ann@example.com", "eve@example.com"))
            case "claimed_at":
                return self.now()
        return None if self.rng.random() < 0.15 else f" {self._token()} "

    def _text_there(self, lead: str, shown: JSON) -> JSON:
        lines = str(shown or "").splitlines()
        if lines and self.rng.random() < 0.2:
            lines.pop(self.rng.randrange(len(lines)))
        elif lines and self.rng.random() < 0.3:
            at = self.rng.randrange(len(lines))
            lines[at] = f"{lines[at]} {self._line(lead)}"
        else:
            lines.append(self._line(lead))
        return "\n".join(lines) or None

    def _event_there(self, tied: Tied) -> None:
        name = self.rng.choice((*COUNTERS, "status", "first_name", "metadata"))
        if name in COUNTERS:
            tied.cells[name] += 1
        elif name == "status":
            tied.cells["status"] = self.rng.choice(("contacted", "opened", "replied"))
        elif name == "metadata":
            tied.cells["metadata"] = {**tied.cells["metadata"], self.rng.choice("xyz"): self._token()}
        else:
            tied.cells["first_name"] = self._token()
        self.note("event there", f"{tied.link.key} {name}")

    def _resolve(self, side: Side) -> None:
        """A person decides what is held; an item whose record has moved since is shown again first."""
        for tied in [tied for tied in side.records.values() if not tied.dirty]:
            for name, cell in list(tied.link.cells.items()):
                if cell.state is State.HELD and cell.reason == "conflict" and name in tied.link.observed:
                    keeps_remote = self.rng.random() < 0.5
                    thawed = replace(cell, remote=tied.link.observed[name], reason=None, other=None)
                    local = cell.other[0] if keeps_remote else tied.link.base_local.get(name, MISSING)
                    state = State.AGREED if keeps_remote else State.PENDING
                    tied.link.put(name, replace(thawed, state=state, local=local))
                    tied.dirty = True
                    self.note("resolved", f"{tied.link.key} {name}")
                    if keeps_remote:
                        self._take_edit(tied.lead, {name: cell.other[0]})

    def _change_mapping(self, side: Side) -> None:
        """Somebody renames an option there and maps it again, or moves a field to another column."""
        table = side.connection.mapping
        columns = {name: m.column for name, m in table.fields.items()}
        name = self.rng.choice(sorted(table.fields))
        if name == "status":
            before = self.rng.choice(list(side.options))
            side.options = {f"{o}'" if o == before else o: value for o, value in side.options.items()}
            for tied in side.records.values():
                if tied.cells[columns[name]] == before:
                    tied.cells[columns[name]] = f"{before}'"
        else:
            columns[name] += "'"
            for tied in side.records.values():
                tied.cells[columns[name]] = tied.cells[table.fields[name].column]
        pull = next((m.field for m in table.fields.values() if m.direction == "pull"), "")
        changed = _table(list(table.fields), side.options, table.version + 1, columns, pull=pull)
        side.connection = replace(side.connection, mapping=changed)
        self._crash(side)  # the turn under way stops at its next transaction
        for tied in side.records.values():
            tied.link.connection = side.connection
            tied.dirty = True
        self.note("mapping changes", f"{side.connection.id} {name}")

    # --- the stages -----------------------------------------------------------------------------------------------

    def _turn(self, side: Side) -> Generator[str, None, None]:
        """Pull, reconcile, push, as the stages do it; a crash is the end between any two steps."""
        started = self.now()
        yield "asks for a page"
        page = self._read(side, side.records, started)
        if not self.quiet and self.rng.random() < 0.2:
            self.late.append(page)  # it comes late, or twice
            if self.rng.random() < 0.5:
                return
        yield "has a page"
        self._store(page)
        yield "stored a page"
        yield from self._reconcile(side, list(side.records))
        if side.is_table:
            yield from self._push(side)

    def _push(self, side: Side) -> Generator[str, None, None]:
        due = [lead for lead, tied in side.records.items() if self._is_due(tied)]
        if not due:
            return
        read_at, started = self.seconds, self.now()
        yield "reads again"
        page = self._read(side, due, started)
        yield "has read again"
        self._store(page)
        for lead in due:
            tied = side.records[lead]
            if tied.link.observed_at <= started:
                tied.link.observed_at, tied.link.reread, tied.dirty = started, False, True
        yield from self._reconcile(side, due)
        side.sending = [writing for lead in due if (writing := self._pick(side, side.records[lead])) is not None]
        if not side.sending:
            return
        yield "stored what it sends"
        if self.seconds - read_at > FRESH:
            self._give_up(side, "not sent")
            return
        yield from self._send(side)

    def _send(self, side: Side) -> Generator[str, None, None]:
        fate = "answered" if self.quiet else self.rng.choice(("answered",) * 5 + ("lost", "never", "late", "refused"))
        sent, side.sending = side.sending, []
        started = self.now()
        for writing in sent:
            self._before_the_next(side, writing)
            if fate in ("answered", "lost"):
                self._write(writing)
        answers = {w.tied.lead: self._shown(side, w.tied) for w in sent}
        yield fate
        side.sending = sent
        if fate == "answered":
            self._confirm(side, answers, started)
            yield "recorded the answer"
            yield from self._reconcile(side, list(answers))
            return
        if fate == "late":
            side.in_the_air += [replace(w, until=later(self.now(), 600)) for w in sent]
        self._give_up(side, "not sent" if fate == "refused" else "uncertain")

    def _read(self, side: Side, leads: Sequence[str] | Mapping[str, Tied], started: str) -> Page:
        shown = {lead: (self._shown(side, side.records[lead]), side.records[lead].modified_at) for lead in leads}
        return Page(side=side, version=side.connection.mapping.version, started=started, shown=shown)

    def _shown(self, side: Side, tied: Tied) -> dict[str, JSON]:
        return side.connection.mapping.observed(tied.cells) if side.is_table else dict(tied.cells)

    def _store(self, page: Page) -> None:
        """Keeps what a page shows, unless something newer is known; a page of an older mapping comes to nobody."""
        if page.version != page.side.connection.mapping.version:
            return
        for lead, (shown, modified_at) in page.shown.items():
            tied = page.side.records[lead]
            link = tied.link
            before = link.observed if link.observed_version == page.version else {}
            is_news = before | shown != link.observed or link.observed_version != page.version or link.reread
            if link.observed_at <= page.started and is_news:
                link.observed, link.observed_version = before | shown, page.version
                link.observed_at, link.modified_at = page.started, modified_at
                link.reread, tied.dirty = False, True

    def _reconcile(self, side: Side, leads: Sequence[str]) -> Generator[str, None, None]:
        for lead in leads:
            tied = side.records[lead]
            if tied.dirty or tied.link.reconciled < self.leads[lead].sync_version:
                self._settle(side, lead)
                yield "reconciled"

    def _settle(self, side: Side, lead: str) -> None:
        every = [s.records[lead] for s in self.sides if lead in s.records]
        before = self.leads[lead]
        owners: dict[Identity, str] = {i: each.id for each in self.leads.values() for i in strong(each.values)}
        actions = plan(before, [t.link for t in every], owners)
        after, links = apply(before, [t.link for t in every], actions)
        for tied in every:
            tied.link = links[tied.link.id]
        self._save(lead, after, actions)
        own = side.records[lead]
        own.link.reconciled, own.dirty = self.leads[lead].sync_version, False
        if again := plan(self.leads[lead], [t.link for t in every], owners | dict.fromkeys(strong(after.values), lead)):
            self.fail(f"planning again plans {again[0]}")
        for each in self.sides:
            if each.is_table:
                self._check_nothing_lost(each.records[lead])

    def _save(self, lead: str, after: Lead, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case SetField(value=value) | Refuse(value=value) | OpenConflict(conflict=Conflict(remote=value)):
                    self.kept.setdefault((lead, action.field), []).append(value)
                case SetCell(cell=Cell(state=State.DIVERGED, other=value)):
                    self.kept.setdefault((lead, action.field), []).append(value)
            self.note(type(action).__name__, str(action))
        if any(isinstance(action, SetField) for action in actions):
            after.sync_version += 1
        self.leads[lead] = after

    def _is_due(self, tied: Tied) -> bool:
        busy = any(cell.state in (State.PENDING, State.INFLIGHT) for cell in tied.link.cells.values())
        return (busy or tied.link.reread) and tied.next_attempt <= self.now()

    def _pick(self, side: Side, tied: Tied) -> Writing | None:
        """Chooses the pending fields of a record and puts them in flight."""
        lead, link, until = self.leads[tied.lead], tied.link, later(self.now(), IN_THE_AIR)
        writing = Writing(tied=tied, cells={}, fields=[], until=until)
        for mapped in side.two_way():
            name, cell = mapped.field, link.cell(mapped.field)
            if cell.state is not State.PENDING:
                continue
            value, shown = lead.values.get(name), link.observed.get(name)
            try:
                if mapped.values and shown is not None and mapped.decode(shown) is MISSING:
                    continue
                encoded = mapped.encode(value)
            except MappingError:
                continue
            origin = lead.origins.get(name)
            is_foreign = origin is not None and origin.source is Source.AIRTABLE
            is_foreign = is_foreign and origin is not None and origin.connection != side.connection.id
            local = notes.freeze(value) if name == "notes" else value
            replaced = shown if is_foreign else MISSING
            sent = Sent(remote=encoded, local=local, until=until, replaced=replaced)
            link.put(name, replace(cell, state=State.INFLIGHT, sent=sent, reason=None, other=None))
            writing.cells[mapped.column] = encoded
            writing.fields.append(name)
        tied.next_attempt = until if writing.cells else tied.next_attempt
        return writing if writing.cells else None

    def _before_the_next(self, side: Side, writing: Writing) -> None:
        """A record's next write finds its earlier ones landed or dropped."""
        for earlier in [w for w in side.in_the_air if w.tied.lead == writing.tied.lead]:
            side.in_the_air.remove(earlier)
            if self.rng.random() < 0.5 and self.now() < earlier.until:
                self._write(earlier)

    def _write(self, writing: Writing) -> None:
        tied = writing.tied
        for column, value in writing.cells.items():
            tied.cells[column] = value
        tied.modified_at = self.now()[:19] + ".000Z"
        self.note("write", f"{tied.link.key} {writing.cells}")

    def _confirm(self, side: Side, answers: Mapping[str, dict[str, JSON]], started: str) -> None:
        shown = {lead: (answer, side.records[lead].modified_at) for lead, answer in answers.items()}
        self._store(Page(side=side, version=side.connection.mapping.version, started=started, shown=shown))
        for writing in side.sending:
            link = writing.tied.link
            for name in writing.fields:
                cell = link.cell(name)
                if cell.state is State.INFLIGHT:
                    link.put(name, confirmed(cell, answers[writing.tied.lead].get(name), self.now()))
            writing.tied.next_attempt, writing.tied.dirty = "", True
        side.sending = []

    def _give_up(self, side: Side, outcome: str) -> None:
        for writing in side.sending:
            link = writing.tied.link
            for name in writing.fields:
                cell = link.cell(name)
                if cell.state is State.INFLIGHT and cell.sent is not None:
                    ended = replace(cell, sent=replace(cell.sent, until=self.now()))
                    unsent = replace(cell, state=State.PENDING, sent=None)
                    link.put(name, ended if outcome == "uncertain" else unsent)
            writing.tied.next_attempt = ""
        side.sending = []

    # --- what must hold -------------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        self.quiet = True
        self.note("quiet")
        for side in self.sides:
            self._crash(side)
            while side.in_the_air:
                self._land_late(side)
        for _ in range(PATIENCE):
            writes, versions = self.outcome.happened["write"], self._versions()
            self.seconds += 30
            for side in self.sides:
                for _step in self._turn(side):
                    self.seconds += 0.01
            if (writes, versions) == (self.outcome.happened["write"], self._versions()) and not self._is_busy():
                return
        self.fail("it never comes to rest")

    def _versions(self) -> list[int]:
        return [lead.sync_version for lead in self.leads.values()]

    def _is_busy(self) -> bool:
        cells = [c for s in self.sides for t in s.records.values() for n, c in t.link.cells.items() if n != "status"]
        return any(cell.state in (State.PENDING, State.INFLIGHT) for cell in cells)

    def _check(self) -> None:
        for side in self.sides:
            for tied in side.records.values():
                for mapped in side.two_way():
                    self._check_agreement(tied, mapped)
        for lead in self.leads.values():
            self._check_counters(lead)
            self._check_notes(lead)

    def _check_agreement(self, tied: Tied, mapped: Mapped) -> None:
        name, raw, here = mapped.field, tied.cells[mapped.column], self.leads[tied.lead].values.get(mapped.field)
        cell = tied.link.cell(name)
        is_manual = tied.link.connection.strategy is Strategy.MANUAL or cell.reason == "collision"
        if (cell.state is State.HELD and is_manual) or (cell.reason or "").startswith(ACCEPTED):
            return
        there = _decoded(mapped, raw)
        if there is MISSING:  # nobody has mapped the option
            return
        if cell.state is not State.AGREED:
            self.fail(f"{tied.link.key} {name} is {cell.state}: {cell.reason}; there {raw!r}, here {here!r}")
        elif not (notes.same(here, there) if name == "notes" else here == there):
            self.fail(f"{tied.link.key} {name} differs: there {raw!r}, here {here!r}, {cell}")

    def _check_nothing_lost(self, tied: Tied) -> None:
        """What a record shows is the lead's value or was one, or stands in a conflict, a refusal or a difference."""
        for mapped in tied.link.connection.mapping.fields.values():
            name, cell = mapped.field, tied.link.cell(mapped.field)
            raw = tied.link.observed.get(name, MISSING)
            is_unread = tied.link.observed_version != tied.link.connection.mapping.version
            if mapped.rule in (Rule.APPEND, Rule.SET) or raw is MISSING or is_unread or cell.state is State.INFLIGHT:
                continue
            value = _decoded(mapped, raw)
            is_stale = cell.fresh is not None and tied.link.observed_at < cell.fresh and tied.link.reread
            kept = self.kept.get((tied.lead, name), [])
            if value is MISSING or is_empty(value) or is_stale or tied.link.reread or value in kept or raw in kept:
                continue
            if value != self.leads[tied.lead].values.get(name):
                self.fail(f"{tied.link.key} {name}: {raw!r} is lost, {cell}")

    def _check_counters(self, lead: Lead) -> None:
        for name in COUNTERS:
            links = [s.records[lead.id] for s in self.sides if not s.is_table]
            if lead.values[name] != sum(tied.cells[name] for tied in links):
                self.fail(f"{lead.id} {name} is {lead.values[name]}")

    def _check_notes(self, lead: Lead) -> None:
        """Every line that a lead's notes ever had is there, or was changed inside its entry."""
        shown: list[str] = []
        for value in self.kept.get((lead.id, "notes"), []):
            if isinstance(value, list):
                keys = [entry[0] for entry in value]
                if gone := [key for key in shown if key not in keys]:
                    self.fail(f"{lead.id} has lost the notes {gone}")
                shown = keys


def _decoded(mapped: Mapped, raw: JSON) -> JSON:
    try:
        return mapped.decode(raw)
    except Unreadable:
        return raw


def _table(
    fields: Sequence[str], options: Mapping[str, str], version: int, columns: Mapping[str, str], *, pull: str
) -> mapping.MappingTable:
    ids = {name: columns.get(name, f"fld-{name}") for name in fields}
    every = [
        Column(
            id=ids[name], name=name, type=TYPES.get(name, "singleLineText"), writable=name != pull,
            options=tuple(options) if name == "status" else (),
        )
        for name in fields
    ]  # fmt: skip
    values = {"status": dict(options)}
    rows = [
        {"field": name, "remote": ids[name], **({"values": values[name]} if name in values else {})} for name in fields
    ]
    return mapping.check(rows, every, version=version)
