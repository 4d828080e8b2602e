"""How complete a day's deliveries are, and how the webhook fares, over REST."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import httpx
import pytest

from app.db import connections, watches
from app.db.ids import new_id
from app.sync import connect
from tests.api.conftest import Clients

DAY = "/api/webhooks/completeness?day=2026-03-02"


@pytest.fixture
async def connection(team: Clients) -> UUID:
    """A connection to Instantly that is at rest."""
    async with team.runtime.db.transaction(team.tenant) as tx:
        account = team.runtime.account("instantly", {}, {"api_key": str(new_id())})
        wanted = connect.Wanted(provider="instantly", name="Outreach", config={}, **account)
        connection_id = await connect.connect(tx, wanted, connect.check(wanted, []), actor="ada")
        await connections.change(tx, connection_id, state="active", next_run_at=None)
        return connection_id


async def test_a_day_nobody_has_compared_says_so_and_is_compared_on_request(
    member: httpx.AsyncClient, connection: UUID
) -> None:
    before = (await member.get(DAY)).json()
    asked = await member.post(DAY, headers={"Idempotency-Key": "once"})
    again = await member.post(DAY, headers={"Idempotency-Key": "once"})

    assert (before["logged"], before["missing"], before["checked_at"]) == (0, 0, None)
    assert [span["why"] for span in before["unknown"]] == ["The delivery log of this day has not been looked at."]
    assert (asked.status_code, asked.json()["kind"]) == (202, "completeness")
    assert again.json() == asked.json()


async def test_what_is_asked_wrongly_or_by_the_wrong_people_is_refused(
    team: Clients, member: httpx.AsyncClient
) -> None:
    viewer = await team.of("viewer")

    nothing = await member.post(DAY)
    dayless = await member.get("/api/webhooks/completeness")
    odd = await member.get("/api/webhooks/completeness?day=yesterday")
    forbidden = await viewer.get(DAY)

    assert [answer.status_code for answer in (nothing, dayless, odd, forbidden)] == [409, 422, 422, 403]


async def test_a_connection_shows_how_its_webhook_fares(
    team: Clients, admin: httpx.AsyncClient, connection: UUID
) -> None:
    path = f"/api/admin/connections/{connection}"
    unknown = (await admin.get(path)).json()["webhook"]
    async with team.runtime.db.transaction(team.tenant) as tx:
        account = await tx.value("SELECT account_id FROM connection WHERE id = $1", connection)
        await watches.claim(tx, account, "hook", 1)
        await watches.open_gap(tx, account, tx.now, "It was given up.")
        await watches.note_hook(tx, account, "It was given up.", state="disabled")
        began = tx.now

    shown = (await admin.get(path)).json()["webhook"]
    (listed,) = (await admin.get("/api/admin/connections")).json()["items"]

    assert unknown is None
    assert (shown["state"], shown["message"], shown["gap"]["to"]) == ("disabled", "It was given up.", None)
    assert datetime.fromisoformat(shown["gap"]["from"]) == began
    assert listed["webhook"] == shown
