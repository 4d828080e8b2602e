"""Whether every delivery of a day has arrived, by Instantly's own log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api import running
from app.api.deps import WORK, Current, Running, Session
from app.api.describe import refuses
from app.api.once import Once
from app.api.schemas.completeness import Completeness
from app.api.schemas.shape import QueryDay, answer
from app.api.schemas.sync import Run
from app.api.strict import StrictRoute
from app.db.session import Tx
from app.sync import completeness

router = APIRouter(
    prefix="/api/webhooks/completeness", tags=["instantly"], route_class=StrictRoute, dependencies=[WORK]
)
Day = Annotated[QueryDay, Query(description="A day in UTC.")]


@router.get("", operation_id="getCompleteness", summary="How complete a day is", response_model=Completeness)
async def of_day(tx: Session, day: Day) -> Response:
    """Compares what Instantly says it delivered with what has arrived: deliveries of this workspace alone.

    Today and yesterday are compared every hour. What was missed is taken from the log and applied like any other
    delivery. `unknown` names the times for which the log cannot answer, such as while the webhook was disabled.
    """
    return answer(Completeness.model_validate(await completeness.of_day(tx, day)))


@router.post(
    "",
    operation_id="checkCompleteness",
    summary="Compare a day now",
    status_code=202,
    response_model=Run,
    responses={200: {"model": Run}, **refuses(409)},
)
async def check(runtime: Running, caller: Current, once: Once, day: Day, wait: running.Wait = 0) -> Response:
    """Reads Instantly's log of a day and takes over what is missing here."""

    async def asked(tx: Tx) -> Any:
        return await completeness.request(tx, day, actor=caller.name)

    return await running.start(runtime, caller, once, wait, asked)
