"""The run ledger: what was done, what is under way."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import paging, running
from app.api.deps import RUN, WORK, Current, Session, known
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.schemas.shape import answer
from app.api.schemas.sync import Runs, RunWithParts
from app.api.strict import StrictRoute
from app.db import runs

router = APIRouter(prefix="/api/sync/runs", tags=["sync"], route_class=StrictRoute)


@router.get("", operation_id="listRuns", summary="List runs", response_model=Runs, dependencies=[RUN])
async def page(
    request: Request,
    tx: Session,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
    connection: Annotated[UUID | None, Query(description="Only this connection's.")] = None,
) -> Response:
    """Runs, the newest first."""
    name = f"runs {connection}"
    before = paging.decode_id(name, cursor)
    rows = await runs.recent(tx, limit + 1, before, connection)
    return paging.answered(request, name, Runs, rows, limit)


@router.get(
    "/{run_id}",
    operation_id="getRun",
    summary="Follow a run",
    response_model=RunWithParts,
    dependencies=[RUN],
    responses=refuses(404),
)
async def read(tx: Session, run_id: UUID) -> Response:
    """Its state, stage, counters and progress, with its parts."""
    row = known(await runs.get(tx, run_id), "run", run_id)
    return answer(await running.detailed(tx, row))


@router.post(
    "/{run_id}/cancel",
    operation_id="cancelRun",
    summary="Cancel a run",
    response_model=RunWithParts,
    dependencies=[WORK],
    responses=refuses(404, 409),
)
async def cancel(tx: Session, caller: Current, run_id: UUID) -> Response:
    """Stops it at its next step; what was done so far stays done."""
    known(await runs.get(tx, run_id), "run", run_id)
    if not await runs.cancel(tx, run_id, f"cancelled by {caller.name}"):
        raise Problem(409, "This run has ended: there is nothing to cancel.")
    return answer(await running.detailed(tx, await runs.get(tx, run_id)))
