"""The shapes of webhooks: what is answered to a delivery, and the deliveries that were kept."""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, NextCursor, Shown, example

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00Z"

DeliveryState = Literal["received", "applied", "ignored", "parked", "failed"]

#: A delivery as Instantly sends one; `campaign` is its own id of the campaign, which clients never see otherwise.
PAYLOAD: Final[dict[str, Any]] = {
    "timestamp": "2026-03-02T09:14:58.963Z", "event_type": "reply_received",
    "workspace": "8f3e0000-0000-4000-8000-000000000001", "campaign": "4ea90000-0000-4000-8000-000000000002",
    "campaign_id": "4ea90000-0000-4000-8000-000000000002", "campaign_name": "Q3 founders",
    "lead_email": "noor@voorbeeld.nl", "email": "noor@voorbeeld.nl", "email_account": "max@afzender.nl", "step": 1,
    "variant": 2, "is_first": True, "email_id": "0199cbed-0bed-7e1f-a3c9-608aca600b4f",
    "reply_subject": "Re: vraag", "reply_text_snippet": "Ja, graag!", "firstName": "Noor", "companyName": "Voorbeeld",
    "unibox_url": None,
}  # fmt: skip


class Receipt(Shown):
    """A delivery is kept: it is committed, and will be applied."""

    model_config = example(delivery=_ID, duplicate=False)
    delivery: UUID
    duplicate: bool = Field(description="It was there already.")


class DeliveryCampaign(Shown):
    """The campaign a delivery is about."""

    id: UUID
    name: str


_DELIVERY: Final[dict[str, Any]] = {
    "id": _ID, "received_at": _AT, "via": "webhook", "event_type": "reply_received",
    "campaign": {"id": _ID, "name": "Q3 founders"}, "state": "applied", "reason": None, "attempts": 0,
    "next_attempt_at": None, "applied_at": _AT, "lead_id": _ID, "size": 912,
}  # fmt: skip


class Delivery(Shown):
    """A delivery without its body."""

    model_config = example(**_DELIVERY)
    id: UUID
    received_at: At
    via: Literal["webhook", "log", "mail"] = Field(
        description="It came itself, or was found in the provider's delivery log, or as an e-mail there."
    )
    event_type: str | None = Field(description="As it came: custom labels have types of their own.")
    campaign: DeliveryCampaign | None
    state: DeliveryState = Field(
        description=(
            "received: to be applied; applied; ignored: understood, nothing to do; parked: waits for its lead or a"
            " person; failed: tried several times."
        )
    )
    reason: str | None
    attempts: int
    next_attempt_at: At | None
    applied_at: At | None
    lead_id: UUID | None
    size: int | None = Field(description="Bytes of its body; null once the body was forgotten.")


class Deliveries(Shown):
    """A page of deliveries."""

    model_config = example(items=[_DELIVERY], next_cursor=None)
    items: list[Delivery]
    next_cursor: NextCursor


class WholeDelivery(Delivery):
    """A delivery with what it said."""

    model_config = example(
        **_DELIVERY,
        path="4ea90000-0000-4000-8000-000000000002",
        headers={"content-type": "application/json"},
        content=PAYLOAD,
        text=None,
    )
    path: str | None = Field(description="The campaign in the address it came to.")
    headers: dict[str, str]
    content: dict[str, Any] | None = Field(description="The body, where it is a JSON object.")
    text: str | None = Field(description="The body where it is none; bytes that are no text are replaced.")


class Replayed(Shown):
    """How many deliveries will be applied again."""

    model_config = example(replayed=3)
    replayed: int


class Unrouted(Shown):
    """Deliveries of one campaign that no workspace has."""

    account_id: UUID
    campaign_id: str | None = Field(description="The provider's id; null where the deliveries name none.")
    deliveries: int
    first_at: At
    last_at: At


class UnroutedList(Shown):
    """What waits for a workspace, by account and campaign."""

    model_config = example(
        items=[{"account_id": _ID, "campaign_id": PAYLOAD["campaign"], "deliveries": 12, "first_at": _AT,
                "last_at": _AT}]
    )  # fmt: skip
    items: list[Unrouted]
