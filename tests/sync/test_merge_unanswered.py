"""A merge while a record of one of the leads was asked for at Airtable and nobody knows yet whether it was made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal
from uuid import UUID

import pytest

from app.db.session import Database
from app.sandbox.core import Fault, FaultKind
from app.scheduler import Worker
from app.sync import edit
from tests.sync.conftest import Bench
from tests.sync.test_merge import ANNA, HOME, _merge, _unmerge

Whose = Literal["the survivor's", "the other's", "both leads'"]
Fate = Literal["answered meanwhile", "found by a look", "found in a listing", "not made"]

_FAULTS: dict[Fate, FaultKind] = {
    "found by a look": "drop_after",
    "found in a listing": "drop_after",
    "not made": "drop_before",
}


class Meeting:
    """A worker that is met by something as soon as what it sends is stored, or no answer is known to have come."""

    def __init__(self, bench: Bench, outcome: str, act: Callable[[], Awaitable[object]]) -> None:
        self._bench, self._outcome = bench, outcome
        self._act: Callable[[], Awaitable[object]] | None = act
        runtime = bench.world.runtime
        self._worker = Worker(replace(runtime, db=Database(runtime.db._pool, probe=self._probe)), "met")

    async def _probe(self, point: str) -> None:
        sql = "SELECT EXISTS (SELECT FROM write_attempt WHERE action = 'create' AND outcome = $1)"
        if point == "committed" and (act := self._act) and await self._bench.value(sql, self._outcome):
            self._act = None
            await act()

    async def settle(self) -> None:
        await self._bench.value("UPDATE lead SET updated_at = now() - interval '5 s' RETURNING 1")
        await self._worker.tick()
        await self._worker.idle()
        assert self._act is None


async def _wait_for_a_listing(bench: Bench) -> None:
    """Nobody looks for the record before a listing shows it."""
    await bench.value("UPDATE link SET next_attempt_at = now() + interval '1 h' WHERE remote_id IS NULL RETURNING 1")


async def _added(bench: Bench, email: str) -> UUID:
    async with bench.world.transaction() as tx:
        return UUID((await edit.create(tx, {"email": email}, actor="ann@team.test")).id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whose", "fate"),
    [
        ("the survivor's", "answered meanwhile"),
        ("both leads'", "answered meanwhile"),
        ("the survivor's", "found by a look"),
        ("the other's", "found by a look"),
        ("the other's", "found in a listing"),
        ("both leads'", "found in a listing"),
        ("the survivor's", "not made"),
        ("the other's", "not made"),
    ],
)
async def test_one_record_speaks_after_a_merge_and_each_its_own_after_an_unmerge(
    bench: Bench, whose: Whose, fate: Fate
) -> None:
    with_row = {"the survivor's": HOME, "the other's": ANNA}.get(whose)
    if with_row is not None:
        bench.row(email=with_row)
    airtable = await bench.airtable(create="all")
    leads = {
        email: UUID((await bench.lead(email)).id) if email == with_row else await _added(bench, email)
        for email in (ANNA, HOME)
    }
    one, other = leads[ANNA], leads[HOME]
    if fate in _FAULTS:
        bench.world.airtable.sandbox.faults.add(Fault(kind=_FAULTS[fate], method="PATCH", count=1))

    async def meet() -> None:
        await _merge(bench, one, other)
        if fate == "found in a listing":
            await _wait_for_a_listing(bench)

    await Meeting(bench, "uncertain" if fate in _FAULTS else "sent", meet).settle()
    for _ in range(2):
        await bench.sync(airtable, kind="full")

    shown = await bench.value(
        "SELECT jsonb_object_agg(remote_key, jsonb_build_array(lead_id, writing, dirty, push_due)) FROM link"
    )
    assert shown.keys() == bench.table.records.keys()
    assert sorted(shown.values()) == [[str(one), writing, False, False] for writing in [False, True][-len(shown) :]]
    seconds = [item for item in await bench.items("candidate") if item["field"] == "second record"]
    assert len(seconds) == len(shown) - 1
    await bench.agree(airtable)

    await _unmerge(bench, one)
    for _ in range(2):
        await bench.sync(airtable, kind="full")
    await bench.value("UPDATE link SET next_attempt_at = now() WHERE error LIKE '%another lead%' RETURNING 1")
    await bench.sync(airtable, kind="full")

    links = await bench.value("SELECT jsonb_object_agg(remote_key, jsonb_build_array(lead_id, writing)) FROM link")
    wanted = {r: [str(leads[bench.cell(r, "Email")]), True] for r in bench.table.records}
    assert links == wanted
    assert len(links) == 2
    assert not [item for item in await bench.items("candidate") if item["field"] == "second record"]
    await bench.agree(airtable)


async def test_a_further_record_that_is_gone_gives_no_older_one_a_say(bench: Bench) -> None:
    older = bench.row(email=HOME)
    bench.clock.advance(5)
    speaks, third = bench.row(email=ANNA), bench.row(full_name="Anna", email=ANNA)
    airtable = await bench.airtable()
    await _merge(bench, *[UUID((await bench.lead(email)).id) for email in (ANNA, HOME)])
    bench.table.delete(third)
    await bench.sync(airtable, kind="full")

    assert [(await bench.link(airtable, row)).link.writing for row in (older, speaks, third)] == [False, True, False]


async def test_an_edit_made_before_a_listing_shows_the_record_is_no_conflict_with_what_was_sent(bench: Bench) -> None:
    airtable = await bench.airtable(create="all")
    async with bench.world.transaction() as tx:
        await edit.create(tx, {"email": ANNA, "title": "CTO"}, actor="ann@team.test")
    bench.world.airtable.sandbox.faults.add(Fault(kind="drop_after", method="PATCH", count=1))

    async def meet() -> None:
        await bench.patch(ANNA, title="CEO")
        await _wait_for_a_listing(bench)

    await Meeting(bench, "uncertain", meet).settle()
    await bench.sync(airtable)

    (row,) = bench.table.records
    assert (bench.cell(row, "Title"), await bench.items("conflict", "open", "auto")) == ("CEO", [])
    await bench.agree(airtable)
