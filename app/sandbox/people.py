"""Invented people and companies, Dutch, British and American, written as untidily as real lists are.

Domains end in `-demo` so that none of them is anybody's; the same generator always makes the same people.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass


def _listed(text: str, between: str = " ") -> tuple[str, ...]:
    return tuple(text.split(between))


_DUTCH_FIRST = _listed(
    "Sanne Daan Lotte Bram Femke Joris Maaike Sander Anouk Thijs Eva Ruben Fleur Stijn Iris Jeroen Noor Niels Roos "
    "Pieter Marloes Koen Esmée Wouter Zoë Daniël Chloë René Joëlle Noël Loïs Jürgen Anne-Marie Jan-Willem Hanneke "
    "Guus Tessa Martijn Saskia Floris Nienke Hugo Merel Gijs Yara Mehmet Fatima Youssef Aylin Priya",
)
_DUTCH_LAST = _listed(
    "Jansen|de Vries|van den Berg|van Dijk|Bakker|Visser|Smit|Meijer|de Boer|Mulder|de Groot|Bos|Vos|Peters|Hendriks|"
    "van Leeuwen|Dekker|Brouwer|de Wit|Dijkstra|Smits|de Graaf|van der Meer|van der Linden|Kok|Jacobs|de Haan|"
    "Vermeulen|van den Heuvel|van der Veen|van den Broek|de Bruijn|van der Heijden|Schouten|van Beek|Willems|"
    "van Vliet|Hoekstra|Maas|Verhoeven|Koster|van Dam|Prins|Blom|Huisman|Postma|Kuipers|van 't Hof|'t Hart|"
    "in 't Veld|op den Camp|ter Horst|ten Brink|Brugman-de Wit|Özdemir|Yılmaz|El Amrani|Çelik",
    "|",
)
_ENGLISH_FIRST = _listed(
    "Oliver Amelia George Isla Harry Freya Jack Poppy Alfie Grace Callum Imogen Rhys Siobhán Eoin Aoife Nathan Chloe "
    "Tyler Madison Logan Harper Mason Avery Caleb Zara Priyanka Omar Beatrice Tobias Renée André Mary-Jane Theodore",
)
_ENGLISH_LAST = _listed(
    "Smith|Jones|Taylor|Brown|Davies|Evans|Wilson|Thomas|O'Brien|O'Neill|McDonald|MacLeod|D'Angelo|Walker|Wright|"
    "Robinson|Thompson|White|Hughes|Edwards|Green|Hall|Wood|Harris|Clarke|Patel|Khan|Fitzgerald|St. John|Núñez|"
    "Garcia|Miller|Anderson|Jackson|Lopez|Nguyen|Campbell-Reid|Whitaker|Ashworth|Featherstone|Okafor|Brontë",
    "|",
)
_WORDS = _listed(
    "Windmolen Noordzee Polder Tulp Kompas Anker Zilver Eiken Linde Haven Kade Molen Duin Ster Vuurtoren Brug "
    "Amber Birch Copper Delta Ember Falcon Granite Harbor Ivory Juniper Keystone Lantern Meridian Nimbus Orchard",
)
_TRADES = {
    "Logistics": ("Logistiek", "Freight", "Transport"),
    "Software": ("Software", "Digital", "Labs"),
    "Construction": ("Bouw", "Installatie", "Builders"),
    "Health care": ("Zorg", "Health", "Kliniek"),
    "Food": ("Zuivel", "Bakkerij", "Foods"),
    "Energy": ("Energie", "Solar", "Warmte"),
    "Marketing": ("Media", "Studio", "Communicatie"),
    "Finance": ("Finance", "Advies", "Capital"),
}
_SIZES = ("1-10", "11-50", "51-200", "201-500", "501-1000", "1001-5000")
_PLACES = {
    "NL": ("Amsterdam", "Rotterdam", "Utrecht", "Eindhoven", "Groningen", "'s-Hertogenbosch", "Den Haag", "Zwolle"),
    "GB": ("London", "Manchester", "Leeds", "Bristol", "Edinburgh", "Cardiff"),
    "US": ("Austin, TX", "New York, NY", "Denver, CO", "Boston, MA"),
}
_TITLES = {
    "NL": ("Directeur", "Eigenaar", "Hoofd Marketing", "Inkoopmanager", "DGA", "Operationeel directeur", "CFO"),
    "GB": ("Managing Director", "Head of Sales", "Founder", "Operations Manager", "Marketing Lead"),
    "US": ("CEO", "VP Sales", "Founder & CEO", "Director of Operations", "Growth Lead"),
}
_FORMS = {"NL": ("B.V.", "BV", "Groep", ""), "GB": ("Ltd", "Limited", "LLP"), "US": ("Inc.", "LLC", "Corp.")}
_TLDS = {"NL": "nl", "GB": "co.uk", "US": "com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    name: str
    domain: str
    industry: str
    size: str
    location: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody at work; everything a list could know about them."""

    first: str
    last: str
    email: str
    title: str
    phone: str
    linkedin: str
    company: Company

    @property
    def full_name(self) -> str:
        return f"{self.first} {self.last}"


