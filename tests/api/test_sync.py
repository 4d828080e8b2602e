"""Connections, plans, syncs and runs over REST, against the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.db import reviews, runs
from app.lab.sandboxes import COLUMNS, TOKEN
from app.sandbox.airtable import AirtableSandbox
from tests.api.conftest import Clients

Settle = Callable[[], Any]


@pytest.fixture
async def connection(admin: httpx.AsyncClient, wanted: dict[str, Any], settle: Settle) -> str:
    """An active connection's id."""
    made = await admin.post("/api/admin/connections", json=wanted | {"create": "all"})
    assert made.status_code == 201, made.text
    connection_id: str = made.json()["id"]
    await settle()
    digest = (await admin.get(f"/api/admin/connections/{connection_id}/plan")).json()["evidence"]["digest"]
    approved = await admin.post(f"/api/admin/connections/{connection_id}/approve", json={"digest": digest})
    assert approved.status_code == 202, approved.text
    await settle()
    return connection_id


async def test_a_connection_shows_the_mapping_it_chose_and_never_its_secret(
    admin: httpx.AsyncClient, wanted: dict[str, Any]
) -> None:
    made = await admin.post("/api/admin/connections", json=wanted)
    again = await admin.post("/api/admin/connections", json=wanted)
    path = made.headers["location"]

    assert made.status_code == 201
    assert {m["field"] for m in made.json()["mapping"]} >= {"title", "status", "notes", "crm_id"}
    assert made.json()["state"] == "new"
    assert again.status_code == 409
    for answer in (made, await admin.get(path), await admin.get("/api/admin/connections")):
        assert TOKEN.partition(".")[0] not in answer.text
    assert (await admin.post(f"{path}/test")).json() == {
        "ok": True, "message": "Sales works: 21 columns, 16 of them mapped, 16 written to.",
    }  # fmt: skip
    assert len((await admin.get(f"{path}/schema")).json()["columns"]) == len(COLUMNS)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"secret": {"token": "patWRONG.x"}}, 422, "token"),
        ({"config": {"base_id": "appAAAAAAAAAAAAAA", "table_id": "tblAAAAAAAAAAAAAA"}}, 422, "base"),
        ({"mapping": [{"field": "title", "remote": "Nope"}]}, 422, "'Nope'"),
        ({"mapping": [{"field": "nope", "remote": "Title"}]}, 422, "'nope'"),
        ({"mapping": [{"field": "email_open_count", "remote": "Title"}]}, 422, "email_open_count"),
        ({"create": {"nope": 1}}, 422, "nope"),
        ({"provider": "fax"}, 422, ""),
        ({"nope": 1}, 422, ""),
        ({"schedule_minutes": 0}, 422, ""),
        ({"conflict_strategy": "last_modified_wins"}, 201, ""),
    ],
)
async def test_a_connection_that_cannot_work_is_refused_with_one_sentence(
    admin: httpx.AsyncClient, wanted: dict[str, Any], change: dict[str, Any], status: int, words: str
) -> None:
    answer = await admin.post("/api/admin/connections", json=wanted | change)

    assert answer.status_code == status, answer.text
    assert words in answer.text


async def test_an_edit_reaches_airtable_and_is_explained(
    member: httpx.AsyncClient, connection: str, airtable: AirtableSandbox, table: dict[str, str], settle: Settle
) -> None:
    lead = (await member.post("/api/leads", json={"email": "a@x.test", "title": "CEO"})).json()

    asked = await member.post("/api/sync/to-airtable", json={"connection": connection})
    pending = (await member.get("/api/sync/runs")).json()["items"][0]
    await settle()
    run = (await member.get(asked.headers["location"])).json()

    assert (asked.status_code, asked.json()["kind"], pending["state"]) == (202, "to_remote", "queued")
    assert pending["progress"] == {"done": None, "total": None, "rate": None, "eta": None}
    assert (run["state"], run["parts"]) == ("done", [])
    rows = airtable.store.bases[table["base_id"]].tables[table["table_id"]]
    assert [rows.read(record).get("Title") for record in rows.records.values()] == ["CEO"]
    title = (await member.get(f"/api/leads/{lead['id']}/explain")).json()["fields"]["title"]
    assert [(link["state"], link["observed"]) for link in title["links"]] == [("agreed", "CEO")]
    links = (await member.get(f"/api/leads/{lead['id']}/links")).json()["items"]
    assert [link["pending"] for link in links] == [False]


