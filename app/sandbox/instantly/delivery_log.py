"""The delivery log, `/webhook-events`: the only way to learn of missed deliveries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.sandbox.instantly.ids import Ids
from app.sandbox.instantly.records import Json, stamp
from app.sandbox.instantly.store import Store


@dataclass(slots=True, kw_only=True)
class Row:
    """One attempt, or one delivery with all its attempts where it is switched so."""

    id: str
    timestamp_created: str
    timestamp_created_date: str
    organization_id: str
    success: bool
    retry_count: int
    will_retry: bool
    webhook_url: str
    payload: Json
    status_code: int | None = None
    error_message: str | None = None
    timestamp_next_retry: str | None = None
    retry_group_id: str | None = None
    retry_successful: bool | None = None
    lead_email: str | None = None
    response_time_ms: int | None = None

    def render(self, *, omit_nulls: bool = True) -> Json:
        """Returns the row as REST shows it."""
        shown = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in shown.items() if value is not None or not omit_nulls}


class DeliveryLog:
    """Rows in the order they were written, which is that of their ids and times."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids
        self.rows: dict[str, Row] = {}
        self._order: list[str] = []
        self._dates: list[str] = []
        self._latest = store.now()

    def write(self, at: datetime, *, webhook_url: str, payload: Json, retry_count: int) -> Row:
        """Adds a row of a failure nobody retries; the caller says what else is true."""
        at = self._latest = max(at, self._latest)  # a clock that is set back must not disturb the order
        moment, email = stamp(at), payload.get("lead_email")
        row = Row(
            id=self._ids.new(at),
            timestamp_created=moment,
            timestamp_created_date=moment[:10],
            organization_id=self._store.workspace_id,
            success=False,
            retry_count=retry_count,
            will_retry=False,
            webhook_url=webhook_url,
            payload=payload,
            lead_email=email if isinstance(email, str) else None,
        )
        self.rows[row.id] = row
        self._order.append(row.id)
        self._dates.append(row.timestamp_created_date)
        return row

    def between(self, start: str | None, end: str | None, *, after: str | None = None) -> Iterator[Row]:
        """Yields the rows of these days, both included, from a cursor on, in the order that is switched."""
        low, high = self._bounds(start, end)
        descending = self._store.switches.log_order == "desc"
        if after is not None:
            place = bisect_left(self._order, after)
            found = place < len(self._order) and self._order[place] == after
            if not found:
                return
            low, high = (low, min(high, place)) if descending else (max(low, place + 1), high)
        numbers: Iterable[int] = range(high - 1, low - 1, -1) if descending else range(low, high)
        for number in numbers:
            yield self.rows[self._order[number]]

    def summary(self, start: str | None, end: str | None) -> Json:
        """Returns `GET /webhook-events/summary`; rates are percentages."""
        total, good = self._counts(self.between(start, end))
        rate = round(100 * good / total, 2) if total else 0
        return {
            "total_events": total,
            "successful_events": good,
            "failed_events": total - good,
            "success_rate": rate,
            "failure_rate": round(100 - rate, 2) if total else 0,
        }

    def by_date(self, start: str | None, end: str | None) -> Json:
        """Returns `GET /webhook-events/summary-by-date`."""
        low, high = self._bounds(start, end)
        items = []
        for day in sorted(set(self._dates[low:high])):
            counted = self.summary(day, day)
            del counted["failure_rate"]
            items.append({"date": day, **counted})
        return {"items": items}

    @staticmethod
    def _counts(rows: Iterable[Row]) -> tuple[int, int]:
        outcomes = [row.success for row in rows]
        return len(outcomes), sum(outcomes)

    def _bounds(self, start: str | None, end: str | None) -> tuple[int, int]:
        kept = self._store.switches.log_retention_days
        if kept is not None:
            oldest = (self._store.now() - timedelta(days=kept)).date().isoformat()
            start = max(start or oldest, oldest)
        low = bisect_left(self._dates, start) if start else 0
        return low, bisect_right(self._dates, end) if end else len(self._dates)
