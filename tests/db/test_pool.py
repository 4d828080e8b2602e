"""The pool: a connection that committed is at hand at once, and nothing that asyncpg's pool takes care of is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.db.pool import UNUSED, Pool
from app.db.session import Database
from tests.conftest import Urls


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def opened(urls: Urls, time: Time | None = None) -> AsyncIterator[Pool]:
    pool = Pool(await asyncpg.create_pool(urls.app, min_size=1, max_size=2), time or Time())
    yield pool
    await asyncio.wait_for(pool.close(), 30)


async def process(pool: Pool) -> int:
    """Returns the server's process behind the next connection, which rests afterwards."""
    connection = await pool.acquire(timeout=30)
    found: int = await connection.fetchval("SELECT pg_backend_pid()")
    await pool.rest(connection)
    return found


async def test_a_connection_at_rest_is_taken_again(urls: Urls) -> None:
    async with opened(urls) as pool:
        assert await process(pool) == await process(pool)
        assert (pool.get_size(), pool.get_idle_size()) == (1, 1)


async def test_who_waits_gets_the_connection_that_comes_to_rest(urls: Urls) -> None:
    async with opened(urls) as pool:
        both = [await pool.acquire(timeout=30) for _ in range(2)]
        waiting = asyncio.create_task(pool.acquire(timeout=30))
        await asyncio.sleep(0.01)
        assert not waiting.done()

        await pool.rest(both[0])

        third = await asyncio.wait_for(waiting, 30)
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.01)
        await pool.rest(both[1])
        await pool.release(third)


async def test_a_connection_that_broke_while_it_rested_is_replaced(urls: Urls) -> None:
    async with opened(urls) as pool:
        before = await process(pool)
        owner = await asyncpg.connect(urls.owner)
        await owner.execute("SELECT pg_terminate_backend($1)", before)
        await owner.close()
        async with asyncio.timeout(30):
            while pool.get_size():  # noqa: ASYNC110 - the connection has no event
                await asyncio.sleep(0.01)

        assert await process(pool) != before


async def test_a_connection_that_nobody_used_for_long_is_replaced(urls: Urls) -> None:
    time = Time()
    async with opened(urls, time) as pool:
        before = await process(pool)
        time.now += UNUSED
        assert await process(pool) == before
        time.now += UNUSED + 1
        assert await process(pool) != before


async def test_closing_waits_for_a_transaction_under_way(urls: Urls) -> None:
    db = await Database.open(urls.app, size=2)
    closing = None
    async with db.transaction() as tx:
        closing = asyncio.create_task(db.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        assert await tx.value("SELECT 1") == 1
    await asyncio.wait_for(closing, 30)


async def test_only_what_was_committed_rests(urls: Urls) -> None:
    db = await Database.open(urls.app, size=2)
    with contextlib.suppress(ZeroDivisionError):
        async with db.transaction():
            raise ZeroDivisionError
    assert db._pool._resting == []
    async with db.transaction():
        pass
    assert len(db._pool._resting) == 1
    await db.close()
