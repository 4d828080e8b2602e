"""Workspaces, which only operators see side by side."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import OPERATE, Current, Running, Session
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.schemas.admin import NewWorkspace, Workspace, Workspaces
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import workspaces

router = APIRouter(
    prefix="/api/admin/workspaces", tags=["keys and people"], route_class=StrictRoute, dependencies=[OPERATE]
)


@router.post(
    "",
    operation_id="createWorkspace",
    summary="Make a workspace",
    status_code=201,
    response_model=Workspace,
    responses=refuses(409),
)
async def create(tx: Session, caller: Current, body: NewWorkspace) -> Response:
    """Adds a workspace; its name is taken once. Make its first key with `X-Workspace`."""
    found = await workspaces.add(tx, body.name, made_by=caller.name)
    return answer(Workspace.of(found), 201, {"Location": f"/api/admin/workspaces/{found['id']}"})


@router.get("", operation_id="listWorkspaces", summary="List workspaces", response_model=Workspaces)
async def page(request: Request, runtime: Running, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """Every workspace, the oldest first."""
    after = paging.decode_id("workspaces", cursor)
    chosen = [i for i in await workspaces.ids(runtime.db) if after is None or i > after][: limit + 1]
    rows = [row for i in chosen if (row := await workspaces.get(runtime.db, i)) is not None]
    return paging.answered(request, "workspaces", Workspaces, rows, limit)


@router.get(
    "/{workspace_id}",
    operation_id="getWorkspace",
    summary="Read a workspace",
    response_model=Workspace,
    responses=refuses(404),
)
async def read(runtime: Running, workspace_id: UUID) -> Response:
    """Its name and age."""
    found = await workspaces.get(runtime.db, workspace_id)
    if found is None:
        raise Problem(404, f"There is no workspace {workspace_id}.")
    return answer(Workspace.of(found))
