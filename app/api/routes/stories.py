"""A lead's story: what changed, what happened, why it holds what it holds, and where it stands elsewhere."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import READ, Session
from app.api.describe import refuses
from app.api.routes.leads import present
from app.api.schemas.shape import answer
from app.api.schemas.story import Activities, Explanation, History, LeadLinks
from app.api.strict import StrictRoute
from app.db import lead_queries
from app.sync import explain as explaining

router = APIRouter(
    prefix="/api/leads/{lead_id}",
    tags=["a lead's story"],
    route_class=StrictRoute,
    dependencies=[READ],
    responses=refuses(404),
)


@router.get("/history", operation_id="getLeadHistory", summary="What changed", response_model=History)
async def history(
    request: Request, tx: Session, lead_id: UUID, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """Every change of the lead, the newest first, with its rule and what lost. A deleted lead's history stays."""
    name = f"history {lead_id}"
    before = paging.decode(name, cursor, [int, UUID])
    rows = await lead_queries.history(tx, lead_id, limit, before)
    if not rows and cursor is None:
        await present(tx, lead_id)
    following = paging.after(name, rows, limit, "version", "id")
    content = History.model_validate({"items": [dict(row) for row in rows], "next_cursor": following})
    return answer(content, headers=paging.link(request, following))


@router.get(
    "/activity",
    operation_id="getLeadActivity",
    summary="What happened",
    response_model=Activities,
    responses=refuses(308),
)
async def activity(
    request: Request, tx: Session, lead_id: UUID, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> Response:
    """What happened to the lead, the newest first: notes, claims, moves of status and campaigns, merges, deletions.

    By `kind`: note.added, note.revised, claimed_by, status, campaign.joined, campaign.left, merged, unmerged, deleted,
    restored; and of what is changed at Instantly: remove or interest, with .requested, .done or .failed. Every other
    field's changes are in the history.
    """
    name = f"activity {lead_id}"
    await present(tx, lead_id)
    before = paging.decode(name, cursor, [datetime, UUID])
    rows = await lead_queries.activities(tx, lead_id, limit, before)
    following = paging.after(name, rows, limit, "at", "id")
    content = Activities.model_validate({"items": [dict(row) for row in rows], "next_cursor": following})
    return answer(content, headers=paging.link(request, following))


@router.get(
    "/explain",
    operation_id="explainLead",
    summary="Why it holds what it holds",
    response_model=Explanation,
    responses=refuses(308),
)
async def explain(tx: Session, lead_id: UUID) -> Response:
    """For every field: value, source, rule, time, losing values, and where each link stands with it."""
    await present(tx, lead_id)
    return answer(Explanation.model_validate(await explaining.explain(tx, lead_id)))


@router.get(
    "/links",
    operation_id="getLeadLinks",
    summary="Where it stands elsewhere",
    response_model=LeadLinks,
    responses=refuses(308),
)
async def links(tx: Session, lead_id: UUID) -> Response:
    """The remote records tied to this lead, what they showed last, and what is under way."""
    await present(tx, lead_id)
    return answer(LeadLinks.model_validate({"items": await explaining.links_of(tx, lead_id)}))
