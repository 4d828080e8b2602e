"""The shape of every error."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field


class ProblemError(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str | None = Field(None, description="JSON pointer into the body.")
    parameter: str | None = Field(None, description="The name of a parameter or header.")
    detail: str = Field(description="What is wrong, and what to do about it.")


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        description="A URN that names the kind of error: `urn:leadkeeper:problem:` and the status in words, or what a"
        " client may want to tell from others of its status: `deleted` (404: it can be restored), `merged` (308, 409:"
        " into `lead_id`), `stale-version` (412), `already-claimed` and `identity-taken` (409), or"
        " `idempotency-key-reused` (422)."
    )
    title: str
    status: int
    detail: str = Field(description="One sentence: what is wrong, and what to do about it.")
    errors: list[ProblemError] = Field(description="What is wrong field by field, where that is known.")
    request_id: str | None = Field(description="What to quote when asking for help; the log has it too.")
    allowed: list[str] = Field([], description="422 to an unknown name: those there are.")
    lead_id: UUID | None = Field(None, description="308, 409: the lead to go to, or that is in the way.")
    claimed_by: str | None = Field(None, description="409 to a claim: who holds the lead.")
    version: int | None = Field(None, description="412: the lead's version now.")
