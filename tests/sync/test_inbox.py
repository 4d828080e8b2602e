"""Deliveries become what happened to leads."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.db import deliveries, erasure, suppressions, workspaces
from app.domain import instantly
from app.sync import edit, erase, explain, inbox
from tests.conftest import Urls, execute
from tests.sync.conftest import Bench

T = [f"2026-03-02T{hour:02d}:00:00.000Z" for hour in range(8, 20)]
ADA = "ada@acme.test"


@pytest.fixture
async def founders(bench: Bench) -> str:
    """A campaign the workspace has read, with Ada in it."""
    campaign = bench.campaigns[0].id
    bench.world.instantly.store.add_lead(campaign, email=ADA, first_name="Ada", last_name="Lovelace")
    await bench.instantly()
    return str(campaign)


def told(kind: str, at: str | None = T[0], email: str | None = ADA, **more: Any) -> dict[str, Any]:
    """A payload as Instantly sends it."""
    return {"event_type": kind, "timestamp": at, "lead_email": email, "email": email, "unibox_url": None, **more}


async def apply(bench: Bench, ids: Sequence[UUID]) -> None:
    runtime = bench.world.runtime
    await inbox.apply(runtime.db, bench.world.tenant, ids, fingerprint=runtime.vault.address)


async def tell(bench: Bench, *payloads: Any) -> list[UUID]:
    """Delivers and applies, as the loop does."""
    ids = [await bench.deliver(payload) for payload in payloads]
    await apply(bench, ids)
    return ids


async def state(bench: Bench, delivery: UUID) -> tuple[str, str | None]:
    async with bench.world.transaction() as tx:
        row = await tx.one("SELECT state, reason FROM webhook_delivery WHERE id = $1", delivery)
    return row["state"], row["reason"]


async def log_of(bench: Bench, email: str = ADA) -> list[tuple[str, Any]]:
    lead = await bench.lead(email)
    async with bench.world.transaction() as tx:
        rows = await tx.all("SELECT kind, at, detail FROM activity WHERE lead_id = $1 ORDER BY at, kind", UUID(lead.id))
    return [(row["kind"], row["detail"]) for row in rows if row["kind"].split(".")[0] != "status"]


async def test_a_reply_is_the_leads_within_its_own_time(bench: Bench, founders: str) -> None:
    await tell(
        bench,
        told("email_sent", T[0], step=1, email_account="max@sender.test"),
        told(
            "reply_received", T[2], email_account="max@sender.test", reply_text_snippet="Yes!\n", reply_subject="Re: q"
        ),
        told("lead_interested", T[3]),
    )

    lead = await bench.lead(ADA)
    shown = ("status", "delivery_status", "is_positive_reply", "sender_account", "last_contacted_at")
    assert [lead.values[name] for name in shown] == ["replied", "replied", True, "max@sender.test", T[0]]
    assert lead.values["email_reply_count"] == 0
    kinds = [(kind, detail.get("text")) for kind, detail in await log_of(bench)]
    assert kinds == [("mail.sent", None), ("mail.replied", "Yes!"), ("interest", None)]
    assert (await log_of(bench))[1][1]["campaign"] == "Founders"


async def test_any_order_twice_and_in_pieces_ends_in_the_same_lead(bench: Bench, founders: str) -> None:
    rng = random.Random(7)
    people = [f"p{n}@acme.test" for n in range(6)]
    for email in people:
        bench.world.instantly.store.add_lead(founders, email=email)
    await bench.sync(*[UUID(str(await bench.value("SELECT id FROM connection")))], kind="full")
    story = [
        ("email_sent", T[0]), ("email_opened", T[1]), ("reply_received", T[2]), ("lead_not_interested", T[3]),
        ("lead_meeting_booked", T[4]), ("lead_unsubscribed", T[5]), ("email_bounced", T[6]),
    ]  # fmt: skip
    for email in people:
        payloads = [told(kind, at, email) for kind, at in story]
        ids = [await bench.deliver(payload) for payload in rng.sample(payloads, len(payloads))]
        assert {await bench.deliver(payload) for payload in payloads} == set(ids)
        pieces = [ids[:3], ids[2:], ids]
        for piece in pieces:
            await apply(bench, piece)

    leads = [(await bench.lead(email)).values for email in people]
    same = ("status", "delivery_status", "is_positive_reply", "last_contacted_at")
    assert {tuple(lead[name] for name in same) for lead in leads} == {("booked", "replied", True, T[0])}
    logs = [[kind for kind, _ in await log_of(bench, email)] for email in people]
    assert all(log == logs[0] and len(log) == len(story) for log in logs)


async def test_two_instances_with_the_same_deliveries_do_the_work_once(bench: Bench, founders: str) -> None:
    ids = [await bench.deliver(told("email_opened", at)) for at in T]

    await asyncio.gather(*(apply(bench, ids) for _ in range(4)))

    assert len(await log_of(bench)) == len(T)
    assert await bench.value("SELECT count(*) FROM lead_change WHERE source = 'instantly_event'") == 1
    assert await bench.value("SELECT count(*) FROM webhook_delivery WHERE state = 'applied'") == len(T)


async def test_applying_again_changes_nothing(bench: Bench, founders: str) -> None:
    ids = await tell(bench, told("reply_received"), told("lead_unsubscribed", T[1]), told("lead_closed", T[2]))
    before = await bench.lead(ADA)

    async with bench.world.transaction() as tx:
        await tx.run("UPDATE webhook_delivery SET state = 'received' WHERE id = ANY($1)", ids)
    await apply(bench, ids)

    assert await bench.lead(ADA) == before
    assert len(await log_of(bench)) == 3


async def test_a_status_a_person_set_holds_against_what_happened_before_it(bench: Bench, founders: str) -> None:
    await bench.patch(ADA, status="contacted")
    await tell(bench, told("reply_received", T[0]))
    assert (await bench.lead(ADA)).values["status"] == "contacted"

    await tell(bench, told("reply_received", "2026-11-20T10:00:00Z"), told("link_clicked", None))
    assert (await bench.lead(ADA)).values["status"] == "contacted"
    assert await bench.value("SELECT count(*) FROM lead_change WHERE refused <> '[]'") == 2
    assert len(await log_of(bench)) == 3


async def test_an_unsubscribe_reaches_as_far_as_the_workspace_chose(bench: Bench, founders: str) -> None:
    runtime = bench.world.runtime
    await tell(bench, told("lead_unsubscribed", T[0]))
    async with runtime.db.transaction(bench.world.tenant) as tx:
        known = await suppressions.of(tx, runtime.vault.address(ADA))
        await workspaces.choose(tx, {"unsubscribe": "workspace"})
    assert known == [(instantly.namespace(founders), "unsubscribed")]

    await tell(bench, told("lead_unsubscribed", T[1]), told("email_bounced", T[1]))
    async with runtime.db.transaction(bench.world.tenant) as tx:
        known = await suppressions.of(tx, runtime.vault.address(ADA))
    assert set(known) == {
        (instantly.namespace(founders), "unsubscribed"), ("workspace", "unsubscribed"), ("workspace", "bounced"),
    }  # fmt: skip


async def test_an_answer_from_somebody_unknown_makes_a_lead_of_them(bench: Bench, founders: str) -> None:
    opened, replied = await tell(
        bench,
        told("email_opened", T[0], "eve@acme.test"),
        told("reply_received", T[1], "eve@acme.test", firstName="Eve", companyName="Acme", Tier="A"),
    )

    lead = await bench.lead("eve@acme.test")
    assert [lead.values[name] for name in ("first_name", "company_name", "status")] == ["Eve", "Acme", "replied"]
    assert lead.values["metadata"] == {instantly.namespace(founders): {"Tier": "A"}}
    assert [kind for kind, _ in await log_of(bench, "eve@acme.test")] == ["mail.opened", "mail.replied"]
    assert (await state(bench, opened))[0] == (await state(bench, replied))[0] == "applied"
    # the pull that brings the same person finds the lead
    bench.world.instantly.store.add_lead(founders, email="eve@acme.test", job_title="CTO")
    await bench.sync(UUID(str(await bench.value("SELECT id FROM connection"))), kind="full")
    assert await bench.value("SELECT count(*) FROM lead") == 2
    assert (await bench.lead("eve@acme.test")).values["title"] == "CTO"


async def test_an_answer_from_somebody_unknown_waits_for_a_person_where_that_was_chosen(
    bench: Bench, founders: str
) -> None:
    async with bench.world.transaction() as tx:
        await workspaces.choose(tx, {"unknown_replies": "wait"})
    (replied,) = await tell(bench, told("reply_received", T[1], "eve@acme.test"))

    assert (await state(bench, replied))[0] == "parked"
    (item,) = await bench.items("delivery")
    assert "eve@acme.test answered" in item["evidence"]["why"]
    async with bench.world.transaction() as tx:
        await edit.create(tx, {"email": "eve@acme.test"}, actor="ann")
    await apply(bench, [replied])
    assert (await state(bench, replied))[0] == "applied"
    assert (await bench.lead("eve@acme.test")).values["delivery_status"] == "replied"
    assert await bench.items("delivery") == []


async def test_an_event_that_comes_before_its_lead_is_applied_when_the_lead_is_pulled(
    bench: Bench, founders: str
) -> None:
    (opened,) = await tell(bench, told("email_opened", T[1], "eve@acme.test"))
    assert await state(bench, opened) == ("parked", "no lead has this address yet")
    assert await bench.items("delivery") == []

    bench.world.instantly.store.add_lead(founders, email="eve@acme.test")
    await bench.sync(UUID(str(await bench.value("SELECT id FROM connection"))), kind="full")
    due = await deliveries.due(bench.world.runtime.db, 10)
    await apply(bench, list(itertools.chain(*(ids for _, ids in due))))

    assert (await bench.lead("eve@acme.test")).values["status"] == "opened"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"{", "its body is not a JSON object"),
        (b"[1]", "its body is not a JSON object"),
        (b"", "its body is not a JSON object"),
        ({"a": 1}, "it names no event type"),
        (told("email_opened", T[0], None), "it names no lead"),
    ],
)
async def test_what_cannot_be_read_is_kept_and_shown(bench: Bench, founders: str, payload: Any, why: str) -> None:
    (junk,) = await tell(bench, payload)

    kept, reason = await state(bench, junk)
    assert kept == "parked"
    assert reason is not None
    assert reason.startswith(why)
    (item,) = await bench.items("delivery")
    assert item["evidence"]["delivery"] == str(junk)
    assert item["evidence"]["why"].startswith(why)


async def test_a_custom_label_and_an_overwritten_key_are_applied_and_remarked(bench: Bench, founders: str) -> None:
    await tell(
        bench,
        told("Spam complaint", T[0]),
        told("email_opened", T[1], campaign=founders, campaign_id="spring", step="A"),
        told("campaign_completed", T[2], None),
    )

    remarks = sorted(item["field"] for item in await bench.items("delivery"))
    assert remarks == ["collision:campaign_id,campaign,step", "type:Spam complaint"]
    assert [kind for kind, _ in await log_of(bench)] == ["label", "mail.opened"]
    assert (await bench.lead(ADA)).values["status"] == "opened"


async def test_a_campaign_nobody_knows_costs_no_event(bench: Bench, founders: str) -> None:
    bench.world.instantly.store.add_campaign("New")
    await bench.value("DELETE FROM campaign RETURNING 1")

    await tell(bench, told("link_clicked", T[0]))

    assert (await bench.lead(ADA)).values["status"] == "clicked"
    assert [item["field"] for item in await bench.items("delivery")] == [f"campaign:{founders}"]


async def test_a_deleted_lead_does_not_rise_but_its_answer_is_shown(bench: Bench, founders: str) -> None:
    lead = await bench.lead(ADA)
    async with bench.world.transaction() as tx:
        await edit.delete(tx, UUID(lead.id), actor="ann")

    opened, replied = await tell(bench, told("email_opened", T[0]), told("reply_received", T[1]))

    assert (await state(bench, opened))[0] == "ignored"
    assert (await state(bench, replied))[0] == "parked"
    assert [item["field"] for item in await bench.items("delivery")] == ["deleted"]
    async with bench.world.transaction() as tx:
        await edit.restore(tx, UUID(lead.id), actor="ann")
    await apply(bench, [replied])
    assert (await bench.lead(ADA)).values["status"] == "replied"


async def test_nothing_is_kept_of_what_an_erased_person_says(bench: Bench, founders: str) -> None:
    runtime = bench.world.runtime
    lead = await bench.lead(ADA)
    async with runtime.db.transaction(bench.world.tenant) as tx:
        await erase.erase(tx, UUID(lead.id), fingerprint=runtime.vault.address, actor="ann")
        assert await erasure.known(tx, {runtime.vault.address(ADA)})

    (replied,) = await tell(bench, told("reply_received", T[1], reply_text="call me"))

    assert (await state(bench, replied))[0] == "ignored"
    assert await bench.value("SELECT body FROM webhook_delivery WHERE id = $1", replied) is None
    assert await bench.value("SELECT count(*) FROM lead") == 0
    (item,) = await bench.items("erased")
    assert ADA not in str(dict(item))


async def test_one_reply_told_by_its_webhook_and_by_the_mailbox_is_one(bench: Bench, founders: str) -> None:
    mail = "0199cbed-0bed-7e1f-a3c9-608aca600b4f"
    await tell(
        bench,
        told("reply_received", T[1], reply_text_snippet="Yes"),
        told("reply_received", "2026-03-02T09:00:04.000Z", reply_text="Yes", email_id=mail),
        told("reply_received", T[1], reply_text="Yes", email_id=mail, is_first=True),
        told("reply_received", T[4], reply_text="And more", email_id=mail[:-1] + "e"),
    )

    assert [detail["text"] for _, detail in await log_of(bench)] == ["Yes", "And more"]


async def test_a_delivery_that_breaks_its_batch_is_kept_and_the_others_go_on(
    bench: Bench, founders: str, urls: Urls
) -> None:
    await execute(
        urls.owner,
        "CREATE FUNCTION poisoned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'poison'; END $$;"
        "CREATE TRIGGER poisoned BEFORE INSERT ON activity FOR EACH ROW"
        " WHEN (NEW.detail ->> 'text' = 'poison') EXECUTE FUNCTION poisoned()",
    )

    good, bad, other = await tell(
        bench, told("email_opened"), told("reply_received", reply_text="poison"), told("link_clicked")
    )

    assert [(await state(bench, i))[0] for i in (good, bad, other)] == ["applied", "received", "applied"]
    assert (await state(bench, bad))[1] == "It could not be applied (RaiseError): see the log."
    assert (await bench.lead(ADA)).values["status"] == "clicked"


async def test_airtable_learns_of_an_event(bench: Bench, founders: str) -> None:
    row = bench.row(email=ADA, status="New")
    await bench.airtable()

    await tell(bench, told("lead_meeting_booked", "2027-01-01T00:00:00Z"), told("lead_meeting_booked", T[1]))
    await bench.settle()

    assert bench.cell(row, "Status") == "Booked"


async def test_what_is_not_counted_yet_is_told_beside_the_number(bench: Bench, founders: str) -> None:
    async def opens() -> tuple[int, int]:
        async with bench.world.transaction() as tx:
            why = await explain.explain(tx, UUID((await bench.lead(ADA)).id))
        assert why is not None
        field = why["fields"]["email_open_count"]
        return field["value"], field["seen_since"]

    row = next(row for row in bench.world.instantly.store.leads.values() if row.email == ADA)
    bench.world.instantly.store.open(row.id)
    bench.world.instantly.store.open(row.id)
    now = bench.clock.now().isoformat()
    later = (bench.clock.now() + timedelta(seconds=1)).isoformat()
    await tell(bench, told("email_opened", now), told("email_opened", later), told("email_opened", now, step=2))
    assert await opens() == (0, 3)

    bench.clock.advance(2)
    await asyncio.sleep(1.1)
    await bench.sync(UUID(str(await bench.value("SELECT id FROM connection"))), kind="full")
    assert await opens() == (2, 0)
