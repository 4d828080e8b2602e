"""A lead and its links while a plan is made: every action is noted and carried out at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from app.domain.identity import STRONG, Identity, strong
from app.domain.lead import (
    Action,
    Advance,
    CloseConflict,
    Connection,
    Lead,
    Link,
    OpenConflict,
    Origin,
    Rebase,
    Refuse,
    Reread,
    SetCell,
    SetCounter,
    SetField,
)
from app.domain.policy import NAMES
from app.domain.values import JSON, MISSING, Missing, is_empty

#: Which lead owns a strong identity.
Owners = Mapping[Identity, str]


@dataclass(slots=True)
class Draft:
    """A lead and its links while the plan is made: every action is noted and carried out at once."""

    lead: Lead
    links: dict[str, Link] = field(default_factory=dict)
    owners: Owners = field(default_factory=dict)
    #: what links count that take no part in this plan
    silent: Mapping[str, int] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    #: up to which action each link has learnt what moved
    known: dict[str, int] = field(default_factory=dict)
    #: the connections that have a record of this lead
    connections: dict[str, Connection] = field(init=False)

    def __post_init__(self) -> None:
        self.connections = {link.connection.id: link.connection for link in self.links.values()}

    def names(self) -> dict[str, JSON]:
        """Returns the name fields as they are now."""
        return {name: self.lead.values.get(name) for name in NAMES}

    def emit(self, action: Action) -> None:
        """Notes an action and carries it out."""
        self.actions.append(action)
        self.do(action)

    def set(
        self,
        name: str,
        value: JSON,
        *,
        rule: str,
        origin: Origin,
        link: str | None = None,
        losers: tuple[Mapping[str, JSON], ...] = (),
        derived: bool = False,
        clears: bool = False,
        event_at: str | None = None,
    ) -> None:
        """Gives a field of the lead a value; what is said of it is explained at `SetField`."""
        old = self.lead.values.get(name)
        self.emit(
            SetField(
                field=name, value=value, old=old, rule=rule, origin=origin, link=link, losers=losers, derived=derived,
                clears=clears, event_at=event_at,
            )
        )  # fmt: skip

    def do(self, action: Action) -> None:
        """Carries one action out."""
        match action:
            case SetField():
                _set_field(self.lead, action)
            case SetCell():
                self.links[action.link].put(action.field, action.cell)
            case Advance(link=link, remote=remote):
                self.links[link].base_remote.update(remote)
            case SetCounter(link=link, field=name, epoch=epoch, count=count):
                self.links[link].counters.setdefault(name, {})[epoch] = count
            case Rebase(link=link, mapping_version=version):
                self.links[link].rebase(version)
            case Reread(link=link):
                self.links[link].reread = True
            case Refuse() | OpenConflict() | CloseConflict():
                pass  # kept for people; no value moves
            case _:
                assert_never(action)


def _set_field(lead: Lead, action: SetField) -> None:
    name = action.field
    lead.values[name] = action.value
    lead.origins[name] = action.origin
    lead.untouched = _marked(lead.untouched, name, is_marked=False)
    lead.derived = _marked(lead.derived, name, is_marked=action.derived)
    if action.clears or not is_empty(action.value):
        lead.cleared = _marked(lead.cleared, name, is_marked=action.clears)
    if name == "is_positive_reply":
        lead.positive_at = action.event_at


def _marked(names: frozenset[str], name: str, *, is_marked: bool) -> frozenset[str]:
    if (name in names) is is_marked:
        return names
    return names | {name} if is_marked else names - {name}


def origin_of(link: Link) -> Origin:
    """Returns where a value that this link shows comes from."""
    return Origin(link.connection.source, link.connection.id, link.observed_at)


def taken(draft: Draft, name: str, value: JSON | Missing) -> str | None:
    """Returns the other lead that owns this strong identity, if any."""
    if name not in STRONG or not draft.owners or value is None or value is MISSING:
        return None
    for identity in strong({name: value}):
        owner = draft.owners.get(identity)
        if owner is not None and owner != draft.lead.id:
            return owner
    return None
