"""Operators see the accounts behind the workspaces and say whose each campaign is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from app.db import deliveries
from app.lab.transport import InProcess
from app.main import create_app
from app.sandbox.instantly import InstantlySandbox
from tests.api.conftest import Clients, browser
from tests.api.test_access import UNKNOWN
from tests.api.test_answers import Hasty

ACCOUNTS = "/api/admin/accounts"


@pytest.fixture
async def operator(team: Clients) -> httpx.AsyncClient:
    return await team.of("operator", "olga@operators.test")


@pytest.fixture
async def joins(team: Clients, instantly: InstantlySandbox) -> Callable[[Clients], Any]:
    """Connects a workspace to an account of these tests."""
    key = f"key-{team.workspace_id}"
    instantly.store.add_key(key)

    async def join(clients: Clients) -> None:
        body = {"provider": "instantly", "secret": {"api_key": key}, "auto_approve": True}
        made = await (await clients.of("admin")).post("/api/admin/connections", json=body)
        assert made.status_code == 201, made.text

    await join(team)
    return join


async def found(operator: httpx.AsyncClient, team: Clients) -> dict[str, Any]:
    """The account of a workspace."""
    items = (await operator.get(ACCOUNTS, params={"limit": 200})).json()["items"]
    return next(a for a in items if str(team.workspace_id) in [w["id"] for w in a["workspaces"]])


async def campaign(operator: httpx.AsyncClient, path: str, campaign_id: str) -> dict[str, Any]:
    """A campaign as the list shows it."""
    listed = await operator.get(f"{path}/campaigns")
    assert listed.status_code == 200, listed.text
    return next(c for c in listed.json()["items"] if c["id"] == campaign_id)


async def test_an_account_is_listed_with_the_workspaces_that_use_it_and_without_its_secret(
    operator: httpx.AsyncClient, team: Clients, others: Clients, joins: Callable[[Clients], Any]
) -> None:
    before = await found(operator, team)
    await joins(others)
    after = await found(operator, team)
    listed = await operator.get(ACCOUNTS, params={"limit": 200})

    assert (before["provider"], before["shared_at"]) == ("instantly", None)
    assert [w["id"] for w in after["workspaces"]] == sorted(str(c.workspace_id) for c in (team, others))
    assert after["shared_at"] is not None
    assert f"key-{team.workspace_id}" not in listed.text


async def test_accounts_come_in_pages(
    operator: httpx.AsyncClient, team: Clients, joins: Callable[[Clients], Any], instantly: InstantlySandbox
) -> None:
    instantly.store.add_key(f"second-{team.workspace_id}")
    body = {"provider": "instantly", "name": "Second", "secret": {"api_key": f"second-{team.workspace_id}"}}
    made = await (await team.of("admin")).post("/api/admin/connections", json=body)
    assert made.status_code == 201, made.text

    listed = (await operator.get(ACCOUNTS, params={"limit": 200})).json()["items"]
    pages = [(await operator.get(ACCOUNTS, params={"limit": 1})).json()]
    while pages[-1]["next_cursor"]:
        following = {"limit": 1, "cursor": pages[-1]["next_cursor"]}
        pages.append((await operator.get(ACCOUNTS, params=following)).json())

    assert len(listed) >= 2
    assert [page["items"] for page in pages] == [[account] for account in listed]


async def test_a_campaign_goes_from_one_workspace_to_the_other_and_waits_when_it_is_nobodys(
    operator: httpx.AsyncClient, team: Clients, others: Clients, joins: Callable[[Clients], Any],
    instantly: InstantlySandbox,
) -> None:  # fmt: skip
    (there,) = [c for c in instantly.store.campaigns.values() if c.name == "Founders"]
    path = f"{ACCOUNTS}/{(await found(operator, team))['id']}"
    one = f"{path}/campaigns/{there.id}"

    alone = await campaign(operator, path, there.id)
    await joins(others)
    waiting = await campaign(operator, path, there.id)
    first = await operator.put(one, json={"workspace_id": str(team.workspace_id)})
    moved = await operator.put(one, json={"workspace_id": str(others.workspace_id)})
    again = await operator.put(one, json={"workspace_id": str(others.workspace_id)})
    assigned = await campaign(operator, path, there.id)
    ended = [(await operator.delete(one)).status_code for _ in range(2)]

    assert [(c["state"], c["name"], c["status"]) for c in (alone, waiting, assigned)] == [
        ("alone", "Founders", 1), ("waiting", "Founders", 1), ("assigned", "Founders", 1),
    ]  # fmt: skip
    assert [c["workspace"] and c["workspace"]["id"] for c in (alone, waiting, assigned)] == [
        str(team.workspace_id), None, str(others.workspace_id),
    ]  # fmt: skip
    assert [a.json()["taken_from"] for a in (first, moved, again)] == [None, str(team.workspace_id), None]
    assert ended == [204, 404]
    for clients, actions in (
        (team, ["campaign.assigned", "campaign.taken"]),
        (others, ["campaign.assigned", "campaign.taken"]),
    ):
        async with clients.runtime.db.transaction(clients.tenant) as tx:
            noted = await tx.all("SELECT actor, action FROM audit WHERE action LIKE 'campaign.%' ORDER BY at, id")
        assert [tuple(row) for row in noted] == [("olga@operators.test", action) for action in actions]


async def test_deliveries_that_waited_go_to_whom_their_campaign_is_assigned(
    operator: httpx.AsyncClient, team: Clients, others: Clients, joins: Callable[[Clients], Any]
) -> None:
    await joins(others)
    account_id, campaign_id = (await found(operator, team))["id"], "01980a3c-0000-7c3a-9d55-0c8f4f2f6a10"
    body = orjson.dumps({"event_type": "email_opened", "campaign_id": campaign_id})
    row = deliveries.delivery(body, fingerprint=team.runtime.vault.address, account_id=account_id, via="log")
    await deliveries.store(team.runtime.db, [row])

    path = f"{ACCOUNTS}/{account_id}"
    waiting = await campaign(operator, path, campaign_id)
    given = await operator.put(f"{path}/campaigns/{campaign_id}", json={"workspace_id": str(others.workspace_id)})

    assert (waiting["name"], waiting["state"], waiting["waiting_deliveries"]) == (None, "waiting", 1)
    assert given.json()["deliveries_routed"] == 1
    assert (await campaign(operator, path, campaign_id))["waiting_deliveries"] == 0
    async with others.runtime.db.transaction(others.tenant) as tx:
        assert await tx.value("SELECT count(*) FROM webhook_delivery WHERE campaign_id = $1", campaign_id) == 1


async def test_what_is_not_there_or_does_not_answer_is_said(
    operator: httpx.AsyncClient, team: Clients, joins: Callable[[Clients], Any], wanted: dict[str, Any]
) -> None:
    path = f"{ACCOUNTS}/{(await found(operator, team))['id']}"
    missing = [
        await operator.get(f"{ACCOUNTS}/{UNKNOWN}/campaigns"),
        await operator.put(f"{path}/campaigns/{UNKNOWN}", json={"workspace_id": UNKNOWN}),
        await operator.put(f"{ACCOUNTS}/{UNKNOWN}/campaigns/{UNKNOWN}", json={"workspace_id": str(team.workspace_id)}),
        await operator.delete(f"{ACCOUNTS}/{UNKNOWN}/campaigns/{UNKNOWN}"),
    ]
    async with httpx.AsyncClient(transport=InProcess({})) as http:
        cut_off = create_app(runtime=replace(team.runtime, http=http, clock=Hasty()))
        async with browser(cut_off, {"X-API-Key": await team.key("operator")}) as client:
            away = await client.get(f"{path}/campaigns")
    await (await team.of("admin")).post("/api/admin/connections", json=wanted)
    items = (await operator.get(ACCOUNTS, params={"limit": 200})).json()["items"]
    table = next(a for a in items if a["provider"] == "airtable")

    assert [a.status_code for a in missing] == [404] * 4
    assert away.status_code == 502
    assert (await operator.get(f"{ACCOUNTS}/{table['id']}/campaigns")).json() == {"items": []}
