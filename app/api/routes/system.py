"""Is it alive, is it ready, what does it count."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from app.api.deps import Running
from app.api.describe import refuses
from app.api.metrics import CONTENT_TYPE, Metrics
from app.api.schemas.shape import Shown, answer, example
from app.api.strict import StrictRoute
from app.db import overview, workspaces
from app.db.session import Tenant

router = APIRouter(tags=["system"], route_class=StrictRoute)
#: Seconds for which what the database counted is good enough; asking is not free.
GOOD_FOR = 5.0


class Health(Shown):
    """That the process answers."""

    model_config = example(status="ok")
    status: str


@router.get("/healthz", operation_id="getHealth", summary="Is it alive", response_model=Health)
async def health() -> Response:
    """Answers as long as the process does; says nothing about the database."""
    return answer(Health(status="ok"))


@router.get(
    "/readyz", operation_id="getReadiness", summary="Is it ready", response_model=Health, responses=refuses(503)
)
async def ready(runtime: Running) -> Response:
    """Answers 200 if the database does, else 503."""
    await runtime.db.now()
    return answer(Health(status="ok"))


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="What it counts",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": "leadkeeper_pushes_pending 0.0\n"}}}, **refuses(503)},
)
async def metrics(request: Request, runtime: Running) -> Response:
    """Prometheus' text format: requests, durations, runs, provider calls, pending pushes. No tenant's data."""
    state = request.app.state
    now = runtime.clock.now().timestamp()
    at, totals = getattr(state, "totals", (0.0, []))
    if now - at > GOOD_FOR:
        totals = []
        for workspace_id in await workspaces.ids(runtime.db):
            async with runtime.db.transaction(Tenant(workspace_id)) as tx:
                totals += await overview.totals(tx)
        state.totals = (now, totals)
    counted: Metrics = state.metrics
    return Response(counted.render(totals), media_type=CONTENT_TYPE)
