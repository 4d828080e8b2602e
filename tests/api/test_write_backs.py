"""Changing a lead at Instantly over REST: what is asked for, what is refused, and where it shows."""

from __future__ import annotations

from uuid import UUID, uuid5

import httpx
import pytest

from app.db import connections, link_work, links
from app.db.ids import new_id
from app.sync import connect
from tests.api.conftest import Clients

NOWHERE = uuid5(UUID(int=0), "nowhere")


@pytest.fixture
async def lead(team: Clients, member: httpx.AsyncClient) -> tuple[str, str]:
    """A lead that is in a campaign at Instantly: its path, and the campaign's id here."""
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    async with team.runtime.db.transaction(team.tenant) as tx:
        account = team.runtime.account("instantly", {}, {"api_key": str(new_id())})
        wanted = connect.Wanted(provider="instantly", name="Outreach", config={}, **account)
        connection_id = await connect.connect(tx, wanted, connect.check(wanted, []), actor="ada")
        await connections.change(tx, connection_id, state="active", next_run_at=None)
        campaign_id = new_id()
        await tx.run(
            "INSERT INTO campaign (workspace_id, id, connection_id, remote_id, name) VALUES ($1, $2, $3, 'c1', 'Q3')",
            team.workspace_id, campaign_id, connection_id,
        )  # fmt: skip
        seen = links.Observation(key="c1/a@x.test", remote_id="l1", observed={}, raw={"email": "a@x.test"})
        await links.observe(tx, connection_id, [seen], at=tx.now, mapping_version=1)
        await tx.run("UPDATE link SET lead_id = $1 WHERE remote_id = 'l1'", UUID(path.rpartition("/")[2]))
        await link_work.clean(tx, [await tx.value("SELECT id FROM link WHERE remote_id = 'l1'")])
    return path, str(campaign_id)


async def test_an_interest_is_taken_and_shown_where_the_lead_stands(
    member: httpx.AsyncClient, lead: tuple[str, str]
) -> None:
    path, campaign = lead

    taken = await member.post(f"{path}/interest", json={"interest": "meeting_booked", "campaign_id": campaign})
    again = await member.post(f"{path}/interest", json={"interest": "meeting_booked"})
    taken_back = await member.post(f"{path}/interest", json={"interest": None})

    assert (taken.status_code, taken.headers["location"]) == (202, f"{path}/links")
    (request,) = taken.json()["items"]
    shown = {name: request[name] for name in ("kind", "interest", "campaign", "campaign_id", "state", "requested_by")}
    assert shown == {
        "kind": "interest", "interest": "meeting_booked", "campaign": "Q3", "campaign_id": campaign,
        "state": "queued", "requested_by": "noor@team.test",
    }  # fmt: skip
    assert again.json()["items"] == [request]
    (link,) = (await member.get(f"{path}/links")).json()["items"]
    assert [(one["interest"], one["state"]) for one in link["requests"]] == [
        (None, "queued"),
        ("meeting_booked", "failed"),
    ]
    assert link["requests"][0] == taken_back.json()["items"][0]
    (second, first) = (await member.get(f"{path}/activity")).json()["items"][:2]
    assert (first["kind"], first["actor"]) == ("interest.requested", "noor@team.test")
    assert (first["detail"], second["detail"]) == (
        {"campaign": "Q3", "interest": "meeting_booked"},
        {"campaign": "Q3", "interest": None},
    )


async def test_a_campaigns_id_takes_the_row_out_there_and_its_name_only_changes_the_lead(
    member: httpx.AsyncClient, lead: tuple[str, str]
) -> None:
    path, campaign = lead
    odd = await member.post(f"{path}/campaigns", json={"name": str(NOWHERE)})
    etag = odd.headers["etag"]

    by_name = await member.delete(f"{path}/campaigns/{NOWHERE}")
    stale = await member.delete(f"{path}/campaigns/{campaign}", headers={"If-Match": etag})
    asked = await member.delete(f"{path}/campaigns/{campaign}")
    nowhere = await member.delete(f"{path}/campaigns/{NOWHERE}")

    assert (by_name.status_code, by_name.json()["campaigns"]) == (200, None)
    assert stale.status_code == 412
    assert (asked.status_code, [one["kind"] for one in asked.json()["items"]]) == (202, ["remove"])
    assert (nowhere.status_code, nowhere.json()["detail"].startswith("This lead is in no campaign")) == (404, True)


async def test_what_cannot_be_changed_is_said(team: Clients, member: httpx.AsyncClient, lead: tuple[str, str]) -> None:
    path, campaign = lead
    loose = (await member.post("/api/leads", json={"email": "b@x.test"})).headers["location"]
    viewer = await team.of("viewer")

    in_none = await member.post(f"{loose}/interest", json={"interest": "won"})
    not_in_it = await member.post(f"{loose}/interest", json={"interest": "won", "campaign_id": campaign})
    unknown = await member.post(f"{path}/interest", json={"interest": "curious"})
    forbidden = await viewer.post(f"{path}/interest", json={"interest": "won"})
    nobody = await member.post(f"/api/leads/{NOWHERE}/interest", json={"interest": "won"})

    statuses = [answer.status_code for answer in (in_none, not_in_it, unknown, forbidden, nobody)]
    assert statuses == [409, 404, 422, 403, 404]
    assert (await member.get(f"{path}/links")).json()["items"][0]["requests"] == []
