"""Reading Instantly: everything, only what its leads count, or what its campaigns have counted by day."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.api import running
from app.api.deps import WORK, Current, Running
from app.api.describe import refuses
from app.api.once import Once
from app.api.schemas.campaign import AnalyticsRequest
from app.api.schemas.sync import Run
from app.api.strict import StrictRoute
from app.db.session import Tx
from app.sync.ask import ask

_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"model": Run}, **refuses(409)}
router = APIRouter(
    prefix="/api/instantly",
    tags=["instantly"],
    route_class=StrictRoute,
    dependencies=[WORK],
    responses=_RESPONSES,
)


@router.post("/sync", operation_id="syncInstantly", summary="Read all leads", status_code=202, response_model=Run)
async def sync(runtime: Running, caller: Current, once: Once, wait: running.Wait = 0) -> Response:
    """Reads every lead of every campaign. What people typed stays: empty fields are filled, statuses only climb."""

    async def asked(tx: Tx) -> Any:
        return await ask(tx, "full", trigger="api", actor=caller.name, provider="instantly")

    return await running.start(runtime, caller, once, wait, asked)


@router.post(
    "/refresh-status",
    operation_id="refreshInstantlyStatus",
    summary="Refresh counters and statuses",
    status_code=202,
    response_model=Run,
)
async def refresh(runtime: Running, caller: Current, once: Once, wait: running.Wait = 0) -> Response:
    """Reads counters, statuses and the positive flag only."""

    async def asked(tx: Tx) -> Any:
        return await ask(tx, "refresh", trigger="api", actor=caller.name, provider="instantly")

    return await running.start(runtime, caller, once, wait, asked)


@router.post(
    "/analytics",
    operation_id="readInstantlyAnalytics",
    summary="Read statistics of the past",
    status_code=202,
    response_model=Run,
)
async def analytics(
    runtime: Running, caller: Current, once: Once, body: AnalyticsRequest, wait: running.Wait = 0
) -> Response:
    """Reads the days of all campaigns as far back as asked for, and their overviews; again changes nothing.

    The last 90 days are kept up to date by every sync, so this is needed once, for the time before.
    """

    async def asked(tx: Tx) -> Any:
        return await ask(
            tx, "analytics", trigger="api", actor=caller.name, provider="instantly", options={"days": body.days}
        )

    return await running.start(runtime, caller, once, wait, asked)
