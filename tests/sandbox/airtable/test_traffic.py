"""The Airtable sandbox under way: paging, limits, faults, and what a person changes meanwhile."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.airtable import AirtableSandbox, Base, FieldSpec, Table
from app.sandbox.core import Fault
from tests.sandbox.airtable.conftest import refusal

# Listing --------------------------------------------------------------------------------------------------------


async def test_post_list_records_takes_its_time_zone_from_the_query_only(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, table: Table, url: str
) -> None:
    table.create({"Name": "x", "Score": 3})
    body = {"fields": ["Score"], "cellFormat": "string"}
    zone = {"timeZone": "utc", "userLocale": "en"}

    in_query = await client.post(f"{url}/listRecords", params=zone, json=body)
    in_body = await client.post(f"{url}/listRecords", json={**body, **zone})
    sandbox.switches.refuse_time_zone_in_body = False
    tolerated = await client.post(f"{url}/listRecords", json={**body, **zone})

    assert in_query.json()["records"][0]["fields"] == {"Score": "3"}
    assert refusal(in_body) == (422, "INVALID_REQUEST_UNKNOWN")
    assert tolerated.json() == in_query.json()


@pytest.mark.parametrize("spelling", ["fields", "fields[]", "fields[0]"])
async def test_arrays_are_spelled_in_three_ways(
    client: httpx.AsyncClient, table: Table, url: str, spelling: str
) -> None:
    table.create({"Name": "x", "Score": 3})

    found = await client.get(url, params={spelling: "Score", "offset": "", "limit": "1"})

    assert found.json()["records"][0]["fields"] == {"Score": 3}


async def test_paging_walks_over_a_live_table(client: httpx.AsyncClient, table: Table, url: str) -> None:
    records = [table.create({"Score": 1}) for _ in range(6)]
    query = {"filterByFormula": "{Score}=1", "pageSize": 2, "fields": ["Name", "Score"]}

    first = (await client.post(f"{url}/listRecords", json=query)).json()
    table.delete(records[2].id)  # skipped
    table.edit(records[3].id, {"Score": 2})  # no longer matches
    table.edit(records[4].id, {"Name": "edited"})  # read as it is now
    late = table.create({"Score": 1})  # comes at the end
    second = (await client.post(f"{url}/listRecords", json={**query, "offset": first["offset"]})).json()
    third = (await client.post(f"{url}/listRecords", json={**query, "offset": second["offset"]})).json()
    again = (await client.post(f"{url}/listRecords", json={**query, "offset": first["offset"]})).json()

    assert first["offset"].startswith("itr")
    assert [r["id"] for r in second["records"]] == [records[4].id, records[5].id]
    assert second["records"][0]["fields"] == {"Name": "edited", "Score": 1}
    assert [r["id"] for r in third["records"]] == [late.id]
    assert "offset" not in third
    assert again == second


async def test_an_iterator_expires_when_it_is_not_used(
    client: httpx.AsyncClient, table: Table, url: str, clock: VirtualClock
) -> None:
    for _ in range(3):
        table.create()
    query = {"pageSize": "1"}
    offset = (await client.get(url, params=query)).json()["offset"]

    clock.advance(200)
    kept = await client.get(url, params={**query, "offset": offset})
    clock.advance(301)
    gone = await client.get(url, params={**query, "offset": offset})

    assert kept.status_code == 200
    assert gone.json() == {"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}


async def test_an_iterator_fault_ends_the_list_on_whichever_page_it_hits(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, table: Table, url: str
) -> None:
    for _ in range(3):
        table.create()
    query = {"pageSize": "1"}

    sandbox.sandbox.faults.add(Fault(kind="iterator", count=1))
    born_dead = (await client.get(url, params=query)).json()["offset"]
    alive = (await client.get(url, params=query)).json()["offset"]
    first = await client.get(url, params={**query, "offset": born_dead})
    sandbox.sandbox.faults.add(Fault(kind="iterator", count=1))
    second = await client.get(url, params={**query, "offset": alive})

    expected = (422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
    assert [refusal(first), refusal(second)] == [expected, expected]


# Limits and faults ----------------------------------------------------------------------------------------------


async def test_the_sixth_call_in_a_second_locks_the_base_out(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, url: str, clock: VirtualClock
) -> None:
    sandbox.switches.limiter = True
    sandbox.switches.retry_after_header = True

    statuses = [(await client.get(url)).status_code for _ in range(6)]
    clock.advance(29)
    locked = await client.post(url, json={"fields": {"Name": "x"}})
    clock.advance(1)

    assert statuses == [200] * 5 + [429]
    assert refusal(locked) == (429, "RATE_LIMIT_REACHED")
    assert locked.headers["Retry-After"] == "1"
    assert (await client.get(url)).status_code == 200
    assert len((await client.get(url)).json()["records"]) == 0  # the refused create wrote nothing


@pytest.mark.parametrize(("window", "allowed"), [("sliding", 0), ("fixed", 5)])
async def test_the_window_slides_or_starts_anew(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, url: str, clock: VirtualClock, window: Any, allowed: int
) -> None:
    sandbox.switches.limiter = True
    sandbox.switches.limiter_window = window
    sandbox.switches.penalty_seconds = 0
    clock.advance(0.9)
    for _ in range(5):
        await client.get(url)
    clock.advance(0.2)

    statuses = [(await client.get(url)).status_code for _ in range(6)]

    assert statuses.count(200) == allowed


async def test_a_token_has_a_limit_across_bases(client: httpx.AsyncClient, sandbox: AirtableSandbox) -> None:
    sandbox.switches.limiter = True

    statuses = [(await client.get("/v0/meta/whoami")).status_code for _ in range(51)]

    assert statuses == [200] * 50 + [429]


async def test_the_monthly_quota_blocks_data_and_not_the_schema(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, base: Base, url: str, clock: VirtualClock
) -> None:
    sandbox.switches.monthly_quota = 2

    calls = [await client.get(url) for _ in range(3)]
    schema = await client.get(f"/v0/meta/bases/{base.id}/tables")
    clock.advance(31 * 86_400)

    assert refusal(calls[2]) == (429, "PUBLIC_API_BILLING_LIMIT_EXCEEDED")
    assert [calls[1].status_code, schema.status_code, (await client.get(url)).status_code] == [200, 200, 200]
    assert sandbox.limits.used == {"2026-03": 2, "2026-04": 1}


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        (Fault(kind="rate_limit", retry_after=7), 429, "RATE_LIMIT_REACHED"),
        (Fault(kind="quota"), 429, "PUBLIC_API_BILLING_LIMIT_EXCEEDED"),
        (Fault(kind="status", status=503), 503, "RETRIABLE_ERROR"),
        (Fault(kind="status", status=404), 404, "NOT_FOUND"),
        (Fault(kind="html"), 502, None),
    ],
)
async def test_faults_speak_airtables_language(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, url: str, fault: Fault, status: int, error: str | None
) -> None:
    sandbox.sandbox.faults.add(fault)

    response = await client.get(url)

    assert response.status_code == status
    if error:
        assert refusal(response) == (status, error)
    else:
        assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers.get("Retry-After") == ("7" if fault.retry_after else None)


async def test_a_failure_after_the_commit_leaves_its_ids_in_the_log(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, table: Table, url: str
) -> None:
    sandbox.sandbox.faults.add(Fault(kind="status_after", status=500))

    response = await client.post(url, json={"records": [{"fields": {}}, {"fields": {}}]})

    call = sandbox.sandbox.calls[-1]
    assert response.status_code == call.status == 500
    assert list(call.wrote) == list(table.records)
    assert (call.method, call.path, call.fault) == ("POST", url, "status_after")


# Control endpoints ----------------------------------------------------------------------------------------------


async def test_a_person_edits_through_the_control_endpoint(client: httpx.AsyncClient, table: Table) -> None:
    made = (await client.post("/_sandbox/edit", json={"table": "Leads", "fields": {"Name": "x"}})).json()
    where = {"table": table.id, "record": made["id"]}
    edited = (await client.post("/_sandbox/edit", json={**where, "fields": {"Stage": "Own words"}})).json()
    listed = (await client.get("/_sandbox/records", params={"table": "Leads"})).json()
    gone = (await client.post("/_sandbox/edit", json={**where, "fields": None})).json()

    assert edited["fields"]["Stage"] == "Own words"
    assert listed == {"records": [edited]}
    assert gone == {"id": made["id"], "deleted": True}
    assert table.records == {}
    assert (await client.post("/_sandbox/edit", json={**where, "restore": True})).json() == edited


async def test_control_mistakes_are_explained(client: httpx.AsyncClient, table: Table) -> None:
    no_table = await client.post("/_sandbox/edit", json={"table": "Nope", "fields": {}})
    bad_value = await client.post("/_sandbox/edit", json={"table": "Leads", "fields": {"Score": "many"}})

    assert no_table.json() == {"error": "Not found: Nope (0 tables fit)"}
    assert refusal(bad_value) == (422, "INVALID_VALUE_FOR_COLUMN")


async def test_schema_changes_reach_cells_without_touching_records(
    client: httpx.AsyncClient, table: Table, url: str, clock: VirtualClock
) -> None:
    record = table.create({"Name": "7", "Stage": "New", "Tags": ["a"], "Email": "x"})
    clock.advance(60)

    async def change(**wanted: str) -> None:
        response = await client.post("/_sandbox/schema", json={"table": "Leads", **wanted})
        assert response.status_code == 200

    await change(action="rename_option", field="Stage", option="New", name="Fresh")
    await change(action="rename_field", field="Email", name="Mail")
    await change(action="change_type", field="Name", type="number")
    await change(action="change_type", field="Tags", type="singleLineText")
    await change(action="delete_field", field="Score")
    await change(action="add_field", name="New one", type="lastModifiedTime")

    cells = (await client.get(f"{url}/{record.id}")).json()["fields"]
    assert {key: cells[key] for key in ("Name", "Stage", "Tags", "Mail")} == {
        "Name": 7,
        "Stage": "Fresh",
        "Tags": "a",
        "Mail": "x",
    }
    assert cells["Changed"] == cells["New one"] == "2026-03-01T12:00:00.000Z"
    assert refusal(await client.get(url, params={"fields[]": "Score"})) == (422, "UNKNOWN_FIELD_NAME")


async def test_fields_are_created_over_the_api_as_far_as_airtable_allows(
    client: httpx.AsyncClient, base: Base, table: Table
) -> None:
    path = f"/v0/meta/bases/{base.id}/tables/{table.id}/fields"

    made = await client.post(path, json={"name": "CRM ID", "type": "singleLineText"})
    again = await client.post(path, json={"name": "CRM ID", "type": "singleLineText"})
    no_options = await client.post(path, json={"name": "n", "type": "number"})
    computed = await client.post(path, json={"name": "n", "type": "lastModifiedTime"})
    renamed = await client.patch(f"{path}/{made.json()['id']}", json={"name": "Key"})

    assert made.json() == {"id": made.json()["id"], "name": "CRM ID", "type": "singleLineText"}
    assert [refusal(r)[1] for r in (again, no_options, computed)] == [
        "DUPLICATE_OR_EMPTY_FIELD_NAME",
        "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
        "UNSUPPORTED_FIELD_TYPE_FOR_CREATE",
    ]
    assert renamed.json()["name"] == "Key"


async def test_the_same_seed_gives_the_same_ids(clock: VirtualClock) -> None:
    ids = []
    for _ in range(2):
        base = AirtableSandbox(clock=clock, seed=3).store.add_base("Sales")
        table = base.add_table("Leads", [FieldSpec("Stage", "singleSelect", {"choices": ["New"]})])
        ids.append([base.id, table.id, table.primary.id, *table.primary.choices, table.create().id])

    assert ids[0] == ids[1]
    assert {len(i) for i in ids[0]} == {17}
