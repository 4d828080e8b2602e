"""What is kept for a while only goes when its time is over; what writes have appended is added up."""

from __future__ import annotations

from app.db import deliveries, idempotency, stats, workspaces
from app.db.session import Database, Tenant


async def tidy(db: Database) -> None:
    """Removes expired idempotency keys and bodies of deliveries kept long enough; adds up the counts of leads."""
    for workspace_id in await workspaces.ids(db):
        tenant = Tenant(workspace_id)
        async with db.transaction(tenant) as tx:
            await idempotency.forget(tx)
            await stats.fold(tx)
        forgotten = deliveries.FORGOTTEN
        while forgotten == deliveries.FORGOTTEN:
            async with db.transaction(tenant) as tx:
                forgotten = await deliveries.forget(tx)
