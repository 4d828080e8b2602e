"""The shapes of statistics: what the leads are, and what the syncs do. Every number says here what it counts."""

from __future__ import annotations

from datetime import date
from typing import Any, Final
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, Shown, example

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00Z"


class ByStatus(Shown):
    """Leads with a status."""

    status: str
    leads: int


class BySource(Shown):
    """Leads from a source."""

    source: str | None = Field(description="The lead's `source`; null: it says none.")
    leads: int


class ByOwner(Shown):
    """Leads that somebody works."""

    claimed_by: str | None = Field(description="Who claimed them; null: nobody.")
    leads: int


class ByWeek(Shown):
    """Leads that were created in a week."""

    week: date = Field(description="Its Monday; weeks begin in UTC.")
    leads: int


class Stage(Shown):
    """A stage of the funnel."""

    stage: str
    reached: int = Field(
        description="Leads whose status is this one or a later one of the ladder (lost comes after booked, before won)."
        " A lead keeps its last status only, so it is taken to have passed those before; not_interested passed none."
    )
    of_previous: float | None = Field(
        description="`reached` as a share of the stage before, the first one's of all leads; null where that is 0."
    )


class Conversion(Shown):
    """Shares of the funnel, from 0 to 1; null where there is nothing to take a share of."""

    contacted_to_replied: float | None = Field(description="Of the leads that reached contacted, those at replied.")
    replied_to_booked: float | None = Field(description="Of the leads that reached replied, those at booked.")
    closed_won: float | None = Field(description="Of the leads that are won or lost, those that are won.")
    all_won: float | None = Field(description="Of all leads, those that are won.")


class LeadStats(Shown):
    """What the leads of a workspace are. Deleted and merged leads count nowhere."""

    model_config = example(
        as_of=_AT, total=1240, claimed=310, positive_replies=41,
        by_status=[{"status": s, "leads": n} for s, n in (("new", 800), ("contacted", 400), ("won", 40))],
        by_source=[{"source": "beurs", "leads": 700}, {"source": None, "leads": 540}],
        by_owner=[{"claimed_by": None, "leads": 930}, {"claimed_by": "noor@voorbeeld.nl", "leads": 310}],
        by_week=[{"week": "2026-03-02", "leads": 40}, {"week": "2026-02-23", "leads": 1200}],
        funnel=[
            {"stage": "contacted", "reached": 440, "of_previous": 0.3548},
            {"stage": "won", "reached": 40, "of_previous": 0.0909},
        ],
        conversion={"contacted_to_replied": 0.0909, "replied_to_booked": 1.0, "closed_won": 1.0, "all_won": 0.0323},
    )  # fmt: skip
    as_of: At = Field(description="When it was counted: now.")
    total: int = Field(description="All leads.")
    claimed: int = Field(description="Leads somebody claimed.")
    positive_replies: int = Field(description="Leads whose `is_positive_reply` is true.")
    by_status: list[ByStatus] = Field(description="Every status, in the order of the ladder.")
    by_source: list[BySource] = Field(description="The hundred most frequent, the most frequent first.")
    by_owner: list[ByOwner] = Field(description="The hundred with the most leads, the most first.")
    by_week: list[ByWeek] = Field(
        description="By the week of `created_at`, the newest first; empty weeks are left out."
    )
    funnel: list[Stage] = Field(description="From contacted to won.")
    conversion: Conversion


class MonthCalls(Shown):
    """Calls in a month."""

    month: str = Field(description="As in 2026-03; months begin in UTC.")
    calls: int = Field(description="Requests to the provider, repeated ones included: what it counts as quota.")


class ConnectionStats(Shown):
    """What the syncs of one connection did."""

    id: UUID
    name: str
    provider: str
    state: str
    runs: int = Field(description="Runs queued in the period, whatever became of them.")
    failed: int = Field(description="Those that ended with an error.")
    seconds: float | None = Field(description="How long those that were done took on average, from start to end.")
    last_done_at: At | None = Field(description="When the last of them was done.")
    counters: dict[str, int] = Field(description="What the runs counted, added up, by the names runs use.")
    calls: list[MonthCalls] = Field(description="Calls to the provider, the newest month first, up to twelve.")
    pending: int = Field(description="Records with something to write or to look at again, now.")
    open_items: dict[str, int] = Field(description="What waits for a person now, by kind: conflict, quarantine, plan …")


class RunCount(Shown):
    """Runs of a kind in a state."""

    kind: str
    state: str
    runs: int


_CONNECTION: Final[dict[str, Any]] = {
    "id": _ID, "name": "Sales", "provider": "airtable", "state": "active", "runs": 2880, "failed": 1, "seconds": 1.4,
    "last_done_at": _AT, "counters": {"observed": 12, "leads_changed": 3, "written": 2},
    "calls": [{"month": "2026-03", "calls": 412}], "pending": 2, "open_items": {"conflict": 1},
}  # fmt: skip


class SyncStats(Shown):
    """What the syncs of a workspace did in a period, and what waits."""

    model_config = example(
        as_of=_AT, since="2026-01-31T09:15:00Z", runs=2880, failed=1, pending=2, calls_this_month=412,
        by_kind=[{"kind": "delta", "state": "done", "runs": 2879}, {"kind": "delta", "state": "failed", "runs": 1}],
        counters={"observed": 12, "leads_changed": 3, "written": 2}, open_items={"candidate": 4, "conflict": 1},
        connections=[_CONNECTION],
    )  # fmt: skip
    as_of: At
    since: At = Field(description="Where the period begins.")
    runs: int = Field(description="Runs of connections queued since then; a run of the whole workspace is its parts.")
    failed: int = Field(description="Those that ended with an error.")
    by_kind: list[RunCount]
    counters: dict[str, int] = Field(description="What the runs of the connections below counted, added up.")
    calls_this_month: int = Field(description="Calls to providers since the month began in UTC.")
    pending: int = Field(description="Records with something to write or to look at again, now.")
    open_items: dict[str, int] = Field(description="What waits for a person now, by kind, duplicates included.")
    connections: list[ConnectionStats] = Field(description="Each connection there is, the oldest first.")
