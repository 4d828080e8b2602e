"""Plans: what a sync would do, found by doing it in a transaction that is rolled back, and done once a person approves.

The stages that plan are those that do it, so the two cannot disagree. A plan is kept as the connection's open item; a
connection's first contact is such a plan, too. What a person approves is planned once more: where it says something
else by now, that is shown instead.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from app.db import audits, connections, link_work, reviews, runs
from app.db.connections import Lease, Stored
from app.db.session import Database, Tenant, Tx
from app.domain.cells import State
from app.domain.values import JSON
from app.errors import LeadkeeperError
from app.sync import reconcile
from app.sync.job import Job, OpenAdapter

#: Field changes shown in full; the rest is counted.
SHOWN = 200


class PlanChanged(LeadkeeperError):
    """The plan is not the one you were shown: look at the new one and approve that."""


class NoPlan(LeadkeeperError):
    """This connection has no plan that waits for approval."""


async def draw(db: Database, tenant: Tenant, connection: Stored, open_adapter: OpenAdapter) -> dict[str, JSON]:
    """Returns what a sync of this connection would change, from what is stored; calls no provider, writes nothing."""
    lease = _Unleased(db, tenant, connection.id, "preview", 0, datetime.max.replace(tzinfo=UTC))
    async with open_adapter(db, tenant, connection) as adapter:
        return await _plan(Job(db=db, tenant=tenant, connection=connection, adapter=adapter, lease=lease))


async def keep(tx: Tx, connection_id: UUID, plan: dict[str, JSON]) -> Any:
    """Stores a plan as the connection's open item and returns the item."""
    await reviews.put(tx, "plan", plan, connection_id=connection_id)
    return await reviews.find_open(tx, "plan", connection_id)


async def check(
    db: Database, tenant: Tenant, connection: Stored, open_adapter: OpenAdapter, *, digest: str
) -> dict[str, JSON]:
    """Plans again and returns the plan; raises `PlanChanged` where it is not the one that is to be approved by now.

    The new one is stored then, to be looked at.
    """
    plan = await draw(db, tenant, connection, open_adapter)
    if plan["digest"] != digest:
        async with db.transaction(tenant) as tx:
            await keep(tx, connection.id, plan)
        raise PlanChanged
    return plan


async def approve(tx: Tx, connection_id: UUID, *, actor: str, digest: str | None = None) -> UUID:
    """Activates a connection whose plan was looked at, and queues its application from what is stored already.

    Raises:
        NoPlan: nothing waits for approval.
        PlanChanged: the plan has another digest than the one approved.
    """
    await activate(tx, connection_id, actor=actor, digest=digest)
    return await runs.queue(tx, connection_id, "to_remote", "approval", requested_by=actor)


async def activate(tx: Tx, connection_id: UUID, *, actor: str, digest: str | None = None) -> None:
    """Lets a connection begin whose plan was approved; what it asks for is queued, or done, by the caller."""
    item = await reviews.find_open(tx, "plan", connection_id)
    if item is None:
        raise NoPlan
    if digest is not None and item["evidence"]["digest"] != digest:
        raise PlanChanged
    await reviews.decide(tx, item["id"], item["version"], {"approved": True}, actor)
    await connections.change(tx, connection_id, state="active", reason=None, next_run_at=tx.now)
    await audits.note(tx, actor, "plan.approved", {"id": str(connection_id), "digest": item["evidence"]["digest"]})


async def propose(job: Job) -> None:
    """Stores the connection's plan as an open item, to be approved."""
    found = await _plan(job)
    async with job.fenced() as tx:
        await reviews.put(tx, "plan", found, connection_id=job.id)


async def _plan(job: Job) -> dict[str, JSON]:
    """Returns what reconciling this connection now would change on both sides, and the provider calls it would cost."""
    found: dict[str, JSON] = {}
    with contextlib.suppress(_Undo):
        async with job.db.transaction(job.tenant) as tx:
            await connections.change(tx, job.id, state="active")
            stored = await connections.get(tx, job.id)
            assert stored is not None
            trial = Job(
                db=_OneTransaction(tx),  # type: ignore[arg-type]
                tenant=job.tenant,
                connection=stored,
                adapter=job.adapter,
                lease=job.lease,
            )
            await reconcile.reconcile(trial)
            await reconcile.look_at_own_changes(trial)
            found = await _summary(tx, trial)
            raise _Undo
    return found


class _Undo(Exception):
    """Ends a preview."""


class _OneTransaction:
    """A database whose transactions are parts of one, which the preview rolls back."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    @contextlib.asynccontextmanager
    async def transaction(self, _tenant: Tenant) -> AsyncIterator[Tx]:
        async with self._tx.connection.transaction():
            yield self._tx

    async def retrying(self, work: Any) -> Any:
        return await work()


class _Unleased(Lease):
    """A preview writes nothing, so nobody has to be kept out."""

    async def fence(self, tx: Tx) -> None:
        """Lets every transaction pass."""


async def _summary(tx: Tx, trial: Job) -> dict[str, JSON]:
    changes = await link_work.planned_changes(tx, trial.id)
    writes = await link_work.planned_writes(tx)
    here = [
        {
            "lead_id": str(row["lead_id"]),
            "field": name,
            "old": change["old"],
            "new": change["new"],
            "rule": change["rule"],
        }
        for row in changes
        for name, change in row["changes"].items()
        if change["old"] != change["new"]
    ]
    there: list[JSON] = []
    for row in writes:
        for name, rest in row["cells"].items():
            if rest["state"] == State.PENDING.value:
                there.append({"lead_id": str(row["lead_id"]), "field": name, "old": row["observed"].get(name)})
    creates = sum(row["remote_id"] is None for row in writes)
    updates = sum(row["remote_id"] is not None for row in writes)
    return {
        "leads_created_here": trial.counters["leads_created"],
        "leads_changed_here": trial.counters["leads_changed"],
        "fields_changed_here": len(here),
        "records_updated_there": updates,
        "records_created_there": creates,
        "fields_written_there": len(there),
        "conflicts": trial.counters["conflicts"],
        "refused": trial.counters["refused"],
        "calls": _calls(trial, updates, creates),
        "by_field": dict(Counter(change["field"] for change in here)),
        "here": here[:SHOWN],
        "there": there[:SHOWN],
        "digest": _digest(here, there, creates),
    }


def _calls(trial: Job, updates: int, creates: int) -> int:
    """The provider calls the writes will take: a read per hundred, a write per ten, a look-up per fifty creates."""
    provider = trial.adapter.provider
    read, write = provider.read_batch, provider.write_batch
    return -(-updates // read) + -(-updates // write) + -(-creates // write) + -(-creates // 50)


def _digest(here: Sequence[Any], there: Sequence[Any], creates: int) -> str:
    """Tells two plans apart by what they change; ids of leads that do not exist yet do not count."""
    content = sorted(orjson.dumps([c["field"], c["old"], c["new"]]) for c in here)
    content += sorted(orjson.dumps([c["field"], c["old"]]) for c in there)
    return hashlib.sha256(b"\n".join([*content, str(creates).encode()])).hexdigest()[:16]
