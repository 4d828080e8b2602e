"""Answers that depend on how things stand, each brought about: what is taken, decided, not yet there, or away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.db import reviews
from app.lab.transport import InProcess
from app.main import create_app
from app.runtime import WallClock
from app.sandbox.instantly import InstantlySandbox
from tests.api.conftest import Clients, browser
from tests.api.test_access import UNKNOWN

Settle = Callable[[], Any]
FROM_AND_TO = ("/api/sync/to-airtable", "/api/sync/from-airtable", "/api/sync/bidirectional")
READING = ("/api/instantly/sync", "/api/instantly/refresh-status")


@pytest.fixture
async def active(admin: httpx.AsyncClient, wanted: dict[str, Any], settle: Settle) -> str:
    """The id of a connection that syncs."""
    made = await admin.post("/api/admin/connections", json=wanted | {"auto_approve": True})
    await settle()
    return str(made.json()["id"])


@pytest.fixture
async def new(admin: httpx.AsyncClient, wanted: dict[str, Any]) -> str:
    """The address of a connection nobody has approved yet, because it was not read yet."""
    return str((await admin.post("/api/admin/connections", json=wanted)).headers["location"])


@pytest.fixture
async def reading(admin: httpx.AsyncClient, instantly: InstantlySandbox, team: Clients, settle: Settle) -> None:
    """A connection to an Instantly account of its own."""
    instantly.store.add_key(key := f"key-{team.workspace_id}")
    body = {"provider": "instantly", "secret": {"api_key": key}, "auto_approve": True}
    made = await admin.post("/api/admin/connections", json=body)
    assert made.status_code == 201, made.text
    await settle()


class Hasty(WallClock):
    """Time in which nobody waits before trying again."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def cut_off(team: Clients) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of a service that no provider answers."""
    async with httpx.AsyncClient(transport=InProcess({})) as http:
        app = create_app(runtime=replace(team.runtime, http=http, clock=Hasty()))
        async with browser(app, {"X-API-Key": await team.key("admin")}) as client:
            yield client


@pytest.mark.parametrize("path", FROM_AND_TO)
async def test_a_sync_is_under_way_ended_only_planned_or_of_no_connection(
    member: httpx.AsyncClient, active: str, settle: Settle, path: str
) -> None:
    planned = await member.post(path, json={"dry_run": True})
    nowhere = await member.post(path, json={"connection": UNKNOWN})
    asked = await member.post(path, json={"connection": active})
    ended, _ = await asyncio.gather(member.post(f"{path}?wait=30"), _soon(settle))

    assert [a.status_code for a in (planned, nowhere, asked, ended)] == [200, 404, 202, 200]
    assert "plans" in planned.json()
    assert (ended.json()["id"], ended.json()["state"]) == (asked.json()["id"], "done")


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        *((path, {}, None) for path in (*READING, "/api/admin/sync/full")),
        ("/api/instantly/analytics", {}, {"days": 30}),
        ("/api/webhooks/completeness", {"day": "2026-03-02"}, None),
    ],
)
async def test_a_reading_is_under_way_or_has_ended(
    member: httpx.AsyncClient, reading: None, settle: Settle, path: str, query: dict[str, Any], body: Any
) -> None:
    asked = await member.post(path, params=query, json=body)
    ended, _ = await asyncio.gather(member.post(path, params=query | {"wait": 30}, json=body), _soon(settle))

    assert (asked.status_code, ended.status_code) == (202, 200)
    assert (ended.json()["id"], ended.json()["state"], ended.json()["error"]) == (asked.json()["id"], "done", None)


async def _soon(settle: Settle) -> None:
    await asyncio.sleep(0.05)
    await settle()


async def test_a_provider_that_does_not_answer_is_a_502(
    cut_off: httpx.AsyncClient, new: str, wanted: dict[str, Any]
) -> None:
    config = wanted["config"] | {"table_id": "tblAAAAAAAAAAAAAA"}
    answers = [
        await cut_off.post("/api/admin/connections", json=wanted | {"config": config}),
        await cut_off.patch(new, json={"mapping": "auto"}),
        await cut_off.get(f"{new}/schema"),
    ]

    assert [answer.status_code for answer in answers] == [502, 502, 502]
    assert all("Airtable" in answer.json()["detail"] for answer in answers), answers[0].text
    tested = (await cut_off.post(f"{new}/test")).json()
    assert tested == {"ok": False, "message": answers[2].json()["detail"]}


