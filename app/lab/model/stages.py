"""The model's stages: pull, reconcile and push as `sync/` goes through them, step by step, on a store in memory."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain import notes
from app.domain.cells import Cell, Conflict, Sent, State
from app.domain.identity import Identity, strong
from app.domain.lead import Action, Connection, Lead, Link, OpenConflict, Refuse, SetCell, SetField
from app.domain.mapping import Mapped, MappingError
from app.domain.merge import confirmed, later
from app.domain.normalize import Unreadable
from app.domain.plan import apply, plan
from app.domain.policy import Rule, Source
from app.domain.values import JSON, MISSING, is_empty

START = "2026-03-02T08:00:00.000Z"
#: How long what was read is believed, and how long a write may be in the air.
FRESH, IN_THE_AIR = 3.0, 23.0


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
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        return self.connection.source is Source.AIRTABLE

    def two_way(self) -> list[Mapped]:
        return [m for m in self.connection.mapping.fields.values() if m.direction == "both"] if self.is_table else []


class Stages:
    """Leads, connections and their workers."""

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
        #: how often somebody typed a value into a cell that was not taken over yet
        self.news: Counter[tuple[str, str, str]] = Counter()
        #: every line somebody added to the notes, and whether we were ever shown it
        self.lines: dict[str, list[str]] = {}

    def now(self) -> str:
        return later(START, self.seconds)

    def note(self, kind: str, what: str = "") -> None:
        self.outcome.happened[kind] += 1
        self.outcome.trace.append(f"{self.seconds:.3f} {kind} {what}")

    def fail(self, problem: str) -> None:
        self.outcome.problems.append(problem)
        self.note("PROBLEM", problem)

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
        if self.rng.random() < 0.2:  # somebody else's listing, asked for now, answered from before the write
            self.late.append(self._read(side, [w.tied.lead for w in sent], started))
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
        self._check_somebody_typed(actions)
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
            is_phone = column.startswith("fld-phone") and isinstance(value, str)
            tied.cells[column] = f"{value[:5]} {value[5:]}" if is_phone else value  # the provider's own spelling
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

    def _check_somebody_typed(self, actions: Sequence[Action]) -> None:
        """A table's value is taken once each time somebody typed it: never from a stale page, never our own echo."""
        for action in actions:
            if isinstance(action, SetField) and action.link and action.rule in ("authority", "deep_merge"):
                key = (action.link, action.field, repr(action.value))
                if action.link.startswith("table") and not self.news[key]:
                    self.fail(f"{action.link} {action.field}: nobody typed {action.value!r}")
                self.news[key] -= 1

    def _check_nothing_lost(self, tied: Tied) -> None:
        """What a record shows is the lead's value or was one, or stands in a conflict, a refusal or a difference."""
        for mapped in tied.link.connection.mapping.fields.values():
            name, cell = mapped.field, tied.link.cell(mapped.field)
            raw = tied.link.observed.get(name, MISSING)
            version = tied.link.connection.mapping.version
            is_unread = not (tied.link.observed_version == tied.link.mapping_version == version)
            if mapped.rule in (Rule.APPEND, Rule.SET) or raw is MISSING or is_unread or cell.state is State.INFLIGHT:
                continue
            value = decoded(mapped, raw)
            is_stale = cell.fresh is not None and tied.link.observed_at < cell.fresh and tied.link.reread
            kept = self.kept.get((tied.lead, name), [])
            if value is MISSING or is_empty(value) or is_stale or tied.link.reread or value in kept or raw in kept:
                continue
            if value != self.leads[tied.lead].values.get(name):
                self.fail(f"{tied.link.key} {name}: {raw!r} is lost, {cell}")


def decoded(mapped: Mapped, raw: JSON) -> JSON:
    """Returns what a cell means, or the cell where it means nothing."""
    try:
        return mapped.decode(raw)
    except Unreadable:
        return raw