def companies(rng: random.Random, count: int) -> list[Company]:
    """Returns companies with different domains."""
    found: dict[str, Company] = {}
    while len(found) < count:
        country = rng.choices(("NL", "GB", "US"), (7, 2, 1))[0]
        industry = rng.choice(tuple(_TRADES))
        words = [*rng.sample(_WORDS, 2), rng.choice(_TRADES[industry])]
        domain = "-".join(words).lower() + f"-demo.{_TLDS[country]}"
        form = rng.choice(_FORMS[country])
        found.setdefault(
            domain,
            Company(
                name=" ".join(filter(None, (*words, form))),
                domain=domain,
                industry=industry,
                size=rng.choice(_SIZES),
                location=rng.choice(_PLACES[country]),
                country=country,
            ),
        )
    return list(found.values())


def people(rng: random.Random, employers: list[Company]) -> Iterator[Person]:
    """Yields people without end, no two with the same name, address, phone or LinkedIn page."""
    names: set[str] = set()
    phones: set[str] = set()
    repeats = 0
    while True:
        company = rng.choice(employers)
        dutch = company.country == "NL" and rng.random() < 0.9
        first = rng.choice(_DUTCH_FIRST if dutch else _ENGLISH_FIRST)
        last = rng.choice(_DUTCH_LAST if dutch else _ENGLISH_LAST)
        key = plain(f"{first}.{last}")
        if key in names:
            repeats += 1
            # The simple names run out: double surnames follow.
            if repeats % 8:
                continue
            last = f"{last}-{rng.choice(_DUTCH_LAST if dutch else _ENGLISH_LAST)}"
            key = plain(f"{first}.{last}")
            if key in names:
                continue
        names.add(key)
        phone = _phone(rng, company.country, phones)
        yield Person(
            first=first,
            last=last,
            email=f"{key}@{company.domain}",
            title=rng.choice(_TITLES[company.country]),
            phone=phone,
            linkedin=_linkedin(rng, key),
            company=company,
        )


def plain(text: str) -> str:
    """Returns text as the local part of an address: ASCII, lower-case, no spaces."""
    folded = unicodedata.normalize("NFKD", text.replace("ı", "i")).encode("ascii", "ignore").decode().lower()
    return "".join(char for char in folded if char.isalnum() or char in ".-")


def written(rng: random.Random, phone: str) -> str:
    """Returns an E.164 number the way somebody would type it."""
    if phone.startswith("+31"):
        rest = phone[4:] if phone[3] == "6" else phone[3:]
        return rng.choice(_DUTCH_MOBILE)(rest)
    if phone.startswith("+44"):
        return rng.choice(_BRITISH)(phone[3:])
    return rng.choice(_AMERICAN)(phone[2:])


_DUTCH_MOBILE: tuple[Callable[[str], str], ...] = (
    lambda n: f"06 {n[:2]} {n[2:4]} {n[4:6]} {n[6:]}",
    lambda n: f"+31 (0)6-{n}",
    lambda n: f"06-{n}",
    lambda n: f"06{n}",
    lambda n: f"+316{n}",
    lambda n: f"0031 6 {n[:4]} {n[4:]}",
    lambda n: f"+31 6 {n[:4]} {n[4:]}",
)
_BRITISH: tuple[Callable[[str], str], ...] = (
    lambda n: f"+44 (0){n[:4]} {n[4:]}",
    lambda n: f"+44 {n[:4]} {n[4:7]} {n[7:]}",
    lambda n: f"+44{n}",
    lambda n: f"0044 {n[:4]} {n[4:]}",
)
_AMERICAN: tuple[Callable[[str], str], ...] = (
    lambda n: f"+1 ({n[:3]}) {n[3:6]}-{n[6:]}",
    lambda n: f"+1-{n[:3]}-{n[3:6]}-{n[6:]}",
    lambda n: f"+1{n}",
    lambda n: f"+1 {n[:3]}.{n[3:6]}.{n[6:]}",
)


def _phone(rng: random.Random, country: str, taken: set[str]) -> str:
    while True:
        if country == "NL":
            phone = f"+316{rng.randint(10_000_000, 58_999_999)}"
        elif country == "GB":
            phone = f"+44{rng.choice((7400, 7500, 7800, 7900))}{rng.randint(0, 999_999):06d}"
        else:
            phone = f"+1{rng.choice((212, 303, 512, 617, 415))}{rng.randint(200, 989)}{rng.randint(0, 9999):04d}"
        if phone not in taken:
            taken.add(phone)
            return phone


def _linkedin(rng: random.Random, key: str) -> str:
    slug = f"{key.replace('.', '-')}-{rng.getrandbits(24):06x}"
    return rng.choice(
        (
            f"https://www.linkedin.com/in/{slug}",
            f"https://www.linkedin.com/in/{slug}/",
            f"https://nl.linkedin.com/in/{slug}",
            f"http://linkedin.com/in/{slug}",
            f"www.linkedin.com/in/{slug}/?originalSubdomain=nl",
        )
    )
