"""The shapes of sync work: runs, status, pending writes, divergences, review items, plans."""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, Body, Flag, NextCursor, Shown, Whole, example

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00Z"
RUN: Final[dict[str, Any]] = {
    "id": _ID, "connection_id": _ID, "parent_id": None, "kind": "delta", "trigger": "api", "state": "done",
    "stage": None, "counters": {"observed": 12, "leads_changed": 3, "written": 2},
    "progress": {"done": 12, "total": 12, "rate": 4.0, "eta": _AT}, "error": None, "requested_by": "noor@voorbeeld.nl",
    "created_at": _AT, "started_at": _AT, "finished_at": _AT,
}  # fmt: skip


class Progress(Shown):
    """How far a run is with its stage; what is unknown is null."""

    done: int | None = None
    total: int | None = None
    rate: float | None = Field(None, description="How many a second.")
    eta: At | None = Field(None, description="When it ends if it goes on like this.")


class Run(Shown):
    """One execution of sync work; without a connection it is a whole workspace's, with a part per connection."""

    model_config = example(**RUN)
    id: UUID
    connection_id: UUID | None
    parent_id: UUID | None
    kind: str = Field(description="delta, full, refresh, to_remote, from_remote or analytics.")
    trigger: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str | None
    counters: dict[str, int]
    progress: Progress
    error: str | None
    requested_by: str | None
    created_at: At
    started_at: At | None
    finished_at: At | None


class RunWithParts(Run):
    """A run with the runs it consists of."""

    model_config = example(**RUN, parts=[])
    parts: list[Run]


class Runs(Shown):
    """Runs, the newest first."""

    model_config = example(items=[RUN], next_cursor=None)
    items: list[Run]
    next_cursor: NextCursor


class SyncRequest(Body):
    """What to sync."""

    model_config = example(connection=None, lead_ids=[_ID], dry_run=False)
    connection: UUID | None = Field(None, description="One connection; by default every active one that fits.")
    lead_ids: list[UUID] = Field([], max_length=1000, description="Leads to look at again even if nothing changed.")
    dry_run: Flag = Field(False, description="Answer with the plan instead; nothing is written anywhere.")


PLAN: Final[dict[str, Any]] = {
    "leads_created_here": 1, "leads_changed_here": 2, "fields_changed_here": 3, "records_updated_there": 1,
    "records_created_there": 0, "fields_written_there": 1, "conflicts": 0, "refused": 0, "calls": 2,
    "by_field": {"title": 1},
    "here": [{"lead_id": _ID, "field": "title", "old": None, "new": "Hoofd inkoop", "rule": "authority"}],
    "there": [{"lead_id": _ID, "field": "phone", "old": None}], "digest": "9f2c4e1ab07d3356",
}  # fmt: skip


class Plan(Shown):
    """What a sync would change on both sides, and what it would cost."""

    model_config = example(connection_id=_ID, **PLAN)
    connection_id: UUID
    leads_created_here: int
    leads_changed_here: int
    fields_changed_here: int
    records_updated_there: int
    records_created_there: int
    fields_written_there: int
    conflicts: int
    refused: int
    calls: int = Field(description="Provider calls the writes will take.")
    by_field: dict[str, int]
    here: list[dict[str, Any]] = Field(description="The first changes of leads.")
    there: list[dict[str, Any]] = Field(description="The first writes.")
    digest: str = Field(description="Names this plan: approve it by it.")


class Plans(Shown):
    """A plan per connection."""

    model_config = example(plans=[{"connection_id": _ID, **PLAN}])
    plans: list[Plan]


class PlanRequest(Body):
    """Which connection to plan for."""

    model_config = example(connection=_ID)
    connection: UUID


class Approval(Body):
    """The plan that was looked at."""

    model_config = example(digest=PLAN["digest"])
    digest: str = Field(max_length=64)


class LastRun(Shown):
    """The last run of a connection."""

    id: UUID
    kind: str
    state: str
    error: str | None
    finished_at: At | None


