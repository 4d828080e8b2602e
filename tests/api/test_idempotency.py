"""Idempotency-Key: every POST with an effect honours it, whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import Clients
from tests.api.test_access import KEYED, OPERATIONS, call
from tests.api.test_statuses import at
from tests.api.test_webhooks import connected

POSTS = [(path, operation) for method, path, operation in KEYED if method == "post"]
#: It asks the provider and says what it answered, which may be something else a minute later.
WITHOUT_EFFECT = {"testConnection"}
Settle = Callable[[], Any]


def takes_a_key(operation: dict[str, Any]) -> bool:
    return any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])


def test_every_post_with_an_effect_says_that_it_takes_a_key() -> None:
    assert {operation["operationId"] for _, operation in POSTS if not takes_a_key(operation)} == WITHOUT_EFFECT
    posts = {operation["operationId"] for method, _, operation in OPERATIONS if method == "post"}
    assert posts - {operation["operationId"] for _, operation in POSTS} == {"receiveInstantly"}


async def test_every_post_that_takes_a_key_refuses_one_that_was_used_for_another_request(team: Clients) -> None:
    """So each looks the key up before it does or looks at anything else; what it keeps is kept in one place for all."""
    client = await team.of("operator", "noor@voorbeeld.nl")
    client.headers["Idempotency-Key"] = "used"
    assert (await client.post("/api/leads", json={"email": "a@x.test"})).status_code == 201

    for path, operation in POSTS:
        if takes_a_key(operation):
            needed: dict[str, Any] = {
                p["name"]: "2026-03-02" for p in operation["parameters"] if p["in"] == "query" and p["required"]
            }
            answer = await call(client, "post", at(path), operation, **needed)

            assert "was used for another request" in answer.text, (path, answer.status_code, answer.text)


async def repeated(client: httpx.AsyncClient, path: str, body: Any = None) -> httpx.Response:
    """Sends a request twice with one key, and checks that the second one had no effect and the same answer."""
    first, again = [await client.post(path, json=body, headers={"Idempotency-Key": f"at {path}"}) for _ in range(2)]
    assert first.is_success, first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert [a.headers.get("location") for a in (first, again)] == [first.headers.get("location")] * 2
    assert ["idempotency-replayed" in a.headers for a in (first, again)] == [False, True]
    return first


async def test_what_can_be_done_once_is_answered_again_as_it_was(
    team: Clients, wanted: dict[str, Any], settle: Settle
) -> None:
    """Without their key each of these would be a 409 the second time, or another thing made."""
    client = await team.of("operator", "noor@voorbeeld.nl")
    lead = (await client.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    path = (await repeated(client, "/api/admin/connections", wanted)).headers["location"]
    await settle()

    plan = await repeated(client, "/api/sync/plans", {"connection": path.rpartition("/")[2]})
    digest = plan.json()["evidence"]["digest"]
    approved = await repeated(client, f"{path}/approve", {"digest": digest})
    cancelled = await repeated(client, f"{approved.headers['location']}/cancel")
    paused = await repeated(client, f"{path}/pause")
    await repeated(client, f"{path}/resume")
    late = await client.post(f"{path}/pause", headers={"Idempotency-Key": f"at {path}/pause"})
    await repeated(client, f"{lead}/claim")
    await repeated(client, "/api/admin/users", {"email": "b@x.test", "role": "member"})
    made = await repeated(client, "/api/admin/workspaces", {"name": f"of {team.workspace_id}"})

    assert cancelled.json()["state"] == "cancelled"
    assert late.content == paused.content
    assert (await client.get(path)).json()["state"] == "active", "a pause that arrives once more pauses nothing"
    assert (await client.get(made.headers["location"])).json() == made.json()
    assert (await client.post("/api/admin/workspaces", json={"name": f"of {team.workspace_id}"})).status_code == 409
    audit = (await client.get("/api/admin/audit")).json()["items"]
    assert [entry["action"] for entry in audit if entry["action"] in ("plan.approved", "user.added")] == [
        "user.added",
        "plan.approved",
    ]


async def test_a_plan_that_many_approve_with_one_key_is_approved_once(
    admin: httpx.AsyncClient, wanted: dict[str, Any], settle: Settle
) -> None:
    path = (await admin.post("/api/admin/connections", json=wanted)).headers["location"]
    await settle()
    digest = (await admin.get(f"{path}/plan")).json()["evidence"]["digest"]
    ask = {"json": {"digest": digest}, "headers": {"Idempotency-Key": "k"}}

    answers = await asyncio.gather(*(admin.post(f"{path}/approve", **ask) for _ in range(5)))  # type: ignore[arg-type]

    assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}
    assert sum("idempotency-replayed" in a.headers for a in answers) == 4
    assert (await admin.get(f"{path}/plan")).status_code == 409


async def test_deliveries_are_applied_again_once_for_each_key(team: Clients, admin: httpx.AsyncClient) -> None:
    instantly = await connected(team)
    told = await instantly.deliver({"event_type": "reply_received", "lead_email": "a@x.test"})

    for path in (
        f"/api/webhooks/deliveries/{told.json()['delivery']}/replay",
        "/api/webhooks/deliveries/replay?from=2026-01-01T00:00:00Z",
    ):
        await repeated(admin, path)

    audit = (await admin.get("/api/admin/audit")).json()["items"]
    assert sum("replayed" in entry["action"] for entry in audit) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "ü"])
async def test_a_key_that_is_none_is_refused_everywhere(team: Clients, key: str) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")

    for path in ("/api/leads", "/api/sync/plans", "/api/admin/workspaces"):
        answer = await client.post(path, json={}, headers=[(b"Idempotency-Key", key.encode())])
        assert answer.status_code == 422


async def test_a_made_workspace_leaves_its_maker_where_they_were(team: Clients, others: Clients) -> None:
    """Its row is written as its own tenant, within the transaction of the one who asks."""
    operator = await team.of("operator")
    names = [f"{number} of {team.workspace_id}" for number in (1, 2)]
    await operator.post("/api/admin/workspaces", json={"name": names[0]}, headers={"Idempotency-Key": "k"})

    async with team.runtime.db.transaction(team.tenant) as tx:
        assert await tx.value("SELECT count(*) FROM idempotency_key") == 1
        assert await tx.value("SELECT count(*) FROM audit") == 0
