"""What a workspace chooses."""

from __future__ import annotations

import httpx

from tests.api.conftest import Clients


async def test_what_is_sent_is_changed_and_the_rest_stays(admin: httpx.AsyncClient) -> None:
    before = (await admin.get("/api/admin/settings")).json()
    changed = await admin.patch("/api/admin/settings", json={"unsubscribe": "workspace"})
    await admin.patch("/api/admin/settings", json={"unknown_replies": "wait"})

    assert before == {"unsubscribe": "campaign", "unknown_replies": "create", "delivery_days": 90}
    assert changed.json() == before | {"unsubscribe": "workspace"}
    now = (await admin.get("/api/admin/settings")).json()
    assert now == before | {"unsubscribe": "workspace", "unknown_replies": "wait"}
    assert (await admin.patch("/api/admin/settings", json={})).json() == now


async def test_what_is_no_choice_is_refused_by_name(admin: httpx.AsyncClient) -> None:
    refused = await admin.patch("/api/admin/settings", json={"unsubscribe": "never", "colour": "red"})

    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/unsubscribe", "/colour"}


async def test_only_the_own_workspace_chooses_and_only_its_administrators(team: Clients, others: Clients) -> None:
    await (await team.of("admin")).patch("/api/admin/settings", json={"delivery_days": 7})

    assert (await (await others.of("admin")).get("/api/admin/settings")).json()["delivery_days"] == 90
    assert (await (await team.of("member")).patch("/api/admin/settings", json={})).status_code == 403
