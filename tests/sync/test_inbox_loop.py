"""The inbox's loop: at once after an acknowledgement, again after a crash, and never stopped by one delivery."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.db import deliveries
from app.db.session import Database
from app.inbox import Inbox, applied
from app.main import create_app
from app.vault import webhook_hash
from tests.conftest import Urls, execute
from tests.sync.conftest import Bench

REPLY = {"event_type": "reply_received", "timestamp": "2026-03-02T09:15:00.000Z"}
#: Seconds a test waits for something that happens in the background.
SOON = 10.0


@pytest.fixture
async def told(bench: Bench) -> Bench:
    """A world that reads Instantly, with two leads."""
    for name in ("ada", "eve"):
        bench.world.instantly.store.add_lead(bench.campaigns[0].id, email=f"{name}@acme.test", first_name=name)
    await bench.instantly()
    return bench


def reply(name: str, **more: Any) -> dict[str, Any]:
    return REPLY | {"lead_email": f"{name}@acme.test"} | more


async def states(bench: Bench) -> dict[str, int]:
    async with bench.world.transaction() as tx:
        rows = await tx.all("SELECT state, count(*) AS n FROM webhook_delivery GROUP BY 1")
    return {row["state"]: row["n"] for row in rows}


async def until(bench: Bench, **wanted: int) -> None:
    """Waits until the deliveries are in these states."""
    async with asyncio.timeout(SOON):
        while await states(bench) != wanted:  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.01)


def name_of(urls: Urls) -> str:
    return urlsplit(urls.app).path.lstrip("/")


@contextlib.asynccontextmanager
async def working(inbox: Inbox) -> AsyncIterator[None]:
    task = asyncio.create_task(inbox.work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_is_acknowledged_is_applied_at_once(told: Bench) -> None:
    app = create_app(runtime=told.world.runtime)
    account = await told.value("SELECT id FROM provider_account WHERE provider = 'instantly'")
    sealed = await told.value("SELECT secret FROM provider_account WHERE id = $1", account)
    secret = told.world.runtime.vault.open(sealed)["webhook_secret"]
    assert await told.value("SELECT webhook_hash FROM provider_account WHERE id = $1", account) == webhook_hash(
        secret.encode()
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")
    async with app.router.lifespan_context(app), client:
        await asyncio.sleep(0.1)
        began = perf_counter()
        answer = await client.post(
            f"/api/webhooks/instantly/{told.campaigns[0].id}", json=reply("ada"), headers={"X-Webhook-Secret": secret}
        )
        await until(told, applied=1)
        # long before the next sweep
        assert perf_counter() - began < 2

    assert answer.status_code == 202
    assert (await told.lead("ada@acme.test")).values["status"] == "replied"


async def test_what_a_crash_left_behind_is_found_by_the_sweep(told: Bench) -> None:
    async with working(Inbox(told.world.runtime, sweep_every=0.02)):
        await asyncio.sleep(0.1)
        await told.deliver(reply("ada"))
        await until(told, applied=1)


async def test_two_instances_apply_the_same_deliveries_once(told: Bench) -> None:
    for number in range(30):
        await told.deliver(reply("ada", event_type="email_opened", step=number))

    await asyncio.gather(*(Inbox(told.world.runtime).drain() for _ in range(3)))

    assert await states(told) == {"applied": 30}
    assert (await told.lead("ada@acme.test")).values["status"] == "opened"
    assert await told.value("SELECT count(*) FROM activity WHERE kind = 'mail.opened'") == 30


async def test_one_that_cannot_be_applied_holds_nobody_up_and_is_set_aside_at_last(told: Bench, urls: Urls) -> None:
    await execute(
        urls.owner,
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room for this one'; END $$",
        "CREATE TRIGGER broken BEFORE INSERT ON activity FOR EACH ROW WHEN (new.kind = 'mail.bounced')"
        " EXECUTE FUNCTION broken()",
    )
    bad = await told.deliver(reply("ada", event_type="email_bounced"))
    await told.deliver(reply("ada"))
    await told.deliver(reply("eve"))
    inbox = Inbox(told.world.runtime)
    await inbox.drain()
    first = await states(told)
    for _ in range(deliveries.ATTEMPTS):
        await execute(urls.owner, "UPDATE webhook_delivery SET next_attempt_at = NULL")
        await inbox.drain()

    assert first == {"applied": 2, "received": 1}
    assert await states(told) == {"applied": 2, "failed": 1}
    assert await told.value("SELECT reason FROM webhook_delivery WHERE id = $1", bad)


class Moody:
    """A pool that has a bad moment now and then."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.is_away = False

    def acquire(self, **options: Any) -> Any:
        if self.is_away:
            raise ConnectionRefusedError
        return self._pool.acquire(**options)

    async def rest(self, connection: Any) -> None:
        await self._pool.rest(connection)

    async def release(self, connection: Any) -> None:
        await self._pool.release(connection)


async def test_it_waits_for_its_database_and_goes_on_alone(told: Bench) -> None:
    pool = Moody(told.world.runtime.db._pool)
    inbox = Inbox(replace(told.world.runtime, db=Database(pool)), sweep_every=0.02)
    pool.is_away = True
    async with working(inbox):
        await told.deliver(reply("ada"))
        await asyncio.sleep(0.1)
        assert await states(told) == {"received": 1}
        pool.is_away = False
        await until(told, applied=1)


async def test_a_lead_that_somebody_holds_locked_keeps_only_its_own_delivery_waiting(told: Bench, urls: Urls) -> None:
    await execute(urls.owner, f"ALTER ROLE leadkeeper_app IN DATABASE {name_of(urls)} SET lock_timeout = '50ms'")
    await told.deliver(reply("ada"))
    await told.deliver(reply("eve"))
    db = await Database.open(urls.app)
    inbox = Inbox(replace(told.world.runtime, db=db), sweep_every=0.02, first_wait=0.01)
    async with told.world.transaction() as tx:
        await tx.run("SELECT FROM lead WHERE email = 'ada@acme.test' FOR UPDATE")
        async with working(inbox):
            await until(told, applied=1, received=1)
    await execute(urls.owner, "UPDATE webhook_delivery SET next_attempt_at = NULL")
    await inbox.drain()
    await db.close()

    assert await states(told) == {"applied": 2}


async def test_the_loop_ends_when_its_block_ends(told: Bench) -> None:
    async with applied(told.world.runtime) as inbox:
        inbox.nudge()
        await asyncio.sleep(0.05)

    await told.deliver(reply("ada"))
    inbox.nudge()
    await asyncio.sleep(0.1)
    assert await states(told) == {"received": 1}
