"""Agreement, measured from outside: every cell the sandbox holds, compared with the lead it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from app.db import connections, leads, links
from app.db.session import Database, Tenant
from app.domain import notes
from app.domain.identity import strong
from app.domain.values import JSON, MISSING
from app.sandbox.airtable import AirtableSandbox


@dataclass(slots=True)
class Agreement:
    """What both sides hold, cell by cell."""

    records: int = 0
    cells: int = 0
    #: (record, field, there, here)
    disagreements: list[tuple[str, str, JSON, JSON]] = field(default_factory=list)
    #: records nobody knows, and links whose record is not there
    unknown: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    #: e-mail addresses that more than one writing record shows
    duplicates: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Tells whether the two sides agree."""
        return not (self.disagreements or self.unknown or self.vanished or self.duplicates)


async def measure(
    db: Database,
    tenant: Tenant,
    connection_id: UUID,
    sandbox: AirtableSandbox,
    *,
    forgiven: frozenset[str] = frozenset(),
) -> Agreement:
    """Compares every two-way cell of every record with its lead; fields in these states are forgiven."""
    found = Agreement()
    async with db.transaction(tenant) as tx:
        stored = await connections.get(tx, connection_id)
        assert stored is not None
        ids = [row["id"] for row in await links.of_connection(tx, connection_id)]
        known = {s.link.key: s for s in await links.by_ids(tx, ids, {connection_id: stored.view})}
        held = {s.lead_id for s in known.values() if s.lead_id is not None}
        here = {lead_id: s.lead for lead_id, s in (await leads.lock(tx, held)).items()}
    base = sandbox.store.bases[str(stored.config["base_id"])]
    there = base.table(str(stored.config["table_id"]))
    assert there is not None
    records = {record.id: there.read(record) for record in there.records.values()}
    names = {f.name: f.id for f in there.fields.values()}
    table = stored.table
    found.records = len(records)
    found.vanished = [key for key, s in known.items() if not (s.gone or s.ended or s.is_new) and key not in records]
    emails: dict[str, str] = {}
    for record_id, cells in records.items():
        link = known.get(record_id)
        if link is None:
            found.unknown.append(record_id)
            continue
        for cell in link.link.cells.values():
            found.states[cell.state.value] = found.states.get(cell.state.value, 0) + 1
        lead = here.get(link.lead_id) if link.lead_id else None
        if lead is None or lead.deleted or not link.link.writing:
            continue
        by_id = {names[name]: value for name, value in cells.items()}
        for name, mapped in table.fields.items():
            if mapped.direction != "both" or link.link.cell(name).state.value in forgiven:
                continue
            raw = by_id.get(mapped.column)
            shown, value = mapped.decode(raw), lead.values.get(name)
            if name == "email" and shown in emails:
                found.duplicates.append(str(shown))
            if name == "email" and strong({"email": shown}):
                emails[str(shown)] = record_id
            found.cells += 1
            same = shown is MISSING or (notes.same(value, shown) if name == "notes" else shown == value)
            if not same:
                found.disagreements.append((record_id, name, shown, value))
    return found
