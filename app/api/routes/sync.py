"""Syncs with Airtable in one direction or both, and how every connection stands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.api import running
from app.api.deps import WORK, Current, Running, Session
from app.api.describe import refuses
from app.api.gate import Caller
from app.api.once import Idempotency, Once
from app.api.schemas.shape import answer
from app.api.schemas.sync import Plan, Plans, Run, SyncRequest, SyncStatus
from app.api.strict import StrictRoute
from app.db import overview
from app.db.session import Tx
from app.runtime import Runtime
from app.sync import ask, plans

router = APIRouter(prefix="/api/sync", tags=["sync"], route_class=StrictRoute)
_STARTS: dict[str, Any] = {
    "status_code": 202,
    "response_model": Run,
    "dependencies": [WORK],
    "responses": {200: {"model": Run | Plans, "description": "Ended already, or the plan of a dry run."}}
    | refuses(404, 409),
}
AIRTABLE = "airtable"


@router.post("/to-airtable", operation_id="syncToAirtable", summary="Write to Airtable", **_STARTS)
async def to_airtable(
    runtime: Running, caller: Current, once: Once, body: SyncRequest | None = None, wait: running.Wait = 0
) -> Response:
    """Writes what changed here; reads only what it is about to write."""
    return await _start(runtime, caller, once, "to_remote", body, wait)


@router.post("/from-airtable", operation_id="syncFromAirtable", summary="Read from Airtable", **_STARTS)
async def from_airtable(
    runtime: Running, caller: Current, once: Once, body: SyncRequest | None = None, wait: running.Wait = 0
) -> Response:
    """Reads what changed there and brings it in; writes nothing there."""
    return await _start(runtime, caller, once, "from_remote", body, wait)


@router.post("/bidirectional", operation_id="syncBothWays", summary="Sync both ways with Airtable", **_STARTS)
async def both_ways(
    runtime: Running, caller: Current, once: Once, body: SyncRequest | None = None, wait: running.Wait = 0
) -> Response:
    """Reads what changed there, reconciles, and writes what is missing there."""
    return await _start(runtime, caller, once, "delta", body, wait)


@router.get(
    "/status", operation_id="getSyncStatus", summary="How it stands", response_model=SyncStatus, dependencies=[WORK]
)
async def status(tx: Session) -> Response:
    """Every connection with its state, its last and next run, and what waits, is held or differs."""
    return answer(SyncStatus.model_validate({"connections": [_standing(row) for row in await overview.status(tx)]}))


def _standing(row: Any) -> dict[str, Any]:
    found = dict(row)
    last = {name: found.pop(f"run_{name}") for name in ("id", "kind", "state", "error", "finished_at")}
    found["last_run"] = last if last["id"] else None
    found["is_running"], found["calls_this_month"] = bool(found["is_running"]), found["calls_this_month"] or 0
    return found


async def _start(
    runtime: Runtime, caller: Caller, once: Idempotency, kind: str, body: SyncRequest | None, wait: int
) -> Response:
    wanted = body or SyncRequest()
    if wanted.dry_run:
        return await _dry_run(runtime, caller, wanted)

    async def asked(tx: Tx) -> Any:
        return await ask.ask(
            tx,
            kind,
            trigger="api",
            actor=caller.name,
            provider=AIRTABLE,
            connection_id=wanted.connection,
            lead_ids=wanted.lead_ids,
        )

    return await running.start(runtime, caller, once, wait, asked)


async def _dry_run(runtime: Runtime, caller: Caller, wanted: SyncRequest) -> Response:
    async with runtime.db.transaction(caller.tenant) as tx:
        chosen = await ask.choose(tx, provider=AIRTABLE, connection_id=wanted.connection)
    found = [
        Plan.model_validate({"connection_id": c.id} | await plans.draw(runtime.db, caller.tenant, c, runtime.adapter))
        for c in chosen
    ]
    return answer(Plans(plans=found))
