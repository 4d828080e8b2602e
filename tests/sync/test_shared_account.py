"""One Instantly account, several workspaces: a campaign is read by the one it belongs to, and by no other."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest

from app.db import accounts, connections, deliveries
from app.db.session import Database, DatabaseUnavailable, Tenant
from app.lab.sandboxes import KEY
from app.lab.world import World, make
from app.sync import adjust, inbox, write_back
from tests.conftest import Urls, execute
from tests.sync.conftest import Bench

ALL = {"campaign_ids": None, "pacing_seconds": 0}


async def joins(bench: Bench, config: dict[str, Any] | None = None, **secret: str) -> World:
    """Connects another workspace to the same account."""
    world = await make(bench.world.runtime, bench.world.airtable, bench.world.instantly)
    await world.connect("instantly", config or ALL, {"api_key": KEY} | secret, auto_approve=True)
    await world.settle()
    return world


async def value(world: World, sql: str, *args: Any) -> Any:
    async with world.transaction() as tx:
        return await tx.value(sql, *args)


async def emails(world: World) -> set[str]:
    """The leads a workspace has."""
    return set(await value(world, "SELECT coalesce(array_agg(email), '{}') FROM lead WHERE deleted_at IS NULL"))


async def account_of(bench: Bench) -> UUID:
    operator = Tenant(bench.world.tenant.workspace_id, "operator")
    async with bench.world.runtime.db.transaction(operator) as tx:
        (account,) = await accounts.every(tx)
        return UUID(str(account["id"]))


async def assign(bench: Bench, campaign: Any, world: World | None) -> accounts.Moved:
    """Does what an operator does."""
    account_id = await account_of(bench)
    workspace_id = None if world is None else world.tenant.workspace_id
    async with bench.world.runtime.db.transaction(Tenant(bench.world.tenant.workspace_id, "operator")) as tx:
        return await accounts.assign(tx, account_id, campaign.id, workspace_id, actor="operator")


async def reads(world: World) -> None:
    """Lets a workspace's connections read now."""
    async with world.transaction() as tx:
        await tx.run("UPDATE connection SET next_run_at = $2 WHERE workspace_id = $1", tx.workspace_id, tx.now)
    await world.settle()


def lead(bench: Bench, number: int, email: str) -> Any:
    return bench.world.instantly.store.add_lead(bench.campaigns[number].id, email=email)


async def test_an_account_of_one_workspace_alone_gives_it_everything(bench: Bench) -> None:
    lead(bench, 0, "a@x.test")
    await bench.instantly()
    bench.world.instantly.store.add_campaign("New there")
    lead(bench, 2, "c@x.test")
    await reads(bench.world)

    assert await emails(bench.world) == {"a@x.test", "c@x.test"}


async def test_what_the_first_has_taken_in_stays_with_it_and_the_second_reads_what_it_is_assigned(
    bench: Bench,
) -> None:
    lead(bench, 0, "a@x.test")
    await bench.instantly()
    lead(bench, 1, "b@x.test")  # nobody has read this campaign yet

    second = await joins(bench)
    await reads(bench.world)
    assert (await emails(bench.world), await emails(second)) == ({"a@x.test"}, set())

    lead(bench, 0, "more@x.test")
    await assign(bench, bench.campaigns[1], second)
    await bench.world.settle()
    assert await emails(second) == {"b@x.test"}
    await reads(bench.world)
    assert await emails(bench.world) == {"a@x.test", "more@x.test"}


async def test_the_same_key_with_another_webhook_secret_is_the_same_account(bench: Bench) -> None:
    lead(bench, 0, "a@x.test")
    await bench.instantly()

    second = await joins(bench, webhook_secret="theirs")

    assert await emails(second) == set()
    assert await value(bench.world, "SELECT count(*) FROM provider_account") == 1


async def test_a_campaign_that_nobody_is_assigned_waits(bench: Bench) -> None:
    await bench.instantly()
    second = await joins(bench)
    assert "until an operator assigns it a campaign" in await said(second)
    bench.world.instantly.store.add_campaign("Waits")
    lead(bench, 2, "w@x.test")

    for world in (bench.world, second):
        await reads(world)
        assert await emails(world) == set()

    await assign(bench, bench.campaigns[2], second)
    await second.settle()
    assert (await emails(bench.world), await emails(second)) == (set(), {"w@x.test"})
    assert "its campaigns can be read" in await said(second)


async def said(world: World) -> str:
    """What a test of a workspace's connection says."""
    async with world.transaction() as tx:
        (stored,) = await connections.every(tx)
        return await adjust.verdict(tx, stored, [])