async def test_status_pending_and_divergences_tell_how_it_stands(
    member: httpx.AsyncClient, connection: str, settle: Settle
) -> None:
    await member.post("/api/leads", json={"email": "a@x.test"})
    await member.post("/api/sync/to-airtable")
    await settle()

    standing = (await member.get("/api/sync/status")).json()["connections"][0]

    assert (standing["id"], standing["state"], standing["links"], standing["pending"]) == (connection, "active", 1, 0)
    assert standing["last_run"]["state"] == "done"
    assert standing["calls_this_month"] > 0
    assert (await member.get("/api/sync/pending")).json() == {"items": [], "next_cursor": None}
    assert (await member.get("/api/sync/divergences")).status_code == 200


async def test_a_dry_run_writes_nothing(member: httpx.AsyncClient, connection: str) -> None:
    await member.post("/api/leads", json={"email": "a@x.test"})

    answer = await member.post("/api/sync/bidirectional", json={"dry_run": True})

    assert answer.status_code == 200, answer.text
    (plan,) = answer.json()["plans"]
    assert (plan["connection_id"], plan["records_created_there"]) == (connection, 1)
    assert (await member.get("/api/sync/pending")).json()["items"] == []


async def test_a_plan_that_changed_is_shown_again_instead_of_applied(
    admin: httpx.AsyncClient, connection: str, settle: Settle
) -> None:
    await admin.post("/api/leads", json={"email": "a@x.test"})
    plan = (await admin.post("/api/sync/plans", json={"connection": connection})).json()
    await admin.post("/api/leads", json={"email": "b@x.test"})

    stale = await admin.post(f"/api/sync/plans/{connection}/apply", json={"digest": plan["evidence"]["digest"]})
    fresh = (await admin.get(f"/api/sync/plans/{connection}")).json()
    applied = await admin.post(f"/api/sync/plans/{connection}/apply", json={"digest": fresh["evidence"]["digest"]})
    await settle()

    assert stale.status_code == 409
    assert fresh["evidence"]["records_created_there"] == 2
    assert applied.status_code == 202
    assert (await admin.get(f"/api/sync/plans/{connection}")).status_code == 409


async def test_a_run_under_way_is_joined(team: Clients, member: httpx.AsyncClient, connection: str) -> None:
    answers = await asyncio.gather(*(member.post("/api/admin/sync/delta") for _ in range(10)))
    full = await member.post("/api/admin/sync/full")

    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["id"] for a in answers}) == 1
    assert full.json()["id"] != answers[0].json()["id"]


async def test_what_was_asked_for_after_a_run_has_begun_is_another_run(
    team: Clients, member: httpx.AsyncClient, connection: str
) -> None:
    cron, kinds = await team.of("cron"), ("delta", "full")
    begun = {kind: (await member.post(f"/api/admin/sync/{kind}")).json()["id"] for kind in kinds}
    async with team.runtime.db.transaction(team.tenant) as tx:
        for run_id in begun.values():
            await runs.start(tx, UUID(run_id))
        await tx.run("UPDATE connection SET next_run_at = $1 WHERE workspace_id = $2", tx.now, team.workspace_id)

    joined = await cron.post("/api/admin/sync/delta")
    delta, again = [(await member.post("/api/admin/sync/delta")).json() for _ in range(2)]
    full = await member.post("/api/admin/sync/full")

    assert joined.json()["id"] == begun["delta"], "a cron has nothing particular in mind"
    assert delta["id"] not in begun.values()
    assert again["id"] == delta["id"]
    assert full.json()["id"] == begun["full"], "everything is read, whoever asks"


async def test_two_connections_are_parts_of_one_run(
    admin: httpx.AsyncClient, connection: str, wanted: dict[str, Any], airtable: AirtableSandbox, settle: Settle
) -> None:
    other = airtable.store.bases[wanted["config"]["base_id"]].add_table("Others", COLUMNS)
    config = wanted["config"] | {"table_id": other.id}
    made = await admin.post("/api/admin/connections", json=wanted | {"config": config, "auto_approve": True})
    await settle()
    alone = (await admin.post("/api/sync/bidirectional", json={"connection": connection})).json()

    whole = await admin.post("/api/admin/sync/delta")
    again = await admin.post("/api/admin/sync/delta")
    parts = (await admin.get(whole.headers["location"])).json()["parts"]
    await settle()
    done = (await admin.get(whole.headers["location"])).json()

    assert {part["connection_id"] for part in parts} == {connection, made.json()["id"]}
    assert alone["id"] in {part["id"] for part in parts}
    assert again.json()["id"] == whole.json()["id"]
    assert done["state"] == "done"


async def test_a_cron_covers_what_is_due_and_reads_its_runs(team: Clients, connection: str, settle: Settle) -> None:
    cron = await team.of("cron")

    nothing_due = await cron.post("/api/admin/sync/delta")
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE connection SET next_run_at = $1 WHERE workspace_id = $2", tx.now, team.workspace_id)
    due = await cron.post("/api/admin/sync/delta", headers={"Idempotency-Key": "tick"})
    again = await cron.post("/api/admin/sync/delta", headers={"Idempotency-Key": "tick"})

    assert (nothing_due.status_code, nothing_due.json()["state"]) == (200, "done")
    assert (due.status_code, due.json()["connection_id"]) == (202, connection)
    assert again.json() == due.json()
    assert (await cron.get(due.headers["location"])).status_code == 200
    assert (await cron.get("/api/leads")).status_code == 403


