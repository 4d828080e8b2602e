"""Instantly's campaigns and their numbers, as leniently read as its fact sheet says they must be."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import httpx
import pytest
import respx

from app.lab.transport import InProcess
from app.providers.base import Refused, Unavailable
from app.providers.instantly.campaigns import InstantlyCampaigns
from app.providers.instantly.leads import Instantly
from app.providers.outreach import CampaignSource, RemoteCampaign
from app.sandbox.instantly import InstantlySandbox

from .conftest import FakeClock, FakeLimiter

KEY = "CANARYb64key=="
CAMPAIGNS = "https://api.instantly.ai/api/v2/campaigns"
SINCE, UNTIL = date(2026, 2, 1), date(2026, 2, 28)


@pytest.fixture
def source(client: httpx.AsyncClient, limiter: FakeLimiter, clock: FakeClock, rng: random.Random) -> InstantlyCampaigns:
    instantly = Instantly(client=client, api_key=KEY, campaign_ids=None, limiter=limiter, clock=clock, rng=rng)
    return InstantlyCampaigns(instantly, clock=clock, pacing_seconds=0.7)


def answers(web: respx.MockRouter, path: str, content: Any, status: int = 200) -> respx.Route:
    return web.get(f"{CAMPAIGNS}{path}").mock(return_value=httpx.Response(status, json=content))


async def test_a_campaign_without_a_name_or_a_status_is_a_campaign(
    source: InstantlyCampaigns, web: respx.MockRouter
) -> None:
    found = [{"id": "c1", "name": " One ", "status": 1}, {"id": "c2"}, {"id": "c3", "name": "", "status": "odd"}]
    found.append({"id": "c4", "name": "Four", "status": 2**40})
    answers(web, "", {"items": found})

    assert await source.campaigns() == [
        RemoteCampaign(id="c1", name="One", status=1),
        RemoteCampaign(id="c2", name="Unnamed campaign", status=None),
        RemoteCampaign(id="c3", name="Unnamed campaign", status=None),
        RemoteCampaign(id="c4", name="Four", status=None),
    ]


async def test_the_counters_of_all_campaigns_take_one_call(source: InstantlyCampaigns, web: respx.MockRouter) -> None:
    row = {
        "campaign_id": "c1", "campaign_name": "One", "campaign_status": -99, "campaign_is_evergreen": True,
        "leads_count": 3, "open_count": 2.0, "reply_count": 1.5, "bounced_count": None, "new_counter": 7,
    }  # fmt: skip
    route = answers(web, "/analytics", [row, {"campaign_name": "no id"}, "junk"])

    assert await source.counts() == {"c1": {"leads_count": 3, "open_count": 2, "new_counter": 7}}
    assert (route.call_count, dict(route.calls[0].request.url.params)) == (1, {})


async def test_an_account_that_never_sent_counts_nothing(source: InstantlyCampaigns, web: respx.MockRouter) -> None:
    answers(web, "/analytics", [])

    assert await source.counts() == {}


async def test_an_overview_is_told_by_our_names_and_what_is_missing_is_left_out(
    source: InstantlyCampaigns, web: respx.MockRouter
) -> None:
    told = {"emails_sent_count": 9, "open_count_unique": 4, "total_closed": 1, "total_opportunity_value": 900}
    route = answers(web, "/analytics/overview", told)

    assert await source.overview("c1") == {"sent": 9, "unique_opened": 4, "won": 1}
    assert dict(route.calls[0].request.url.params) == {"id": "c1"}


async def test_the_last_day_is_asked_for_by_the_day_after_it(source: InstantlyCampaigns, web: respx.MockRouter) -> None:
    """A date is its midnight, so it shuts itself out; should it be included one day, it is left out here."""
    rows: list[Any] = [
        {"date": "2026-02-28", "sent": 2},
        {"date": "2026-03-01", "sent": 9},
        {"date": "2026-02-01T00:00:00.000Z", "sent": 1, "unique_opened": None},
        {"date": None, "sent": 5},
        "junk",
    ]
    route = answers(web, "/analytics/daily", rows)

    days = await source.days("c1", SINCE, UNTIL)

    asked = {"campaign_id": "c1", "start_date": "2026-02-01", "end_date": "2026-03-01"}
    assert dict(route.calls[0].request.url.params) == asked
    assert [(d.day, d.counts["sent"], d.counts["unique_opened"]) for d in days] == [(SINCE, 1, 0), (UNTIL, 2, 0)]


@pytest.mark.parametrize("path", ["/analytics", "/analytics/daily"])
async def test_an_object_is_no_list(source: InstantlyCampaigns, web: respx.MockRouter, path: str) -> None:
    answers(web, path, {"message": "soon"})

    with pytest.raises(Unavailable):
        await (source.counts() if path == "/analytics" else source.days("c1", SINCE, UNTIL))


async def test_a_key_without_the_scope_is_told_which_one(source: InstantlyCampaigns, web: respx.MockRouter) -> None:
    answers(web, "/analytics", {"statusCode": 403, "error": "Forbidden", "message": "no"}, 403)

    with pytest.raises(Refused, match="campaigns:read"):
        await source.counts()


async def test_the_rest_between_two_campaigns_is_the_connections(source: InstantlyCampaigns, clock: FakeClock) -> None:
    await source.rest()

    assert clock.sleeps == [0.7]


async def test_a_scan_names_the_campaign_it_is_in(source: CampaignSource) -> None:
    cursor = source.scan(["c2", "c1"])

    assert source.scanning(cursor) == "c2"
    assert source.scanning(source.scan([])) is None


async def test_the_sandbox_counts_what_happened(clock: FakeClock, limiter: FakeLimiter, rng: random.Random) -> None:
    sandbox = InstantlySandbox(clock=clock, seed=3)
    sandbox.store.add_key(KEY)
    campaign = sandbox.store.add_campaign("Founders")
    sandbox.store.add_campaign("Silent")
    lead = sandbox.store.add_lead(campaign.id, email="a@x.test")
    sandbox.store.send(lead.id)
    for _ in range(2):
        sandbox.store.open(lead.id)
    today = clock.now().date()
    async with httpx.AsyncClient(transport=InProcess({"api.instantly.ai": sandbox.app})) as client:
        instantly = Instantly(client=client, api_key=KEY, campaign_ids=None, limiter=limiter, clock=clock, rng=rng)
        source = InstantlyCampaigns(instantly, clock=clock)

        assert {c.name: c.status for c in await source.campaigns()} == {"Founders": 1, "Silent": 1}
        counts = await source.counts()
        assert {name: found["emails_sent_count"] for name, found in counts.items()} == {campaign.id: 1}
        overview = await source.overview(campaign.id)
        assert (overview["sent"], overview["opened"], overview["unique_opened"]) == (1, 2, 1)
        (day,) = await source.days(campaign.id, today, today)
        assert (day.day, day.counts["opened"]) == (today, 2)
