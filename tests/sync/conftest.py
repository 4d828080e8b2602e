"""A small world: a workspace connected to both sandboxes, in one process, on a database of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.db import deliveries, leads, links, reviews
from app.domain.lead import Lead
from app.lab import agreement
from app.lab.sandboxes import KEY, TOKEN, furnished
from app.lab.transport import InProcess
from app.lab.world import Unlimited, World, in_process
from app.sandbox.core import MovableClock
from app.sync import edit
from app.sync.canonical import canonical
from app.vault import webhook_hash
from tests.conftest import Urls


@dataclass
class Bench:
    """What a test does to the world, in its own words."""

    world: World
    clock: MovableClock

    @property
    def base(self) -> Any:
        return self.world.base

    @property
    def table(self) -> Any:
        return self.world.table

    @property
    def campaigns(self) -> list[Any]:
        return list(self.world.instantly.store.campaigns.values())

    def row(self, **cells: Any) -> str:
        """Adds a row in Airtable, a while ago."""
        fields = {name.replace("_", " ").title().replace("Crm Id", "CRM ID"): value for name, value in cells.items()}
        return str(self.table.create({"Status": "New"} | fields).id)

    def cell(self, record_id: str, name: str) -> Any:
        """Reads a cell as Airtable shows it."""
        return self.table.read(self.table.records[record_id]).get(name)

    def edit_there(self, record_id: str, **cells: Any) -> None:
        """Edits cells on Airtable's own screen."""
        self.clock.advance(1)
        self.table.edit(record_id, {name.replace("_", " ").title(): value for name, value in cells.items()})

    def calls(self) -> int:
        """How many calls Airtable has had."""
        return len(self.world.airtable.sandbox.calls)

    async def airtable(self, **settings: Any) -> UUID:
        """Connects the table and approves its plan."""
        config = {"base_id": self.base.id, "table_id": self.table.id}
        connection_id = await self.world.connect("airtable", config, {"token": TOKEN}, **settings)
        return await self._go(connection_id, **settings)

    async def instantly(self, **settings: Any) -> UUID:
        """Connects the Instantly workspace and approves its plan."""
        config = {"campaign_ids": None, "pacing_seconds": 0}
        return await self._go(await self.world.connect("instantly", config, {"api_key": KEY}, **settings), **settings)

    async def _go(self, connection_id: UUID, *, auto_approve: bool = False, **_: Any) -> UUID:
        await self.world.settle()
        if not auto_approve:
            await self.world.approve(connection_id)
            await self.settle()
        return connection_id

    async def settle(self) -> None:
        """Works everything that is due, also what was changed a moment ago."""
        async with self.world.transaction() as tx:
            # a change is pushed once it is a second old
            await tx.run(
                "UPDATE lead SET updated_at = now() - interval '5 s' WHERE updated_at > now() - interval '4 s'"
            )
        await self.world.settle()

    async def sync(self, *connection_ids: UUID, kind: str = "delta") -> None:
        """Runs connections now."""
        for connection_id in connection_ids:
            await self.world.queue(connection_id, kind)
        await self.settle()

    async def lead(self, email: str) -> Lead:
        """Returns the lead with this address."""
        async with self.world.transaction() as tx:
            lead_id = await tx.value("SELECT id FROM lead WHERE email = $1 AND deleted_at IS NULL", email)
            stored = await leads.get(tx, lead_id)
        assert stored is not None
        return stored.lead

    async def patch(self, email: str, **values: Any) -> None:
        """Edits a lead as REST does."""
        lead = await self.lead(email)
        async with self.world.transaction() as tx:
            await edit.change(tx, UUID(lead.id), canonical(values), actor="ann@team.test")

    async def items(self, kind: str, *states: str) -> list[Any]:
        """Returns review items, the oldest first."""
        async with self.world.transaction() as tx:
            return list(reversed(await reviews.page(tx, [kind], states or ["open"], 100)))

    async def link(self, connection_id: UUID, record_id: str) -> links.StoredLink:
        """Returns the link of a record."""
        stored = await self.world.connection(connection_id)
        async with self.world.transaction() as tx:
            link_id = await tx.value("SELECT id FROM link WHERE remote_key = $1", record_id)
            return (await links.by_ids(tx, [link_id], {connection_id: stored.view}))[0]

    async def agree(self, connection_id: UUID) -> None:
        """Both sides hold the same, cell by cell."""
        found = await agreement.measure(
            self.world.runtime.db, self.world.tenant, connection_id, self.world.airtable, forgiven=frozenset({"held"})
        )
        assert found.holds, found

    async def deliver(self, payload: Any) -> UUID:
        """Keeps what Instantly tells of the campaign it names, or of the first; nothing applies it yet."""
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        row = deliveries.delivery(
            body,
            fingerprint=self.world.runtime.vault.address,
            account_id=await self.value("SELECT id FROM provider_account WHERE provider = 'instantly'"),
            path="all" if isinstance(payload, dict) and "campaign" in payload else self.campaigns[0].id,
        )
        (stored,) = await deliveries.store(self.world.runtime.db, [row])
        assert stored is not None
        return stored.id

    async def value(self, sql: str, *args: Any) -> Any:
        """Returns one value from the database."""
        async with self.world.transaction() as tx:
            return await tx.value(sql, *args)


