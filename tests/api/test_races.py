"""Many at once: claims, creates, idempotency keys, and a commit that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import httpx
import pytest

from app.db.session import Database
from app.main import create_app
from app.runtime import Runtime
from tests.api.conftest import Clients, browser


async def test_one_of_two_hundred_claimers_wins_and_the_others_learn_who(
    team: Clients, member: httpx.AsyncClient
) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    people = [f"p{i}@team.test" for i in range(200)]
    admin = await team.of("admin")

    answers = await asyncio.gather(*(admin.post(f"{path}/claim", json={"claimed_by": p}) for p in people))

    won = [a for a in answers if a.status_code == 200]
    assert len(won) == 1
    holder = won[0].json()["claimed_by"]
    assert {a.json()["claimed_by"] for a in answers if a.status_code == 409} == {holder}
    assert sum(a.status_code == 409 for a in answers) == 199
    assert (await member.get(path)).json()["claimed_by"] == holder


@pytest.mark.parametrize("many", [100, pytest.param(1000, marks=pytest.mark.by_hand)])
async def test_one_of_many_creates_of_an_address_wins_and_the_others_name_the_lead(
    member: httpx.AsyncClient, many: int
) -> None:
    """A thousand at once may be told to come back (503 with a time) where the machine is slow; they do."""

    async def create() -> httpx.Response:
        answer = await member.post("/api/leads", json={"email": "a@x.test"})
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(int(answer.headers["retry-after"]))
        return await create()

    answers = await asyncio.gather(*(create() for _ in range(many)))

    made = [a.json()["id"] for a in answers if a.status_code == 201]
    assert len(made) == 1
    assert [a.json()["lead_id"] for a in answers if a.status_code == 409] == made * (many - 1)


async def test_twenty_clients_with_one_idempotency_key_have_one_effect(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    key = {"Idempotency-Key": "k1"}

    answers = await asyncio.gather(
        *(member.post(f"{path}/notes", json={"text": "Once."}, headers=key) for _ in range(20))
    )
    other = await member.post(f"{path}/notes", json={"text": "Twice."}, headers=key)

    assert {(a.status_code, a.content, a.headers["etag"]) for a in answers} == {(201, answers[0].content, '"2"')}
    assert sum("idempotency-replayed" in a.headers for a in answers) == 19
    assert other.status_code == 422
    assert (await member.get(path)).json()["notes"] == "Once."


async def test_a_hundred_creates_with_one_idempotency_key_make_one_lead(member: httpx.AsyncClient) -> None:
    ask = {"json": {"email": "a@x.test"}, "headers": {"Idempotency-Key": "k5"}}

    answers = await asyncio.gather(*(member.post("/api/leads", **ask) for _ in range(100)))  # type: ignore[arg-type]

    assert {(a.status_code, a.content, a.headers["location"]) for a in answers} == {
        (201, answers[0].content, answers[0].headers["location"])
    }
    assert (await member.get("/api/leads?count=exact")).json()["count"] == 1


async def test_a_failed_request_leaves_its_idempotency_key_free(member: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k2"}
    refused = await member.post("/api/leads", json={"email": "nonsense"}, headers=key)
    made = await member.post("/api/leads", json={"email": "a@x.test"}, headers=key)

    assert (refused.status_code, made.status_code) == (422, 201)


async def test_keys_of_two_callers_do_not_meet(team: Clients) -> None:
    key = {"Idempotency-Key": "k3"}
    a, b = await team.of("member", "a@team.test"), await team.of("member", "b@team.test")

    first = await a.post("/api/leads", json={"email": "a@x.test"}, headers=key)
    second = await b.post("/api/leads", json={"email": "b@x.test"}, headers=key)

    assert (first.status_code, second.status_code) == (201, 201)


async def test_a_made_key_is_shown_once(admin: httpx.AsyncClient) -> None:
    ask = {"json": {"name": "portal", "role": "viewer"}, "headers": {"Idempotency-Key": "k4"}}

    first, again = await admin.post("/api/admin/keys", **ask), await admin.post("/api/admin/keys", **ask)  # type: ignore[arg-type]

    assert first.json()["key"].startswith("lk_")
    assert again.json() == first.json() | {"key": None}


async def test_concurrent_changes_with_if_match_lose_nothing(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]

    answers = await asyncio.gather(
        *(member.patch(path, json={"title": f"t{i}"}, headers={"If-Match": '"1"'}) for i in range(10))
    )

    assert sorted(a.status_code for a in answers) == [200] + [412] * 9


async def test_a_commit_that_fails_is_not_answered_with_success(team: Clients, runtime: Runtime) -> None:
    failing = {"on": False}

    async def probe(name: str) -> None:
        if name == "commit" and failing["on"]:
            raise RuntimeError("the commit fails")

    broken = Database(runtime.db._pool, probe=probe)
    app = create_app(runtime=replace(runtime, db=broken))
    async with browser(app, {"X-API-Key": await team.key("member")}) as client:
        path = (await client.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
        failing["on"] = True
        changed = await client.patch(path, json={"title": "CEO"})
        made = await client.post("/api/leads", json={"email": "b@x.test"})
        failing["on"] = False
        lead = (await client.get(path)).json()

    assert (changed.status_code, made.status_code) == (500, 500)
    assert changed.headers["content-type"] == "application/problem+json"
    assert "the commit fails" not in changed.text
    assert (lead["title"], lead["version"]) == (None, 1)


async def test_a_request_that_loses_a_race_is_run_once_more(team: Clients, runtime: Runtime) -> None:
    lost = [True]

    async def probe(name: str) -> None:
        if name == "commit" and lost and lost.pop():
            raise asyncpg.DeadlockDetectedError("deadlock detected")

    app = create_app(runtime=replace(runtime, db=Database(runtime.db._pool, probe=probe)))
    async with browser(app, {"X-API-Key": await team.key("member")}) as client:
        made = await client.post("/api/leads", json={"email": "a@x.test"})
        listed = (await client.get("/api/leads")).json()["items"]

    assert (made.status_code, lost) == (201, [])
    assert [lead["id"] for lead in listed] == [made.json()["id"]]


async def test_a_database_that_is_away_is_a_503_with_a_time(team: Clients, runtime: Runtime) -> None:
    class Away:
        """A pool nobody gets a connection from."""

        def acquire(self, **_: object) -> None:
            raise ConnectionRefusedError

    app = create_app(runtime=replace(runtime, db=Database(Away())))
    async with browser(app, {"X-API-Key": "lk_x"}) as client:
        answers = [await client.get(path) for path in ("/api/leads", "/readyz", "/healthz")]

    assert [a.status_code for a in answers] == [503, 503, 200]
    assert [a.headers["retry-after"] for a in answers[:2]] == ["2", "2"]
