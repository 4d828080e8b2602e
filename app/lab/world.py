"""A small world to run the product in: both sandboxes with their data, and a workspace connected to them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx

from app.db import connections, keys, runs, workspaces
from app.db.session import DatabaseUnavailable, Probe, Role, Tenant, Tx
from app.domain.cells import Strategy
from app.domain.values import JSON
from app.lab.servers import serving
from app.lab.transport import delivering_over_http
from app.providers.base import Resource
from app.runtime import Runtime, opened, probe_account
from app.sandbox.airtable import AirtableSandbox, Base, Table
from app.sandbox.instantly import InstantlySandbox
from app.scheduler import Worker
from app.settings import Settings
from app.sync import connect, plans
from app.vault import new_key

T = TypeVar("T")
#: Seconds for which the database may be away.
AWAY = 60.0


class Unlimited:
    """A limiter for what is not about limits."""

    async def acquire(self, resources: Sequence[Resource]) -> None:
        """Lets every call leave at once."""

    async def pause(self, resource: Resource, seconds: float) -> None:
        """Keeps nobody from calling."""


@dataclass(slots=True, kw_only=True)
class World:
    """A workspace with its runtime, and the sandboxes it is connected to."""

    runtime: Runtime
    tenant: Tenant
    airtable: AirtableSandbox
    instantly: InstantlySandbox
    worker: Worker

    async def connect(
        self, kind: str, config: Mapping[str, JSON], secret: dict[str, str], *, name: str | None = None, **settings: Any
    ) -> UUID:
        """Connects a provider, as `POST /api/admin/connections` does."""
        if "conflict_strategy" in settings:
            settings["conflict_strategy"] = Strategy(settings["conflict_strategy"])
        wanted = connect.Wanted(
            provider=kind,
            name=name or kind.capitalize(),
            config=config,
            **self.runtime.account(kind, config, secret),
            **settings,
        )
        columns = await probe_account(self.runtime, kind, dict(config), secret)
        table = connect.check(wanted, columns)
        async with self.transaction() as tx:
            return await connect.connect(tx, wanted, table, actor="lab")

    @property
    def base(self) -> Base:
        """The one base of the sandbox Airtable."""
        return next(iter(self.airtable.store.bases.values()))

    @property
    def table(self) -> Table:
        """The one table of it."""
        found: Table = next(iter(self.base.tables.values()))
        return found

    def transaction(self) -> contextlib.AbstractAsyncContextManager[Tx]:
        """Opens a transaction of the workspace."""
        return self.runtime.db.transaction(self.tenant)

    async def settle(self) -> int:
        """Works everything that is due, until nothing is; returns how often something was."""
        rounds = 0
        while True:
            await self.worker.tick()
            if not self.worker.is_busy:
                return rounds
            await self.worker.idle()
            rounds += 1

    async def approve(self, connection_id: UUID) -> None:
        """Approves a connection's first plan."""
        async with self.runtime.db.transaction(self.tenant) as tx:
            await plans.approve(tx, connection_id, actor="lab")

    async def ask(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Does something in a transaction, also while the database comes back."""
        deadline = time.monotonic() + AWAY
        while True:
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def queue(self, connection_id: UUID, kind: str = "delta") -> None:
        """Asks for a run."""
        await self.ask(lambda tx: runs.queue(tx, connection_id, kind, "lab"))

    async def key(self, role: Role, *, acts_for: str | None = None) -> str:
        """Makes an API key of this role."""
        key, prefix, hashed = new_key()
        async with self.transaction() as tx:
            await keys.create(tx, name="lab", role=role, prefix=prefix, key_hash=hashed, acts_for=acts_for)
        return key

    async def connection(self, connection_id: UUID) -> connections.Stored:
        """Returns a connection as it is now."""
        async with self.transaction() as tx:
            stored = await connections.get(tx, connection_id)
        assert stored is not None
        return stored


@contextlib.asynccontextmanager
async def over_http(
    settings: Settings, airtable: AirtableSandbox, instantly: InstantlySandbox, *, database: str
) -> AsyncIterator[World]:
    """Opens a world whose providers are real HTTP servers on loopback ports."""
    async with serving(airtable.app) as airtable_url, serving(instantly.app) as instantly_url:
        local = settings.model_copy(update={"airtable_api_url": airtable_url, "instantly_api_url": instantly_url})
        async with opened(local, database=database, fresh=True) as runtime, delivering_over_http(instantly):
            yield await make(runtime, airtable, instantly)


@contextlib.asynccontextmanager
async def in_process(
    database_url: str,
    data_dir: Path,
    airtable: AirtableSandbox,
    instantly: InstantlySandbox,
    *,
    transport: httpx.AsyncBaseTransport,
    clock: Any = None,
    probe: Probe | None = None,
    rng: random.Random | None = None,
) -> AsyncIterator[World]:
    """Opens a world without sockets, on a database that is there already; a simulation owns its clock and its I/O."""
    settings = Settings(database_url=database_url, data_dir=data_dir)
    async with opened(settings, clock=clock, transport=transport, probe=probe, rng=rng) as runtime:
        yield await make(runtime, airtable, instantly)


async def make(
    runtime: Runtime, airtable: AirtableSandbox, instantly: InstantlySandbox, name: str | None = None
) -> World:
    """Makes a workspace in an open runtime."""
    workspace_id = await workspaces.create(runtime.db, name)
    return World(
        runtime=runtime,
        tenant=Tenant(workspace_id, "admin"),
        airtable=airtable,
        instantly=instantly,
        worker=Worker(runtime, "lab"),
    )
