"""Statistics of campaigns: kept as the provider tells them, and not touched where it tells the same again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.db import runs
from app.sandbox.core import Fault, MovableClock

from .conftest import Bench

#: the clock of the sandbox and of the database
TODAY = MovableClock().now().date()


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


class Past:
    """Campaigns that sent a mail on some days."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.store = bench.world.instantly.store
        self.connection = UUID(int=0)

    def lived(self, campaign: Any, days: list[date]) -> Any:
        lead = self.store.add_lead(campaign.id, email=f"{campaign.id[:8]}@x.test")
        for day in days:
            self.store.send(lead.id, at=noon(day))
        return lead

    async def run(self, kind: str = "delta", **options: Any) -> dict[str, int]:
        """Runs the connection and returns what the run counted."""
        async with self.bench.world.transaction() as tx:
            run_id = await runs.queue(tx, self.connection, kind, "test", options=options)
        await self.bench.world.settle()
        async with self.bench.world.transaction() as tx:
            run = await runs.get(tx, run_id)
        assert run["state"] == "done", run["error"]
        return dict(run["counters"])

    async def hours_pass(self, hours: int) -> None:
        await self.bench.value(f"UPDATE campaign SET analysed_at = analysed_at - interval '{hours} hours' RETURNING 1")

    async def rows(self) -> list[tuple[Any, ...]]:
        """Every row of statistics with the version it has in the database."""
        async with self.bench.world.transaction() as tx:
            days = await tx.all("SELECT xmin::text, ctid::text, d.* FROM campaign_day d ORDER BY campaign_id, day")
            totals = await tx.all("SELECT xmin::text, ctid::text, o.* FROM campaign_overview o ORDER BY campaign_id")
        return [tuple(row) for row in (*days, *totals)]


@pytest.fixture
async def past(bench: Bench) -> Past:
    """The first campaign sent 200, 80 and 3 days ago; the other one never."""
    past = Past(bench)
    past.lived(bench.campaigns[0], [TODAY - timedelta(days=ago) for ago in (200, 80, 3)])
    past.connection = await bench.instantly(auto_approve=True)
    return past


async def test_a_turn_reads_the_last_90_days_and_the_whole_time(past: Past) -> None:
    await past.run()

    assert await past.bench.value("SELECT array_agg(day ORDER BY day) FROM campaign_day") == [
        TODAY - timedelta(days=80),
        TODAY - timedelta(days=3),
    ]
    assert await past.bench.value("SELECT sum(sent) FROM campaign_day") == 2
    totals = "SELECT array_agg((counts ->> 'sent')::int ORDER BY counts ->> 'sent' DESC) FROM campaign_overview"
    assert await past.bench.value(totals) == [3, 0]


async def test_a_backfill_reads_what_is_older_and_again_changes_nothing(past: Past) -> None:
    await past.run()
    counted = await past.run("analytics", days=365)
    assert counted["statistics_changed"] == 1
    assert await past.bench.value("SELECT min(day) FROM campaign_day") == TODAY - timedelta(days=200)
    before = await past.rows()

    again = await past.run("analytics", days=365)

    assert (again.get("statistics_changed"), again["campaigns_analysed"]) == (None, 2)
    assert await past.rows() == before


async def test_a_day_the_provider_corrects_is_corrected_here(past: Past) -> None:
    await past.run()
    analytics, campaign = past.bench.world.instantly.analytics, past.bench.campaigns[0]
    analytics.correct(campaign.id, TODAY - timedelta(days=80), sent=7, unique_opened=2)
    await past.hours_pass(1)

    counted = await past.run()

    day = "SELECT (sent, unique_opened)::text FROM campaign_day WHERE day = $1"
    assert await past.bench.value(day, TODAY - timedelta(days=80)) == "(7,2)"
    # that day, and the totals; the other campaign's counters rest
    assert (counted["statistics_changed"], counted["campaigns_analysed"]) == (2, 1)


async def test_a_day_of_which_nothing_is_told_any_more_is_removed(past: Past) -> None:
    await past.run()
    day = TODAY - timedelta(days=5)
    await past.bench.value(
        "INSERT INTO campaign_day (workspace_id, campaign_id, day, sent) SELECT workspace_id, campaign_id, $1, 1"
        " FROM campaign_day LIMIT 1 RETURNING 1",
        day,
    )
    await past.hours_pass(6)

    await past.run()

    assert await past.bench.value("SELECT count(*) FROM campaign_day WHERE day = $1", day) == 0


async def test_statistics_are_read_once_an_hour_at_most_and_at_rest_every_six(past: Past) -> None:
    await past.run()
    (lead,) = past.store.leads
    past.store.open(lead)

    assert "campaigns_analysed" not in await past.run()
    await past.hours_pass(1)
    assert (await past.run())["campaigns_analysed"] == 1
    await past.hours_pass(4)
    assert "campaigns_analysed" not in await past.run()
    await past.hours_pass(6)
    assert (await past.run())["campaigns_analysed"] == 2


@pytest.mark.parametrize("kind", ["quota", "iterator"])
async def test_leads_are_read_also_where_statistics_are_not(past: Past, kind: Any) -> None:
    past.store.reply(past.lived(past.bench.campaigns[1], [TODAY]).id)
    await past.hours_pass(6)
    past.bench.world.instantly.sandbox.faults.add(Fault(kind=kind, path="/analytics/(daily|overview)"))

    counted = await past.run()

    assert counted["analytics_failed"] == 1
    assert await past.bench.value("SELECT count(*) FROM lead WHERE status = 'replied'") == 1
    assert (await past.bench.world.connection(past.connection)).state == "active"


async def test_a_backfill_that_is_refused_says_so_and_stops_nothing(past: Past) -> None:
    past.bench.world.instantly.sandbox.faults.add(Fault(kind="quota", path="/analytics/overview"))
    async with past.bench.world.transaction() as tx:
        run_id = await runs.queue(tx, past.connection, "analytics", "test", options={"days": 365})
    await past.bench.world.settle()

    async with past.bench.world.transaction() as tx:
        run = await runs.get(tx, run_id)
    assert (run["state"], "subscription" in run["error"]) == ("failed", True)
    assert (await past.bench.world.connection(past.connection)).state == "active"


async def test_a_year_of_fifty_campaigns_is_backfilled(bench: Bench) -> None:
    past = Past(bench)
    days = [TODAY - timedelta(days=ago) for ago in range(365)]
    every = [*bench.campaigns, *(past.store.add_campaign(f"Campaign {number}") for number in range(48))]
    for campaign in every:
        past.lived(campaign, days[:1])
        for day in days[1:]:
            bench.world.instantly.analytics.correct(campaign.id, day, sent=1)
    past.connection = await bench.instantly(auto_approve=True)

    await past.run("analytics", days=365)

    assert await bench.value("SELECT count(*) FROM campaign_day WHERE sent = 1") == 50 * 365
    assert await bench.value("SELECT count(*) FROM campaign_overview WHERE counts @> '{\"sent\": 365}'") == 50
    before = await past.rows()
    await past.run("analytics", days=365)
    assert await past.rows() == before
