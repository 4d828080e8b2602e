"""Another workspace's things: whatever is asked, in whichever role, they are not there, and they stay as they are.

The routes are those of the document, so that a new one is tried without being remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.db import reviews, runs, tables
from app.db.ids import new_id
from app.db.session import Tenant
from tests.api.conftest import ROLES, Clients, browser
from tests.api.test_access import KEYED, OPERATIONS, call
from tests.api.test_webhooks import connected

#: In everything they have, and in nothing else.
CANARY = "kanarie4711"
#: Names in a path that hold no id.
WORDS = {"name": f"{CANARY}-campaign"}
#: Fields of a body that hold an id, and what of.
IN_BODIES = {
    "id": "lead_id", "lead_ids": "lead_id", "other": "other_id", "connection": "connection_id",
    "workspace_id": "workspace_id",
}  # fmt: skip
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: From the beginning of time.
EVERYTHING = f"0.{UUID(int=0).hex}"


@dataclass(frozen=True, slots=True)
class Theirs:
    """What another workspace has: its ids, by the name that a path or a query gives them."""

    ids: dict[str, list[str]]

    def of(self, name: str) -> list[str]:
        """Returns their ids that fit a parameter."""
        assert name in self.ids, (
            f"A route takes {name!r}: give the other workspace such a thing in the fixture `theirs`,"
            " or name it in WORDS if it is no id."
        )
        return self.ids[name]

    def paths(self, path: str) -> list[str]:
        """Returns a path with every id of theirs that fits."""
        filled = [path]
        for name in re.findall(r"\{(\w+)\}", path):
            given = [WORDS[name]] if name in WORDS else self.of(name)
            filled = [one.replace(f"{{{name}}}", value) for one in filled for value in given]
        return filled

    def body(self, example: Any, name: str = "") -> Any:
        """Returns a documented body with their ids in the place of the ids in it."""
        if isinstance(example, dict):
            return {key: self.body(value, key) for key, value in example.items()}
        if isinstance(example, list):
            return [self.body(value, name) for value in example]
        if not isinstance(example, str) or not _ID.fullmatch(example):
            return example
        assert name in IN_BODIES, f"A body holds an id in {name!r}: say in IN_BODIES what it is the id of."
        return self.of(IN_BODIES[name])[0]


@pytest.fixture
async def theirs(others: Clients, wanted: dict[str, Any]) -> Theirs:
    """One of everything, in another workspace."""
    client = await others.of("admin", f"{CANARY}@other.test")

    async def made(path: str, body: dict[str, Any]) -> str:
        answer = await client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    lead = await made("/api/leads", {"email": f"{CANARY}@leads.test", "full_name": CANARY, "campaigns": [CANARY]})
    other = await made("/api/leads", {"email": f"{CANARY}@more.test"})
    deleted = await made("/api/leads", {"email": f"{CANARY}@deleted.test"})
    assert (await client.post(f"/api/leads/{lead}/notes", json={"text": CANARY})).status_code == 201
    assert (await client.delete(f"/api/leads/{deleted}")).status_code == 204
    connection = await made("/api/admin/connections", wanted | {"name": CANARY})
    key = await made("/api/admin/keys", {"name": CANARY, "role": "member"})
    user = await made("/api/admin/users", {"email": f"{CANARY}@people.test", "role": "member"})
    async with others.runtime.db.transaction(others.tenant) as tx:
        run = await runs.queue(tx, None, "delta", "test", requested_by=CANARY)
        for kind in ("conflict", "candidate", "quarantine"):
            await reviews.put(tx, kind, {"local": CANARY}, lead_id=UUID(lead), field="title")
        await reviews.put(tx, "plan", {"digest": CANARY}, connection_id=UUID(connection))
        items = await reviews.page(tx, ["conflict", "candidate", "quarantine", "plan"], ["open"], 10)
        account = await tx.value("SELECT account_id FROM connection WHERE id = $1", UUID(connection))
        campaign = new_id()
        await tx.run(
            "INSERT INTO campaign (workspace_id, id, connection_id, remote_id, name) VALUES ($1, $2, $3, $4, $4)",
            others.workspace_id, campaign, UUID(connection), CANARY,
        )  # fmt: skip
    delivery, delivered_about = await delivered(others)
    return Theirs({
        "delivery_id": [delivery], "campaign": [delivered_about],
        "lead_id": [lead, deleted], "connection_id": [connection], "key_id": [key], "user_id": [user],
        "run_id": [str(run)], "item_id": [str(item["id"]) for item in items],
        "workspace_id": [str(others.workspace_id)], "account_id": [str(account)], "campaign_id": [str(campaign)],
        # the same by the names that queries have for them
        "connection": [connection],
        # a lead that no path names
        "other_id": [other],
    })  # fmt: skip


async def delivered(others: Clients) -> tuple[str, str]:
    """Delivers something to the other workspace; returns its id and that of its campaign."""
    instantly = await connected(others)
    answer = await instantly.deliver({"event_type": CANARY, "lead_email": f"{CANARY}@leads.test"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["delivery"]), str(instantly.campaign_id)


async def state(clients: Clients) -> dict[str, str]:
    """Returns a digest of every table's rows of a workspace."""
    names = sorted(table.name for table in tables.metadata.tables.values() if "workspace_id" in table.columns)
    async with clients.runtime.db.transaction(Tenant(clients.workspace_id)) as tx:
        return {
            name: await tx.value(
                f"SELECT count(*) || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {name} t"
                " WHERE workspace_id = $1",
                clients.workspace_id,
            )
            for name in names
        }


