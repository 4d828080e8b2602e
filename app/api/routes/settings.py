"""What a workspace has chosen: how far an unsubscribe reaches, what unknown answers become, how long it keeps mail."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.api.deps import ADMIN, Current, Session
from app.api.schemas.admin import Choice, Choices
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import audits, workspaces

router = APIRouter(
    prefix="/api/admin/settings", tags=["keys and people"], route_class=StrictRoute, dependencies=[ADMIN]
)


@router.get("", operation_id="getSettings", summary="Read the workspace's settings", response_model=Choices)
async def read(tx: Session) -> Response:
    """What is in force, chosen or by default."""
    return answer(Choices.model_validate(await workspaces.settings(tx)))


@router.patch("", operation_id="changeSettings", summary="Change the workspace's settings", response_model=Choices)
async def change(tx: Session, caller: Current, body: Choice) -> Response:
    """Changes what is sent and leaves the rest. It counts from now on; what has happened stays as it is."""
    chosen = body.model_dump(exclude_unset=True)
    if chosen:
        await workspaces.choose(tx, chosen)
        await audits.note(tx, caller.name, "settings.changed", chosen)
    return answer(Choices.model_validate(await workspaces.settings(tx)))
