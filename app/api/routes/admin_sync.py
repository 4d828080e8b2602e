"""Syncs of everything, for the portal's button and for a cron."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.api import running
from app.api.deps import RUN, WORK, Current, Running
from app.api.describe import refuses
from app.api.once import Once
from app.api.schemas.sync import Run
from app.api.strict import StrictRoute
from app.db.session import Tx
from app.sync.ask import ask

router = APIRouter(prefix="/api/admin/sync", tags=["admin sync"], route_class=StrictRoute)
_ENDED: dict[int | str, dict[str, Any]] = {200: {"model": Run}}


@router.post(
    "/delta",
    operation_id="syncDelta",
    summary="Sync what changed",
    status_code=202,
    response_model=Run,
    dependencies=[RUN],
    responses=_ENDED | refuses(409),
)
async def delta(runtime: Running, caller: Current, once: Once, wait: running.Wait = 0) -> Response:
    """Reads what changed on every side and brings it to agreement.

    A `cron` key covers the connections whose time has come; any other key all active ones. Where this waits
    already, the answer is that run. One that has begun may be past what you have just changed, so another follows it.
    """
    is_cron = caller.role == "cron"

    async def asked(tx: Tx) -> Any:
        return await ask(tx, "delta", trigger="cron" if is_cron else "api", actor=caller.name, only_due=is_cron)

    return await running.start(runtime, caller, once, wait, asked)


@router.post(
    "/full",
    operation_id="syncFull",
    summary="Sync everything from the ground up",
    status_code=202,
    response_model=Run,
    dependencies=[WORK],
    responses=_ENDED | refuses(409),
)
async def full(runtime: Running, caller: Current, once: Once, wait: running.Wait = 0) -> Response:
    """Reads every record of every active connection. This is the safe baseline: it never wipes anything."""

    async def asked(tx: Tx) -> Any:
        return await ask(tx, "full", trigger="api", actor=caller.name)

    return await running.start(runtime, caller, once, wait, asked)