def queries(theirs: Theirs, operation: dict[str, Any]) -> dict[str, str]:
    """Returns a query with their ids, as far as the operation takes any."""
    found: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query" and "'uuid'" in str(parameter["schema"]):
            found[parameter["name"]] = theirs.of(parameter["name"])[0]
    if operation["operationId"] == "followEvents":
        found["after"] = EVERYTHING
    return found


def own_business(role: str, path: str) -> bool:
    """Operators see to the workspaces and the accounts themselves."""
    return role == "operator" and path.startswith(("/api/admin/workspaces", "/api/admin/accounts"))


@pytest.fixture(params=[*ROLES, "none"])
async def asker(request: pytest.FixtureRequest, team: Clients, app: FastAPI) -> tuple[str, httpx.AsyncClient]:
    """Somebody of this workspace, or nobody."""
    if request.param == "none":
        return "none", await team.stack.enter_async_context(browser(app))
    return request.param, await team.of(request.param, "noor@voorbeeld.nl")


async def test_no_role_gets_at_what_another_workspace_has(
    asker: tuple[str, httpx.AsyncClient], theirs: Theirs, others: Clients
) -> None:
    role, client = asker
    before = await state(others)
    asked = 0

    for method, path, operation in KEYED:
        if own_business(role, path):
            continue
        for filled in theirs.paths(path):
            answer = await call(client, method, filled, operation, fill=theirs.body, **queries(theirs, operation))
            asked += 1

            if "{" in path:
                allowed = {404} if role in operation["x-roles"] else {401} if role == "none" else {403}
                assert answer.status_code in allowed, (method, filled, answer.text)
            elif role not in operation["x-roles"]:
                assert answer.status_code == (401 if role == "none" else 403), (method, filled, answer.text)
            elif method == "get":
                seen = [one for ids in theirs.ids.values() for one in ids if one in answer.text]
                assert seen == [], (method, filled)
            assert CANARY not in answer.text, (method, filled)

    assert await state(others) == before
    assert asked > len(KEYED)


async def test_only_operators_choose_another_workspace_on_any_route(
    asker: tuple[str, httpx.AsyncClient], theirs: Theirs, others: Clients
) -> None:
    role, client = asker
    if role == "operator":
        return
    before = await state(others)
    client.headers["X-Workspace"] = str(others.workspace_id)

    for method, path, operation in KEYED:
        for filled in theirs.paths(path):
            answer = await call(client, method, filled, operation, fill=theirs.body)
            assert answer.status_code == (401 if role == "none" else 403), (method, filled, answer.text)

    assert await state(others) == before


async def test_what_needs_no_key_tells_of_no_workspace(app: FastAPI, theirs: Theirs) -> None:
    async with browser(app) as nobody:
        for method, path, operation in OPERATIONS:
            if "x-roles" not in operation:
                answer = await call(nobody, method, path, operation)

                assert CANARY not in answer.text, path
                assert not any(one in answer.text for ids in theirs.ids.values() for one in ids), path


async def test_another_workspaces_ids_in_bodies_are_not_there_either(team: Clients, theirs: Theirs) -> None:
    client = await team.of("admin", "noor@team.test")
    connection = theirs.of("connection_id")[0]

    plan = await client.post("/api/sync/plans", json={"connection": connection})
    sync = await client.post("/api/sync/bidirectional", json={"connection": connection})
    listed = await client.get(f"/api/sync/runs?connection={connection}")
    mine = (await client.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    merged = [await client.post(f"{mine}/merge", json={"other": one}) for one in theirs.of("lead_id")]

    assert (plan.status_code, sync.status_code, listed.json()["items"]) == (404, 404, [])
    assert [answer.status_code for answer in merged] == [404, 404], merged[0].text


def test_a_parameter_nobody_has_thought_of_is_asked_for() -> None:
    with pytest.raises(AssertionError, match="'boat_id': give the other workspace such a thing"):
        Theirs({}).paths("/api/boats/{boat_id}")
    with pytest.raises(AssertionError, match="'boats': say in IN_BODIES"):
        Theirs({}).body({"boats": ["01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"]})
