"""What waits to be written, and which differences are accepted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import WORK, Session
from app.api.schemas.sync import Divergences, PendingPage
from app.api.strict import StrictRoute
from app.db import overview
from app.domain.cells import State

router = APIRouter(prefix="/api/sync", tags=["sync"], route_class=StrictRoute, dependencies=[WORK])
_WAITING = (State.PENDING.value, State.INFLIGHT.value)


@router.get("/pending", operation_id="listPending", summary="What is yet to be written", response_model=PendingPage)
async def pending(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """Links with something to write, with the fields, the attempts so far and the last error."""
    after = paging.decode_id("pending", cursor)
    rows = await overview.pending(tx, limit + 1, after)
    return paging.answered(request, "pending", PendingPage, rows, limit, show=lambda row: [_waiting(row)])


@router.get(
    "/divergences", operation_id="listDivergences", summary="Which differences are accepted", response_model=Divergences
)
async def divergences(
    request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """Fields that differ on purpose or because one side cannot hold the other's value, with the reason."""
    after = paging.decode_id("divergences", cursor)
    rows = await overview.diverged(tx, limit + 1, after)
    return paging.answered(request, "divergences", Divergences, rows, limit, show=_differing)


def _waiting(row: Any) -> dict[str, Any]:
    cells = {name: cell["state"] for name, cell in row["cells"].items() if cell["state"] in _WAITING}
    return dict(row) | {"fields": cells}


def _differing(row: Any) -> list[dict[str, Any]]:
    ids = {
        "link_id": row["id"],
        "connection_id": row["connection_id"],
        "lead_id": row["lead_id"],
        "remote_id": row["remote_id"],
    }
    return [
        ids | {"field": name, "reason": cell.get("reason"), "there": cell.get("other", row["observed"].get(name))}
        for name, cell in sorted(row["cells"].items())
        if cell["state"] == State.DIVERGED.value
    ]
