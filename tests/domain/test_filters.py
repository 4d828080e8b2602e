"""Create filters: which leads a table wants a record of."""

from __future__ import annotations

import pytest

from app.domain import filters
from app.domain.filters import FilterError
from app.domain.values import JSON

LEAD: dict[str, JSON] = {"status": "replied", "email_reply_count": 2, "claimed_by": None, "title": "CEO"}


@pytest.mark.parametrize(
    ("create", "expected"),
    [
        (None, {"created_by": ["user", "import"]}),
        ("default", {"created_by": ["user", "import"]}),
        ("none", {"never": True}),
        ({"never": True}, {"never": True}),
        ("all", {}),
        ({"status": "won", "created_by": "user"}, {"status": "won", "created_by": "user"}),
        ({"custom.tier[is]": None}, {"custom.tier[is]": None}),
    ],
)
def test_a_create_policy_is_stored_as(create: JSON, expected: JSON) -> None:
    assert filters.check(create) == expected


@pytest.mark.parametrize(
    ("create", "why"),
    [
        ("sometimes", "The create policy 'sometimes' is none, all, or a filter"),
        ({"status[like]": "x"}, r"no operator \[like\]: use \[gt\]"),
        ({"mood": "good"}, "no lead field 'mood' to filter by"),
    ],
)
def test_a_filter_that_names_nothing_is_refused(create: JSON, why: str) -> None:
    with pytest.raises(FilterError, match=why):
        filters.check(create)


@pytest.mark.parametrize(
    ("create", "expected"),
    [
        ({}, True),
        ({"never": True}, False),
        ({"status": "replied"}, True),
        ({"status": ["booked", "replied"]}, True),
        ({"status": ["booked"]}, False),
        ({"title": "CEO, founder"}, False),
        ({"email_reply_count[gt]": 2}, False),
        ({"email_reply_count[gte]": 2}, True),
        ({"email_reply_count[lt]": 2}, False),
        ({"email_reply_count[lte]": 2}, True),
        ({"email_reply_count[gt]": "many"}, False),
        ({"deal_value[gt]": 0}, False),
        ({"claimed_by[is]": None}, True),
        ({"title[is]": None}, False),
        ({"title[is]": "something"}, True),
        ({"created_by": ["user", "import"]}, True),
        ({"created_by": "instantly"}, False),
        ({"status": "replied", "title": "CFO"}, False),
    ],
)
def test_a_lead_is_wanted(create: dict[str, JSON], expected: bool) -> None:
    assert filters.wants(create, LEAD, "user") is expected
