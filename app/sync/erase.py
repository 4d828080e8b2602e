"""Erase: a lead is forgotten as a person may ask for it, everywhere but at the providers.

What stays is a ledger of keyed hashes: of the strong identities the lead had, of its remote records, and of its id. A
record that shows one of them makes no lead; a person may still add the lead again, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from app.db import audits, connections, erasure, leads, runs
from app.db.session import Tx
from app.domain import identity
from app.sync.edit import Merged, NotFound, StaleVersion

#: Keyed hash of a text.
Fingerprint = Callable[[str], bytes]


async def erase(
    tx: Tx,
    lead_id: UUID,
    *,
    fingerprint: Fingerprint,
    actor: str,
    version: int | None = None,
    remote: bool = False,
) -> None:
    """Removes a lead (also a deleted one) with everything known about it, and those that were merged into it.

    With `remote` its records at the providers are deleted, too, by the next runs of their connections.

    Raises:
        NotFound, Merged, StaleVersion
    """
    found = await _family(tx, lead_id)
    if lead_id not in found:
        raise NotFound(lead_id)
    if (survivor := found[lead_id].merged_into) is not None:
        raise Merged(lead_id, survivor)
    if version is not None and version != found[lead_id].lead.version:
        raise StaleVersion(found[lead_id].lead.version)
    traces = await erasure.traces(tx, [lead_id, *sorted(found.keys() - {lead_id})])
    # a shared mailbox is somebody else's too
    personal = {i.value for value in traces.known_as for i in identity.strong({"email": value, "linkedin_url": value})}
    ids = {str(lead) for lead in traces.leads}
    there = await erasure.records_there(tx, traces.leads) if remote else []
    await erasure.erase(
        tx,
        traces.leads,
        words=personal | ids,
        hashes={fingerprint(text) for text in (*personal, *ids, *traces.records)},
    )
    await _delete_there(tx, there, actor)
    await audits.note(tx, actor, "lead.erased", {"lead_id": str(lead_id)})


async def _family(tx: Tx, lead_id: UUID) -> dict[UUID, leads.Stored]:
    """Locks a lead and those that were merged into it, and returns them as they are by then."""
    family = await erasure.family(tx, lead_id)
    while True:
        found = await leads.lock(tx, family)
        # somebody may have merged or unmerged until the locks were held
        locked, family = set(family), await erasure.family(tx, lead_id)
        if locked.issuperset(family):
            return {member: found[member] for member in family if member in found}


async def _delete_there(tx: Tx, records: Sequence[tuple[UUID, str]], actor: str) -> None:
    await erasure.remember_there(tx, records)
    for connection_id in sorted({connection_id for connection_id, _ in records}):
        stored = await connections.get(tx, connection_id)
        run = await runs.open_for(tx, connection_id, "to_remote")
        # a connection that is paused or stopped does it once it is resumed
        if stored is not None and stored.state == "active" and (run is None or run["state"] != "queued"):
            await runs.queue(tx, connection_id, "to_remote", "erasure", requested_by=actor)
