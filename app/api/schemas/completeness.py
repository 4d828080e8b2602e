"""The shape of what is known about a day's deliveries."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from app.api.schemas.shape import At, Shown, example


class Unknown(Shown):
    """A time of which nobody can say what should have been delivered."""

    since: At = Field(alias="from")
    to: At
    why: str


class Completeness(Shown):
    """How complete the inbox is for a day (UTC)."""

    model_config = example(
        day="2026-03-02", received=512, logged=514, missing=0, recovered=2,
        unknown=[
            {
                "from": "2026-03-02T09:15:00Z", "to": "2026-03-02T10:20:00Z",
                "why": "Instantly gave the webhook up after deliveries to it had failed; it was told to deliver again.",
            }
        ],
        checked_at="2026-03-02T23:10:00Z",
    )  # fmt: skip
    day: dt.date
    logged: int = Field(description="Different deliveries that Instantly's own log has.")
    received: int = Field(description="Those of them that came by themselves.")
    recovered: int = Field(description="Those of them that did not, and were taken from the log.")
    missing: int = Field(description="Deliveries that failed, and whose content the log no longer has.")
    unknown: list[Unknown] = Field(description="Times nobody can answer for. What REST can tell was read again.")
    checked_at: At | None = Field(description="When the log was compared last; null: not yet.")
