"""Live events: nothing is skipped or told twice, nothing of others is told, and every stream ends when it should."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.api.live import ALTOGETHER, PER_KEY, Feeds
from app.db import events, history, keys, leads, reviews, runs
from app.db.ids import new_id
from app.db.session import Database, DatabaseUnavailable, Tenant, Tx
from app.domain.lead import Lead
from app.main import create_app
from app.runtime import Runtime
from app.vault import new_key
from tests.api.conftest import Clients, browser
from tests.api.listener import Heard, listening

LOOK_EVERY = 0.02
#: What every event of a lead says.
SHOWN = {"lead_id", "version", "source", "actor", "run_id", "connection_id", "fields", "deleted", "erased", "at"}


def instance(runtime: Runtime, **options: Any) -> FastAPI:
    """Returns one more instance of the service, which looks for news often."""
    app = create_app(runtime=runtime)
    app.state.feeds = Feeds(runtime.db, look_every=LOOK_EVERY, **options)
    return app


@pytest.fixture
def live(runtime: Runtime) -> FastAPI:
    return instance(runtime)


async def change(tx: Tx, lead_id: UUID, version: int = 1) -> None:
    """Adds a change to a lead's history."""
    await tx.run(
        "INSERT INTO lead_change (workspace_id, id, lead_id, version, source, changes, at, xid)"
        """ VALUES ($1, $2, $3, $4, 'user', '{"title": {}}', $5, pg_current_xact_id()::text::bigint)""",
        tx.workspace_id, new_id(), lead_id, version, tx.now,
    )  # fmt: skip


async def many_changes(tx: Tx, count: int) -> None:
    """Adds many changes to a new lead's history, in versions from 1 on."""
    await tx.run(
        "INSERT INTO lead_change (workspace_id, id, lead_id, version, source, changes, xid) SELECT $1,"
        """ gen_random_uuid(), $2, v, 'user', '{"a": 1}', pg_current_xact_id()::text::bigint"""
        " FROM generate_series(1, $3) AS v",
        tx.workspace_id,
        await lead(tx),
        count,
    )


async def lead(tx: Tx) -> UUID:
    """Adds a lead without history."""
    lead_id = new_id()
    await leads.insert(tx, [(Lead(id=str(lead_id)), "user")])
    return lead_id


async def missed(app: FastAPI, key: str, after: str | None = None, **headers: str) -> list[Heard]:
    """Returns everything that is told at once."""
    path = "/api/events?wait=0" + (f"&after={after}" if after else "")
    async with listening(app, key, path, **headers) as stream:
        return [heard async for heard in stream]


async def test_a_change_is_told_with_the_names_of_its_fields_and_without_values(
    live: FastAPI, team: Clients, member: httpx.AsyncClient
) -> None:
    async with listening(live, await team.key("viewer")) as stream:
        heard = aiter(stream)
        assert (await anext(heard)).name == "ready"
        path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
        made = await anext(heard)
        await member.patch(path, json={"title": "Inkoper"})
        changed = await anext(heard)
        await member.post(f"{path}/notes", json={"text": "Met at the fair."})
        noted = {(await anext(heard)).name, (await anext(heard)).name}
        await member.delete(path)
        deleted = await anext(heard)

    assert (made.name, made.data["version"], made.data["lead_id"]) == ("lead", 1, path.rpartition("/")[2])
    assert "email" in made.data["fields"]
    assert set(made.data) == SHOWN
    assert (changed.data["fields"], changed.data["version"], changed.data["deleted"]) == (["title"], 2, None)
    assert noted == {"lead", "activity"}
    assert deleted.data["deleted"] is True
    assert b"Inkoper" not in stream.body


