"""A lead, its links and what the sync decides about them: plain values, and the closed set of actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from app.domain.cells import Cell, Conflict, How, Strategy
from app.domain.mapping import MappingTable
from app.domain.policy import COUNTERS, DEFAULTS, Source
from app.domain.values import JSON, MISSING, value


class Origin(NamedTuple):
    """Where a field's value came from: the source, its connection (None: no connection) and when."""

    source: Source
    connection: str | None
    at: str


@dataclass(kw_only=True)
class Lead:
    """The golden record as the policy sees it."""

    id: str
    #: canonical values by field; an absent field is empty
    values: dict[str, JSON] = field(default_factory=lambda: dict(DEFAULTS))
    #: emptied on purpose by a person or an authority
    cleared: frozenset[str] = frozenset()
    #: defaults nobody has confirmed yet
    untouched: frozenset[str] = frozenset(DEFAULTS) - frozenset(COUNTERS)
    #: halves of the name that were computed, not given
    derived: frozenset[str] = frozenset()
    origins: dict[str, Origin] = field(default_factory=dict)
    #: when the event behind is_positive_reply happened; None: undated
    positive_at: str | None = None
    #: counts that belong to no link (a legacy import)
    own_counts: dict[str, int] = field(default_factory=dict)
    version: int = 0
    sync_version: int = 0
    deleted: bool = False

    def copy(self) -> Lead:
        """Returns a copy that can be changed without touching this one."""
        twin = object.__new__(Lead)
        twin.__dict__.update(self.__dict__)
        twin.values, twin.origins, twin.own_counts = dict(self.values), dict(self.origins), dict(self.own_counts)
        return twin


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What the policy knows of a connection."""

    id: str
    source: Source
    mapping: MappingTable
    strategy: Strategy = Strategy.REMOTE_WINS
    #: (priority, creation instant, id): the smaller outranks the greater
    rank: tuple[int, str, str] = (100, "", "")
    #: the rules its fields meet, made once per field
    hows: dict[str, How] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(kw_only=True)
class Link:
    """One remote record tied to one lead: what was seen, what both sides agreed on, and what is under way."""

    id: str
    connection: Connection
    key: str
    #: False: a further record of the same lead, shown but without a say
    writing: bool = True
    #: when the remote record was created, an instant
    created_at: str = ""
    #: the remote id behind the counters (see SetCounter)
    epoch: str = ""
    #: below which key of `metadata` this link's own keys live
    namespace: str = ""
    observed: dict[str, JSON] = field(default_factory=dict)
    observed_at: str = ""
    modified_at: str | None = None
    #: the mapping version the observation was read under, and the one the base was
    observed_version: int = 1
    mapping_version: int = 1
    base_remote: dict[str, JSON] = field(default_factory=dict)
    base_local: dict[str, JSON] = field(default_factory=dict)
    #: cells that hold more than a base
    cells: dict[str, Cell] = field(default_factory=dict)
    #: field -> epoch -> the highest count seen
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    #: the lead's sync_version this link was last reconciled with
    reconciled: int = -1
    reread: bool = False

    def cell(self, name: str) -> Cell:
        """Returns everything remembered of a field."""
        remote = self.base_remote.get(name, MISSING)
        local = self.base_local.get(name, MISSING)
        rest = self.cells.get(name)
        return Cell(remote=remote, local=local) if rest is None else replace(rest, remote=remote, local=local)

    def put(self, name: str, cell: Cell) -> None:
        """Remembers a field; the base apart, so that a record at rest compares in one step."""
        for base, known in ((self.base_remote, cell.remote), (self.base_local, cell.local)):
            if known is MISSING:
                base.pop(name, None)
            else:
                base[name] = known
        if cell.is_plain:
            self.cells.pop(name, None)
        else:
            self.cells[name] = replace(cell, remote=MISSING, local=MISSING)

    def rebase(self, mapping_version: int) -> None:
        """Notes the mapping that the base is read under; a field it does not map starts anew if it ever returns."""
        self.mapping_version = mapping_version
        fields = self.connection.mapping.fields
        self.base_remote = {name: value for name, value in self.base_remote.items() if name in fields}
        two_way = {name for name, mapped in fields.items() if not mapped.is_one_way}
        self.base_local = {name: value for name, value in self.base_local.items() if name in two_way}
        self.cells = {name: cell for name, cell in self.cells.items() if name in two_way}

    def copy(self) -> Link:
        """Returns a copy that can be changed without touching this one."""
        twin = object.__new__(Link)
        twin.__dict__.update(self.__dict__)
        twin.base_remote, twin.base_local = dict(self.base_remote), dict(self.base_local)
        twin.cells = dict(self.cells)
        twin.counters = {name: dict(epochs) for name, epochs in self.counters.items()}
        return twin

    @property
    def order(self) -> tuple[tuple[int, str, str], str, str]:
        """The declared order in which links of one lead speak: rank, then remote creation, then key."""
        return (self.connection.rank, self.created_at, self.key)


# What a plan consists of. Applying an action decides nothing.


@value
class SetField:
    """The lead's field takes a value; the losing values are kept for the history."""

    field: str
    value: JSON
    old: JSON
    rule: str
    origin: Origin
    link: str | None = None
    losers: tuple[Mapping[str, JSON], ...] = ()
    #: computed from the other name fields, given by nobody
    derived: bool = False
    #: an empty that somebody meant
    clears: bool = False
    #: for is_positive_reply: when the event happened
    event_at: str | None = None


@value
class SetCell:
    """A two-way field of a link moves to another state or base."""

    link: str
    field: str
    cell: Cell


@value
class Advance:
    """What the provider showed of incoming fields was judged; it is old news from now on."""

    link: str
    remote: Mapping[str, JSON]


@value
class SetCounter:
    """A link's count grows within an epoch (a remote record deleted and added again starts a new one)."""

    link: str
    field: str
    epoch: str
    count: int


@value
class Refuse:
    """A remote value that the policy did not accept, with what stayed and why."""

    #: None: an event brought it
    link: str | None = None
    field: str
    value: JSON
    kept: JSON
    reason: str


@value
class OpenConflict:
    """Both sides brought news: an open item, or, with a winner, a decision that can be taken the other way."""

    link: str
    field: str
    conflict: Conflict


@value
class CloseConflict:
    """The field of this link is no longer held."""

    link: str
    field: str


@value
class Rebase:
    """The link's base is now read under this mapping version."""

    link: str
    mapping_version: int


@value
class Reread:
    """The record must be read again before anything else is believed of it."""

    link: str


Action = SetField | SetCell | Advance | SetCounter | Refuse | OpenConflict | CloseConflict | Rebase | Reread
