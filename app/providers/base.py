"""What the sync stages know of a provider: records, pages, columns, typed errors and one Protocol.

A provider is a small adapter around one HTTP funnel. It holds no state between calls, applies no policy, opens no
database; its clock, its limiter and its HTTP client are handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from app.domain.mapping import Column as Column  # a part of what a provider says
from app.errors import LeadkeeperError

JSON = Any
#: What a stream position looks like is the provider's own business; it is stored as JSON with the rows it covers.
Cursor = dict[str, JSON]
Mode = Literal["delta", "full", "sweep"]
#: Called when a write is about to leave, after every wait; raises where the write must not be sent any more.
Guard = Callable[[], Awaitable[None]]


class Clock(Protocol):
    """Time, handed in so that a simulation can own it."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Resource:
    """Something a provider limits: one base, one token, one workspace."""

    key: str
    #: calls per second a caller may make, spread evenly
    rate: float


class Limiter(Protocol):
    """Call budgets shared by every instance of the service."""

    async def acquire(self, resources: Sequence[Resource]) -> None:
        """Waits until one call may leave, and counts it against every resource."""
        ...

    async def pause(self, resource: Resource, seconds: float) -> None:
        """Keeps everybody from calling `resource` for that long (a 429 was answered)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One remote record as it was shown.

    `cells` holds the requested columns by column id, raw: None means shown empty; a column that is not in `cells` was
    not shown at all (MISSING).
    """

    key: str
    remote_id: str
    cells: dict[str, JSON]
    #: instants (`YYYY-MM-DDTHH:MM:SS.mmmZ`) or None where the provider does not say
    created_at: str | None = None
    modified_at: str | None = None
    #: the payload as it came, where it holds more than the cells
    raw: dict[str, JSON] | None = None
    #: the campaign it belongs to, by the provider's id; None where there are none
    campaign: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer of one listing call."""

    records: list[Record]
    #: where to go on; None: the stream is read to its end
    next: Cursor | None
    #: the provider's own time when it answered (its Date header), an instant
    server_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Cells to be written to one record; None clears a cell. `remote_id` is None for a record to be created."""

    remote_id: str | None
    cells: dict[str, JSON]


class Provider(Protocol):
    """One connection's account at a provider, opened for one piece of work."""

    #: records per write call, and records per read by id
    write_batch: int
    read_batch: int

    async def schema(self) -> list[Column]:
        """Returns the columns of the target; raises a `ProviderError` that says what is missing."""
        ...

    def start(self, mode: Mode, since: str | None = None) -> Cursor:
        """Returns the position before the first page: everything (`full`), ids only (`sweep`), or what was modified
        at or after the instant `since` (`delta`; providers without a change filter list everything)."""
        ...

    async def page(self, cursor: Cursor) -> Page:
        """Reads one page with one call (one call more where a list of sub-streams must be learnt first)."""
        ...

    async def read(self, remote_ids: Sequence[str]) -> list[Record]:
        """Returns the records that exist among `remote_ids` (at most `read_batch`), in one call."""
        ...

    async def find(self, column: str, values: Sequence[str]) -> list[Record]:
        """Returns the records whose `column` holds one of `values` (case-insensitively)."""
        ...

    async def update(self, writes: Sequence[Write], guard: Guard) -> list[Record]:
        """Writes at most `write_batch` records, all or none, and returns them as they are afterwards, in order.

        Never retried after anything that may have been processed: raises `Uncertain` instead.
        """
        ...

    async def create(self, writes: Sequence[Write], guard: Guard, merge_on: str | None = None) -> list[Record]:
        """Creates at most `write_batch` records, in order; with `merge_on` an existing record with the same value in
        that column is updated instead."""
        ...

    async def delete(self, remote_ids: Sequence[str], guard: Guard) -> None:
        """Deletes at most `write_batch` records; one that is not there any more is no error.

        Never retried after anything that may have been processed: raises `Uncertain` instead.
        """
        ...

    async def close(self) -> None: ...


class ProviderError(LeadkeeperError):
    """The provider did not do what it was asked."""

    def __init__(self, message: str, *, details: Mapping[str, JSON] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class Refused(ProviderError):
    """The account, its key or its plan does not allow this. The connection stops until a person mends it."""


class QuotaUsedUp(Refused):
    """The monthly call quota is used up. Waiting minutes does not help, so nothing is retried."""


class RateLimited(ProviderError):
    """The provider asks to wait longer than one piece of work may wait."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ProviderError):
    """The provider could not be reached, or failed, and nothing was written."""


class Uncertain(ProviderError):
    """A write may or may not have happened: its answer was lost. Look before writing again."""


class CursorExpired(ProviderError):
    """The provider has forgotten the list position; the listing starts again."""


class Rejected(ProviderError):
    """The provider understood the request and will not do it as it is (a bad value, an unknown column).

    `kind` is the provider's own error type, `column` the id or name it complains about, where it says so.
    """

    def __init__(self, message: str, *, kind: str = "", column: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.column = column
