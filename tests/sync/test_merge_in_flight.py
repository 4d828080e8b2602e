"""A merge in the middle of a sync, at every moment of it: nothing is lost, and both sides agree in the end.

Locks decide who comes first, so both orders are tried: the merge waits for a transaction of the sync that is about to
commit, or it has its locks, and goes on once the next transaction of the sync waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

import pytest

from app.db import leads, runs
from app.db.session import Database
from app.scheduler import Worker
from app.sync import decide, merge
from app.sync.merge import Preview
from tests.sync.conftest import Bench

#: Seconds after which a transaction that goes on waits for nobody.
SOON = 0.03
#: Seconds within which a merge has its locks, waits or has ended, however busy the machine is.
PATIENCE = 10.0
Order = Literal["the merge waits", "the sync waits"]


class Interrupted:
    """A worker whose n-th transaction meets somebody else."""

    def __init__(self, bench: Bench) -> None:
        runtime = bench.world.runtime
        self._worker = Worker(replace(runtime, db=Database(runtime.db._pool, probe=self._probe)), "interrupted")
        self._point = ""
        self._left = 0
        self._act: Callable[[], Awaitable[None]] | None = None

    async def _probe(self, point: str) -> None:
        if point == self._point and self._act is not None:
            self._left -= 1
            if not self._left:
                act, self._act = self._act, None
                await act()

    async def settle(self, n: int, point: str, act: Callable[[], Awaitable[None]]) -> bool:
        """Works what is due; returns whether there was an n-th transaction."""
        self._point, self._left, self._act = point, n, act
        await self._worker.tick()
        await self._worker.idle()
        came = self._act is None
        self._act = None
        return came


@dataclass
class Merging:
    """The merge of two leads beside something else."""

    bench: Bench
    one: UUID
    other: UUID
    task: asyncio.Task[Preview] | None = None

    async def begin(self, order: Order) -> None:
        """Starts it, and comes back when it waits, has ended, or has its locks and lets the other one run into them."""
        locked = asyncio.Event()
        self.task = asyncio.create_task(self._merge(locked, order))
        await self._until(lambda: self._ended or (order == "the sync waits" and locked.is_set()), PATIENCE)

    async def _merge(self, locked: asyncio.Event, order: Order) -> Preview:
        async with self.bench.world.transaction() as tx:
            await leads.lock(tx, [self.one, self.other])
            locked.set()
            if order == "the sync waits":
                await self._until(lambda: False, SOON)
            return await merge.merge(tx, self.one, self.other, choices={}, actor="ann@team.test", dry_run=False)

    @property
    def _ended(self) -> bool:
        return self.task is not None and self.task.done()

    async def _until(self, so_far: Callable[[], bool], seconds: float) -> None:
        """Waits until somebody waits for a lock, or for a moment."""
        sql = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock')"
        )
        for _ in range(int(seconds / 0.005)):
            if so_far() or await self.bench.value(sql):
                return
            await asyncio.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "moments"),
    [
        ("the sync waits", range(32)),
        # who waits for a transaction that locks leads comes after it: only storing a page and placing it lock none
        ("the merge waits", range(8)),
        pytest.param("the merge waits", range(8, 32), marks=pytest.mark.by_hand),
    ],
)
async def test_a_merge_at_any_moment_of_a_sync_loses_nothing(bench: Bench, order: Order, moments: range) -> None:
    pairs = {n: (bench.row(email=f"one{n}@x.test"), bench.row(email=f"other{n}@x.test")) for n in moments}
    airtable = await bench.airtable(create="all")
    interrupted = Interrupted(bench)

    met = 0
    while met < len(moments) and await told(bench, airtable, interrupted, moments[met], pairs[moments[met]], order):
        met += 1

    # all of it was met: reading, placing, judging, reading again and writing
    assert moments[0] + met > 15 or met == len(moments)
    assert await bench.value("SELECT count(*) FROM sync_run WHERE state = 'failed'") == 0
    await bench.agree(airtable)


async def told(
    bench: Bench, airtable: UUID, interrupted: Interrupted, n: int, rows: tuple[str, str], order: Order
) -> bool:
    """Two leads with news on both sides, and a new row about one of them; the n-th transaction meets their merge."""
    # long after what was read last
    bench.clock.advance(300)
    one, other = [UUID((await bench.lead(f"{who}{n}@x.test")).id) for who in ("one", "other")]
    bench.edit_there(rows[0], company=f"Berg {n}")
    bench.edit_there(rows[1], title=f"CEO {n}")
    third = bench.row(full_name=f"Anna {n}", email=f"other{n}@x.test", phone="0612345678")
    await bench.patch(f"one{n}@x.test", claimed_by="ann@team.test")
    await bench.patch(f"other{n}@x.test", status="replied")
    async with bench.world.transaction() as tx:
        await runs.queue(tx, airtable, "delta", "test")
    merging = Merging(bench, one, other)

    point = "commit" if order == "the merge waits" else "committed"
    came = await interrupted.settle(n + 1, point, lambda: merging.begin(order))
    if merging.task is None:
        await merging.begin(order)
    assert merging.task is not None
    await merging.task
    await bench.settle()

    links = await bench.value(
        "SELECT jsonb_object_agg(remote_key, jsonb_build_array(lead_id, writing, dirty, push_due, error)) FROM link"
        " WHERE remote_key = ANY($1)",
        [*rows, third],
    )
    at_rest = [False, False, None]
    assert links == {record: [str(one), record == rows[0], *at_rest] for record in (*rows, third)}, n
    values = (await bench.lead(f"one{n}@x.test")).values
    assert (values["company_name"], values["status"]) == (f"Berg {n}", "replied"), n
    assert bench.cell(rows[0], "Status") == "Replied", n
    return came


async def test_a_conflict_that_a_merge_moves_meanwhile_is_decided_where_it_is(bench: Bench) -> None:
    first, second = bench.row(email="one@x.test"), bench.row(email="other@x.test", title="CEO")
    airtable = await bench.airtable(conflict_strategy="manual")
    bench.edit_there(second, title="CTO")
    await bench.patch("other@x.test", title="COO")
    await bench.sync(airtable)
    (item,) = await bench.items("conflict")
    one, other = [UUID((await bench.lead(f"{who}@x.test")).id) for who in ("one", "other")]
    merging = Merging(bench, one, other)
    await merging.begin("the sync waits")

    async with bench.world.transaction() as tx:
        decided = await decide.resolve(tx, item["id"], keep="remote", version=item["version"], actor="ann@team.test")
    await bench.settle()

    assert merging.task is not None
    assert merging.task.done()
    assert (decided["state"], decided["lead_id"]) == ("decided", one)
    assert (await bench.lead("one@x.test")).values["title"] == bench.cell(first, "Title") == "CTO"
    await bench.agree(airtable)
