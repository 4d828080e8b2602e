"""Statistics: every number is what counting by hand gives, and counting is not done more often than it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from app.api.counted import LONGEST, Counted
from app.api.routes.stats import lead_stats
from app.db import reviews, runs, stats
from app.db.ids import new_id
from tests.api.conftest import Clients

MADE: list[tuple[str, str | None, str | None, str, bool | None]] = [
    # status, source, claimed by, created on, positive
    ("new", "Fair", None, "2026-03-01T23:59:59Z", None),
    ("new", None, None, "2026-03-02T00:00:00Z", None),
    ("not_interested", "Fair", "a@x.test", "2026-03-08T23:59:59Z", False),
    ("contacted", "Web", "a@x.test", "2026-03-09T00:00:00Z", None),
    ("replied", "Fair", "b@x.test", "2026-03-09T00:00:00Z", True),
    ("booked", "", None, "2026-03-10T00:00:00Z", True),
    ("lost", "Web", None, "2026-03-11T00:00:00Z", None),
    ("won", "Web", None, "2026-03-12T00:00:00Z", True),
]


async def make(team: Clients) -> None:
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.many(
            "INSERT INTO lead (workspace_id, id, status, source, claimed_by, created_at, is_positive_reply)"
            " VALUES ($1, $2, $3, $4, $5, $6::text::timestamptz, $7)",
            [(team.workspace_id, new_id(), *row) for row in MADE],
        )
        await tx.run(
            "INSERT INTO lead (workspace_id, id, deleted_at) VALUES ($1, $2, now())", tx.workspace_id, new_id()
        )


async def test_leads_are_counted_by_status_source_owner_and_week(team: Clients, others: Clients) -> None:
    await make(team)
    await (await others.of("member")).post("/api/leads", json={"source": "Theirs"})

    found = (await (await team.of("viewer")).get("/api/stats/leads")).json()

    assert (found["total"], found["claimed"], found["positive_replies"]) == (8, 3, 3)
    assert [row["status"] for row in found["by_status"]][:3] == ["new", "not_interested", "contacted"]
    assert {row["status"]: row["leads"] for row in found["by_status"]} == {
        "new": 2, "not_interested": 1, "contacted": 1, "opened": 0, "clicked": 0, "replied": 1, "booked": 1, "lost": 1,
        "won": 1,
    }  # fmt: skip
    assert found["by_source"] == [
        {"source": source, "leads": n} for source, n in (("Fair", 3), ("Web", 3), ("", 1), (None, 1))
    ]
    assert found["by_owner"] == [
        {"claimed_by": owner, "leads": n} for owner, n in ((None, 5), ("a@x.test", 2), ("b@x.test", 1))
    ]
    assert found["by_week"] == [
        {"week": week, "leads": n} for week, n in (("2026-03-09", 5), ("2026-03-02", 2), ("2026-02-23", 1))
    ]
    assert [(s["stage"], s["reached"], s["of_previous"]) for s in found["funnel"]] == [
        ("contacted", 5, 0.625), ("opened", 4, 0.8), ("clicked", 4, 1.0), ("replied", 4, 1.0), ("booked", 3, 0.75),
        ("won", 1, 0.3333),
    ]  # fmt: skip
    assert found["conversion"] == {
        "contacted_to_replied": 0.8, "replied_to_booked": 0.75, "closed_won": 0.5, "all_won": 0.125
    }  # fmt: skip


async def test_of_no_leads_there_are_no_shares(member: httpx.AsyncClient) -> None:
    found = (await member.get("/api/stats/leads")).json()

    assert (found["total"], found["by_source"], found["by_week"]) == (0, [], [])
    assert {row["leads"] for row in found["by_status"]} == {0}
    assert set(found["conversion"].values()) == {None}


async def test_only_the_most_frequent_sources_are_named_and_all_are_counted(team: Clients) -> None:
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run(
            "INSERT INTO lead (workspace_id, id, source) SELECT $1, gen_random_uuid(), 'source ' || n"
            " FROM generate_series(1, $2) n",
            team.workspace_id, stats.MOST + 20,
        )  # fmt: skip
        await tx.run(
            "INSERT INTO lead (workspace_id, id, source) VALUES ($1, $2, 'source 120')", tx.workspace_id, new_id()
        )
        found = lead_stats(await stats.of_leads(tx), tx.now)

    assert (found["total"], len(found["by_source"])) == (stats.MOST + 21, stats.MOST)
    assert found["by_source"][0] == {"source": "source 120", "leads": 2}


async def test_counting_is_done_once_at_a_time_and_kept_for_twenty_times_as_long_as_it_took() -> None:
    time, times = [0.0], [0]
    counted = Counted(lambda: time[0])
    here, there = new_id(), new_id()

    async def count(took: float = 2.0) -> bytes:
        times[0] += 1
        await asyncio.sleep(0)
        time[0] += took
        return b"%d" % times[0]

    together = await asyncio.gather(*(counted.get(here, count) for _ in range(10)))
    elsewhere = await counted.get(there, count)
    time[0] = 41.9
    kept = await counted.get(here, count)
    time[0] = 42.0
    again = await counted.get(here, lambda: count(100.0))
    time[0] += LONGEST - 0.1
    still = await counted.get(here, count)
    time[0] += 0.1

    assert together == [b"1"] * 10
    assert (elsewhere, kept, again, still) == (b"2", b"1", b"3", b"3")
    assert await counted.get(here, count) == b"4"
    assert not counted._locks


async def test_a_count_that_fails_is_not_kept() -> None:
    counted, here = Counted(), new_id()

    async def fails() -> bytes:
        raise OSError

    async def count() -> bytes:
        return b"1"

    found = await asyncio.gather(counted.get(here, fails), counted.get(here, count), return_exceptions=True)

    assert isinstance(found[0], OSError)
    assert found[1] == b"1"


async def test_syncs_are_counted_by_connection(
    team: Clients, admin: httpx.AsyncClient, wanted: dict[str, Any], settle: Callable[[], Any]
) -> None:
    made = (await admin.post("/api/admin/connections", json=wanted | {"name": "Sales"})).json()
    await settle()
    async with team.runtime.db.transaction(team.tenant) as tx:
        for state in ("done", "failed", "failed"):
            run = await runs.queue(tx, made["id"], "full", "test")
            await runs.finish(tx, run, state, {"written": 2, "observed": 1})
        old = await runs.queue(tx, made["id"], "full", "test")
        await tx.run("UPDATE sync_run SET created_at = now() - interval '40 days', state = 'done' WHERE id = $1", old)
        await runs.queue(tx, None, "full", "whole")
        await reviews.put(tx, "conflict", {}, connection_id=made["id"], field="title")
        await reviews.put(tx, "candidate", {}, field="x")
        before = await tx.value("SELECT calls FROM quota_use WHERE connection_id = $1", made["id"])
        await tx.run(
            "INSERT INTO quota_use (workspace_id, connection_id, month, calls) VALUES ($1, $2, '2020-05-01', 7)",
            tx.workspace_id, made["id"],
        )  # fmt: skip
        await tx.run(
            "INSERT INTO link (workspace_id, id, connection_id, remote_key, push_due) VALUES ($1, $2, $3, 'r1', true)",
            tx.workspace_id, new_id(), made["id"],
        )  # fmt: skip

    found = (await (await team.of("member")).get("/api/stats/sync")).json()
    longer = (await admin.get("/api/stats/sync?days=60")).json()
    wrong = await admin.get("/api/stats/sync?days=0")

    (connection,) = found["connections"]
    full = {row["state"]: row["runs"] for row in found["by_kind"] if row["kind"] == "full"}
    assert full == {"done": full["done"], "failed": 2}
    assert found["failed"] == connection["failed"] == 2
    assert found["runs"] == connection["runs"] == sum(row["runs"] for row in found["by_kind"])
    assert longer["runs"] == found["runs"] + 1
    assert connection["counters"]["written"] == found["counters"]["written"] == 6
    assert connection["calls"][-1] == {"month": "2020-05", "calls": 7}
    assert connection["calls"][0]["calls"] == found["calls_this_month"] == before > 0
    assert (connection["pending"], found["pending"]) == (1, 1)
    assert connection["open_items"]["conflict"] == 1
    assert "candidate" not in connection["open_items"]
    assert found["open_items"]["candidate"] == 1
    assert connection["last_done_at"] is not None
    assert wrong.status_code == 422
