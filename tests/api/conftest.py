"""The API in process: one database for all of these tests, a workspace of its own for each."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.db import keys, workspaces
from app.db.session import Role, Tenant
from app.lab.sandboxes import COLUMNS, TOKEN
from app.lab.transport import InProcess
from app.lab.world import Unlimited
from app.main import create_app
from app.runtime import Runtime, opened
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import MovableClock
from app.sandbox.instantly import InstantlySandbox
from app.scheduler import Worker
from app.settings import Settings
from app.vault import new_key
from tests.api.produced import noting

ROLES: tuple[Role, ...] = ("operator", "admin", "member", "viewer", "cron")


@dataclass
class Clients:
    """One workspace, and an HTTP client per role."""

    app: FastAPI
    runtime: Runtime
    workspace_id: UUID
    stack: contextlib.AsyncExitStack
    made: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.workspace_id, "admin")

    async def key(self, role: Role, acts_for: str | None = None) -> str:
        """Makes an API key."""
        key, prefix, hashed = new_key()
        async with self.runtime.db.transaction(self.tenant) as tx:
            await keys.create(tx, name=f"{role} key", role=role, prefix=prefix, key_hash=hashed, acts_for=acts_for)
        return key

    async def of(self, role: Role, acts_for: str | None = None) -> httpx.AsyncClient:
        """Returns a client with a key of this role."""
        name = f"{role} {acts_for}"
        if name not in self.made:
            headers = {"Authorization": f"Bearer {await self.key(role, acts_for)}"}
            self.made[name] = await self.stack.enter_async_context(browser(self.app, headers))
        return self.made[name]


def browser(app: FastAPI, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Returns a client of an app in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(noting(app)), base_url="http://api.test", headers=headers)


@pytest.fixture(scope="session")
def airtable() -> AirtableSandbox:
    """An Airtable account with a table for whoever asks."""
    sandbox = AirtableSandbox(clock=MovableClock(), seed=1)
    sandbox.switches.limiter = False
    sandbox.store.add_token(TOKEN)
    return sandbox


@pytest.fixture(scope="session")
def instantly() -> InstantlySandbox:
    """Instantly, where every key is another account."""
    sandbox = InstantlySandbox(clock=MovableClock(), seed=1)
    sandbox.switches.rate_limits = False
    sandbox.store.add_campaign("Founders")
    return sandbox


@pytest.fixture(scope="session")
async def runtime(
    clone: Callable[[], Any],
    airtable: AirtableSandbox,
    instantly: InstantlySandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Runtime]:
    urls = await clone()
    settings = Settings(database_url=urls.app, data_dir=Path(tmp_path_factory.mktemp("data")))
    transport = InProcess({"api.airtable.com": airtable.app, "api.instantly.ai": instantly.app})
    async with opened(settings, transport=transport) as runtime:
        runtime.limiter = Unlimited()
        yield runtime


@pytest.fixture(scope="session")
def app(runtime: Runtime) -> FastAPI:
    return create_app(runtime=runtime)


@pytest.fixture
async def team(app: FastAPI, runtime: Runtime) -> AsyncIterator[Clients]:
    """A workspace."""
    async with contextlib.AsyncExitStack() as stack:
        yield Clients(app, runtime, await workspaces.create(runtime.db), stack)


@pytest.fixture
async def others(app: FastAPI, runtime: Runtime) -> AsyncIterator[Clients]:
    """Another workspace."""
    async with contextlib.AsyncExitStack() as stack:
        yield Clients(app, runtime, await workspaces.create(runtime.db), stack)


@pytest.fixture
async def member(team: Clients) -> httpx.AsyncClient:
    return await team.of("member", "noor@team.test")


@pytest.fixture
async def admin(team: Clients) -> httpx.AsyncClient:
    return await team.of("admin", "ada@team.test")


@pytest.fixture
def table(airtable: AirtableSandbox) -> dict[str, str]:
    """An empty table of its own, as a connection's config."""
    base = airtable.store.add_base("Sales")
    return {"base_id": base.id, "table_id": base.add_table("Leads", COLUMNS).id}


@pytest.fixture
def wanted(table: dict[str, str]) -> dict[str, Any]:
    """A request for a connection to that table."""
    return {"provider": "airtable", "name": "Sales", "config": table, "secret": {"token": TOKEN}}


@pytest.fixture
def settle(runtime: Runtime) -> Callable[[], Any]:
    """Works everything that is due."""
    worker = Worker(runtime, "tests")

    async def work() -> None:
        while True:
            await worker.tick()
            if not worker.is_busy:
                return
            await worker.idle()

    return work
