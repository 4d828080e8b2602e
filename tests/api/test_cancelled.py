"""Requests cancelled at any moment leave nothing behind: no tenant on a connection, no open transaction, no lost place.

`make test ARGS="tests/api/test_cancelled.py --cancelled 3000"` cancels more of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from statistics import median
from time import perf_counter

import asyncpg
import httpx
import pytest

from app.db import workspaces
from app.db.session import NOBODY, Database, Tenant
from app.main import create_app
from app.runtime import Runtime
from tests.api.conftest import Clients
from tests.conftest import Urls

POOL, AT_ONCE = 5, 12


@pytest.fixture
async def small(runtime: Runtime, urls: Urls) -> AsyncIterator[Runtime]:
    """The service on a database of its own, with few connections and no limit to requests."""
    settings = runtime.settings.model_copy(update={"rate_per_minute": 10**9})
    db = await Database.open(urls.app, size=POOL)
    yield replace(runtime, db=db, settings=settings)
    await db.close()


async def seen(db: Database, tenant: Tenant) -> tuple[int, int, int]:
    """Returns how many leads, changes and keys a tenant sees without asking for its own."""
    async with db.transaction(tenant) as tx:
        row = await tx.one(
            "SELECT (SELECT count(*) FROM lead), (SELECT count(*) FROM lead_change), (SELECT count(*) FROM api_key)"
        )
        return row[0], row[1], row[2]


async def request(client: httpx.AsyncClient, path: str, rng: random.Random) -> httpx.Response:
    """Reads or writes something."""
    key = {"Idempotency-Key": str(rng.randrange(10**9))}
    email = f"p{rng.randrange(10**9)}@x.test"
    match rng.randrange(9):
        case 0:
            return await client.get("/api/leads?sort=-updated_at&limit=5")
        case 1:
            return await client.patch(path, json={"title": email})
        case 2:
            return await client.post("/api/leads", json={"email": email}, headers=key)
        case 3:
            return await client.post(f"{path}/notes", json={"text": email}, headers=key)
        case 4:
            return await client.post(f"{path}/claim", json={"claimed_by": email})
        case 5:
            return await client.get("/api/events?wait=0")
        case 6:
            return await client.get("/api/leads/export?format=ndjson")
        case _:
            return await client.get(path)


async def test_cancelled_requests_leave_no_tenant_no_transaction_and_a_whole_pool(
    small: Runtime, urls: Urls, pytestconfig: pytest.Config
) -> None:
    wanted: int = pytestconfig.getoption("cancelled")
    app, db = create_app(runtime=small), small.db
    ended: Counter[str] = Counter()
    idle = Tenant(await workspaces.create(db))
    async with contextlib.AsyncExitStack() as stack:
        clients, paths = [], []
        for _ in range(2):
            client = await Clients(app, small, await workspaces.create(db), stack).of("admin")
            clients.append(client)
            paths.append((await client.post("/api/leads", json={"email": "first@x.test"})).headers["location"])
        usual = await _usual(clients[0], paths[0])

        async def cancel_some(number: int) -> None:
            rng = random.Random(number)
            while ended["cancelled"] < wanted:
                one = rng.randrange(2)
                task = asyncio.create_task(request(clients[one], paths[one], rng))
                await asyncio.sleep(rng.random() * usual * AT_ONCE)
                task.cancel()
                try:
                    ended[str((await task).status_code)] += 1
                except asyncio.CancelledError:
                    ended["cancelled"] += 1
                if rng.random() < 0.05:
                    # in the middle of it all, on whichever connection comes first
                    assert await seen(db, NOBODY) == (0, 0, 0)
                    assert await seen(db, idle) == (0, 0, 0)

        await asyncio.gather(*(cancel_some(number) for number in range(AT_ONCE)))
        # the service works as it did
        assert (await clients[0].get(paths[0])).status_code == 200
        assert {lead["email"] for lead in (await clients[1].get("/api/leads?sort=id&limit=1")).json()["items"]}

    assert "500" not in ended, ended
    assert ended["200"] + ended["201"] > wanted / 20, ended
    assert not app.state.feeds._feeds
    await _check_pool(db, urls, idle)


async def _usual(client: httpx.AsyncClient, path: str) -> float:
    """Returns how many seconds a request takes when nobody is in its way; a busy moment of the machine is none."""
    rng, took = random.Random(1), []
    for _ in range(20):
        began = perf_counter()
        await request(client, path, rng)
        took.append(perf_counter() - began)
    return min(median(took), 0.02)


async def _check_pool(db: Database, urls: Urls, idle: Tenant) -> None:
    """Every place of the pool can be had at the same time, knows no tenant and has no transaction open."""
    for _ in range(3 * POOL):
        assert await seen(db, NOBODY) == (0, 0, 0)
        assert await seen(db, idle) == (0, 0, 0)
    pool = db._pool
    assert pool.get_idle_size() == pool.get_size()
    connections = [await pool.acquire(timeout=5) for _ in range(POOL)]
    try:
        for connection in connections:
            left = await connection.fetchrow(
                "SELECT coalesce(current_setting('app.workspace_id', true), '') AS workspace,"
                " coalesce(current_setting('app.role', true), '') AS role, pg_current_xact_id_if_assigned() AS xid"
            )
            assert tuple(left) == ("", "", None)
            assert not connection.is_in_transaction()
    finally:
        for connection in connections:
            await pool.release(connection)
    owner = await asyncpg.connect(urls.owner)
    try:
        states = await owner.fetch(
            "SELECT state, count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'leadkeeper' GROUP BY 1"
        )
    finally:
        await owner.close()
    assert [tuple(row) for row in states] == [("idle", POOL)]
