"""A world without sockets and without waiting, in which something can happen before and after every I/O call.

The stages, the database and the sandboxes are the real ones; the clock, the randomness, the ids and the moments between
two I/O calls belong to the simulation. A crash is an exception no stage can catch: the worker's turn is dropped as it
stands, and nothing it has open reaches the database any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from app.db import connections
from app.db.connections import LEASE_SECONDS, Stored
from app.db.ids import seed_ids
from app.db.session import Database, Tenant
from app.lab.clock import SkewedClock, VirtualClock
from app.lab.sandboxes import KEY, TOKEN, furnished
from app.lab.transport import InProcess
from app.lab.world import World, in_process
from app.sync import run
from app.sync.job import Adapter

#: Turns after which work that never ends is called by its name.
MANY_TURNS = 300


class Crash(BaseException):
    """The process is gone. Not an `Exception`: no handler of the product may catch it."""


class Endless(AssertionError):
    """Work that is due again at once, for ever."""


#: Called with the name of the moment: "commit", "committed", "call POST /path", "answer POST /path".
Moment = Callable[[str, httpx.Request | None, httpx.Response | None], Awaitable[None]]


async def nothing(_name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
    """Is what usually happens."""


class Moments:
    """Every moment between two I/O calls; whoever drives the simulation decides what happens in it."""

    def __init__(self) -> None:
        self.happen: Moment = nothing
        self._inside = False

    async def database(self, name: str) -> None:
        """The database's probe."""
        await self.reach(name)

    async def reach(
        self, name: str, request: httpx.Request | None = None, answer: httpx.Response | None = None
    ) -> None:
        """Lets the moment happen; what happens in it has no moments of its own."""
        if self._inside:
            return
        self._inside = True
        try:
            await self.happen(name, request, answer)
        finally:
            self._inside = False


class Hooked(httpx.AsyncBaseTransport):
    """A transport with a moment before and after every call."""

    def __init__(self, inner: httpx.AsyncBaseTransport, moments: Moments) -> None:
        self._inner = inner
        self._moments = moments

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        what = f"{request.method} {request.url.path}"
        await self._moments.reach(f"call {what}", request)
        try:
            response = await self._inner.handle_async_request(request)
        except httpx.TransportError:
            await self._moments.reach(f"answer {what}", request)
            raise
        await response.aread()
        await self._moments.reach(f"answer {what}", request, response)
        return response


class Late(httpx.AsyncBaseTransport):
    """A transport that can keep a call back: its caller gives up, and the provider gets it later all the same."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        #: set by the driver: the next call is kept back
        self.keeps_next = False
        self.kept: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.keeps_next:
            self.keeps_next = False
            self.kept.append(request)
            raise httpx.ReadTimeout("The answer takes too long.", request=request)
        return await self._inner.handle_async_request(request)

    async def deliver(self) -> tuple[httpx.Request, httpx.Response]:
        """Lets the oldest call that was kept back arrive."""
        request = self.kept.pop(0)
        return request, await self._inner.handle_async_request(request)


@dataclass(slots=True, kw_only=True)
class Simulated(World):
    """A simulated world and its levers."""

    clock: VirtualClock
    skew: SkewedClock
    moments: Moments
    late: Late
    rng: random.Random
    generation: int = 0
    #: records per listing page and per read, where it is not the provider's own
    page_size: int | None = None

    @property
    def owner(self) -> str:
        """The name of the worker that lives now."""
        return f"worker {self.generation}"

    async def connect_airtable(self, **settings: Any) -> UUID:
        """Connects the table; its plan waits for approval."""
        config = {"base_id": self.base.id, "table_id": self.table.id}
        return await self.connect("airtable", config, {"token": TOKEN}, **settings)

    async def connect_instantly(self, **settings: Any) -> UUID:
        """Connects the workspace; its plan waits for approval."""
        config = {"campaign_ids": None, "pacing_seconds": 0.5}
        return await self.connect("instantly", config, {"api_key": KEY}, **settings)

    async def turn(self) -> bool:
        """Works one connection that is due; returns False where none is."""
        leases = await connections.claim(self.runtime.db, self.owner, 1)
        for lease in leases:
            await run.turn(self.runtime.db, lease, self._adapter, heartbeat=False)
        return bool(leases)

    @contextlib.asynccontextmanager
    async def _adapter(self, db: Database, tenant: Tenant, connection: Stored) -> AsyncIterator[Adapter]:
        async with self.runtime.adapter(db, tenant, connection) as adapter:
            if self.page_size is not None:
                adapter.provider.read_batch = self.page_size
            yield adapter

    async def settle(self) -> int:
        """Works everything that is due, also what was changed a moment ago; returns how many turns it took."""
        self.clock.advance(2)
        turns = 0
        while await self.turn():
            turns += 1
            if turns > MANY_TURNS:
                raise Endless(f"After {turns} turns there is still work that is due at once.")
        return turns

    async def die(self) -> None:
        """Ends the worker that crashed; its lease runs out, and another one takes over."""
        self.generation += 1
        self.clock.advance(LEASE_SECONDS + 1)
        # what was open when it died is rolled back by now
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def simulated(database_url: str, seed: int, *, limits: bool = True) -> AsyncIterator[Simulated]:
    """Opens an empty simulated world on a migrated, empty database."""
    rng = random.Random(seed)
    clock, moments = VirtualClock(), Moments()
    skew = SkewedClock(clock)
    airtable, instantly = furnished(skew, (rng.randrange(1 << 30), rng.randrange(1 << 30)))
    # windows of a limit know no clock that goes back
    airtable.limits.clock = clock
    airtable.switches.limiter = limits
    late = Late(InProcess({"api.airtable.com": airtable.app, "api.instantly.ai": instantly.app}))
    transport = Hooked(late, moments)
    seed_ids(random.Random(rng.randrange(1 << 30)), clock.now)
    try:
        with tempfile.TemporaryDirectory(prefix="leadkeeper-simulated-") as folder:
            async with in_process(
                database_url,
                Path(folder),
                airtable,
                instantly,
                transport=transport,
                clock=clock,
                probe=moments.database,
                rng=random.Random(rng.randrange(1 << 30)),
            ) as world:
                yield Simulated(
                    runtime=world.runtime, tenant=world.tenant, airtable=airtable, instantly=instantly,
                    worker=world.worker, clock=clock, skew=skew, moments=moments, late=late, rng=rng,
                )  # fmt: skip
    finally:
        seed_ids(None)
