"""Duplicates: pairs of leads that may be one person."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import READ, WORK, Current, Session, known
from app.api.describe import refuses
from app.api.schemas.duplicate import STORED, Duplicate, Duplicates, PairState, Scan
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import duplicates as stored
from app.sync import duplicates

router = APIRouter(prefix="/api/leads/duplicates", tags=["duplicates"], route_class=StrictRoute)
_SCAN = "duplicates scan"


@router.get(
    "",
    operation_id="listDuplicates",
    summary="List likely duplicates",
    response_model=Duplicates,
    dependencies=[READ],
)
async def page(
    request: Request,
    tx: Session,
    state: Annotated[PairState, Query(description="open: waits for a person; dismissed; merged.")] = "open",
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> Response:
    """Pairs found when leads were added or renamed, and by scans: the score, what agrees, and both leads."""
    name = f"duplicates {state}"
    after = paging.decode_id(name, cursor)
    rows = await stored.page(tx, STORED[state], limit + 1, after)
    return paging.answered(request, name, Duplicates, rows, limit, show=lambda row: [Duplicate.of(row)])


@router.post(
    "/scan",
    operation_id="scanDuplicates",
    summary="Scan for duplicates",
    response_model=Scan,
    dependencies=[WORK],
)
async def scan(
    tx: Session,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Leads to compare with all others.")] = 1_000,
    cursor: paging.Cursor = None,
) -> Response:
    """Compares leads with all others, as many as fit into one answer; send `next_cursor` back until it is null."""
    after = paging.decode_id(_SCAN, cursor)

    found = await duplicates.look_through(tx, after, limit)
    following = paging.encode(_SCAN, [found.after] if found.after else None)
    return answer(Scan(leads=found.leads, pairs=found.pairs, next_cursor=following))


@router.post(
    "/{item_id}/dismiss",
    operation_id="dismissDuplicate",
    summary="Dismiss a pair",
    response_model=Duplicate,
    dependencies=[WORK],
    responses=refuses(404, 409),
)
async def dismiss(tx: Session, caller: Current, item_id: UUID) -> Response:
    """Says that they are two people; the pair is not suggested again, whatever a later scan finds."""
    found = await duplicates.dismiss(tx, item_id, actor=caller.name)
    return answer(Duplicate.of(known(found, "pair", item_id)))
