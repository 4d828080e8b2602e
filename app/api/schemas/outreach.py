"""The shapes of what is changed in a lead's rows at Instantly."""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, Body, Shown, example

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00.000Z"
Interest = Literal[
    "interested", "meeting_booked", "meeting_completed", "won", "out_of_office", "not_interested", "wrong_person",
    "lost", "no_show",
]  # fmt: skip
REQUEST: Final = {
    "id": _ID, "link_id": _ID, "campaign_id": _ID, "campaign": "Q3 founders", "kind": "interest",
    "interest": "meeting_booked", "state": "queued", "error": None, "requested_by": "noor@voorbeeld.nl",
    "created_at": _AT, "sent_at": None, "finished_at": None,
}  # fmt: skip


class NewInterest(Body):
    """Which interest a lead has shown."""

    model_config = example(interest="meeting_booked")
    interest: Interest | None = Field(description="null takes it back.")
    campaign_id: UUID | None = Field(None, description="By default every campaign the lead is in.")


class OutreachRequest(Shown):
    """A change of one row of a lead at Instantly."""

    model_config = example(**REQUEST)
    id: UUID
    link_id: UUID
    campaign_id: UUID | None
    campaign: str | None = Field(description="The campaign's name.")
    kind: Literal["remove", "interest"]
    interest: Interest | None
    state: Literal["queued", "sent", "confirmed", "failed"] = Field(
        description="`sent` until Instantly shows it: an interest is accepted at once and shows seconds later."
    )
    error: str | None
    requested_by: str
    created_at: At
    sent_at: At | None
    finished_at: At | None


class OutreachRequests(Shown):
    """The changes that were asked for, one per campaign."""

    model_config = example(items=[REQUEST])
    items: list[OutreachRequest]
