"""The demo world: one sales team's Airtable base and Instantly workspace that overlap and disagree, as they do in life.

Most shared people agree well enough that a first reconciliation has nothing to write; a known minority ("behind") has
an Airtable row that lacks something Instantly knows, spells the first name otherwise, or stands lower on the ladder.
The Instantly side is made first and its facts decide what the Airtable side may lack, so the bounds in `DemoWorld` hold
for every seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.sandbox.airtable import AirtableSandbox, FieldSpec, Table
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.instantly.records import Lead, stamp
from app.sandbox.people import Company, Person, companies, people, written
from app.sandbox.seed_instantly import CAMPAIGNS, Campaigners, known_by_instantly, ladder_rank

STATUSES = ("New", "Not interested", "Contacted", "Opened", "Clicked", "Replied", "Booked", "Lost", "Won")
FIELDS = (
    FieldSpec("Full Name", "singleLineText"),
    FieldSpec("Email", "email"),
    FieldSpec("Company", "singleLineText"),
    FieldSpec("Website", "url"),
    FieldSpec("LinkedIn URL", "url"),
    FieldSpec("Title", "singleLineText"),
    FieldSpec("Location", "singleLineText"),
    FieldSpec("Industry", "singleLineText"),
    FieldSpec("Company Size", "singleLineText"),
    FieldSpec("Verified", "checkbox"),
    FieldSpec("Enriched", "checkbox"),
    FieldSpec("Needs Enrichment", "checkbox"),
    FieldSpec("Status", "singleSelect", {"choices": list(STATUSES)}),
    FieldSpec("Source", "singleLineText"),
    FieldSpec("Scraped At", "dateTime"),
    FieldSpec("Enriched At", "dateTime"),
    FieldSpec("Phone", "phoneNumber"),
    FieldSpec("Last Sync", "dateTime"),
    FieldSpec("Sync Status", "singleSelect", {"choices": ["Synced", "Pending", "Error"]}),
    FieldSpec("Sync Error", "multilineText"),
    FieldSpec("Claimed By", "singleCollaborator"),
    FieldSpec("Claimed At", "dateTime"),
    FieldSpec("Notes", "multilineText"),
    FieldSpec("Campaigns", "multipleSelects", {"choices": [*CAMPAIGNS, "Webinar", "Beurs Utrecht"]}),
    FieldSpec("Last Modified", "lastModifiedTime"),
    FieldSpec("CRM ID", "singleLineText"),
)
SALESPEOPLE = {
    "emma@sales-demo.nl": "Emma de Ruiter",
    "liam@sales-demo.nl": "Liam O'Connor",
    "noa@sales-demo.nl": "Noa van Houten",
}
NOTES = (
    "Gebeld, terugbellen na de vakantie.\nVraagt naar prijzen voor 50 gebruikers.",
    "Met op de beurs gesproken ☕\n\n- heeft budget\n- beslist in Q1",
    "Left a voicemail.\nSecond try: asked to call back on Thursday – “after lunch”.",
    "Mail naar secretariaat gestuurd (café-afspraak met Zoë).",
    "Knows the founder of Acme.\nDo NOT mention the old contract 🙏",
)
AIRTABLE_PAT = "patSandbox.airtable"
INSTANTLY_KEY = "sandbox-instantly-key"
#: columns Instantly may fill
FILLABLE = ("Company", "Website", "Title", "Location", "Industry", "Company Size", "Phone")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoScale:
    """How large the demo world is."""

    airtable_rows: int = 2000
    #: distinct addresses in Instantly
    people: int = 2500
    lead_rows: int = 3000
    #: people in both systems
    overlap: int = 800
    campaigns: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoWorld:
    """Where the demo data is, and what is true of it."""

    base_id: str
    table_id: str
    token: str
    api_key: str
    campaign_ids: tuple[str, ...]
    #: people with the same address in both systems (role mailboxes are never among them)
    shared: int
    #: people with two Airtable rows, the younger one with the address in another case
    two_rows: int
    #: role mailboxes used by several people: three rows each in Airtable, two rows each in Instantly
    airtable_mailboxes: int
    instantly_mailboxes: int
    #: Instantly people who replied and are not in Airtable
    expected_creates: int
    #: Airtable rows that lack something Instantly knows, at most
    rows_needing_write: int

    @property
    def shared_mailboxes(self) -> int:
        return self.airtable_mailboxes + self.instantly_mailboxes


def seed_demo(
    airtable: AirtableSandbox, instantly: InstantlySandbox, *, seed: int = 7, scale: DemoScale | None = None
) -> DemoWorld:
    """Fills both sandboxes; the same seed and clock give the same world."""
    scale = scale or DemoScale()
    rng = random.Random(seed)
    employers = companies(rng, max(5, (scale.people + scale.airtable_rows) // 4))
    crowd = people(rng, employers)
    shared = [next(crowd) for _ in range(scale.overlap)]

    in_instantly = scale.people // 400 if scale.campaigns > 1 else 0
    in_airtable = scale.airtable_rows // 200
    hosts = rng.sample(employers, in_instantly + in_airtable)

    instantly.store.add_key(INSTANTLY_KEY)
    campaigners = Campaigners(instantly.store, rng, scale.campaigns)
    strangers = [next(crowd) for _ in range(scale.people - scale.overlap - in_instantly)]
    boxes = _mailboxes(rng, hosts[:in_instantly], crowd, 2)
    creates = campaigners.fill(shared, strangers, boxes, scale.lead_rows)

    board = _Board(airtable, rng)
    behind, two_rows = int(scale.overlap * 0.32), scale.airtable_rows * 12 // 1000
    alone = scale.airtable_rows - scale.overlap - two_rows - 3 * in_airtable
    rows = _shared_rows(board, shared, campaigners.leads, behind)
    rows += [board.row(next(crowd)) for _ in range(alone)]
    _thin_out(rng, rows, anonymous=rows[scale.overlap :][: alone // 16])
    addressed = [row for row in rows[behind:] if "Email" in row]
    twins = [_twin(row) for row in rng.sample(addressed, two_rows)]
    rows += [board.row(person) for box in _mailboxes(rng, hosts[in_instantly:], crowd, 3) for person in box]
    board.write(rows, twins)
    return DemoWorld(
        base_id=board.table.base.id,
        table_id=board.table.id,
        token=AIRTABLE_PAT,
        api_key=INSTANTLY_KEY,
        campaign_ids=campaigners.campaign_ids,
        shared=scale.overlap,
        two_rows=two_rows,
        airtable_mailboxes=in_airtable,
        instantly_mailboxes=in_instantly,
        expected_creates=creates,
        rows_needing_write=behind,
    )


def _mailboxes(rng: random.Random, hosts: Sequence[Company], crowd: Iterator[Person], users: int) -> list[list[Person]]:
    """Returns one role address per company, each with so many people who use it."""
    boxes = []
    for company in hosts:
        email = f"{rng.choice(('info', 'sales'))}@{company.domain}"
        boxes.append([replace(next(crowd), email=email, company=company) for _ in range(users)])
    return boxes


class _Board:
    """The Airtable base, and how a salesperson fills a row of it."""

    def __init__(self, airtable: AirtableSandbox, rng: random.Random) -> None:
        self._rng = rng
        self._now = airtable.sandbox.clock.now()
        base = airtable.store.add_base("Sales")
        self.table: Table = base.add_table("Leads", FIELDS)
        self._sellers = [base.add_collaborator(email, name).id for email, name in SALESPEOPLE.items()]
        airtable.store.add_token(AIRTABLE_PAT)

    def row(self, person: Person, *, lowest: int = 0) -> dict[str, Any]:
        """Returns a row with every gap a row may have; its status is at least `lowest` on the ladder."""
        rng, company = self._rng, person.company
        climbed = rng.random() < 0.25
        status = rng.choices(range(9), (40, 6, 22, 12, 6, 7, 3, 2, 2))[0] if climbed or not lowest else lowest
        row = {
            "Full Name": person.full_name,
            "Email": _untidy(rng, person.email),
            "Company": company.name,
            "Website": f"https://www.{company.domain}",
            "Title": person.title,
            "Location": company.location,
            "Industry": company.industry,
            "Company Size": company.size,
            "Phone": written(rng, person.phone),
            "LinkedIn URL": person.linkedin,
            "Verified": rng.random() < 0.6,
            "Enriched": rng.random() < 0.4,
            "Needs Enrichment": rng.random() < 0.2,
            "Status": STATUSES[max(status, lowest)],
            "Source": rng.choice(("LinkedIn", "Website", "Referral", "Beurs Utrecht", "Apollo", "Sheet")),
            "Scraped At": self._ago(rng.randint(60, 300)),
        }
        if row["Enriched"]:
            row["Enriched At"] = self._ago(rng.randint(5, 50))
        if rng.random() < 0.12:
            row["Notes"] = rng.choice(NOTES)
        if rng.random() < 0.1:
            row |= {"Claimed By": rng.choice(self._sellers), "Claimed At": self._ago(rng.randint(1, 40))}
        if rng.random() < 0.5:
            row["Campaigns"] = rng.sample((*CAMPAIGNS, "Webinar", "Beurs Utrecht"), rng.randint(1, 2))
        self._ornament(row)
        for column in FILLABLE:
            if rng.random() < 0.18:
                row.pop(column)
        return row

    def write(self, rows: list[dict[str, Any]], twins: list[dict[str, Any]]) -> None:
        """Creates the rows oldest first; twins are the youngest."""
        self._rng.shuffle(rows)
        made = [*rows, *twins]
        for number, row in enumerate(made):
            record = self.table.create({name: value for name, value in row.items() if value is not False})
            age = timedelta(hours=(len(made) - number) * 1.2)
            record.created = record.edited = float(int((self._now - age).timestamp()))

    def _ornament(self, row: dict[str, Any]) -> None:
        if self._rng.random() < 0.02:
            row["Company"] = f"{row['Company']} 🚀"
        if self._rng.random() < 0.03:
            row["Company"] = row["Company"].upper()

    def _ago(self, days: int) -> str:
        return stamp(self._now - timedelta(days=days, minutes=self._rng.randint(0, 1439)))


def _shared_rows(
    board: _Board, shared: Sequence[Person], leads: dict[str, list[Lead]], behind: int
) -> list[dict[str, Any]]:
    """Returns the rows of the shared people: the first `behind` of them need a write, the others need none."""
    rows = []
    for number, person in enumerate(shared):
        known, rank = known_by_instantly(leads[person.email]), ladder_rank(leads[person.email])
        full = board.row(person, lowest=rank)
        for column in FILLABLE:
            if column in known and column not in full:
                full[column] = known[column]
        if number < behind:
            _fall_behind(full, known, rank, kind=number % 8)
        rows.append(full)
    return rows


def _fall_behind(row: dict[str, Any], known: dict[str, str], rank: int, *, kind: int) -> None:
    if kind == 0:
        # "Bob" here, "Robert" there.
        row["Full Name"] = f"{row['Full Name'][0]}. {row['Full Name'].partition(' ')[2]}"
    elif kind < 5 and rank > 0:
        lower = max(0, rank - kind)
        row["Status"] = STATUSES[lower if lower != 1 else 0]
    else:
        for column in [column for column in FILLABLE if column in known][kind % 3 :: 2]:
            row.pop(column, None)


def _thin_out(rng: random.Random, rows: Sequence[dict[str, Any]], *, anonymous: Sequence[dict[str, Any]]) -> None:
    for row in anonymous:
        del row["Email"]
    for row in rows:
        if "Email" in row and rng.random() < 0.1:
            del row["LinkedIn URL"]


def _twin(row: dict[str, Any]) -> dict[str, Any]:
    local, _, domain = row["Email"].partition("@")
    shouted = f"{local.upper()}@{domain}" if local != local.upper() else f"{local.lower()}@{domain}"
    return {**row, "Email": shouted}


def _untidy(rng: random.Random, email: str) -> str:
    local, _, domain = email.partition("@")
    if rng.random() < 0.15:
        return f"{'.'.join(part.capitalize() for part in local.split('.'))}@{domain}"
    return email if rng.random() < 0.97 else f"{local}@{domain.title()}"
