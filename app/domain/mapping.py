"""The mapping of one connection: which remote column carries which lead field, which way, and in which spelling.

Columns are kept by id, so that a rename changes nothing. A mapping is checked against the provider's schema before it
is stored; it may tighten a rule of the policy, never loosen it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain import normalize, notes, policy
from app.domain.ladder import STATUS_LADDER
from app.domain.policy import Rule, Source
from app.domain.values import JSON, MISSING, Missing, is_empty
from app.errors import LeadkeeperError

Direction = Literal["pull", "push", "both"]

#: Written along with a push that carries data anyway, and never read.
RIDE_ALONG = ("last_sync", "sync_status", "sync_error")
#: The column that carries the lead's id; it makes a create safe to repeat.
CRM_ID = "crm_id"
#: The provider's own last-modified column.
MODIFIED = "modified_at"
#: Rules under which a field can go both ways; every other field only comes in.
TWO_WAY = frozenset({Rule.AUTHORITY, Rule.APPEND, Rule.SET, Rule.DEEP_MERGE})
#: Rules that compare with a base of both sides, also where a column is only read.
THREE_WAY = frozenset({Rule.AUTHORITY, Rule.APPEND, Rule.SET})
#: What a long text cell holds at most, in characters (Airtable's limit).
CELL_LIMIT = 100_000

#: The lead field of a column that is called so; names are lower-cased.
DEFAULT_COLUMNS: dict[str, str] = {
    "full name": "full_name",
    "email": "email",
    "company": "company_name",
    "website": "company_website",
    "linkedin url": "linkedin_url",
    "title": "title",
    "location": "location",
    "industry": "industry",
    "company size": "company_size",
    "verified": "verified",
    "enriched": "enriched",
    "needs enrichment": "needs_enrichment",
    "status": "status",
    "source": "source",
    "scraped at": "scraped_at",
    "enriched at": "enriched_at",
    "last sync": "last_sync",
    "sync status": "sync_status",
    "sync error": "sync_error",
    "first name": "first_name",
    "last name": "last_name",
    "phone": "phone",
    "notes": "notes",
    "claimed by": "claimed_by",
    "claimed at": "claimed_at",
    "campaigns": "campaigns",
    "deal value": "deal_value",
    "next action": "next_action",
    "next action date": "next_action_date",
    "sms sent count": "sms_sent_count",
    "processing status": "processing_status",
    "crm id": CRM_ID,
    "last modified": MODIFIED,
}


class MappingError(LeadkeeperError):
    """A mapping does not fit the policy or the provider's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One remote column, as the provider's schema describes it."""

    id: str
    name: str
    type: str
    writable: bool
    #: option names of a select column
    options: tuple[str, ...] = ()
    #: for a lastModifiedTime column: whether it has a time, and which columns it watches (None: all)
    has_time: bool = False
    watches: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """One lead field and the remote column that carries it."""

    field: str
    column: str
    name: str
    type: str
    direction: Direction
    rule: Rule
    #: remote option -> lead value, lower-cased; the first option of a value is the one to write
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: the options in their own spelling, for writing
    options: tuple[str, ...] = ()
    #: the canonical form of the field's values, looked up once
    kind: str = dataclasses.field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", "" if _is_pseudo(self.field) else policy.field(self.field).kind)

    @property
    def is_one_way(self) -> bool:
        """Tells whether values only come in, each judged by what it is and not by what both sides agreed on."""
        return self.direction == "pull" and self.rule not in THREE_WAY

    def decode(self, raw: JSON) -> JSON | Missing:
        """Returns the canonical value of a cell; MISSING for an option nobody mapped.

        Raises:
            normalize.Unreadable: the cell holds something this field cannot.
        """
        if raw is None or raw == "" or raw == []:
            return False if self.kind == "boolean" else None
        if self.values:
            return self.values.get(_key(str(raw)), MISSING)
        return DECODERS[self.kind](raw)

    def encode(self, value: JSON) -> JSON:
        """Returns what to write for a lead value; None clears the cell. Raises `MappingError` where nothing fits."""
        if is_empty(value):
            return False if self.type == "checkbox" else None
        if self.values:
            return self._option(str(value))
        if self.type == "singleCollaborator":
            return {"email": value}
        if self.kind == "notes":
            value = notes.render(value)
        elif isinstance(value, dict | list) and self.type != "multipleSelects":
            value = ", ".join(value) if self.kind == "set" else json.dumps(value, ensure_ascii=False)
        if isinstance(value, str) and len(value) > CELL_LIMIT:
            raise MappingError(
                f"{self.field} has {len(value):,} characters; a cell of {self.name} holds {CELL_LIMIT:,}."
            )
        if self.type == "singleSelect" and self.options and value not in self.options:
            raise MappingError(f"The column {self.name} has no option {value!r}: add it there, or map another value.")
        return value

    def _option(self, value: str) -> str:
        for option in self.options:
            if self.values.get(_key(option)) == value:
                return option
        raise MappingError(f"No option of the column {self.name} is mapped to {value!r}: add one there and map it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingTable:
    """The checked mapping of one connection."""

    version: int
    fields: Mapping[str, Mapped]
    #: ride-along fields, CRM id and last-modified column, by pseudo-field
    pseudo: Mapping[str, Mapped]
    #: columns that are no longer there: they are neither asked for nor written until the mapping is mended
    missing: frozenset[str] = frozenset()
    #: the fields by how they are judged, told apart once
    one_way: tuple[Mapped, ...] = dataclasses.field(init=False, compare=False, repr=False)
    three_way: tuple[Mapped, ...] = dataclasses.field(init=False, compare=False, repr=False)
    three_way_names: tuple[str, ...] = dataclasses.field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        every = self.fields.values()
        object.__setattr__(self, "one_way", tuple(m for m in every if m.is_one_way))
        object.__setattr__(self, "three_way", tuple(m for m in every if not m.is_one_way))
        object.__setattr__(self, "three_way_names", tuple(m.field for m in self.three_way))

    def columns(self) -> list[str]:
        """Returns the ids of the columns an observation must show."""
        read = [self.pseudo[name].column for name in (CRM_ID, MODIFIED) if name in self.pseudo]
        return [m.column for m in self.fields.values() if m.column not in self.missing] + read

    def observed(self, cells: Mapping[str, JSON]) -> dict[str, JSON]:
        """Returns a record's raw cells by lead field; columns that were not shown are left out."""
        return {name: cells[m.column] for name, m in self.fields.items() if m.column in cells}

    def dump(self) -> list[dict[str, JSON]]:
        """Returns the mapping as it is stored and shown."""
        return [
            {
                "field": m.field,
                "remote": m.column,
                "column": m.name,
                "type": m.type,
                "direction": m.direction,
                "rule": m.rule.value,
                **({"values": {o: m.values[_key(o)] for o in m.options if _key(o) in m.values}} if m.values else {}),
                **({"options": list(m.options)} if m.options else {}),
            }
            for m in (*self.fields.values(), *self.pseudo.values())
        ]


