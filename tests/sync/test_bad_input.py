"""Bad input at a provider: one sentence that names the thing and the remedy, while the rest of the work goes on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.mapping import MappingError
from app.lab.sandboxes import KEY, TOKEN
from app.providers.base import ProviderError
from app.sandbox.airtable import FieldSpec, admin
from app.sync.canonical import InvalidFields, canonical
from tests.conftest import Urls, execute
from tests.sync.conftest import Bench

AUTO = "auto"


def _config(bench: Bench, **changes: str) -> dict[str, Any]:
    return {"base_id": bench.base.id, "table_id": bench.table.id} | changes


@pytest.mark.parametrize(
    ("changes", "token", "names"),
    [
        ({}, "patWRONG.x", ["token"]),
        ({"base_id": "appAAAAAAAAAAAAAA"}, TOKEN, ["base"]),
        ({"table_id": "tblAAAAAAAAAAAAAA"}, TOKEN, ["table"]),
    ],
)
async def test_a_wrong_token_base_or_table_is_named(
    bench: Bench, changes: dict[str, str], token: str, names: list[str]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await bench.world.connect("airtable", _config(bench, **changes), {"token": token})

    assert all(name in str(caught.value).lower() for name in names)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"field": "title", "remote": "Job"}], "has no column 'Job'"),
        ([{"field": "tittle", "remote": "Title"}], "no lead field 'tittle'"),
        ([{"field": "custom.rev", "remote": "Last Modified", "direction": "both"}], "read-only there"),
        ([{"field": "notes", "remote": "Rich Notes"}], "rich text"),
        ([{"field": "title", "remote": "Title"}, {"field": "title", "remote": "Company"}], "mapped twice"),
        ([{"field": "title", "remote": "Title"}, {"field": "company_name", "remote": "Title"}], "two fields"),
        ([{"field": "email_open_count", "remote": "Title"}], "never exchanged"),
        ([{"field": "sms_sent_count", "remote": "Title", "direction": "both"}], "only comes in"),
        ([{"field": "status", "remote": "Status", "values": {"Frozen": "won"}}], "no option 'Frozen'"),
        ([{"field": "status", "remote": "Status", "values": {"Won": "victory"}}], "no status 'victory'"),
        ([{"field": "title", "remote": "Title", "rule": "local_only"}], "cannot become"),
    ],
)
async def test_a_mapping_that_does_not_fit_is_refused_in_one_sentence(
    bench: Bench, rows: list[dict[str, Any]], sentence: str
) -> None:
    bench.table.add_field(FieldSpec("Rich Notes", "richText"))
    with pytest.raises(MappingError, match=sentence):
        await bench.world.connect("airtable", _config(bench), {"token": TOKEN}, mapping=rows)


async def test_last_modified_wins_needs_its_column(bench: Bench) -> None:
    rows = [{"field": "title", "remote": "Title"}]
    with pytest.raises(MappingError, match="last-modified-time column"):
        await bench.world.connect(
            "airtable", _config(bench), {"token": TOKEN}, mapping=rows, conflict_strategy="last_modified_wins"
        )


async def test_a_column_deleted_later_is_named_and_the_rest_goes_on(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", title="CTO")
    airtable = await bench.airtable()
    admin.delete_field(bench.table, "Title")
    await bench.patch("anna@berg.test", title="CEO", company_name="Berg BV")
    bench.edit_there(record, phone="0612345678")
    await bench.sync(airtable)

    assert "'Title' is no longer in the table" in str((await bench.world.connection(airtable)).reason)
    values = (await bench.lead("anna@berg.test")).values
    assert (values["title"], values["phone"]) == ("CEO", "+31612345678")
    assert bench.cell(record, "Company") == "Berg BV"


async def test_a_status_without_an_option_there_blocks_that_field_only(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test")
    rows = [
        {"field": "email", "remote": "Email"},
        {"field": "title", "remote": "Title"},
        {"field": "status", "remote": "Status", "values": {"New": "new"}},
    ]
    airtable = await bench.airtable(mapping=rows)
    await bench.patch("anna@berg.test", status="won", title="CTO")
    await bench.settle()

    assert bench.cell(record, "Title") == "CTO"
    assert bench.cell(record, "Status") == "New"
    assert "won" in str((await bench.link(airtable, record)).error)


async def test_an_option_nobody_mapped_means_nothing_and_is_never_overwritten(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test")
    rows = [{"field": "email", "remote": "Email"}, {"field": "status", "remote": "Status", "values": {"New": "new"}}]
    airtable = await bench.airtable(mapping=rows)
    bench.edit_there(record, status="Won")
    await bench.sync(airtable)
    assert (await bench.lead("anna@berg.test")).values["status"] == "new"

    await bench.patch("anna@berg.test", status="lost")
    await bench.settle()
    assert bench.cell(record, "Status") == "Won"


async def test_one_refused_record_does_not_stop_the_others(bench: Bench) -> None:
    rows = [bench.row(full_name=f"P {n}", email=f"p{n}@x.test") for n in range(5)]
    airtable = await bench.airtable()
    for n in range(5):
        claimer = "nobody@else.test" if n == 2 else "ann@team.test"
        await bench.patch(f"p{n}@x.test", claimed_by=claimer, title="CTO")
    await bench.settle()
    calls = bench.calls()
    await bench.settle()

    assert bench.calls() == calls
    assert [bench.cell(record, "Title") for record in rows] == ["CTO"] * 5
    claimed = [(bench.cell(record, "Claimed By") or {}).get("email") for record in rows]
    assert claimed == ["ann@team.test", "ann@team.test", None, "ann@team.test", "ann@team.test"]
    assert (await bench.link(airtable, rows[2])).error


async def test_rows_without_an_address_or_with_an_odd_one_are_kept(bench: Bench) -> None:
    nameless = bench.row(full_name="No Address")
    odd = bench.row(full_name="Odd\u0000 One", email="a\ud800b@x.test")
    wrong = bench.row(full_name="Wrong", email="not an address")
    airtable = await bench.airtable()

    assert await bench.value("SELECT count(*) FROM lead") == 3
    for record in (nameless, odd, wrong):
        assert (await bench.link(airtable, record)).lead_id is not None
    cell = (await bench.link(airtable, wrong)).link.cell("email")
    assert (cell.state, cell.other) == ("diverged", "not an address")


async def test_a_note_of_two_megabytes_is_refused(bench: Bench) -> None:
    bench.row(full_name="Anna Berg", email="anna@berg.test")
    await bench.airtable()
    with pytest.raises(InvalidFields, match=r"2,097,152 characters"):
        canonical({"notes": "x" * 2 * 1024 * 1024})


async def test_a_wrong_instantly_key_is_named(bench: Bench) -> None:
    with pytest.raises(ProviderError) as caught:
        await bench.world.connect("instantly", {"campaign_ids": None}, {"api_key": KEY + "-wrong"})

    assert "key" in str(caught.value).lower()


async def test_absurd_custom_variables_cost_neither_their_row_nor_the_page(bench: Bench) -> None:
    deep: object = "bottom"
    for _ in range(400):
        deep = {"deeper": deep}
    there = bench.world.instantly.store
    odd = there.add_lead(bench.campaigns[0].id, email="odd@x.test")
    there.edit(odd.id, custom_variables={"Deep": deep, "Long": 10**30, "Tier\u0000": "A\ud800"})
    there.add_lead(bench.campaigns[0].id, email="plain@x.test")

    await bench.instantly()

    assert (await bench.lead("plain@x.test")).values["email"] == "plain@x.test"
    metadata = next(iter((await bench.lead("odd@x.test")).values["metadata"].values()))
    assert (metadata["Long"], metadata["Tier"]) == (str(10**30), "A")
    assert "bottom" in orjson.dumps(metadata["Deep"]).decode()


async def test_a_secret_that_cannot_be_read_stops_its_connection_and_what_was_asked_of_it(
    bench: Bench, urls: Urls
) -> None:
    bench.row(email="ada@acme.test")
    connection_id = await bench.airtable()
    await execute(urls.owner, "UPDATE provider_account SET secret = 'sealed under another key'")

    await bench.sync(connection_id)

    stopped = await bench.world.connection(connection_id)
    assert stopped.state == "stopped"
    assert "LEADKEEPER_SECRET_KEY" in (stopped.reason or "")
    assert await bench.value("SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running')") == 0


async def test_an_address_that_people_may_not_send_is_kept_as_text_where_a_tool_brings_it(bench: Bench) -> None:
    bench.world.instantly.store.add_lead(bench.campaigns[0].id, email="a@x.test", website="javascript:alert(1)")
    await bench.instantly()
    await bench.patch("a@x.test", title="CTO")

    values = (await bench.lead("a@x.test")).values
    assert (values["company_website"], values["title"]) == ("javascript:alert(1)", "CTO")
