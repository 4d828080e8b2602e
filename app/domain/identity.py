"""Who is who: what identifies a lead for certain, what only suggests it, and which leads a record belongs to.

A strong identity is an e-mail address or a personal LinkedIn page. Blocked values (role mailboxes, placeholders,
company pages) identify nobody: two people behind `info@` are two leads. Names, companies and phones are evidence for
a person to judge, never a reason to link: namesakes and shared phones are common.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from app.domain import normalize
from app.domain.values import JSON

#: A LinkedIn page has at most a hundred characters after `/in/`, which are three times as many where they are encoded.
LONGEST_SLUG: Final = 300
#: The fields that may identify a person for certain.
STRONG: Final = ("email", "linkedin_url")
#: The fields that tell who a lead is: for certain, or well enough for a person.
TELLING: Final = (
    "email", "full_name", "first_name", "last_name", "company_name", "company_domain", "phone", "linkedin_url",
)  # fmt: skip


class Identity(NamedTuple):
    """A value that belongs to one lead of a workspace only."""

    kind: Literal["email", "linkedin"]
    value: str


_WORDS: Final = "none null nobody noone unknown test asdf abc xxx noemail nomail email user name onbekend geen"

# Values that identify nobody.
#: Local parts of addresses that a role or a machine reads.
MAILBOXES: Final = normalize.words(
    """
    info information informatie sales contact kontakt contacto hello hallo hi hey office kantoor support service
    help helpdesk servicedesk admin administrator administratie administration marketing communicatie pr press pers
    media hr recruitment recruiting jobs job vacatures careers career werkenbij sollicitatie noreply no-reply
    no_reply no.reply donotreply do-not-reply niet-beantwoorden team post mail mailbox email welkom welcome verkoop
    inkoop purchase purchasing orders order bestellingen billing invoice invoices factuur facturen finance
    boekhouding accounting accounts payments legal juridisch privacy security abuse postmaster webmaster hostmaster
    root mailer-daemon newsletter nieuwsbrief notifications notification alerts reception receptie secretariaat
    secretary customerservice klantenservice feedback enquiries inquiries partners events webshop shop
    """
)
ADDRESSES: Final = frozenset(
    {f"{word}@{word}.{tld}" for word in _WORDS.split() for tld in ("com", "nl", "org", "net")}
    | {"a@a.com", "a@b.com", "x@x.com", "test@gmail.com", "none@gmail.com", "no@email.com", "your@email.com"}
)
DOMAINS: Final = normalize.words("noemail.com nomail.com no-email.com noreply.com geenemail.nl mailinator.com")
#: Slugs of LinkedIn pages that are nobody's.
PROFILES: Final = normalize.words(
    "me unavailable undefined null none unknown linkedin username yourname your-name profile"
)


def is_somebody(values: Mapping[str, JSON]) -> bool:
    """Tells whether a lead with these values can be told from others at all."""
    return any(values.get(name) for name in TELLING)


def strong(values: Mapping[str, JSON]) -> tuple[Identity, ...]:
    """Returns what identifies the lead with these values for certain."""
    found = (_by_email(values.get("email")), _by_linkedin(values.get("linkedin_url")))
    return tuple(identity for identity in found if identity)


def moved(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> bool:
    """Tells whether a change of values may have changed what identifies the lead."""
    return any(before.get(name) != after.get(name) for name in STRONG)


def _by_email(raw: JSON) -> Identity | None:
    try:
        address = normalize.email(raw)
    except normalize.Unreadable:
        return None
    if address is None:
        return None
    local, _, domain = address.rpartition("@")
    is_blocked = local.partition("+")[0] in MAILBOXES or domain in DOMAINS or address in ADDRESSES
    return None if is_blocked else Identity("email", address)


def _by_linkedin(raw: JSON) -> Identity | None:
    page = normalize.linkedin(raw) if isinstance(raw, str) else None
    if page is None or not normalize.is_personal_linkedin(page):
        return None
    slug = page.rpartition("/")[2]
    return None if len(slug) > LONGEST_SLUG or slug in PROFILES else Identity("linkedin", page)


# --- matching -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No known lead has any of the identities."""


@dataclass(frozen=True, slots=True)
class One:
    """Exactly one lead has them."""

    lead_id: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The identities belong to different leads; a person decides. Sorted, whatever order they came in."""

    lead_ids: tuple[str, ...]


Match = NoMatch | One | Ambiguous


def match(identities: Iterable[Identity], owners: Mapping[Identity, str]) -> Match:
    """Finds the lead that owns the identities."""
    leads = sorted({owners[identity] for identity in identities if identity in owners})
    if not leads:
        return NoMatch()
    return One(leads[0]) if len(leads) == 1 else Ambiguous(tuple(leads))


# --- comparing ----------------------------------------------------------------------------------------------------

#: Endings that say what a company is in law and not what it is called.
LEGAL_FORMS: Final = normalize.words(
    """
    bv nv vof cv bvba srl sprl sa sas sarl spa ltd limited plc llp llc lp inc incorporated corp corporation co company
    gmbh ag kg ug ohg gbr mbh se ab as asa aps oy oyj pty
    """
)


def company(name: str) -> str:
    """Is a company's name for comparison: plain lower-case words without the legal form."""
    words = plain(name.replace(".", "")).split()
    while len(words) > 1 and words[-1] in LEGAL_FORMS:
        words.pop()
    return " ".join(words)


_NOT_WORD: Final = re.compile(r"[\W_]+")


def plain(value: str) -> str:
    """Is a text for comparison: lower-case words without accents and punctuation."""
    if value.isascii():
        return _NOT_WORD.sub(" ", value.lower()).strip()
    bare = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))
    return _NOT_WORD.sub(" ", bare.casefold()).strip()
