"""The seeded day of the sandbox Instantly."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.instantly.day import live_a_day, living
from tests.sandbox.instantly.conftest import START, Receiver


def populated(seed: int = 1) -> InstantlySandbox:
    world = InstantlySandbox(clock=VirtualClock(START), seed=seed, sender=Receiver())
    world.store.add_key("key-test")
    world.store.add_label("Spam complaint", "negative")
    for name in ("one", "two", "three"):
        campaign = world.store.add_campaign(name).id
        for number in range(120):
            world.store.add_lead(
                campaign, email=f"p{number}@acme.test", payload={"campaign_id": "spring"} if number % 7 == 1 else {}
            )
    return world


@pytest.fixture
def busy() -> InstantlySandbox:
    return populated()


def test_a_day_holds_everything_that_happens_in_the_order_of_its_time(busy: InstantlySandbox) -> None:
    start = busy.store.now()

    told = living(busy.store, seed=3, events=1000)
    times = [at for some in told for at, _ in some]
    payloads = live_a_day(busy.store, seed=4, events=1000, start=start)

    assert start <= min(times)
    assert max(times) < start + timedelta(days=1, seconds=10)
    assert 1000 <= len(payloads) <= 1001
    assert set(Counter(payload["event_type"] for payload in payloads)) == {
        "email_sent",
        "email_opened",
        "link_clicked",
        "reply_received",
        "auto_reply_received",
        "email_bounced",
        "lead_unsubscribed",
        "lead_interested",
        "lead_not_interested",
        "lead_meeting_booked",
        "lead_meeting_completed",
        "lead_closed",
        "lead_out_of_office",
        "lead_wrong_person",
        "lead_no_show",
        "Spam complaint",
    }
    stamps = [payload["timestamp"] for payload in payloads]
    assert stamps == sorted(stamps)
    assert len({str(payload) for payload in payloads}) == len(payloads)
    assert "spring" in {payload["campaign_id"] for payload in payloads}


def test_the_same_seed_gives_the_same_day() -> None:
    def day(seed: int) -> list[dict[str, Any]]:
        return live_a_day(populated().store, seed=seed, events=300)

    assert day(3) == day(3)
    assert day(3) != day(4)


async def test_webhooks_are_told_the_same_story(busy: InstantlySandbox) -> None:
    busy.deliveries.hooks.add("https://crm.test/in", event_type="all_events")
    clean = live_a_day(busy.store, seed=3, events=500, start=busy.store.now() - timedelta(days=1))
    await busy.deliveries.deliver_due()

    receiver = busy.deliveries.sender

    assert isinstance(receiver, Receiver)
    assert sorted(map(str, clean)) == sorted(map(str, receiver.payloads))


async def test_a_day_can_pass_through_the_control_endpoint(busy: InstantlySandbox) -> None:
    transport = httpx.ASGITransport(app=busy.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://instantly.test") as api:
        shown = (await api.post("/_sandbox/day", json={"seed": 3, "events": 50})).json()
        wrong = await api.post("/_sandbox/day", json={"colour": 3})

    assert 50 <= sum(shown["events"].values()) <= 51
    assert wrong.status_code == 422
    days = {mail.timestamp_created[:10] for mail in busy.store.mails.values()}
    assert days <= {"2026-11-01", "2026-11-02"}


def test_a_day_without_leads_is_refused() -> None:
    with pytest.raises(ValueError, match="needs leads"):
        list(living(InstantlySandbox().store, seed=1, events=1))
