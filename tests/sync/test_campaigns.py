"""Campaigns: only those that moved are read again, and a row that is gone is noticed and still counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from app.db import runs

from .conftest import Bench

pytestmark = pytest.mark.asyncio


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
        async with self.bench.world.runtime.db.transaction(self.bench.world.tenant) as tx:
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
