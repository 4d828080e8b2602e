"""Erase: a lead is forgotten as a person may ask for it, everywhere but at the providers.

What stays is a ledger of keyed hashes: of the strong identities the lead had, of its remote records, and of its id. A
record that shows one of them makes no lead; a person may still add the lead again, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from app.db import audits, erasure, leads
from app.db.session import Tx
from app.domain import identity
from app.sync.edit import Merged, NotFound, StaleVersion

#: Keyed hash of a text.
Fingerprint = Callable[[str], bytes]


async def erase(tx: Tx, lead_id: UUID, *, fingerprint: Fingerprint, actor: str, version: int | None = None) -> None:
    """Removes a lead (also a deleted one) with everything known about it, and those that were merged into it.

    Raises:
        NotFound, Merged, StaleVersion
    """
    found = await leads.lock(tx, await erasure.family(tx, lead_id))
    if lead_id not in found:
        raise NotFound(lead_id)
    if (survivor := found[lead_id].merged_into) is not None:
        raise Merged(survivor)
    if version is not None and version != found[lead_id].lead.version:
        raise StaleVersion(found[lead_id].lead.version)
    traces = await erasure.traces(tx, [lead_id, *sorted(found.keys() - {lead_id})])
    # a shared mailbox is somebody else's too
    personal = {i.value for value in traces.known_as for i in identity.strong({"email": value, "linkedin_url": value})}
    ids = {str(lead) for lead in traces.leads}
    await erasure.erase(
        tx,
        traces.leads,
        words=personal | ids,
        hashes={fingerprint(text) for text in (*personal, *ids, *traces.records)},
    )
    await audits.note(tx, actor, "lead.erased", {"lead_id": str(lead_id)})
