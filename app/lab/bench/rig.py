"""Where benches run: throwaway PostgreSQL servers in a temporary folder, and worlds of ready-made leads at rest.

A bench never touches a database of yours, whatever DATABASE_URL says. What is timed against a floor runs on a server
with stock settings; one without fsync serves figures in which durability plays no part (calls, quota, memory).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from app.db import embedded, keys, migrate, workspaces
from app.db.connections import Lease
from app.db.ids import new_id
from app.db.session import Database, Tenant
from app.lab.scratch import connected
from app.lab.transport import InProcess
from app.lab.world import Unlimited, World, in_process
from app.sandbox.airtable import AirtableSandbox, Table
from app.sandbox.core import Clock, MovableClock
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.seed import FIELDS
from app.sync.job import Job
from app.vault import new_key

TOKEN = "patBENCH.x"  # noqa: S105 - the sandbox's own
TEMPLATE = "lk_template"
NOBODY = UUID(int=0)
#: Rows one statement of a load makes: it stays below the app role's statement timeout.
LOAD = 5_000
#: What every record shows beside its own address.
CELLS = {
    "Full Name": "Ada van den Berg",
    "Company": "Northwind B.V.",
    "Website": "https://www.northwind.example",
    "Title": "Head of Operations",
    "Location": "Utrecht, Netherlands",
    "Industry": "Logistics",
    "Company Size": "51-200",
    "Verified": True,
    "Enriched": True,
    "Status": "Contacted",
    "Source": "LinkedIn",
    "Phone": "+31301234567",
    "Notes": "Knows the founder.\nAsked to call back in spring.",
}


@dataclass(frozen=True, slots=True)
class Urls:
    """A database's address for each of the two roles."""

    owner: str
    app: str


