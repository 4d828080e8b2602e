"""Canonical forms: one spelling for values that mean the same.

Agreement between two systems is equality of these forms, so every function is idempotent and raises nothing
but `Unreadable`. Empty in, None out.
Columns that are free text at heart (phone, LinkedIn, domain, url) keep what they cannot read, stripped, because a
sync may not lose what somebody typed; an e-mail, an instant, a number that cannot be read is refused by name.
IDN domains are kept in Unicode, the form people read. Rejected: `d-m-yyyy`, `1,234` and
`1.234` as text, which mean different things to different people.
The functions run per cell of a pull, hence the caches and the fast paths.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import email_validator
import phonenumbers

from app.domain.values import JSON
from app.errors import LeadkeeperError

_CACHE: Final = 65_536
#: Countries whose phone numbers can be read; where this installation is (`settle_in`).
REGIONS: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
_home = "NL"
#: A text that `text` leaves something of, as a pattern of JSON Schema, whose white space is not Python's.
SAYS_SOMETHING: Final = r"[^\s\u001c-\u001f\u0085\u200b\u2060\ufeff]"
#: A text that a browser opens and does not run, as a pattern of JSON Schema: it names no scheme but http and https. A
#: browser skips what is invisible before a scheme, and line breaks within.
OPENS: Final = (
    r"^(?![\s\u0000-\u0020\u200b\u2060\ufeff]*(?![Hh][Tt][Tt][Pp][Ss]?:)[A-Za-z][A-Za-z0-9+\-\t\n\r\u0000]*:)"
)
#: How many levels a JSON value may have, and the largest whole number in it.
DEEPEST: Final = 50
_LARGEST: Final = 2**63 - 1


class Unreadable(LeadkeeperError, ValueError):
    """A value has no canonical form of its type; the message is one sentence that names the value.

    `plain` says the same without the value, for whoever sent it: an answer repeats nothing of a request.
    """

    def __init__(self, shown: str, wanted: str) -> None:
        self.plain = f"It is not {wanted}."
        super().__init__(f"{shown} is not {wanted}.")


def text(raw: object) -> str | None:
    """Is the value as clean text: NFC, stripped, without NUL and lone surrogates, line breaks as `\\n`."""
    if isinstance(raw, str):
        return _clean(raw)
    if raw is None:
        return None
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int):
        return str(raw)
    if isinstance(raw, float):
        return str(int(raw)) if raw.is_integer() and abs(raw) < _EXACT else repr(raw)
    if isinstance(raw, list) and not any(isinstance(item, list | dict) for item in raw):
        return ", ".join(part for item in raw if (part := text(item))) or None  # an Airtable lookup or multi-select
    raise _unreadable(raw, "text")


def scrub(raw: str) -> str:
    """Removes what PostgreSQL cannot store: NUL and lone surrogates."""
    return raw if raw.isascii() and "\0" not in raw else _UNSTORABLE.sub("", raw)


def storable(value: JSON, depth: int = DEEPEST) -> JSON:
    """Is a JSON value as jsonb holds it: every text scrubbed, and as text what is too large a number or too deep."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, int) and abs(value) > _LARGEST:
        return str(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return scrub(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return [storable(item, depth - 1) for item in value]
    return {scrub(key): storable(item, depth - 1) for key, item in value.items()}


def words(listed: str) -> frozenset[str]:
    """Reads a table of words that is written as one string."""
    return frozenset(listed.split())


def email(raw: object) -> str | None:
    """Is the lower-case address; a display name around it and `mailto:` are dropped."""
    value = text(raw)
    if value is None:
        return None
    if _is_plain_email(value):
        return value
    address = _email(value)
    if address is None:
        raise _unreadable(value, "an e-mail address")
    return address


def settle_in(region: str) -> None:
    """Says, once and before anything is read, in which country a phone number without a country code is.

    A number was read by the country of its time, and stays as it is.
    """
    global _home  # noqa: PLW0603 - one per installation, like a locale
    if region not in REGIONS:
        raise ValueError(f"{region!r} is no country code of two letters, such as NL, BE or GB")
    _home = region


def phone(raw: object) -> str | None:
    """Is the E.164 number, with `;ext=12` for an extension; text that is no possible number is kept."""
    value = text(raw)
    if value is None or _PLAIN_PHONE.fullmatch(value):
        return value
    return _phone(value, _home)


def linkedin(raw: object) -> str | None:
    """Is `https://www.linkedin.com/in/<slug>` (or company, school, showcase) for every spelling of such a page."""
    value = text(raw)
    if value is None or _PLAIN_PROFILE.fullmatch(value):
        return value
    page = _LINKEDIN.match(value)
    if page is None:
        return value
    slug = unicodedata.normalize("NFC", unquote(page["slug"]))
    if not _MEMBER_ID.fullmatch(slug):
        slug = unicodedata.normalize("NFC", slug.lower())
    if _NO_SLUG.search(slug):
        return value
    return f"https://www.linkedin.com/{page['kind'].lower()}/{slug}"


def is_personal_linkedin(url: str | None) -> bool:
    """Says whether the URL is the profile of a person."""
    return (linkedin(url) or "").startswith("https://www.linkedin.com/in/")


def domain(raw: object) -> str | None:
    """Is the host of a URL, an e-mail address or a bare domain, lower-case and without `www.`."""
    value = text(raw)
    if value is None:
        return None
    found = _DOMAIN.fullmatch(value)
    host = found and _host(_WWW.sub("", found["host"]))
    return host or value


def url(raw: object) -> str | None:
    """Is the web address with a scheme, a lower-case host and no empty path; other text is kept."""
    value = text(raw)
    if value is None:
        return None
    found = _URL.fullmatch(value)
    host = found and _host(found["host"])
    if not found or not host:
        return value
    scheme = (found["scheme"] or "https").lower()
    port = found["port"] or ""
    if port == {"http": ":80", "https": ":443"}[scheme]:
        port = ""
    rest = found["rest"] or ""
    return f"{scheme}://{host}{port}{'' if rest == '/' else rest}"


def opens(raw: object) -> bool:
    """Tells whether a text can be made a link: a browser opens it, or does nothing, but runs nothing it says."""
    return _OPENS.match(text(raw) or "") is not None


def instant(raw: object) -> str | None:
    """Is `YYYY-MM-DDTHH:MM:SS.mmmZ`, from ISO 8601 (no zone means UTC), a date, or epoch milliseconds."""
    try:
        if isinstance(raw, str) and _PLAIN_INSTANT.fullmatch(raw):
            dt.datetime.fromisoformat(raw)  # the 30th of February
            return raw
        moment = _moment(raw)
        if moment is None:
            return None
        return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    except (ValueError, OverflowError):
        raise _unreadable(raw, "a point in time") from None


def date(raw: object) -> str | None:
    """Is `YYYY-MM-DD`; of a date with a time, the date as it is written there."""
    try:
        moment = _moment(raw)
        return None if moment is None else moment.date().isoformat()
    except (ValueError, OverflowError):
        raise _unreadable(raw, "a date") from None


def boolean(raw: object) -> bool | None:
    """Is true or false, also from the words people use for them in English and Dutch."""
    value = text(raw)
    if value is None:
        return None
    word = value.casefold()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _unreadable(raw, "yes or no")


def integer(raw: object) -> int | None:
    """Is a whole number of at most 64 bits."""
    value = _numeric(raw, "a whole number")
    if isinstance(value, float) or (value is not None and not -(2**63) <= value < 2**63):
        raise _unreadable(raw, "a whole number")
    return value


def number(raw: object) -> int | float | None:
    """Is a number (whole ones as int), also from amounts such as `€ 1.234,56` and `1,234.56`."""
    return _numeric(raw, "a number")


# --- text ---------------------------------------------------------------------------------------------------------

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_INVISIBLE: Final = "\u200b\u2060\ufeff"  # pasted along with a value, never meant


def _clean(raw: str) -> str | None:
    value = scrub(raw)
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if not value.isascii():
        value = unicodedata.normalize("NFC", value)
        while value != (value := value.strip().strip(_INVISIBLE)):
            pass
        return value or None
    return value.strip() or None


def _unreadable(raw: object, wanted: str) -> Unreadable:
    if isinstance(raw, str):
        shown = repr(raw if len(raw) <= 80 else raw[:79] + "…")
    elif isinstance(raw, bool | int | float):
        shown = repr(raw)[:80]
    else:
        shown = "A list" if isinstance(raw, list) else "An object"
    return Unreadable(shown, wanted)


# --- e-mail, host -------------------------------------------------------------------------------------------------

_LABEL: Final = r"[a-z0-9](?:[a-z0-9]|-(?!-)){0,61}(?<!-)"
_PLAIN_HOST: Final = re.compile(
    rf"(?=.{{1,190}}\Z)(?:{_LABEL}\.)+(?!(?:arpa|invalid|local|localhost|onion)\Z)[a-z]{{2,24}}"
)
_PLAIN_LOCAL: Final = re.compile(r"(?=.{1,63}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")


def _is_plain_email(value: str) -> bool:
    local, _, host = value.partition("@")
    return bool(_PLAIN_LOCAL.fullmatch(local) and _PLAIN_HOST.fullmatch(host))


@lru_cache(maxsize=_CACHE)
def _email(value: str) -> str | None:
    value = value.lower()
    try:
        return email_validator.validate_email(
            value.removeprefix("mailto:"),
            check_deliverability=False,
            test_environment=True,  # allows .test
            allow_display_name=True,
        ).normalized
    except email_validator.EmailNotValidError:
        return None


def _host(value: str) -> str | None:
    """Is the canonical form of a host name, or None if it is none that mail or the web could reach."""
    value = value.lower().removesuffix(".")
    if _PLAIN_HOST.fullmatch(value):
        return value
    address = _email(f"x@{value}")
    return address and address.removeprefix("x@")


# --- phone --------------------------------------------------------------------------------------------------------

#: Numbers of which no digit can be a trunk prefix: parsing would give them back as they are.
_PLAIN_PHONE: Final = re.compile(r"\+(?:31[1-9][0-9]{8}|1[2-9][0-9]{9})")
#: Digits, punctuation and an extension. Anything else ("Jan 0612345678", two numbers) is text somebody meant.
_PHONE: Final = re.compile(
    r"(?:tel:)?\s*(?P<number>[+(]*[0-9](?:[0-9\s().\-–]|/(?=\s*[0-9]))*)"
    r"(?:\s*(?:;\s*ext\s*=|,?\s*(?:ext(?:ension)?|toestel|tst|x)\s*[.:]?|\#)\s*(?P<extension>[0-9]{1,7}))?",
    re.IGNORECASE,
)
#: A slash behind a whole number starts a second one.
_SECOND_NUMBER: Final = re.compile(r"(?:[^0-9/]*[0-9]){7,}[^0-9/]*/")


@lru_cache(maxsize=_CACHE)
def _phone(value: str, region: str) -> str:
    found = _PHONE.fullmatch(value)
    if found is None or _SECOND_NUMBER.match(found["number"]):
        return value
    digits = found["number"].strip()
    try:
        parsed = phonenumbers.parse(digits, region)
        e164 = str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
        if not _is_phone(parsed, digits) or phonenumbers.parse(e164) != parsed:
            return value  # the second: with zeros too many, a number changes every time it is read
    except phonenumbers.NumberParseException:
        return value
    return f"{e164};ext={found['extension']}" if found["extension"] else e164


def _is_phone(parsed: phonenumbers.PhoneNumber, digits: str) -> bool:
    """A number with its country code must be possible; without it, it could be anything and must look whole."""
    if not phonenumbers.is_possible_number(parsed):
        return False
    if digits.lstrip("(").startswith(("+", "00")) or phonenumbers.is_valid_number(parsed):
        return True
    return digits.lstrip("(").startswith("0") and len(str(parsed.national_number)) >= 8


# --- LinkedIn, web ------------------------------------------------------------------------------------------------

_PLAIN_PROFILE: Final = re.compile(r"https://www\.linkedin\.com/in/[a-z0-9-]+")
_LINKEDIN: Final = re.compile(
    r"(?:https?:)?(?://)?(?:[a-z0-9-]+\.)*linkedin\.com(?::[0-9]+)?/+(?:mwlite/|m/)?"
    r"(?P<kind>in|company|school|showcase)/+(?P<slug>[^/?#\s]+)(?:[/?#]\S*)?\Z",
    re.IGNORECASE,
)
#: Ids of members and not words: these are told apart by case.
_MEMBER_ID: Final = re.compile(r"AC[ow]AA[A-Za-z0-9_-]{15,}")
_NO_SLUG: Final = re.compile("[/?#%\\s\0-\x1f\ud800-\udfff\ufffd]|\\A\\Z")
_WWW: Final = re.compile(r"\Awww\.(?=[^.]+\.)", re.IGNORECASE)
_DOMAIN: Final = re.compile(
    r"(?:(?:https?:)?//|mailto:)?(?:[^\s/?#@]+@)?(?P<host>[^\s/?#:@]+)(?::[0-9]+)?(?:[/?#]\S*)?", re.IGNORECASE
)
_URL: Final = re.compile(
    r"(?:(?:(?P<scheme>https?):)?//)?(?P<host>[^\s/?#:@]+)(?P<port>:[0-9]+)?(?P<rest>[/?#]\S*)?", re.IGNORECASE
)

_OPENS: Final = re.compile(OPENS)


# --- time ---------------------------------------------------------------------------------------------------------

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PLAIN_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_EPOCH_MS: Final = re.compile(r"[0-9]{13}")
_ZONE: Final = re.compile(r"\s+(?=[+-][0-9]{2}:?[0-9]{0,2}\Z)|\s*(?:UTC|GMT)\Z")


def _moment(raw: object) -> dt.datetime | None:
    if isinstance(raw, bool | list | dict):
        raise ValueError
    if isinstance(raw, int | float):
        return _EPOCH + dt.timedelta(milliseconds=int(raw))
    value = text(raw)
    if value is None:
        return None
    if _EPOCH_MS.fullmatch(value):
        return _EPOCH + dt.timedelta(milliseconds=int(value))
    moment = dt.datetime.fromisoformat(_ZONE.sub("", value.upper()))
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


# --- numbers, booleans --------------------------------------------------------------------------------------------

_EXACT: Final = 2**53
_YES: Final = frozenset({"true", "yes", "y", "ja", "j", "waar", "on", "aan", "1", "x", "✓", "✔", "checked"})
_NO: Final = frozenset({"false", "no", "n", "nee", "onwaar", "off", "uit", "0", "unchecked"})
_CURRENCY: Final = re.compile(
    r"(?:€|\$|£|EUR|USD|GBP)\s*|\s*(?:€|\$|£|EUR|USD|GBP)\Z|(?<=[0-9])[\s'](?=[0-9]{3})", re.I
)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,300}(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?|[+-]?\.[0-9]+", re.IGNORECASE)
#: A thousand and something here, one and something there.
_AMBIGUOUS: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_COMMA_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+),(?:[0-9]{1,2}|[0-9]{4,})")
_DOT_GROUPS: Final = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3}){2,}|[+-]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+")
_COMMA_GROUPS: Final = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+|[+-]?[0-9]{1,3}(?:,[0-9]{3}){2,}")


def _numeric(raw: object, wanted: str) -> int | float | None:
    if isinstance(raw, bool | list | dict):
        raise _unreadable(raw, wanted)
    if isinstance(raw, int):
        return raw
    value = raw if isinstance(raw, float) else _float(text(raw), wanted)
    if isinstance(value, float) and not math.isfinite(value):
        raise _unreadable(raw, wanted)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def _float(value: str | None, wanted: str) -> int | float | None:
    if value is None:
        return None
    plain = _CURRENCY.sub("", value)
    if plain.endswith(",-"):
        plain = plain[:-1] + "00"
    if _DOT_GROUPS.fullmatch(plain) or _COMMA_DECIMAL.fullmatch(plain):
        plain = plain.replace(".", "").replace(",", ".")
    elif _COMMA_GROUPS.fullmatch(plain):
        plain = plain.replace(",", "")
    elif _AMBIGUOUS.fullmatch(plain):
        raise _unreadable(value, f"{wanted} everybody reads alike: write it without a thousands separator")
    if not _DECIMAL.fullmatch(plain):
        raise _unreadable(value, wanted)
    return int(plain) if plain.lstrip("+-").isdigit() else float(plain)