async def test_an_account_stays_shared_when_the_last_assignment_and_the_second_workspace_are_gone(
    bench: Bench,
) -> None:
    await bench.instantly()
    await assign(bench, bench.campaigns[0], bench.world)
    await assign(bench, bench.campaigns[0], None)
    lead(bench, 0, "a@x.test")
    await reads(bench.world)

    assert await emails(bench.world) == set()


async def test_a_connection_reads_of_its_campaigns_those_it_is_assigned(bench: Bench) -> None:
    lead(bench, 0, "a@x.test")
    lead(bench, 1, "b@x.test")
    second = await joins(bench, ALL | {"campaign_ids": [bench.campaigns[0].id]})
    assert await emails(second) == {"a@x.test"}

    await assign(bench, bench.campaigns[1], second)
    await reads(second)

    assert await emails(second) == {"a@x.test"}


async def test_a_campaign_taken_away_leaves_its_leads_and_its_links_as_history(bench: Bench) -> None:
    kept, moved = lead(bench, 0, "both@x.test"), lead(bench, 1, "both@x.test")
    for row, opens in ((kept, 2), (moved, 3)):
        for _ in range(opens):
            bench.world.instantly.store.open(row.id)
    lead(bench, 1, "one@x.test")
    connection_id = await bench.instantly()
    assert (await bench.lead("both@x.test")).values["email_open_count"] == 5
    second = await joins(bench)

    told = await assign(bench, bench.campaigns[1], second)
    await second.settle()
    assert (told.former, told.ended) == (bench.world.tenant.workspace_id, 2)
    assert await emails(second) == {"both@x.test", "one@x.test"}
    for row in (kept, moved):
        bench.world.instantly.store.open(row.id)
    await reads(bench.world)
    await reads(second)

    # the first goes on with what it has: its own campaign's news, and what it knew of the other one
    assert await emails(bench.world) == {"both@x.test", "one@x.test"}
    assert (await bench.lead("both@x.test")).values["email_open_count"] == 6
    assert await value(second, "SELECT email_open_count FROM lead WHERE email = 'both@x.test'") == 4
    gone = "SELECT count(*) FROM link WHERE connection_id = $1 AND gone_at IS NOT NULL"
    assert await bench.value(gone, connection_id) == 2

    # given back, its links go on where they stood
    await assign(bench, bench.campaigns[1], bench.world)
    await bench.world.settle()
    assert (await bench.lead("both@x.test")).values["email_open_count"] == 7
    assert await bench.value(gone, connection_id) == 0
    assert await value(second, gone, await value(second, "SELECT id FROM connection")) == 2


async def test_one_address_in_two_workspaces_campaigns_is_two_leads(bench: Bench) -> None:
    lead(bench, 0, "a@x.test")
    await bench.instantly()
    lead(bench, 1, "A@x.test")
    second = await joins(bench)
    await assign(bench, bench.campaigns[1], second)
    await second.settle()

    ids = [await value(world, "SELECT id FROM lead") for world in (bench.world, second)]
    assert [await emails(world) for world in (bench.world, second)] == [{"a@x.test"}, {"a@x.test"}]
    assert ids[0] != ids[1]


