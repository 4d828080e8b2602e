"""Campaigns: only those that moved are read again, and a row that is gone is noticed and still counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from app.db import runs
from app.sandbox.core import Fault

from .conftest import Bench


class Outreach:
    """Three campaigns that have sent, and what Instantly is asked about them."""

    def __init__(self, bench: Bench, connection: UUID) -> None:
        self.bench = bench
        self.connection = connection
        self.store = bench.world.instantly.store

    def add(self, campaign: Any, email: str, **given: Any) -> Any:
        lead = self.store.add_lead(campaign.id, email=email, **given)
        self.store.send(lead.id)
        return lead

    def of(self, campaign: Any, email: str) -> Any:
        """Returns a row."""
        found = self.store.find(campaign.id, email)
        assert found is not None
        return found

    async def calls(self, kind: str = "delta") -> list[str]:
        """Runs the connection and returns the paths it asked for, of leads with the campaign's name."""
        before = len(self.bench.world.instantly.sandbox.calls)
        await self.bench.sync(self.connection, kind=kind)
        return [call.path.removeprefix("/api/v2") for call in self.bench.world.instantly.sandbox.calls[before:]]

    async def run(self) -> dict[str, int]:
        """Runs the connection and returns what the run counted."""
        await self.calls()
        async with self.bench.world.transaction() as tx:
            (run, *_) = await runs.recent(tx, 1, None, self.connection)
        assert run["state"] == "done", run["error"]
        return dict(run["counters"])


@pytest.fixture
async def outreach(bench: Bench) -> Outreach:
    """Ada is in the first campaign, Bo in the second; both were sent a mail, and everything was read."""
    store = bench.world.instantly.store
    for number, email in enumerate(("ada@x.test", "bo@x.test")):
        lead = store.add_lead(bench.campaigns[number].id, email=email, first_name=email[:2].title())
        store.send(lead.id)
    return Outreach(bench, await bench.instantly(auto_approve=True))


async def test_a_delta_without_news_takes_two_calls(outreach: Outreach) -> None:
    await outreach.calls()

    assert await outreach.calls() == ["/campaigns", "/campaigns/analytics"]


async def test_only_the_campaign_whose_counters_moved_is_read_again(outreach: Outreach) -> None:
    outreach.store.open(outreach.of(outreach.bench.campaigns[1], "bo@x.test").id)

    counters = await outreach.run()

    assert (counters["campaigns_due"], counters["read"]) == (1, 1)
    assert (await outreach.bench.lead("bo@x.test")).values["email_open_count"] == 1


async def test_a_gone_row_still_counts_and_its_lead_stays(outreach: Outreach) -> None:
    bench, store = outreach.bench, outreach.store
    first, second = bench.campaigns
    in_first, in_second = outreach.of(first, "ada@x.test"), outreach.add(second, "ada@x.test")
    store.reply(in_first.id)
    store.reply(in_second.id)
    await outreach.calls()
    assert (await bench.lead("ada@x.test")).values["email_reply_count"] == 2

    store.delete(in_first.id)
    store.open(in_second.id)
    await outreach.calls()

    lead = await bench.lead("ada@x.test")
    assert (lead.values["email_reply_count"], lead.values["email_open_count"]) == (2, 1)
    assert not lead.deleted
    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") == 1


async def test_a_row_that_comes_back_is_not_gone_any_more_and_has_its_say(outreach: Outreach) -> None:
    bench, store = outreach.bench, outreach.store
    first, _ = bench.campaigns
    store.reply(outreach.of(first, "ada@x.test").id)
    await outreach.calls()
    store.delete(outreach.of(first, "ada@x.test").id)
    await outreach.calls()
    gone = "SELECT count(*) FROM link WHERE gone_at IS NOT NULL"
    assert await bench.value(gone) == 1

    again = outreach.add(first, "ada@x.test")
    store.reply(again.id)
    await outreach.calls()

    assert await bench.value(gone) == 0
    # the row before and the row now: both replies happened
    assert (await bench.lead("ada@x.test")).values["email_reply_count"] == 2


async def test_a_moved_row_is_neither_gone_nor_counted_twice(outreach: Outreach) -> None:
    bench, store = outreach.bench, outreach.store
    first, second = bench.campaigns
    row = outreach.of(first, "ada@x.test")
    store.reply(row.id)
    await outreach.calls()

    store.move(row.id, second.id)
    await outreach.calls()
    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") == 0
    assert await bench.value("SELECT remote_key FROM link WHERE remote_id = $1", row.id) == f"{second.id}/ada@x.test"

    store.reply(row.id)
    await outreach.calls()
    assert (await bench.lead("ada@x.test")).values["email_reply_count"] == 2


