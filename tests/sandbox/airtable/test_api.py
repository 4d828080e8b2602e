"""The quirks of single calls to the Airtable sandbox: refusals, cells, modification times, batches."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.airtable import AirtableSandbox, Base, FieldSpec, Table
from tests.sandbox.airtable.conftest import refusal

UNKNOWN = "rec00000000000000"


# Routes and refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "token", "expected"),
    [
        ("GET", "/v1/nothing", "pat", (404, "NOT_FOUND")),
        ("GET", "/v0/nobase/Leads", "", (404, "NOT_FOUND")),
        ("GET", "/v0/{base}/Leads/norecord", "", (404, "NOT_FOUND")),
        ("PUT", "/v0/meta/bases", "pat", (404, "NOT_FOUND")),
        ("GET", "/v0/{base}/Leads", "", (401, "AUTHENTICATION_REQUIRED")),
        ("GET", "/v0/{base}/Leads", "wrong", (401, "AUTHENTICATION_REQUIRED")),
        ("GET", "/v0/app00000000000000/Leads", "pat", (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")),
        ("GET", "/v0/{base}/Leads", "elsewhere", (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")),
        ("GET", "/v0/{base}/Nope", "pat", (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")),
        ("DELETE", "/v0/{base}/Leads?records[]=x", "reader", (403, "INVALID_PERMISSIONS")),
        ("POST", "/v0/meta/bases/{base}/tables", "editor", (403, "INVALID_PERMISSIONS")),
        ("GET", f"/v0/{{base}}/Leads/{UNKNOWN}", "pat", (404, "MODEL_ID_NOT_FOUND")),
        ("DELETE", f"/v0/{{base}}/Leads?records[]={UNKNOWN}", "pat", (422, "ROW_DOES_NOT_EXIST")),
        ("GET", "/v0/{base}/Leads?fields[]=Nope", "pat", (422, "UNKNOWN_FIELD_NAME")),
        ("GET", "/v0/{base}/Leads?view=Nope", "pat", (422, "VIEW_NAME_NOT_FOUND")),
        ("GET", "/v0/{base}/Leads?offset=nonsense", "pat", (422, "INVALID_OFFSET_VALUE")),
        ("GET", "/v0/{base}/Leads?pageSize=101", "pat", (422, "INVALID_REQUEST_UNKNOWN")),
        ("GET", "/v0/{base}/Leads?filterByFormula=x(", "pat", (422, "INVALID_FILTER_BY_FORMULA")),
        ("GET", "/v0/{base}/Leads?filterByFormula=" + "x" * 16_000, "pat", (414, "REQUEST_URI_TOO_LONG")),
    ],
)
async def test_calls_that_are_refused(
    client: httpx.AsyncClient, base: Base, table: Table, method: str, path: str, token: str, expected: tuple[int, str]
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {"Authorization": ""}

    response = await client.request(method, path.replace("{base}", base.id), headers=headers)

    assert refusal(response) == expected


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("POST", "{", (400, "INVALID_REQUEST_BODY")),
        ("POST", "[]", (422, "INVALID_REQUEST_UNKNOWN")),
        ("POST", "{}", (422, "INVALID_REQUEST_MISSING_FIELDS")),
        ("POST", '{"fields": {}, "surprise": 1}', (422, "INVALID_REQUEST_UNKNOWN")),
        ("POST", '{"records": []}', (422, "INVALID_RECORDS")),
        ("POST", '{"records": [' + ",".join(['{"fields": {}}'] * 11) + "]}", (422, "INVALID_RECORDS")),
        ("PATCH", '{"records": [{"fields": {}}]}', (422, "INVALID_RECORDS")),
        ("PATCH", '{"records": [{"id": "rec00000000000000", "fields": {}}]}', (422, "ROW_DOES_NOT_EXIST")),
        ("POST", '{"fields": {"Nope": 1}}', (422, "UNKNOWN_FIELD_NAME")),
        ("POST", '{"fields": {"Name": 1}}', (422, "INVALID_VALUE_FOR_COLUMN")),
        ("POST", '{"fields": {"Score": "1"}}', (422, "INVALID_VALUE_FOR_COLUMN")),
        ("POST", '{"fields": {"Stars": 6}}', (422, "INVALID_VALUE_FOR_COLUMN")),
        ("POST", '{"fields": {"Met": "soon"}}', (422, "INVALID_VALUE_FOR_COLUMN")),
        ("POST", '{"fields": {"Owner": {"email": "x@example.com"}}}', (422, "INVALID_VALUE_FOR_COLUMN")),
        ("POST", '{"fields": {"Sum": 1}}', (422, "INVALID_VALUE_FOR_COLUMN")),
        ("POST", '{"fields": {"Stage": "Lost"}}', (422, "INVALID_MULTIPLE_CHOICE_OPTIONS")),
        ("PATCH", '{"records": [{"fields": {}}], "performUpsert": {}}', (422, "INVALID_REQUEST_UNKNOWN")),
    ],
)
async def test_bodies_that_are_refused(
    client: httpx.AsyncClient, url: str, method: str, body: str, expected: tuple[int, str]
) -> None:
    response = await client.request(method, url, content=body)

    assert refusal(response) == expected


async def test_the_computed_refusal_names_the_field(client: httpx.AsyncClient, url: str) -> None:
    response = await client.post(url, json={"fields": {"Sum": 1}})

    message = 'Field "Sum" cannot accept a value because the field is computed'
    assert response.json() == {"error": {"type": "INVALID_VALUE_FOR_COLUMN", "message": message}}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("not_found", (404, "NOT_FOUND")),
        ("not_found_bare", (404, "NOT_FOUND")),
        ("forbidden", (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")),
    ],
)
async def test_the_refusal_of_a_deleted_record_is_switchable(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, url: str, form: Any, expected: tuple[int, str]
) -> None:
    sandbox.switches.unknown_record = form

    assert refusal(await client.get(f"{url}/{UNKNOWN}")) == expected


async def test_a_trailing_slash_and_an_empty_query_change_nothing(client: httpx.AsyncClient, url: str) -> None:
    created = await client.post(f"{url}/?", json={"fields": {"Name": "x"}})
    found = await client.get(f"{url}/{created.json()['id']}/?")

    assert found.json() == created.json()


async def test_a_record_is_found_under_any_table_of_its_base(
    client: httpx.AsyncClient, base: Base, table: Table
) -> None:
    base.add_table("Über/uns ✨", [FieldSpec("Title")])
    record = table.create({"Name": "x"})

    found = await client.get(f"/v0/{base.id}/%C3%9Cber%2Funs%20%E2%9C%A8/{record.id}?returnFieldsByFieldId=0")

    assert found.json()["fields"]["Name"] == "x"


# Cells ----------------------------------------------------------------------------------------------------------


async def test_empty_cells_are_left_out_and_zero_is_not(client: httpx.AsyncClient, url: str) -> None:
    fields = {"Name": "", "Score": 0, "Hot": False, "Tags": [], "Stage": None, "Email": "a@example.com"}

    created = await client.post(url, json={"fields": fields})

    shown = created.json()["fields"]
    assert {name: shown[name] for name in shown if name in fields} == {"Score": 0, "Email": "a@example.com"}


@pytest.mark.parametrize(
    ("field", "sent", "shown"),
    [
        ("Called", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00.000Z"),
        ("Called", "2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00.000Z"),
        ("Called", "2026-07-01T12:00:00.1234", "2026-07-01T10:00:00.123Z"),  # in the field's zone, +02:00
        ("Called", 1_782_900_000_000, "2026-07-01T10:00:00.000Z"),
        ("Met", "2026-07-01T23:00:00Z", "2026-07-01"),
        ("Notes", "#header\n* bullet", "#header\n- bullet\n"),
        ("Notes", None, "\n"),
        ("Score", 1.25, 1.25),
        ("Tags", ["b", "a", "b"], ["b", "a"]),
        ("Name", " as typed ", " as typed "),
    ],
)
async def test_values_are_altered_as_documented(
    client: httpx.AsyncClient, url: str, field: str, sent: Any, shown: Any
) -> None:
    created = await client.post(url, json={"fields": {field: sent}})

    assert created.json()["fields"][field] == shown


@pytest.mark.parametrize(
    ("field", "sent", "shown"),
    [
        ("Name", 12, "12"),
        ("Score", "1,200", 1200),
        ("Hot", "yes", True),
        ("Stage", "Lost", "Lost"),
        ("Tags", "c", ["c"]),
    ],
)
async def test_typecast_converts(client: httpx.AsyncClient, url: str, field: str, sent: Any, shown: Any) -> None:
    created = await client.post(url, json={"fields": {field: sent}, "typecast": True})

    assert created.json()["fields"][field] == shown


async def test_typecast_needs_the_right_to_add_options_and_counts_only_in_the_body(
    client: httpx.AsyncClient, url: str
) -> None:
    body = {"fields": {"Stage": "Lost"}, "typecast": True}

    as_editor = await client.post(url, json=body, headers={"Authorization": "Bearer editor"})
    in_query = await client.post(f"{url}?typecast=true", json={"fields": {"Stage": "Lost"}})

    assert refusal(as_editor) == refusal(in_query) == (422, "INVALID_MULTIPLE_CHOICE_OPTIONS")


async def test_collaborators_go_by_email_or_id(client: httpx.AsyncClient, base: Base, url: str) -> None:
    ann = base.add_collaborator("ann@example.com", "Ann")

    by_email = await client.post(url, json={"fields": {"Owner": {"email": ann.email}}})
    by_id = await client.post(url, json={"fields": {"Owner": {"id": ann.id}}})

    cell = {"id": ann.id, "email": "ann@example.com", "name": "Ann"}
    assert [r.json()["fields"]["Owner"] for r in (by_email, by_id)] == [cell, cell]


async def test_links_keep_both_sides_in_step(base: Base, table: Table, clock: VirtualClock) -> None:
    companies = base.add_table("Companies", [FieldSpec("Name")])
    table.add_field(FieldSpec("Company", "multipleRecordLinks", {"linkedTableId": companies.id}))
    acme = companies.create({"Name": "Acme"})
    clock.advance(10)

    lead = table.create({"Company": [acme.id]})
    assert companies.read(acme)["Leads"] == [lead.id]
    assert acme.edited == clock.now().timestamp()

    table.delete(lead.id)
    assert "Leads" not in companies.read(acme)

    table.restore(lead.id)
    assert companies.read(acme)["Leads"] == [lead.id]


# Modification times ---------------------------------------------------------------------------------------------


async def test_modification_times_are_rounded_and_ignore_computed_fields(
    client: httpx.AsyncClient, table: Table, url: str, clock: VirtualClock
) -> None:
    clock.advance(0.7)
    record_id = (await client.post(url, json={"fields": {"Name": "x"}})).json()["id"]
    clock.advance(60)
    table.set_computed(record_id, {"Sum": 5})
    untouched = (await client.get(f"{url}/{record_id}")).json()
    await client.patch(f"{url}/{record_id}", json={"fields": {"Name": "x"}})
    unchanged = (await client.get(f"{url}/{record_id}")).json()
    changed = (await client.patch(f"{url}/{record_id}", json={"fields": {"Name": "y"}})).json()

    assert untouched["createdTime"] == untouched["fields"]["Changed"] == "2026-03-01T12:00:00.000Z"
    assert untouched["fields"]["Sum"] == 5
    assert unchanged == untouched
    # 12:01:00.7 reads as 12:01:01, ahead of the clock
    assert changed["fields"]["Changed"] == "2026-03-01T12:01:01.000Z"
    assert changed["fields"]["Scored"] == "2026-03-01T12:00:00.000Z"
    assert changed["fields"]["Day"] == "2026-03-01"


async def test_edits_on_the_screen_count_as_modifications(table: Table, clock: VirtualClock) -> None:
    record = table.create({"Score": 1})
    clock.advance(5)
    table.edit(record.id, {"Score": 2})

    assert table.read(record)["Scored"] == "2026-03-01T12:00:05.000Z"


# Writing in batches ---------------------------------------------------------------------------------------------


async def test_a_batch_is_all_or_nothing(client: httpx.AsyncClient, table: Table, url: str) -> None:
    good, bad = {"fields": {"Stage": "Brand new"}}, {"fields": {"Sum": 1}}

    response = await client.post(url, json={"records": [good, bad], "typecast": True})

    assert response.status_code == 422
    assert table.records == {}
    stage = table.field("Stage")
    assert stage is not None
    assert stage.choice_named("Brand new") is None


async def test_a_batch_delete_is_all_or_nothing(client: httpx.AsyncClient, table: Table, url: str) -> None:
    ids = [table.create().id for _ in range(2)]

    unknown = await client.delete(url, params={"records[]": [*ids, UNKNOWN]})
    twice = await client.delete(url, params={"records[]": [ids[0], ids[0]]})
    assert [refusal(unknown), refusal(twice)] == [(422, "ROW_DOES_NOT_EXIST"), (422, "FAILED_STATE_CHECK")]
    assert list(table.records) == ids

    both = await client.delete(url, params={"records[]": ids})
    assert both.json() == {"records": [{"id": i, "deleted": True} for i in ids]}
    assert table.records == {}


async def test_put_clears_what_is_not_named(client: httpx.AsyncClient, table: Table, url: str) -> None:
    record = table.create({"Name": "x", "Score": 1, "Tags": ["a"]})

    await client.put(url, json={"records": [{"id": record.id, "fields": {"Score": 2}}]})

    assert {k: v for k, v in table.read(record).items() if k in ("Name", "Score", "Tags")} == {"Score": 2}


async def test_upsert_matches_one_refuses_several_and_creates_for_null(
    client: httpx.AsyncClient, table: Table, url: str
) -> None:
    known = table.create({"Name": "a"})
    for _ in range(2):
        table.create({"Name": "twice"})

    async def upsert(*names: str | None) -> httpx.Response:
        body = {"records": [{"fields": {"Name": n, "Score": 1}} for n in names]}
        return await client.patch(url, json={**body, "performUpsert": {"fieldsToMergeOn": ["Name"]}})

    several = await upsert("new", "twice")
    mixed = (await upsert("a", None, "new")).json()

    assert several.status_code == 422
    assert mixed["updatedRecords"] == [known.id]
    assert mixed["createdRecords"] == [record["id"] for record in mixed["records"][1:]]
    assert (await upsert("new")).json()["createdRecords"] == []


async def test_upsert_with_two_equal_new_keys_is_switchable(
    client: httpx.AsyncClient, sandbox: AirtableSandbox, table: Table, url: str
) -> None:
    body = {"records": [{"fields": {"Email": "a"}}] * 2, "performUpsert": {"fieldsToMergeOn": ["Email"]}}

    sandbox.switches.upsert_duplicate_keys = "refuse"
    refused = await client.patch(url, json=body)
    sandbox.switches.upsert_duplicate_keys = "create_both"
    created = await client.patch(url, json=body)
    sandbox.switches.contact_merge_fields = False
    unmergeable = await client.patch(url, json=body)

    assert [r.status_code for r in (refused, created, unmergeable)] == [422, 200, 422]
    assert len(table.records) == 2
