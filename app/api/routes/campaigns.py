"""Campaigns: which there are, how their leads stand, what was counted by day. The provider's ids are never shown."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import READ, Session, known
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.schemas.campaign import NOTE, Campaign, CampaignAnalytics, Campaigns
from app.api.schemas.shape import QueryDay, answer
from app.api.strict import StrictRoute
from app.db import campaigns
from app.domain.counts import DAY_SUMS
from app.domain.instantly import CAMPAIGN_STATUS
from app.domain.ladder import DELIVERY_LADDER

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"], route_class=StrictRoute, dependencies=[READ])
#: Days one answer may hold, and how many it holds where nothing else is asked for.
MOST_DAYS, USUAL_DAYS = 1100, 30
_LIST: Final = "campaigns"


@router.get("", operation_id="listCampaigns", summary="List campaigns", response_model=Campaigns)
async def every(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """The workspace's campaigns by name, those that are gone included, each with its leads by delivery status.

    A lead counts in every campaign it is in, under the one delivery status it has.
    """
    after: Any = paging.decode(_LIST, cursor, [str, UUID])
    rows = await campaigns.page(tx, limit + 1, after)
    return paging.answered(request, _LIST, Campaigns, rows, limit, by=("name", "id"), show=lambda row: [_shown(row)])


@router.get(
    "/{campaign_id}",
    operation_id="getCampaign",
    summary="Read a campaign",
    response_model=Campaign,
    responses=refuses(404),
)
async def read(tx: Session, campaign_id: UUID) -> Response:
    """One campaign with its leads by delivery status."""
    return answer(Campaign.model_validate(_shown(known(await campaigns.get(tx, campaign_id), "campaign", campaign_id))))


@router.get(
    "/{campaign_id}/analytics",
    operation_id="getCampaignAnalytics",
    summary="What was counted",
    response_model=CampaignAnalytics,
    responses=refuses(404),
)
async def analytics(
    tx: Session,
    campaign_id: UUID,
    since: Annotated[
        QueryDay | None, Query(alias="from", description="The first day (UTC); by default 30 days.")
    ] = None,
    until: Annotated[
        QueryDay | None, Query(alias="to", description="The last day, included; by default today.")
    ] = None,
) -> Response:
    """The days of a period, the sums of what can be added up, and the overview of the campaign's whole time.

    Unique counts are not sums of days, because who opens on two days is one lead: take them from `overview`. Numbers
    are the provider's; the last 90 days are read again within hours, older ones on request (`POST
    /api/instantly/analytics`).
    """
    until = until or max(tx.now.date(), since or date.min)
    since = since or date.fromordinal(max(1, until.toordinal() - USUAL_DAYS + 1))
    if not 0 <= (until - since).days < MOST_DAYS:
        what = f"Choose days in their order, {MOST_DAYS} at most."
        raise Problem(422, "These days cannot be shown: see errors.", [{"parameter": "from", "detail": what}])
    campaign = known(await campaigns.get(tx, campaign_id), "campaign", campaign_id)
    rows = [dict(row) for row in await campaigns.days(tx, campaign_id, since, until)]
    overview = await campaigns.overview(tx, campaign_id)
    found = {
        "id": campaign_id,
        "name": campaign["name"],
        "from": since,
        "to": until,
        "days": rows,
        "sums": {name: sum(row[name] for row in rows) for name in DAY_SUMS},
        "overview": overview["counts"] if overview else {},
        "overview_at": overview["updated_at"] if overview else None,
        "read_at": campaign["analysed_at"],
        "note": NOTE,
    }
    return answer(CampaignAnalytics.model_validate(found))


def _shown(row: Any) -> dict[str, Any]:
    leads: dict[str, int] = row["leads"]
    # a lead about whose mails nothing is known was not sent one
    counts = {status: leads.get(status, 0) for status in DELIVERY_LADDER}
    counts["not_yet_emailed"] += sum(leads.values()) - sum(counts.values())
    status = CAMPAIGN_STATUS.get(row["status"], "unknown")
    return dict(row) | {
        "status": status,
        "leads": counts | {"total": sum(leads.values())},
        "read_at": row["scanned_at"],
    }
