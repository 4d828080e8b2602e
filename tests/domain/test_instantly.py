"""What an Instantly lead object says about a lead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import instantly, policy
from app.domain.instantly import ICP_NAMES, INTEREST_STATUS, observe, suppression
from app.domain.ladder import DELIVERY_LADDER, STATUS_LADDER, rank

CREATED = "2026-08-13T11:11:55.811Z"
CONTACT = "2026-08-24T14:04:44.450Z"
OPENED = "2026-08-25T13:30:12.293Z"

BARE: dict[str, Any] = {
    "id": "019ffad2-53a1-7acf-9ae0-404312bcab56",
    "timestamp_created": CREATED,
    "timestamp_updated": CREATED,
    "organization": "f4420000-0000-4000-8000-000000000001",
    "status": 1,
    "email_open_count": 0,
    "email_reply_count": 0,
    "email_click_count": 0,
    "company_domain": "acme.test",
    "status_summary": {},
    "campaign": "d13d0000-0000-4000-8000-000000000002",
    "email": "Ada@acme.test",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from(
    sorted(
        {
            *BARE, "lt_interest_status", "payload", "timestamp_last_contact", "timestamp_last_reply", "phone",
            "website", "last_step_id", "status_summary_subseq", "first_name", "job_title", "list_id",
            "timestamp_last_interest_change",
        }
    )
)  # fmt: skip


def lead(**changes: object) -> dict[str, Any]:
    return BARE | changes


def without(*keys: str, **changes: object) -> dict[str, Any]:
    return {key: value for key, value in lead(**changes).items() if key not in keys}


def test_a_live_lead_is_read() -> None:
    raw = lead(
        first_name=" Ada ",
        last_name="Lovelace",
        company_name="Acme",
        job_title="CEO",
        phone="06 12345678",
        website="Acme.test/",
        personalization="I saw\r\nyour talk",
        email_open_count=2,
        timestamp_last_contact=CONTACT,
        payload={"firstName": "Ada", "email": "ada@acme.test", "jobTitle": "CEO", "Tier": "A", "Branche": "Software"},
    )

    assert observe(raw) == {
        "email": "ada@acme.test",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "company_name": "Acme",
        "company_domain": "acme.test",
        "company_website": "https://acme.test",
        "title": "CEO",
        "phone": "+31612345678",
        "personalization": "I saw\nyour talk",
        "industry": "Software",
        "location": None,
        "company_size": None,
        "status": "opened",
        "email_open_count": 2,
        "email_click_count": 0,
        "email_reply_count": 0,
        "last_contacted_at": CONTACT,
        "instantly_created_at": CREATED,
        "last_step_info": None,
        "delivery_status": "emailed",
        "metadata": {"Tier": "A", "Branche": "Software"},
    }


def test_every_observed_key_is_a_field_of_the_policy() -> None:
    seen = observe(lead(lt_interest_status=1))

    assert set(seen) - set(policy.FIELDS) == set()


def test_an_absent_field_is_empty_and_an_absent_always_present_one_is_not_shown() -> None:
    seen = observe({"id": "x"})

    assert seen["first_name"] is None
    assert seen["email"] is None
    assert seen["last_contacted_at"] is None
    assert seen["metadata"] == {}
    assert {
        "company_domain", "email_open_count", "email_click_count", "email_reply_count", "instantly_created_at",
        "status", "delivery_status", "is_positive_reply",
    }.isdisjoint(seen)  # fmt: skip


def test_an_empty_domain_is_empty() -> None:
    assert observe(lead(company_domain=""))["company_domain"] is None


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("first_name", {"x": 1}, "first_name"),
        ("email", "nobody", "email"),
        ("email_open_count", "many", "email_open_count"),
        ("email_open_count", -1, "email_open_count"),
        ("email_open_count", None, "email_open_count"),
        ("timestamp_created", "soon", "instantly_created_at"),
        ("timestamp_last_contact", "soon", "last_contacted_at"),
        ("payload", ["x"], "metadata"),
        ("payload", ["x"], "industry"),
    ],
)
def test_a_value_in_an_unknown_shape_is_not_shown(key: str, value: object, field: str) -> None:
    assert field not in observe(lead(**{key: value}))


def test_a_job_title_is_read_beside_a_payload_of_unknown_shape() -> None:
    assert observe(lead(payload="?", job_title="CEO"))["title"] == "CEO"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, None),
        ({"timestamp_last_contact": CONTACT}, "contacted"),
        ({"email_open_count": 1}, "opened"),
        ({"timestamp_last_open": OPENED}, "opened"),
        ({"email_open_count": 3, "email_click_count": 1}, "clicked"),
        ({"email_click_count": 1, "email_reply_count": 1.0}, "replied"),
        ({"timestamp_last_reply": OPENED}, "replied"),
        ({"lt_interest_status": 0}, None),
        ({"lt_interest_status": 0, "email_reply_count": 1}, "replied"),
        ({"lt_interest_status": 1}, "replied"),
        ({"lt_interest_status": 2, "email_reply_count": 1}, "booked"),
        ({"lt_interest_status": 3}, "booked"),
        ({"lt_interest_status": 4, "email_reply_count": 1}, "won"),
        ({"lt_interest_status": -1}, "not_interested"),
        ({"lt_interest_status": -1, "email_reply_count": 1}, "replied"),  # the lowest rank: counters stand above it
        ({"lt_interest_status": -2}, None),
        ({"lt_interest_status": -3, "email_reply_count": 1}, "lost"),
        ({"lt_interest_status": -4, "timestamp_last_contact": CONTACT}, "contacted"),
        ({"lt_interest_status": 777}, None),  # a custom label
        ({"lt_interest_status": "?"}, None),
    ],
)
def test_the_status_is_the_highest_of_all_signals(changes: dict[str, Any], status: str | None) -> None:
    assert observe(lead(**changes))["status"] == status


@pytest.mark.parametrize("missing", ["status", "email_reply_count", "email_open_count"])
def test_without_all_signals_no_status_is_no_status(missing: str) -> None:
    assert "status" not in observe(without(missing))


def test_a_signal_counts_also_when_others_are_missing() -> None:
    assert observe(without("email_reply_count", email_open_count=1))["status"] == "opened"


@pytest.mark.parametrize(
    ("code", "expected"), [(1, True), (2, True), (3, True), (4, True), (-1, False), (-2, False), (1.0, True)]
)
def test_interest_is_a_dated_reply_flag(code: float, expected: bool) -> None:
    seen = observe(lead(lt_interest_status=code, timestamp_last_interest_change=OPENED))

    assert seen["is_positive_reply"] == {"value": expected, "at": OPENED}


def test_interest_without_a_time_is_undated() -> None:
    assert observe(lead(lt_interest_status=1))["is_positive_reply"] == {"value": True, "at": None}


@pytest.mark.parametrize("code", [None, 0, -3, -4, 777, "?", True])
def test_other_codes_say_nothing_about_the_reply(code: object) -> None:
    assert "is_positive_reply" not in observe(lead(lt_interest_status=code))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "not_yet_emailed"),
        ({"timestamp_last_contact": CONTACT}, "emailed"),
        ({"email_open_count": 1}, "emailed"),
        ({"status": -1, "timestamp_last_contact": CONTACT}, "bounced"),
        ({"status": -1, "email_reply_count": 1}, "replied"),
        ({"lt_interest_status": 1}, "not_yet_emailed"),  # set by hand: no mail went either way
    ],
)
def test_replied_over_bounced_over_emailed(changes: dict[str, Any], expected: str) -> None:
    assert observe(lead(**changes))["delivery_status"] == expected


def test_delivery_is_not_shown_where_a_bounce_may_be_hidden() -> None:
    assert "delivery_status" not in observe(without("status", timestamp_last_contact=CONTACT))
    assert observe(without("status", email_reply_count=1))["delivery_status"] == "replied"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status_summary": {}}, None),
        ({"status_summary": [1], "status_summary_subseq": "?"}, None),
        (
            {"last_step_id": "s1", "last_step_from": "campaign", "last_step_timestamp_executed": CONTACT},
            {"step_id": "e8bc163c82ee", "from": "campaign", "at": CONTACT},
        ),
        (
            {"status_summary": {"lastStep": {"stepID": "s2", "from": "campaign", "timestamp_executed": CONTACT}}},
            {"step_id": "ad328846aa18", "from": "campaign", "at": CONTACT},
        ),
        (
            {
                "last_step_id": "s1", "last_step_timestamp_executed": CONTACT,
                "status_summary_subseq": {"stepID": "s3", "from": "subsequence", "timestampExecuted": OPENED},
            },
            {"step_id": "41242b9fae56", "from": "subsequence", "at": OPENED},
        ),
        ({"last_step_id": "s1"}, {"step_id": "e8bc163c82ee", "from": None, "at": None}),
    ],
)  # fmt: skip
def test_the_last_step_is_the_newest_of_three_places(changes: dict[str, Any], expected: object) -> None:
    assert observe(lead(**changes))["last_step_info"] == expected


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Job Title", "title"), ("functie", "title"), ("FunctieTitel", "title"),
        ("INDUSTRY", "industry"), ("branche", "industry"),
        ("Locatie", "location"), ("woonplaats", "location"), ("company_city", "location"),
        ("Company Size", "company_size"), ("bedrijfsgrootte", "company_size"), ("Aantal-Medewerkers", "company_size"),
    ],
)  # fmt: skip
def test_custom_variables_are_known_by_english_and_dutch_names(name: str, field: str) -> None:
    seen = observe(lead(payload={name: "50"}))

    assert seen[field] == "50"
    assert seen["metadata"] == {name: "50"}


def test_an_empty_or_unreadable_variable_yields_to_the_next_name() -> None:
    assert observe(lead(payload={"job title": " ", "title": {}, "Functie": "CEO"}))["title"] == "CEO"


def test_the_first_name_of_the_table_wins() -> None:
    assert observe(lead(payload={"stad": "Delft", "location": "Utrecht"}))["location"] == "Utrecht"


def test_the_lead_objects_title_wins_over_custom_variables() -> None:
    seen = observe(lead(payload={"jobTitle": "CTO", "functie": "CEO"}))

    assert seen["title"] == "CTO"


def test_no_name_means_two_fields() -> None:
    spellings = [instantly._spelling(name) for names in ICP_NAMES.values() for name in names]

    assert len(spellings) == len(set(spellings))
    assert all(spellings)


def test_what_the_payload_repeats_of_the_lead_is_no_custom_variable() -> None:
    payload = dict.fromkeys(
        ("email", "firstName", "lastName", "companyName", "companyDomain", "jobTitle", "phone", "website",
         "personalization"), "x",
    )  # fmt: skip

    assert observe(lead(payload=payload | {"Tier": "A"}))["metadata"] == {"Tier": "A"}


def test_custom_variables_are_kept_verbatim() -> None:
    raw = {"a": "x", "n": 1, "list": [" y"], "inner": {"b": None}}

    assert observe(lead(payload=raw))["metadata"] == raw


@pytest.mark.parametrize(
    ("status", "expected"),
    [(-1, "bounced"), (-2, "unsubscribed"), (1, None), (-3, None), (None, None), ("?", None), (False, None)],
)
def test_a_bounced_or_unsubscribed_address_is_suppressed(status: object, expected: str | None) -> None:
    assert suppression(lead(status=status)) == expected


def test_the_tables_speak_the_ladders_words() -> None:
    assert set(INTEREST_STATUS.values()) - set(STATUS_LADDER) == set()
    assert set(instantly._SIGNALS) - set(STATUS_LADDER) == set()
    assert DELIVERY_LADDER[-1] == "replied"


def test_rank_is_the_place_on_the_ladder() -> None:
    assert [rank(status) for status in STATUS_LADDER] == list(range(9))
    assert (rank("won"), rank(None), rank("nonsense")) == (8, -1, -1)


@given(st.dictionaries(KEYS, JSON, max_size=6))
@settings(max_examples=150)
def test_whatever_instantly_sends_is_read_without_an_error(changes: dict[str, Any]) -> None:
    raw = lead(**changes)

    assert observe(raw) == observe(raw)
    assert observe(raw).get("status") in {None, *STATUS_LADDER}
    assert suppression(raw) in {None, "bounced", "unsubscribed"}


def test_a_campaign_is_named_without_its_id() -> None:
    campaign = "d13d0000-0000-4000-8000-000000000002"

    assert instantly.namespace(campaign) == instantly.namespace(campaign) == "instantly:0353788c4d71"
    assert instantly.namespace(campaign[:-1] + "3") != instantly.namespace(campaign)
