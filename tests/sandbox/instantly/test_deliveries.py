"""How the sandbox Instantly delivers, fails to, gives up, and what its log says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.lab.clock import VirtualClock
from app.lab.servers import serving
from app.lab.transport import delivering_over_http
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.instantly.hooks import Hook
from tests.sandbox.instantly.conftest import START, Receiver

TARGET = "https://crm.test/hook"
LOG = "/api/v2/webhook-events"


@pytest.fixture
def hook(world: InstantlySandbox, receiver: Receiver) -> Hook:
    return world.deliveries.hooks.add(TARGET, event_type="all_events")


@pytest.fixture
def lead(world: InstantlySandbox, campaign: str) -> str:
    return world.store.add_lead(campaign, email="Ada@acme.test").id


async def logged(api: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    answer = await api.get(LOG, params={"limit": 100} | params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def pass_time(world: InstantlySandbox, clock: VirtualClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1)
        await world.deliveries.deliver_due()


async def test_a_failure_is_tried_again_after_growing_waits_and_every_attempt_is_logged(
    api: httpx.AsyncClient, world: InstantlySandbox, clock: VirtualClock, receiver: Receiver, hook: Hook, lead: str
) -> None:
    world.switches.log_order = "asc"
    receiver.answers = [503, TimeoutError(), 404]
    world.store.open(lead)
    await world.deliveries.deliver_due()
    assert world.deliveries.next_due() is not None
    await pass_time(world, clock, 26)

    rows = await logged(api)

    assert [(row["retry_count"], row["success"], row["will_retry"], row.get("status_code")) for row in rows] == [
        (0, False, True, 503),
        (1, False, True, None),
        (2, False, True, 404),
        (3, True, False, 200),
    ]
    assert [row.get("timestamp_next_retry", "")[11:19] for row in rows] == ["09:00:01", "09:00:06", "09:00:26", ""]
    assert [row.get("error_message") for row in rows] == [
        "Request failed with status code 503",
        "Connection timeout",
        "Request failed with status code 404",
        None,
    ]
    assert len({row["retry_group_id"] for row in rows}) == 1
    assert [row.get("retry_successful") for row in rows] == [None, False, False, True]
    assert (rows[0]["payload"], rows[0]["lead_email"]) == (receiver.payloads[0], "Ada@acme.test")
    assert rows[0] == (await api.get(f"{LOG}/{rows[0]['id']}")).json()
    assert world.deliveries.waiting == hook.failures == 0


async def test_one_row_per_delivery_tells_of_its_last_attempt(
    api: httpx.AsyncClient, world: InstantlySandbox, clock: VirtualClock, receiver: Receiver, hook: Hook, lead: str
) -> None:
    world.switches.log_rows = "delivery"
    receiver.answers = [500]
    world.store.open(lead)
    await world.deliveries.deliver_due()
    await pass_time(world, clock, 2)

    (row,) = await logged(api)

    assert (row["retry_count"], row["success"], row["will_retry"], row["retry_successful"]) == (1, True, False, True)


async def test_a_refusal_ends_a_delivery_where_only_5xx_are_failures(
    api: httpx.AsyncClient, world: InstantlySandbox, clock: VirtualClock, receiver: Receiver, hook: Hook, lead: str
) -> None:
    world.switches.refusals_fail = False
    receiver.answers = [400]
    world.store.open(lead)
    await world.deliveries.deliver_due()
    await pass_time(world, clock, 30)

    assert [(row["success"], row["will_retry"]) for row in await logged(api)] == [(False, False)]
    assert (len(receiver.calls), hook.failures) == (1, 0)


@pytest.mark.parametrize(("counted", "attempts"), [("deliveries", 8), ("attempts", 2)])
async def test_after_failures_in_a_row_a_webhook_is_disabled_until_it_is_resumed(
    api: httpx.AsyncClient,
    world: InstantlySandbox,
    clock: VirtualClock,
    receiver: Receiver,
    hook: Hook,
    lead: str,
    counted: Any,
    attempts: int,
) -> None:
    world.switches.disable_after, world.switches.disable_counts = 2, counted
    receiver.answers = [ConnectionRefusedError()] * 8
    for _ in range(2):
        world.store.open(lead)
        await world.deliveries.deliver_due()
    await pass_time(world, clock, 30)

    shown = (await api.get(f"/api/v2/webhooks/{hook.id}")).json()

    assert (len(receiver.calls), shown["status"]) == (attempts, -1)
    assert shown["timestamp_error"].startswith("2026-11-02T09:00:")
    assert world.deliveries.waiting == 0
    assert not any(row["will_retry"] for row in (await logged(api))[:2])
    receiver.answers = []
    world.store.open(lead)
    await world.deliveries.deliver_due()
    resumed = (await api.post(f"/api/v2/webhooks/{hook.id}/resume")).json()
    world.store.click(lead)
    await world.deliveries.deliver_due()
    assert (resumed["status"], "timestamp_error" in resumed) == (1, False)
    assert [payload["event_type"] for payload in receiver.payloads[attempts:]] == ["link_clicked"]


@pytest.mark.parametrize("is_logged", [True, False])
async def test_what_happens_while_a_webhook_is_disabled_is_logged_or_not(
    api: httpx.AsyncClient, world: InstantlySandbox, receiver: Receiver, hook: Hook, lead: str, is_logged: bool
) -> None:
    world.switches.log_while_disabled = is_logged
    shown = (await api.post("/_sandbox/hooks", json={"disable": hook.id})).json()
    world.store.open(lead)
    await world.deliveries.deliver_due()
    enabled = (await api.post("/_sandbox/hooks", json={"enable": hook.id, "deliver": True})).json()

    rows = await logged(api)

    assert (shown["hooks"][0]["status"], enabled["hooks"][0]["status"], receiver.calls) == (-1, 1, [])
    assert [(row["success"], row["payload"]["event_type"]) for row in rows] == [(False, "email_opened")] * is_logged
    assert (await api.post("/_sandbox/hooks", json={"disable": "unknown"})).status_code == 404


async def test_deliveries_may_be_under_way_at_once(
    world: InstantlySandbox, receiver: Receiver, hook: Hook, lead: str
) -> None:
    world.switches.delivery_concurrency = 3
    most = under_way = 0

    async def slow(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await receiver(url, headers, body, timeout)

    world.deliveries.sender = slow
    for _ in range(7):
        world.store.open(lead)

    assert await world.deliveries.deliver_due() == 7
    assert (most, len(world.deliveries.log.rows)) == (3, 7)


async def test_a_deleted_webhook_gets_nothing_more(
    api: httpx.AsyncClient, world: InstantlySandbox, receiver: Receiver, hook: Hook, lead: str
) -> None:
    world.store.open(lead)
    await api.delete(f"/api/v2/webhooks/{hook.id}")

    assert await world.deliveries.deliver_due() == 0
    assert receiver.calls == []


async def test_the_same_seed_gives_the_same_trace_of_duplicates_and_disorder() -> None:
    async def trace() -> tuple[list[dict[str, Any]], list[int]]:
        clock, receiver = VirtualClock(START), Receiver()
        world = InstantlySandbox(clock=clock, seed=5, sender=receiver)
        world.switches.duplicate_rate, world.switches.delivery_jitter = 0.2, 60.0
        world.deliveries.hooks.add(TARGET, event_type="all_events")
        campaign = world.store.add_campaign("x").id
        receiver.answers = [200, 500, 200, 200, 500]
        for number in range(50):
            world.store.send(world.store.add_lead(campaign, email=f"{number}@acme.test").id)
        await pass_time(world, clock, 90)
        order = [int(payload["lead_email"].split("@")[0]) for payload in receiver.payloads]
        return [row.render() for row in world.deliveries.log.rows.values()], order

    (rows, order), again = await trace(), await trace()

    assert (rows, order) == again
    assert order != sorted(order)
    assert len(order) > 55
    assert set(order) == set(range(50))


async def test_the_log_is_paged_filtered_and_summed(
    api: httpx.AsyncClient, world: InstantlySandbox, clock: VirtualClock, receiver: Receiver, hook: Hook, lead: str
) -> None:
    world.switches.delivery_retries = 0
    for answer in (200, 500, 200):
        receiver.answers = [answer]
        world.store.open(lead)
        await world.deliveries.deliver_due()
        clock.advance(86_400)

    rows = await logged(api)

    assert [row["timestamp_created_date"] for row in rows] == ["2026-11-04", "2026-11-03", "2026-11-02"]
    first = (await api.get(LOG, params={"limit": 2})).json()
    second = (await api.get(LOG, params={"limit": 2, "starting_after": first["next_starting_after"]})).json()
    assert (first["items"], second["items"]) == (rows[:2], rows[2:])
    assert await logged(api, success="false") == rows[1:2]
    assert await logged(api, **{"from": "2026-11-03", "to": "2026-11-03"}) == rows[1:2]
    assert await logged(api, search="ada@acme.test") == await logged(api, search=TARGET) == rows
    assert await logged(api, search="crm.test") == await logged(api, starting_after="unknown") == []
    summary = (await api.get(f"{LOG}/summary", params={"from": "2026-11-03"})).json()
    assert summary == {
        "total_events": 2,
        "successful_events": 1,
        "failed_events": 1,
        "success_rate": 50.0,
        "failure_rate": 50.0,
    }
    by_date = (await api.get(f"{LOG}/summary-by-date")).json()["items"]
    assert [(item["date"], item["success_rate"]) for item in by_date] == [
        ("2026-11-02", 100.0),
        ("2026-11-03", 0.0),
        ("2026-11-04", 100.0),
    ]
    assert (await api.get(f"{LOG}/summary", params={"from": "2027-01-01"})).json()["success_rate"] == 0
    assert (await api.get(LOG, params={"from": "soon"})).status_code == 400
    world.switches.log_order = "asc"
    assert await logged(api) == rows[::-1]
    assert await logged(api, starting_after=rows[1]["id"]) == rows[:1]
    clock.advance(29 * 86_400)
    assert await logged(api) == [rows[0]]


async def test_a_test_delivery_says_how_it_went(api: httpx.AsyncClient, receiver: Receiver, hook: Hook) -> None:
    receiver.answers = [200, 401, ConnectionRefusedError("Connection refused")]
    url = f"/api/v2/webhooks/{hook.id}/test"

    good, refused, lost = [(await api.post(url)).json() for _ in range(3)]

    assert good == {
        "success": True,
        "message": "Webhook test successful",
        "response_time_ms": 0,
        "status_code": 200,
    }
    assert (refused["success"], refused["status_code"]) == (False, 401)
    assert (lost["error"], "status_code" in lost) == ("Connection refused", False)
    assert receiver.payloads[0]["event_type"] == "email_sent"
    assert await logged(api) == []


async def test_deliveries_arrive_over_real_connections_in_the_background() -> None:
    arrived: list[tuple[str | None, Any]] = []
    enough = asyncio.Event()

    async def take(request: Request) -> Response:
        arrived.append((request.headers.get("x-webhook-secret"), await request.json()))
        if len(arrived) == 3:
            enough.set()
        return Response(status_code=500 if len(arrived) == 1 else 200)

    world = InstantlySandbox(seed=1)
    world.switches.retry_waits = (0.01,)
    lead = world.store.add_lead(world.store.add_campaign("x").id, email="ada@acme.test").id
    async with serving(Starlette(routes=[Route("/in", take, methods=["POST"])])) as url, delivering_over_http(world):
        for target, headers in ((f"{url}/in", {"X-Webhook-Secret": "s3"}), ("http://127.0.0.1:1/in", None)):
            world.deliveries.hooks.add(target, event_type="all_events", headers=headers)
        world.store.send(lead)
        world.store.open(lead)
        await asyncio.wait_for(enough.wait(), 30)

    assert [secret for secret, _ in arrived] == ["s3"] * 3
    assert {payload["event_type"] for _, payload in arrived} == {"email_sent", "email_opened"}
    errors = {row.error_message for row in world.deliveries.log.rows.values() if ":1/in" in row.webhook_url}
    assert errors
    assert None not in errors