async def test_runs_and_review_items_are_told_whenever_they_change(live: FastAPI, team: Clients) -> None:
    db, told = team.runtime.db, []
    async with listening(live, await team.key("member"), "/api/events?types=run,review") as stream:
        heard = aiter(stream)
        await anext(heard)
        async with db.transaction(team.tenant) as tx:
            run_id = await runs.queue(tx, None, "delta", "test")
        told.append(await anext(heard))
        async with db.transaction(team.tenant) as tx:
            await runs.finish(tx, run_id, "failed", {"observed": 2}, "It broke.")
        told.append(await anext(heard))
        async with db.transaction(team.tenant) as tx:
            await reviews.put(tx, "conflict", {"local": "secret"}, lead_id=await lead(tx), field="title")
        told.append(await anext(heard))
        async with db.transaction(team.tenant) as tx:
            item = (await reviews.page(tx, ["conflict"], ["open"], 1))[0]
            await reviews.decide(tx, item["id"], 1, {"keep": "local"}, "noor@team.test")
        told.append(await anext(heard))

    assert [(t.name, t.data["state"]) for t in told] == [
        ("run", "queued"), ("run", "failed"), ("review", "open"), ("review", "decided"),
    ]  # fmt: skip
    assert (told[1].data["error"], told[1].data["counters"]) == ("It broke.", {"observed": 2})
    assert told[0].data["progress"] == {"done": None, "total": None, "rate": None, "eta": None}
    assert b"secret" not in stream.body


async def test_nothing_is_lost_or_told_twice_while_commits_overtake_each_other_and_two_instances_serve_in_turn(
    runtime: Runtime, team: Clients
) -> None:
    rng = random.Random(7)
    instances = [instance(runtime, kept=8), instance(runtime, kept=8)]
    key = await team.key("viewer")
    async with runtime.db.transaction(team.tenant) as tx:
        lead_id = await lead(tx)
    (start,) = await missed(instances[0], key)
    committed: set[int] = set()
    versions = iter(range(1, 10_000))

    async def write() -> None:
        """Writes in transactions that last for different times, so that they do not end in the order they began."""
        for _ in range(12):
            mine = [next(versions) for _ in range(rng.randint(1, 12))]
            fails = rng.random() < 0.2
            try:
                async with runtime.db.transaction(team.tenant) as tx:
                    for version in mine:
                        await change(tx, lead_id, version)
                        await asyncio.sleep(rng.random() * 0.004)
                    if fails:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue
            committed.update(mine)

    writers = asyncio.gather(*(write() for _ in range(5)))
    told: list[Heard] = []
    last = start.id
    turn = 0
    while not (writers.done() and {heard.data["version"] for heard in told} >= committed):
        turn += 1
        assert turn < 2000, committed - {heard.data["version"] for heard in told}
        enough = rng.randint(1, 9)
        wait = "wait=1" if rng.random() < 0.5 else "wait=0"
        async with listening(instances[turn % 2], key, f"/api/events?{wait}", Last_Event_ID=last or "") as stream:
            async for heard in stream:
                last = heard.id
                if heard.name == "lead":
                    told.append(heard)
                    enough -= 1
                if enough <= 0 or (heard.name == "ready" and rng.random() < 0.3):
                    break
    await writers

    assert sorted(heard.data["version"] for heard in told) == sorted(committed)
    assert len(committed) > 200
    assert [heard for heard in await missed(instances[0], key, last) if heard.name == "lead"] == []


async def test_a_transaction_that_ends_late_is_waited_for(live: FastAPI, team: Clients) -> None:
    key, db = await team.key("viewer"), team.runtime.db
    (start,) = await missed(live, key)
    async with db.transaction(team.tenant) as slow:
        lead_id = await lead(slow)
        await change(slow, lead_id)
        async with db.transaction(team.tenant) as tx:
            await change(tx, await lead(tx), 2)
        (meanwhile,) = await missed(live, key, start.id)
    afterwards = await missed(live, key, meanwhile.id)

    assert meanwhile.name == "ready"
    assert [heard.data.get("version") for heard in afterwards] == [1, 2, None]


async def test_another_workspace_is_told_nothing(live: FastAPI, team: Clients, others: Clients) -> None:
    db = team.runtime.db
    (start,) = await missed(live, await team.key("viewer"))
    async with listening(live, await others.key("admin")) as theirs, listening(live, await team.key("member")) as ours:
        assert (await anext(aiter(theirs))).name == "ready"
        heard = aiter(ours)
        await anext(heard)
        async with db.transaction(team.tenant) as tx:
            await change(tx, await lead(tx))
            await runs.queue(tx, None, "delta", "test")
            await reviews.put(tx, "quarantine", {})
        kinds = sorted([(await anext(heard)).name for _ in range(3)])
        await asyncio.sleep(LOOK_EVERY * 5)
        resumed = await missed(live, await others.key("admin"), start.id)

    assert kinds == ["lead", "review", "run"]
    assert theirs.body.count(b"event:") == 1
    assert [heard.name for heard in resumed] == ["ready"]
    assert str(team.workspace_id).encode() not in ours.body


