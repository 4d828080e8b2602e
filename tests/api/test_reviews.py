"""What waits for a person: every kind in one list, each with the requests that decide it."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import httpx
import jsonschema_rs
import pytest

from app.api.application import document
from app.db import reviews
from app.db.reviews import KINDS, Kind
from tests.api.conftest import Clients
from tests.api.test_access import UNKNOWN

#: What items say, where an action repeats it.
EVIDENCE: dict[Kind, dict[str, Any]] = {
    "plan": {"digest": "9f2c4e1ab07d3356"},
    "delivery": {"delivery": UNKNOWN},
    "candidate": {"tier": "phone", "score": 0.9, "fields": {"phone": 1}, "why": "The same phone."},
}
ACTIONS = {
    "conflict": ["keep_local", "keep_remote"], "candidate": ["merge", "dismiss"], "quarantine": ["approve", "reject"],
    "plan": ["apply"], "deleted": ["restore", "close"], "erased": ["close"], "delivery": ["replay", "close"],
    "alert": ["close"],
}  # fmt: skip


@pytest.fixture
async def items(team: Clients, admin: httpx.AsyncClient, wanted: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One open item of every kind, as the list shows it."""
    leads = [UUID((await admin.post("/api/leads", json={"full_name": name})).json()["id"]) for name in "ab"]
    connection = UUID((await admin.post("/api/admin/connections", json=wanted)).json()["id"])
    async with team.runtime.db.transaction(team.tenant) as tx:
        for kind in KINDS:
            evidence = EVIDENCE.get(kind, {"why": kind})
            field = str(leads[1]) if kind == "candidate" else ""
            await reviews.put(tx, kind, evidence, connection_id=connection, lead_id=leads[0], field=field)
    return {item["kind"]: item for item in (await admin.get("/api/reviews")).json()["items"]}


async def test_every_kind_is_listed_with_requests_that_the_document_knows(items: dict[str, dict[str, Any]]) -> None:
    known = document()
    found = {kind: [action["name"] for action in item["actions"]] for kind, item in items.items()}

    assert found == ACTIONS
    for action in (action for item in items.values() for action in item["actions"]):
        assert action["method"] == "POST"
        (operation,) = (
            methods["post"]
            for path, methods in known["paths"].items()
            if "post" in methods and re.fullmatch(re.sub(r"\{\w+\}", "[0-9a-f-]{36}", path), action["path"])
        )
        if action["body"] is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            jsonschema_rs.validate({**schema, "components": known["components"]}, action["body"])


async def test_items_are_found_by_kind_and_state_page_by_page(
    admin: httpx.AsyncClient, items: dict[str, dict[str, Any]]
) -> None:
    first = (await admin.get("/api/reviews?limit=5")).json()
    second = (await admin.get("/api/reviews?limit=5", params={"cursor": first["next_cursor"]})).json()
    alerts = (await admin.get("/api/reviews?kind=alert")).json()["items"]
    decided = (await admin.get("/api/reviews?state=decided")).json()["items"]

    shown = [item["kind"] for item in (*first["items"], *second["items"])]
    assert sorted(shown) == sorted(KINDS)
    assert (first["waiting"], second["waiting"]) == (dict.fromkeys(sorted(KINDS), 1), None)
    assert [alert["id"] for alert in alerts] == [items["alert"]["id"]]
    assert decided == []


async def test_a_notice_is_closed_once_and_not_brought_up_again_without_news(
    team: Clients, admin: httpx.AsyncClient, items: dict[str, dict[str, Any]]
) -> None:
    item = items["erased"]
    path = f"/api/reviews/{item['id']}"

    stale = await admin.post(f"{path}/close", json={"version": 2})
    closed = await admin.post(f"{path}/close", json={"version": 1})
    again = await admin.post(f"{path}/close", json={"version": 2})
    async with team.runtime.db.transaction(team.tenant) as tx:
        connection, lead = UUID(item["connection_id"]), UUID(item["lead_id"])
        await reviews.put(tx, "erased", item["evidence"], connection_id=connection, lead_id=lead)
        unchanged = await reviews.count_open(tx)
        await reviews.put(tx, "erased", {"why": "another record"}, connection_id=connection, lead_id=lead)

    assert [answer.status_code for answer in (stale, closed, again)] == [409, 200, 409]
    assert (closed.json()["state"], closed.json()["actions"], closed.json()["decided_by"]) == (
        "decided", [], "ada@team.test",
    )  # fmt: skip
    assert "erased" not in unchanged
    assert [new["evidence"] for new in (await admin.get("/api/reviews?kind=erased")).json()["items"]] == [
        {"why": "another record"}
    ]
    assert (await admin.get(path)).json()["decision"] == {"acknowledged": True, "by": "ada@team.test"}


async def test_what_nobody_can_decide_about_a_deleted_lead_waits_until_it_is_restored(admin: httpx.AsyncClient) -> None:
    one, other = [
        (await admin.post("/api/leads", json={"full_name": "Anna Berg", "phone": "+31612345678"})).json()["id"]
        for _ in range(2)
    ]

    async def waiting() -> list[tuple[set[str], dict[str, int]]]:
        found = (await admin.get("/api/reviews")).json()
        return [({item["lead_id"], item["field"]}, found["waiting"]) for item in found["items"]]

    pair = [({one, other}, {"candidate": 1})]
    assert await waiting() == pair
    for lead in (one, other):
        await admin.delete(f"/api/leads/{lead}")
        assert await waiting() == []
        await admin.post(f"/api/leads/{lead}/restore")
        assert await waiting() == pair


@pytest.mark.parametrize("kind", ["conflict", "candidate", "quarantine", "plan"])
async def test_what_waits_for_a_decision_is_not_just_closed(
    admin: httpx.AsyncClient, items: dict[str, dict[str, Any]], kind: str
) -> None:
    answer = await admin.post(f"/api/reviews/{items[kind]['id']}/close", json={"version": 1})

    assert (answer.status_code, "use one of the actions" in answer.json()["detail"]) == (409, True)


async def test_the_actions_of_an_item_do_what_they_say(
    admin: httpx.AsyncClient, items: dict[str, dict[str, Any]]
) -> None:
    async def act(kind: str, name: str) -> httpx.Response:
        (action,) = (action for action in items[kind]["actions"] if action["name"] == name)
        return await admin.request(action["method"], action["path"], json=action["body"])

    previewed, dismissed, closed = (
        await act("candidate", "merge"),
        await act("candidate", "dismiss"),
        await act("alert", "close"),
    )

    assert [answer.status_code for answer in (previewed, dismissed, closed)] == [200, 200, 200]
    assert {item["kind"] for item in (await admin.get("/api/reviews")).json()["items"]} == set(KINDS) - {
        "candidate",
        "alert",
    }
