"""The audit log: what was done to a workspace, by whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.api.conftest import Clients

Settle = Callable[[], Any]

AUDIT = "/api/admin/audit"


async def test_who_did_what_to_a_workspace_can_be_read(team: Clients, wanted: dict[str, Any], settle: Settle) -> None:
    admin, operator = await team.of("admin", "ada@team.test"), await team.of("operator")
    key = (await admin.post("/api/admin/keys", json={"name": "portal", "role": "viewer"})).json()
    await admin.delete(f"/api/admin/keys/{key['id']}")
    made = await admin.post("/api/admin/connections", json=wanted)
    path = made.headers["location"]
    await settle()
    digest = (await admin.get(f"{path}/plan")).json()["evidence"]["digest"]
    await admin.post(f"{path}/approve", json={"digest": digest})
    for way in ("pause", "resume"):
        await admin.post(f"{path}/{way}")
    await admin.patch(path, json={"priority": 7})
    await operator.delete(path)

    entries = list(reversed((await admin.get(AUDIT)).json()["items"]))

    assert [(entry["actor"], entry["action"]) for entry in entries] == [
        ("ada@team.test", "key.created"),
        ("ada@team.test", "key.revoked"),
        ("ada@team.test", "connection.created"),
        ("ada@team.test", "plan.approved"),
        ("ada@team.test", "connection.paused"),
        ("ada@team.test", "connection.resumed"),
        ("ada@team.test", "connection.changed"),
        ("operator key", "connection.deleted"),
    ]
    assert entries[0]["detail"] == {"id": key["id"], "role": "viewer"}
    assert entries[3]["detail"] == {"id": made.json()["id"], "digest": digest}
    assert entries[6]["detail"] == {"id": made.json()["id"], "name": "Sales", "fields": ["priority"]}


async def test_the_audit_log_is_walked_page_by_page_and_by_time(team: Clients) -> None:
    admin = await team.of("admin")
    for day in range(1, 6):
        await admin.patch("/api/admin/settings", json={"delivery_days": day})
    whole = (await admin.get(AUDIT)).json()["items"]

    pages, cursor = [], ""
    while cursor is not None:
        page = (await admin.get(AUDIT, params={"limit": "2"} | ({"cursor": cursor} if cursor else {}))).json()
        pages.append(page["items"])
        cursor = page["next_cursor"]
    between = {"from": whole[3]["at"], "to": whole[1]["at"]}

    assert [entry["detail"]["delivery_days"] for entry in whole] == [5, 4, 3, 2, 1]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [entry for page in pages for entry in page] == whole
    assert (await admin.get(AUDIT, params=between)).json()["items"] == whole[2:4]


async def test_what_an_operator_does_elsewhere_is_read_there(team: Clients, others: Clients) -> None:
    operator = await team.of("operator")
    elsewhere = {"X-Workspace": str(others.workspace_id)}

    (seen,) = (await operator.get(AUDIT, headers=elsewhere)).json()["items"]

    assert (seen["actor"], seen["action"]) == ("operator key", f"GET {AUDIT}")
    assert (await (await others.of("admin")).get(AUDIT)).json()["items"] == [seen]
    assert (await operator.get(AUDIT)).json()["items"] == []