class ConnectionStatus(Shown):
    """How one connection stands."""

    id: UUID
    name: str
    provider: str
    state: Literal["new", "active", "paused", "stopped"]
    reason: str | None
    is_running: bool
    next_run_at: At | None
    last_run: LastRun | None
    links: int
    pending: int = Field(description="Links with something to write.")
    held: int = Field(description="Conflicts that wait for a person.")
    diverged: int = Field(description="Links with a difference that is accepted.")
    failing: int = Field(description="Links whose last write or reading failed.")
    calls_this_month: int


class SyncStatus(Shown):
    """How every connection of the workspace stands."""

    model_config = example(
        connections=[
            {
                "id": _ID, "name": "Sales", "provider": "airtable", "state": "active", "reason": None,
                "is_running": False, "next_run_at": _AT,
                "last_run": {"id": _ID, "kind": "delta", "state": "done", "error": None, "finished_at": _AT},
                "links": 2000, "pending": 0, "held": 1, "diverged": 4, "failing": 0, "calls_this_month": 912,
            }
        ]
    )  # fmt: skip
    connections: list[ConnectionStatus]


class PendingLink(Shown):
    """A link with something to write."""

    id: UUID
    connection_id: UUID
    lead_id: UUID | None
    remote_id: str | None = Field(description="Null: the record is yet to be created.")
    fields: dict[str, str] = Field(description="By field: pending or inflight.")
    reread: bool = Field(description="The record is to be read again first.")
    attempts: int
    next_attempt_at: At | None
    error: str | None


class PendingPage(Shown):
    """Links with something to write."""

    model_config = example(
        items=[
            {
                "id": _ID, "connection_id": _ID, "lead_id": _ID, "remote_id": "recAAAAAAAAAAAAAA",
                "fields": {"phone": "pending"}, "reread": False, "attempts": 0, "next_attempt_at": None, "error": None,
            }
        ],
        next_cursor=None,
    )  # fmt: skip
    items: list[PendingLink]
    next_cursor: NextCursor


class Divergence(Shown):
    """A difference between both sides that is accepted."""

    link_id: UUID
    connection_id: UUID
    lead_id: UUID | None
    remote_id: str | None
    field: str
    reason: str | None
    there: Any = Field(None, description="What the other side holds.")


class Divergences(Shown):
    """Accepted differences; a page holds whole links, so it may hold more than `limit` fields."""

    model_config = example(
        items=[
            {
                "link_id": _ID, "connection_id": _ID, "lead_id": _ID, "remote_id": "recAAAAAAAAAAAAAA",
                "field": "phone", "reason": "not a phone number", "there": "n/a",
            }
        ],
        next_cursor=None,
    )  # fmt: skip
    items: list[Divergence]
    next_cursor: NextCursor


ITEM: Final[dict[str, Any]] = {
    "id": _ID, "kind": "conflict", "state": "open", "connection_id": _ID, "link_id": _ID, "lead_id": _ID,
    "field": "title", "evidence": {"base": "Inkoper", "local": "Hoofd inkoop", "remote": "Directeur", "why": "manual"},
    "version": 1, "decision": None, "decided_by": None, "created_at": _AT, "updated_at": _AT, "decided_at": None,
}  # fmt: skip


class ReviewItem(Shown):
    """Something a person decides, or may decide again."""

    model_config = example(**ITEM)
    id: UUID
    kind: str
    state: Literal["open", "auto", "decided", "closed"]
    connection_id: UUID | None
    link_id: UUID | None
    lead_id: UUID | None
    field: str
    evidence: dict[str, Any] = Field(description="For a conflict: base, local and remote.")
    version: int = Field(description="Send it with the decision.")
    decision: dict[str, Any] | None
    decided_by: str | None
    created_at: At
    updated_at: At
    decided_at: At | None


class ReviewItems(Shown):
    """Items, the newest first."""

    model_config = example(items=[ITEM], next_cursor=None)
    items: list[ReviewItem]
    next_cursor: NextCursor


class Resolution(Body):
    """Which side of a conflict stays."""

    model_config = example(keep="local", version=1)
    keep: Literal["local", "remote"]
    version: Whole = Field(ge=0, le=2**31 - 1, description="The item's version as you saw it.")


class Verdict(Body):
    """A decision about an item."""

    model_config = example(version=1)
    version: Whole = Field(ge=0, le=2**31 - 1, description="The item's version as you saw it.")
