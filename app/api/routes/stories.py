"""A lead's story: what changed, what happened, why it holds what it holds, and where it stands elsewhere.

A client is told the story of the values. What a provider showed and was not taken, and the records there, are for those
who work the syncs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import READ, WORK, Session
from app.api.describe import refuses
from app.api.routes.leads import present
from app.api.schemas.shape import answer
from app.api.schemas.story import Activities, Explanation, History, LeadLinks
from app.api.strict import StrictRoute
from app.db import lead_queries
from app.sync import explain as explaining

#: What a change tells of the value that was taken.
_TAKEN = ("old", "new", "rule", "source", "at")
router = APIRouter(
    prefix="/api/leads/{lead_id}",
    tags=["a lead's story"],
    route_class=StrictRoute,
    responses=refuses(404),
)


@router.get(
    "/history", operation_id="getLeadHistory", summary="What changed", response_model=History, dependencies=[READ]
)
async def history(
    request: Request, tx: Session, lead_id: UUID, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """Every change of the lead, the newest first, with its rule and what lost. A deleted lead's history stays. A page
    of large changes holds fewer than `limit`.

    Viewers are shown the values that were taken.
    """
    name = f"history {lead_id}"
    before = paging.decode(name, cursor, [int, UUID])
    rows = await lead_queries.history(tx, lead_id, limit + 1, before)
    if not rows and cursor is None:
        await present(tx, lead_id)
    # a page of large changes is shorter
    limit = min(limit, sum(row["ahead"] < lead_queries.PAGE_BYTES for row in rows))
    show = _changed if tx.tenant.role == "viewer" else dict
    return paging.answered(request, name, History, rows, limit, by=("version", "id"), show=lambda row: [show(row)])


@router.get(
    "/activity",
    operation_id="getLeadActivity",
    summary="What happened",
    response_model=Activities,
    dependencies=[READ],
    responses=refuses(308),
)
async def activity(
    request: Request, tx: Session, lead_id: UUID, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """What happened to the lead, the newest first: notes, claims, moves of status and campaigns, merges, deletions,
    mails and answers. Every other field's changes are in the history.
    """
    name = f"activity {lead_id}"
    await present(tx, lead_id)
    before = paging.decode(name, cursor, [datetime, UUID])
    rows = await lead_queries.activities(tx, lead_id, limit + 1, before)
    show = _happened if tx.tenant.role == "viewer" else dict
    return paging.answered(request, name, Activities, rows, limit, by=("at", "id"), show=lambda row: [show(row)])


@router.get(
    "/explain",
    operation_id="explainLead",
    summary="Why it holds what it holds",
    response_model=Explanation,
    dependencies=[READ],
    responses=refuses(308),
)
async def explain(tx: Session, lead_id: UUID) -> Response:
    """For every field: value, source, rule, time, losing values, and where each link stands with it.

    Viewers are shown neither losing values nor links.
    """
    await present(tx, lead_id)
    found = await explaining.explain(tx, lead_id)
    if found is not None and tx.tenant.role == "viewer":
        for field in found["fields"].values():
            field |= {"losing": [], "links": []}
    return answer(Explanation.model_validate(found))


@router.get(
    "/links",
    operation_id="getLeadLinks",
    summary="Where it stands elsewhere",
    response_model=LeadLinks,
    dependencies=[WORK],
    responses=refuses(308),
)
async def links(tx: Session, lead_id: UUID) -> Response:
    """The remote records tied to this lead, what they showed last, and what is under way."""
    await present(tx, lead_id)
    return answer(LeadLinks.model_validate({"items": await explaining.links_of(tx, lead_id)}))


def _changed(row: Any) -> dict[str, Any]:
    """What clients are told of a change."""
    changes = {name: {key: change[key] for key in change if key in _TAKEN} for name, change in row["changes"].items()}
    return dict(row) | {"changes": changes, "refused": []}


def _happened(row: Any) -> dict[str, Any]:
    """What clients are told of an activity."""
    return dict(row) | {"detail": {name: value for name, value in row["detail"].items() if name != "error"}}
