"""Plans: see exactly what a sync would do, then apply it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.api.deps import ADMIN, WORK, Current, Running, Session
from app.api.describe import refuses
from app.api.once import Once
from app.api.routes.connections import applied, plan
from app.api.schemas.shape import answer
from app.api.schemas.sync import Approval, PlanRequest, ReviewItem, Run
from app.api.strict import StrictRoute
from app.sync import adjust
from app.sync import plans as planning

router = APIRouter(prefix="/api/sync/plans", tags=["plans"], route_class=StrictRoute)


@router.post(
    "",
    operation_id="createPlan",
    summary="Plan a sync",
    status_code=201,
    response_model=ReviewItem,
    dependencies=[ADMIN],
    responses=refuses(404),
)
async def create(runtime: Running, caller: Current, once: Once, body: PlanRequest) -> Response:
    """Works out what reconciling this connection now would change on both sides, and keeps it to be approved."""
    async with runtime.db.transaction(caller.tenant) as tx:
        if (known := await once.known(tx)) is not None:
            return known
        stored = await adjust.known(tx, body.connection)
    found = await planning.draw(runtime.db, caller.tenant, stored, runtime.adapter)
    async with runtime.db.transaction(caller.tenant) as tx:

        async def work() -> Response:
            item = await planning.keep(tx, stored.id, found)
            return answer(ReviewItem.of(item), 201, {"Location": f"/api/sync/plans/{stored.id}"})

        return await once.once(tx, work)


@router.get(
    "/{connection_id}",
    operation_id="getPlan",
    summary="See a plan",
    response_model=ReviewItem,
    dependencies=[WORK],
    responses=refuses(404, 409),
)
async def read(tx: Session, connection_id: UUID) -> Response:
    """The plan of this connection that waits for approval; 409 where none does."""
    return await plan(tx, connection_id)


@router.post(
    "/{connection_id}/apply",
    operation_id="applyPlan",
    summary="Apply a plan",
    status_code=202,
    response_model=Run,
    dependencies=[ADMIN],
    responses=refuses(404, 409),
)
async def apply(runtime: Running, caller: Current, once: Once, connection_id: UUID, body: Approval) -> Response:
    """Plans again; does the work if the plan still says the same, else 409, and the new plan waits instead."""
    return await applied(runtime, caller, once, connection_id, body.digest)