async def test_waiting_ends_with_the_run(member: httpx.AsyncClient, connection: str, settle: Settle) -> None:
    async def work() -> None:
        await asyncio.sleep(0.05)
        await settle()

    waited, _ = await asyncio.gather(member.post("/api/admin/sync/delta?wait=30"), work())
    impatient = await member.post("/api/admin/sync/delta?wait=1")

    assert (waited.status_code, waited.json()["state"]) == (200, "done")
    assert (impatient.status_code, impatient.json()["state"]) == (202, "queued")


async def test_a_run_is_cancelled_once(member: httpx.AsyncClient, connection: str) -> None:
    run = (await member.post("/api/admin/sync/delta")).headers["location"]

    cancelled = await member.post(f"{run}/cancel")
    again = await member.post(f"{run}/cancel")

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert again.status_code == 409


async def test_pause_resume_and_delete(admin: httpx.AsyncClient, connection: str, settle: Settle) -> None:
    path = f"/api/admin/connections/{connection}"

    paused = await admin.post(f"{path}/pause")
    refused = await admin.post("/api/sync/bidirectional", json={"connection": connection})
    resumed = await admin.post(f"{path}/resume")
    deleted = await admin.delete(path)

    assert (paused.json()["state"], paused.json()["reason"]) == ("paused", "paused by ada@team.test")
    assert (refused.status_code, "resume it" in refused.json()["detail"]) == (409, True)
    assert resumed.json()["state"] == "active"
    assert deleted.status_code == 204
    assert [(await admin.get(p)).status_code for p in (path, f"{path}/plan")] == [404, 404]
    assert (await admin.post("/api/admin/sync/delta")).status_code == 409
    await settle()


async def test_a_connection_stopped_before_its_plan_was_seen_still_shows_it_first(
    team: Clients, admin: httpx.AsyncClient, wanted: dict[str, Any], settle: Settle
) -> None:
    path = (await admin.post("/api/admin/connections", json=wanted)).headers["location"]
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE connection SET state = 'stopped' WHERE workspace_id = $1", team.workspace_id)
        await tx.run("DELETE FROM sync_run WHERE workspace_id = $1", team.workspace_id)

    resumed = await admin.post(f"{path}/resume")
    await settle()

    assert resumed.json()["state"] == "new"
    assert (await admin.get(f"{path}/plan")).status_code == 200


async def test_quarantined_changes_are_approved_or_rejected(
    team: Clients, admin: httpx.AsyncClient, connection: str
) -> None:
    async with team.runtime.db.transaction(team.tenant) as tx:
        for field in ("title", "phone"):
            evidence = {"what": "mass clear", "field": field, "records": 30, "of": 40, "why": "…"}
            await reviews.put(tx, "quarantine", evidence, connection_id=UUID(connection), field=field)
    phone, title = (await admin.get("/api/sync/quarantine")).json()["items"]

    approved = await admin.post(f"/api/sync/quarantine/{title['id']}/approve", json={"version": 1})
    rejected = await admin.post(f"/api/sync/quarantine/{phone['id']}/reject", json={"version": 1})
    again = await admin.post(f"/api/sync/quarantine/{phone['id']}/approve", json={"version": 1})
    wrong = await admin.post(f"/api/sync/conflicts/{phone['id']}/resolve", json={"keep": "local", "version": 2})

    assert [a.json()["decision"]["approved"] for a in (approved, rejected)] == [True, False]
    assert (again.status_code, wrong.status_code) == (409, 422)
    assert (await admin.get("/api/sync/quarantine?state=decided")).json()["items"][0]["decided_by"] == "ada@team.test"


async def test_new_settings_count(admin: httpx.AsyncClient, connection: str, settle: Settle) -> None:
    path = f"/api/admin/connections/{connection}"
    rows = [{"field": "title", "remote": "Title"}, {"field": "email", "remote": "Email"}]

    changed = await admin.patch(path, json={"mapping": rows, "schedule_minutes": 30, "conflict_strategy": "manual"})
    unfit = await admin.patch(path, json={"conflict_strategy": "last_modified_wins"})
    unfitting = [
        await admin.patch(path, json=body)
        for body in ({"secret": {"webhook_secret": "of nobody's webhook"}}, {"config": {"pacing_seconds": 2}})
    ]
    await settle()

    assert changed.status_code == 200, changed.text
    assert {m["field"] for m in changed.json()["mapping"]} == {"title", "email"}
    assert (changed.json()["mapping_version"], changed.json()["schedule_minutes"]) == (2, 30)
    assert (unfit.status_code, "modified_at" in unfit.text) == (422, True)
    assert [(a.status_code, a.json()["errors"][0]["pointer"]) for a in unfitting] == [
        (422, "/secret"),
        (422, "/config"),
    ]
    assert (await admin.get("/api/sync/status")).json()["connections"][0]["last_run"]["state"] == "done"