class Rig:
    """The servers of one bench run, started when first needed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leadkeeper-bench-"))
        # the server's own account must be able to pass through
        self.folder.chmod(0o711)
        self._servers: dict[bool, embedded.EmbeddedPostgres] = {}
        self._numbers = itertools.count(1)
        #: what several figures share, because it takes long to make
        self.kept: dict[str, Any] = {}

    async def database(self, *, durable: bool) -> Urls:
        """Makes a migrated database on a server with stock settings, or on one that trades safety for speed."""
        if durable not in self._servers:
            self._servers[durable] = await self._start(durable=durable)
        server, name = self._servers[durable], f"bench_{next(self._numbers)}"
        async with connected(server.dsn(user=embedded.OWNER, database="postgres")) as admin:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        return Urls(
            server.dsn(user=embedded.OWNER, database=name), server.dsn(user=migrate.APP_ROLE, database=name)
        )  # fmt: skip

    async def _start(self, *, durable: bool) -> embedded.EmbeddedPostgres:
        folder = self.folder / ("durable" if durable else "fast")
        server = await asyncio.to_thread(embedded.start, folder, fast_unsafe=not durable)
        owner, app = await migrate.create_embedded(server, TEMPLATE)
        await migrate.migrate(owner, app)
        return server

    def close(self) -> None:
        """Stops the servers and removes their folder."""
        for server in self._servers.values():
            server.stop(immediate=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def world(
        self, urls: Urls, *, clock: Clock | None = None, latency: float = 0.0, limiter: bool = False
    ) -> AsyncIterator[Scene]:
        """Opens a world of one Airtable table with one record, in agreement with its lead.

        With a `clock` the service lives by it too; then a call may take `latency` seconds of that clock.
        """
        time = clock or MovableClock()
        airtable, instantly = AirtableSandbox(clock=time, seed=1), InstantlySandbox(clock=time, seed=1)
        airtable.switches.limiter = False
        base = airtable.store.add_base("Sales")
        table = base.add_table("Leads", FIELDS)
        airtable.store.add_token(TOKEN)
        sandboxes = InProcess({"api.airtable.com": airtable.app, "api.instantly.ai": instantly.app})
        transport = _Slow(sandboxes, clock, latency) if clock and latency else sandboxes
        async with in_process(urls.app, self.folder, airtable, instantly, transport=transport, clock=clock) as world:
            shared = world.runtime.limiter
            world.runtime.limiter = Unlimited()
            scene = Scene(world=world, table=table, urls=urls)
            scene.connection_id = await self._connect(scene)
            if limiter:
                world.runtime.limiter = shared
                airtable.switches.limiter = True
            yield scene

    async def _connect(self, scene: Scene) -> UUID:
        scene.record_ids = [scene.add_row(0)]
        target = {"base_id": scene.table.base.id, "table_id": scene.table.id}
        connection_id = await scene.world.connect(
            "airtable", target, {"token": TOKEN}, create="none", auto_approve=True, schedule_minutes=1440
        )
        await scene.world.settle()
        return connection_id


class _Slow(httpx.AsyncBaseTransport):
    """A network on which every call takes some time of the clock that was handed in."""

    def __init__(self, inner: httpx.AsyncBaseTransport, clock: Clock, seconds: float) -> None:
        self._inner = inner
        self._clock = clock
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._clock.sleep(self._seconds)
        return await self._inner.handle_async_request(request)


@dataclass(slots=True, kw_only=True)
class Scene:
    """A world with one connection, and what a bench does to it."""

    world: World
    table: Table
    urls: Urls
    connection_id: UUID = NOBODY
    record_ids: list[str] = field(default_factory=list)

    @property
    def calls(self) -> list[Any]:
        """Every Airtable call so far."""
        return self.world.airtable.sandbox.calls

    def add_row(self, number: int) -> str:
        """Adds a row in Airtable as if it had been there for days, and returns its id."""
        record = self.table.create({**CELLS, "Email": address(number)})
        record.created = record.edited = float(int((self.table.store.clock.now() - timedelta(days=5)).timestamp()))
        return record.id

    async def grow(self, number: int, *, rows_there: bool = False) -> None:
        """Makes further leads at rest with their links, in SQL; with `rows_there` Airtable has their rows too."""
        first = len(self.record_ids)
        for start in range(first, first + number, LOAD):
            numbers = range(start, min(start + LOAD, first + number))
            fresh = [self.add_row(n) if rows_there else f"rec{n:014d}" for n in numbers]
            self.record_ids += fresh
            await self._copy(numbers, fresh)
        async with connected(self.urls.owner) as owner:
            await owner.execute("VACUUM (ANALYZE) lead, link, lead_identity, lead_change")

    async def _copy(self, numbers: Sequence[int], record_ids: Sequence[str]) -> None:
        """Copies the one lead that went through the whole pipeline, with its link and its identity."""
        leads, ids = [new_id() for _ in numbers], [new_id() for _ in numbers]
        emails = [address(n) for n in numbers]
        async with self.world.transaction() as tx:
            model = await tx.one("SELECT id, lead_id FROM link WHERE remote_key = $1", self.record_ids[0])
            await tx.run(
                "INSERT INTO lead SELECT r.* FROM lead l, unnest($2::uuid[], $3::text[]) AS c(id, email),"
                " LATERAL jsonb_populate_record(l, jsonb_build_object('id', c.id, 'email', c.email)) AS r"
                " WHERE l.id = $1",
                model["lead_id"], leads, emails,
            )  # fmt: skip
            await tx.run(
                "INSERT INTO lead_identity (workspace_id, kind, value, lead_id) SELECT $1, 'email', * FROM"
                " unnest($2::text[], $3::uuid[])",
                tx.workspace_id, emails, leads,
            )  # fmt: skip
            await tx.run(
                "INSERT INTO link SELECT r.* FROM link k, unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[])"
                " AS c(id, lead_id, email, record), LATERAL jsonb_populate_record(k, jsonb_build_object('id', c.id,"
                " 'lead_id', c.lead_id, 'remote_key', c.record, 'remote_id', c.record,"
                " 'observed', k.observed || jsonb_build_object('email', c.email),"
                " 'base_remote', k.base_remote || jsonb_build_object('email', c.email),"
                " 'base_local', k.base_local || jsonb_build_object('email', c.email))) AS r WHERE k.id = $1",
                model["id"], ids, leads, emails, list(record_ids),
            )  # fmt: skip

    @contextlib.asynccontextmanager
    async def job(self) -> AsyncIterator[Job]:
        """Leases the connection for as long as the block runs."""
        world = self.world
        async with world.transaction() as tx:
            until = tx.now + timedelta(hours=12)
            token = await tx.value(
                "UPDATE connection SET lease_owner = 'bench', lease_until = $2, lease_token = lease_token + 1"
                " WHERE id = $1 RETURNING lease_token",
                self.connection_id, until,
            )  # fmt: skip
        lease = Lease(world.runtime.db, world.tenant, self.connection_id, "bench", token, until)
        stored = await world.connection(self.connection_id)
        async with world.runtime.adapter(world.runtime.db, world.tenant, stored) as adapter:
            yield Job(db=world.runtime.db, tenant=world.tenant, connection=stored, adapter=adapter, lease=lease)
        await lease.release(None)

    async def run(self, sql: str, *args: Any) -> int:
        """Runs one statement as the app role and returns how many rows it touched."""
        async with self.world.transaction() as tx:
            return await tx.run(sql, *args)

    async def value(self, sql: str, *args: Any) -> Any:
        """Returns one value from the database."""
        async with self.world.transaction() as tx:
            return await tx.value(sql, *args)

    async def tidy(self) -> None:
        """Cleans up after a round, so that the next one meets the same tables."""
        async with connected(self.urls.owner) as owner:
            await owner.execute("VACUUM (ANALYZE) lead, link, lead_change")
            await owner.execute("CHECKPOINT")


def address(number: int) -> str:
    """Returns the address of the person with this number."""
    return f"person{number}@northwind.example"


async def workspace(db: Database) -> tuple[UUID, str]:
    """Makes a workspace, and a key that reads it."""
    workspace_id = await workspaces.create(db)
    key, prefix, hashed = new_key()
    async with db.transaction(Tenant(workspace_id)) as tx:
        await keys.create(tx, name="bench", role="viewer", prefix=prefix, key_hash=hashed)
    return workspace_id, key