def load(version: int, rows: Iterable[Mapping[str, JSON]], *, missing: frozenset[str] = frozenset()) -> MappingTable:
    """Returns the mapping that `MappingTable.dump` wrote, knowing which of its columns have gone since."""
    every = [
        Mapped(
            field=row["field"],
            column=row["remote"],
            name=row["column"],
            type=row["type"],
            direction=row["direction"],
            rule=Rule(row["rule"]),
            values={_key(option): value for option, value in row.get("values", {}).items()},
            options=tuple(row.get("options", ())),
        )
        for row in rows
    ]
    return MappingTable(
        version=version,
        fields={m.field: m for m in every if not _is_pseudo(m.field)},
        pseudo={m.field: m for m in every if _is_pseudo(m.field) and m.column not in missing},
        missing=missing,
    )


def incoming(source: Source) -> MappingTable:
    """Returns the fixed mapping of a source whose records are read into canonical values before they are stored."""
    fields = {
        row.name: Mapped(
            field=row.name, column=row.name, name=row.name, type="", direction="pull", rule=row.rule(source)
        )
        for row in policy.FIELDS.values()
        if row.rule(source) is not Rule.LOCAL_ONLY
    }
    return MappingTable(version=1, fields=fields, pseudo={})


def propose(columns: Sequence[Column]) -> list[dict[str, JSON]]:
    """Returns the mapping that column names suggest; columns nobody knows are left out."""
    chosen: dict[str, dict[str, JSON]] = {}
    for column in columns:
        name = DEFAULT_COLUMNS.get(column.name.strip().lower())
        if name is None or name in chosen:
            continue
        row = {"field": name, "remote": column.id}
        with contextlib.suppress(MappingError):  # a column of that name which cannot carry the field
            check([row], [column])
            chosen[name] = row
    return list(chosen.values())


def check(rows: Sequence[Mapping[str, JSON]], columns: Sequence[Column], *, version: int = 1) -> MappingTable:
    """Returns the mapping, or raises `MappingError` with one sentence that names the column and the remedy."""
    by_key = {c.name: c for c in columns} | {c.id: c for c in columns}
    fields: dict[str, Mapped] = {}
    pseudo: dict[str, Mapped] = {}
    for row in rows:
        name, remote = str(row.get("field", "")), str(row.get("remote", ""))
        column = by_key.get(remote)
        if column is None:
            known = ", ".join(sorted(c.name for c in columns))
            raise MappingError(f"The table has no column {remote!r} (for {name}): it has {known}.")
        if name in fields or name in pseudo:
            raise MappingError(f"The field {name!r} is mapped twice: keep one of the two rows.")
        target = pseudo if _is_pseudo(name) else fields
        target[name] = _pseudo(name, column) if _is_pseudo(name) else _mapped(name, column, row)
    columns_used = [m.column for m in (*fields.values(), *pseudo.values())]
    if twice := {c for c in columns_used if columns_used.count(c) > 1}:
        raise MappingError(f"The column {by_key[min(twice)].name!r} is mapped to two fields: keep one of them.")
    return MappingTable(version=version, fields=fields, pseudo=pseudo)


