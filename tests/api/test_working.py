"""Working a lead: campaigns, and a deleted lead that comes back."""

from __future__ import annotations

import httpx

from tests.api.conftest import Clients


async def test_a_lead_joins_campaigns_and_leaves_them(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]

    first = await member.post(f"{path}/campaigns", json={"name": " Beta "})
    second = await member.post(f"{path}/campaigns", json={"name": "A/B test"})
    again = await member.post(f"{path}/campaigns", json={"name": "Beta"})
    stale = await member.post(f"{path}/campaigns", json={"name": "Gamma"}, headers={"If-Match": '"1"'})
    left = await member.delete(f"{path}/campaigns/A%2FB%20test")
    absent = await member.delete(f"{path}/campaigns/Nowhere")
    last = await member.delete(f"{path}/campaigns/Beta")

    assert first.json()["campaigns"] == ["Beta"]
    assert second.json()["campaigns"] == ["A/B test", "Beta"]
    assert again.json() == second.json()
    assert stale.status_code == 412
    assert left.json()["campaigns"] == ["Beta"]
    assert absent.json() == left.json()
    assert (last.json()["campaigns"], last.json()["version"]) == (None, 5)
    refused = await member.post(f"{path}/campaigns", json={"name": "  "})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/name")


async def test_a_deleted_lead_is_restored_with_its_history(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test", "title": "CTO"})).headers["location"]
    await member.delete(path)

    back = await member.post(f"{path}/restore")
    again = await member.post(f"{path}/restore")
    taken = await member.post("/api/leads", json={"email": "a@x.test"})

    assert (back.status_code, back.json()["title"], back.json()["version"]) == (200, "CTO", 3)
    assert again.json() == back.json()
    assert (taken.status_code, taken.json()["lead_id"]) == (409, back.json()["id"])
    history = (await member.get(f"{path}/history")).json()["items"]
    assert (history[0]["changes"]["deleted"]["new"], history[0]["changes"]["deleted"]["rule"]) == (False, "restore")
    assert (history[0]["version"], history[0]["actor"]) == (3, "noor@team.test")


async def test_a_lead_whose_address_is_taken_by_now_is_not_restored(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    await member.delete(path)
    other = (await member.post("/api/leads", json={"email": "a@x.test"})).json()["id"]

    refused = await member.post(f"{path}/restore")

    assert (refused.status_code, refused.json()["lead_id"]) == (409, other)
    assert (await member.get(path)).status_code == 404


async def test_a_viewer_changes_nothing_and_a_cron_sees_no_lead(team: Clients, member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    before = (await member.get(path)).json()
    viewer, cron = await team.of("viewer"), await team.of("cron")

    attempts: list[tuple[str, str, dict[str, str]]] = [
        ("PATCH", "", {"title": "x"}), ("PUT", "", {"title": "x"}), ("DELETE", "", {}), ("POST", "/claim", {}),
        ("POST", "/unclaim", {}), ("POST", "/notes", {"text": "x"}), ("POST", "/campaigns", {"name": "x"}),
        ("DELETE", "/campaigns/x", {}), ("POST", "/restore", {}),
    ]  # fmt: skip
    statuses = {
        (await client.request(method, f"{path}{rest}", json=body)).status_code
        for client in (viewer, cron)
        for method, rest, body in attempts
    }

    assert statuses == {403}
    assert (await viewer.get(path)).json() == before
    assert (await cron.get(path)).status_code == 403


async def test_an_administrator_erases_a_lead_and_nobody_else_does(team: Clients, member: httpx.AsyncClient) -> None:
    admin = await team.of("admin", "ada@team.test")
    path = (await member.post("/api/leads", json={"email": "a@x.test"}, headers={"Idempotency-Key": "e1"})).headers[
        "location"
    ]
    deleted = (await member.post("/api/leads", json={"email": "b@x.test"})).headers["location"]
    await member.delete(deleted)

    forbidden = await member.delete(f"{path}?purge=true")
    stale = await admin.delete(f"{path}?purge=true", headers={"If-Match": '"7"'})
    remote = await admin.delete(f"{path}?remote=true")
    still = await member.get(path)
    erased = [await admin.delete(f"{where}?purge=true") for where in (path, deleted, path)]

    assert (forbidden.status_code, stale.status_code, remote.status_code, still.status_code) == (403, 412, 422, 200)
    assert [answer.status_code for answer in erased] == [204, 204, 404]
    for where in ("", "/history", "/activity", "/links", "/explain"):
        gone = await member.get(f"{path}{where}")
        assert (gone.status_code, "a@x.test" in gone.text) == (404, False)
    assert (await member.post(f"{path}/restore")).status_code == 404
    again = await member.post("/api/leads", json={"email": "a@x.test"}, headers={"Idempotency-Key": "e1"})
    assert again.status_code == 201
    assert again.headers["location"] != path
