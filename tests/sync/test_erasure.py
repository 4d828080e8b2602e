"""Erasing a person: nothing is left of them in any table, and no sync brings them back unasked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.db import deliveries, erasure, idempotency, leads, requests, reviews, workspaces
from app.db.ids import new_id
from app.db.session import Database, Tenant
from app.sync import edit, erase, inbox, merge, past, write_back
from app.sync.bulk import Operation
from app.sync.bulk import run as bulk
from app.sync.canonical import canonical
from tests.conftest import Urls
from tests.sync.conftest import Bench

#: How many locks are waited for by transactions of this database.
WAITING = (
    "SELECT count(*) FROM pg_locks w WHERE NOT w.granted AND EXISTS (SELECT FROM pg_locks l JOIN pg_database d"
    " ON d.oid = l.database WHERE l.pid = w.pid AND d.datname = current_database())"
)
TEXT_TYPES = {"text", "character varying", "jsonb", "json", "bytea", "tsvector", "ARRAY", "xml", "name", "character"}


async def catalogue(urls: Urls) -> set[tuple[str, str]]:
    """Returns every column that can hold text."""
    connection = await asyncpg.connect(urls.owner)
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    )
    await connection.close()
    return {(row["table_name"], row["column_name"]) for row in rows if row["data_type"] in TEXT_TYPES}


async def told(urls: Urls, word: str) -> set[str]:
    """Returns the tables in which some row says a word, in text or in bytes."""
    connection = await asyncpg.connect(urls.owner)
    tables = [
        r["tablename"] for r in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    found = set()
    for table in tables:
        for (row,) in await connection.fetch(f'SELECT lower(t::text) FROM "{table}" AS t'):
            if word in row or word.encode().hex() in row:
                found.add(table)
    await connection.close()
    return found


async def test_every_column_that_can_hold_text_is_erased_or_holds_nothing_about_a_lead(urls: Urls) -> None:
    kept = {(table, column) for table, columns in erasure.KEPT.items() for column in columns.split()}
    found = await catalogue(urls)

    unknown = {(table, column) for table, column in found if table not in erasure.ERASED} - kept
    assert not unknown, f"Say in app/db/erasure.py what a lead's erasure does with {sorted(unknown)}."
    assert not kept - found, "These columns are gone: take them out of app/db/erasure.py."
    assert not erasure.ERASED & erasure.KEPT.keys()
    assert {table for table, _ in found} >= erasure.ERASED


async def test_what_refers_to_a_lead_goes_with_it(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.owner)
    rows = await connection.fetch(
        "SELECT conrelid::regclass::text AS t, confdeltype::text AS how FROM pg_constraint"
        " WHERE contype = 'f' AND confrelid = 'lead'::regclass"
    )
    await connection.close()

    # the function removes a lead's links itself, and empties its deliveries
    assert {row["t"] for row in rows if row["how"] != "c"} == {"link", "webhook_delivery"}


@pytest.fixture
def erases(bench: Bench) -> Callable[[UUID], Awaitable[None]]:
    """Erases a lead, as an administrator."""

    async def work(lead_id: UUID) -> None:
        async with bench.world.runtime.db.transaction(Tenant(bench.world.tenant.workspace_id, "admin")) as tx:
            await erase.erase(tx, lead_id, fingerprint=bench.world.runtime.vault.address, actor="ada@team.test")

    return work


async def test_nothing_is_left_of_an_erased_lead_in_any_table(
    bench: Bench, urls: Urls, erases: Callable[[UUID], Awaitable[None]]
) -> None:
    bench.row(full_name="Zebedee Quill", email="zebedee@quill.test", notes="Zebedee likes quilts", title="Quiller")
    other = bench.row(full_name="Anna Berg", email="anna@berg.test")
    bench.world.instantly.store.add_lead(bench.campaigns[0].id, email="zebedee@quill.test", first_name="Zebedee")
    airtable = await bench.airtable()
    await bench.instantly()
    lead = await bench.lead("zebedee@quill.test")
    lead_id = UUID(lead.id)
    async with bench.world.transaction() as tx:
        values = canonical({"email": "zebedee.q@quill.test", "custom": {"pet": "zebedee's cat"}})
        await edit.change(tx, lead_id, values, actor="ann@team.test")
    await bench.settle()
    async with bench.world.transaction() as tx:
        await edit.add_note(tx, lead_id, "Zebedee called.", actor="ann@team.test")
        await reviews.put(tx, "conflict", {"local": "Zebedee"}, lead_id=lead_id, field="title")
        await tx.run(
            "INSERT INTO lead_merge (workspace_id, id, survivor_id, loser_id, loser_before)"
            " VALUES ($1, $2, $3, $3, '{\"first_name\": \"Zebedee\"}')",
            tx.workspace_id, new_id(), lead_id,
        )  # fmt: skip
        asked = await write_back.ask(tx, lead_id, "remove", campaign_id=None, actor="ann@team.test")
        await requests.fail(tx, asked[0], "There is no Zebedee.")
        await reviews.put(tx, "candidate", {"leads": [lead.id, "x"], "name": "Zebedee"}, field="pair")
        await reviews.put(tx, "plan", {"digest": "d", "here": [{"new": "Zebedee"}], "there": []}, field="plan")
        await idempotency.begin(tx, "k", b"h")
        body = f'{{"id": "{lead.id}", "email": "zebedee.q@quill.test"}}'.encode()
        await idempotency.finish(tx, "k", idempotency.Answer(200, body, {}))
    told_of = [
        await bench.deliver({"event_type": "reply_received", "lead_email": "zebedee@quill.test"}),
        await bench.deliver(
            {"event_type": "email_sent", "reply_text": "Ask Zebedee@Quill.test", "lead_email": "x@y.test"}
        ),
    ]
    untouched = await bench.deliver({"event_type": "email_sent", "lead_email": "anna@berg.test"})
    before = await told(urls, "zebedee")

    await erases(lead_id)

    assert before == erasure.ERASED
    for word in ("zebedee", "quill"):
        assert await told(urls, word) == set()
    assert await bench.value("SELECT count(*) FROM erasure_ledger WHERE lead_id = $1", lead_id) >= 4
    assert await bench.value("SELECT detail->>'lead_id' FROM audit WHERE action = 'lead.erased'") == lead.id
    plan = (await bench.items("plan"))[-1]
    assert (plan["evidence"]["digest"], plan["evidence"]["here"]) == ("d", [])
    # their keys stay, so that they do not come back from the provider's delivery log
    async with bench.world.transaction() as tx:
        kept = {row.id: (row.body is None, row.state) for row in await deliveries.load(tx, [*told_of, untouched])}
    assert kept == dict.fromkeys(told_of, (True, "ignored")) | {untouched: (False, "received")}
    assert (await bench.lead("anna@berg.test")).values["full_name"] == "Anna Berg"
    assert await bench.link(airtable, other)


async def test_a_lead_that_was_one_with_an_erased_one_remembers_nothing_of_them(
    bench: Bench, urls: Urls, erases: Callable[[UUID], Awaitable[None]]
) -> None:
    bench.row(full_name="Anna Berg", email="anna@berg.test", notes="Met at the fair")
    bench.row(full_name="Bo Zebedee", email="bo@zebedee.test", title="Zebedee", notes="Likes zebedees")
    bench.world.instantly.store.add_lead(bench.campaigns[0].id, email="bo@zebedee.test", payload={"x": "zebedee"})
    airtable = await bench.airtable()
    await bench.instantly()
    one, other = [UUID((await bench.lead(email)).id) for email in ("anna@berg.test", "bo@zebedee.test")]
    tenant, runtime = bench.world.tenant, bench.world.runtime
    async with runtime.db.transaction(tenant) as tx:
        await merge.merge(tx, one, other, choices={"email": "other"}, actor="ann@team.test", dry_run=False)
        between = tx.now
    await bench.sync(airtable)
    answer = {"event_type": "reply_received", "lead_email": "bo@zebedee.test", "reply_text": "Yours, Zebedee"}
    delivery = await bench.deliver(answer | {"timestamp": "2026-03-02T08:00:00Z"})
    await inbox.apply(runtime.db, tenant, [delivery], fingerprint=runtime.vault.address)
    await bench.patch("bo@zebedee.test", notes="Met at the fair\nLikes all zebedees", title="Chief Zebedee")
    async with runtime.db.transaction(tenant) as tx:
        await edit.change(tx, one, {"title": "CEO", "email": "anna@berg.test"}, actor="ann@team.test")
    async with runtime.db.transaction(tenant) as tx:
        await merge.unmerge(tx, one, other, actor="ann@team.test")
    for _ in range(2):
        await bench.sync(airtable)
    assert await told(urls, "zebedee") >= {"lead_change", "write_attempt"}

    await erases(other)

    assert await told(urls, "zebedee") == set()
    values = (await bench.lead("anna@berg.test")).values
    assert (values["title"], [entry[1] for entry in values["notes"]]) == ("CEO", ["Met at the fair"])
    async with runtime.db.transaction(tenant) as tx:
        early = await past.as_of(tx, one, between - timedelta(milliseconds=1))
        amid = await past.as_of(tx, one, between)
    assert (early["email"], early["notes"]) == ("anna@berg.test", "Met at the fair")
    assert (amid["email"], amid["full_name"], amid["notes"]) == (None, "Anna Berg", None)


async def test_a_sync_does_not_bring_an_erased_person_back_and_says_where_they_still_are(
    bench: Bench, urls: Urls, erases: Callable[[UUID], Awaitable[None]]
) -> None:
    first = bench.row(full_name="Zebedee Quill", email="zebedee@quill.test")
    bench.world.instantly.store.add_lead(bench.campaigns[0].id, email="zebedee@quill.test", first_name="Zebedee")
    airtable, instantly = await bench.airtable(), await bench.instantly()
    lead_id = UUID((await bench.lead("zebedee@quill.test")).id)
    await erases(lead_id)
    bench.edit_there(first, email=None, full_name="Zebedee Q.")
    second = bench.row(full_name="Zebedee Quill", email="Zebedee@quill.test")
    bench.row(full_name="Anna Berg", email="anna@berg.test")
    for _ in range(2):
        await bench.sync(airtable, instantly, kind="full")

    asked = await bench.items("erased")
    assert await bench.value("SELECT count(*) FROM lead") == 1
    assert {item["evidence"]["record"] for item in asked} >= {first, second}
    assert len(asked) == 3
    assert await told(urls, "zebedee") == set()

    async with bench.world.transaction() as tx:
        again = await edit.create(tx, canonical({"email": "zebedee@quill.test"}), actor="ann@team.test")
    await bench.sync(airtable, kind="full")
    assert (await bench.link(airtable, second)).lead_id == UUID(again.id)


async def test_a_deleted_lead_is_erased_and_so_are_those_merged_into_it(db: Database) -> None:
    workspace = await workspaces.create(db)
    async with db.transaction(Tenant(workspace)) as tx:
        made = await bulk(
            tx,
            [Operation(op="create", fields={"email": f"{name}@quill.test"}) for name in "ab"],
            actor="ann@team.test",
        )
        one, two = [outcome.lead_id for outcome in made]
        assert one is not None
        assert two is not None
        await edit.delete(tx, one, actor="ann@team.test")
        await tx.run("UPDATE lead SET merged_into = $1, deleted_at = now() WHERE id = $2", one, two)
    async with db.transaction(Tenant(workspace, "admin")) as tx:
        with pytest.raises(edit.Merged):
            await erase.erase(tx, two, fingerprint=str.encode, actor="ada@team.test")
        await erase.erase(tx, one, fingerprint=str.encode, actor="ada@team.test")
        with pytest.raises(edit.NotFound):
            await erase.erase(tx, one, fingerprint=str.encode, actor="ada@team.test")

        assert await tx.value("SELECT count(*) FROM lead") == 0
        assert await erasure.known(tx, [b"b@quill.test", b"nobody"]) == {b"b@quill.test"}


@pytest.mark.parametrize("is_undone", [False, True], ids=["merged meanwhile", "unmerged meanwhile"])
async def test_an_erasure_reaches_exactly_the_leads_that_are_merged_by_then(db: Database, *, is_undone: bool) -> None:
    admin = Tenant(await workspaces.create(db), "admin")
    async with db.transaction(admin) as tx:
        one, two = [
            UUID((await edit.create(tx, {"email": f"{name}@quill.test"}, actor="ann@team.test")).id) for name in "ab"
        ]
    if is_undone:
        async with db.transaction(admin) as tx:
            await merge.merge(tx, one, two, choices={}, actor="ann@team.test", dry_run=False)

    async def purge() -> None:
        async with db.transaction(admin) as tx:
            await erase.erase(tx, one, fingerprint=str.encode, actor="ada@team.test")

    async with db.transaction(admin) as tx:
        if is_undone:
            await merge.unmerge(tx, one, two, actor="ann@team.test")
        else:
            await merge.merge(tx, one, two, choices={}, actor="ann@team.test", dry_run=False)
        erasing = asyncio.create_task(purge())
        async with asyncio.timeout(30):
            while not await tx.value(WAITING):  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.01)
    await erasing

    async with db.transaction(admin) as tx:
        assert [row["id"] for row in await tx.all("SELECT id FROM lead")] == ([two] if is_undone else [])


async def test_an_erasure_reaches_the_history_of_leads_that_were_one_with_the_erased_one(
    db: Database, urls: Urls
) -> None:
    admin, by = Tenant(await workspaces.create(db), "admin"), "ann@team.test"
    people: list[dict[str, Any]] = [
        {"email": "anna@acme.test", "title": "painter"},
        {"email": "carl@acme.test", "title": "singer"},
        {"email": "zeb@quill.test", "title": "xylographer", "phone": "+31612345670", "metadata": {"k": "zymurgy"}},
    ]
    async with db.transaction(admin) as tx:
        anna, carl, zeb = [UUID((await edit.create(tx, values, actor=by)).id) for values in people]
        await edit.add_note(tx, zeb, "a quixotic note", actor=by)
        await idempotency.begin(tx, "import of Zeb@quill.test", b"request")
        await idempotency.finish(tx, "import of Zeb@quill.test", idempotency.Answer(202, b"", {}))
    async with db.transaction(admin) as tx:
        await merge.merge(tx, anna, zeb, choices={"title": "other"}, actor=by, dry_run=False)
    async with db.transaction(admin) as tx:
        await merge.merge(tx, carl, anna, choices={"title": "other"}, actor=by, dry_run=False)
    for survivor in (carl, anna):
        async with db.transaction(admin) as tx:
            await merge.unmerge(tx, survivor, None, actor=by)

    async with db.transaction(admin) as tx:
        await erase.erase(tx, zeb, fingerprint=str.encode, actor="ada@team.test")

    for word in ("xylographer", "31612345670", "zymurgy", "quixotic"):
        assert await told(urls, word) == set()
    # as the ledger's hash of this test
    assert await told(urls, "zeb@quill.test") == {"erasure_ledger"}
    for word in ("painter", "singer"):
        assert await told(urls, word) == {"lead", "lead_change", "lead_search"}


@pytest.mark.parametrize("role", ["member", "viewer", "cron", "system"])
async def test_the_database_lets_administrators_erase_only_in_their_workspace(db: Database, role: str) -> None:
    mine, other = await workspaces.create(db), await workspaces.create(db)
    lead_id = new_id()
    async with db.transaction(Tenant(mine)) as tx:
        await tx.run("INSERT INTO lead (workspace_id, id) VALUES ($1, $2)", mine, lead_id)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(Tenant(mine, role)) as tx:  # type: ignore[arg-type]
            await erasure.erase(tx, [lead_id], words=[], hashes=[])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(Tenant(mine, "admin")) as tx:
            await tx.run("DELETE FROM lead")
    async with db.transaction(Tenant(other, "admin")) as tx:
        await erasure.erase(tx, [lead_id], words=["a"], hashes=[b"h"])

    async with db.transaction(Tenant(mine)) as tx:
        assert await leads.get(tx, lead_id) is not None
        assert not await erasure.has_any(tx)
