"""Webhooks of the sandbox Instantly: who hears of what, in which words."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.instantly import InstantlySandbox
from tests.sandbox.instantly.conftest import Receiver

URL = "/api/v2/webhooks"
TARGET = "https://crm.test/hook"


async def register(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await api.post(URL, json={"target_hook_url": TARGET, "event_type": "all_events"} | body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_a_webhook_is_made_listed_changed_and_deleted(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    made = await register(api, campaign=campaign, name="CRM", headers={"X-Webhook-Secret": "s3"})
    other = await register(api, event_type="reply_received")

    assert made == {
        "id": made["id"],
        "organization": world.store.workspace_id,
        "target_hook_url": TARGET,
        "timestamp_created": "2026-11-02T09:00:00.000Z",
        "campaign": campaign,
        "name": "CRM",
        "event_type": "all_events",
        "headers": {"X-Webhook-Secret": "s3"},
        "status": 1,
    }
    assert [made, other] == (await api.get(URL)).json()["items"]
    assert [made] == (await api.get(URL, params={"campaign": campaign})).json()["items"]
    assert [other] == (await api.get(URL, params={"event_type": "reply_received"})).json()["items"]
    assert [other] == (await api.get(URL, params={"starting_after": made["id"]})).json()["items"]
    changed = (await api.patch(f"{URL}/{made['id']}", json={"name": None, "event_type": "email_sent"})).json()
    assert (changed["event_type"], "name" in changed) == ("email_sent", False)
    assert changed == (await api.delete(f"{URL}/{made['id']}")).json()
    assert (await api.get(f"{URL}/{made['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "body must have required property 'target_hook_url'"),
        ({"target_hook_url": "ftp://x"}, 'body/target_hook_url must match pattern "^https?://"'),
        ({"target_hook_url": TARGET, "event_type": "lead.replied"}, "body/event_type must be equal to one of"),
        ({"target_hook_url": TARGET, "headers": {"a": 1}}, "body/headers/a must be string"),
    ],
)
async def test_a_wrong_registration_is_a_400(api: httpx.AsyncClient, body: dict[str, Any], message: str) -> None:
    answer = await api.post(URL, json=body)

    assert (answer.status_code, answer.json()["message"][: len(message)]) == (400, message)


async def test_a_plan_without_webhooks_refuses_them(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    world.switches.webhooks_in_plan = False

    assert (await api.post(URL, json={"target_hook_url": TARGET})).status_code == 402


async def test_event_types_contain_the_labels_of_the_workspace(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    label = world.store.add_label("Spam complaint", "negative")

    types = (await api.get(f"{URL}/event-types")).json()["event_types"]

    assert {"id": "email_sent", "label": "Email Sent", "type": "standard"} in types
    assert types[-1] == {"id": "Spam complaint", "label": "Spam complaint", "type": "custom"}
    labels = (await api.get("/api/v2/lead-labels", params={"interest_status": "negative"})).json()
    assert [(label.interest_status, "Spam complaint")] == [
        (item["interest_status"], item["label"]) for item in labels["items"]
    ]
    assert labels["next_starting_after"] == label.timestamp_created
    assert (await api.get("/api/v2/lead-labels", params={"search": "hot"})).json()["items"] == []


async def test_a_reply_arrives_flat_with_nulls_and_the_leads_own_data(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver
) -> None:
    await register(api, headers={"X-Webhook-Secret": "s3", "user-agent": "ours"})
    lead = world.store.add_lead(campaign, email="Ada@acme.test", first_name="Ada", payload={"Tier": "A"})
    world.store.send(lead.id, variant=1)
    world.store.reply(lead.id, text="Yes please \n\n")
    await world.deliveries.deliver_due()

    sent, reply = receiver.payloads

    reply_mail = next(mail for mail in world.store.mails.values() if mail.ue_type == 2)
    workspace = world.store.workspace_id
    assert reply == {
        "timestamp": "2026-11-02T09:00:00.000Z",
        "event_type": "reply_received",
        "workspace": workspace,
        "campaign_id": campaign,
        "campaign_name": "Q3 founders",
        "unibox_url": f"https://app.instantly.ai/app/unibox?thread_search=Ada@acme.test&selected_wks={workspace}",
        "email_account": "max@sender.test",
        "is_first": True,
        "step": 1,
        "variant": 2,
        "reply_text_snippet": "Yes please \n\n",
        "reply_subject": "Re: Question about your team",
        "reply_text": "Yes please\n\nOn Monday max@sender.test wrote:\n> Hi, a question.",
        "reply_html": "<div>Yes please</div>",
        "email_id": reply_mail.id,
        "lead_email": "Ada@acme.test",
        "email": "Ada@acme.test",
        "campaign": campaign,
        "firstName": "Ada",
        "lastName": "",
        "companyName": "",
        "phone": None,
        "website": "",
        "personalization": "",
        "Tier": "A",
    }
    assert (sent["event_type"], sent["unibox_url"], sent["step"]) == ("email_sent", None, 1)
    assert {"email_subject", "email_html"} <= sent.keys()
    assert {"reply_text", "email_id"}.isdisjoint(sent)
    assert receiver.calls[0].headers == {
        "content-type": "application/json",
        "user-agent": "ours",
        "X-Webhook-Secret": "s3",
    }


async def test_a_custom_variable_takes_the_place_of_a_key(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver
) -> None:
    await register(api)
    lead = world.store.add_lead(campaign, email="ada@acme.test", payload={"campaign_id": "spring", "step": "x"})
    world.store.open(lead.id)
    world.switches.custom_variables_win = False
    world.store.open(lead.id)
    await world.deliveries.deliver_due()

    lost, kept = receiver.payloads

    assert (lost["campaign_id"], lost["campaign"], lost["step"]) == ("spring", campaign, "x")
    assert (kept["campaign_id"], kept["step"], kept["is_first"]) == (campaign, 1, False)


async def test_each_deed_is_the_event_the_documents_name(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver
) -> None:
    store, label = world.store, world.store.add_label("Spam complaint", "negative")
    await register(api)
    lead = store.add_lead(campaign, email="ada@acme.test").id
    for deed in (store.send, store.open, store.click, store.bounce, store.unsubscribe):
        deed(lead)
    store.reply(lead, auto=True)
    for value in (1, 2, 3, 4, -1, -2, -4, -3, label.interest_status, 77, None):
        store.set_interest(lead, value)
    store.complete_campaign(campaign)
    store.fail_account(campaign, "max@sender.test")
    await world.deliveries.deliver_due()
    world.sandbox.clock.advance(5)  # type: ignore[attr-defined]
    await world.deliveries.deliver_due()

    told = [payload["event_type"] for payload in receiver.payloads]

    assert told == [
        "email_sent",
        "email_opened",
        "link_clicked",
        "email_bounced",
        "lead_unsubscribed",
        "auto_reply_received",
        "campaign_completed",
        "account_error",
        "lead_out_of_office",
        "lead_interested",
        "lead_meeting_booked",
        "lead_meeting_completed",
        "lead_closed",
        "lead_not_interested",
        "lead_wrong_person",
        "lead_no_show",
        "Spam complaint",
        "lead_neutral",
    ]
    ended, failed = receiver.payloads[6:8]
    assert "lead_email" not in ended
    assert (failed["email_account"], failed["campaign"]) == ("max@sender.test", campaign)


async def test_the_label_comes_after_its_reply_and_without_the_mailbox(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver, clock: VirtualClock
) -> None:
    await register(api)
    lead = world.store.add_lead(campaign, email="ada@acme.test").id
    world.store.reply(lead, positive=True)
    await world.deliveries.deliver_due()
    at_once = [payload["event_type"] for payload in receiver.payloads]
    clock.advance(5)
    await world.deliveries.deliver_due()

    label = receiver.payloads[-1]

    assert at_once == ["reply_received"]
    assert (label["event_type"], label["timestamp"]) == ("lead_interested", "2026-11-02T09:00:05.000Z")
    assert {"email_account", "is_first", "email_id"}.isdisjoint(label)
    assert label["reply_text_snippet"] == receiver.payloads[0]["reply_text_snippet"]


@pytest.mark.parametrize(
    ("hook", "heard"),
    [
        ({"event_type": "email_link_clicked"}, ["link_clicked"]),
        ({"event_type": "reply_received"}, ["reply_received"]),
        ({"event_type": "lead_interested"}, ["lead_interested"]),
        ({"event_type": None, "custom_interest_value": 100}, ["Hot"]),
        ({"event_type": "all_events", "campaign": "019ffad2-5cf8-732d-8cf0-41466f7573b6"}, []),
    ],
)
async def test_a_webhook_hears_of_what_it_is_registered_for(
    api: httpx.AsyncClient,
    world: InstantlySandbox,
    campaign: str,
    receiver: Receiver,
    clock: VirtualClock,
    hook: dict[str, Any],
    heard: list[str],
) -> None:
    await register(api, **hook)
    lead, hot = world.store.add_lead(campaign, email="ada@acme.test").id, world.store.add_label("Hot")
    world.store.click(lead)
    world.store.reply(lead, positive=True)
    world.store.reply(lead, auto=True, at=clock.now())
    world.store.set_interest(lead, hot.interest_status)
    clock.advance(60)
    await world.deliveries.deliver_due()

    assert heard == [payload["event_type"] for payload in receiver.payloads]


async def test_an_automatic_reply_reaches_reply_webhooks_where_switched_on(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver
) -> None:
    world.switches.auto_replies_to_reply_hooks = True
    await register(api, event_type="reply_received")
    world.store.reply(world.store.add_lead(campaign, email="ada@acme.test").id, auto=True)
    await world.deliveries.deliver_due()

    assert [payload["event_type"] for payload in receiver.payloads] == ["auto_reply_received"]


async def test_an_interest_written_through_the_api_is_told_once_it_is_true(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver, clock: VirtualClock
) -> None:
    await register(api)
    world.store.add_lead(campaign, email="ada@acme.test")
    await api.post("/api/v2/leads/update-interest-status", json={"lead_email": "ada@acme.test", "interest_value": 2})
    await world.deliveries.deliver_due()
    assert receiver.payloads == []

    clock.advance(5)
    await world.deliveries.deliver_due()

    assert [(p["event_type"], p["timestamp"]) for p in receiver.payloads] == [
        ("lead_meeting_booked", "2026-11-02T09:00:05.000Z")
    ]


async def test_payloads_nobody_captured_may_be_bare(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver
) -> None:
    world.switches.bare_payloads = ("email_opened",)
    await register(api)
    lead = world.store.add_lead(campaign, email="ada@acme.test", payload={"Tier": "A"}).id
    world.store.open(lead)
    await world.deliveries.deliver_due()

    (told,) = receiver.payloads

    documented = {"timestamp", "event_type", "workspace", "campaign_id", "campaign_name", "lead_email", "email"}
    given = {"firstName", "lastName", "companyName", "phone", "website", "personalization", "Tier"}
    assert set(told) == documented | given


@pytest.mark.parametrize("is_answered", [False, True])
async def test_the_email_id_of_a_reply_is_the_reply_or_the_mail_it_answers(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, receiver: Receiver, is_answered: bool
) -> None:
    world.switches.email_id_is_answered_mail, world.switches.sent_email_id = is_answered, True
    await register(api)
    lead = world.store.add_lead(campaign, email="ada@acme.test").id
    world.store.send(lead)
    world.store.reply(lead)
    await world.deliveries.deliver_due()

    sent, reply = receiver.payloads

    assert (sent["email_id"] == reply["email_id"]) is is_answered
    assert world.store.mails[reply["email_id"]].ue_type == (1 if is_answered else 2)