def _is_pseudo(name: str) -> bool:
    return name in RIDE_ALONG or name in (CRM_ID, MODIFIED)


def _pseudo(name: str, column: Column) -> Mapped:
    if name != MODIFIED and not column.writable:
        raise MappingError(f"The column {column.name!r} is read-only there, so {name} cannot be written to it.")
    if name == MODIFIED and column.type != "lastModifiedTime":
        raise MappingError(f"The column {column.name!r} is no last-modified-time column: choose one, or leave it out.")
    direction: Direction = "pull" if name == MODIFIED else "push"
    return Mapped(
        field=name, column=column.id, name=column.name, type=column.type,
        direction=direction, rule=Rule.LOCAL_ONLY, options=column.options,
    )  # fmt: skip


def _mapped(name: str, column: Column, row: Mapping[str, JSON]) -> Mapped:
    try:
        rule = policy.field(name).rule(Source.AIRTABLE)
    except KeyError:
        known = ", ".join(policy.FIELDS)
        raise MappingError(f"There is no lead field {name!r}: use custom.<key>, or one of {known}.") from None
    if rule is Rule.LOCAL_ONLY or (rule is Rule.DEEP_MERGE and name == "metadata"):
        raise MappingError(f"The field {name!r} is never exchanged with a table: leave it out.")
    direction: Direction = row.get("direction") or ("both" if column.writable and rule in TWO_WAY else "pull")
    if direction not in ("pull", "push", "both"):
        raise MappingError(f"The direction of {name!r} is {direction!r}: it is pull, push or both.")
    if direction != "pull" and not column.writable:
        raise MappingError(f"The column {column.name!r} is read-only there: map {name} with direction pull.")
    if direction != "pull" and rule not in TWO_WAY:
        raise MappingError(f"The field {name!r} only comes in: map it with direction pull.")
    if name == "notes" and column.type == "richText":
        raise MappingError(
            f"The column {column.name!r} is rich text, which Airtable rewrites: map notes to a plain long text column."
        )
    wanted = row.get("values")
    return Mapped(
        field=name, column=column.id, name=column.name, type=column.type, direction=direction,
        rule=_tightened(name, rule, row.get("rule")),
        values=_values(name, column, wanted), options=column.options or tuple(wanted or ()),
    )  # fmt: skip


def _tightened(name: str, rule: Rule, wanted: JSON) -> Rule:
    """A mapping may choose the ladder for the status; nothing looser than the policy."""
    if wanted is None or wanted == rule:
        return rule
    if name == "status" and wanted == Rule.LADDER:
        return Rule.LADDER
    raise MappingError(f"The rule of {name!r} is {rule.value} and cannot become {wanted!r}.")


def _values(name: str, column: Column, wanted: JSON) -> dict[str, str]:
    """Returns the option map of a status column: as given, or by the options' names."""
    if name != "status" and not wanted:
        return {}
    if isinstance(wanted, Mapping):
        if name == "status" and (unknown := sorted(set(wanted.values()) - set(STATUS_LADDER))):
            raise MappingError(f"There is no status {unknown[0]!r}: it is one of {', '.join(STATUS_LADDER)}.")
        if column.options and (missing := sorted(set(wanted) - set(column.options))):
            raise MappingError(f"The column {column.name!r} has no option {missing[0]!r}: add it there, or unmap it.")
        return {_key(option): str(value) for option, value in wanted.items()}
    known = {_key(option): _status(option) for option in column.options}
    return {key: status for key, status in known.items() if status is not MISSING}


def _key(option: str) -> str:
    """Options are told apart by their words, not by capitals or spaces around them."""
    return option.strip().lower()


def _status(raw: JSON) -> str | Missing:
    slug = re.sub(r"[^a-z]+", "_", _key(str(raw))).strip("_")
    return slug if slug in STATUS_LADDER else MISSING


def _collaborator(raw: JSON) -> JSON:
    return normalize.email(raw.get("email") if isinstance(raw, Mapping) else raw)


def _set(raw: JSON) -> JSON:
    items = raw if isinstance(raw, list) else str(raw).split(",")
    return sorted({text for item in items if (text := normalize.text(item))}) or None


DECODERS: dict[str, Callable[[JSON], JSON | Missing]] = {
    "text": normalize.text,
    "name": normalize.text,
    "email": _collaborator,
    "phone": normalize.phone,
    "linkedin": normalize.linkedin,
    "url": normalize.url,
    "domain": normalize.domain,
    "instant": normalize.instant,
    "date": normalize.date,
    "boolean": normalize.boolean,
    "integer": normalize.integer,
    "number": normalize.number,
    "status": _status,
    "delivery": normalize.text,
    "set": _set,
    "notes": normalize.text,
    "object": lambda raw: raw,
    "any": lambda raw: raw,
}
