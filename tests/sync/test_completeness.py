"""Instantly's own log against the inbox: what it missed is taken from the log, and what nobody can know is said."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any
from uuid import UUID

import pytest

from app.db import accounts
from app.db.session import Tenant
from app.lab.sandboxes import KEY
from app.lab.world import World, make
from app.sync import completeness
from app.sync.ask import NothingToSync
from tests.sync.conftest import Bench, Wired

QUARTER = 15 * 60.0
HOUR = 3600.0


async def today(world: World, bench: Bench) -> dict[str, Any]:
    async with world.transaction() as tx:
        return await completeness.of_day(tx, bench.clock.now().astimezone(UTC).date())


def numbers(found: dict[str, Any]) -> tuple[int, int, int, int]:
    return found["logged"], found["received"], found["recovered"], found["missing"]


@pytest.fixture
async def connection(wired: Wired) -> UUID:
    """A connection at the begin of a day, with a lead in each campaign and a hook."""
    bench = wired.bench
    for campaign in bench.campaigns:
        bench.world.instantly.store.add_lead(campaign.id, email="ann@berg.test")
    now = bench.clock.now().astimezone(UTC)
    bench.clock.advance(86_400 - (now.hour * 3600 + now.minute * 60 + now.second) + 60)
    connection = await bench.instantly()
    await wired.pass_time(QUARTER)
    return connection


def act(bench: Bench, *, campaign: int = 0, times: int = 1) -> None:
    row = bench.world.instantly.store.find(bench.campaigns[campaign].id, "ann@berg.test")
    assert row is not None
    for _ in range(times):
        bench.clock.advance(1)
        bench.world.instantly.store.open(row.id)


async def test_what_the_log_has_and_the_inbox_has_not_is_taken_from_the_log_once(
    wired: Wired, connection: UUID
) -> None:
    bench = wired.bench
    bench.world.instantly.switches.duplicate_rate = 1.0
    act(bench, times=3)
    await wired.pass_time(60)
    wired.is_away = True
    bench.world.instantly.switches.duplicate_rate = 0.0
    act(bench, times=130)
    await wired.pass_time(600)
    wired.is_away = False
    await wired.pass_time(HOUR)

    found = await today(bench.world, bench)
    assert numbers(found) == (133, 3, 130, 0)
    assert found["checked_at"] is not None
    assert await bench.value("SELECT count(*) FROM webhook_delivery WHERE via = 'log'") == 130
    calls = len(bench.world.instantly.sandbox.calls)
    await wired.pass_time(HOUR)

    assert numbers(await today(bench.world, bench)) == (133, 3, 130, 0)
    asked = [call.path for call in bench.world.instantly.sandbox.calls[calls:] if "webhook-events" in call.path]
    assert asked == ["/api/v2/webhook-events/summary-by-date"]


@pytest.mark.parametrize("is_logged", [True, False], ids=["logged", "not logged"])
async def test_an_hour_without_a_hook_is_complete_where_the_log_went_on_and_else_unknown_but_read_again(
    wired: Wired, connection: UUID, is_logged: bool
) -> None:
    bench = wired.bench
    there = bench.world.instantly
    there.switches.log_while_disabled = is_logged
    there.deliveries.hooks.disable(wired.hooks[0], bench.clock.now())
    bench.clock.advance(300)
    act(bench, times=5)
    bench.clock.advance(HOUR)
    await wired.pass_time(QUARTER)
    await wired.pass_time(HOUR)

    found = await today(bench.world, bench)
    assert found["missing"] == 0
    gap = [span for span in found["unknown"] if "gave the webhook up" in span["why"]]
    if is_logged:
        assert (numbers(found), gap) == ((5, 0, 5, 0), [])
    else:
        assert numbers(found) == (0, 0, 0, 0)
        (span,) = gap
        assert HOUR < (span["to"] - span["from"]).total_seconds() < HOUR + 2 * QUARTER
    assert (await bench.lead("ann@berg.test")).values["email_open_count"] == 5


async def test_each_workspace_counts_its_own_deliveries_alone(wired: Wired, connection: UUID) -> None:
    bench = wired.bench
    other = await make(bench.world.runtime, bench.world.airtable, bench.world.instantly)
    await other.connect("instantly", {"campaign_ids": None, "pacing_seconds": 0}, {"api_key": KEY}, auto_approve=True)
    await other.settle()
    async with bench.world.transaction() as tx:
        account = await tx.value("SELECT account_id FROM connection WHERE id = $1", connection)
    operator = Tenant(bench.world.tenant.workspace_id, "operator")
    async with bench.world.runtime.db.transaction(operator) as tx:
        await accounts.assign(tx, account, bench.campaigns[1].id, other.tenant.workspace_id, actor="operator")
    act(bench, campaign=0, times=2)
    await wired.pass_time(10)
    wired.is_away = True
    act(bench, campaign=1, times=3)
    await wired.pass_time(600)
    wired.is_away = False
    await wired.pass_time(HOUR)

    assert numbers(await today(bench.world, bench)) == (2, 2, 0, 0)
    assert numbers(await today(other, bench)) == (3, 0, 3, 0)


async def test_a_day_is_compared_on_request_and_a_log_that_cannot_be_read_is_said(
    wired: Wired, connection: UUID
) -> None:
    bench = wired.bench
    day = bench.clock.now().astimezone(UTC).date()
    act(bench)
    await wired.pass_time(1)

    async def request(of: date) -> Any:
        async with bench.world.transaction() as tx:
            return await completeness.request(tx, of, actor="ada")

    first, again = await request(day), await request(day)
    assert first["id"] == again["id"]
    await bench.world.settle()
    assert numbers(await today(bench.world, bench)) == (1, 1, 0, 0)

    before = await request(date(2020, 1, 1))
    bench.world.instantly.store.add_key(KEY, scopes=["leads:read", "campaigns:read", "workspaces:read"])
    await bench.world.settle()
    async with bench.world.transaction() as tx:
        found = await completeness.of_day(tx, date(2020, 1, 1))
        assert await tx.value("SELECT state FROM sync_run WHERE id = $1", before["id"]) == "done"
    (span,) = found["unknown"]
    assert "webhook_events:read" in span["why"]
    assert await bench.value("SELECT state FROM connection") == "active"


async def test_a_failed_attempt_without_its_content_is_missing_and_its_time_is_unknown(
    wired: Wired, connection: UUID
) -> None:
    bench = wired.bench
    wired.is_away = True
    act(bench, times=2)
    await wired.pass_time(600)
    wired.is_away = False
    rows = list(bench.world.instantly.deliveries.log.rows.values())
    first = rows[0].payload
    for row in rows:
        if row.payload == first:
            row.payload = {}
    await wired.pass_time(HOUR)

    found = await today(bench.world, bench)
    assert (found["logged"], found["recovered"]) == (1, 1)
    assert found["missing"] > 0
    assert "no longer has them" in str(found["unknown"])


async def test_nothing_is_known_before_anybody_has_looked(bench: Bench) -> None:
    async with bench.world.transaction() as tx:
        with pytest.raises(NothingToSync):
            await completeness.request(tx, date(2026, 3, 2), actor="ada")
        nobody = await completeness.of_day(tx, date(2026, 3, 2))
    await bench.instantly()
    async with bench.world.transaction() as tx:
        found = await completeness.of_day(tx, date(2026, 3, 2))

    assert (nobody["unknown"], nobody["checked_at"]) == ([], None)
    assert (found["checked_at"], [span["why"] for span in found["unknown"]]) == (
        None,
        ["The delivery log of this day has not been looked at."],
    )
