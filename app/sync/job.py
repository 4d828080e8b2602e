"""What the stages of one piece of work share: the connection, its provider, its lease, and what was counted."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.db import connections, links, runs
from app.db.connections import Lease, Stored
from app.db.session import Database, Tenant, Tx
from app.domain.lead import Connection
from app.domain.values import JSON, instant
from app.errors import LeadkeeperError
from app.providers.base import Provider, Record
from app.providers.outreach import CampaignSource, HookSource, MailSource, RowWriter

#: The stream of a connection's records.
STREAM = "records"


class Cancelled(LeadkeeperError):
    """The run was cancelled; what was done so far stays done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """An address somebody must not write to, and where."""

    email: str
    scope: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A connection's provider, and how its records become observations."""

    provider: Provider
    observe: Callable[[Record], links.Observation]
    #: keyed hash of an address, or of another mark of a person
    fingerprint: Callable[[str], bytes]
    #: whom a record says not to write to
    suppressed: Callable[[Record], Suppressed | None] = lambda _record: None
    #: several remote records of one lead are normal (campaign memberships)
    many_per_lead: bool = False
    #: what else a provider of mail campaigns can do
    rows: RowWriter | None = None
    #: what it can tell of campaigns, and the name their links carry, which says nothing of the provider's id
    campaigns: CampaignSource | None = None
    namespace: Callable[[str], str] = str
    #: False: observations leave fields out that the records show
    shows_all: bool = True
    hooks: HookSource | None = None
    mails: MailSource | None = None


#: Opens a connection's provider for one turn.
OpenAdapter = Callable[[Database, Tenant, Stored], AbstractAsyncContextManager[Adapter]]


@dataclass(slots=True, kw_only=True)
class Job:
    """One connection's turn."""

    db: Database
    tenant: Tenant
    connection: Stored
    adapter: Adapter
    lease: Lease
    run_id: UUID | None = None
    #: what a person decided for this run, or asked it for
    options: Mapping[str, JSON] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    stage: str = ""
    done: int = 0
    total: int | None = None
    began: datetime | None = None
    #: the turn is over: the connection has stopped, or must be opened anew
    ended: bool = False
    #: fields whose mass clear waits for a person
    held_clears: frozenset[str] = frozenset()

    @property
    def id(self) -> UUID:
        """The connection's id."""
        return self.connection.id

    @contextlib.asynccontextmanager
    async def fenced(self) -> AsyncIterator[Tx]:
        """Opens a transaction, and keeps anybody from taking the connection over until it ends.

        Raises:
            LeaseLost: somebody has.
        """
        async with self.counting() as tx:
            await self.lease.fence(tx)
            yield tx

    @contextlib.asynccontextmanager
    async def counting(self) -> AsyncIterator[Tx]:
        """Opens a transaction, and forgets what was counted in it where it fails: the next try counts it again."""
        before = self.counters.copy(), self.stage, self.done, self.total, self.began
        try:
            async with self.db.transaction(self.tenant) as tx:
                yield tx
        except BaseException:
            self.counters, self.stage, self.done, self.total, self.began = before
            raise

    async def outlast_a_write(self) -> datetime:
        """Makes sure that the lease outlasts a write that leaves now; returns the time now."""
        return await self.lease.ensure(self.lease.write_seconds * 1.25)

    async def may_write(self) -> None:
        """Is the guard of a write; raises `LeaseLost` where the connection was taken over meanwhile."""
        await self.outlast_a_write()
        # whoever takes a campaign from this workspace takes the lease as well
        async with self.fenced():
            pass

    def count(self, name: str, by: int = 1) -> None:
        """Adds to a counter of the run."""
        if by:
            self.counters[name] += by

    async def progress(self, tx: Tx, stage: str, *, done: int = 0, total: int | None = None) -> None:
        """Writes the run's progress down, together with the work it speaks of."""
        if stage != self.stage:
            self.stage, self.done, self.total, self.began = stage, 0, None, tx.now
        self.done += done
        self.total = total if total is not None else self.total
        if self.run_id is None:
            return
        progress = {"done": self.done, "total": self.total, **pace(self.done, self.total, self.began, tx.now)}
        if not await runs.note(tx, self.run_id, stage=stage, counters=self.counters, progress=progress):
            raise Cancelled

    async def views(self, tx: Tx) -> dict[UUID, Connection]:
        """Returns every connection that has a say now: the active ones, and the one being worked."""
        stored = await connections.every(tx)
        return {c.id: c.view for c in stored if c.state == "active" or c.id == self.id}


def pace(done: int, total: int | None, began: datetime | None, now: datetime) -> dict[str, JSON]:
    """Returns how many a second a stage has done so far, and when it ends if it goes on like this."""
    seconds = (now - began).total_seconds() if began else 0.0
    if seconds <= 0 or not done:
        return {"rate": None, "eta": None}
    rate = done / seconds
    left = None if total is None else max(0, total - done) / rate
    return {"rate": round(rate, 1), "eta": None if left is None else instant(now + timedelta(seconds=left))}


def earlier(value: datetime, seconds: float) -> str:
    """Returns the instant `seconds` before a time."""
    return instant(value - timedelta(seconds=seconds))
