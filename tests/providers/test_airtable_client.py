"""The Airtable client against recorded quirks (respx), then the contract against the sandbox."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from app.lab.transport import InProcess
from app.providers.airtable.table import Airtable, quoted
from app.providers.base import (
    CursorExpired,
    Guard,
    ProviderError,
    QuotaUsedUp,
    Refused,
    Rejected,
    Unavailable,
    Uncertain,
    Write,
)
from app.sandbox.airtable import AirtableSandbox, FieldSpec, Switches, Table
from app.sandbox.core import Fault

from .conftest import FakeClock, FakeLimiter
from .contract import ProviderContract, World

TOKEN = "patCANARY.0123456789abcdef"
TABLE = "https://api.airtable.com/v0/appBase/tblLeads"
LIST = f"{TABLE}/listRecords"
TABLES = "https://api.airtable.com/v0/meta/bases/appBase/tables"


@pytest.fixture
def airtable(client: httpx.AsyncClient, limiter: FakeLimiter, clock: FakeClock, rng: random.Random) -> Airtable:
    return Airtable(
        client=client,
        token=TOKEN,
        base_id="appBase",
        table_id="tblLeads",
        columns=["fldEmail", "fldDone"],
        checkboxes=frozenset({"fldDone"}),
        modified_column="fldModified",
        limiter=limiter,
        clock=clock,
        rng=rng,
    )


def body_of(route: respx.Route) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(route.calls.last.request.content)
    return body


def answer(*records: dict[str, Any], **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"records": list(records), **more})


def record(record_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": record_id, "createdTime": "2022-01-08T00:09:22.000Z", "fields": fields}


class TestListing:
    async def test_a_full_page_asks_by_ids_and_shows_every_requested_column(
        self, airtable: Airtable, web: respx.MockRouter
    ) -> None:
        route = web.post(LIST).mock(
            return_value=answer(
                record("rec1", fldEmail="a@x.test", fldDone=True, fldModified="2026-02-03T04:05:06Z"), record("rec2")
            )
        )

        page = await airtable.page(airtable.start("full"))

        assert body_of(route) == {
            "pageSize": 100,
            "fields": ["fldEmail", "fldDone", "fldModified"],
            "returnFieldsByFieldId": True,
        }
        assert [r.cells for r in page.records] == [
            {"fldEmail": "a@x.test", "fldDone": True},
            {"fldEmail": None, "fldDone": False},
        ]
        assert [r.modified_at for r in page.records] == ["2026-02-03T04:05:06.000Z", None]
        assert page.records[0].created_at == "2022-01-08T00:09:22.000Z"
        assert page.next is None

    async def test_a_delta_keeps_its_formula_from_page_to_page(self, airtable: Airtable, web: respx.MockRouter) -> None:
        route = web.post(LIST).mock(side_effect=[answer(record("rec1"), offset="itr/rec1"), answer()])
        since = "2026-02-28T23:59:00.000Z"

        first = await airtable.page(airtable.start("delta", since))
        assert first.next is not None
        second = await airtable.page(json.loads(json.dumps(first.next)))

        formula = f'NOT(IS_BEFORE(LAST_MODIFIED_TIME(), DATETIME_PARSE("{since}")))'
        bodies = [json.loads(call.request.content) for call in route.calls]
        assert [b["filterByFormula"] for b in bodies] == [formula, formula]
        assert [b.get("offset") for b in bodies] == [None, "itr/rec1"]
        assert second.next is None

    async def test_a_sweep_shows_ids_and_no_cells(self, airtable: Airtable, web: respx.MockRouter) -> None:
        route = web.post(LIST).mock(return_value=answer(record("rec1", fldEmail="a@x.test")))

        page = await airtable.page(airtable.start("sweep"))

        assert body_of(route)["fields"] == ["fldEmail"]
        assert [(r.remote_id, r.cells) for r in page.records] == [("rec1", {})]

    async def test_the_same_position_twice_starts_the_listing_again(
        self, airtable: Airtable, web: respx.MockRouter
    ) -> None:
        web.post(LIST).mock(return_value=answer(record("rec1"), offset="itr/rec1"))

        page = await airtable.page(airtable.start("full"))
        assert page.next is not None
        with pytest.raises(CursorExpired, match="twice"):
            await airtable.page(page.next)

    async def test_what_is_no_record_is_skipped_and_a_record_without_fields_shows_nothing(
        self, airtable: Airtable, web: respx.MockRouter
    ) -> None:
        odd: list[Any] = [None, 7, {"fields": {}}, {"id": 5}, {"id": "rec1", "createdTime": 12, "extra": {}}]
        web.post(LIST).mock(return_value=answer(*odd))

        page = await airtable.page(airtable.start("full"))

        assert [(r.remote_id, r.cells, r.created_at) for r in page.records] == [("rec1", {}, None)]

    async def test_an_answer_by_column_names_is_not_read_as_empty_cells(
        self, airtable: Airtable, web: respx.MockRouter
    ) -> None:
        web.post(LIST).mock(return_value=answer(record("rec1", Email="a@x.test")))

        with pytest.raises(Unavailable, match="column names"):
            await airtable.page(airtable.start("full"))


class TestLookUps:
    async def test_reading_asks_for_the_ids_and_takes_no_other_record(
        self, airtable: Airtable, web: respx.MockRouter
    ) -> None:
        route = web.post(LIST).mock(return_value=answer(record("rec2"), record("rec9")))

        records = await airtable.read(["rec1", "rec2"])

        assert body_of(route)["filterByFormula"] == 'OR(RECORD_ID()="rec1",RECORD_ID()="rec2")'
        assert [r.remote_id for r in records] == ["rec2"]

    async def test_reading_looks_on_only_while_ids_are_missing(self, airtable: Airtable, web: respx.MockRouter) -> None:
        pages = [answer(record("rec1"), offset="itr/rec1"), answer(record("rec2"), offset="itr/rec2")]
        route = web.post(LIST).mock(side_effect=pages)

        records = await airtable.read(["rec1", "rec2"])

        assert ([r.remote_id for r in records], route.call_count) == (["rec1", "rec2"], 2)

    async def test_reading_nothing_calls_nobody(self, airtable: Airtable) -> None:
        assert await airtable.read([]) == []
        assert await airtable.find("fldEmail", []) == []

    @pytest.mark.parametrize(
        ("value", "formula"),
        [
            ("a@x.test", '"a@x.test"'),
            ('say "hi"', r'"say \"hi\""'),
            ("back\\slash", r'"back\\slash"'),
            ('\\"),TRUE(),("', r'"\\\"),TRUE(),(\""'),
            ("two\r\nlines\tand a tab", r'"two\r\nlines\tand a tab"'),
            ("it's {fine}", '"it\'s {fine}"'),
        ],
    )
    def test_text_cannot_leave_its_quotes(self, value: str, formula: str) -> None:
        assert quoted(value) == formula

    async def test_finding_compares_without_case_in_batches(self, airtable: Airtable, web: respx.MockRouter) -> None:
        route = web.post(LIST).mock(return_value=answer(record("rec1", fldEmail="A1@x.test")))

        records = await airtable.find("fldEmail", [f"a{n}@x.test" for n in range(51)])

        assert [r.remote_id for r in records] == ["rec1"]
        assert route.call_count == 2
        assert body_of(route)["filterByFormula"] == 'OR(LOWER({fldEmail})=LOWER("a50@x.test"))'


class TestWrites:
    async def test_an_update_sends_only_its_cells_and_shows_all_requested_ones(
        self, airtable: Airtable, web: respx.MockRouter, guard: Guard
    ) -> None:
        route = web.patch(TABLE).mock(return_value=answer(record("rec1", fldEmail="b@x.test", fldOther="private")))

        records = await airtable.update([Write(remote_id="rec1", cells={"fldDone": None})], guard)

        assert body_of(route) == {
            "records": [{"id": "rec1", "fields": {"fldDone": None}}],
            "typecast": False,
            "returnFieldsByFieldId": True,
        }
        assert [r.cells for r in records] == [{"fldEmail": "b@x.test", "fldDone": False}]

    async def test_creating_posts_and_merging_upserts(
        self, airtable: Airtable, web: respx.MockRouter, guard: Guard
    ) -> None:
        post = web.post(TABLE).mock(return_value=answer(record("rec1", fldEmail="a@x.test")))
        patch = web.patch(TABLE).mock(return_value=answer(record("rec1", fldEmail="a@x.test")))
        writes = [Write(remote_id=None, cells={"fldEmail": "a@x.test"})]

        await airtable.create(writes, guard)
        await airtable.create(writes, guard, merge_on="fldEmail")

        records = [{"fields": {"fldEmail": "a@x.test"}}]
        plain = {"records": records, "typecast": False, "returnFieldsByFieldId": True}
        assert body_of(post) == plain
        assert body_of(patch) == plain | {"performUpsert": {"fieldsToMergeOn": ["fldEmail"]}}

    @pytest.mark.parametrize(
        "records",
        [
            pytest.param([record("rec2"), record("rec1")], id="another order"),
            pytest.param([record("rec1")], id="too few"),
            pytest.param([record("rec1"), record("rec2"), record("rec3")], id="too many"),
            pytest.param([record("rec1"), record("rec1")], id="one twice"),
            pytest.param([record("rec1"), {"id": None}], id="no record"),
            pytest.param([record("rec1"), record("rec2", Email="a")], id="names instead of ids"),
        ],
    )
    async def test_other_records_than_were_written_leave_it_uncertain(
        self, airtable: Airtable, web: respx.MockRouter, guard: Guard, records: list[dict[str, Any]]
    ) -> None:
        web.patch(TABLE).mock(return_value=answer(*records))

        with pytest.raises(Uncertain, match="another order"):
            await airtable.update([Write(remote_id=f"rec{n}", cells={}) for n in (1, 2)], guard)

    async def test_a_merge_answered_in_another_order_is_uncertain(
        self, airtable: Airtable, web: respx.MockRouter, guard: Guard
    ) -> None:
        web.patch(TABLE).mock(return_value=answer(record("rec1", fldEmail="b"), record("rec2", fldEmail="a")))
        writes = [Write(remote_id=None, cells={"fldEmail": key}) for key in "ab"]

        with pytest.raises(Uncertain):
            await airtable.create(writes, guard, merge_on="fldEmail")

    async def test_nothing_to_write_calls_nobody_and_too_much_is_a_mistake_of_ours(
        self, airtable: Airtable, guard: Guard
    ) -> None:
        assert await airtable.update([], guard) == []
        with pytest.raises(ValueError, match="At most 10"):
            await airtable.create([Write(remote_id=None, cells={})] * 11, guard)
        with pytest.raises(ValueError, match="names the record"):
            await airtable.update([Write(remote_id=None, cells={})], guard)


def typed(kind: str, message: str | None = None) -> dict[str, Any]:
    return {"error": {"type": kind} if message is None else {"type": kind, "message": message}}


MODEL = "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"
#: (status, body) -> what it is for a read, for a write, a phrase of its sentence
REFUSALS: list[tuple[int, Any, type[ProviderError], type[ProviderError], str]] = [
    (401, typed("AUTHENTICATION_REQUIRED", "Authentication required"), Refused, Refused, "create a personal access"),
    (401, {"errors": [{"error": "UNAUTHORIZED", "message": "Invalid"}]}, Refused, Refused, "401: Invalid"),
    (402, typed("PAYMENT_REQUIRED"), Refused, Refused, "plan"),
    (403, typed(MODEL, "Invalid permissions"), Refused, Refused, "scope data.records:"),
    (403, typed("INVALID_PERMISSIONS", "You are not permitted to write"), Refused, Refused, "editor role"),
    (403, "<html>blocked</html>", Refused, Refused, "between here and Airtable"),
    (404, {"error": "NOT_FOUND"}, Refused, Rejected, "NOT_FOUND"),
    (404, typed("NOT_FOUND"), Refused, Rejected, "NOT_FOUND"),
    (404, typed("MODEL_ID_NOT_FOUND", "Record not found"), Refused, Rejected, "Record not found"),
    (404, typed("TABLE_NOT_FOUND", "Could not find table"), Refused, Refused, "tblLeads"),
    (400, "no json", Rejected, Rejected, "no json"),
    (413, "", Rejected, Rejected, "Request Entity Too Large"),
    (422, typed("INVALID_REQUEST_UNKNOWN", "Invalid request"), Rejected, Rejected, "Invalid request"),
    (422, typed("LIST_RECORDS_ITERATOR_NOT_AVAILABLE"), CursorExpired, CursorExpired, "starts again"),
    (422, typed("INVALID_OFFSET_VALUE", "The value of offset"), CursorExpired, CursorExpired, "starts again"),
    (429, typed("PUBLIC_API_BILLING_LIMIT_EXCEEDED", "limit exceeded"), QuotaUsedUp, QuotaUsedUp, "used up"),
]


class TestRefusals:
    @pytest.mark.parametrize(("status", "body", "for_read", "for_write", "phrase"), REFUSALS)
    async def test_each_is_a_typed_decision_made_with_one_call(
        self,
        airtable: Airtable,
        web: respx.MockRouter,
        guard: Guard,
        clock: FakeClock,
        status: int,
        body: Any,
        for_read: type[ProviderError],
        for_write: type[ProviderError],
        phrase: str,
    ) -> None:
        refusal = httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)
        route = web.post(LIST).mock(return_value=refusal)
        web.patch(TABLE).mock(return_value=refusal)

        with pytest.raises(for_read) as read:
            await airtable.read(["rec1"])
        with pytest.raises(for_write) as write:
            await airtable.update([Write(remote_id="rec1", cells={})], guard)

        assert (type(read.value), type(write.value)) == (for_read, for_write)
        assert phrase in str(read.value)
        assert phrase in str(write.value)
        assert (route.call_count, clock.sleeps) == (1, [])

    @pytest.mark.parametrize(
        ("kind", "message", "column", "option"),
        [
            ("UNKNOWN_FIELD_NAME", 'Unknown field name: "fldEmail"', "fldEmail", None),
            ("INVALID_FILTER_BY_FORMULA", "…is invalid: Unknown field names: fldemail, b", "fldemail", None),
            ("INVALID_VALUE_FOR_COLUMN", 'Field "My "big" field" cannot accept the value', 'My "big" field', None),
            ("INVALID_VALUE_FOR_COLUMN", 'Field "f" cannot accept a value because it is computed', "f", None),
            (
                "INVALID_MULTIPLE_CHOICE_OPTIONS",
                'Insufficient permissions to create new select option ""Hot lead""',
                None,
                "Hot lead",
            ),
            ("INVALID_REQUEST_MISSING_FIELDS", 'Could not find field "fields" in the request body', None, None),
        ],
    )
    async def test_a_rejection_names_the_column_or_the_option(
        self,
        airtable: Airtable,
        web: respx.MockRouter,
        guard: Guard,
        kind: str,
        message: str,
        column: str | None,
        option: str | None,
    ) -> None:
        web.patch(TABLE).mock(return_value=httpx.Response(422, json=typed(kind, message)))

        with pytest.raises(Rejected) as raised:
            await airtable.update([Write(remote_id="rec1", cells={})], guard)

        assert (raised.value.kind, raised.value.column) == (kind, column)
        assert raised.value.details.get("option") == option

    async def test_a_429_pauses_the_base_for_thirty_seconds(
        self, airtable: Airtable, web: respx.MockRouter, limiter: FakeLimiter
    ) -> None:
        web.post(LIST).mock(side_effect=[httpx.Response(429, json=typed("RATE_LIMIT_REACHED")), answer()])

        await airtable.page(airtable.start("full"))

        assert limiter.pauses == [("airtable:base:appBase", 30.0)]
        acquired = [(key, rate) for what, key, rate in limiter.events if what == "acquire"]
        assert acquired[0] == ("airtable:base:appBase", 4.5)
        assert (acquired[1][0].startswith("airtable:token:"), acquired[1][1]) == (True, 45.0)
        assert TOKEN not in acquired[1][0]


class TestSchema:
    async def test_columns_say_what_they_hold_and_whether_we_may_write(
        self, airtable: Airtable, web: respx.MockRouter
    ) -> None:
        dated = {"result": {"type": "dateTime"}, "referencedFieldIds": ["fldA"]}
        fields = [
            {"id": "fldA", "name": "Email", "type": "email"},
            {"id": "fldB", "name": "Status", "type": "singleSelect", "options": {"choices": [{"name": "New"}, {}]}},
            {"id": "fldC", "name": "Changed", "type": "lastModifiedTime", "options": dated},
            {"id": "fldD", "name": "Day", "type": "lastModifiedTime", "options": {"result": {"type": "date"}}},
            {"id": "fldE", "name": "Sum", "type": "formula", "options": {"result": None, "referencedFieldIds": []}},
            {"id": "fldF", "type": "fromTheFuture", "options": 7},
            {"name": "no id"},
        ]
        tables = [{"id": "tblOther", "fields": []}, {"id": "tblLeads", "fields": fields}]
        web.get(TABLES).mock(return_value=httpx.Response(200, json={"tables": tables}))

        columns = await airtable.schema()

        assert [(c.id, c.name, c.writable, c.options, c.has_time, c.watches) for c in columns] == [
            ("fldA", "Email", True, (), False, None),
            ("fldB", "Status", True, ("New",), False, None),
            ("fldC", "Changed", False, (), True, ("fldA",)),
            ("fldD", "Day", False, (), False, None),
            ("fldE", "Sum", False, (), False, None),
            ("fldF", "fldF", False, (), False, None),
        ]

    async def test_a_missing_table_is_named(self, airtable: Airtable, web: respx.MockRouter) -> None:
        web.get(TABLES).mock(return_value=httpx.Response(200, json={"tables": []}))

        with pytest.raises(Refused, match="base appBase has no table tblLeads"):
            await airtable.schema()

    async def test_a_missing_scope_is_named(self, airtable: Airtable, web: respx.MockRouter) -> None:
        web.get(TABLES).mock(return_value=httpx.Response(403, json=typed(MODEL)))

        with pytest.raises(Refused, match=r"schema\.bases:read"):
            await airtable.schema()


@pytest.fixture
def sandbox(clock: FakeClock) -> AirtableSandbox:
    return AirtableSandbox(clock=clock, switches=Switches(limiter=False))


@pytest.fixture
def table(sandbox: AirtableSandbox) -> Table:
    sandbox.store.add_token(TOKEN)
    columns = [FieldSpec("Email", "email"), FieldSpec("Done", "checkbox"), FieldSpec("Key"), FieldSpec("Private")]
    return sandbox.store.add_base("Sales").add_table("Leads", columns)


@pytest.fixture
async def world(
    sandbox: AirtableSandbox, table: Table, limiter: FakeLimiter, clock: FakeClock, rng: random.Random
) -> AsyncIterator[World]:
    ids = {field.name: field.id for field in table.fields.values()}
    async with httpx.AsyncClient(transport=InProcess({"api.airtable.com": sandbox.app})) as client:

        def connect(token: str = TOKEN) -> Airtable:
            return Airtable(
                client=client,
                token=token,
                base_id=table.base.id,
                table_id=table.id,
                columns=[ids["Email"], ids["Done"], ids["Key"]],
                checkboxes=frozenset({ids["Done"]}),
                limiter=limiter,
                clock=clock,
                rng=rng,
            )

        yield World(
            connect=connect,
            sandbox=sandbox.sandbox,
            add=lambda email: table.create({"Email": email, "Private": "x"}).id,
            remove=table.delete,
            email_column=ids["Email"],
        )


class TestAgainstTheSandbox(ProviderContract):
    async def test_cells_are_the_same_however_a_record_is_come_by(
        self, world: World, table: Table, guard: Guard
    ) -> None:
        email, done, key, _ = table.fields
        airtable = world.provider

        (created,) = await airtable.create([Write(remote_id=None, cells={email: "a@x.test"})], guard)
        (updated,) = await airtable.update([Write(remote_id=created.remote_id, cells={key: None})], guard)
        (read,) = await airtable.read([created.remote_id])
        (found,) = await airtable.find(email, ["A@X.test"])
        (listed,) = (await airtable.page(airtable.start("full"))).records

        assert created.cells == {email: "a@x.test", done: False, key: None}
        assert [updated, read, found, listed] == [created] * 4

    async def test_merging_updates_what_is_there_and_creates_the_rest(
        self, world: World, table: Table, guard: Guard
    ) -> None:
        email, _, key, _ = table.fields
        there = table.create({"Key": "lead-1"}).id
        cells = [{key: "lead-2", email: "b@x.test"}, {key: "lead-1", email: "a@x.test"}]

        created, merged = await world.provider.create(
            [Write(remote_id=None, cells=c) for c in cells], guard, merge_on=key
        )

        assert (merged.remote_id, merged.cells[email], len(table.records)) == (there, "a@x.test", 2)
        assert created.cells[key] == "lead-2"

    async def test_a_delta_shows_what_was_modified_since(self, world: World, table: Table, clock: FakeClock) -> None:
        world.add("old@x.test")
        await clock.sleep(3600)
        since = "2026-03-01T12:30:00.000Z"
        new = [world.add(f"{n}@x.test") for n in range(150)]

        records = await world.listed(world.provider.start("delta", since))

        assert {r.remote_id for r in records} == set(new)

    @pytest.mark.parametrize("kind", ["drop_before", "drop_after", "truncate", "html", "status", "status_after"])
    async def test_a_write_without_an_answer_is_uncertain_and_left_once(
        self, world: World, table: Table, guard: Guard, kind: Any
    ) -> None:
        email = next(iter(table.fields))
        world.sandbox.faults.add(Fault(kind=kind))

        with pytest.raises(Uncertain):
            await world.provider.create([Write(remote_id=None, cells={email: "a@x.test"})], guard)

        assert len(world.sandbox.calls) == 1
        assert len(table.records) == (1 if kind in ("drop_after", "truncate", "status_after") else 0)

    async def test_an_expired_iterator_and_a_used_up_quota_are_told_apart(self, world: World) -> None:
        for n in range(101):
            world.add(f"{n}@x.test")
        page = await world.provider.page(world.provider.start("full"))
        assert page.next is not None

        world.sandbox.faults.add(Fault(kind="iterator", count=1))
        with pytest.raises(CursorExpired):
            await world.provider.page(page.next)
        world.sandbox.faults.add(Fault(kind="quota"))
        with pytest.raises(QuotaUsedUp):
            await world.provider.page(world.provider.start("full"))

        assert [call.status for call in world.sandbox.calls] == [200, 422, 429]

    async def test_a_bad_value_writes_nothing_and_names_the_column(
        self, world: World, table: Table, guard: Guard
    ) -> None:
        email, done, *_ = table.fields
        writes = [Write(remote_id=None, cells=c) for c in ({email: "a@x.test"}, {done: "yes"})]

        with pytest.raises(Rejected) as raised:
            await world.provider.create(writes, guard)

        assert (raised.value.kind, raised.value.column) == ("INVALID_VALUE_FOR_COLUMN", "Done")
        assert not table.records

    async def test_the_schema_is_the_tables(self, world: World, table: Table) -> None:
        columns = await world.provider.schema()

        assert [(c.id, c.name, c.writable) for c in columns] == [
            (field.id, field.name, True) for field in table.fields.values()
        ]
