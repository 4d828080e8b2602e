"""The model's people: who edits what, here and there, who decides what is held, and who changes a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain import mapping, notes
from app.domain.cells import State, Strategy
from app.domain.lead import Connection, Lead, Link, Origin
from app.domain.merge import resolved
from app.domain.plan import apply, edit
from app.domain.policy import COUNTERS, Source
from app.domain.values import JSON
from app.lab.model.stages import Side, Stages, Tied, decoded
from app.providers.base import Column

TEXTS = ("title", "company_name", "full_name", "first_name", "custom.tier")
TYPES = {"status": "singleSelect", "verified": "checkbox", "campaigns": "multipleSelects"}
OPTIONS = {
    "New": "new", "Contacted": "contacted", "Called": "contacted", "Opened": "opened", "Replied": "replied",
    "Won": "won",
}  # fmt: skip
TWO_WAY = (*TEXTS, "email", "phone", "status", "verified", "notes", "campaigns", "claimed_by", "claimed_at")


class People(Stages):
    """A furnished world, and everybody who changes something in it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        #: few fields, so that people meet in them
        self.fields = self.rng.sample(TWO_WAY, self.rng.randint(3, 7))
        self._furnish()

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
            options=dict(OPTIONS),
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
            self.news[(side.records[lead.id].link.key, "email", repr(cells["fld-email"]))] += 1
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
        self.news[(tied.link.key, name, repr(decoded(mapped, tied.cells[mapped.column])))] += 1
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
        """A person decides what is held, by what its item shows: the record may have moved since."""
        for tied in side.records.values():
            for name, cell in list(tied.link.cells.items()):
                if cell.state is State.HELD and cell.reason == "conflict":
                    keeps_remote = self.rng.random() < 0.5
                    tied.link.put(name, resolved(tied.link.cell(name), keeps_remote=keeps_remote))
                    tied.dirty = True
                    self.note("resolved", f"{tied.link.key} {name}")
                    self._take_edit(tied.lead, {name: cell.other[0 if keeps_remote else 1]})

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
