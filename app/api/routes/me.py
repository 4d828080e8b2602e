"""Who asks: what a portal goes by to offer only what the key it was given may do."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.api.deps import READ, Current, Running
from app.api.schemas.admin import Me
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import workspaces

router = APIRouter(prefix="/api/me", tags=["keys and people"], route_class=StrictRoute, dependencies=[READ])


@router.get("", operation_id="getMe", summary="Read who I am", response_model=Me)
async def read(caller: Current, runtime: Running) -> Response:
    """The role of the key, the person it acts for, and the workspace: which of a portal's buttons will work."""
    workspace = await workspaces.get(runtime.db, caller.workspace_id)
    found = {"name": caller.name, "role": caller.role, "acts_for": caller.acts_for, "key_id": caller.key_id}
    return answer(Me.model_validate(found | {"workspace": dict(workspace)}))
