"""Statistics: every number is what counting by hand gives, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.api.routes.stats import lead_stats
from app.db import reviews, runs, stats
from app.db.ids import new_id
from app.db.session import Tenant
from app.sync.tidy import tidy
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
    await (await others.of("member")).post("/api/leads", json={"full_name": "Theirs", "source": "Theirs"})

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


COUNTED_BY_HAND = """
    SELECT c.by, c.value, count(*) AS leads FROM lead l, LATERAL (VALUES ('all', NULL), ('status', status),
        ('source', source), ('owner', claimed_by), ('positive', NULL),
        ('week', date_trunc('week', created_at AT TIME ZONE 'UTC')::date::text)) AS c(by, value)
    WHERE workspace_id = $1 AND deleted_at IS NULL AND (c.by <> 'positive' OR is_positive_reply) GROUP BY c.by, c.value
"""
#: One of each way in which leads are written; $2 is a random lead.
WRITES = (
    "INSERT INTO lead (workspace_id, id, source) SELECT $1, gen_random_uuid(), 'Fair' WHERE $2 IS NOT NULL",
    "INSERT INTO lead (workspace_id, id, deleted_at) SELECT $1, gen_random_uuid(), now() WHERE $2 IS NOT NULL",
    "UPDATE lead SET status = 'contacted' WHERE workspace_id = $1 AND id <> $2 AND status = 'new'",
    "UPDATE lead SET status = 'won', is_positive_reply = true, source = NULL WHERE workspace_id = $1 AND id = $2",
    "UPDATE lead SET is_positive_reply = NOT is_positive_reply, title = 'x' WHERE workspace_id = $1 AND id >= $2",
    "UPDATE lead SET claimed_by = 'me@x.test', source = 'Web' WHERE workspace_id = $1 AND id > $2",
    "UPDATE lead SET created_at = created_at - interval '8 days' WHERE workspace_id = $1 AND id = $2",
    "UPDATE lead SET deleted_at = now() WHERE workspace_id = $1 AND id = $2",
    "UPDATE lead SET deleted_at = NULL WHERE workspace_id = $1 AND id < $2",
    "SELECT erase_leads(ARRAY[$2], '{}', '{}', now()) WHERE $1 IS NOT NULL",
    "SELECT fold_lead_counts() WHERE $1 IS NOT NULL AND $2 IS NOT NULL",
)


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_what_counting_gives_whatever_is_written(team: Clients, seed: int) -> None:
    await make(team)
    rng = random.Random(seed)
    for write in rng.choices(WRITES, k=60):
        async with team.runtime.db.transaction(Tenant(team.workspace_id, "admin")) as tx:
            ids = [row["id"] for row in await tx.all("SELECT id FROM lead ORDER BY id")]
            given = write.replace("$1", "$1::uuid").replace("$2", "$2::uuid")
            await tx.run(given, tx.workspace_id, rng.choice(ids or [new_id()]))
            found = {(row["by"], row["value"]): row["leads"] for row in await stats.of_leads(tx)}
            by_hand = await tx.all(COUNTED_BY_HAND, tx.workspace_id)

        assert found == {(row["by"], row["value"]): row["leads"] for row in by_hand}, write


async def test_folding_leaves_one_row_per_value_and_nothing_of_values_that_are_gone(team: Clients) -> None:
    await make(team)
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE lead SET source = 'Zebedee' WHERE workspace_id = $1", tx.workspace_id)
        await tx.run("UPDATE lead SET source = 'Fair' WHERE workspace_id = $1", tx.workspace_id)
    async with team.runtime.db.transaction(team.tenant) as tx:
        before = await stats.of_leads(tx)

    await tidy(team.runtime.db)

    async with team.runtime.db.transaction(team.tenant) as tx:
        after, rows = await stats.of_leads(tx), await tx.all("SELECT by, value FROM lead_count")
    assert after == before
    assert len(rows) == len(after)
    assert "Zebedee" not in {row["value"] for row in rows}


async def test_counts_that_are_folded_while_others_write_stay_right(team: Clients) -> None:
    await make(team)

    async def write(source: str) -> None:
        async with team.runtime.db.transaction(team.tenant) as tx:
            await tx.run(
                "INSERT INTO lead (workspace_id, id, source) VALUES ($1, $2, $3)", tx.workspace_id, new_id(), source
            )
            await asyncio.sleep(0)

    async def fold() -> None:
        async with team.runtime.db.transaction(team.tenant) as tx:
            await stats.fold(tx)

    await asyncio.gather(*(write("Fair") if n % 3 else fold() for n in range(60)))

    async with team.runtime.db.transaction(team.tenant) as tx:
        found = {(row["by"], row["value"]): row["leads"] for row in await stats.of_leads(tx)}
    assert (found["all", None], found["source", "Fair"]) == (8 + 40, 3 + 40)


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
