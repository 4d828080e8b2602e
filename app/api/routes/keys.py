"""API keys and the people of a workspace."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import ADMIN, Current, Session, known
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.gate import Caller
from app.api.once import ShownOnce
from app.api.schemas.admin import Key, Keys, MadeKey, NewKey, NewUser, User, Users
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import audits, keys, workspaces
from app.vault import new_key

router = APIRouter(prefix="/api/admin", tags=["keys and people"], route_class=StrictRoute, dependencies=[ADMIN])


@router.post("/keys", operation_id="createKey", summary="Make an API key", status_code=201, response_model=MadeKey)
async def create(tx: Session, caller: Current, body: NewKey) -> Response:
    """The key is shown this once; what is kept is a hash."""
    _may_give(caller, body.role)
    if body.expires_at is not None and body.expires_at <= tx.now:
        raise Problem(422, "The key would have expired already: give a time in the future.")
    secret, prefix, hashed = new_key()
    key_id = await keys.create(
        tx, name=body.name, role=body.role, prefix=prefix, key_hash=hashed, acts_for=body.acts_for,
        expires_at=body.expires_at,
    )  # fmt: skip
    await audits.note(tx, caller.name, "key.created", {"id": str(key_id), "role": body.role})
    made = MadeKey.model_validate(dict(await keys.get(tx, key_id)) | {"key": secret})
    kept = made.model_copy(update={"key": None})
    return ShownOnce(made, kept, 201, {"Location": f"/api/admin/keys/{key_id}"})


@router.get("/keys", operation_id="listKeys", summary="List API keys", response_model=Keys)
async def page(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """The workspace's keys, also expired and revoked ones, the newest first."""
    before: Any = paging.decode("keys", cursor, paging.BY_TIME)
    rows = await keys.every(tx, limit + 1, before)
    return paging.answered(request, "keys", Keys, rows, limit, by=("created_at", "id"))


@router.get(
    "/keys/{key_id}", operation_id="getKey", summary="Read an API key", response_model=Key, responses=refuses(404)
)
async def read(tx: Session, key_id: UUID) -> Response:
    """Its role, whom it acts for, and when it was last used; never the key."""
    return answer(Key.of(known(await keys.get(tx, key_id), "key", key_id)))


@router.delete(
    "/keys/{key_id}", operation_id="revokeKey", summary="Revoke an API key", status_code=204, responses=refuses(404)
)
async def revoke(tx: Session, caller: Current, key_id: UUID) -> Response:
    """Ends the key at once."""
    _may_give(caller, known(await keys.get(tx, key_id), "key", key_id)["role"])
    await keys.revoke(tx, key_id)
    await audits.note(tx, caller.name, "key.revoked", {"id": str(key_id)})
    return Response(status_code=204)


@router.post("/users", operation_id="addUser", summary="Add a person", status_code=201, response_model=User)
async def add_user(tx: Session, caller: Current, body: NewUser) -> Response:
    """Adds a person to the workspace; one who is there gets the role. Keys have roles of their own and keep them."""
    row = await workspaces.add_user(tx, body.email, body.role)
    await audits.note(tx, caller.name, "user.added", {"id": str(row["id"]), "role": body.role})
    return answer(User.of(row), 201)


@router.get("/users", operation_id="listUsers", summary="List people", response_model=Users)
async def users(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """The people of the workspace, by e-mail address."""
    after: Any = paging.decode("users", cursor, (str,)) or ()
    rows = await workspaces.users(tx, limit + 1, *after)
    return paging.answered(request, "users", Users, rows, limit, by=("email",))


@router.delete(
    "/users/{user_id}", operation_id="removeUser", summary="Remove a person", status_code=204, responses=refuses(404)
)
async def remove_user(tx: Session, caller: Current, user_id: UUID) -> Response:
    """Removes a person from the workspace and revokes the keys that act for them, at once.

    What they did stays in the history, and their claims stay until somebody else is given the lead:
    `GET /api/leads?claimed_by=…` finds them.
    """
    email = known(await workspaces.remove_user(tx, user_id), "user", user_id)
    await audits.note(tx, caller.name, "user.removed", {"id": str(user_id)})
    for key in await keys.revoke_of(tx, email):
        _may_give(caller, key["role"])
        await audits.note(tx, caller.name, "key.revoked", {"id": str(key["id"])})
    return Response(status_code=204)


def _may_give(caller: Caller, role: str) -> None:
    if role == "operator" and caller.role != "operator":
        raise Problem(403, "Keys with the role operator are made and revoked by operators only.")
