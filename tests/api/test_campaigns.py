"""Campaigns over HTTP: what a client's portal shows of them, and nothing of the provider's ids."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.db import campaigns, connections, links
from app.db.campaigns import Listed
from app.db.ids import new_id
from app.db.session import Tx
from tests.api.conftest import Clients

REMOTE = "d13d0000-0000-4000-8000-00000000000{}"
DAY = date(2026, 3, 1)


async def connect(tx: Tx) -> UUID:
    """Adds an Instantly connection that never reads."""
    connection_id = new_id()
    account = await connections.account(tx, "instantly", str(connection_id), b"", new_id())
    await connections.add(
        tx,
        {
            "id": connection_id, "account_id": account, "provider": "instantly", "name": "Outreach",
            "target": str(connection_id), "state": "paused", "created_at": tx.now,
        },
    )  # fmt: skip
    return connection_id


def listed(number: int, name: str, status: int | None = 1) -> Listed:
    remote_id = REMOTE.format(number)
    return Listed(remote_id=remote_id, name=name, status=status, namespace=f"n{number}", counts={"sent": 1})


@pytest.fixture
async def known(team: Clients) -> dict[str, str]:
    """Three campaigns, by name: the path of each. Alpha counts two days; Gamma is gone."""
    async with team.runtime.db.transaction(team.tenant) as tx:
        connection_id = await connect(tx)
        await campaigns.refresh(tx, connection_id, [listed(1, "Beta", 77), listed(2, "Alpha"), listed(3, "Gamma", -2)])
        await campaigns.refresh(tx, connection_id, [listed(1, "Beta", 77), listed(2, "Alpha")])
        found = {row["name"]: row["id"] for row in await campaigns.page(tx, 10, None)}
        days = [
            (DAY, {"sent": 40, "unique_opened": 5, "opened": 9}),
            (DAY + timedelta(days=1), {"sent": 2, "unique_opened": 5, "opened": 6}),
        ]
        overview = {"sent": 42, "unique_opened": 7}
        await campaigns.save_analysis(tx, found["Alpha"], overview, days, since=DAY, until=DAY + timedelta(days=1))
        await campaigns.analysed(tx, found["Alpha"])
    return {name: f"/api/campaigns/{campaign_id}" for name, campaign_id in found.items()}


async def lead(team: Clients, email: str, delivery: str | None, *numbers: int) -> str:
    """Adds a lead with a row in some of the campaigns."""
    member = await team.of("member", "noor@team.test")
    made = await member.post("/api/leads", json={"email": email})
    lead_id = str(made.json()["id"])
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE lead SET delivery_status = $2 WHERE id = $1", UUID(lead_id), delivery)
        connection_id = await tx.value("SELECT id FROM connection WHERE workspace_id = $1", team.workspace_id)
        rows = [
            links.Observation(
                key=f"{REMOTE.format(n)}/{email}", remote_id=f"{n}{email}", observed={}, namespace=f"n{n}"
            )
            for n in numbers
        ]
        await links.observe(tx, connection_id, rows, at=tx.now, mapping_version=1)
        await tx.run("UPDATE link SET lead_id = $1 WHERE remote_key LIKE '%/' || $2", UUID(lead_id), email)
    return lead_id


async def test_a_viewer_sees_campaigns_with_their_leads_by_delivery_status(
    team: Clients, known: dict[str, str]
) -> None:
    await lead(team, "a@x.test", "replied", 1, 2)
    await lead(team, "b@x.test", "emailed", 2)
    await lead(team, "c@x.test", None, 2)
    deleted = await lead(team, "d@x.test", "emailed", 2)
    viewer, member = await team.of("viewer"), await team.of("member", "noor@team.test")
    await member.delete(f"/api/leads/{deleted}")

    items = (await viewer.get("/api/campaigns")).json()["items"]

    assert [(c["name"], c["status"], c["gone_at"] is None) for c in items] == [
        ("Alpha", "active", True),
        ("Beta", "unknown", True),
        ("Gamma", "bounce_protect", False),
    ]
    assert items[0]["leads"] == {"total": 3, "replied": 1, "bounced": 0, "emailed": 1, "not_yet_emailed": 1}
    assert items[1]["leads"]["replied"] == items[1]["leads"]["total"] == 1
    assert (await viewer.get(known["Alpha"])).json() == items[0]


async def test_the_leads_of_campaigns_are_a_list_like_any_other(
    team: Clients, others: Clients, known: dict[str, str]
) -> None:
    await lead(team, "both@x.test", "replied", 1, 2)
    await lead(team, "alpha@x.test", "emailed", 2)
    await lead(team, "none@x.test", "emailed")
    await lead(team, "gone@x.test", "emailed", 1)
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE link SET gone_at = $1 WHERE remote_key LIKE '%/gone@x.test'", tx.now)
    ids = {name: path.rpartition("/")[2] for name, path in known.items()}
    viewer, stranger = await team.of("viewer"), await others.of("viewer")

    async def emails(client: httpx.AsyncClient, query: str) -> list[str]:
        shown = await client.get(f"/api/leads?sort=email&count=exact&{query}")
        found = [item["email"] for item in shown.json()["items"]]
        assert shown.json()["count"] == len(found), query
        exported = await client.get(f"/api/leads/export?format=csv&fields=email&{query}")
        assert sorted(exported.text.split()[1:]) == found, query
        return found

    assert await emails(viewer, f"campaign_id={ids['Alpha']}") == ["alpha@x.test", "both@x.test"]
    assert await emails(viewer, f"campaign_id={ids['Beta']}") == ["both@x.test"]
    assert await emails(viewer, f"campaign_id={ids['Beta']},{ids['Alpha']}") == ["alpha@x.test", "both@x.test"]
    assert await emails(viewer, f"campaign_id={ids['Alpha']}&delivery_status=replied") == ["both@x.test"]
    assert await emails(viewer, f"campaign_id={ids['Alpha']}&q=alpha") == ["alpha@x.test"]
    assert await emails(viewer, f"campaign_id={ids['Gamma']}") == []
    assert await emails(stranger, f"campaign_id={ids['Alpha']}") == []


async def test_the_list_goes_on_after_each_page(team: Clients, known: dict[str, str]) -> None:
    viewer = await team.of("viewer")
    names: list[str] = []
    path: str | None = "/api/campaigns?limit=2"
    while path is not None:
        page = await viewer.get(path)
        names += [c["name"] for c in page.json()["items"]]
        path = page.links["next"]["url"] if "next" in page.links else None

    assert names == ["Alpha", "Beta", "Gamma"]


async def test_days_are_added_up_and_unique_counts_are_not(team: Clients, known: dict[str, str]) -> None:
    viewer = await team.of("viewer")

    shown = (await viewer.get(f"{known['Alpha']}/analytics", params={"from": "2026-02-28", "to": "2026-03-02"})).json()

    assert [(d["day"], d["sent"], d["unique_opened"]) for d in shown["days"]] == [
        ("2026-03-01", 40, 5),
        ("2026-03-02", 2, 5),
    ]
    assert (shown["sums"]["sent"], shown["sums"]["opened"]) == (42, 15)
    assert not [name for name in shown["sums"] if name.startswith("unique")]
    assert (shown["overview"]["unique_opened"], shown["overview"]["won"]) == (7, None)
    assert "not sums of days" in shown["note"]
    one = (await viewer.get(f"{known['Alpha']}/analytics", params={"from": "2026-03-02", "to": "2026-03-02"})).json()
    assert (len(one["days"]), one["overview"]) == (1, shown["overview"])


async def test_without_days_the_last_thirty_are_shown(team: Clients, known: dict[str, str]) -> None:
    viewer = await team.of("viewer")

    shown = (await viewer.get(f"{known['Beta']}/analytics")).json()

    since, until = date.fromisoformat(shown["from"]), date.fromisoformat(shown["to"])
    assert ((until - since).days, shown["days"], shown["read_at"]) == (29, [], None)


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2020-01-01", "to": "2026-03-01"},
        {"from": "yesterday"},
        {"from": "1772323200"},
    ],
)
async def test_days_that_cannot_be_shown_are_refused(
    team: Clients, known: dict[str, str], query: dict[str, str]
) -> None:
    answer = await (await team.of("viewer")).get(f"{known['Alpha']}/analytics", params=query)

    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "from")


@pytest.mark.parametrize("query", [{"to": "0001-01-01"}, {"from": "9999-12-31"}])
async def test_the_ends_of_time_are_days_as_well(team: Clients, known: dict[str, str], query: dict[str, str]) -> None:
    answer = await (await team.of("viewer")).get(f"{known['Alpha']}/analytics", params=query)

    assert (answer.status_code, answer.json()["days"]) == (200, [])


async def test_no_answer_holds_an_id_of_the_provider(team: Clients, known: dict[str, str]) -> None:
    await lead(team, "a@x.test", "replied", 1, 2)
    viewer = await team.of("viewer")

    answers = [await viewer.get(path) for path in ("/api/campaigns", known["Alpha"], f"{known['Alpha']}/analytics")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not [answer.text for answer in answers if "d13d0000" in answer.text or '"n1"' in answer.text]


async def test_another_workspaces_campaign_is_not_there(team: Clients, others: Clients, known: dict[str, str]) -> None:
    stranger = await others.of("viewer")

    assert (await stranger.get("/api/campaigns")).json()["items"] == []
    for path in (known["Alpha"], f"{known['Alpha']}/analytics"):
        assert (await stranger.get(path)).status_code == 404


async def test_the_past_is_read_on_request_as_far_back_as_wanted(team: Clients, member: httpx.AsyncClient) -> None:
    async with team.runtime.db.transaction(team.tenant) as tx:
        connection_id = await connect(tx)
        await connections.change(tx, connection_id, state="active")

    first = await member.post("/api/instantly/analytics", json={"days": 365})
    again = await member.post("/api/instantly/analytics", json={"days": 365})
    other = await member.post("/api/instantly/analytics", json={"days": 30})

    assert (first.status_code, first.json()["kind"]) == (202, "analytics")
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    async with team.runtime.db.transaction(team.tenant) as tx:
        assert await tx.value("SELECT options FROM sync_run WHERE id = $1", UUID(other.json()["id"])) == {"days": 30}
    answer: Any = await member.post("/api/instantly/analytics", json={"days": 0})
    assert answer.status_code == 422
