"""The mapping: what a cell means, how a value is written, and which mappings are refused by name."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from app.domain import mapping, notes
from app.domain.lead import Connection
from app.domain.mapping import DEFAULT_COLUMNS, MappingError
from app.domain.policy import FIELDS, Kind, Rule, Source
from app.domain.values import JSON, MISSING
from tests.domain.builders import OPTIONS, T0, column, instantly, lead, link, look, settle, table

LONG = "x" * 100_001


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("company_name", " Acme ", "Acme"),
        ("company_name", "", None),
        ("verified", None, False),
        ("verified", True, True),
        ("status", "won", "won"),
        ("status", " WON ", "won"),
        ("status", "Called", "contacted"),
        ("status", "Unheard of", MISSING),
        ("campaigns", ["b", "a", "a", ""], ["a", "b"]),
        ("campaigns", "b, a", ["a", "b"]),
        ("campaigns", [" "], None),
        ("claimed_by", {"email": "Ann@acme.test", "id": "usr1"}, "ann@acme.test"),
        ("claimed_by", "ann@acme.test", "ann@acme.test"),
        ("phone", "06 12345678", "+31612345678"),
        ("custom.tier", {"x": 1}, {"x": 1}),
        ("custom.tier", [], None),
    ],
)
def test_a_cell_means(name: str, raw: JSON, expected: JSON) -> None:
    assert table(name).fields[name].decode(raw) == expected


def test_a_status_in_a_text_column_is_known_by_its_words() -> None:
    mapped = mapping.check([{"field": "status", "remote": "s"}], [_text("s")]).fields["status"]

    assert [mapped.decode(raw) for raw in ("Not interested", " won! ", "Whatever")] == [
        "not_interested",
        "won",
        MISSING,
    ]
    assert mapped.encode("not_interested") == "not_interested"


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        ("company_name", "singleLineText", "Acme", "Acme"),
        ("company_name", "singleLineText", None, None),
        ("verified", "checkbox", None, False),
        ("status", "singleSelect", "contacted", "Contacted"),
        ("campaigns", "multipleSelects", ["a", "b"], ["a", "b"]),
        ("campaigns", "singleLineText", ["a", "b"], "a, b"),
        ("claimed_by", "singleCollaborator", "ann@acme.test", {"email": "ann@acme.test"}),
        ("claimed_by", "email", "ann@acme.test", "ann@acme.test"),
        ("custom.box", "multilineText", {"x": "é"}, '{"x": "é"}'),
        ("deal_value", "currency", 12.5, 12.5),
        ("notes", "multilineText", [notes.entry("one", at=T0, by="a"), notes.entry("two", at=T0, by="a")], "one\ntwo"),
    ],
)
def test_a_value_is_written(name: str, kind: str, value: JSON, expected: JSON) -> None:
    mapped = mapping.check([{"field": name, "remote": name}], [column(name, kind)]).fields[name]

    assert mapped.encode(value) == expected


@pytest.mark.parametrize(
    ("name", "kind", "options", "value", "why"),
    [
        ("title", "singleSelect", ["CEO"], "CFO", "The column title has no option 'CFO'"),
        ("status", "singleSelect", ["New"], "won", "No option of the column status is mapped to 'won'"),
        ("company_name", "singleLineText", (), LONG, "company_name has 100,001 characters; a cell of"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    name: str, kind: str, options: list[str], value: JSON, why: str
) -> None:
    mapped = mapping.check([{"field": name, "remote": name}], [column(name, kind, options=options)]).fields[name]

    with pytest.raises(MappingError, match=why):
        mapped.encode(value)


def test_a_value_map_on_a_text_column_is_written_in_its_own_spelling() -> None:
    rows = [{"field": "status", "remote": "s", "values": {"Klant ": "won"}}]
    checked = mapping.check(rows, [_text("s")], version=3)

    for mapped in (checked.fields["status"], mapping.load(3, checked.dump()).fields["status"]):
        assert (mapped.decode("klant"), mapped.encode("won")) == ("won", "Klant ")


def test_what_is_dumped_is_loaded() -> None:
    every = mapping.check(
        [{"field": name, "remote": name} for name in ("status", "email", "crm_id", "last_sync")],
        [column("status"), column("email"), column("crm_id"), column("last_sync")],
        version=7,
    )

    assert mapping.load(7, every.dump()) == every
    assert {m.rule for m in every.fields.values()} == {Rule.AUTHORITY}


def test_a_mapping_is_stored_with_every_word_of_it() -> None:
    rows: list[dict[str, Any]] = [
        {"field": "status", "remote": "Stage", "values": {"New": "new", "Won!": "won"}, "rule": "ladder"},
        {"field": "title", "remote": "fld-title", "direction": "push"},
        {"field": "sync_error", "remote": "fld-error"},
        {"field": "modified_at", "remote": "fld-changed"},
    ]
    columns = [
        dataclasses.replace(column("status", options=("New", "Won!")), name="Stage"), column("title"),
        column("error"), column("changed", "lastModifiedTime", writable=False),
    ]  # fmt: skip

    assert mapping.check(rows, columns).dump() == [
        {
            "field": "status", "remote": "fld-status", "column": "Stage", "type": "singleSelect", "direction": "both",
            "rule": "ladder", "values": {"New": "new", "Won!": "won"}, "options": ["New", "Won!"],
        },
        {
            "field": "title", "remote": "fld-title", "column": "title", "type": "singleLineText", "direction": "push",
            "rule": "authority",
        },
        {
            "field": "sync_error", "remote": "fld-error", "column": "error", "type": "singleLineText",
            "direction": "push", "rule": "local_only",
        },
        {
            "field": "modified_at", "remote": "fld-changed", "column": "changed", "type": "lastModifiedTime",
            "direction": "pull", "rule": "local_only",
        },
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["last_sync", "sync_status", "sync_error", "crm_id"])
def test_what_rides_along_is_written_and_no_field(name: str) -> None:
    known = mapping.check([{"field": name, "remote": name}], [column(name)])

    assert (known.version, known.fields, known.pseudo[name].direction) == (1, {}, "push")


def test_only_a_status_has_options_that_mean_something_by_their_words() -> None:
    rows = [{"field": "title", "remote": "title"}]

    assert mapping.check(rows, [column("title", "singleSelect", options=["Won"])]).fields["title"].values == {}


def test_options_are_known_as_statuses_by_their_words() -> None:
    known = mapping.check(
        [{"field": "status", "remote": "status"}],
        [column("status", options=["Not interested", " WON! ", "2. Opened", "On hold"])],
    ).fields["status"]

    assert known.values == {"not interested": "not_interested", "won!": "won", "2. opened": "opened"}
    assert [known.encode(value) for value in ("not_interested", "won", "opened")] == [
        "Not interested", " WON! ", "2. Opened",
    ]  # fmt: skip


def test_a_column_that_is_gone_is_neither_asked_for_nor_written() -> None:
    rows = [{"field": name, "remote": name} for name in ("email", "title", "crm_id", "last_sync")]
    dumped = mapping.check(rows, [column(str(row["field"])) for row in rows]).dump()

    known = mapping.load(1, dumped, missing=frozenset({"fld-title", "fld-crm_id"}))

    assert known.columns() == ["fld-email"]
    assert (set(known.fields), set(known.pseudo)) == ({"email", "title"}, {"last_sync"})


def test_a_column_is_known_by_the_name_of_its_field() -> None:
    """Three of them by another one, as the lead-database document and the demo base have it."""
    others = {"company": "company_name", "website": "company_website", "last modified": "modified_at"}

    assert {name: others.get(name, name.replace(" ", "_")) for name in DEFAULT_COLUMNS} == DEFAULT_COLUMNS
    assert len(DEFAULT_COLUMNS) == 33


def test_every_kind_of_value_is_read_in_its_own_way() -> None:
    assert set(mapping.DECODERS) == set(get_args(Kind))


def test_a_text_of_100_000_characters_fits_a_cell() -> None:
    assert table("company_name").fields["company_name"].encode(LONG[1:]) == LONG[1:]


def test_a_record_is_read_by_column_id() -> None:
    known = table("email", "title")

    assert known.observed({"fld-email": "a@acme.test", "fld-else": 1}) == {"email": "a@acme.test"}


def test_the_crm_id_and_the_modification_time_are_asked_for_too() -> None:
    rows = [{"field": name, "remote": name} for name in ("email", "crm_id", "modified_at")]
    columns = [column("email"), column("crm_id"), column("modified_at", "lastModifiedTime", writable=False)]

    assert mapping.check(rows, columns).columns() == ["fld-email", "fld-crm_id", "fld-modified_at"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"field": "email", "remote": "nowhere"},
            "no column 'nowhere' .for email.: it has formula, modified_at, notes",
        ),
        ({"field": "nonsense", "remote": "title"}, "no lead field 'nonsense': use custom.<key>, or one of email, full"),
        ({"field": "custom.", "remote": "title"}, "no lead field 'custom.'"),
        ({"field": "email_open_count", "remote": "title"}, "'email_open_count' is never exchanged with a table"),
        ({"field": "metadata", "remote": "title"}, "'metadata' is never exchanged with a table"),
        ({"field": "title", "remote": "title", "direction": "sideways"}, "is 'sideways': it is pull, push or both"),
        ({"field": "title", "remote": "formula", "direction": "both"}, "'formula' is read-only there: map title"),
        ({"field": "sms_sent_count", "remote": "title", "direction": "both"}, "'sms_sent_count' only comes in"),
        ({"field": "notes", "remote": "rich"}, "'rich' is rich text, which Airtable rewrites"),
        ({"field": "title", "remote": "title", "rule": "ladder"}, "rule of 'title' is authority and cannot become"),
        ({"field": "status", "remote": "status", "rule": "replace"}, "rule of 'status' is authority and cannot"),
        (
            {"field": "status", "remote": "status", "values": {"New": "fresh"}},
            "There is no status 'fresh': it is one of new, not_interested, ",
        ),
        ({"field": "status", "remote": "status", "values": {"Old": "new"}}, "'status' has no option 'Old'"),
        ({"field": "crm_id", "remote": "formula"}, "'formula' is read-only there, so crm_id cannot be written"),
        ({"field": "modified_at", "remote": "title"}, "'title' is no last-modified-time column"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_by_name(row: dict[str, Any], why: str) -> None:
    columns = [
        column("formula", writable=False), column("modified_at"), column("notes"), column("rich", "richText"),
        column("status"), column("title"),
    ]  # fmt: skip

    with pytest.raises(MappingError, match=why):
        mapping.check([row], columns)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([("email", "email"), ("email", "title")], "'email' is mapped twice"),
        ([("email", "email"), ("title", "email")], "'email' is mapped to two fields"),
        ([("crm_id", "email"), ("crm_id", "title")], "'crm_id' is mapped twice"),
    ],
)
def test_a_field_and_a_column_are_mapped_once(rows: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(MappingError, match=why):
        mapping.check([{"field": f, "remote": r} for f, r in rows], [column("email"), column("title")])


def test_a_status_may_be_tightened_to_the_ladder_and_any_rule_may_be_repeated() -> None:
    rows = [
        {"field": "status", "remote": "status", "rule": "ladder"},
        {"field": "title", "remote": "title", "rule": "authority"},
    ]

    assert [m.rule for m in mapping.check(rows, [column("status"), column("title")]).fields.values()] == [
        Rule.LADDER,
        Rule.AUTHORITY,
    ]


def test_a_custom_column_may_have_a_value_map() -> None:
    rows = [{"field": "custom.tier", "remote": "tier", "values": {"Gold!": "gold"}}]
    mapped = mapping.check(rows, [column("tier", "singleSelect", options=["Gold!"])]).fields["custom.tier"]

    assert (mapped.decode("Gold!"), mapped.encode("gold")) == ("gold", "Gold!")


def test_a_read_only_column_comes_in_only() -> None:
    rows = [{"field": "title", "remote": "formula"}, {"field": "sms_sent_count", "remote": "sms"}]
    fields = mapping.check(rows, [column("formula", writable=False), column("sms")]).fields

    assert {name: (m.direction, m.is_one_way) for name, m in fields.items()} == {
        "title": ("pull", False),
        "sms_sent_count": ("pull", True),
    }


def test_columns_of_a_known_name_are_proposed_once_and_only_where_they_fit() -> None:
    columns = [
        column("Full Name"), column("EMAIL"), column("Email"), column("Notes", "richText"), column("Whatever"),
        column("CRM ID", writable=False), column("Last Modified", "date"), column("Status", options=list(OPTIONS)),
    ]  # fmt: skip

    proposed = mapping.propose(columns)

    assert [row["field"] for row in proposed] == ["full_name", "email", "status"]
    assert set(mapping.check(proposed, columns).fields) == {"full_name", "email", "status"}


def test_what_a_source_may_say_is_its_fixed_mapping() -> None:
    for source in (Source.INSTANTLY, Source.EVENT, Source.IMPORT):
        fields = mapping.incoming(source).fields
        assert {name: m.rule for name, m in fields.items()} == {
            name: row.rule(source) for name, row in FIELDS.items() if row.rule(source) is not Rule.LOCAL_ONLY
        }


def test_an_option_mapped_later_is_ordinary_news_for_a_field_that_only_comes_in_too() -> None:
    before = Connection(id="A", source=Source.AIRTABLE, mapping=table("status", rule="ladder", direction="pull"))
    here, links, _ = settle(lead(), [link(before, {"status": "Champion"})])

    assert (here.values["status"], links["A"].base_remote) == ("new", {})

    options = OPTIONS | {"Champion": "won"}
    now = Connection(
        id="A", source=Source.AIRTABLE, mapping=table("status", rule="ladder", direction="pull", options=options)
    )
    links["A"].connection = now

    assert settle(here, [look(links["A"], {}, "2026-03-02T11:00:00.000Z")])[0].values["status"] == "won"
    assert instantly().mapping.version == 1


def _text(name: str) -> Any:
    made = column(name)
    assert not made.options
    return made
