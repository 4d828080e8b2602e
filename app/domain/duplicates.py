"""Duplicates: which leads may be one person, how likely, and why; a person decides, nothing is merged by itself.

Tiers, the strongest first: one LinkedIn page, one e-mail address (former ones too), alike names at alike companies, one
phone. Only leads that share a blocking key are compared, so a scan costs what the keys let through instead of the
square of the leads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, NamedTuple

from rapidfuzz.fuzz import ratio

from app.domain import names
from app.domain.identity import company, plain, strong
from app.domain.values import JSON

Tier = Literal["linkedin", "email", "name_company", "phone"]

#: How alike names and companies must be to be worth a person's time, of 100.
ALIKE: Final = 88
#: Of 100; below it, two people of one company share a phone.
SAME_NAME: Final = 75
#: What an initial instead of a name is worth, of 100.
BY_INITIAL: Final = 92
#: One phone, and a name is missing; one phone, and the names are of two people.
PHONE_ALONE, PHONE_SHARED = 0.8, 0.5
#: From here on a pair is more likely one person than two.
LIKELY: Final = 0.85
#: What more leads than this share (a switchboard, a very common name) says nothing about any two of them.
LARGEST_BLOCK: Final = 50
#: Characters and words of a name, and characters of a company, that are compared. More is a text and not a name, and
#: every word of one name is held against every word of the other.
_LONGEST, _WORDS_AT_MOST = 100, 10
#: Letters of a company and of a name that a blocking key holds.
_PLACE, _NAME = 8, 3


class Person(NamedTuple):
    """A lead as it is compared."""

    id: str
    #: the name's plain words in one order; "" for a first name alone, which is nobody's
    name: str
    company: str
    domain: str
    phone: str
    page: str
    #: present and former addresses
    addresses: tuple[str, ...]
    #: leads that share none of these are not compared
    keys: tuple[str, ...]
    #: an initial stands for a part of the name
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two leads that may be one person."""

    #: in order
    leads: tuple[str, str]
    tier: Tier
    #: 0 to 1
    score: float
    #: how far the fields agree that both have, 0 to 1
    fields: Mapping[str, float]

    @property
    def why(self) -> str:
        """One sentence that names the fields and how far they agree, and no value."""
        same = [_WORDS[name] for name, score in self.fields.items() if score == 1]
        alike = [f"{_WORDS[name]} ({score:.2f})" for name, score in self.fields.items() if ALIKE / 100 <= score < 1]
        unlike = [_WORDS[name] for name, score in self.fields.items() if score < ALIKE / 100]
        parts = [("The same", same), ("alike", alike), ("different", unlike)]
        text = "; ".join(f"{word} {', '.join(found)}" for word, found in parts if found)
        return f"{text[0].upper()}{text[1:]}."


_WORDS: Final = {
    "linkedin_url": "LinkedIn page",
    "email": "e-mail address",
    "name": "name",
    "company": "company",
    "phone": "phone",
}


def person(lead_id: str, values: Mapping[str, JSON], former: Iterable[str] = ()) -> Person:
    """Returns a lead with canonical values in the form in which it is compared; `former` are its aliases."""
    full = values.get("full_name") or names.join(values.get("first_name"), values.get("last_name")) or ""
    words = sorted(plain(full[:_LONGEST]).split()[:_WORDS_AT_MOST])
    # particles are alike in many names, and left out by many people
    words = said if len(said := [w for w in words if w not in names.PARTICLES]) > 1 else words
    name = " ".join(words) if len(words) > 1 else ""
    firm, domain = company((values.get("company_name") or "")[:_LONGEST]), values.get("company_domain") or ""
    email, phone, page = values.get("email"), values.get("phone") or "", values.get("linkedin_url") or ""
    phone = phone if phone[:1] == "+" else ""  # free text in a phone column says nothing
    addresses = (*former, email) if email else tuple(former)
    keys = [f"e{address}" for address in addresses]
    if phone:
        keys.append(f"p{phone}")
    if page:
        keys.append(f"l{page}")
    if name:
        keys.append(f"n{name}")
        begun = {word[:_NAME] for word in words if len(word) > 1}
        places = [place for place in (firm.replace(" ", "")[:_PLACE], domain) if place]
        keys += [f"c{place} {word}" for place in places for word in begun]
    is_cut = any(len(word) == 1 for word in words)
    return Person(lead_id, name, firm, domain, phone, page, addresses, tuple(keys), is_cut)