def between(bench: Bench, path: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Does something once, after the first answer of a path and before anything of it is stored."""
    todo = [work]

    async def interrupt(response: httpx.Response) -> None:
        if response.request.url.path.endswith(path) and todo:
            await todo.pop()()

    bench.world.runtime.http.event_hooks = {"response": [interrupt]}


@pytest.mark.parametrize("goes_to", ["the other one", "nobody"])
async def test_what_was_asked_for_before_a_campaign_moved_is_not_stored(bench: Bench, goes_to: str) -> None:
    await bench.instantly()
    second = await joins(bench)
    await assign(bench, bench.campaigns[0], bench.world)
    await bench.world.settle()
    for number in range(150):
        lead(bench, 0, f"{number}@x.test")

    async def move() -> None:
        await assign(bench, bench.campaigns[0], second if goes_to == "the other one" else None)

    between(bench, "/leads/list", move)
    await reads(bench.world)
    assert await emails(bench.world) == set()
    position = "SELECT position FROM stream_cursor WHERE position IS NOT NULL"
    assert await bench.value(position) is None

    await lease_runs_out(bench.world.runtime.db, bench.world)
    await bench.world.settle()
    assert await emails(bench.world) == set()
    assert len(await emails(second)) == (150 if goes_to == "the other one" else 0)


async def lease_runs_out(db: Database, *worlds: World) -> None:
    for world in worlds:
        async with db.transaction(world.tenant) as tx:
            await tx.run("UPDATE connection SET lease_until = NULL WHERE workspace_id = $1", tx.workspace_id)


async def test_a_second_workspace_that_joins_while_the_first_lists_leaves_each_campaign_with_one_of_them(
    bench: Bench,
) -> None:
    lead(bench, 0, "a@x.test")
    lead(bench, 1, "b@x.test")
    await bench.world.connect("instantly", ALL, {"api_key": KEY}, auto_approve=True)
    others: list[World] = []

    async def join() -> None:
        world = await make(bench.world.runtime, bench.world.airtable, bench.world.instantly)
        await world.connect("instantly", ALL, {"api_key": KEY}, auto_approve=True)
        others.append(world)

    between(bench, "/leads/list", join)
    await bench.world.settle()
    await lease_runs_out(bench.world.runtime.db, bench.world, *others)
    await bench.world.settle()

    # nothing had been taken in yet, so everything waits for the operator
    assert [await emails(world) for world in (bench.world, *others)] == [set(), set()]


async def test_workspaces_do_not_assign_themselves_anything(bench: Bench) -> None:
    await bench.instantly()
    account_id = await account_of(bench)
    workspace_id = bench.world.tenant.workspace_id
    assert workspace_id is not None
    for role in ("admin", "system", "member"):
        tenant = Tenant(workspace_id, role)
        for work in (
            lambda tx: accounts.assign(tx, account_id, bench.campaigns[0].id, workspace_id, actor="x"),
            lambda tx: tx.run(
                "INSERT INTO campaign_assignment VALUES ($1, $2, $3)", account_id, bench.campaigns[0].id, workspace_id
            ),
            accounts.every,
            lambda tx: accounts.secret(tx, account_id),
            lambda tx: accounts.assignments(tx, account_id),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with bench.world.runtime.db.transaction(tenant) as tx:
                    await work(tx)


@pytest.mark.parametrize("how", ["paused", "disconnected"])
async def test_a_connection_that_has_no_say_still_counts(bench: Bench, how: str) -> None:
    there = lead(bench, 0, "a@x.test")
    bench.world.instantly.store.open(there.id)
    record = bench.row(email="a@x.test", title="x")
    both = await bench.airtable()
    reading = await bench.instantly()
    async with bench.world.transaction() as tx:
        await (adjust.pause(tx, reading, actor="me") if how == "paused" else adjust.remove(tx, reading, actor="me"))

    bench.edit_there(record, title="y")
    await bench.sync(both)

    assert [(await bench.lead("a@x.test")).values[name] for name in ("title", "email_open_count")] == ["y", 1]
    if how == "disconnected":
        bench.world.instantly.store.open(there.id)
        await bench.instantly()
        bench.edit_there(record, title="z")
        await bench.sync(both)
        assert [(await bench.lead("a@x.test")).values[name] for name in ("title", "email_open_count")] == ["z", 2]


async def test_deliveries_go_where_their_campaign_is_read_and_wait_where_it_waits(bench: Bench) -> None:
    await bench.instantly()
    second = await joins(bench)
    db, campaign = bench.world.runtime.db, bench.campaigns[0].id
    account_id = await account_of(bench)

    async def delivered(number: int) -> UUID | None:
        body = orjson.dumps({"event_type": "email_opened", "campaign_id": campaign, "n": number})
        row = deliveries.delivery(body, fingerprint=bench.world.runtime.vault.address, account_id=account_id, via="log")
        (kept,) = await deliveries.store(db, [row])
        assert kept is not None
        for world in (bench.world, second):
            if await value(world, "SELECT 1 FROM webhook_delivery WHERE id = $1", kept.id):
                return world.tenant.workspace_id
        return None

    assert await delivered(1) is None
    await assign(bench, bench.campaigns[0], second)
    assert await delivered(2) == second.tenant.workspace_id
    async with db.transaction(second.tenant) as tx:
        await adjust.remove(tx, await tx.value("SELECT id FROM connection"), actor="me")
    await assign(bench, bench.campaigns[0], None)
    # one workspace uses it and nothing is assigned, but it has been shared
    assert await delivered(3) is None


async def test_what_was_not_applied_or_sent_before_a_campaign_moved_goes_with_it_or_ends(bench: Bench) -> None:
    await bench.instantly()
    lead(bench, 0, "a@x.test")
    await reads(bench.world)
    second = await joins(bench)
    db, campaign = bench.world.runtime.db, bench.campaigns[0].id
    fingerprint = bench.world.runtime.vault.address

    async def delivered(number: int) -> UUID:
        said = {"event_type": "reply_received", "campaign_id": campaign, "lead_email": "a@x.test", "n": number}
        row = deliveries.delivery(
            orjson.dumps(said), fingerprint=fingerprint, account_id=await account_of(bench), via="log"
        )
        (kept,) = await deliveries.store(db, [row])
        assert kept is not None
        return kept.id

    early, late = await delivered(1), await delivered(2)
    async with db.transaction(bench.world.tenant) as tx:
        assert len(
            await write_back.ask(tx, await tx.value("SELECT id FROM lead"), "remove", campaign_id=None, actor="x")
        )
        # a delivery that was being stored while the campaign moved
        await tx.run("UPDATE webhook_delivery SET state = 'parked' WHERE id = $1", late)
    await assign(bench, bench.campaigns[0], second)
    async with db.transaction(bench.world.tenant) as tx:
        await tx.run("UPDATE webhook_delivery SET state = 'received' WHERE id = $1", late)

    await inbox.apply(db, bench.world.tenant, [early, late], fingerprint=fingerprint)
    await bench.world.settle()

    assert await bench.value("SELECT status FROM lead") == "new"
    assert await bench.value("SELECT state || ': ' || error FROM outreach_request") == (
        "failed: The campaign is no longer this workspace's."
    )
    assert "a@x.test" in {row.email for row in bench.world.instantly.store.leads.values()}
    await inbox.apply(db, second.tenant, [early, late], fingerprint=fingerprint)
    assert await value(second, "SELECT status FROM lead") == "replied"


async def test_however_campaigns_move_while_they_are_read_each_has_one_reader(bench: Bench, urls: Urls) -> None:
    """Two workers read and campaigns change hands all the time; no campaign has live links in two workspaces."""
    for number in range(2):
        for one in range(30):
            lead(bench, number, f"{one}@{number}.test")
    await bench.instantly()
    second = await joins(bench)
    rng, worlds, stopped = random.Random(7), (bench.world, second), False

    async def slow(_: httpx.Response) -> None:
        await asyncio.sleep(rng.random() * 0.03)

    bench.world.runtime.http.event_hooks = {"response": [slow]}

    async def keep_reading(world: World) -> None:
        while not stopped:
            # on a busy machine turns that overlap may keep it locked for longer than a request waits
            with contextlib.suppress(DatabaseUnavailable):
                async with world.transaction() as tx:
                    await tx.run(
                        "UPDATE connection SET next_run_at = $2 WHERE workspace_id = $1", tx.workspace_id, tx.now
                    )
            await world.worker.tick()
            await asyncio.sleep(0.01)

    readers = [asyncio.create_task(keep_reading(world)) for world in worlds]
    seen: set[tuple[Any, ...]] = set()
    owner, shared, moves = await asyncpg.connect(urls.owner), [], 0
    try:
        while (moves := moves + 1) < 25 or (len(seen) < 4 and moves < 300):
            await assign(bench, rng.choice(bench.campaigns), rng.choice((*worlds, None)))
            # a worker that has lost its lease is still at it when the next one begins
            with contextlib.suppress(DatabaseUnavailable):
                await lease_runs_out(bench.world.runtime.db, *worlds)
            for _ in range(4):
                rows = await owner.fetch(LIVE)
                shared += [row["campaign"] for row in rows if len(row["readers"]) > 1]
                seen |= {(row["campaign"], *row["readers"]) for row in rows}
                await asyncio.sleep(rng.random() * 0.03)
    finally:
        stopped = True
        await asyncio.gather(*readers)
        for world in worlds:
            await world.worker.stop()
        await owner.close()

    assert shared == []
    assert len(seen) == 4, "each workspace reads each campaign at some time"


LIVE = (
    "SELECT split_part(remote_key, '/', 1) AS campaign, array_agg(DISTINCT workspace_id) AS readers FROM link"
    " WHERE gone_at IS NULL GROUP BY 1"
)


async def test_what_a_turn_finds_for_others_it_does_not_count(bench: Bench, urls: Urls) -> None:
    await bench.instantly()
    second = await joins(bench)
    await assign(bench, bench.campaigns[1], second)
    await second.settle()
    there = bench.world.instantly.store
    there.reply(lead(bench, 1, "b@x.test").id)
    await execute(urls.owner, "UPDATE account_watch SET mails_looked_at = NULL")
    await reads(bench.world)

    assert await value(second, "SELECT count(*) FROM webhook_delivery WHERE via = 'mail'") == 1
    assert await bench.value("SELECT coalesce(sum((counters -> 'replies_found')::int), 0) FROM sync_run") == 0
