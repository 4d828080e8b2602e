"""Messy leads: a seeded set in which some people were entered twice, each time with other mistakes.

Its mistakes are those of address books and not those the blocking keys were made for: typing, nicknames cut to an
initial, turned names, renamed companies, private addresses, missing fields. Colleagues share a company and often its
phone, and namesakes work elsewhere, so that there is something to get wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.domain.values import JSON

Values = dict[str, JSON]


def _listed(text: str) -> list[str]:
    return text.split()


_GIVEN: Final = _listed(
    """
    anna bram carla daan eva femke gijs hanna ivo jasmijn karel lotte maarten nina otto paula quinten roos sander tess
    umar vera willem xandra yusuf zoë søren amélie björn chloé fatima giulia henrik inês jürgen katarzyna ahmed bente
    casper dilara emil floor goran hugo isa jelle koen liv mees noor oscar pien ruben sofie thijs ulrike victor wouter
    yara zeynep aleksander beatriz cédric dorothea étienne frederike guillaume hendrika ignacio johanna konstantin
    leonie marguerite niklas ophelia pelle ragnhild stefania théo valentina
    """
)
_STEMS: Final = _listed(
    """
    berg dijk haar linde meer veld bosch horst kamp laar molen noord oever polder rijn schans tuin waal zand akker
    brandt claes dorn elzen fries groen hazel ijssel jong kuyper leeuw maas nagel olden prins quist rozen smit timmer
    uiter vos winter zomer appel bakker coster dekker engel fleur goud hofs iepen jager keizer lams muller nieuw ooster
    popta ridder schaap teunis vink wolf zwart
    """
)
_ENDS: Final = _listed("man sma stra ink huis mans boom beek dam horst wijk en er ing berg veld aar kens")
_BRANCHES: Final = _listed(
    "logistics foods energy metals software design media capital health transport textiles travel"
)
_FORMS: Final = ("B.V.", "BV", "Holding", "Ltd", "GmbH", "N.V.", "")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Messy:
    """Leads by id, and which two of them are one person."""

    leads: list[tuple[str, Values]]
    pairs: frozenset[tuple[str, str]]


def messy(number: int, *, seed: int, twice: float = 0.1) -> Messy:
    """Returns so many leads; a share of `twice` of them are second entries."""
    rng = random.Random(seed)
    firms = [_firm(rng, n) for n in range(max(1, number // 12))]
    people = [_person(rng, rng.choice(firms), n) for n in range(number - int(number * twice))]
    leads = [(f"{n:08d}", values) for n, values in enumerate(people)]
    pairs = []
    for n, first in enumerate(rng.sample(range(len(people)), number - len(people)), start=len(people)):
        leads.append((f"{n:08d}", _again(rng, people[first])))
        pairs.append((f"{first:08d}", f"{n:08d}"))
    rng.shuffle(leads)
    return Messy(leads, frozenset(pairs))


def _firm(rng: random.Random, number: int) -> Values:
    stem = f"{rng.choice(_STEMS)}{rng.choice(_ENDS)}"
    name = f"{stem.title()} {rng.choice(_BRANCHES).title()} {rng.choice(_FORMS)}".strip()
    return {
        "company_name": name,
        "company_domain": f"{stem.lower()}{number}.example",
        "phone": f"+3120{number:07d}",
    }


def _person(rng: random.Random, firm: Values, number: int) -> Values:
    given = rng.choice(_GIVEN).title()
    particle = rng.choice(("", "", "", "van ", "de ", "van der "))
    family = particle + rng.choice(_STEMS).title() + rng.choice(_ENDS) + rng.choice(("", "", "s", "a"))
    handle = f"{given[0]}.{family.replace(' ', '')}{number}".lower()
    values = firm | {"full_name": f"{given} {family}", "email": f"{handle}@{firm['company_domain']}"}
    if rng.random() < 0.6:
        values["phone"] = f"+316{number:08d}"
    elif rng.random() < 0.5:
        values["phone"] = None
    if rng.random() < 0.4:
        values["linkedin_url"] = f"https://www.linkedin.com/in/{handle.replace('.', '-')}"
    return values


def _again(rng: random.Random, values: Values) -> Values:
    """The same person, entered again: never under the same address (that would be the same lead)."""
    again = values | {"linkedin_url": None, "email": f"{rng.randrange(10**9)}@mail.example"}
    if rng.random() < 0.3:
        again["email"] = None
    # in their order, because a company that was left out cannot be mistyped
    for number in sorted(rng.sample(range(len(_MISTAKES)), rng.choice((1, 1, 2, 3)))):
        _MISTAKES[number](rng, again)
    return again


def _typo(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    match rng.randrange(4):
        case 0:
            return text[:at] + text[at + 1 :]
        case 1:
            return text[:at] + rng.choice(_LETTERS) + text[at:]
        case 2:
            return text[:at] + rng.choice(_LETTERS) + text[at + 1 :]
        case _:
            return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]


def _mistype_name(rng: random.Random, values: Values) -> None:
    values["full_name"] = _typo(rng, values["full_name"])


def _turn_name(_rng: random.Random, values: Values) -> None:
    given, _, family = values["full_name"].partition(" ")
    values["full_name"] = f"{family}, {given}"


def _cut_given_name(_rng: random.Random, values: Values) -> None:
    given, _, family = values["full_name"].partition(" ")
    values["full_name"] = f"{given[0]}. {family}"


def _mistype_company(rng: random.Random, values: Values) -> None:
    values["company_name"] = _typo(rng, values["company_name"])


def _other_legal_form(rng: random.Random, values: Values) -> None:
    words = values["company_name"].split()
    values["company_name"] = " ".join([*words[:2], rng.choice(_FORMS)]).strip()


def _no_company(_rng: random.Random, values: Values) -> None:
    if values["company_domain"] is not None:  # somebody of whom only the name is left is nobody's duplicate
        values["company_name"] = None


def _no_domain(_rng: random.Random, values: Values) -> None:
    values["company_domain"] = None


def _other_domain(rng: random.Random, values: Values) -> None:
    if values["company_name"] is not None:
        values["company_domain"] = f"{_LETTERS[rng.randrange(26)]}{rng.randrange(10**6)}.example"


def _no_phone(_rng: random.Random, values: Values) -> None:
    values["phone"] = None


_MISTAKES: Final[tuple[Callable[[random.Random, Values], None], ...]] = (
    _mistype_name, _turn_name, _cut_given_name, _mistype_company, _other_legal_form, _no_domain, _no_phone,
    _no_company, _other_domain,
)  # fmt: skip
