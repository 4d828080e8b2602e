"""Duplicates: what suggests that two leads are one person, how likely that is, and which leads are compared at all."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.duplicates import LARGEST_BLOCK, LIKELY, Person, candidates, compare, person, scan
from app.lab.messy import messy

PHONE = "+31612345678"


def _two(a: dict[str, Any], b: dict[str, Any]) -> tuple[Person, Person]:
    return person("a", a), person("b", b)


@pytest.mark.parametrize(
    ("a", "b", "tier", "score"),
    [
        pytest.param(
            {"linkedin_url": "https://www.linkedin.com/in/ada", "full_name": "Ada Lovelace"},
            {"linkedin_url": "https://www.linkedin.com/in/ada", "full_name": "A. King"},
            "linkedin", 1, id="one page outweighs other names",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_name": "Acme B.V."},
            {"first_name": "Lovelace", "last_name": "Áda", "company_name": "ACME"},
            "name_company", 1, id="word order, accents and legal form do not matter",
        ),
        pytest.param(
            {"full_name": "Jon Lovelace", "company_name": "Acme"},
            {"full_name": "John Lovelace", "company_name": "Acme"},
            "name_company", 0.98, id="a typo does not either: (2 * 12 / 25 + 1) / 2",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_domain": "acme.test"},
            {"full_name": "Ada Lovelace", "company_domain": "acme.test", "company_name": "Acme"},
            "name_company", 1, id="the domain stands for the company",
        ),
        pytest.param(
            {"full_name": "Ada van der Berg", "company_name": "Acme"},
            {"full_name": "A. Berg", "company_name": "Acme"},
            "name_company", 0.96, id="an initial and no particles: (92 + 100) / 2",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "phone": PHONE, "company_name": "Acme"},
            {"full_name": "Ada Lovelace", "phone": PHONE, "company_name": "Acme"},
            "name_company", 1, id="the stronger reason of two",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "phone": PHONE}, {"full_name": "Ada Lovelace", "phone": PHONE},
            "phone", 1, id="one phone and one name",
        ),
        pytest.param({"phone": PHONE}, {"full_name": "Ada Lovelace", "phone": PHONE}, "phone", 0.8, id="one phone"),
        pytest.param(
            {"full_name": "Ada Lovelace", "phone": PHONE}, {"full_name": "Grace Hopper", "phone": PHONE},
            "phone", 0.5, id="one phone and two names, nobody knows where",
        ),
    ],
)  # fmt: skip
def test_alike_leads_are_a_pair(a: dict[str, Any], b: dict[str, Any], tier: str, score: float) -> None:
    one, other = _two(a, b)

    found = compare(one, other)

    assert found is not None
    assert (found.tier, found.score) == (tier, score)
    assert compare(other, one) == found
    assert not set(one.keys).isdisjoint(other.keys)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"phone": "unknown"}, {"phone": "unknown"}, id="text in a phone column"),
        pytest.param({"phone": "+31612345678"}, {"phone": "+31612345679"}, id="other phones"),
        pytest.param({"full_name": "Ada Lovelace"}, {"full_name": "Ada Lovelace"}, id="namesakes"),
        pytest.param({"email": "info@acme.test"}, {"email": "info@acme.test"}, id="one mailbox of nobody"),
        pytest.param(
            {"linkedin_url": "https://www.linkedin.com/company/acme"},
            {"linkedin_url": "https://www.linkedin.com/company/acme"}, id="the page of a company",
        ),
        pytest.param(
            {"full_name": "Ada", "company_name": "Acme"}, {"full_name": "Ada", "company_name": "Acme"},
            id="a first name alone",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_name": "Acme"}, {"full_name": "Ada", "company_name": "Acme"},
            id="a first name alone on the other side",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_name": "Acme"},
            {"full_name": "Ada Lovelace", "company_name": "Initech"}, id="another company",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_name": "Acme"},
            {"full_name": "Grace Hopper", "company_name": "Acme"}, id="a colleague",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_name": "Acme", "phone": PHONE},
            {"full_name": "Grace Hopper", "company_name": "Acme", "phone": PHONE}, id="a colleague at the switchboard",
        ),
        pytest.param(
            {"full_name": "Ada Lovelace", "company_name": "Acme"},
            {"full_name": "B. Lovelace", "company_name": "Acme"}, id="another initial",
        ),
        pytest.param(
            {"full_name": "A. B.", "company_name": "Acme"}, {"full_name": "A. C.", "company_name": "Acme"},
            id="initials alone",
        ),
    ],
)  # fmt: skip
def test_this_suggests_nothing(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert compare(*_two(a, b)) is None


def test_a_former_address_is_an_address() -> None:
    one, other = person("a", {"email": "ada@new.test"}, ["ada@old.test"]), person("b", {"email": "ada@old.test"})

    found = compare(one, other)

    assert found is not None
    assert (found.tier, found.score, found.fields) == ("email", 0.98, {"email": 1})


def test_a_pair_says_which_fields_agree_and_no_value() -> None:
    found = compare(
        *_two(
            {"full_name": "Jon Lovelace", "company_name": "Acme", "phone": PHONE},
            {"full_name": "John Lovelace", "company_name": "Acme", "phone": "+31612345679"},
        )
    )

    assert found is not None
    assert found.fields == {"name": 0.96, "company": 1, "phone": 0}
    assert found.why == "The same company; alike name (0.96); different phone."


def test_a_scan_is_ordered_by_score_and_finds_each_pair_once() -> None:
    ada = {"full_name": "Ada Lovelace", "company_name": "Acme", "company_domain": "acme.test", "phone": PHONE}
    people = [
        person("3", ada),
        person("1", ada),
        person("2", ada | {"full_name": "Ada Lovelac"}),
        person("4", {"full_name": "Grace Hopper", "company_name": "Acme"}),
    ]

    found = scan(people)

    assert [pair.leads for pair in found] == [("1", "3"), ("1", "2"), ("2", "3")]
    assert found == scan(reversed(people))
    assert [pair.leads for pair in scan(people, among={"3"})] == [("1", "3"), ("2", "3")]


def test_what_too_many_share_is_not_compared() -> None:
    people = [person(str(n), {"phone": PHONE}) for n in range(LARGEST_BLOCK)]

    assert len(list(candidates(people))) == LARGEST_BLOCK * (LARGEST_BLOCK - 1) // 2
    assert list(candidates([*people, person("one more", {"phone": PHONE})])) == []


def test_of_a_text_in_place_of_a_name_only_its_beginning_is_compared() -> None:
    text = "Anna b " * 1_400

    found = person("a", {"full_name": text, "company_name": text, "company_domain": "acme.nl"})

    assert (len(found.name.split()), len(found.company)) == (10, 100)
    assert len(found.keys) == 3


def test_a_part_of_a_set_is_paired_as_it_is_in_all_of_it() -> None:
    people = [person(*lead) for lead in messy(3_000, seed=7).leads]
    asked = {one.id for one in people[:300]}

    every = {frozenset((a.id, b.id)) for a, b in candidates(people)}
    found = [frozenset((a.id, b.id)) for a, b in candidates(people, asked)]

    assert len(found) == len({*found})
    assert {*found} == {pair for pair in every if pair & asked}


def test_in_a_messy_set_nearly_all_are_found_and_hardly_anybody_else() -> None:
    made = messy(5_000, seed=11)

    likely = {pair.leads for pair in scan(person(*lead) for lead in made.leads) if pair.score >= LIKELY}

    assert len(likely & made.pairs) / len(likely) >= 0.99
    assert len(likely & made.pairs) / len(made.pairs) >= 0.96
