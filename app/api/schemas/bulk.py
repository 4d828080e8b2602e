"""Many operations in one request, and what became of each."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, SkipValidation

from app.api.schemas.lead import LeadFields
from app.api.schemas.problem import ProblemDetails
from app.api.schemas.shape import WHOLE, Body, Shown, example

#: Operations of one request.
MOST = 1_000
_VERSION = "The version the change is based on, as If-Match for one lead: 412 if the lead has moved on."
_ID = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
Version = Annotated[Annotated[int, Field(ge=0), WHOLE] | None, Field(None, description=_VERSION)]


class BulkCreate(Body):
    """Adds a lead."""

    op: Literal["create"]
    lead: LeadFields


class BulkUpdate(Body):
    """Merges fields into a lead (RFC 7396)."""

    op: Literal["update"]
    id: UUID
    version: Version
    lead: LeadFields


class BulkUpsert(Body):
    """Merges fields into the lead with this e-mail address, or adds one."""

    op: Literal["upsert"]
    version: Version
    lead: LeadFields


class BulkDelete(Body):
    """Deletes a lead."""

    op: Literal["delete"]
    id: UUID
    version: Version


BulkOperation = Annotated[BulkCreate | BulkUpdate | BulkUpsert | BulkDelete, Field(discriminator="op")]


class Bulk(Body):
    """Operations, carried out in their order."""

    model_config = example(
        operations=[
            {"op": "upsert", "lead": {"email": "noor.devries@voorbeeld.nl", "title": "Hoofd inkoop"}},
            {"op": "update", "id": _ID, "version": 7, "lead": {"status": "booked"}},
        ]
    )
    #: read one by one, so that one that cannot be read stops no other
    operations: list[SkipValidation[BulkOperation]] = Field(min_length=1, max_length=MOST)


class BulkOutcome(Shown):
    """What became of one operation."""

    index: int = Field(description="Its place in the request, from 0.")
    status: int = Field(description="What a request of its own would have been answered with.")
    id: UUID | None
    version: int | None = Field(description="The lead's version now; null where nothing was done.")
    error: ProblemDetails | None


class BulkOutcomes(Shown):
    """What became of all of them, in their order."""

    model_config = example(
        succeeded=1,
        failed=1,
        items=[
            {"index": 0, "status": 201, "id": _ID, "version": 1, "error": None},
            {
                "index": 1,
                "status": 412,
                "id": _ID,
                "version": None,
                "error": {
                    "type": "urn:leadkeeper:problem:stale-version",
                    "title": "Precondition Failed",
                    "status": 412,
                    "detail": "The lead is at version 8 by now: read it again, and send that one.",
                    "errors": [],
                    "request_id": None,
                    "version": 8,
                },
            },
        ],
    )
    succeeded: int
    failed: int
    items: list[BulkOutcome]
