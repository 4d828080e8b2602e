"""The inbox in the database: each delivery once, whose it is, and who may see it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from app.db import accounts, connections, deliveries, workspaces
from app.db.connections import WebhookSecretTaken
from app.db.deliveries import Delivery, Outcome, Stored
from app.db.ids import new_id
from app.db.session import NOBODY, Database, Tenant
from app.providers.answers import parse_json
from app.vault import webhook_hash
from tests.conftest import Urls, execute

#: Fixed, because they name cases.
CAMPAIGN, OTHER = "4ea90000-0000-4000-8000-000000000002", "5ea90000-0000-4000-8000-000000000003"


@pytest.fixture
async def account(db: Database) -> UUID:
    """An account whose deliveries show the secret "one"."""
    return await an_account(db, b"one")


async def an_account(db: Database, secret: bytes) -> UUID:
    async with db.transaction() as tx:
        account_id = await connections.account(tx, "instantly", secret.hex(), b"sealed", new_id())
        assert await connections.give_webhook_secret(tx, account_id, b"sealed too", webhook_hash(secret))
    return account_id


async def connected(db: Database, account: UUID) -> Tenant:
    """Returns a workspace that uses an account."""
    tenant = Tenant(await workspaces.create(db))
    async with db.transaction(tenant) as tx:
        await accounts.join(tx, account)
        await connections.add(
            tx, {"id": new_id(), "account_id": account, "provider": "instantly", "name": "I", "target": "instantly:x"}
        )
    return tenant


def told(content: Any, *, path: str | None = CAMPAIGN, secret: bytes | None = b"one", **given: Any) -> Delivery:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    secret_hash = None if secret is None else webhook_hash(secret)
    return deliveries.delivery(body, fingerprint=str.encode, secret_hash=secret_hash, path=path, **given)


async def stored(db: Database, *rows: Delivery) -> list[Stored]:
    found = await deliveries.store(db, rows)
    assert None not in found
    return [row for row in found if row is not None]


async def rows(urls: Urls, what: str = "*") -> list[Any]:
    connection = await asyncpg.connect(urls.owner)
    found = await connection.fetch(f"SELECT {what} FROM webhook_delivery ORDER BY id")
    await connection.close()
    return list(found)


async def test_a_delivery_is_kept_once_however_often_and_by_whichever_way_it_comes(
    db: Database, account: UUID, urls: Urls
) -> None:
    tenant = await connected(db, account)
    again = told({"b": 1, "a": 2}, secret=None, account_id=account, via="log")

    first, same, other = await stored(db, told({"a": 2, "b": 1}), told(b'{"b": 1, "a": 2}'), told({"a": 3}))
    (later,) = await stored(db, again)

    assert (first.is_new, same, later) == (True, Stored(first.id, False), Stored(first.id, False))
    assert other.is_new
    assert [row["state"] for row in await rows(urls)] == ["received", "received"]
    assert await deliveries.due(db, 1) == [(tenant.workspace_id, [first.id])]


@pytest.mark.parametrize(
    "body",
    [rb'{"t": "cut \ud83d"}', rb'{"t": "a\u0000b"}', b'{"b": 1.0, "a": "\xc3\xa9"}'],
)
async def test_what_the_providers_log_shows_of_a_delivery_is_that_delivery(
    db: Database, account: UUID, body: bytes
) -> None:
    (first,) = await stored(db, told(body))
    logged = parse_json(b'[{"payload": ' + body + b"}]")[0]["payload"]

    (again,) = await stored(db, told(orjson.dumps(logged), secret=None, account_id=account, via="log"))

    assert again == Stored(first.id, False)


async def test_groups_that_hold_the_same_deliveries_do_not_block_each_other(db: Database, account: UUID) -> None:
    await connected(db, account)
    many = [told({"n": n}) for n in range(60)]

    groups = await asyncio.gather(*(deliveries.store(db, many[::way]) for way in (1, -1) * 6))

    assert sum(row.is_new for group in groups for row in group if row) == 60


async def test_only_a_secret_nobody_has_is_refused_and_nothing_is_kept_of_it(
    db: Database, account: UUID, urls: Urls
) -> None:
    two = await an_account(db, b"two")

    refused, *kept = await deliveries.store(db, [told(b"{}", secret=b"three"), told(b"{}"), told(b"{}", secret=b"two")])

    assert refused is None
    assert [row is not None and row.is_new for row in kept] == [True, True]
    assert {row["account_id"] for row in await rows(urls)} == {account, two}


@pytest.mark.parametrize(
    ("path", "payload", "campaign"),
    [
        (CAMPAIGN, {}, CAMPAIGN),
        (CAMPAIGN.upper(), {}, CAMPAIGN),
        ("no-uuid", {"campaign": CAMPAIGN, "campaign_id": "Acme"}, CAMPAIGN),
        ("no-uuid", {"campaign": "Spring", "campaign_id": CAMPAIGN}, CAMPAIGN),
        (OTHER, {"campaign": CAMPAIGN}, CAMPAIGN),
        (OTHER, {"campaign": "known", "campaign_id": CAMPAIGN}, "known"),
        (OTHER, {}, OTHER),
        ("no-uuid", {}, None),
    ],
)
async def test_the_campaign_is_the_first_one_the_account_has_else_the_first_uuid(
    db: Database, account: UUID, urls: Urls, path: str, payload: dict[str, str], campaign: str | None
) -> None:
    tenant = await connected(db, account)
    async with db.transaction(tenant) as tx:
        await tx.run(
            "INSERT INTO campaign (workspace_id, id, connection_id, remote_id, name)"
            " SELECT $1, gen_random_uuid(), c.id, r, r FROM connection c, unnest($2::text[]) AS r",
            tx.workspace_id, [CAMPAIGN, "known"],
        )  # fmt: skip

    await stored(db, told(payload, path=path))

    assert (await rows(urls))[0]["campaign_id"] == campaign


async def test_of_an_account_that_serves_many_an_assignment_says_whose_a_delivery_is(
    db: Database, account: UUID, urls: Urls
) -> None:
    mine, other = await connected(db, account), await connected(db, account)
    (waits,) = await stored(db, told({"n": 1}))
    (lost,) = await stored(db, told({"n": 2}, path=OTHER))
    async with db.transaction(Tenant(None, "operator")) as tx:
        waiting = [(row["campaign_id"], row["deliveries"]) for row in await deliveries.unrouted(tx)]
    async with db.transaction(mine) as tx:
        assert await deliveries.load(tx, [waits.id]) == []
        assert await deliveries.unrouted(tx) == []
        assert await deliveries.route(tx, account) == 0
    async with db.transaction(Tenant(None, "operator")) as tx:
        await accounts.assign(tx, account, CAMPAIGN, mine.workspace_id, actor="ops@service.test")
        assert await deliveries.route(tx, account, CAMPAIGN) == 1
    (direct,) = await stored(db, told({"n": 3}))

    assert sorted(waiting) == sorted([(CAMPAIGN, 1), (OTHER, 1)])
    assert {row["id"]: (row["workspace_id"], row["state"]) for row in await rows(urls)} == {
        waits.id: (mine.workspace_id, "received"),
        direct.id: (mine.workspace_id, "received"),
        lost.id: (None, "unrouted"),
    }
    async with db.transaction(other) as tx:
        assert await deliveries.load(tx, [waits.id]) == []


async def test_nobody_waits_behind_a_workspace_with_a_flood(db: Database, account: UUID) -> None:
    flood, quiet = await connected(db, account), await connected(db, await an_account(db, b"two"))
    await stored(db, *(told({"n": n}) for n in range(5)))
    await stored(db, told({"n": 9}, secret=b"two"))

    found = dict(await deliveries.due(db, 3))

    assert {workspace: len(ids) for workspace, ids in found.items()} == {flood.workspace_id: 3, quiet.workspace_id: 1}


async def test_a_delivery_that_cannot_be_applied_is_tried_less_and_less_often_and_then_set_aside(
    db: Database, account: UUID
) -> None:
    tenant = await connected(db, account)
    (delivery,) = await stored(db, told({}))
    waits = []
    for _ in range(deliveries.ATTEMPTS):
        async with db.transaction(tenant) as tx:
            state = await deliveries.failed(tx, delivery.id, "it does not work\x00")
            row = await tx.one(
                "SELECT attempts, reason, next_attempt_at - $1::timestamptz AS w FROM webhook_delivery", tx.now
            )
            waits.append(row["w"].total_seconds() if row["w"] else None)
        assert await deliveries.due(db, 5) == []

    assert (state, row["attempts"]) == ("failed", deliveries.ATTEMPTS)
    assert waits == [5, 10, 20, 40, 80, None]


async def test_what_is_parked_waits_for_its_address(db: Database, account: UUID) -> None:
    tenant = await connected(db, account)
    ada, eve = await stored(db, told({"lead_email": "ada@acme.test"}), told({"email": "eve@acme.test"}))
    async with db.transaction(tenant) as tx:
        await deliveries.settle(tx, [Outcome(i, "parked", "no such lead") for i in (ada.id, eve.id)])
        assert await deliveries.unpark(tx, [b"ada@acme.test"]) == 1
    assert await deliveries.due(db, 5) == [(tenant.workspace_id, [ada.id])]


async def test_what_is_parked_until_a_time_is_due_then(db: Database, account: UUID) -> None:
    tenant = await connected(db, account)
    now, later = await stored(db, told({"n": 1}), told({"n": 2}))
    async with db.transaction(tenant) as tx:
        soon = timedelta(seconds=-1), timedelta(hours=1)
        await deliveries.settle(
            tx, [Outcome(s.id, "parked", "wait", None, tx.now + at) for s, at in zip((now, later), soon, strict=True)]
        )

    assert await deliveries.due(db, 5) == [(tenant.workspace_id, [now.id])]


async def test_bodies_are_forgotten_after_their_days_but_never_before_they_are_applied(
    db: Database, account: UUID, urls: Urls
) -> None:
    tenant = await connected(db, account)
    old, new, waits = await stored(db, told({"n": 1}), told({"n": 2}), told({"n": 3}))
    async with db.transaction(tenant) as tx:
        await deliveries.settle(tx, [Outcome(i, "applied") for i in (old.id, new.id)])
        await tx.run(
            "UPDATE webhook_delivery SET received_at = $1::timestamptz - interval '31 days' WHERE id <> $2",
            tx.now,
            new.id,
        )
        assert await deliveries.forget(tx) == 0
    await execute(
        urls.owner, f"UPDATE workspace SET settings = '{{\"delivery_days\": 30}}' WHERE id = '{tenant.workspace_id}'"
    )
    async with db.transaction(tenant) as tx:
        assert await deliveries.forget(tx) == 1
        assert await deliveries.forget(tx) == 0
        kept = {row.id: row.body for row in await deliveries.load(tx, [old.id, new.id, waits.id])}

    assert kept == {old.id: None, new.id: b'{"n":2}', waits.id: b'{"n":3}'}


@pytest.mark.parametrize(("role", "seen"), [("viewer", 0), ("cron", 0), ("member", 1), ("admin", 1)])
async def test_only_who_works_leads_may_read_others_mail(db: Database, account: UUID, role: Any, seen: int) -> None:
    tenant, other = await connected(db, account), Tenant(await workspaces.create(db), "admin")
    await stored(db, told({}))

    for who, count in ((Tenant(tenant.workspace_id, role), seen), (other, 0), (NOBODY, 0)):
        async with db.transaction(who) as tx:
            assert await tx.value("SELECT count(*) FROM webhook_delivery") == count


async def test_an_account_keeps_its_webhook_secret_unless_somebody_chooses_another(db: Database, account: UUID) -> None:
    await an_account(db, b"two")
    async with db.transaction() as tx:
        assert not await connections.give_webhook_secret(tx, account, b"s", webhook_hash(b"made up"))
    assert await deliveries.store(db, [told(b"{}")]) != [None]

    async with db.transaction() as tx:
        assert await connections.give_webhook_secret(tx, account, b"s", webhook_hash(b"chosen"), replaces=True)
    before, now = await deliveries.store(db, [told(b"1"), told(b"1", secret=b"chosen")])
    assert before is None
    assert now is not None
    with pytest.raises(WebhookSecretTaken):
        async with db.transaction() as tx:
            await connections.give_webhook_secret(tx, account, b"s", webhook_hash(b"two"), replaces=True)


async def test_what_is_done_often_never_reads_the_whole_inbox(db: Database, account: UUID, urls: Urls) -> None:
    tenant = await connected(db, account)
    (known,) = await stored(db, told({"n": 0}))
    await execute(
        urls.owner,
        "INSERT INTO webhook_delivery (id, account_id, workspace_id, received_at, body, dedupe_key, state, event_type)"
        f" SELECT gen_random_uuid(), '{account}', '{tenant.workspace_id}', now() - n * interval '1 minute', 'x',"
        " int4send(n), 'applied', 'email_sent' FROM generate_series(1, 20000) AS n",
        "VACUUM ANALYZE webhook_delivery",
    )

    async def scans() -> int:
        connection = await asyncpg.connect(urls.owner)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        found = await connection.fetchval("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'webhook_delivery'")
        await connection.close()
        return int(found)

    fresh = await Database.open(urls.app)
    before = await scans()
    for number in range(8):
        # often enough for a plan that suits every value
        await deliveries.store(fresh, [told({"n": 0}), told({"n": number + 1})])
        await deliveries.due(fresh, 10)
        async with fresh.transaction(tenant) as tx:
            await deliveries.route(tx)
            await deliveries.load(tx, [known.id])
            await deliveries.settle(tx, [deliveries.Outcome(known.id, "applied")])
            await deliveries.replay(tx, deliveries.Chosen(id=known.id))
            await deliveries.unpark(tx, [b"nobody"])
            await deliveries.forget(tx, 5)
            rows = await deliveries.page(tx, deliveries.Chosen(), 50)
            await deliveries.page(tx, deliveries.Chosen(state="applied"), 50, (rows[-1]["received_at"], rows[-1]["id"]))
            await tx.run("SELECT pg_stat_force_next_flush()")
    await fresh.close()

    assert await scans() == before
