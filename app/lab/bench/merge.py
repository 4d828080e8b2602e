"""merge: the policy alone, no database: 40 mapped fields, every tenth lead with one to five changed cells."""

from __future__ import annotations

import gc
import statistics
from dataclasses import replace
from time import process_time

from app.domain import mapping
from app.domain.lead import Connection, Lead, Link
from app.domain.plan import apply, drafted, plan
from app.domain.policy import Source
from app.lab.bench.figure import Bench, Figure
from app.providers.base import Column

ROUNDS = 5
SEEN, LATER = "2026-03-02T08:00:00.000Z", "2026-03-02T09:00:00.000Z"
STATUSES = ("New", "Contacted", "Opened", "Replied", "Booked")
#: field -> what its column shows
SHOWN = {
    "email": "ada@northwind.example",
    "full_name": "Ada van den Berg",
    "first_name": "Ada",
    "last_name": "van den Berg",
    "company_name": "Northwind B.V.",
    "company_domain": "northwind.example",
    "personalization": "Saw your talk about cold chains.",
    "title": "Head of Operations",
    "location": "Utrecht, Netherlands",
    "industry": "Logistics",
    "company_size": "51-200",
    "company_website": "https://www.northwind.example",
    "verified": True,
    "enriched": True,
    "needs_enrichment": False,
    "source": "LinkedIn",
    "platform": "sales-navigator",
    "scraped_at": "2026-01-05T08:00:00.000Z",
    "enriched_at": "2026-01-06T08:00:00.000Z",
    "phone": "+31301234567",
    "linkedin_url": "https://www.linkedin.com/in/ada-van-den-berg",
    "notes": "Knows the founder.",
    "deal_value": 12500,
    "next_action": "Send the offer",
    "next_action_date": "2026-04-01",
    "claimed_by": {"id": "usr00000000000001", "email": "ann@northwind.example", "name": "Ann"},
    "claimed_at": "2026-02-01T08:00:00.000Z",
    "status": "Contacted",
    "is_positive_reply": False,
    "last_contacted_at": "2026-02-20T08:00:00.000Z",
    "campaigns": ["Beurs", "Webinar"],
    "sms_sent_count": 2,
    "processing_status": "done",
    **{f"custom.extra_{n}": f"value {n}" for n in range(7)},
}
#: What changes, in turn.
EDITED = ("title", "location", "company_name", "industry", "next_action", "custom.extra_3", "company_size")
TYPES = {"claimed_by": "singleCollaborator", "status": "singleSelect", "campaigns": "multipleSelects"}


async def merge(bench: Bench) -> list[Figure]:
    """Plans and applies every lead, as reconcile does, and counts what one core gets through."""
    number = bench.size(10_000, 2_000)
    pairs = [_at_rest(n) for n in range(number)]
    # a batch is a hundred leads: what this bench keeps at hand is no work for the collector
    gc.freeze()
    try:
        return [_measured(bench, pairs)]
    finally:
        gc.unfreeze()


def _measured(bench: Bench, pairs: list[tuple[Lead, Link]]) -> Figure:
    number = len(pairs)
    rest, moved = (
        _rate(pairs),
        _rate([_edited(lead, link, n, 0) for n, (lead, link) in enumerate(pairs[: number // 5])]),
    )
    rates = []
    for number_of_round in range(ROUNDS):
        bench.say(f"round {number_of_round + 1} of {ROUNDS}")
        mixed = [
            _edited(lead, link, n, number_of_round + 1) if n % 10 == 0 else (lead, link)
            for n, (lead, link) in enumerate(pairs)
        ]
        rates.append(_rate(mixed))
    note = f"{len(SHOWN)} fields; at rest {rest:,.0f}/s, changed (3 cells on average) {moved:,.0f}/s; CPU time"
    return Figure(name="merge", value=statistics.median(rates), unit="leads/s", target="≥ 150,000", note=note)


def _rate(pairs: list[tuple[Lead, Link]]) -> float:
    started = process_time()
    for lead, link in pairs:
        drafted(lead, [link])
    return len(pairs) / (process_time() - started)


def _connection() -> Connection:
    columns = [
        Column(
            id=f"fld{name}", name=name, type=TYPES.get(name, "singleLineText"), writable=True,
            options=STATUSES if name == "status" else (),
        )
        for name in SHOWN
    ]  # fmt: skip
    table = mapping.check([{"field": name, "remote": f"fld{name}"} for name in SHOWN], columns)
    return Connection(id="connection", source=Source.AIRTABLE, mapping=table)


CONNECTION = _connection()


def _at_rest(number: int) -> tuple[Lead, Link]:
    """Returns a lead that went through its first contact, and has nothing to say since."""
    shown = {**SHOWN, "email": f"person{number}@northwind.example"}
    link = Link(id="link", connection=CONNECTION, key=f"rec{number}", observed=shown, observed_at=SEEN)
    lead = Lead(id=str(number))
    after, links = apply(lead, [link], plan(lead, [link]))
    after.sync_version = 1
    return after, replace(links["link"], reconciled=1)


def _edited(lead: Lead, link: Link, number: int, turn: int) -> tuple[Lead, Link]:
    names = [EDITED[(number + at) % len(EDITED)] for at in range(1 + number // 10 % 5)]
    news = {name: f"{SHOWN[name]} {turn}.{number}" for name in names}
    return lead, replace(link, observed=link.observed | news, observed_at=LATER)
