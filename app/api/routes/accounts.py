"""Accounts at providers, which only operators see: who uses them, and which workspace each campaign belongs to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging
from app.api.deps import OPERATE, Current, Running, Session
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.schemas.account import AccountCampaigns, Accounts, Assigned, Assignment
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import accounts, deliveries, workspaces
from app.db.session import Tx
from app.runtime import campaigns_of

router = APIRouter(prefix="/api/admin/accounts", tags=["accounts"], route_class=StrictRoute, dependencies=[OPERATE])


@router.get("", operation_id="listAccounts", summary="List accounts", response_model=Accounts)
async def page(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """Every account with the workspaces that use it, the oldest first; never a secret."""
    after = paging.decode_id("accounts", cursor)
    rows = [row for row in await accounts.every(tx) if after is None or row["id"] > after]
    return paging.answered(request, "accounts", Accounts, rows, limit)


@router.get(
    "/{account_id}/campaigns",
    operation_id="listAccountCampaigns",
    summary="List an account's campaigns",
    response_model=AccountCampaigns,
    responses=refuses(404, 502),
)
async def campaigns(runtime: Running, caller: Current, account_id: UUID) -> Response:
    """The campaigns as the provider lists them now, with the workspace each belongs to, and what waits for one.

    A campaign that is assigned stays in the list when the provider no longer has it. An account of a provider without
    campaigns has none.
    """
    async with runtime.db.transaction(caller.tenant) as tx:
        account = await _known(tx, account_id)
        sealed = await accounts.secret(tx, account_id)
        assigned = {row["campaign_id"]: row for row in await accounts.assignments(tx, account_id)}
        waiting = {
            row["campaign_id"]: row["deliveries"]
            for row in await deliveries.unrouted(tx)
            if row["account_id"] == account_id and row["campaign_id"]
        }
    listed = {c.id: c for c in await campaigns_of(runtime, account["provider"], sealed or b"")}
    alone = account["workspaces"] if account["shared_at"] is None else []
    items: list[dict[str, Any]] = []
    for campaign_id in {*listed, *assigned, *waiting}:
        there, owner = listed.get(campaign_id), assigned.get(campaign_id)
        workspace = {"id": owner["workspace_id"], "name": owner["name"]} if owner else next(iter(alone), None)
        items.append({
            "id": campaign_id,
            "name": there.name if there else None,
            "status": there.status if there else None,
            "state": "assigned" if owner else "alone" if workspace else "waiting",
            "workspace": workspace,
            "waiting_deliveries": waiting.get(campaign_id, 0),
        })  # fmt: skip
    items.sort(key=lambda item: (item["name"] is None, item["name"] or "", item["id"]))
    return answer(AccountCampaigns.model_validate({"items": items}))


@router.put(
    "/{account_id}/campaigns/{campaign_id}",
    operation_id="assignCampaign",
    summary="Assign a campaign",
    response_model=Assigned,
    responses=refuses(404),
)
async def assign(runtime: Running, caller: Current, account_id: UUID, campaign_id: UUID, body: Assignment) -> Response:
    """Lets one workspace read a campaign, and no other. Both workspaces' audit logs tell of it.

    With its first assignment an account is shared: what its one workspace had taken in stays with it, everything else
    waits. A workspace that loses a campaign keeps the leads; they get no more news from it. Deliveries that waited
    are applied. The workspace may connect to the account before or after this.
    """
    if await workspaces.get(runtime.db, body.workspace_id) is None:
        raise Problem(404, f"There is no workspace {body.workspace_id}.")
    async with runtime.db.transaction(caller.tenant) as tx:
        await _known(tx, account_id)
        moved = await accounts.assign(tx, account_id, str(campaign_id), body.workspace_id, actor=caller.name)
        routed = await deliveries.route(tx, account_id, str(campaign_id))
    return answer(
        Assigned(
            campaign_id=campaign_id,
            workspace_id=body.workspace_id,
            taken_from=moved.former if moved.former != body.workspace_id else None,
            links_ended=moved.ended,
            deliveries_routed=routed,
        )
    )


@router.delete(
    "/{account_id}/campaigns/{campaign_id}",
    operation_id="unassignCampaign",
    summary="Let a campaign wait",
    status_code=204,
    responses=refuses(404),
)
async def unassign(tx: Session, caller: Current, account_id: UUID, campaign_id: UUID) -> Response:
    """Takes a campaign from the workspace it is assigned to; until it is assigned again nobody reads it."""
    await _known(tx, account_id)
    moved = await accounts.assign(tx, account_id, str(campaign_id), None, actor=caller.name)
    if moved.former is None:
        raise Problem(404, f"The campaign {campaign_id} is assigned to no workspace.")
    return Response(status_code=204)


async def _known(tx: Tx, account_id: UUID) -> Any:
    found = next((row for row in await accounts.every(tx) if row["id"] == account_id), None)
    if found is None:
        raise Problem(404, f"There is no account {account_id}.")
    return found