NEW: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, [("/provider", "This is required.")]),
    ({"provider": "fax"}, [("/provider", "It is one of 'airtable', 'instantly'.")]),
    ({"provider": "airtable"}, [("/config", "This is required."), ("/secret", "This is required.")]),
    (
        {"provider": "airtable", "config": {"base_id": "b", "sheet": 1}, "secret": {"token": "t"}},
        [("/config/table_id", "This is required."), ("/config/sheet", "There is no such field.")],
    ),
    (
        {"provider": "instantly", "secret": {"api_key": "k", "webhook_secret": "short"}},
        [("/secret/webhook_secret", "It has too few characters: 16 at least.")],
    ),
]
CHANGED: list[tuple[dict[str, Any], list[str]]] = [
    ({"create": "some"}, ["/create", "/create"]),
    ({"mapping": [{"field": "title"}]}, ["/mapping", "/mapping/0/remote"]),
    ({"mapping": [3]}, ["/mapping", "/mapping/0"]),
]


async def test_a_refusal_points_at_what_is_wrong_in_the_body_whichever_of_several_shapes_it_has(
    admin: httpx.AsyncClient, new: str
) -> None:
    for body, expected in NEW:
        refused = (await admin.post("/api/admin/connections", json=body)).json()
        assert [(error["pointer"], error["detail"]) for error in refused["errors"]] == expected, body
    for body, pointers in CHANGED:
        refused = (await admin.patch(new, json=body)).json()
        assert [error["pointer"] for error in refused["errors"]] == pointers, body


async def test_a_connection_that_was_not_read_yet_has_nothing_to_approve_pause_or_resume(
    admin: httpx.AsyncClient, new: str
) -> None:
    answers = [
        await admin.get(f"{new}/plan"),
        await admin.post(f"{new}/approve", json={"digest": "9f2c4e1ab07d3356"}),
        await admin.post(f"{new}/pause"),
        await admin.post(f"{new}/resume"),
    ]

    assert [answer.status_code for answer in answers] == [409] * 4
    assert "plan" in answers[3].json()["detail"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_another_leads_address_is_not_taken_by_an_edit(member: httpx.AsyncClient, method: str) -> None:
    mine, theirs = [(await member.post("/api/leads", json={"email": f"{n}@x.test"})).json()["id"] for n in "ab"]

    answer = await member.request(method, f"/api/leads/{mine}", json={"email": "b@x.test"})

    assert (answer.status_code, answer.json()["lead_id"]) == (409, theirs)


async def test_a_pair_that_was_merged_is_not_dismissed_any_more(member: httpx.AsyncClient) -> None:
    ada = {"full_name": "Ada Lovelace", "company_name": "Acme B.V."}
    one, other = [(await member.post("/api/leads", json=ada)).json()["id"] for _ in range(2)]
    (pair,) = (await member.get("/api/leads/duplicates")).json()["items"]
    await member.post(f"/api/leads/{one}/merge", json={"other": other, "dry_run": False})

    answer = await member.post(f"/api/leads/duplicates/{pair['id']}/dismiss")

    assert answer.status_code == 409


async def test_what_was_approved_is_not_rejected_any_more(team: Clients, admin: httpx.AsyncClient, active: str) -> None:
    evidence = {"what": "mass clear", "field": "title", "records": 30, "of": 40, "why": "…"}
    async with team.runtime.db.transaction(team.tenant) as tx:
        await reviews.put(tx, "quarantine", evidence, connection_id=UUID(active), field="title")
    (item,) = (await admin.get("/api/sync/quarantine")).json()["items"]
    path = f"/api/sync/quarantine/{item['id']}"

    answers = [await admin.post(f"{path}/{verdict}", json={"version": 1}) for verdict in ("approve", "reject")]

    assert [answer.status_code for answer in answers] == [200, 409]


async def test_a_person_is_removed_once(admin: httpx.AsyncClient) -> None:
    user = (await admin.post("/api/admin/users", json={"email": "noor@voorbeeld.nl", "role": "member"})).json()
    path = f"/api/admin/users/{user['id']}"

    assert [(await admin.delete(path)).status_code for _ in range(2)] == [204, 404]
    assert (await admin.get("/api/admin/users")).json()["items"] == []


async def test_a_workspace_is_read_and_its_name_is_taken_once(team: Clients) -> None:
    operator = await team.of("operator")
    body = {"name": f"Voorbeeld {team.workspace_id}"}
    made = await operator.post("/api/admin/workspaces", json=body)

    again = await operator.post("/api/admin/workspaces", json=body)
    read = await operator.get(made.headers["location"])

    assert (again.status_code, read.status_code, read.json()) == (409, 200, made.json())
