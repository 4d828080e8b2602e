"""What is remembered, seen and decided of one field of one link: the values that `merge` reads and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum

from app.domain.policy import Rule
from app.domain.values import JSON, MISSING, Missing, value


class State(StrEnum):
    """Where a field of a link stands."""

    #: both sides hold what base says
    AGREED = "agreed"
    #: the lead has news the provider must get
    PENDING = "pending"
    #: a value was sent and is not confirmed yet
    INFLIGHT = "inflight"
    #: a conflict waits for a person; base is frozen on both sides
    HELD = "held"
    #: the sides differ and that is accepted, with a reason
    DIVERGED = "diverged"


class Strategy(StrEnum):
    """Who wins when both sides bring news for one field."""

    REMOTE_WINS = "remote_wins"
    LAST_MODIFIED_WINS = "last_modified_wins"
    LOCAL_WINS = "local_wins"
    MANUAL = "manual"


@value
class Sent:
    """A value that left for the provider, stored before it was sent."""

    remote: JSON
    local: JSON
    #: the instant until which the call may still be in the air (in flight), or may still land (ghost)
    until: str
    #: what the provider showed before, kept where the value came from another connection (see `Flapping`)
    replaced: JSON | Missing = MISSING
    #: ghost: further values that were given up before and may still land, each as [remote, local]
    also: list[list[JSON]] = field(default_factory=list)

    @property
    def values(self) -> list[list[JSON]]:
        """Every value that may land, each as [remote, local]."""
        return [[self.remote, self.local], *self.also]


@value
class Flapping:
    """How often the remote undid our own confirmed write."""

    #: what our write replaced
    replaced: JSON
    since: str
    times: int = 0


@value
class Cell:
    """What a link remembers of one field."""

    state: State = State.AGREED
    #: base: what the provider last showed (raw), and the lead's value at that moment; MISSING before first contact
    remote: JSON | Missing = MISSING
    local: JSON | Missing = MISSING
    sent: Sent | None = None
    ghost: Sent | None = None
    #: observations that started before this instant say nothing about this field
    fresh: str | None = None
    #: why it is held or diverged
    reason: str | None = None
    #: diverged: what the other side holds; held: [there, here] as the open item shows them, and what is there as it is
    other: JSON = None
    flapping: Flapping | None = None

    @property
    def is_plain(self) -> bool:
        """Tells whether nothing is remembered beside the base."""
        rest = (self.sent, self.ghost, self.fresh, self.reason, self.other, self.flapping)
        return self.state is State.AGREED and rest == _NOTHING


_NOTHING = (None,) * 6


@value
class Seen:
    """What an observation showed of a field: raw, and in canonical form (or why it has none)."""

    raw: JSON
    #: MISSING: the record was looked at, and shows nothing of this field that has a name
    value: JSON | Missing
    #: when the request that showed it started
    at: str
    #: why the value cannot be taken ("… is not an e-mail address"), or None
    refused: str | None = None
    #: the record's own modification time, where the provider tells it
    modified_at: str | None = None
    #: another lead that has this value already, where a value belongs to one lead only
    owner: str | None = None


@value
class Here:
    """The lead's side of a field."""

    value: JSON
    #: a person or an authority emptied it on purpose
    cleared: bool = False
    #: it holds a default, or a half of a name, that nobody gave: it yields like an empty value
    yields: bool = False
    #: the authority connection its value came from; None: a person, or no authority
    origin: str | None = None
    #: the connection that speaks outranks that one
    outranked: bool = True
    #: when it was set
    at: str = ""


@value
class How:
    """The rule a field meets on one connection."""

    rule: Rule
    connection: str
    strategy: Strategy = Strategy.REMOTE_WINS
    #: direction "push": the provider is told, never asked
    push_only: bool = False
    #: direction "pull": the provider is asked, never told
    pull_only: bool = False
    #: whether an empty is a value of this field
    clears: bool = True
    #: canonical agreement of a lead value and an observed one
    same: Callable[[JSON, JSON], bool] = lambda here, there: bool(here == there)
    #: for rules that unite both sides: (base local, here, there, time) -> united, and what of it is there already
    unite: Callable[[JSON | Missing, JSON, JSON, str], tuple[JSON, JSON]] | None = None
    #: what a lead value looks like when it stands in a base
    freeze: Callable[[JSON], JSON] = lambda value: value
    #: the mapping has changed since the base was read
    rebase: bool = False


@value
class Conflict:
    """Both sides brought news: the three values, and who won (None: a person decides)."""

    base: JSON | Missing
    local: JSON
    remote: JSON
    winner: str | None
    why: str


@value
class Verdict:
    """What one observation, or one edit, means for a field."""

    cell: Cell
    #: the lead's new value; MISSING: it stays
    value: JSON | Missing = MISSING
    conflict: Conflict | None = None
    #: the value was refused, and why
    refused: str | None = None
    #: an observation came too early to count: look again
    reread: bool = False
