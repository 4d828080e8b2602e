"""An independent client, unmodified and over real HTTP, cannot tell the sandbox from the service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import uvicorn
from pyairtable import Api, Base, Table
from pyairtable.formulas import match
from pyairtable.models.schema import SingleSelectFieldSchema
from requests.exceptions import HTTPError

from app.sandbox.airtable import AirtableSandbox, FieldSpec, Switches, TableSpec
from app.sandbox.core import MovableClock

FIELDS = [
    FieldSpec("CRM ID"),
    FieldSpec("Email", "email"),
    FieldSpec("Score", "number"),
    FieldSpec("Stage", "singleSelect", {"choices": ["New", "Won"]}),
    FieldSpec("Called", "checkbox"),
    FieldSpec("Changed", "lastModifiedTime"),
    FieldSpec("Made", "createdTime"),
    FieldSpec("Sum", "formula"),
]


@pytest.fixture(scope="module")
def sandbox() -> AirtableSandbox:
    sandbox = AirtableSandbox(clock=MovableClock(), switches=Switches(limiter=False))
    sandbox.store.add_token("patTEST.x")
    return sandbox


@pytest.fixture(scope="module")
def url(sandbox: AirtableSandbox) -> Iterator[str]:
    config = uvicorn.Config(
        sandbox.app, port=0, log_level="error", date_header=False, lifespan="off", ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=5)


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[Api]:
    api = Api("patTEST.x", endpoint_url=url, retry_strategy=None)
    yield api
    api.session.close()


@pytest.fixture
def base(sandbox: AirtableSandbox, api: Api) -> Base:
    return api.base(sandbox.store.add_base("Sales", [TableSpec("Leads / Neu ✨", FIELDS)]).id)


@pytest.fixture
def leads(base: Base) -> Table:
    """Addressed by its name, which has to survive the URL."""
    return base.table("Leads / Neu ✨")


def test_batches_of_any_size_are_created_listed_and_deleted(leads: Table) -> None:
    created = leads.batch_create([{"CRM ID": f"c{n}", "Score": n} for n in range(25)])

    assert [f"c{n}" for n in range(25)] == [record["fields"]["CRM ID"] for record in created]
    assert created == leads.all()
    assert len(leads.batch_delete([record["id"] for record in created])) == 25
    assert leads.all() == []


def test_pages_are_iterated(leads: Table) -> None:
    leads.batch_create([{"Score": n} for n in range(23)])

    pages = list(leads.iterate(page_size=10))

    assert [len(page) for page in pages] == [10, 10, 3]
    assert len(leads.all(page_size=5, max_records=7)) == 7


def test_filters_sorts_projections_and_comment_counts(leads: Table) -> None:
    leads.batch_create([{"CRM ID": x, "Score": n} for n, x in enumerate("bca")])

    found = leads.all(formula=match({"Score": (">", 0)}), sort=["CRM ID"], fields=["CRM ID"], count_comments=True)

    assert [record["fields"] for record in found] == [{"CRM ID": "a"}, {"CRM ID": "c"}]
    assert found[0].get("commentCount") == 0
    assert [record["fields"]["Score"] for record in leads.all(sort=["-Score"])] == [2, 1, 0]


def test_a_formula_too_long_for_a_url_goes_by_post(leads: Table) -> None:
    created = leads.batch_create([{"Score": n} for n in range(3)])
    names = [f"RECORD_ID()='rec{n:014}'" for n in range(600)] + [f"RECORD_ID()='{created[1]['id']}'"]

    found = leads.all(formula=f"OR({','.join(names)})", time_zone="utc", user_locale="en")

    assert [created[1]] == found


def test_updates_merge_or_replace(leads: Table) -> None:
    record = leads.create({"CRM ID": "a", "Score": 1, "Called": True})

    merged = leads.update(record["id"], {"Score": 2, "Called": False})
    replaced = leads.update(record["id"], {"Score": 3}, replace=True)
    batch = leads.batch_update([{"id": record["id"], "fields": {"CRM ID": "b"}}])

    shown = [{k: v for k, v in r["fields"].items() if k in ("CRM ID", "Score", "Called")} for r in (merged, replaced)]
    assert shown == [{"CRM ID": "a", "Score": 2}, {"Score": 3}]
    assert batch == [leads.get(record["id"])]


def test_upserts_create_what_is_new_and_update_what_is_known(leads: Table) -> None:
    known = leads.create({"CRM ID": "a", "Score": 1})

    result = leads.batch_upsert(
        [{"fields": {"CRM ID": "a", "Score": 2}}, {"fields": {"CRM ID": "b"}}], key_fields=["CRM ID"]
    )

    assert [known["id"]] == result["updatedRecords"]
    assert [result["records"][1]["id"]] == result["createdRecords"]
    assert leads.get(known["id"])["fields"]["Score"] == 2


def test_field_ids_work_in_both_directions(base: Base) -> None:
    schema = base.schema().tables[0]
    email = schema.field("Email").id
    by_id = base.table(schema.id)

    created = by_id.create({email: "a@example.com"}, use_field_ids=True)

    assert created["fields"][email] == "a@example.com"
    assert created == by_id.get(created["id"], use_field_ids=True)
    assert [created] == by_id.all(use_field_ids=True)


def test_the_schema_parses_into_the_clients_models(api: Api, base: Base) -> None:
    schema = base.schema().tables[0]

    stage = schema.field("Stage")
    assert isinstance(stage, SingleSelectFieldSchema)
    assert [choice.name for choice in stage.options.choices] == ["New", "Won"]
    assert [spec.type for spec in FIELDS] == [field.type for field in schema.fields]
    assert schema.views[0].visible_field_ids == [field.id for field in schema.fields]
    assert base.id in [found.id for found in api.bases(force=True)]
    assert api.whoami()["id"].startswith("usr")


def test_tables_and_fields_are_created(base: Base) -> None:
    table = base.create_table("Notes", [{"name": "Title", "type": "singleLineText"}])
    field = table.create_field("Size", "number", options={"precision": 2})

    assert [(f.name, f.type) for f in table.schema().fields] == [("Title", "singleLineText"), ("Size", "number")]
    assert table.create({"Title": "x", field.id: 1.5})["fields"] == {"Title": "x", "Size": 1.5}


def test_typecast_creates_options(leads: Table) -> None:
    with pytest.raises(HTTPError, match="INVALID_MULTIPLE_CHOICE_OPTIONS"):
        leads.create({"Stage": "Lost"})

    assert leads.create({"Stage": "Lost"}, typecast=True)["fields"]["Stage"] == "Lost"


def test_the_date_header_is_the_sandbox_clocks(sandbox: AirtableSandbox, api: Api, leads: Table) -> None:
    response = api.session.get(leads.urls.records)

    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert abs(sandbox.store.clock.now() - parsedate_to_datetime(response.headers["Date"])) < timedelta(seconds=3)
