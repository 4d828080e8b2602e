"""Many leads in one request: each operation has the outcome it would have had alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.session import Unstorable
from app.sync import bulk
from app.sync.bulk import Operation
from tests.api.conftest import Clients

UNKNOWN = "01980a3c-5f6e-7c3a-9d55-000000000000"


async def send(client: httpx.AsyncClient, *operations: Any, **headers: str) -> Any:
    """Sends operations and returns what became of them."""
    answer = await client.post("/api/leads/bulk", json={"operations": operations}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def create(email: str, **fields: Any) -> dict[str, Any]:
    return {"op": "create", "lead": {"email": email} | fields}


async def test_each_kind_of_operation_does_what_its_route_does(member: httpx.AsyncClient) -> None:
    a, b, c = [(await member.post("/api/leads", json={"email": f"{name}@x.test"})).json()["id"] for name in "abc"]

    done = await send(
        member,
        create("d@x.test", first_name="Dora"),
        {"op": "update", "id": a, "version": 1, "lead": {"title": "CTO"}},
        {"op": "upsert", "lead": {"email": "B@x.test", "title": "CEO"}},
        {"op": "upsert", "lead": {"email": "e@x.test"}},
        {"op": "delete", "id": c},
    )

    made = done["items"][0]["id"]
    assert (done["succeeded"], done["failed"]) == (5, 0)
    assert [i["status"] for i in done["items"]] == [201, 200, 200, 201, 204]
    assert [i["version"] for i in done["items"]] == [1, 2, 2, 1, 2]
    assert [i["id"] for i in done["items"]][1:3] == [a, b]
    assert [(await member.get(f"/api/leads/{i}")).status_code for i in (a, b, c, made)] == [200, 200, 404, 200]
    assert (await member.get(f"/api/leads/{made}")).json()["full_name"] == "Dora"
    history = (await member.get(f"/api/leads/{a}/history")).json()["items"]
    assert [(h["version"], h["actor"]) for h in history] == [(2, "noor@team.test"), (1, "noor@team.test")]


BAD: list[tuple[Any, int, str | None]] = [
    ({"op": "update", "id": UNKNOWN, "lead": {"title": "x"}}, 404, None),
    ({"op": "delete", "id": UNKNOWN}, 404, None),
    ({"op": "explode"}, 422, "/operations/1/op"),
    ({"id": UNKNOWN}, 422, "/operations/1/op"),
    ({"op": "update", "lead": {}}, 422, "/operations/1/id"),
    ({"op": "update", "id": "7", "lead": {}}, 422, "/operations/1/id"),
    ({"op": "create", "lead": 7}, 422, "/operations/1/lead"),
    ({"op": "create", "lead": {"nope": 1}}, 422, "/operations/1/lead/nope"),
    ({"op": "create", "lead": {"email_open_count": 1}}, 422, "/operations/1/lead/email_open_count"),
    ({"op": "create", "lead": {}, "id": UNKNOWN}, 422, "/operations/1/id"),
    ({"op": "upsert", "lead": {"email": "info@x.test"}}, 422, "/operations/1/lead/email"),
    ({"op": "upsert", "lead": {"title": "x"}}, 422, "/operations/1/lead/email"),
    ({"op": "create", "lead": {"deal_value": 1e15}}, 422, None),
    (7, 422, "/operations/1"),
]


@pytest.mark.parametrize(("operation", "status", "pointer"), BAD, ids=[f"{i}-{b[1]}" for i, b in enumerate(BAD)])
async def test_one_that_cannot_be_done_stops_no_other(
    member: httpx.AsyncClient, operation: Any, status: int, pointer: str | None
) -> None:
    done = await send(member, create("a@x.test"), operation, create("b@x.test"))

    assert [i["status"] for i in done["items"]] == [201, status, 201], done
    assert (done["succeeded"], done["failed"]) == (2, 1)
    problem = done["items"][1]["error"]
    assert problem["status"] == status
    assert pointer is None or [e["pointer"] for e in problem["errors"]] == [pointer]
    for made in (done["items"][0], done["items"][2]):
        assert (await member.get(f"/api/leads/{made['id']}")).status_code == 200


async def test_a_value_the_database_cannot_hold_is_found_among_the_others(team: Clients) -> None:
    wanted = [Operation(op="create", fields={"email": f"p{i}@x.test"}) for i in range(9)]
    wanted[6] = Operation(op="create", fields={"email": "p6@x.test", "custom": {"k": "a\x00"}})

    async with team.runtime.db.transaction(team.tenant) as tx:
        done = await bulk.run(tx, wanted, actor="ann@team.test")

    assert [isinstance(outcome.error, Unstorable) for outcome in done] == [i == 6 for i in range(9)]
    async with team.runtime.db.transaction(team.tenant) as tx:
        assert await tx.value("SELECT count(*) FROM lead") == 8


async def test_a_stale_version_and_a_taken_address_say_what_is_there(member: httpx.AsyncClient) -> None:
    a = (await member.post("/api/leads", json={"email": "a@x.test"})).json()["id"]
    await member.patch(f"/api/leads/{a}", json={"title": "CTO"})

    done = await send(
        member,
        {"op": "update", "id": a, "version": 1, "lead": {"title": "CEO"}},
        {"op": "delete", "id": a, "version": 1},
        {"op": "upsert", "version": 1, "lead": {"email": "a@x.test", "title": "CEO"}},
        create("a@x.test"),
        create("b@x.test"),
        create("b@x.test"),
    )

    assert [i["status"] for i in done["items"]] == [412, 412, 412, 409, 201, 409]
    assert done["items"][0]["error"]["version"] == 2
    assert done["items"][3]["error"]["lead_id"] == a
    assert done["items"][5]["error"]["lead_id"] == done["items"][4]["id"]
    assert (await member.get(f"/api/leads/{a}")).json()["title"] == "CTO"


async def test_operations_on_one_lead_follow_each_other(member: httpx.AsyncClient) -> None:
    a = (await member.post("/api/leads", json={"email": "a@x.test"})).json()["id"]

    done = await send(
        member,
        {"op": "update", "id": a, "lead": {"title": "one", "custom": {"x": 1}}},
        {"op": "update", "id": a, "version": 2, "lead": {"title": "two", "custom": {"y": 2}}},
        {"op": "upsert", "lead": {"email": "a@x.test", "email_open_count": 1}},
        {"op": "update", "id": a, "lead": {"email": "b@x.test"}},
        create("a@x.test"),
        {"op": "delete", "id": a},
        {"op": "update", "id": a, "lead": {"title": "three"}},
        {"op": "upsert", "lead": {"email": "b@x.test"}},
        {"op": "upsert", "lead": {"email": "b@x.test", "title": "four"}},
    )

    items = done["items"]
    assert [i["status"] for i in items] == [200, 200, 422, 200, 201, 204, 404, 201, 200]
    assert [i["version"] for i in items] == [2, 3, None, 4, 1, 5, None, 1, 2]
    assert items[7]["id"] == items[8]["id"]
    history = (await member.get(f"/api/leads/{a}/history")).json()["items"]
    titles = [h["changes"]["title"]["new"] for h in history if "title" in h["changes"]]
    assert titles == ["two", "one"]


async def test_the_thousand_and_first_operation_is_too_many(member: httpx.AsyncClient) -> None:
    operations = [create(f"p{i}@x.test") for i in range(1001)]

    refused = await member.post("/api/leads/bulk", json={"operations": operations})
    none = await member.post("/api/leads/bulk", json={"operations": []})
    done = await send(member, *operations[:1000])

    assert (refused.status_code, none.status_code) == (422, 422)
    assert refused.json()["errors"][0]["pointer"] == "/operations"
    assert (done["succeeded"], done["failed"]) == (1000, 0)
    assert (await member.get("/api/leads?limit=1&count=exact")).json()["count"] == 1000


async def test_an_idempotency_key_holds_for_the_whole_request(member: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "b1"}
    body = {"operations": [create("a@x.test"), {"op": "create", "lead": {"nope": 1}}]}

    answers = await asyncio.gather(*(member.post("/api/leads/bulk", json=body, headers=key) for _ in range(5)))
    other = await member.post("/api/leads/bulk", json={"operations": [create("c@x.test")]}, headers=key)

    assert len({(a.status_code, a.content) for a in answers}) == 1
    assert answers[0].json()["succeeded"] == 1
    assert other.status_code == 422
    assert (await member.get("/api/leads?count=exact")).json()["count"] == 1


async def test_requests_that_cross_lose_nothing_and_block_nobody(member: httpx.AsyncClient) -> None:
    ids = [(await member.post("/api/leads", json={"email": f"p{i}@x.test"})).json()["id"] for i in range(12)]

    def there(turn: int) -> list[Any]:
        mine = ids if turn % 2 else ids[::-1]
        return [{"op": "update", "id": i, "lead": {"custom": {f"k{turn}": turn}}} for i in mine]

    def made(turn: int) -> list[Any]:
        names = range(12) if turn % 2 else range(11, -1, -1)
        return [{"op": "upsert", "lead": {"email": f"n{i}@x.test", "custom": {f"k{turn}": turn}}} for i in names]

    done = await asyncio.gather(*(send(member, *there(turn), *made(turn)) for turn in range(6)))

    assert all(d["failed"] == 0 for d in done)
    listed = (await member.get("/api/leads?limit=50")).json()["items"]
    assert len(listed) == 24
    assert all(lead["custom"] == {f"k{turn}": turn for turn in range(6)} for lead in listed)


async def test_what_is_changed_in_bulk_reaches_airtable(
    team: Clients,
    member: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    wanted: dict[str, Any],
    settle: Callable[[], Any],
) -> None:
    made = await admin.post("/api/admin/connections", json=wanted | {"create": "all", "auto_approve": True})
    await settle()
    a = (await send(member, create("a@x.test", title="CTO")))["items"][0]["id"]
    async with team.runtime.db.transaction(team.tenant) as tx:
        # a change is pushed once it is a second old
        await tx.run("UPDATE lead SET updated_at = updated_at - interval '5 s'")
    await settle()

    links = (await member.get(f"/api/leads/{a}/links")).json()["items"]
    assert made.status_code == 201
    assert [link["observed"]["title"] for link in links] == ["CTO"], links


async def test_another_workspaces_leads_are_not_there(
    team: Clients, others: Clients, member: httpx.AsyncClient
) -> None:
    theirs = (await (await others.of("member")).post("/api/leads", json={"email": "a@x.test"})).json()["id"]

    done = await send(
        member,
        {"op": "update", "id": theirs, "lead": {"title": "x"}},
        {"op": "delete", "id": theirs},
        {"op": "upsert", "lead": {"email": "a@x.test"}},
    )

    assert [i["status"] for i in done["items"]] == [404, 404, 201]
    assert done["items"][2]["id"] != theirs


@pytest.mark.parametrize(("address", "knows"), [("bulk", "POST"), ("export", "GET, HEAD")])
async def test_an_address_named_in_full_is_no_leads_id(member: httpx.AsyncClient, address: str, knows: str) -> None:
    answers = [
        await member.request(method, f"/api/leads/{address}") for method in ("PUT", "PATCH", "DELETE", "OPTIONS")
    ]

    assert {(a.status_code, a.headers.get("allow")) for a in answers} == {(405, knows)}
    assert (await member.put("/api/leads/bulky", json={})).status_code == 422


async def test_leads_that_come_twice_by_turns_lose_nothing(member: httpx.AsyncClient) -> None:
    """Each that comes a second time ends a set, and what the others have become by then is not forgotten."""
    paths = [(await member.post("/api/leads", json={"email": f"{n}@x.test"})).headers["location"] for n in "ab"]
    operations: list[dict[str, Any]] = [
        {"op": "update", "id": path.rpartition("/")[2], "lead": {"custom": {key: 1}}} for key in "kl" for path in paths
    ]
    operations += [{"op": "upsert", "lead": {"email": f"{n}@x.test", "custom": {key: 1}}} for key in "kl" for n in "cd"]

    items = (await member.post("/api/leads/bulk", json={"operations": operations})).json()["items"]

    assert [(item["status"], item["version"]) for item in items] == [
        (200, 2), (200, 2), (200, 3), (200, 3), (201, 1), (201, 1), (200, 2), (200, 2),
    ]  # fmt: skip
    for item in items[2:4] + items[6:]:
        assert (await member.get(f"/api/leads/{item['id']}")).json()["custom"] == {"k": 1, "l": 1}
        told = (await member.get(f"/api/leads/{item['id']}/history")).json()["items"]
        assert [entry["version"] for entry in told] == list(range(item["version"], 0, -1))


async def test_requests_that_race_for_the_same_addresses_are_refused_by_operation_at_most(
    member: httpx.AsyncClient,
) -> None:
    emails = [f"{n}@x.test" for n in range(12)]

    async def go(rng: random.Random) -> None:
        for _ in range(3):
            upserts = [{"op": "upsert", "lead": {"email": email}} for email in rng.sample(emails, len(emails))]
            items = (await send(member, *upserts))["items"]
            found = rng.sample(sorted({item["id"] for item in items if item["id"]}), 6)
            await send(member, *({"op": "delete", "id": lead_id} for lead_id in found))

    await asyncio.gather(*(go(random.Random(seed)) for seed in range(6)))
