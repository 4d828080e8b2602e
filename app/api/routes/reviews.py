"""Everything that waits for a person, in one place."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import WORK, Current, Session, known
from app.api.describe import refuses
from app.api.routes.decisions import STATES, State
from app.api.schemas.review import Review, Reviews
from app.api.schemas.shape import answer
from app.api.schemas.sync import Verdict
from app.api.strict import StrictRoute
from app.db import reviews
from app.sync import decide

router = APIRouter(prefix="/api/reviews", tags=["decisions"], route_class=StrictRoute, dependencies=[WORK])


@router.get("", operation_id="listReviews", summary="List what waits for a person", response_model=Reviews)
async def page(
    request: Request,
    tx: Session,
    kind: Annotated[reviews.Kind | None, Query(description="Only items of this kind.")] = None,
    state: State = "open",
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> Response:
    """Items of every kind with their evidence and the requests that decide them, the newest first.

    To be decided: `conflict` (both sides changed a field), `candidate` (two leads may be one person), `quarantine`
    (too much changed at once), `plan`. To be known, and closed: `deleted` (its record changed after the lead was
    deleted), `erased` (a record or a reply of somebody who was erased), `delivery` (a webhook's content that fits
    nothing), `alert`, and a `candidate` about one record.
    """
    name = f"reviews {kind} {state}"
    after = paging.decode_id(name, cursor)
    states = STATES if state == "any" else [state]
    rows = await reviews.page(tx, reviews.KINDS if kind is None else [kind], states, limit + 1, after)
    waiting = None if after else await reviews.count_open(tx)
    return paging.answered(request, name, Reviews, rows, limit, show=lambda row: [Review.of(row)], waiting=waiting)


@router.get(
    "/{item_id}", operation_id="getReview", summary="Read one item", response_model=Review, responses=refuses(404)
)
async def read(tx: Session, item_id: UUID) -> Response:
    """Its evidence, what became of it, and what can be done about it."""
    return answer(Review.of(known(await reviews.get(tx, item_id), "item", item_id)))


@router.post(
    "/{item_id}/close",
    operation_id="closeReview",
    summary="Acknowledge an item",
    response_model=Review,
    responses=refuses(404, 409),
)
async def close(tx: Session, caller: Current, item_id: UUID, body: Verdict) -> Response:
    """Says that somebody knows. The same is not brought up again; news about it is.

    An item that waits for a decision is not closed: a 409 says so, and its actions say what to do.
    """
    item = await decide.acknowledge(tx, item_id, version=body.version, actor=caller.name)
    return answer(Review.of(known(item, "item", item_id)))
