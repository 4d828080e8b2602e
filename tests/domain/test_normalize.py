"""Canonical forms: which spellings mean the same, and what cannot be read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain import normalize
from app.domain.normalize import Unreadable

Read = Callable[[object], Any]
READERS: list[Read] = [
    normalize.text,
    normalize.email,
    normalize.phone,
    normalize.linkedin,
    normalize.domain,
    normalize.url,
    normalize.instant,
    normalize.date,
    normalize.boolean,
    normalize.integer,
    normalize.number,
]

#: Texts that are nearly what the readers look for, rather than noise.
NEARLY = st.one_of(
    st.text(max_size=30),
    st.text("0123456789+-()/ .,;ext=€", max_size=24),
    st.text("0123456789-:TZ+. W", max_size=30),
    st.from_regex(
        r"(https?:)?(//)?(www\.|nl\.)?[a-zü]{1,8}\.(com|test|local|nl)(:80|:443)?(/[^\s]{0,9})?", fullmatch=True
    ),
    st.from_regex(r"[ -~é]{1,9}@[a-zA-Zß.-]{1,12}\.[a-zA-Z]{2,5}", fullmatch=True),
    st.from_regex(r"(https?://)?([a-z]{2}\.)?linkedin\.com/(in|company|pub)/\S{1,12}", fullmatch=True),
)
VALUES = st.one_of(
    NEARLY,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.lists(st.one_of(NEARLY, st.integers(), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
class TestEveryReader:
    @given(raw=VALUES)
    @settings(max_examples=80)
    @example(raw="0001-01-01T00:00:00+05:00")
    @example(raw="9999-12-31T23:59:59-05:00")
    @example(raw=math.inf)
    @example(raw=10**400)
    @example(raw="9" * 5000)
    @example(raw="\ud800\x00")
    @example(raw="+46 0021463382")
    @example(raw="K@x.nl")
    @example(raw="//[::1")
    def test_a_canonical_value_is_its_own_canonical_form_and_nothing_but_unreadable_is_raised(
        self, read: Read, raw: object
    ) -> None:
        try:
            canonical = read(raw)
        except Unreadable:
            return

        assert read(canonical) == canonical
        assert type(read(canonical)) is type(canonical)

    @pytest.mark.parametrize("raw", [None, "", "  ", "\n", "\0", "\ud800", " \u200b "])
    def test_empty_in_none_out(self, read: Read, raw: object) -> None:
        assert read(raw) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  Ada \n", "Ada"),
        ("line\r\nline\rline", "line\nline\nline"),
        ("Jose\u0301", "José"),
        ("\ufeff\u200bAda\u200b ", "Ada"),
        ("a\0b\ud800c", "abc"),
        ("first\n\nsecond", "first\n\nsecond"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (12.0, "12"),
        (12.5, "12.5"),
        (1e300, "1e+300"),
        (["Acme", " ", None, 3], "Acme, 3"),
        ([" "], None),
        ([], None),
    ],
)
def test_text_is_clean(raw: object, expected: str | None) -> None:
    assert normalize.text(raw) == expected


def test_what_cannot_be_stored_is_taken_out_of_every_text_and_key() -> None:
    raw = {"a\0": ["b\ud800", 1, None, {"c": "\0d"}], "é": True}

    assert normalize.storable(raw) == {"a": ["b", 1, None, {"c": "d"}], "é": True}


@pytest.mark.parametrize(
    ("raw", "depth", "expected"),
    [
        (2**63 - 1, 9, 2**63 - 1),
        (2**63, 9, "9223372036854775808"),
        (-(2**63), 9, "-9223372036854775808"),
        ([["é"]], 2, [["é"]]),
        ([["é\0"], {"a": 1}], 1, ['["é\\u0000"]', '{"a": 1}']),
    ],
)
def test_what_is_too_large_or_too_deep_becomes_text(raw: object, depth: int, expected: object) -> None:
    assert normalize.storable(raw, depth) == expected


@pytest.mark.parametrize("raw", [{"a": 1}, [["a"]], [{}], object()])
def test_an_object_is_no_text(raw: object) -> None:
    with pytest.raises(Unreadable, match="is not text"):
        normalize.text(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("ada@acme.test", "ada@acme.test"),
        (" Ada@ACME.test ", "ada@acme.test"),
        ("Ada Lovelace <Ada@acme.test>", "ada@acme.test"),
        ("mailto:ada@acme.test", "ada@acme.test"),
        ("MAILTO:ada@acme.test", "ada@acme.test"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("ada@BÜCHER.example", "ada@bücher.example"),
        ("Jörg@acme.test", "jörg@acme.test"),
        ("o'neil+x@acme.test", "o'neil+x@acme.test"),
        (["ada@acme.test"], "ada@acme.test"),
    ],
)
def test_an_email_is_a_lower_case_address(raw: object, expected: str) -> None:
    assert normalize.email(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "n/a",
        "ada",
        "ada@",
        "@acme.test",
        "ada@localhost",
        "ada@host.local",
        "a b@acme.test",
        "a@b@c.nl",
        12,
        {},
        "a@b--c",
    ],
)
def test_what_is_no_email_is_refused_by_name(raw: object) -> None:
    with pytest.raises(Unreadable):
        normalize.email(raw)


@given(
    st.from_regex(r"[a-z0-9._+-]{1,70}", fullmatch=True),
    st.from_regex(r"[a-z0-9.-]{1,70}\.(nl|test|local|arpa|onion|c0m)", fullmatch=True),
)
@settings(max_examples=200)
def test_the_fast_path_takes_no_address_that_the_validator_refuses(local: str, host: str) -> None:
    address = f"{local}@{host}"

    assert not normalize._is_plain_email(address) or normalize._email(address) == address


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("x" * 500, f"'{'x' * 79}…'"),
        ("x" * 81, f"'{'x' * 79}…'"),
        ("x" * 80, f"'{'x' * 80}'"),
        (10**100, "1" + "0" * 79),
        (True, "True"),
        ([], "A list"),
        ({}, "An object"),
    ],
)
def test_a_reason_names_the_value_and_not_more_than_80_characters_of_it(raw: object, shown: str) -> None:
    with pytest.raises(Unreadable) as caught:
        normalize.instant(raw)

    assert str(caught.value) == f"{shown} is not a point in time."


@pytest.mark.parametrize(
    ("read", "raw", "wanted"),
    [
        (normalize.text, {}, "text"),
        (normalize.email, "nobody", "an e-mail address"),
        (normalize.instant, "soon", "a point in time"),
        (normalize.date, "soon", "a date"),
        (normalize.boolean, "maybe", "yes or no"),
        (normalize.integer, 1.5, "a whole number"),
        (normalize.integer, "many", "a whole number"),
        (normalize.number, "many", "a number"),
        (normalize.number, [], "a number"),
        (
            normalize.number, "1,234",
            "a number everybody reads alike: write it without a thousands separator",
        ),
    ],
)  # fmt: skip
def test_a_reason_says_what_was_wanted(read: Read, raw: object, wanted: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(raw)

    assert str(caught.value).endswith(f" is not {wanted}.")


@pytest.mark.parametrize(
    ("raw", "as_number", "as_text"),
    [
        (2.0**53 - 1, 2**53 - 1, "9007199254740991"),
        (2.0**53, 2.0**53, "9007199254740992.0"),
        (-(2.0**53) + 1, -(2**53) + 1, "-9007199254740991"),
    ],
)
def test_a_float_is_a_whole_number_as_far_as_it_is_exact(raw: float, as_number: float, as_text: str) -> None:
    found = normalize.number(raw)

    assert (found, type(found), normalize.text(raw)) == (as_number, type(as_number), as_text)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("+31612345678", "+31612345678"),
        ("06 12 34 56 78", "+31612345678"),
        ("06-12345678", "+31612345678"),
        ("0031 6 12345678", "+31612345678"),
        ("+31 (0)6 12345678", "+31612345678"),
        ("(020) 123 4567", "+31201234567"),
        ("31612345678", "+31612345678"),
        (612345678, "+31612345678"),
        (31612345678.0, "+31612345678"),
        ("tel:+31-6-1234-5678", "+31612345678"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("+1 (555) 000-1234", "+15550001234"),
        ("+39 06 1234567", "+39061234567"),
        ("030/1234567", "+31301234567"),
        ("020 1234567 ext. 12", "+31201234567;ext=12"),
        ("020 1234567 toestel 12", "+31201234567;ext=12"),
        ("+31201234567;ext=12", "+31201234567;ext=12"),
        ("020 1234567 x12", "+31201234567;ext=12"),
    ],
)
def test_a_phone_number_is_e164(raw: object, expected: str) -> None:
    assert normalize.phone(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "call me",
        "Jan 0612345678",
        "06-12345678 (mobiel)",
        "0612345678 / 0687654321",
        "+49 30 1234567 / 89",
        "1-800-FLOWERS",
        "112",
        "12345",
        "012345",
        "+999 12345678",
        "+1 23",
        "(",
        "+0612345678",
        "+46 0021463382",
    ],
)
def test_text_in_a_phone_column_is_kept(raw: str) -> None:
    assert normalize.phone(f" {raw} ") == raw


def test_a_number_without_a_country_is_of_the_country_we_settled_in() -> None:
    try:
        normalize.settle_in("BE")
        here = normalize.phone("02 512 34 56")
    finally:
        normalize.settle_in("NL")

    assert (here, normalize.phone("020 512 34 56")) == ("+3225123456", "+31205123456")
    with pytest.raises(ValueError, match="'XX' is no country code"):
        normalize.settle_in("XX")


@pytest.mark.parametrize(
    "raw",
    [
        "https://www.linkedin.com/in/ada-lovelace",
        "https://www.linkedin.com/in/ada-lovelace/",
        "http://linkedin.com/in/Ada-Lovelace",
        "linkedin.com/in/ada-lovelace",
        "www.linkedin.com/in/ada-lovelace?trk=people&x=1",
        "https://nl.linkedin.com/in/ada-lovelace#top",
        "https://m.linkedin.com/in/ada-lovelace/details/experience/",
        "https://www.linkedin.com/mwlite/in/ada-lovelace",
        "https://www.linkedin.com/in/ada%2Dlovelace/nl",
        "//www.linkedin.com:443//in//ada-lovelace",
        " HTTPS://WWW.LINKEDIN.COM/IN/ADA-LOVELACE ",
    ],
)
def test_a_profile_has_one_spelling(raw: str) -> None:
    assert normalize.linkedin(raw) == "https://www.linkedin.com/in/ada-lovelace"
    assert normalize.is_personal_linkedin(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("nl.linkedin.com/in/jos%C3%A9", "https://www.linkedin.com/in/josé"),
        ("linkedin.com/company/Acme/about/", "https://www.linkedin.com/company/acme"),
        ("linkedin.com/school/tu-delft", "https://www.linkedin.com/school/tu-delft"),
        # member ids are told apart by case
        ("linkedin.com/in/ACoAAABcDeFgHiJkLmNoPqRs", "https://www.linkedin.com/in/ACoAAABcDeFgHiJkLmNoPqRs"),
    ],
)
def test_other_linkedin_pages_have_one_spelling(raw: str, expected: str) -> None:
    assert normalize.linkedin(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "Ada on LinkedIn",
        "linkedin.com/in/",
        "https://notlinkedin.com/in/ada",
        "https://linkedin.com.evil.test/in/ada",
        "https://www.linkedin.com/sales/lead/1",
        "linkedin.com/in/a%2Fb",
        "linkedin.com/in/a%FF",
    ],
)
def test_other_text_in_a_linkedin_column_is_kept(raw: str) -> None:
    assert normalize.linkedin(raw) == raw
    assert not normalize.is_personal_linkedin(raw)


def test_a_company_page_and_nothing_are_no_profile() -> None:
    assert not normalize.is_personal_linkedin("https://www.linkedin.com/company/acme")
    assert not normalize.is_personal_linkedin(None)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("acme.test", "acme.test"),
        ("https://www.Acme.test/about?x=1", "acme.test"),
        ("ada@acme.test", "acme.test"),
        ("mailto:ada@acme.test", "acme.test"),
        ("http://user:pw@acme.test:8080/", "acme.test"),
        ("//acme.test.", "acme.test"),
        ("www.bücher.example", "bücher.example"),
        ("xn--bcher-kva.example", "bücher.example"),
        ("www.nl", "www.nl"),
        ("n/a", "n/a"),
        ("Acme Inc", "Acme Inc"),
    ],
)
def test_a_domain_is_the_host(raw: str, expected: str) -> None:
    assert normalize.domain(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("acme.test", "https://acme.test"),
        ("HTTP://WWW.Acme.test/", "http://www.acme.test"),
        ("https://acme.test:443/About?x=1#y", "https://acme.test/About?x=1#y"),
        ("http://acme.test:80", "http://acme.test"),
        ("acme.test:8080/x", "https://acme.test:8080/x"),
        ("//acme.test?x", "https://acme.test?x"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("ada@acme.test", "ada@acme.test"),
        ("see below", "see below"),
    ],
)
def test_a_web_address_has_a_scheme(raw: str, expected: str) -> None:
    assert normalize.url(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2024-02-29T10:00:00.123Z", "2024-02-29T10:00:00.123Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z"),
        ("2024-02-29T10:00", "2024-02-29T10:00:00.000Z"),
        ("2024-02-29 10:00:00.1239999+02:00", "2024-02-29T08:00:00.123Z"),
        ("2024-02-29 10:00:00 +0200", "2024-02-29T08:00:00.000Z"),
        ("2024-02-29 10:00:00 UTC", "2024-02-29T10:00:00.000Z"),
        ("2024-02-29t10:00:00z", "2024-02-29T10:00:00.000Z"),
        (1712345678901, "2024-04-05T19:34:38.901Z"),
        (1712345678901.9, "2024-04-05T19:34:38.901Z"),
        ("1712345678901", "2024-04-05T19:34:38.901Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_is_utc_in_milliseconds(raw: object, expected: str) -> None:
    assert normalize.instant(raw) == expected


@pytest.mark.parametrize(
    "raw", ["2023-02-29T10:00:00.123Z", "31-12-2024", "soon", True, math.nan, math.inf, 10**30, [], {}]
)
def test_what_is_no_instant_is_refused(raw: object) -> None:
    with pytest.raises(Unreadable, match="is not a point in time"):
        normalize.instant(raw)
    with pytest.raises(Unreadable, match="is not a date"):
        normalize.date(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2024-02-29", "2024-02-29"),
        ("2024-02-29T23:30:00-05:00", "2024-02-29"),  # as it is written there
        (1712345678901, "2024-04-05"),
    ],
)
def test_a_date_is_the_date_as_written(raw: object, expected: str) -> None:
    assert normalize.date(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(True, True), (1, True), (1.0, True), ("Ja", True), ("x", True), (False, False), (0, False), ("NEE", False)],
)
def test_a_boolean_is_read_from_words(raw: object, expected: bool) -> None:
    assert normalize.boolean(raw) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("true yes y ja j waar on aan 1 x ✓ ✔ checked", True),
        ("false no n nee onwaar off uit 0 unchecked", False),
    ],
)
def test_yes_and_no_have_many_words(words: str, expected: bool) -> None:
    assert {normalize.boolean(word) for word in words.split()} == {expected}


@pytest.mark.parametrize("raw", ["maybe", 2, {}])
def test_what_is_neither_yes_nor_no_is_refused(raw: object) -> None:
    with pytest.raises(Unreadable):
        normalize.boolean(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (12, 12),
        (12.0, 12),
        (12.5, 12.5),
        (-0.0, 0),
        (1e300, 1e300),
        ("12", 12),
        ("+12", 12),
        ("-.5", -0.5),
        ("1e3", 1000),
        ("0.125", 0.125),
        ("12,5", 12.5),
        ("1.234,56", 1234.56),
        ("1,234.56", 1234.56),
        ("1.234.567", 1234567),
        ("1,234,567", 1234567),
        ("€ 1.500,-", 1500),
        ("1234.50 EUR", 1234.5),
        ("1 234 567", 1234567),
        ("$1'000", 1000),
    ],
)
def test_a_number_is_read_from_amounts(raw: object, expected: float) -> None:
    found = normalize.number(raw)

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "raw", ["abc", "1,234", "€ 1.500", "12,345.67.8", "1e999", "--1", True, [], {}, math.nan, -math.inf]
)
def test_what_is_no_number_or_two_is_refused(raw: object) -> None:
    with pytest.raises(Unreadable, match="is not a number"):
        normalize.number(raw)


@pytest.mark.parametrize("raw", [12.5, "12.5", 2**63, -(2**63) - 1, 1e300, "x", True])
def test_a_whole_number_has_at_most_64_bits(raw: object) -> None:
    with pytest.raises(Unreadable, match="is not a whole number"):
        normalize.integer(raw)


@pytest.mark.parametrize(("raw", "expected"), [("3", 3), (3.0, 3), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))])
def test_a_whole_number_is_read(raw: object, expected: int) -> None:
    assert normalize.integer(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("https://berg.test", True),
        (" HTTP://berg.test", True),
        ("berg.test:8080/about", True),
        ("//berg.test", True),
        ("see our page", True),
        ("on LinkedIn as: berg", True),
        (None, True),
        ("javascript:alert(1)", False),
        ("JavaScript://berg.test/%0aalert(1)", False),
        ("data:text/html,<script>", False),
        ("vbscript:x", False),
        ("\u00a0\u200b\x01java\nscript:x", False),
        ("\x00javascript:x", False),
        ("java\ud800script:x", False),
    ],
)
def test_an_address_that_a_browser_would_run_is_no_link(raw: str | None, expected: bool) -> None:
    assert normalize.opens(raw) is expected