def compare(a: Person, b: Person) -> Pair | None:
    """Scores two leads; None where nothing suggests that they are one person."""
    same_phone = a.phone != "" and a.phone == b.phone
    same_page = a.page != "" and a.page == b.page and bool(strong({"linkedin_url": a.page}))
    same_address = _same_address(a, b) if a.addresses and b.addresses else False
    by_name = _by_name(a, b) if a.name and b.name else None
    if not (same_page or same_address or same_phone) and (by_name or 0) < ALIKE:
        return None
    by_company = _by_company(a, b)
    tier: Tier
    if same_page:
        tier, score = "linkedin", 1.0
    elif same_address:
        tier, score = "email", 0.98
    elif by_name is not None and by_company is not None and min(by_name, by_company) >= ALIKE:
        tier, score = "name_company", (by_name + by_company) / 200
    elif same_phone and (by_name is None or by_name >= SAME_NAME or (by_company or 0) < ALIKE):
        # two names at one company share its switchboard
        tier, score = "phone", _by_phone(by_name)
    else:
        return None
    first, second = sorted((a.id, b.id))
    found = {
        "linkedin_url": float(same_page) if a.page and b.page else None,
        "email": float(same_address) if a.addresses and b.addresses else None,
        "name": None if by_name is None else by_name / 100,
        "company": None if by_company is None else by_company / 100,
        "phone": float(same_phone) if a.phone and b.phone else None,
    }
    fields = {name: round(value, 3) for name, value in found.items() if value is not None}
    return Pair(leads=(first, second), tier=tier, score=round(score, 3), fields=fields)


def _by_name(a: Person, b: Person) -> float:
    score = ratio(a.name, b.name)
    if score >= ALIKE or not (a.is_cut or b.is_cut):
        return score
    return max(score, _by_initials(a.name.split(), b.name.split()))


def _by_initials(a: list[str], b: list[str]) -> float:
    """J. Vries and Jan Vries: the words that both spell out are alike, and the others begin with the same letter."""
    spelt = [w for w in a if len(w) > 1], [w for w in b if len(w) > 1]
    few, many = sorted(spelt, key=len)
    if not few:
        return 0
    best = [max(many, key=lambda word: ratio(mine, word)) for mine in few]
    begun = sorted(w[0] for w in many if w not in best) + [w for w in (b if many is spelt[1] else a) if len(w) == 1]
    cut = sorted(w for w in (a if few is spelt[0] else b) if len(w) == 1)
    return min(BY_INITIAL, ratio(" ".join(few), " ".join(best))) if cut == sorted(begun) else 0


def _same_address(a: Person, b: Person) -> bool:
    if len(a.addresses) == len(b.addresses) == 1 and a.addresses != b.addresses:
        return False  # the ordinary case, for next to nothing
    return any(strong({"email": address}) for address in set(a.addresses).intersection(b.addresses))


def _by_company(a: Person, b: Person) -> float | None:
    if a.domain and a.domain == b.domain:
        return 100.0
    return ratio(a.company, b.company) if a.company and b.company else None


def _by_phone(by_name: float | None) -> float:
    if by_name is None:
        return PHONE_ALONE
    return PHONE_ALONE + by_name * 0.002 if by_name >= SAME_NAME else PHONE_SHARED


def scan(people: Iterable[Person], among: Collection[str] | None = None) -> list[Pair]:
    """Returns the pairs among these leads, the likeliest first; with `among`, only pairs with one of those ids."""
    found = [pair for a, b in candidates(people, among) if (pair := compare(a, b))]
    return sorted(found, key=lambda pair: (-pair.score, pair.leads))


def candidates(people: Iterable[Person], among: Collection[str] | None = None) -> Iterator[tuple[Person, Person]]:
    """Yields each two leads that share a blocking key, once; with `among`, only those with one of those ids."""
    every = list(people)
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    if among is not None:
        # the others share many a key with one another that is nobody's here
        blocks.update((key, []) for one in every if one.id in among for key in one.keys)
    for number, one in enumerate(every):
        for key in one.keys if among is None else filter(blocks.__contains__, one.keys):
            blocks[key].append(number)
    asked = {number for number, one in enumerate(every) if among is not None and one.id in among}
    seen: set[int] = set()
    for block in blocks.values():
        if 1 < len(block) <= LARGEST_BLOCK:
            two = combinations(block, 2) if among is None else _with(asked, block)
            # one number per pair: a set of them is half the size, and twice as quick, as one of tuples
            seen.update(a * len(every) + b for a, b in two)
    for code in seen:
        yield every[code // len(every)], every[code % len(every)]


def _with(asked: Collection[int], block: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((min(a, b), max(a, b)) for a in block if a in asked for b in block if a != b)
