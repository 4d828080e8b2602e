"""The account's webhook is registered, watched and mended by itself, and replies are read from the mailboxes too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest

from app.db import deliveries
from app.lab.sandboxes import KEY
from app.lab.world import World, make
from app.sandbox.core import Fault
from app.sync import adjust, hooks, inbox
from tests.sync.conftest import Bench, Wired

ANN = "ann@berg.test"
QUARTER = 15 * 60.0


def asked(bench: Bench, path: str) -> list[str]:
    """Returns how Instantly was asked about this, in order."""
    return [call.method for call in bench.world.instantly.sandbox.calls if call.path.startswith(f"/api/v2{path}")]


async def state_of(world: World, connection_id: UUID) -> dict[str, Any]:
    """Returns the webhook as the connection shows it."""
    stored = await world.connection(connection_id)
    async with world.transaction() as tx:
        return (await hooks.states(tx, [stored.account_id]))[stored.account_id]


async def kinds_of_runs(bench: Bench) -> list[tuple[str, str]]:
    async with bench.world.transaction() as tx:
        rows = await tx.all("SELECT kind, trigger FROM sync_run WHERE trigger <> 'schedule' ORDER BY id")
        return [(row["kind"], row["trigger"]) for row in rows]


async def test_one_hook_for_every_event_is_registered_and_carries_a_secret_that_opens(wired: Wired) -> None:
    bench = wired.bench
    lead = bench.world.instantly.store.add_lead(bench.campaigns[0].id, email=ANN)
    connection = await bench.instantly()
    await wired.pass_time(QUARTER)
    bench.world.instantly.store.send(lead.id)
    await wired.pass_time(QUARTER)
    await wired.pass_time(60)

    (hook,) = wired.hooks
    assert (hook.target_hook_url, hook.event_type) == (
        "https://leads.example.test/api/webhooks/instantly/all",
        "all_events",
    )
    assert await bench.value("SELECT event_type FROM webhook_delivery") == "email_sent"
    assert asked(bench, "/webhooks") == ["GET", "POST", "GET", "GET"]
    shown = await state_of(bench.world, connection)
    assert (shown["state"], shown["message"], shown["gap"]) == ("active", None, None)
    async with bench.world.transaction() as tx:
        said = await adjust.verdict(tx, await bench.world.connection(connection), [])
    assert said == "Instantly works: the key is accepted and its campaigns can be read. Its webhook delivers."


async def test_workspaces_that_share_an_account_share_its_hook(wired: Wired) -> None:
    bench = wired.bench
    await bench.instantly()
    await wired.pass_time(QUARTER)
    other = await make(bench.world.runtime, bench.world.airtable, bench.world.instantly)
    connection = await other.connect(
        "instantly", {"campaign_ids": None, "pacing_seconds": 0}, {"api_key": KEY}, auto_approve=True
    )
    await other.settle()
    await wired.pass_time(QUARTER)

    assert len(wired.hooks) == 1
    assert asked(bench, "/webhooks") == ["GET", "POST", "GET", "GET"]
    assert (await state_of(other, connection))["state"] == "active"


async def test_a_hook_that_was_given_up_is_said_resumed_and_what_it_missed_is_read_again(wired: Wired) -> None:
    bench = wired.bench
    bench.world.instantly.switches.disable_after = 2
    store = bench.world.instantly.store
    leads = [store.add_lead(bench.campaigns[0].id, email=f"p{n}@berg.test") for n in range(3)]
    connection = await bench.instantly()
    await wired.pass_time(QUARTER)
    wired.is_away = True
    for lead in leads[:2]:
        store.send(lead.id)
    # it is given up while nobody here looks
    bench.clock.advance(1)
    for _ in range(4):
        bench.clock.advance(30)
        await bench.world.instantly.deliveries.deliver_due()
    assert wired.hooks[0].status == -1
    store.reply(leads[2].id, positive=True)
    wired.is_away = False
    await wired.pass_time(QUARTER)

    assert wired.hooks[0].status == 1
    (alert,) = await bench.items("alert")
    assert (alert["connection_id"], alert["field"], alert["evidence"]["gaps"]) == (connection, "webhook", 1)
    assert "gave the webhook up" in alert["evidence"]["why"]
    shown = await state_of(bench.world, connection)
    assert (shown["state"], shown["gap"]["why"]) == ("active", alert["evidence"]["why"])
    assert shown["gap"]["from"] < shown["gap"]["to"]
    assert ("full", "gap") in await kinds_of_runs(bench)
    assert (await bench.lead("p2@berg.test")).values["status"] == "replied"

    await wired.pass_time(QUARTER)
    assert await bench.items("alert") == []
    (closed,) = await bench.items("alert", "closed")
    assert closed["decision"] == {"why": "what was missed has been read again"}


async def test_a_hook_that_was_removed_there_is_registered_again_and_one_too_many_is_removed(wired: Wired) -> None:
    bench = wired.bench
    connection = await bench.instantly()
    await wired.pass_time(QUARTER)
    there = bench.world.instantly.deliveries.hooks
    (hook,) = wired.hooks
    there.all.clear()
    await wired.pass_time(QUARTER)

    assert len(wired.hooks) == 1
    assert "removed at Instantly" in (await state_of(bench.world, connection))["gap"]["why"]

    there.add(hook.target_hook_url, event_type="all_events", headers={"X-Webhook-Secret": "wrong"})
    there.add("https://elsewhere.test/hook", event_type="all_events")
    wired.hooks[0].headers = None
    await wired.pass_time(QUARTER)

    assert [one.target_hook_url for one in wired.hooks] == [hook.target_hook_url, "https://elsewhere.test/hook"]
    assert wired.hooks[0].headers == hook.headers


async def test_the_hook_is_told_of_another_secret_at_once(wired: Wired) -> None:
    bench, runtime = wired.bench, wired.bench.world.runtime
    connection = await bench.instantly()
    await wired.pass_time(QUARTER)
    async with bench.world.transaction() as tx:
        stored = await adjust.known(tx, connection)
        sealed, hashed = await runtime.resealed(tx, stored, "another secret of ours")
        await adjust.give_webhook_secret(tx, stored, sealed, hashed, is_operator=False)
    await wired.pass_time(10)

    (hook,) = wired.hooks
    assert hook.headers == {"X-Webhook-Secret": "another secret of ours"}


async def test_the_hook_goes_with_the_last_connection_of_its_account_once_instantly_can_be_reached(
    wired: Wired,
) -> None:
    bench = wired.bench
    mine = await bench.instantly()
    other = await make(bench.world.runtime, bench.world.airtable, bench.world.instantly)
    theirs = await other.connect(
        "instantly", {"campaign_ids": None, "pacing_seconds": 0}, {"api_key": KEY}, auto_approve=True
    )
    await other.settle()
    await wired.pass_time(QUARTER)

    async def disconnect(world: World, connection_id: UUID) -> None:
        async with world.transaction() as tx:
            await adjust.remove(tx, connection_id, actor=ANN)

    await disconnect(bench.world, mine)
    await wired.pass_time(QUARTER)
    assert len(wired.hooks) == 1

    faults = bench.world.instantly.sandbox.faults
    faults.add(Fault(kind="status", method="DELETE", path="/webhooks"))
    await disconnect(other, theirs)
    await wired.pass_time(10)
    assert len(wired.hooks) == 1
    faults.clear()
    await wired.pass_time(hooks.EVERY)
    assert wired.hooks == []
    before = len(asked(bench, "/webhooks"))
    await wired.pass_time(QUARTER)
    assert len(asked(bench, "/webhooks")) == before

    again = await bench.instantly()
    await wired.pass_time(QUARTER)
    assert len(wired.hooks) == 1
    shown = await state_of(bench.world, again)
    assert (shown["state"], shown["gap"]) == ("active", None)


@pytest.mark.parametrize("refusal", ["plan", "scope"])
async def test_what_the_plan_or_the_key_refuses_is_said_and_reading_goes_on(wired: Wired, refusal: str) -> None:
    bench = wired.bench
    if refusal == "plan":
        bench.world.instantly.switches.webhooks_in_plan = False
    else:
        bench.world.instantly.store.add_key(KEY, scopes=["leads:read", "campaigns:read", "workspaces:read"])
    connection = await bench.instantly()
    bench.world.instantly.store.add_lead(bench.campaigns[0].id, email=ANN)
    await wired.pass_time(QUARTER)

    shown = await state_of(bench.world, connection)
    assert shown["state"] == "refused"
    assert ("subscription" if refusal == "plan" else "webhooks:all") in shown["message"]
    stored = await bench.world.connection(connection)
    assert (stored.state, stored.reason) == ("active", None)
    assert (await bench.lead(ANN)).values["email"] == ANN
    assert ("emails:read" in str(shown["mails"])) is (refusal == "scope")


async def test_without_an_address_of_ours_the_connection_says_what_to_set(bench: Bench) -> None:
    connection = await bench.instantly()
    await bench.sync(connection)

    shown = await state_of(bench.world, connection)
    assert (shown["state"], "PUBLIC_URL" in shown["message"]) == ("unset", True)
    assert asked(bench, "/webhook") == []


async def test_a_reply_is_found_in_the_mailbox_and_one_that_both_tell_of_is_one(wired: Wired) -> None:
    bench, store = wired.bench, wired.bench.world.instantly.store
    silent, told, bounced = (
        store.add_lead(bench.campaigns[0].id, email=f"{name}@berg.test") for name in ("silent", "told", "bounced")
    )
    connection = await bench.instantly()
    await wired.pass_time(QUARTER)
    for lead in (silent, told, bounced):
        store.send(lead.id)
    wired.is_away = True
    store.reply(silent.id, text="Call me.")
    store.bounce(bounced.id)
    await wired.pass_time(10)
    wired.is_away = False
    store.reply(told.id, text="Tell me more.")
    await wired.pass_time(10)
    await bench.sync(connection)
    await wired.pass_time(QUARTER)

    async with bench.world.transaction() as tx:
        rows = await tx.all("SELECT id, via, event_type FROM webhook_delivery ORDER BY received_at, id")
        found = sorted((row["via"], row["event_type"]) for row in rows if row["event_type"] == "reply_received")
        ids = [row["id"] for row in rows]
    assert found.count(("mail", "reply_received")) == 2
    assert ("webhook", "reply_received") in found
    runtime = bench.world.runtime
    await inbox.apply(runtime.db, bench.world.tenant, ids, fingerprint=runtime.vault.address)
    for email, text in (("silent@berg.test", "Call me."), ("told@berg.test", "Tell me more.")):
        lead_id = UUID((await bench.lead(email)).id)
        async with runtime.db.transaction(bench.world.tenant) as tx:
            replies = await tx.all("SELECT detail FROM activity WHERE lead_id = $1 AND kind = 'mail.replied'", lead_id)
        assert [row["detail"]["text"] for row in replies] == [text]
        assert (await bench.lead(email)).values["sender_account"] == "max@sender.test"


async def test_mails_are_read_on_where_the_last_poll_stopped_and_a_few_calls_at_a_time(wired: Wired) -> None:
    bench, store = wired.bench, wired.bench.world.instantly.store
    lead = store.add_lead(bench.campaigns[0].id, email=ANN)
    connection = await bench.instantly()
    for number in range(450):
        store.reply(lead.id, text=f"Mail {number}", at=bench.clock.now())
        bench.clock.advance(1)
    await bench.sync(connection)
    assert await bench.value("SELECT count(*) FROM webhook_delivery WHERE via = 'mail'") == 300
    await wired.pass_time(61)
    await bench.sync(connection)
    assert await bench.value("SELECT count(*) FROM webhook_delivery WHERE via = 'mail'") == 450
    assert len(asked(bench, "/emails")) == 6
    await wired.pass_time(61)
    await bench.sync(connection)

    # what arrived in the overlap comes again and is known
    assert len(asked(bench, "/emails")) == 8
    assert await bench.value("SELECT count(*) FROM webhook_delivery WHERE via = 'mail'") == 450


@pytest.mark.parametrize("first", ["mail", "webhook"])
async def test_whether_a_reply_is_automatic_is_for_its_webhook_to_say_whoever_comes_first(
    bench: Bench, first: str
) -> None:
    row = bench.world.instantly.store.add_lead(bench.campaigns[0].id, email=ANN)
    await bench.instantly()
    runtime = bench.world.runtime
    reply = {
        "timestamp": "2026-03-02T09:00:00.000Z",
        "lead_email": ANN,
        "campaign": bench.campaigns[0].id,
        "email_id": row.id,
    }
    account = await bench.value("SELECT id FROM provider_account WHERE provider = 'instantly'")
    told = {
        "mail": deliveries.delivery(
            orjson.dumps(reply | {"event_type": "auto_reply_received"}),
            fingerprint=runtime.vault.address,
            account_id=account,
            via="mail",
        ),
        "webhook": deliveries.delivery(
            orjson.dumps(reply | {"event_type": "reply_received"}),
            fingerprint=runtime.vault.address,
            account_id=account,
        ),
    }
    for via in sorted(told, key=lambda one: one != first):
        (stored,) = await deliveries.store(runtime.db, [told[via]])
        assert stored is not None
        await inbox.apply(runtime.db, bench.world.tenant, [stored.id], fingerprint=runtime.vault.address)

    assert await bench.value("SELECT array_agg(kind) FROM activity WHERE kind LIKE 'mail.%'") == ["mail.replied"]
