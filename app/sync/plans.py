"""Plans: a preview on demand, kept as an open item, and applied only while it still says the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.db import reviews
from app.db.connections import Lease, Stored
from app.db.session import Database, Tenant, Tx
from app.domain.values import JSON
from app.sync import preview
from app.sync.job import Job
from app.sync.preview import PlanChanged
from app.sync.run import OpenAdapter


class _Unleased(Lease):
    """A preview writes nothing, so nobody has to be kept out."""

    async def fence(self, tx: Tx) -> None:
        """Lets every transaction pass."""


async def draw(db: Database, tenant: Tenant, connection: Stored, open_adapter: OpenAdapter) -> dict[str, JSON]:
    """Returns what a sync of this connection would change, from what is stored; calls no provider, writes nothing."""
    lease = _Unleased(db, tenant, connection.id, "preview", 0, datetime.max.replace(tzinfo=UTC))
    async with open_adapter(db, tenant, connection) as adapter:
        return await preview.plan(Job(db=db, tenant=tenant, connection=connection, adapter=adapter, lease=lease))


async def keep(tx: Tx, connection_id: UUID, plan: dict[str, JSON]) -> Any:
    """Stores a plan as the connection's open item and returns the item."""
    await reviews.put(tx, "plan", plan, connection_id=connection_id)
    return await reviews.find_open(tx, "plan", connection_id)


async def apply(
    db: Database, tenant: Tenant, connection: Stored, open_adapter: OpenAdapter, *, digest: str, actor: str
) -> UUID:
    """Plans again, and queues the work if the plan is the one that was approved.

    Raises:
        NoPlan: nothing waits for approval.
        PlanChanged: it is another plan by now; the new one is stored, to be looked at.
    """
    async with db.transaction(tenant) as tx:
        if await reviews.find_open(tx, "plan", connection.id) is None:
            raise preview.NoPlan
    plan = await draw(db, tenant, connection, open_adapter)
    async with db.transaction(tenant) as tx:
        await keep(tx, connection.id, plan)
    if plan["digest"] != digest:
        raise PlanChanged
    run_id = await preview.approve(db, tenant, connection.id, actor=actor, digest=digest)
    assert run_id is not None
    return run_id
