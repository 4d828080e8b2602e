"""The Instantly half of the demo world: campaigns, their leads, and a plausible past of opens, clicks and replies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app.sandbox.instantly import Store
from app.sandbox.instantly.records import Lead
from app.sandbox.people import Person, written

CAMPAIGNS = ("Directeuren NL", "Q3 founders", "Webinar follow-up")
#: days since each campaign began; ids of the first are from before Instantly ordered them by time
_AGES = (420, 75, 40)
_SENDERS = ("max@out-demo.nl", "Max@out2-demo.nl", "sophie@out-demo.nl")
#: custom variables by the column they are about, in the spellings imports bring along
VARIABLES = {
    "Title": ("functie", "Job Title", "Functietitel", "jobtitle"),
    "Company Size": ("bedrijfsgrootte", "Company Size", "aantal medewerkers"),
    "Industry": ("branche", "Industry", "Sector"),
    "Location": ("locatie", "Location", "Plaats"),
}
_RANKS = {-1: 1, 1: 5, 2: 6, 3: 6, -3: 7, 4: 8}
_SHARED_PAST = (28, 26, 20, 6, 15, 3, 1, 1)
_QUIET_PAST = (40, 30, 22, 8)


class Campaigners:
    """Whoever fills the Instantly workspace."""

    def __init__(self, store: Store, rng: random.Random, campaigns: int) -> None:
        self._store = store
        self._rng = rng
        #: lower-case address -> its rows
        self.leads: dict[str, list[Lead]] = {}
        self._began = {}
        for number in range(campaigns):
            name = CAMPAIGNS[number] if number < len(CAMPAIGNS) else f"Campaign {number + 1}"
            began = store.now() - timedelta(days=_AGES[number % len(_AGES)])
            schedule = {"start_date": "", "schedules": []} if number == 1 else None
            added = store.add_campaign(
                name,
                email_list=_SENDERS,
                old_id=number == 0,
                status=3 if number == 0 else 1,
                schedule=schedule,
                at=began,
            )
            self._began[added.id] = began
        self.campaign_ids = tuple(self._began)

    def fill(
        self, shared: Sequence[Person], strangers: Sequence[Person], mailboxes: Sequence[Sequence[Person]], rows: int
    ) -> int:
        """Adds everybody, `rows` rows in all; returns how many strangers replied."""
        repliers = len(strangers) // 20
        for number, person in enumerate(strangers):
            self._enrol(person, self._any_campaign(), 4 if number < repliers else self._quiet())
        for person in shared:
            self._enrol(person, self._any_campaign(), self._rng.choices(range(8), _SHARED_PAST)[0])
        for box in mailboxes:
            # One address, another name in each campaign.
            for user, campaign_id in zip(box, self.campaign_ids, strict=False):
                self._enrol(user, campaign_id, self._quiet())
        everybody = [*shared, *strangers]
        missing = rows - len(self._store.leads)
        for person in self._rng.sample(everybody, missing) if missing > 0 else ():
            taken = self.leads[person.email][0].campaign
            others = [campaign_id for campaign_id in self.campaign_ids if campaign_id != taken]
            self._enrol(person, self._rng.choice(others), self._quiet())
        return repliers

    def _any_campaign(self) -> str:
        return self._rng.choice(self.campaign_ids)

    def _quiet(self) -> int:
        return self._rng.choices(range(4), _QUIET_PAST)[0]

    def _enrol(self, person: Person, campaign_id: str, past: int) -> None:
        began = self._began[campaign_id]
        lead = self._store.add_lead(
            campaign_id,
            email=person.email if self._rng.random() < 0.9 else person.email.capitalize(),
            verification_status=self._rng.choice((1, 1, 1, -3, None)),
            esp_code=self._rng.choice((1, 2, 999)),
            old_id=campaign_id == self.campaign_ids[0],
            at=began + timedelta(minutes=self._rng.randint(0, 2880)),
            **self._facts(person),
        )
        self.leads.setdefault(person.email, []).append(lead)
        self._live(lead, past)

    def _facts(self, person: Person) -> dict[str, Any]:
        rng, company = self._rng, person.company
        facts: dict[str, Any] = {"first_name": person.first, "last_name": person.last} if rng.random() < 0.96 else {}
        custom: dict[str, Any] = {}
        if rng.random() < 0.95:
            facts["company_name"] = company.name if rng.random() < 0.7 else _respelled(rng, company.name)
        if rng.random() < 0.7:
            facts["website"] = rng.choice((company.domain, f"https://{company.domain}", f"www.{company.domain}"))
        if rng.random() < 0.3:
            facts["phone"] = written(rng, person.phone)
        if rng.random() < 0.4:
            facts["personalization"] = f"Saw what {company.name} does in {company.location}."
        if rng.random() < 0.3:
            facts["job_title"] = person.title
        elif rng.random() < 0.6:
            custom[rng.choice(VARIABLES["Title"])] = person.title
        for column, value in (
            ("Company Size", company.size),
            ("Industry", company.industry),
            ("Location", company.location),
        ):
            if rng.random() < 0.4:
                custom[rng.choice(VARIABLES[column])] = value
        if rng.random() < 0.1:
            custom["Tier"] = rng.choice(("A", "B", 1, True))
        return facts | {"payload": custom}

    def _live(self, lead: Lead, past: int) -> None:
        """Gives the lead a past: 0 none, 1 contacted, 2 opened, 3 clicked, 4 replied, 5 booked, 6 lost, 7 won."""
        store, rng = self._store, self._rng
        if past == 0:
            return
        at = self._began[lead.campaign or ""] + timedelta(days=3, minutes=rng.randint(0, 2000))
        for step in range(1 if past >= 4 else rng.randint(1, 3)):
            store.send(lead.id, step=step, variant=rng.randint(0, 1), at=at)
            for _ in range(rng.randint(1, 3) if past >= 2 else 0):
                at += timedelta(minutes=rng.randint(5, 600))
                store.open(lead.id, at=at)
            at += timedelta(days=3)
        if past == 1 and rng.random() < 0.08:
            store.bounce(lead.id, at=at)
        if past == 2 and rng.random() < 0.05:
            store.unsubscribe(lead.id, at=at)
        if past >= 3 and rng.random() < (1 if past == 3 else 0.3):
            store.click(lead.id, at=at)
        if past >= 4:
            at += timedelta(hours=rng.randint(1, 48))
            label = True if past >= 5 else rng.choice((True, True, False, None))
            store.reply(lead.id, positive=label, auto=past == 4 and rng.random() < 0.1, at=at)
        if past >= 5:
            store.set_interest(lead.id, {5: rng.choice((2, 3)), 6: -3, 7: 4}[past], at=at + timedelta(days=2))


def known_by_instantly(leads: Sequence[Lead]) -> dict[str, str]:
    """Returns what these rows could fill into an Airtable row, by column."""
    known: dict[str, str] = {}
    for lead in leads:
        given = {
            "Company": lead.company_name,
            "Website": lead.website,
            "Title": lead.job_title,
            "Phone": lead.phone,
            **{column: _first(lead.custom, keys) for column, keys in VARIABLES.items() if column != "Title"},
        }
        given["Title"] = given["Title"] or _first(lead.custom, VARIABLES["Title"])
        for column, value in given.items():
            if value:
                known.setdefault(column, value)
    return known


def ladder_rank(leads: Sequence[Lead]) -> int:
    """Returns the highest place on the status ladder these rows speak for."""
    return max(_rank(lead) for lead in leads)


def _rank(lead: Lead) -> int:
    counted = (
        (5, lead.email_reply_count > 0),
        (4, lead.email_click_count > 0),
        (3, lead.email_open_count > 0),
        (2, lead.timestamp_last_contact is not None),
    )
    reached = next((rank for rank, is_reached in counted if is_reached), 0)
    interest = lead.lt_interest_status
    return max(reached, 0 if interest is None else _RANKS.get(interest, 0))


def _first(custom: dict[str, Any], keys: Sequence[str]) -> str | None:
    return next((custom[key] for key in keys if key in custom), None)


def _respelled(rng: random.Random, name: str) -> str:
    return rng.choice((name.upper(), name.replace(".", ""), name.split(" ")[0], name.lower()))
