"""The demo world keeps its promises, counted independently of the code that makes it."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

import phonenumbers
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.seed import DemoScale, DemoWorld, seed_demo

LADDER = ("New", "Not interested", "Contacted", "Opened", "Clicked", "Replied", "Booked", "Lost", "Won")
INTEREST = {-1: 1, 1: 5, 2: 6, 3: 6, -3: 7, 4: 8}
SPELLINGS = {
    "Company": ("companyName",),
    "Website": ("website",),
    "Phone": ("phone",),
    "Title": ("jobTitle", "functie", "job title", "functietitel", "jobtitle"),
    "Company Size": ("bedrijfsgrootte", "company size", "aantal medewerkers"),
    "Industry": ("branche", "industry", "sector"),
    "Location": ("locatie", "location", "plaats"),
}


class Made:
    """A seeded world and both sides of it as their APIs show them."""

    def __init__(self, seed: int = 7, scale: DemoScale | None = None) -> None:
        clock = VirtualClock(datetime(2026, 11, 2, 9, 0, tzinfo=UTC))
        self.airtable, self.instantly = AirtableSandbox(clock=clock), InstantlySandbox(clock=clock)
        self.world: DemoWorld = seed_demo(self.airtable, self.instantly, seed=seed, scale=scale)
        table = self.airtable.store.bases[self.world.base_id].tables[self.world.table_id]
        self.rows = [{"id": record.id, **table.read(record)} for record in table.records.values()]
        self.leads = [lead.render() for lead in self.instantly.store.leads.values()]
        self.by_email: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for lead in self.leads:
            self.by_email[lead["email"].lower()].append(lead)
        self.personal = {email for email in self.by_email if not email.startswith(("info@", "sales@"))}


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def rank(lead: dict[str, Any]) -> int:
    counters = [("email_reply_count", 5), ("email_click_count", 4), ("email_open_count", 3)]
    reached = [place for counter, place in counters if lead[counter] > 0]
    contacted = 2 if "timestamp_last_contact" in lead else 0
    return max([*reached, contacted, INTEREST.get(lead.get("lt_interest_status", 0), 0)])


def needs_write(row: dict[str, Any], leads: list[dict[str, Any]]) -> bool:
    if max(map(rank, leads)) > LADDER.index(row["Status"]):
        return True
    for column, keys in SPELLINGS.items():
        if column not in row and any(key in keys or key.lower() in keys for lead in leads for key in lead["payload"]):
            return True
    names = {f"{lead['first_name']} {lead['last_name']}" for lead in leads if "first_name" in lead}
    return bool(names - {row["Full Name"]})


def test_the_counts_are_as_announced(made: Made) -> None:
    world = made.world
    emails = Counter(row["Email"].lower() for row in made.rows if "Email" in row)
    replied = {lead["email"].lower() for lead in made.leads if lead["email_reply_count"]}
    boxes = Counter({email: count for email, count in emails.items() if email.startswith(("info@", "sales@"))})

    assert (len(made.rows), len(made.leads), len(made.by_email)) == (2000, 3000, 2500)
    assert len(world.campaign_ids) == len(made.instantly.store.campaigns) == 3
    assert len(made.by_email.keys() & emails.keys()) == world.shared == 800
    assert sum(len(leads) > 1 for leads in made.by_email.values()) == 500
    assert sum(count == 2 for count in emails.values()) == world.two_rows == 24
    assert list(boxes.values()) == [3] * world.airtable_mailboxes
    assert len(made.by_email) - len(made.personal) == world.instantly_mailboxes == 6
    assert world.shared_mailboxes == 16
    assert len(replied - emails.keys()) == world.expected_creates <= 90
    assert replied <= made.personal


def test_few_rows_need_a_write_and_the_others_differ_harmlessly(made: Made) -> None:
    pairs = [
        (row, made.by_email[row["Email"].lower()])
        for row in made.rows
        if "Email" in row and row["Email"].lower() in made.by_email
    ]
    behind = {row["Email"].lower() for row, leads in pairs if needs_write(row, leads)}
    calm = [(row, leads) for row, leads in pairs if row["Email"].lower() not in behind]

    assert 200 <= len(behind) <= made.world.rows_needing_write <= 270
    assert sum(LADDER.index(row["Status"]) > max(map(rank, leads)) for row, leads in calm) > 50
    assert sum(any(lead.get("company_name") != row.get("Company") for lead in leads) for row, leads in calm) > 50


def test_two_rows_of_one_person_are_equally_complete_and_the_second_is_younger(made: Made) -> None:
    twins = defaultdict(list)
    for row in made.rows:
        twins[row.get("Email", "").lower()].append(row)
    pairs = [rows for email, rows in twins.items() if len(rows) == 2]

    assert pairs
    for first, second in pairs:
        assert first["Email"] != second["Email"]
        assert first["Last Modified"] < second["Last Modified"]
        ignored = {"id": "", "Email": "", "Last Modified": ""}
        assert first | ignored == second | ignored


def test_every_row_says_its_status_and_source_and_can_be_told_apart(made: Made) -> None:
    assert all({"Full Name", "Status", "Source"} <= row.keys() for row in made.rows)
    assert all("LinkedIn URL" in row for row in made.rows if "Email" not in row)
    assert sum("Email" not in row for row in made.rows) > 20
    assert {row["Status"] for row in made.rows} == set(LADDER)
    assert sum("Claimed By" in row for row in made.rows) > 100
    assert any("\n" in row.get("Notes", "") for row in made.rows)


def test_numbers_are_written_in_many_ways_and_can_be_read(made: Made) -> None:
    numbers = [row["Phone"] for row in made.rows if "Phone" in row]

    assert len({"".join("0" if char.isdigit() else char for char in number) for number in numbers}) > 12
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number, "NL")) for number in numbers)


def test_the_past_lies_in_the_past(made: Made) -> None:
    latest = max(value for lead in made.leads for key, value in lead.items() if key.startswith("timestamp"))

    assert latest < "2026-11-02T09:00:00.000Z"


def test_old_and_new_ids_are_mixed(made: Made) -> None:
    assert {lead["id"][14] for lead in made.leads} == {"4", "7"}


def test_the_same_seed_makes_the_same_world_and_another_seed_another(made: Made) -> None:
    again, other = Made(), Made(seed=8)

    assert (made.world, made.rows, made.leads) == (again.world, again.rows, again.leads)
    assert made.rows != other.rows
    assert sum(needs_write(row, leads) for row, leads in shared_pairs(other)) <= other.world.rows_needing_write


def shared_pairs(made: Made) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    rows = {row["Email"].lower(): row for row in made.rows if "Email" in row}
    return [(rows[email], leads) for email, leads in made.by_email.items() if email in rows]


def test_a_small_world_keeps_the_same_promises() -> None:
    made = Made(scale=DemoScale(airtable_rows=60, people=80, lead_rows=100, overlap=30, campaigns=2))

    assert (len(made.rows), len(made.leads), len(made.by_email)) == (60, 100, 80)
    assert sum(needs_write(row, leads) for row, leads in shared_pairs(made)) <= made.world.rows_needing_write