async def test_a_row_that_a_listing_overlooks_is_not_gone(outreach: Outreach) -> None:
    """It is looked up once more before anything is believed."""
    bench = outreach.bench
    first, _ = bench.campaigns
    hidden = outreach.of(first, "ada@x.test")
    outreach.store.reply(hidden.id)
    shelf = outreach.store.shelf_of(first.id)
    shelf.take(hidden.id, hidden.email)

    paths = await outreach.calls()

    assert paths.count("/leads/list") == 2
    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") == 0
    assert (await bench.lead("ada@x.test")).values["email_reply_count"] == 1


async def test_a_deleted_campaign_is_gone_with_its_rows_and_its_leads_stay(outreach: Outreach) -> None:
    bench, store = outreach.bench, outreach.store
    first = bench.campaigns[0]
    store.reply(outreach.of(first, "ada@x.test").id)
    await outreach.calls()
    store.delete(outreach.of(first, "ada@x.test").id)
    del store.campaigns[first.id]

    await outreach.calls()

    assert await bench.value("SELECT array_agg(remote_id) FROM campaign WHERE gone_at IS NOT NULL") == [first.id]
    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") == 1
    assert (await bench.lead("ada@x.test")).values["email_reply_count"] == 1
    assert await outreach.calls() == ["/campaigns", "/campaigns/analytics"]

    store.campaigns[first.id] = first
    await outreach.calls()
    assert await bench.value("SELECT count(*) FROM campaign WHERE gone_at IS NOT NULL") == 0


async def test_a_campaign_at_rest_is_read_again_after_a_while(outreach: Outreach) -> None:
    bench = outreach.bench
    outreach.store.set_interest(outreach.of(bench.campaigns[0], "ada@x.test").id, -3)
    await outreach.calls()
    status = "SELECT status FROM lead WHERE email = 'ada@x.test'"
    before = await bench.value(status)

    await bench.value("UPDATE campaign SET scanned_at = scanned_at - interval '6 hours' RETURNING 1")
    await outreach.calls()

    assert (before, await bench.value(status)) == ("contacted", "lost")


async def test_a_campaign_that_never_sent_is_always_read(outreach: Outreach) -> None:
    draft = outreach.store.add_campaign("Draft", status=0)
    await outreach.calls()
    outreach.store.add_lead(draft.id, email="new@x.test")

    await outreach.calls()

    assert (await outreach.bench.lead("new@x.test")).values["delivery_status"] == "not_yet_emailed"


async def test_a_full_sync_reads_every_campaign(outreach: Outreach) -> None:
    assert (await outreach.calls("full")).count("/leads/list") == 4  # each campaign's page, and the empty one after it


async def test_what_only_counts_does_not_stand_for_a_whole_reading(outreach: Outreach) -> None:
    """A refresh leaves names out, so the next delta reads the campaign all the same."""
    bench = outreach.bench
    outreach.add(bench.campaigns[0], "cy@x.test", first_name="Cy", company_name="Cyan")
    await outreach.calls("refresh")

    await outreach.calls()

    assert (await bench.lead("cy@x.test")).values["company_name"] == "Cyan"


async def test_without_counters_every_campaign_is_read(outreach: Outreach) -> None:
    """A plan or a key may not show them."""
    outreach.bench.world.instantly.sandbox.faults.add(Fault(kind="quota", count=1, path="/campaigns/analytics$"))

    assert (await outreach.run())["campaigns_due"] == 2


async def test_a_failed_listing_proves_nothing_and_goes_on_where_it_stopped(outreach: Outreach) -> None:
    bench, store = outreach.bench, outreach.store
    first, second = bench.campaigns
    for campaign in (first, second):
        for number in range(150):
            outreach.add(campaign, f"{campaign.name}{number}@x.test".lower())
    await outreach.calls()
    store.delete(outreach.of(first, "founders7@x.test").id)
    store.delete(outreach.of(second, "agencies7@x.test").id)
    # the account is refused in the middle, and a person lets it go on
    for fault in (Fault(kind="slow", count=3, path="/leads/list"), Fault(kind="quota", count=1, path="/leads/list")):
        bench.world.instantly.sandbox.faults.add(fault)
    await outreach.calls()
    assert (await bench.world.connection(outreach.connection)).state == "stopped"
    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") < 2

    await bench.value("UPDATE connection SET state = 'active' RETURNING 1")
    await outreach.calls()

    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") == 2
    assert await bench.value("SELECT count(*) FROM sweep_seen") == 0