@contextlib.asynccontextmanager
async def opened(urls: Urls, data_dir: Any, *, is_dated: bool = False) -> AsyncIterator[Bench]:
    """Opens a world with an empty table and two empty campaigns; `is_dated`: with one clock for all of it."""
    clock = MovableClock()
    airtable, instantly = furnished(clock)
    instantly.store.add_campaign("Founders")
    instantly.store.add_campaign("Agencies")
    transport = InProcess({"api.airtable.com": airtable.app, "api.instantly.ai": instantly.app})
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            in_process(urls.app, data_dir, airtable, instantly, transport=transport, clock=clock if is_dated else None)
        )
        world.runtime.limiter = Unlimited()
        yield Bench(world, clock)


@pytest.fixture
async def bench(urls: Urls, tmp_path: Any) -> AsyncIterator[Bench]:
    """A world with an empty table and two empty campaigns."""
    async with opened(urls, tmp_path) as bench:
        yield bench


@dataclass
class Wired:
    """A world whose Instantly can reach it, with one clock for both."""

    bench: Bench
    #: nothing gets through
    is_away: bool = False

    @property
    def hooks(self) -> list[Any]:
        """The webhooks there are at Instantly."""
        return list(self.bench.world.instantly.deliveries.hooks.all.values())

    async def take(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        """Takes a delivery in, as the route does."""
        if self.is_away:
            raise ConnectionRefusedError("Connection refused")
        row = deliveries.delivery(
            body,
            fingerprint=self.bench.world.runtime.vault.address,
            secret_hash=webhook_hash(headers["X-Webhook-Secret"].encode()),
            path=url.rpartition("/")[2],
        )
        (stored,) = await deliveries.store(self.bench.world.runtime.db, [row])
        return 401 if stored is None else 202

    async def pass_time(self, seconds: float) -> None:
        """Lets Instantly deliver and retry in the meantime, and then works what is due here."""
        there = self.bench.world.instantly.deliveries
        until = self.bench.clock.now() + timedelta(seconds=seconds)
        while (due := there.next_due()) is not None and due <= until:
            self.bench.clock.advance(max(0.0, (due - self.bench.clock.now()).total_seconds()) + 0.01)
            await there.deliver_due()
        self.bench.clock.advance(max(0.0, (until - self.bench.clock.now()).total_seconds()))
        await self.bench.world.settle()


@pytest.fixture
async def wired(urls: Urls, tmp_path: Any) -> AsyncIterator[Wired]:
    """A world that Instantly can reach."""
    async with opened(urls, tmp_path, is_dated=True) as bench:
        runtime = bench.world.runtime
        runtime.settings = runtime.settings.model_copy(update={"public_url": "https://leads.example.test"})
        wired = Wired(bench)
        bench.world.instantly.deliveries.sender = wired.take
        # one call for a list that fits one page, so that calls can be counted
        bench.world.instantly.switches.cursor_on_last_page = False
        yield wired
