"""The sandbox's Airtable account: bases, their people, and the tokens that may reach them."""

from __future__ import annotations

import random
import string
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from app.sandbox.airtable.schema import FieldSpec, TableSpec
from app.sandbox.airtable.switches import Switches
from app.sandbox.airtable.table import Record, Table
from app.sandbox.core import Clock

ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can own a token or stand in a collaborator field."""

    id: str
    email: str
    name: str

    def cell(self) -> dict[str, str]:
        """Returns the person as a collaborator cell shows them."""
        return {"id": self.id, "email": self.email, "name": self.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A personal access token: whose it is, which bases it reaches, what it may do there."""

    secret: str
    user: Person
    #: base ids; None: every base
    bases: frozenset[str] | None = None
    can_write: bool = True
    can_edit_schema: bool = True

    def reaches(self, base_id: str) -> bool:
        return self.bases is None or base_id in self.bases

    @property
    def permission(self) -> str:
        if not self.can_write:
            return "read"
        return "create" if self.can_edit_schema else "edit"


class Base:
    """One base; record ids are unique in it."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.id = store.new_id("app")
        self.name = name
        self.tables: dict[str, Table] = {}
        self.collaborators: dict[str, Person] = {}

    def add_table(
        self, name: str, fields: Iterable[FieldSpec | tuple[str, str]], description: str | None = None
    ) -> Table:
        """Creates a table; the first field becomes its primary field."""
        table = Table(self, name, description)
        self.tables[table.id] = table
        for spec in fields:
            table.add_field(spec if isinstance(spec, FieldSpec) else FieldSpec(*spec))
        return table

    def add_collaborator(self, email: str, name: str) -> Person:
        """Creates a person who may be named in the base's collaborator fields."""
        person = self.store.add_person(email, name)
        self.collaborators[person.id] = person
        return person

    def table(self, key: str) -> Table | None:
        """Returns the table with this id or name."""
        return self.tables.get(key) or next((t for t in self.tables.values() if t.name == key), None)

    def find_record(self, record_id: str) -> tuple[Table, Record] | None:
        """Returns the record and its table, whichever table of the base that is."""
        for table in self.tables.values():
            if record := table.records.get(record_id):
                return table, record
        return None


class Store:
    """Everything the sandbox knows; ids come from one seeded generator."""

    def __init__(self, *, clock: Clock, rng: random.Random, switches: Switches) -> None:
        self.clock = clock
        self.rng = rng
        self.switches = switches
        self.bases: dict[str, Base] = {}
        self.tokens: dict[str, Token] = {}
        self.people: dict[str, Person] = {}
        #: who edits on Airtable's own screen
        self.owner = self.add_person("owner@example.com", "Owner")

    def new_id(self, prefix: str) -> str:
        """Returns a fresh 17-character id."""
        return prefix + "".join(self.rng.choices(ALPHABET, k=14))

    def now(self) -> float:
        """Returns the clock's time in seconds since 1970."""
        return self.clock.now().timestamp()

    def add_base(self, name: str, tables: Iterable[TableSpec] = ()) -> Base:
        """Creates a base with these tables."""
        base = Base(self, name)
        self.bases[base.id] = base
        for spec in tables:
            base.add_table(spec.name, spec.fields, spec.description)
        return base

    def add_person(self, email: str, name: str) -> Person:
        """Creates a user of the account."""
        person = Person(self.new_id("usr"), email, name)
        self.people[person.id] = person
        return person

    def add_token(
        self,
        secret: str,
        bases: Collection[str] | None = None,
        can_write: bool = True,
        *,
        can_edit_schema: bool = True,
        email: str = "sync@example.com",
    ) -> Token:
        """Makes a token valid for these base ids (None: all of them), with a user of its own."""
        user = next((p for p in self.people.values() if p.email == email), None) or self.add_person(email, "Sync")
        reach = None if bases is None else frozenset(bases)
        token = Token(
            secret=secret, user=user, bases=reach, can_write=can_write, can_edit_schema=can_write and can_edit_schema
        )
        self.tokens[secret] = token
        return token

    def person_cell(self, person_id: Any) -> dict[str, str] | None:
        """Returns the collaborator cell of a user id."""
        person = self.people.get(person_id)
        return person.cell() if person else None
