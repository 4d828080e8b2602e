"""Both sandboxes as a small team has them: a table with every column a sync knows, two people, keys to both."""

from __future__ import annotations

from app.sandbox.airtable import AirtableSandbox, FieldSpec
from app.sandbox.core import Clock
from app.sandbox.instantly import InstantlySandbox

TOKEN, KEY = "patTEAM.x", "key-team"
STATUSES = ("New", "Not interested", "Contacted", "Opened", "Clicked", "Replied", "Booked", "Lost", "Won")
PEOPLE = ("ann@team.test", "ben@team.test")
CAMPAIGNS = ("Alpha", "Beta", "Gamma", "Delta")
COLUMNS = (
    FieldSpec("Full Name"),
    FieldSpec("Email", "email"),
    FieldSpec("Company"),
    FieldSpec("Title"),
    FieldSpec("Location"),
    FieldSpec("Industry"),
    FieldSpec("Company Size"),
    FieldSpec("Source"),
    FieldSpec("Phone", "phoneNumber"),
    FieldSpec("LinkedIn URL", "url"),
    FieldSpec("Needs Enrichment", "checkbox"),
    FieldSpec("Status", "singleSelect", {"choices": list(STATUSES)}),
    FieldSpec("Claimed By", "singleCollaborator"),
    FieldSpec("Claimed At", "dateTime"),
    FieldSpec("Notes", "multilineText"),
    FieldSpec("Campaigns", "multipleSelects", {"choices": list(CAMPAIGNS)}),
    FieldSpec("Last Sync", "dateTime"),
    FieldSpec("Sync Status", "singleSelect", {"choices": ["Synced", "Pending", "Error"]}),
    FieldSpec("Sync Error", "multilineText"),
    FieldSpec("CRM ID"),
    FieldSpec("Last Modified", "lastModifiedTime"),
)


def furnished(clock: Clock, seeds: tuple[int, int] = (1, 1)) -> tuple[AirtableSandbox, InstantlySandbox]:
    """Returns an Airtable with an empty table and an Instantly without campaigns; neither limits its callers."""
    airtable = AirtableSandbox(clock=clock, seed=seeds[0])
    instantly = InstantlySandbox(clock=clock, seed=seeds[1])
    airtable.switches.limiter, instantly.switches.rate_limits = False, False
    base = airtable.store.add_base("Sales")
    base.add_table("Leads", COLUMNS)
    for email in PEOPLE:
        base.add_collaborator(email, email.partition("@")[0].capitalize())
    airtable.store.add_token(TOKEN)
    instantly.store.add_key(KEY)
    return airtable, instantly
