"""The Instantly client against its known oddities (respx), then the contract against the sandbox."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from app.lab.transport import InProcess
from app.providers.base import CursorExpired, Guard, ProviderError, Record, Refused, Rejected, Unavailable, Write
from app.providers.instantly.leads import Instantly
from app.sandbox.instantly import InstantlySandbox

from .conftest import FakeClock, FakeLimiter
from .contract import ProviderContract, World

KEY = "CANARYb64key=="
API = "https://api.instantly.ai/api/v2"
LEADS = f"{API}/leads/list"
CAMPAIGNS = f"{API}/campaigns"


@pytest.fixture
def instantly(client: httpx.AsyncClient, limiter: FakeLimiter, clock: FakeClock, rng: random.Random) -> Instantly:
    """Reads the campaigns c1 and c2 only."""
    return Instantly(client=client, api_key=KEY, campaign_ids=["c1", "c2"], limiter=limiter, clock=clock, rng=rng)


@pytest.fixture
def everything(client: httpx.AsyncClient, limiter: FakeLimiter, clock: FakeClock, rng: random.Random) -> Instantly:
    """Reads all campaigns of the workspace."""
    return Instantly(client=client, api_key=KEY, campaign_ids=None, limiter=limiter, clock=clock, rng=rng)


def items(*found: Any, after: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": list(found)} | ({"next_starting_after": after} if after else {}))


def lead(lead_id: str, campaign: str | None = "c1", **more: Any) -> dict[str, Any]:
    return {"id": lead_id, "timestamp_created": "2026-01-02T03:04:05.678Z", **more} | (
        {"campaign": campaign} if campaign else {}
    )


def bodies_of(route: respx.Route) -> list[dict[str, Any]]:
    return [json.loads(call.request.content) for call in route.calls]


async def listed(provider: Instantly) -> list[Record]:
    records: list[Record] = []
    cursor = provider.start("full")
    while True:
        page = await provider.page(json.loads(json.dumps(cursor)))
        records += page.records
        if page.next is None:
            return records
        cursor = page.next


class TestListing:
    async def test_a_lead_is_keyed_by_campaign_and_address_and_passed_on_as_it_came(
        self, instantly: Instantly, web: respx.MockRouter
    ) -> None:
        ada = lead("l1", email="  Ada@X.test ", status=42, surprise={"a": 1})
        route = web.post(LEADS).mock(
            return_value=items(ada, lead("l2"), lead("l3", email=None), lead("l4", email="a" * 321))
        )

        page = await instantly.page(instantly.start("delta", "2026-01-01T00:00:00.000Z"))

        assert bodies_of(route) == [{"campaign": "c1", "limit": 100}]
        assert [r.key for r in page.records] == ["c1/ada@x.test", "c1/id:l2", "c1/id:l3", "c1/id:l4"]
        first = page.records[0]
        assert (first.remote_id, first.cells, first.raw) == ("l1", {}, ada)
        assert (first.created_at, first.modified_at) == ("2026-01-02T03:04:05.678Z", None)

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(items(), id="an empty page"),
            pytest.param(items(after="l9"), id="an empty page with a cursor"),
            pytest.param(items(lead("l2")), id="no cursor"),
            pytest.param(items(lead("l2"), after="l1"), id="the same cursor again"),
        ],
    )
    async def test_a_campaign_ends_and_the_next_begins_after_a_rest(
        self, instantly: Instantly, web: respx.MockRouter, clock: FakeClock, end: httpx.Response
    ) -> None:
        route = web.post(LEADS).mock(side_effect=[items(lead("l1"), after="l1"), end, items(lead("l5", "c2"))])

        records = await listed(instantly)

        assert [(b["campaign"], b.get("starting_after")) for b in bodies_of(route)] == [
            ("c1", None),
            ("c1", "l1"),
            ("c2", None),
        ]
        assert (records[0].remote_id, records[-1].remote_id) == ("l1", "l5")
        assert clock.sleeps == [0.5]

    async def test_leads_of_another_campaign_are_dropped(self, instantly: Instantly, web: respx.MockRouter) -> None:
        web.post(LEADS).mock(return_value=items(lead("l1"), lead("l2", "c9"), lead("l3", None)))

        page = await instantly.page(instantly.start("full"))

        assert [r.remote_id for r in page.records] == ["l1"]

    async def test_an_ignored_filter_is_not_taken_for_an_answer(
        self, instantly: Instantly, web: respx.MockRouter
    ) -> None:
        web.post(LEADS).mock(return_value=items(lead("l2", "c9"), after="l2"))

        with pytest.raises(Unavailable, match="not asked for"):
            await instantly.page(instantly.start("full"))
        with pytest.raises(Unavailable, match="not asked for"):
            await instantly.read(["l1"])
        with pytest.raises(Unavailable, match="not asked for"):
            await instantly.find("email", ["a@x.test"])

    async def test_all_campaigns_are_learnt_first(self, everything: Instantly, web: respx.MockRouter) -> None:
        found = [{"id": "c1", "name": "One", "status": 1, "sequences": []}, {"id": "c2"}, "junk"]
        web.get(CAMPAIGNS, params={"limit": "100"}).mock(return_value=items(*found, after="c2"))
        web.post(LEADS).mock(side_effect=[items(lead("l1", "c1")), items(lead("l2", "c2"))])

        assert [r.remote_id for r in await listed(everything)] == ["l1", "l2"]
        assert await everything.campaigns() == [
            {"id": "c1", "name": "One", "status": 1},
            {"id": "c2", "name": None, "status": None},
        ]

    @pytest.mark.parametrize("full", [100, 10])
    async def test_campaigns_go_on_after_a_page_that_may_be_full(
        self, everything: Instantly, web: respx.MockRouter, full: int
    ) -> None:
        first = [{"id": f"c{number}"} for number in range(full)]
        pages = [items(*first, after="c1"), items({"id": "last"}, after="last")]
        web.get(CAMPAIGNS).mock(side_effect=pages)

        assert len(await everything.campaigns()) == full + 1

    async def test_a_workspace_without_campaigns_is_read_at_once(
        self, everything: Instantly, web: respx.MockRouter
    ) -> None:
        web.get(CAMPAIGNS).mock(return_value=items())

        assert await listed(everything) == []


class TestLookUps:
    async def test_reading_keeps_to_the_campaigns_of_this_tenant(
        self, instantly: Instantly, web: respx.MockRouter
    ) -> None:
        route = web.post(LEADS).mock(
            return_value=items(lead("l1"), lead("l2", "c9"), lead("l3", None), lead("l4"), after="l4")
        )

        records = await instantly.read(["l1", "l2", "l3"])

        assert bodies_of(route) == [{"ids": ["l1", "l2", "l3"], "limit": 100}]
        assert [r.remote_id for r in records] == ["l1"]

    async def test_finding_asks_for_addresses_and_follows_the_pages(
        self, everything: Instantly, web: respx.MockRouter
    ) -> None:
        pages = [items(lead("l1", email="ADA@x.test"), after="l1"), items(lead("l2", "c2", email="ada@x.test"))]
        route = web.post(LEADS).mock(side_effect=pages)

        records = await everything.find("email", ["Ada@X.test"])

        assert bodies_of(route)[1] == {
            "contacts": ["Ada@X.test", "ada@x.test"],
            "limit": 100,
            "starting_after": "l1",
        }
        assert [r.key for r in records] == ["c1/ada@x.test", "c2/ada@x.test"]

    async def test_only_addresses_can_be_searched(self, instantly: Instantly) -> None:
        with pytest.raises(Rejected) as raised:
            await instantly.find("phone", ["1"])

        assert raised.value.column == "phone"

    async def test_nothing_asked_calls_nobody(self, instantly: Instantly) -> None:
        assert (await instantly.read([]), await instantly.find("email", [])) == ([], [])

    async def test_nothing_is_ever_written(self, instantly: Instantly, guard: Guard) -> None:
        write = Write(remote_id="l1", cells={})

        with pytest.raises(Refused, match="read only"):
            await instantly.update([write], guard)
        with pytest.raises(Refused, match="read only"):
            await instantly.create([write], guard)


class TestRefusals:
    @pytest.mark.parametrize(
        ("answer", "error", "phrase"),
        [
            (httpx.Response(401, json={"statusCode": 401, "message": "Invalid API key"}), Refused, "Invalid API key"),
            (httpx.Response(402, json={"error": "Payment Required"}), Refused, "check its subscription"),
            (httpx.Response(403, json={"error": "Forbidden"}), Refused, "scope leads:read"),
            (httpx.Response(403, html="<html>no</html>"), Refused, "network edge"),
            (httpx.Response(404, json={"error": "Not Found", "message": "Resource not found"}), Rejected, "Resource"),
            (httpx.Response(400, json={"message": "body must have"}), Rejected, "body must have"),
            (httpx.Response(400, json={"error": "Invalid lead email"}), Rejected, "Invalid lead email"),
            (httpx.Response(400, text="plain words"), Rejected, "plain words"),
            (httpx.Response(400, json={"message": "Invalid starting_after"}), CursorExpired, "starts again"),
            (httpx.Response(422, json=["odd"]), Rejected, "odd"),
        ],
    )
    async def test_each_is_a_typed_decision_made_with_one_call(
        self,
        instantly: Instantly,
        web: respx.MockRouter,
        answer: httpx.Response,
        error: type[ProviderError],
        phrase: str,
    ) -> None:
        route = web.post(LEADS).mock(return_value=answer)

        with pytest.raises(error) as raised:
            await instantly.page(instantly.start("full"))

        assert type(raised.value) is error
        assert phrase in str(raised.value)
        assert route.call_count == 1

    async def test_the_check_names_its_own_scope(self, instantly: Instantly, web: respx.MockRouter) -> None:
        refused, current = httpx.Response(403, json={"message": "no"}), httpx.Response(200, json={"id": "w1"})
        route = web.get(f"{API}/workspaces/current").mock(side_effect=[refused, current])

        with pytest.raises(Refused, match="workspaces:read"):
            await instantly.schema()
        assert await instantly.schema() == []

        assert "Content-Type" not in route.calls.last.request.headers

    async def test_a_429_pauses_the_workspace_for_five_seconds(
        self, instantly: Instantly, web: respx.MockRouter, limiter: FakeLimiter
    ) -> None:
        web.post(LEADS).mock(side_effect=[httpx.Response(429, json={"message": "Rate limit exceeded"}), items()])

        await instantly.page(instantly.start("full"))

        ((key, seconds),) = limiter.pauses
        assert (key.startswith("instantly:workspace:"), seconds) == (True, 5.0)
        assert {rate for what, _, rate in limiter.events if what == "acquire"} == {30.0}
        assert KEY not in key


@pytest.fixture
async def world(limiter: FakeLimiter, clock: FakeClock, rng: random.Random) -> AsyncIterator[World]:
    """Two campaigns that take turns, beside one of another tenant and a lead of no campaign."""
    sandbox = InstantlySandbox(clock=clock)
    store = sandbox.store
    store.add_key(KEY)
    ours = [store.add_campaign(name).id for name in ("One", "Two")]
    store.add_lead(store.add_campaign("Another tenant's").id, email="ada@x.test")
    store.add_lead(None, email="ada@x.test")
    async with httpx.AsyncClient(transport=InProcess({"api.instantly.ai": sandbox.app})) as client:

        def connect(token: str = KEY) -> Instantly:
            return Instantly(client=client, api_key=token, campaign_ids=ours, limiter=limiter, clock=clock, rng=rng)

        yield World(
            connect=connect,
            sandbox=sandbox.sandbox,
            add=lambda email: store.add_lead(ours[len(store.leads) % 2], email=email).id,
            remove=store.delete,
            email_column="email",
        )


class TestAgainstTheSandbox(ProviderContract):
    async def test_the_check_passes_with_a_good_key(self, world: World) -> None:
        assert await world.provider.schema() == []
