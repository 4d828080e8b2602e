"""Who is who: strong identities, blocked values, matches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.identity import (
    ADDRESSES,
    DOMAINS,
    MAILBOXES,
    PROFILES,
    Ambiguous,
    Identity,
    NoMatch,
    One,
    company,
    is_somebody,
    match,
    moved,
    strong,
)

ADA = Identity("email", "ada@acme.test")
ADA_IN = Identity("linkedin", "https://www.linkedin.com/in/ada")


def test_an_address_and_a_profile_identify_a_lead() -> None:
    assert strong({"email": "Ada@acme.test", "linkedin_url": "nl.linkedin.com/in/ada/"}) == (ADA, ADA_IN)


@pytest.mark.parametrize(
    "email",
    [
        None, "", "n/a", "info@acme.test", "sales+nl@acme.test", "no-reply@acme.test", "administratie@acme.test",
        "test@test.com", "test@test.nl", "test@test.org", "test@test.net", "none@none.com", "a@a.com", "a@b.com",
        "x@x.com", "test@gmail.com", "none@gmail.com", "no@email.com", "your@email.com", "ada@noemail.com",
        "ada@nomail.com", "ada@no-email.com", "ada@noreply.com", "ada@geenemail.nl", "ada@mailinator.com",
        {"not": "text"},
    ],
)  # fmt: skip
def test_a_blocked_or_unreadable_address_identifies_nobody(email: object) -> None:
    assert strong({"email": email}) == ()


@pytest.mark.parametrize("email", ["ada@example.com", "ada@acme.test", "info.ada@acme.test", "teamlead@acme.test"])
def test_an_ordinary_address_is_not_blocked(email: str) -> None:
    assert strong({"email": email}) == (Identity("email", email),)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        12,
        "https://www.linkedin.com/company/acme",
        "linkedin.com/in/unavailable",
        "Ada on LinkedIn",
        f"https://www.linkedin.com/in/{'a' * 301}",
    ],
)
def test_a_page_of_nobody_identifies_nobody(url: object) -> None:
    assert strong({"linkedin_url": url}) == ()


def test_blocked_values_are_written_in_canonical_form() -> None:
    every = MAILBOXES | ADDRESSES | DOMAINS | PROFILES

    assert {value for value in every if value != value.strip().lower()} == set()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, False),
        ({}, {"title": "CEO"}, False),
        ({"email": ADA.value}, {"email": ADA.value}, False),
        ({"email": ADA.value}, {}, True),
        ({}, {"linkedin_url": ADA_IN.value}, True),
        ({"email": None}, {}, False),
    ],
)
def test_an_identity_moves_with_an_address_or_a_profile_only(
    before: dict[str, Any], after: dict[str, Any], expected: bool
) -> None:
    assert moved(before, after) is expected


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ({}, NoMatch()),
        ({ADA: "1"}, One("1")),
        ({ADA_IN: "1"}, One("1")),
        ({ADA: "1", ADA_IN: "1"}, One("1")),
        ({ADA: "2", ADA_IN: "1"}, Ambiguous(("1", "2"))),
    ],
)
def test_a_record_belongs_to_the_lead_all_its_identities_point_at(
    owners: dict[Identity, str], expected: object
) -> None:
    assert match([ADA, ADA_IN], owners) == expected


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("Acme B.V.", "acme"),
        ("ACME bv", "acme"),
        ("Müller GmbH & Co. KG", "muller"),
        ("Acme, Inc.", "acme"),
        ("Acme-Works Ltd", "acme works"),
        ("BV", "bv"),
        ("…", ""),
    ],
)
def test_a_company_is_compared_without_its_legal_form(name: str, bare: str) -> None:
    assert company(name) == bare


@given(st.dictionaries(st.sampled_from(["email", "linkedin_url"]), st.text(max_size=40) | st.none() | st.integers()))
def test_identities_of_canonical_values_are_the_same_identities(values: dict[str, Any]) -> None:
    found = strong(values)
    canonical = {"email" if i.kind == "email" else "linkedin_url": i.value for i in found}

    assert strong(canonical) == found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"title": "CTO", "status": "won", "email": None, "full_name": ""}, False),
        ({"phone": "+31612345678"}, True),
        ({"company_domain": "berg.test"}, True),
    ],
)
def test_a_lead_is_somebody_once_it_has_a_name_a_company_or_an_address_of_any_kind(
    values: dict[str, Any], expected: bool
) -> None:
    assert is_somebody(values) is expected
