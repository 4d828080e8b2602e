"""Statistics: what the leads are, and what the syncs do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api.deps import READ, WORK, Session
from app.api.schemas.shape import answer
from app.api.schemas.stats import LeadStats, SyncStats
from app.api.strict import StrictRoute
from app.db import reviews, stats
from app.domain.ladder import STATUS_LADDER, rank

router = APIRouter(prefix="/api/stats", tags=["statistics"], route_class=StrictRoute)
#: The ladder without its ways out.
STAGES: Final = tuple(status for status in STATUS_LADDER if status not in ("new", "not_interested", "lost"))


@router.get(
    "/leads", operation_id="getLeadStats", summary="What the leads are", response_model=LeadStats, dependencies=[READ]
)
async def leads(tx: Session) -> Response:
    """Leads by status, source, owner and week of creation, the funnel and its conversion.

    They are counted as they are written: the numbers are those of this moment, and cost the same however many leads
    there are.
    """
    return answer(LeadStats.model_validate(lead_stats(await stats.of_leads(tx), tx.now)))


@router.get(
    "/sync", operation_id="getSyncStats", summary="What the syncs do", response_model=SyncStats, dependencies=[WORK]
)
async def sync(
    tx: Session, days: Annotated[int, Query(ge=1, le=366, description="How many days back the period begins.")] = 30
) -> Response:
    """Runs, failures and counters of a period, calls by connection and month, and what waits now."""
    since = tx.now - timedelta(days=days)
    kinds = await stats.of_runs(tx, since)
    connections = [dict(row) for row in await stats.of_connections(tx, since)]
    counters: Counter[str] = Counter()
    for connection in connections:
        counters.update(connection["counters"])
    month = f"{tx.now:%Y-%m}"
    found = {
        "as_of": tx.now,
        "since": since,
        "runs": sum(row["runs"] for row in kinds),
        "failed": sum(row["runs"] for row in kinds if row["state"] == "failed"),
        "by_kind": [dict(row) for row in kinds],
        "counters": dict(sorted(counters.items())),
        "calls_this_month": sum(m["calls"] for c in connections for m in c["calls"] if m["month"] == month),
        "pending": sum(c["pending"] for c in connections),
        "open_items": await reviews.count_open(tx),
        "connections": connections,
    }
    return answer(SyncStats.model_validate(found))


def lead_stats(rows: Sequence[Any], now: datetime) -> dict[str, Any]:
    """Returns the statistics that counts by status, source, owner and week make."""
    kinds = ("all", "positive", "status", "source", "owner", "week")
    by: dict[str, dict[str | None, int]] = {kind: {} for kind in kinds}
    for row in rows:
        by[row["by"]][row["value"]] = row["leads"]
    total = by["all"].get(None, 0)
    statuses = {status: by["status"].get(status, 0) for status in STATUS_LADDER}
    reached = {stage: sum(n for s, n in statuses.items() if rank(s) >= rank(stage)) for stage in STAGES}
    before = [total, *reached.values()]
    return {
        "as_of": now,
        "total": total,
        "claimed": total - by["owner"].get(None, 0),
        "positive_replies": by["positive"].get(None, 0),
        "by_status": [{"status": status, "leads": n} for status, n in statuses.items()],
        "by_source": [{"source": value, "leads": n} for value, n in by["source"].items()],
        "by_owner": [{"claimed_by": value, "leads": n} for value, n in by["owner"].items()],
        "by_week": [{"week": value, "leads": n} for value, n in sorted(by["week"].items(), reverse=True)],
        "funnel": [
            {"stage": stage, "reached": n, "of_previous": share(n, earlier)}
            for (stage, n), earlier in zip(reached.items(), before, strict=False)
        ],
        "conversion": {
            "contacted_to_replied": share(reached["replied"], reached["contacted"]),
            "replied_to_booked": share(reached["booked"], reached["replied"]),
            "closed_won": share(statuses["won"], statuses["won"] + statuses["lost"]),
            "all_won": share(statuses["won"], total),
        },
    }


def share(part: int, whole: int) -> float | None:
    """Returns a part of a whole to four digits, or None of nothing."""
    return round(part / whole, 4) if whole else None
