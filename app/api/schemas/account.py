"""The shapes of accounts and of the campaigns of theirs that operators assign; the only ones with a provider's ids."""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, Body, NextCursor, Shown, example

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_CAMPAIGN: Final = "4ea90000-0000-4000-8000-000000000002"
_WORKSPACE: Final[dict[str, Any]] = {"id": _ID, "name": "Voorbeeld"}


class AccountWorkspace(Shown):
    """A workspace, as an account's list shows it."""

    id: UUID
    name: str


class Account(Shown):
    """An account at a provider; never its secret."""

    model_config = example(
        id=_ID, provider="instantly", workspaces=[_WORKSPACE], shared_at=None, created_at="2026-03-02T09:15:00Z"
    )
    id: UUID
    provider: str
    workspaces: list[AccountWorkspace] = Field(description="Those with a connection to it.")
    shared_at: At | None = Field(description="Since then each campaign belongs to the workspace it is assigned to.")
    created_at: At


class Accounts(Shown):
    """Accounts, the oldest first."""

    model_config = example(items=[Account.model_config["json_schema_extra"]["example"]], next_cursor=None)  # type: ignore[index]
    items: list[Account]
    next_cursor: NextCursor


class AccountCampaign(Shown):
    """A campaign of an account, and whose it is."""

    id: str = Field(description="The provider's id.")
    name: str | None = Field(description="Null: the provider no longer lists it.")
    status: int | None = Field(description="The provider's own number.")
    state: Literal["assigned", "waiting", "alone"] = Field(
        description="waiting: nobody reads it; alone: the account has one workspace, which reads everything."
    )
    workspace: AccountWorkspace | None = Field(description="Who reads it.")
    waiting_deliveries: int = Field(description="Webhook deliveries that wait for a workspace.")


class AccountCampaigns(Shown):
    """The campaigns of an account, by name."""

    model_config = example(
        items=[
            {
                "id": _CAMPAIGN, "name": "Q3 founders", "status": 1, "state": "waiting", "workspace": None,
                "waiting_deliveries": 12,
            }
        ]
    )  # fmt: skip
    items: list[AccountCampaign]


class Assignment(Body):
    """Whom a campaign belongs to."""

    model_config = example(workspace_id=_ID)
    workspace_id: UUID


class Assigned(Shown):
    """A campaign that was assigned."""

    model_config = example(
        campaign_id=_CAMPAIGN, workspace_id=_ID, taken_from=None, links_ended=0, deliveries_routed=12
    )
    campaign_id: UUID
    workspace_id: UUID
    taken_from: UUID | None = Field(description="The workspace that read it before; its leads stay with it.")
    links_ended: int = Field(description="Links there, which stay as they were seen last.")
    deliveries_routed: int = Field(description="Webhook deliveries that waited for this.")