async def test_a_new_token_is_tried_and_then_used(
    admin: httpx.AsyncClient, connection: str, airtable: AirtableSandbox, table: dict[str, str], settle: Settle,
    team: Clients,
) -> None:  # fmt: skip
    path, renewed = f"/api/admin/connections/{connection}", f"pat.{connection}"
    refused = await admin.patch(path, json={"secret": {"token": renewed}})
    airtable.store.add_token(renewed)
    changed = await admin.patch(path, json={"secret": {"token": renewed}})
    tested = await admin.post(f"{path}/test")
    async with team.runtime.db.transaction(team.tenant) as tx:
        opens = [team.runtime.vault.open(row[0]) for row in await tx.all("SELECT secret FROM provider_account")]
    await admin.post("/api/leads", json={"email": "a@x.test", "title": "CEO"})
    await admin.post("/api/sync/to-airtable", json={"connection": connection})
    await settle()

    assert (refused.status_code, changed.status_code, tested.json()["ok"]) == (422, 200, True), refused.text
    assert renewed not in refused.text + changed.text
    assert opens == [{"token": renewed}]
    rows = airtable.store.bases[table["base_id"]].tables[table["table_id"]]
    assert [rows.read(record).get("Title") for record in rows.records.values()] == ["CEO"]


async def test_a_connection_whose_token_has_ended_goes_on_under_another_one(
    admin: httpx.AsyncClient, airtable: AirtableSandbox, table: dict[str, str], wanted: dict[str, Any], settle: Settle
) -> None:
    former, renewed = (f"pat.{which}.{table['base_id']}" for which in ("former", "renewed"))
    for token in (former, renewed):
        airtable.store.add_token(token)
    made = await admin.post("/api/admin/connections", json=wanted | {"auto_approve": True, "secret": {"token": former}})
    path = f"/api/admin/connections/{made.json()['id']}"
    await settle()

    del airtable.store.tokens[former]
    await admin.post("/api/admin/sync/delta")
    await settle()
    stopped = (await admin.get(path)).json()["state"]
    await admin.patch(path, json={"secret": {"token": renewed}})
    await admin.post(f"{path}/resume")
    await settle()

    assert stopped == "stopped"
    assert (await admin.get(path)).json()["state"] == "active"
    assert (await admin.get("/api/sync/status")).json()["connections"][0]["last_run"]["state"] == "done"


async def test_a_held_conflict_is_resolved_by_a_person(
    admin: httpx.AsyncClient, connection: str, airtable: AirtableSandbox, table: dict[str, str], settle: Settle
) -> None:
    await admin.patch(f"/api/admin/connections/{connection}", json={"conflict_strategy": "manual"})
    lead = (await admin.post("/api/leads", json={"email": "a@x.test", "title": "CEO"})).json()
    await admin.post("/api/sync/to-airtable")
    await settle()
    rows = airtable.store.bases[table["base_id"]].tables[table["table_id"]]
    (record,) = rows.records
    rows.edit(record, {"Title": "CTO"})
    await admin.patch(f"/api/leads/{lead['id']}", json={"title": "COO"})
    await admin.post("/api/admin/sync/full")
    await settle()

    (item,) = (await admin.get("/api/sync/conflicts")).json()["items"]
    late = await admin.post(f"/api/sync/conflicts/{item['id']}/resolve", json={"keep": "remote", "version": 99})
    resolved = await admin.post(
        f"/api/sync/conflicts/{item['id']}/resolve", json={"keep": "local", "version": item["version"]}
    )
    await admin.post("/api/sync/to-airtable")
    await settle()

    assert [item["evidence"][name] for name in ("base", "local", "remote")] == ["CEO", "COO", "CTO"]
    assert late.status_code == 409
    assert (resolved.status_code, resolved.json()["state"]) == (200, "decided")
    assert rows.read(rows.records[record])["Title"] == "COO"


async def test_without_a_connection_there_is_nothing_to_sync(member: httpx.AsyncClient) -> None:
    for path in ("/api/admin/sync/delta", "/api/admin/sync/full", "/api/instantly/sync", "/api/sync/to-airtable"):
        answer = await member.post(path)

        assert (answer.status_code, "connect a provider" in answer.json()["detail"]) == (409, True)
