"""The audit log, for those who see to a workspace."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import ADMIN, Session
from app.api.schemas.admin import Audit
from app.api.schemas.shape import QueryInstant
from app.api.strict import StrictRoute
from app.db import audits

router = APIRouter(prefix="/api/admin/audit", tags=["keys and people"], route_class=StrictRoute, dependencies=[ADMIN])
Since = Annotated[QueryInstant | None, Query(alias="from", description="Only what was done at or after this.")]
Until = Annotated[QueryInstant | None, Query(alias="to", description="Only what was done before this.")]


@router.get("", operation_id="listAudit", summary="Read the audit log", response_model=Audit)
async def page(
    request: Request,
    tx: Session,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """Who did what to the workspace, the newest first; nobody can change it.

    Keys and people, connections and their plans, settings, campaigns of a shared account, erased leads, deliveries
    applied again, and every request an operator made from elsewhere with `X-Workspace`. What happened to a lead is in
    its history, what a person decided in `GET /api/reviews`.
    """
    name = f"audit {since} {until}"
    before: Any = paging.decode(name, cursor, paging.BY_TIME)
    rows = await audits.page(tx, limit + 1, before, since=since, until=until)
    return paging.answered(request, name, Audit, rows, limit, by=("at", "id"))
