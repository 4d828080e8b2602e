"""The shapes of a lead's story: history, activity, explanation, links."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pydantic import Field

from app.api.schemas.outreach import REQUEST, OutreachRequest
from app.api.schemas.shape import At, NextCursor, Shown, example
from app.domain.policy import Source

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00.000Z"


class Change(Shown):
    """One version of a lead."""

    id: UUID
    version: int
    source: str = Field(description=f"One of {', '.join(Source)}; `user` is a person.")
    actor: str | None
    run_id: UUID | None
    connection_id: UUID | None
    changes: dict[str, Any] = Field(description="By field: old, new, rule, source, and what lost.")
    refused: list[Any] = Field(description="Remote values the policy did not accept, and why.")
    at: At


class History(Shown):
    """What changed of a lead, the newest first."""

    model_config = example(
        items=[
            {
                "id": _ID, "version": 7, "source": "airtable", "actor": None, "run_id": _ID, "connection_id": _ID,
                "changes": {"title": {"old": None, "new": "Hoofd inkoop", "rule": "authority"}}, "refused": [],
                "at": _AT,
            }
        ],
        next_cursor=None,
    )  # fmt: skip
    items: list[Change]
    next_cursor: NextCursor


class Activity(Shown):
    """Something that happened to a lead."""

    id: UUID
    kind: str = Field(
        description="Here: `note.added`, `note.revised`, `claimed_by`, `status`, `campaign.joined`, `campaign.left`,"
        " `merged`, `unmerged`, `deleted`, `restored`. In mail campaigns: `mail.sent`, `mail.opened`, `mail.clicked`,"
        " `mail.replied`, `mail.auto_replied`, `mail.bounced`, `unsubscribed`, `interest`, `label` (one of your own)."
        " Asked to be changed there: `interest.requested`, `interest.done`, `interest.failed`, `remove.requested`,"
        " `remove.done`, `remove.failed`. There may be more some day."
    )
    at: At = Field(description="The event's own time.")
    actor: str | None
    detail: dict[str, Any] = Field(
        description="What belongs to the kind: a note's `text`; `old` and `new` of a status or claim; a `campaign`."
    )


class Activities(Shown):
    """What happened to a lead, the newest first."""

    model_config = example(
        items=[
            {
                "id": _ID,
                "kind": "note.added",
                "at": _AT,
                "actor": "noor@voorbeeld.nl",
                "detail": {"text": "Belde."},
            }
        ],
        next_cursor=None,
    )
    items: list[Activity]
    next_cursor: NextCursor


class FieldLink(Shown):
    """Where one link of a lead stands with a field."""

    link_id: UUID
    connection_id: UUID
    connection: str
    remote_id: str | None
    direction: str
    rule: str
    state: str = Field(description="agreed, pending, inflight, held or diverged.")
    reason: str | None
    observed: Any = Field(None, description="What the other side shows.")
    observed_at: str | None


class Explained(Shown):
    """Why a field holds what it holds."""

    value: Any = None
    source: str | None
    connection_id: UUID | None
    at: str | None
    rule: str | None
    why: str = Field(description="The reason of the policy's rule.")
    version: int | None
    actor: str | None
    run_id: UUID | None
    cleared: bool = Field(description="Emptied on purpose: no sync fills it again.")
    seen_since: int | None = Field(
        None, description="Of a counter: events seen since its campaigns were last read; the next reading counts them."
    )
    losing: list[Any] = Field(description="Values that lost, or were refused, and why.")
    links: list[FieldLink]


class Explanation(Shown):
    """A lead, explained field by field."""

    model_config = example(
        id=_ID,
        version=7,
        fields={
            "title": {
                "value": "Hoofd inkoop", "source": "airtable", "connection_id": _ID, "at": _AT, "rule": "authority",
                "why": "a person moved it on purpose; tools only fill what is empty", "version": 7, "actor": None,
                "run_id": _ID, "cleared": False, "seen_since": None,
                "losing": [{"value": "Inkoper", "why": "remote_wins"}],
                "links": [
                    {
                        "link_id": _ID, "connection_id": _ID, "connection": "Sales", "remote_id": "recAAAAAAAAAAAAAA",
                        "direction": "both", "rule": "authority", "state": "agreed", "reason": None,
                        "observed": "Hoofd inkoop", "observed_at": _AT,
                    }
                ],
            }
        },
    )  # fmt: skip
    id: UUID
    version: int
    fields: dict[str, Explained]


class LeadLink(Shown):
    """One remote record of a lead."""

    id: UUID
    connection_id: UUID
    remote_id: str | None = Field(description="Airtable's record id; provider ids of campaigns are never shown.")
    writing: bool = Field(description="False: a further record of the same lead, without a say.")
    observed: dict[str, Any]
    observed_at: str | None
    states: dict[str, str] = Field(description="Fields that do not simply agree, with their state.")
    pending: bool
    error: str | None
    ended: bool
    gone: bool
    requests: list[OutreachRequest] = Field(description="What was asked to be changed there, the newest first.")
    gone_since: At | None = Field(description="When it was found missing; a record that comes back is not gone.")


class LeadLinks(Shown):
    """The remote records of a lead."""

    model_config = example(
        items=[
            {
                "id": _ID, "connection_id": _ID, "remote_id": "recAAAAAAAAAAAAAA", "writing": True,
                "observed": {"title": "Hoofd inkoop"}, "observed_at": _AT, "states": {"phone": "pending"},
                "pending": True, "error": None, "ended": False, "gone": False, "gone_since": None,
                "requests": [REQUEST],
            }
        ]
    )  # fmt: skip
    items: list[LeadLink]
