"""Who may do what: every documented route, every role, and the ids of another workspace."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.api.application import document
from app.db.session import Tenant
from app.main import create_app
from tests.api.conftest import ROLES, Clients, browser

OPERATIONS: list[tuple[str, str, dict[str, Any]]] = [
    (method, path, operation) for path, methods in document()["paths"].items() for method, operation in methods.items()
]
KEYED = [(method, path, operation) for method, path, operation in OPERATIONS if "x-roles" in operation]
RUNS = ("/api/sync/runs", "/api/sync/runs/{run_id}", "/api/sync/runs/{run_id}/events")
UNKNOWN = "01980a3c-5f6e-7c3a-9d55-000000000000"


def body_of(operation: dict[str, Any]) -> Any:
    """The documented example."""
    content = operation.get("requestBody", {}).get("content", {})
    return content["application/json"]["example"] if content else None


async def call(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    operation: dict[str, Any],
    *,
    fill: Callable[[Any], Any] = lambda body: body,
    **query: str,
) -> httpx.Response:
    """Calls an operation as its document says, and checks that it answers as its document says."""
    body = body_of(operation)
    if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
        # what would go on for ever ends at once
        query["wait"] = "0"
    sent = {} if body is None else {"json": fill(body)}
    answer = await client.request(method, path, params=query, **sent)
    assert str(answer.status_code) in operation["responses"], (method, path, answer.status_code, answer.text)
    return answer


@pytest.mark.parametrize("role", ROLES)
async def test_every_route_lets_exactly_its_roles_in(team: Clients, role: Any) -> None:
    client = await team.of(role, "noor@voorbeeld.nl")

    for method, path, operation in KEYED:
        answer = await call(client, method, re.sub(r"\{\w+\}", UNKNOWN, path), operation)
        let_in = answer.status_code != 403

        assert let_in == (role in operation["x-roles"]), (method, path, answer.text)
        if not let_in:
            assert " or ".join(operation["x-roles"]) in answer.json()["detail"]


def test_the_roles_are_what_the_product_says() -> None:
    for method, path, operation in KEYED:
        roles = set(operation["x-roles"])
        if path in ("/api/admin/sync/delta", *RUNS):
            assert "cron" in roles
        else:
            assert "cron" not in roles, path
        if method != "get":
            assert "viewer" not in roles, path
        if path.startswith("/api/admin/") and not path.startswith("/api/admin/sync"):
            assert "member" not in roles, path
        if path.startswith(("/api/admin/workspaces", "/api/admin/accounts")):
            assert roles == {"operator"}


async def test_a_key_learns_whose_it_is_what_it_may_and_where(team: Clients, others: Clients) -> None:
    member = (await (await team.of("member", "noor@team.test")).get("/api/me")).json()
    viewer = (await (await team.of("viewer")).get("/api/me")).json()
    operator = await team.of("operator")
    elsewhere = (await operator.get("/api/me", headers={"X-Workspace": str(others.workspace_id)})).json()

    assert (member["name"], member["role"], member["acts_for"]) == ("noor@team.test", "member", "noor@team.test")
    assert member["workspace"]["id"] == str(team.workspace_id)
    assert (viewer["name"], viewer["role"], viewer["acts_for"]) == ("viewer key", "viewer", None)
    assert (elsewhere["role"], elsewhere["workspace"]["id"]) == ("operator", str(others.workspace_id))


async def test_without_a_key_nothing_is_answered(app: FastAPI) -> None:
    async with browser(app) as nobody:
        for method, path, operation in KEYED:
            answer = await call(nobody, method, re.sub(r"\{\w+\}", UNKNOWN, path), operation)

            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_operators_choose_a_workspace_and_that_is_written_down(team: Clients, others: Clients) -> None:
    operator, admin = await team.of("operator"), await team.of("admin")
    elsewhere = {"X-Workspace": str(others.workspace_id)}
    await (await others.of("admin")).post("/api/leads", json={"email": "a@other.test"})

    seen = await operator.get("/api/leads", headers=elsewhere)
    forbidden = await admin.get("/api/leads", headers=elsewhere)
    missing = [await operator.get("/api/leads", headers={"X-Workspace": value}) for value in (UNKNOWN, "x")]

    assert [lead["email"] for lead in seen.json()["items"]] == ["a@other.test"]
    assert (await operator.get("/api/leads")).json()["items"] == []
    assert forbidden.status_code == 403
    assert [m.status_code for m in missing] == [404, 404]
    async with team.runtime.db.transaction(Tenant(others.workspace_id)) as tx:
        noted = await tx.all("SELECT actor, action FROM audit")
    assert [tuple(row) for row in noted] == [("operator key", "GET /api/leads")]


async def test_who_made_a_workspace_is_written_down_in_it(team: Clients) -> None:
    operator = await team.of("operator")
    made = await operator.post("/api/admin/workspaces", json={"name": f"of {team.workspace_id}"})

    async with team.runtime.db.transaction(Tenant(UUID(made.json()["id"]))) as tx:
        noted = await tx.all("SELECT actor, action FROM audit")
    assert [tuple(row) for row in noted] == [("operator key", "workspace.created")]


async def test_a_key_ends_at_once_when_it_is_revoked(team: Clients, admin: httpx.AsyncClient, app: FastAPI) -> None:
    made = (await admin.post("/api/admin/keys", json={"name": "portal", "role": "viewer"})).json()

    async with browser(app, {"X-API-Key": made["key"]}) as client:
        before = await client.get("/api/leads")
        revoked = await admin.delete(f"/api/admin/keys/{made['id']}")
        after = await client.get("/api/leads")

    assert (before.status_code, revoked.status_code, after.status_code) == (200, 204, 401)
    await app.state.gatekeeper.note_used()
    shown = (await admin.get(f"/api/admin/keys/{made['id']}")).json()
    assert "key" not in shown
    assert shown["last_used_at"] is not None
    assert shown["revoked_at"] is not None
    assert made["key"] not in (await admin.get("/api/admin/keys")).text


async def test_whoever_is_removed_is_out_with_every_key_that_acts_for_them(
    team: Clients, others: Clients, admin: httpx.AsyncClient, app: FastAPI
) -> None:
    noor = {"email": "Noor@team.test", "role": "member"}
    user = (await admin.post("/api/admin/users", json=noor)).json()
    hers = [await team.of("member", "noor@team.test"), await team.of("viewer", "Noor@Team.test")]
    made = await admin.post("/api/admin/keys", json={"name": "x", "role": "cron", "acts_for": "noor@team.test"})
    kept = [await team.of("member", "noor2@team.test"), await others.of("member", "noor@team.test")]
    lead = (await hers[0].post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    await hers[0].post(f"{lead}/claim")
    before = [(await client.get("/api/leads")).status_code for client in (*hers, *kept)]

    removed = await admin.delete(f"/api/admin/users/{user['id']}")
    after = [(await client.get("/api/leads")).status_code for client in (*hers, *kept)]

    assert (before, removed.status_code, after) == ([200] * 4, 204, [401, 401, 200, 200])
    assert (await admin.get(f"/api/admin/keys/{made.json()['id']}")).json()["revoked_at"] is not None
    assert [lead["claimed_by"] for lead in (await admin.get("/api/leads")).json()["items"]] == ["noor@team.test"]
    audit = [entry["action"] for entry in (await admin.get("/api/admin/audit")).json()["items"]]
    assert (audit.count("user.removed"), audit.count("key.revoked")) == (1, 3)
    assert (await admin.delete(f"/api/admin/users/{user['id']}")).status_code == 404


async def test_an_operators_keys_end_by_operators_only_also_with_the_person(
    team: Clients, admin: httpx.AsyncClient
) -> None:
    user = (await admin.post("/api/admin/users", json={"email": "olga@team.test", "role": "admin"})).json()
    operator = await team.of("operator", "olga@team.test")

    refused = await admin.delete(f"/api/admin/users/{user['id']}")
    still = [(await client.get("/api/admin/users")).json()["items"] for client in (admin, operator)]

    assert (refused.status_code, still) == (403, [[user]] * 2)
    assert (await operator.delete(f"/api/admin/users/{user['id']}")).status_code == 204
    assert (await operator.get("/api/admin/users")).status_code == 401


async def test_an_expired_key_is_refused(team: Clients, admin: httpx.AsyncClient) -> None:
    past = await admin.post(
        "/api/admin/keys", json={"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}
    )
    more = await admin.post("/api/admin/keys", json={"name": "x", "role": "operator"})

    assert (past.status_code, more.status_code) == (422, 403)


async def test_wrong_keys_are_throttled_but_good_ones_behind_the_same_address_are_not(team: Clients) -> None:
    app = create_app(runtime=team.runtime)
    good = await team.key("viewer")
    async with browser(app) as client:
        assert (await client.get("/api/leads", headers={"X-API-Key": good})).status_code == 200
        statuses = [(await client.get("/api/leads", headers={"X-API-Key": f"lk_{i}"})).status_code for i in range(25)]
        still = await client.get("/api/leads", headers={"X-API-Key": good})

    assert statuses[:20] == [401] * 20
    assert 429 in statuses[20:]
    assert still.status_code == 200


async def test_a_key_that_has_ended_and_goes_on_asking_keeps_only_itself_out(
    team: Clients, admin: httpx.AsyncClient
) -> None:
    """A page that somebody left open, in an office with one address, on a server that has just started."""
    app = create_app(runtime=team.runtime)
    made = (await admin.post("/api/admin/keys", json={"name": "portal", "role": "viewer"})).json()
    await admin.delete(f"/api/admin/keys/{made['id']}")
    good = await team.key("viewer")
    async with browser(app) as client:
        asked = [(await client.get("/api/leads", headers={"X-API-Key": made["key"]})).status_code for _ in range(45)]
        found = await client.get("/api/leads", headers={"X-API-Key": good})

    assert (asked[0], asked[-1]) == (401, 429)
    assert found.status_code == 200


async def test_a_key_may_not_ask_more_often_than_it_may(team: Clients) -> None:
    slow = team.runtime.settings.model_copy(update={"rate_per_minute": 5})
    app = create_app(runtime=replace_settings(team, slow))
    async with browser(app, {"X-API-Key": await team.key("viewer")}) as client:
        answers = [await client.get("/api/leads") for _ in range(7)]

    assert [a.status_code for a in answers[:5]] == [200] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def replace_settings(team: Clients, settings: Any) -> Any:
    """Returns the runtime under other settings."""
    return replace(team.runtime, settings=settings)
