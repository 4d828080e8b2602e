"""What Instantly counts of campaigns, seen through HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.instantly import InstantlySandbox

DAY = 86_400
URL = "/api/v2/campaigns/analytics"


async def ask(api: httpx.AsyncClient, path: str = "", **params: Any) -> Any:
    answer = await api.get(URL + path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def lived(world: InstantlySandbox, campaign: str, clock: VirtualClock) -> tuple[str, str]:
    """Two campaigns. Ada and Bob of the first: mailed on 2 November; on the 3rd Ada opens twice, clicks and replies,
    Bob is away; on the 4th Ada opens again and books a meeting. Cy of the other bounces."""
    store, other = world.store, world.store.add_campaign("other", status=2).id
    ada, bob = (store.add_lead(campaign, email=f"{name}@acme.test").id for name in ("ada", "bob"))
    cy = store.add_lead(other, email="cy@acme.test").id
    for lead in (ada, bob, cy):
        store.send(lead)
    store.bounce(cy)
    clock.advance(DAY)
    store.open(ada)
    store.open(ada)
    store.click(ada)
    store.reply(ada, positive=True)
    store.reply(bob, auto=True)
    clock.advance(DAY)
    store.open(ada)
    store.set_interest(ada, 2)
    return campaign, other


async def test_a_campaign_is_counted_by_mails_leads_and_steps(api: httpx.AsyncClient, lived: tuple[str, str]) -> None:
    first, other = lived

    rows = await ask(api)

    assert rows[0] == {
        "campaign_id": first,
        "campaign_name": "Q3 founders",
        "campaign_status": 1,
        "campaign_is_evergreen": False,
        "leads_count": 2,
        "contacted_count": 2,
        "emails_sent_count": 2,
        "new_leads_contacted_count": 2,
        "completed_count": 1,
        "open_count": 1,
        "open_count_unique": 1,
        "open_count_unique_by_step": 1,
        "reply_count": 2,
        "reply_count_unique": 1,
        "reply_count_unique_by_step": 1,
        "reply_count_automatic": 1,
        "reply_count_automatic_unique": 1,
        "reply_count_automatic_unique_by_step": 1,
        "link_click_count": 1,
        "link_click_count_unique": 1,
        "link_click_count_unique_by_step": 1,
        "bounced_count": 0,
        "unsubscribed_count": 0,
        "total_opportunities": 1,
        "total_opportunity_value": 0,
    }
    assert [(row["campaign_id"], row["bounced_count"]) for row in rows] == [(first, 0), (other, 1)]
    assert [row["campaign_id"] for row in await ask(api, ids=[other, first])] == [first, other]
    assert [row["campaign_id"] for row in await ask(api, id=other)] == [other]
    assert "leads_count" not in (await ask(api, exclude_total_leads_count="true"))[0]


async def test_the_overview_is_one_object_over_the_campaigns_asked_for(
    api: httpx.AsyncClient, lived: tuple[str, str], world: InstantlySandbox
) -> None:
    everything, paused = await ask(api, "/overview"), await ask(api, "/overview", campaign_status="2")

    assert (everything["emails_sent_count"], everything["open_count"], everything["open_count_unique"]) == (3, 3, 1)
    assert (everything["total_interested"], everything["total_meeting_booked"], everything["total_closed"]) == (1, 1, 0)
    assert everything["total_opportunities"] == 1
    assert (await ask(api, "/overview", expand_crm_events="true"))["total_opportunities"] == 2
    assert (paused["emails_sent_count"], paused["bounced_count"]) == (1, 1)
    world.switches.first_event_of = "contact"
    once = await ask(api, "/overview", ids=list(lived))
    assert (once["total_interested"], once["total_meeting_booked"]) == (1, 0)


async def test_days_are_utc_and_a_lead_counts_on_each_of_its_days(
    api: httpx.AsyncClient, lived: tuple[str, str], world: InstantlySandbox
) -> None:
    first, _ = lived

    days = await ask(api, "/daily", campaign_id=first)

    zeros = dict.fromkeys(list(days[0])[1:], 0)
    assert days == [
        zeros | {"date": "2026-11-02", "sent": 2, "contacted": 2, "new_leads_contacted": 2},
        zeros
        | {"date": "2026-11-03", "opened": 2, "unique_opened": 1, "replies": 2, "unique_replies": 1}
        | {"replies_automatic": 1, "unique_replies_automatic": 1, "clicks": 1, "unique_clicks": 1}
        | {"opportunities": 1, "unique_opportunities": 1},
        zeros | {"date": "2026-11-04", "opened": 1, "unique_opened": 1, "opportunities": 1, "unique_opportunities": 1},
    ]
    world.switches.unique_per_day = False
    assert [day["unique_opened"] for day in await ask(api, "/daily", campaign_id=first)] == [0, 1, 0]
    assert [day["sent"] for day in await ask(api, "/daily")] == [3, 0, 0]


async def test_an_end_date_alone_shuts_its_day_out(api: httpx.AsyncClient, lived: tuple[str, str]) -> None:
    first, _ = lived
    asked = {"campaign_id": first, "start_date": "2026-11-03"}

    until_date = await ask(api, "/daily", **asked, end_date="2026-11-04")
    until_noon = await ask(api, "/daily", **asked, end_date="2026-11-04T12:00:00.000Z")

    assert [day["date"] for day in until_date] == ["2026-11-03"]
    assert [day["date"] for day in until_noon] == ["2026-11-03", "2026-11-04"]
    assert (await ask(api, "", id=first, end_date="2026-11-03"))[0]["open_count"] == 0


@pytest.mark.parametrize("path", ["", "/overview", "/daily", "/steps"])
async def test_dates_the_wrong_way_round_are_refused_with_a_message_alone(api: httpx.AsyncClient, path: str) -> None:
    wrong = await api.get(URL + path, params={"start_date": "2026-11-02", "end_date": "2026-11-01"})
    unreadable = await api.get(URL + path, params={"start_date": "yesterday"})

    assert (wrong.status_code, wrong.json()) == (400, {"message": "Start Date must be earlier than End Date"})
    assert (400, {"message"}) == (unreadable.status_code, set(unreadable.json()))


async def test_steps_and_variants_are_strings(api: httpx.AsyncClient, world: InstantlySandbox, campaign: str) -> None:
    lead = world.store.add_lead(campaign, email="ada@acme.test").id
    world.store.send(lead)
    world.store.send(lead, step=1, variant=1)
    world.store.open(lead)
    world.store.set_interest(lead, 2)

    rows = await ask(api, "/steps", campaign_id=campaign, include_opportunities_count="true")

    assert [(row["step"], row["variant"], row["sent"], row["opened"]) for row in rows] == [
        ("1", "0", 1, 0),
        ("2", "1", 1, 1),
    ]
    assert (rows[1]["opportunities"], rows[1]["meetings_booked"], rows[1]["won"]) == (1, 1, 0)
    assert "opportunities" not in (await ask(api, "/steps", campaign_id=campaign))[0]


async def test_relabelling_within_ten_minutes_is_no_event(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    lead = world.store.add_lead(campaign, email="ada@acme.test").id
    world.store.send(lead)
    for value, wait in ((1, 60), (2, 600), (3, 0)):
        world.store.set_interest(lead, value)
        clock.advance(wait)

    shown = await ask(api, "/overview", expand_crm_events="true")

    counted = [shown[f"total_{name}"] for name in ("interested", "meeting_booked", "meeting_completed")]
    assert counted == [1, 0, 1]


async def test_a_corrected_day_moves_the_totals_too(
    api: httpx.AsyncClient, lived: tuple[str, str], world: InstantlySandbox
) -> None:
    first, _ = lived
    day = {"campaign": first, "date": "2026-11-03"}

    for opened in (9, 7):
        assert (await api.post("/_sandbox/correct", json=day | {"opened": opened})).status_code == 200
    await api.post("/_sandbox/correct", json=day | {"date": "2026-11-01", "sent": 1})

    days = {row["date"]: row for row in await ask(api, "/daily", campaign_id=first)}
    assert (days["2026-11-03"]["opened"], days["2026-11-03"]["clicks"], days["2026-11-01"]["sent"]) == (7, 1, 1)
    overview = await ask(api, "/overview", id=first)
    assert (overview["open_count"], overview["emails_sent_count"]) == (8, 3)
    assert (await ask(api, "/overview", id=first, start_date="2026-11-04"))["open_count"] == 1
    world.switches.rows_of_quiet_days = True
    assert len(await ask(api, "/daily", campaign_id=first)) == 4
    for wrong in ({"colour": 1}, {"date": "soon"}, {"campaign": "unknown"}):
        assert (await api.post("/_sandbox/correct", json=day | {"sent": 1} | wrong)).status_code == 422


async def test_what_a_deleted_lead_did_stays_counted(
    api: httpx.AsyncClient, lived: tuple[str, str], world: InstantlySandbox
) -> None:
    before = await ask(api, "/overview")

    for lead_id in list(world.store.leads):
        world.store.delete(lead_id)

    assert before == await ask(api, "/overview")
    assert (await ask(api))[0]["leads_count"] == 0
