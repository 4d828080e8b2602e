"""What waits for a person: conflicts between both sides, and changes too large to believe."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import ADMIN, WORK, Current, Session, known
from app.api.describe import refuses
from app.api.schemas.shape import answer
from app.api.schemas.sync import Resolution, ReviewItem, ReviewItems, Verdict
from app.api.strict import StrictRoute
from app.db import reviews
from app.db.session import Tx
from app.sync import breakers, decide

router = APIRouter(prefix="/api/sync", tags=["decisions"], route_class=StrictRoute)
State = Annotated[
    Literal["open", "auto", "decided", "closed", "any"],
    Query(description="open: waits; auto: a strategy decided, a person may again; decided, closed; any."),
]
STATES = ("open", "auto", "decided", "closed")


@router.get(
    "/conflicts",
    operation_id="listConflicts",
    summary="List conflicts",
    response_model=ReviewItems,
    dependencies=[WORK],
)
async def conflicts(
    request: Request, tx: Session, state: State = "open", limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """Fields for which both sides brought news, with base, local and remote, the newest first."""
    return await _page(request, tx, "conflict", state, limit, cursor)


@router.post(
    "/conflicts/{item_id}/resolve",
    operation_id="resolveConflict",
    summary="Resolve a conflict",
    response_model=ReviewItem,
    dependencies=[WORK],
    responses=refuses(404, 409),
)
async def resolve(tx: Session, caller: Current, item_id: UUID, body: Resolution) -> Response:
    """Keeps one side's value. What a strategy decided can be decided the other way while the field has not moved."""
    item = await decide.resolve(tx, item_id, keep=body.keep, version=body.version, actor=caller.name)
    return answer(ReviewItem.of(known(item, "conflict", item_id)))


@router.get(
    "/quarantine",
    operation_id="listQuarantine",
    summary="List quarantined changes",
    response_model=ReviewItems,
    dependencies=[WORK],
)
async def quarantine(
    request: Request, tx: Session, state: State = "open", limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """Mass deletes and mass clears that are not believed before a person approves them."""
    return await _page(request, tx, "quarantine", state, limit, cursor)


@router.post(
    "/quarantine/{item_id}/approve",
    operation_id="approveQuarantine",
    summary="Approve a quarantined change",
    response_model=ReviewItem,
    dependencies=[ADMIN],
    responses=refuses(404, 409),
)
async def approve(tx: Session, caller: Current, item_id: UUID, body: Verdict) -> Response:
    """Lets it happen, here and on the other connections."""
    return await _judged(tx, item_id, version=body.version, approve=True, actor=caller.name)


@router.post(
    "/quarantine/{item_id}/reject",
    operation_id="rejectQuarantine",
    summary="Reject a quarantined change",
    response_model=ReviewItem,
    dependencies=[ADMIN],
    responses=refuses(404, 409),
)
async def reject(tx: Session, caller: Current, item_id: UUID, body: Verdict) -> Response:
    """Keeps what is here."""
    return await _judged(tx, item_id, version=body.version, approve=False, actor=caller.name)


async def _judged(tx: Tx, item_id: UUID, *, version: int, approve: bool, actor: str) -> Response:
    item = await breakers.decide(tx, item_id, approve=approve, version=version, actor=actor)
    return answer(ReviewItem.of(known(item, "quarantined change", item_id)))


async def _page(request: Request, tx: Tx, kind: str, state: str, limit: int, cursor: str | None) -> Response:
    name = f"{kind} {state}"
    after = paging.decode_id(name, cursor)
    rows = await reviews.page(tx, [kind], STATES if state == "any" else [state], limit + 1, after)
    return paging.answered(request, name, ReviewItems, rows, limit)