async def test_a_viewer_is_told_of_leads_and_not_of_the_syncs_behind_them(live: FastAPI, team: Clients) -> None:
    viewer = await team.of("viewer")
    (start,) = await missed(live, key := await team.key("viewer"))
    async with team.runtime.db.transaction(team.tenant) as tx:
        lead_id = await lead(tx)
        await runs.queue(tx, None, "delta", "test")
        await reviews.put(tx, "quarantine", {})
        await history.log(tx, [(lead_id, "remove.failed", tx.now, None, {"campaign": "Q3", "error": "id 4711"}, "k")])
        await change(tx, lead_id)
    told = await missed(live, key, start.id)
    asked = await viewer.get("/api/events?types=lead,run")

    assert sorted(heard.name for heard in told) == ["activity", "lead", "ready"]
    assert next(heard for heard in told if heard.name == "activity").data["detail"] == {"campaign": "Q3"}
    assert (asked.status_code, "'run'" in asked.json()["detail"]) == (403, True)


async def test_an_operator_hears_the_workspace_they_chose(live: FastAPI, team: Clients, others: Clients) -> None:
    (start,) = await missed(live, await others.key("viewer"))
    async with team.runtime.db.transaction(others.tenant) as tx:
        await change(tx, await lead(tx), 3)

    chosen = {"X_Workspace": str(others.workspace_id), "Last_Event_ID": start.id or ""}
    there = await missed(live, await team.key("operator"), **chosen)
    refused = listening(live, await team.key("admin"), **chosen)

    assert [heard.data.get("version") for heard in there] == [3, None]
    async with refused as stream:
        assert await stream.answered() == 403


async def test_a_slow_listener_is_let_go_and_misses_nothing_when_it_comes_back(runtime: Runtime, team: Clients) -> None:
    app, key = instance(runtime, kept=10), await team.key("viewer")
    async with runtime.db.transaction(team.tenant) as tx:
        lead_id = await lead(tx)
    async with listening(app, key) as slow, listening(app, key) as quick:
        ready, quickly = await anext(aiter(slow)), aiter(quick)
        await anext(quickly)
        for version in range(1, 60):
            async with runtime.db.transaction(team.tenant) as tx:
                await change(tx, lead_id, version)
            assert (await anext(quickly)).data["version"] == version
        # all this time it accepted nothing
        told = [heard async for heard in slow]
        again = await missed(app, key, (told[-1] if told else ready).id)

    versions = [heard.data["version"] for heard in (*told, *again) if heard.name == "lead"]
    assert slow.comments == ["too far behind: connect again with the last id to go on"]
    assert versions == list(range(1, 60))
    assert len(told) < 59


async def test_a_listener_that_accepts_nothing_for_long_is_let_go(runtime: Runtime, team: Clients) -> None:
    app, key = instance(runtime, patience=0.05), await team.key("viewer")
    async with runtime.db.transaction(team.tenant) as tx:
        lead_id = await lead(tx)
    async with listening(app, key) as stream, asyncio.timeout(30):
        ready = await anext(aiter(stream))
        for version in range(1, 4):
            async with runtime.db.transaction(team.tenant) as tx:
                await change(tx, lead_id, version)
            await asyncio.sleep(LOOK_EVERY * 2)
        await stream.task
        again = await missed(app, key, ready.id)

    assert [heard.data.get("version") for heard in again] == [1, 2, 3, None]
    assert not app.state.feeds._feeds


