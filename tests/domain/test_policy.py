"""The policy is data: complete, reasoned, and the table of the merge policy."""

from __future__ import annotations

from typing import get_args

import pytest

from app.domain import policy
from app.domain.cells import State, Strategy
from app.domain.policy import FIELDS, Kind, Rule, Source

AIRTABLE, INSTANTLY, EVENT = Source.AIRTABLE, Source.INSTANTLY, Source.EVENT


def test_every_row_has_a_reason_and_its_own_name() -> None:
    assert all(row.reason and row.group and name == row.name for name, row in FIELDS.items())
    assert policy.CUSTOM.reason


@pytest.mark.parametrize(
    ("name", "airtable", "instantly", "event", "imports"),
    [
        ("email", "authority", "identity", "local_only", "identity"),
        ("full_name", "authority", "fill_if_empty", "local_only", "fill_if_empty"),
        ("company_domain", "authority", "fill_if_empty", "local_only", "fill_if_empty"),
        ("title", "authority", "fill_if_empty", "local_only", "fill_if_empty"),
        ("needs_enrichment", "authority", "fill_if_empty", "local_only", "fill_if_empty"),
        ("phone", "authority", "fill_if_empty", "local_only", "fill_if_empty"),
        ("linkedin_url", "authority", "local_only", "local_only", "fill_if_empty"),
        ("notes", "append", "local_only", "local_only", "append"),
        ("deal_value", "authority", "local_only", "local_only", "local_only"),
        ("claimed_by", "authority", "local_only", "local_only", "local_only"),
        ("claimed_at", "authority", "local_only", "local_only", "local_only"),
        ("status", "authority", "ladder", "ladder", "set_once"),
        ("is_positive_reply", "authority", "event_time", "event_time", "local_only"),
        ("email_open_count", "local_only", "counter", "local_only", "local_only"),
        ("last_contacted_at", "newest", "newest", "newest", None),
        ("instantly_created_at", "local_only", "oldest", "local_only", "local_only"),
        ("last_step_info", "local_only", "replace", "replace", "local_only"),
        ("campaigns", "set", "local_only", "local_only", "local_only"),
        ("sms_sent_count", "replace", "local_only", "local_only", "local_only"),
        ("processing_status", "replace", "local_only", "local_only", "local_only"),
        ("metadata", "deep_merge", "deep_merge", "local_only", "deep_merge"),
        ("custom.anything", "deep_merge", "deep_merge", "local_only", "deep_merge"),
    ],
)
def test_the_policy_is_the_table(name: str, airtable: str, instantly: str, event: str, imports: str | None) -> None:
    row = policy.field(name)

    found = [row.rule(source).value for source in (AIRTABLE, INSTANTLY, EVENT)]
    assert found == [airtable, instantly, event]
    assert imports in (None, row.rule(Source.IMPORT).value)


def test_derived_fields_only_come_from_instantly() -> None:
    for name in ("sender_account", "delivery_status"):
        assert (FIELDS[name].airtable, FIELDS[name].imports) == (Rule.LOCAL_ONLY, Rule.LOCAL_ONLY)


def test_a_person_may_write_everything_but_what_tools_count() -> None:
    read_only = set(FIELDS) - policy.WRITABLE

    assert {"status", "is_positive_reply", "notes", "email", "metadata", "campaigns"} <= policy.WRITABLE
    assert read_only == {
        *policy.COUNTERS, "last_contacted_at", "instantly_created_at", "last_step_info", "delivery_status",
        "sender_account", "sms_sent_count", "processing_status",
    }  # fmt: skip
    assert all(row.rule(Source.USER) is Rule.AUTHORITY for row in FIELDS.values())


def test_every_row_has_a_kind_that_there_is() -> None:
    assert {row.kind for row in FIELDS.values()} | {policy.CUSTOM.kind} == set(get_args(Kind))


def test_a_lead_starts_as_new_unverified_and_uncounted() -> None:
    assert policy.DEFAULTS == {
        "status": "new", "needs_enrichment": True, "verified": False, "enriched": False,
        "email_open_count": 0, "email_click_count": 0, "email_reply_count": 0,
    }  # fmt: skip
    assert set(policy.DEFAULTS) <= set(FIELDS)


def test_only_these_are_never_empty_on_purpose() -> None:
    assert {name for name, row in FIELDS.items() if not row.clears} == {
        "notes", "status", "is_positive_reply", *policy.COUNTERS
    }  # fmt: skip


def test_words_that_are_stored_and_published_stay_as_they_are() -> None:
    """They stand in rows, in histories and in other people's programs."""
    assert [*Source] == ["user", "airtable", "instantly", "instantly_event", "import"]
    assert [*State] == ["agreed", "pending", "inflight", "held", "diverged"]
    assert [*Strategy] == ["remote_wins", "last_modified_wins", "local_wins", "manual"]
    assert [*Rule] == [
        "identity", "set_once", "fill_if_empty", "newest", "oldest", "replace", "counter", "deep_merge", "set",
        "ladder", "event_time", "append", "authority", "local_only",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["nonsense", "custom", "custom.", "CUSTOM.x"])
def test_a_name_without_a_row_is_an_error(name: str) -> None:
    with pytest.raises(KeyError):
        policy.field(name)