async def test_an_erased_lead_is_to_be_forgotten(live: FastAPI, team: Clients, admin: httpx.AsyncClient) -> None:
    (start,) = await missed(live, await team.key("viewer"))
    path = (await admin.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    assert (await admin.delete(f"{path}?purge=true")).status_code in (200, 204)
    told = await missed(live, await team.key("viewer"), start.id)

    assert [(heard.name, heard.data.get("erased")) for heard in told] == [("lead", True), ("ready", None)]
    assert told[0].data["lead_id"] == path.rpartition("/")[2]
    assert set(told[0].data) == SHOWN


async def test_many_missed_events_come_in_pages(live: FastAPI, team: Clients) -> None:
    (start,) = await missed(live, await team.key("viewer"))
    async with team.runtime.db.transaction(team.tenant) as tx:
        await many_changes(tx, 1234)
    told = await missed(live, await team.key("viewer"), start.id)

    assert sorted(heard.data["version"] for heard in told[:-1]) == list(range(1, 1235))


async def test_a_revoked_key_hears_nothing_more(live: FastAPI, team: Clients, admin: httpx.AsyncClient) -> None:
    made = (await admin.post("/api/admin/keys", json={"name": "portal", "role": "viewer"})).json()
    async with listening(live, made["key"]) as revoked, listening(live, await team.key("viewer")) as other:
        heard = aiter(other)
        await anext(aiter(revoked))
        await anext(heard)
        await admin.delete(f"/api/admin/keys/{made['id']}")
        async with asyncio.timeout(30):
            rest = [heard async for heard in revoked]
        await admin.post("/api/leads", json={"email": "a@x.test"})
        assert (await anext(heard)).name == "lead"

    assert rest == []
    assert revoked.comments == ["this key has expired or was revoked"]
    assert b"event: lead" not in revoked.body


async def test_a_revoked_key_is_not_told_what_it_missed_to_the_end(
    live: FastAPI, team: Clients, admin: httpx.AsyncClient
) -> None:
    """Whoever is slow to read of many years would otherwise go on with a key that is no longer one."""
    (start,) = await missed(live, await team.key("viewer"))
    async with team.runtime.db.transaction(team.tenant) as tx:
        await many_changes(tx, 5_000)
    made = (await admin.post("/api/admin/keys", json={"name": "portal", "role": "viewer"})).json()

    async with listening(live, made["key"], f"/api/events?after={start.id}") as revoked, asyncio.timeout(30):
        heard = aiter(revoked)
        await anext(heard)
        await admin.delete(f"/api/admin/keys/{made['id']}")
        await live.state.feeds._feeds[team.workspace_id].look()
        told = [event async for event in heard]

    assert revoked.comments == ["this key has expired or was revoked"]
    assert len(told) < 4_000


async def test_a_key_that_expires_is_refused_from_then_on_and_ends_its_stream(live: FastAPI, team: Clients) -> None:
    secret, prefix, hashed = new_key()
    async with team.runtime.db.transaction(team.tenant) as tx:
        until = tx.now + timedelta(hours=1)
        await keys.create(tx, name="x", role="viewer", prefix=prefix, key_hash=hashed, expires_at=until)
        kept = await tx.value("SELECT string_agg(k::text, ' ') FROM api_key k")
    async with listening(live, secret) as stream, asyncio.timeout(30):
        told = [(await anext(aiter(stream))).name]
        async with team.runtime.db.transaction(team.tenant) as tx:
            await tx.run("UPDATE api_key SET expires_at = $1 WHERE hash = $2", tx.now, hashed)
        told += [heard.name async for heard in stream]
    async with browser(live, {"X-API-Key": secret}) as client:
        refused = await client.get("/api/leads")

    assert (told, stream.comments) == (["ready"], ["this key has expired or was revoked"])
    assert refused.status_code == 401
    assert secret not in kept


async def test_a_server_that_leaves_ends_its_streams_and_takes_no_more(live: FastAPI, team: Clients) -> None:
    key = await team.key("viewer")
    async with listening(live, key) as stream:
        await anext(aiter(stream))
        live.state.feeds.close()
        async with asyncio.timeout(30):
            assert [heard async for heard in stream] == []
    async with listening(live, key) as refused:
        assert await refused.answered() == 503

    assert stream.comments == ["this server is leaving: connect again with the last id to go on"]


async def test_a_key_has_so_many_streams_and_gets_one_back_for_each_that_ends(live: FastAPI, team: Clients) -> None:
    key = await team.key("viewer")
    async with listening(live, key) as first:
        await first.answered()
        streams = [listening(live, key) for _ in range(PER_KEY)]
        statuses = []
        for stream in streams:
            opened = await stream.__aenter__()
            statuses.append(await opened.answered())
        for stream in streams:
            await stream.__aexit__(None, None, None)
    async with listening(live, key) as again:
        assert await again.answered() == 200

    assert statuses == [200] * (PER_KEY - 1) + [429]
    assert PER_KEY < ALTOGETHER


async def test_an_id_of_another_database_starts_anew_and_nonsense_is_refused(
    live: FastAPI, team: Clients, member: httpx.AsyncClient
) -> None:
    ahead = await missed(live, await team.key("viewer"), f"fffffffffff.{UUID(int=1).hex}")
    refused = [await member.get("/api/events", params={"after": text}) for text in ("x", "1.2", "-1." + "0" * 32)]
    unknown = await member.get("/api/events", params={"types": "lead,nonsense"})

    assert [heard.name for heard in ahead] == ["reset", "ready"]
    assert [answer.status_code for answer in (*refused, unknown)] == [422] * 4
    assert unknown.json()["allowed"] == ["lead", "activity", "run", "review"]


async def test_a_reader_that_cannot_reach_the_database_tries_again(runtime: Runtime, team: Clients) -> None:
    tried = asyncio.Event()
    away = {"on": False}

    async def probe(_name: str) -> None:
        if away["on"]:
            tried.set()
            raise DatabaseUnavailable

    app = instance(replace(runtime, db=Database(runtime.db._pool, probe=probe)))
    async with listening(app, await team.key("viewer")) as stream:
        heard = aiter(stream)
        await anext(heard)
        away["on"] = True
        await tried.wait()
        away["on"] = False
        async with runtime.db.transaction(team.tenant) as tx:
            await change(tx, await lead(tx))
        told = await anext(heard)

    assert told.name == "lead"


async def test_a_run_is_followed_with_its_parts_to_its_end(live: FastAPI, team: Clients) -> None:
    db, key = team.runtime.db, await team.key("cron")
    async with db.transaction(team.tenant) as tx:
        whole = await runs.queue(tx, None, "delta", "test")
        part = await runs.queue(tx, None, "delta", "test", parent_id=whole)
        await runs.queue(tx, None, "delta", "another")
    async with listening(live, key, f"/api/sync/runs/{whole}/events") as stream:
        heard = aiter(stream)
        told = [await anext(heard)]
        async with db.transaction(team.tenant) as tx:
            await runs.start(tx, part)
            await runs.note(tx, part, stage="pull", counters={}, progress={"done": 5, "total": 9})
        told.append(await anext(heard))
        async with db.transaction(team.tenant) as tx:
            await runs.finish(tx, part, "done", {"observed": 9})
        told += [more async for more in heard]
    async with listening(live, key, f"/api/sync/runs/{whole}/events", Last_Event_ID="done") as again:
        assert await again.answered() == 204
    async with listening(live, key, f"/api/sync/runs/{new_id()}/events") as unknown:
        assert await unknown.answered() == 404

    assert [(t.data["state"], t.data["parts"][0]["state"]) for t in told] == [
        ("queued", "queued"), ("queued", "running"), ("done", "done"),
    ]  # fmt: skip
    assert told[1].data["parts"][0]["progress"] == {"done": 5, "total": 9, "rate": None, "eta": None}
    assert told[-1].id == "done"


async def test_the_events_are_read_by_index(runtime: Runtime, team: Clients) -> None:
    async with runtime.db.transaction(Tenant(team.workspace_id, "viewer")) as tx:
        await tx.run("SET LOCAL enable_seqscan = off")
        await tx.run("SET LOCAL plan_cache_mode = force_generic_plan")
        plan = "\n".join(
            row[0]
            for row in await tx.all(f"EXPLAIN {events._READ}", team.workspace_id, 1, UUID(int=0), 2, UUID(int=0), 5)
        )

    for table in ("lead_change", "activity", "sync_run", "review_item"):
        assert f"{table}_workspace_id_xid_id_idx" in plan
    assert "audit_erased_idx" in plan
