"""Deliveries as Instantly makes them: at least once, in no promised order, given up after failures.

A deed becomes one delivery per webhook that hears of it. It waits until the sandbox's clock has reached its time and
somebody awaits `deliver_due()`: the background task of `delivering`, or a simulation that owns time and transport.
All randomness comes from one seeded generator, so the same seed and the same answers give the same log.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import orjson

from app.sandbox.core import Sandbox
from app.sandbox.instantly.deeds import Deed
from app.sandbox.instantly.delivery_log import DeliveryLog, Row
from app.sandbox.instantly.hooks import Hook, Hooks
from app.sandbox.instantly.ids import Ids
from app.sandbox.instantly.payloads import event_type, payload, told_at, trial
from app.sandbox.instantly.records import Json, stamp
from app.sandbox.instantly.store import Store

#: seconds between two looks of the background task at its clock
_TICK = 0.02
#: what the webhook's own headers may replace; the real User-Agent is unknown
_HEADERS = {"content-type": "application/json", "user-agent": "Instantly"}


class Sender(Protocol):
    """Posts a body and returns the status of the answer; raises `TimeoutError` or another `OSError` without one."""

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int: ...


async def nobody(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
    """Reaches nobody; stands in until a sender is handed in."""
    raise ConnectionRefusedError("Connection refused")


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook."""

    hook: Hook
    payload: Json
    #: attempts that have failed
    failed: int = 0
    #: the rows of the log that tell of it
    rows: list[Row]
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended; no status where nobody answered."""

    status: int | None
    error: str | None
    milliseconds: int

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Deliveries:
    """Everything that is on its way, and what became of the rest."""

    def __init__(self, sandbox: Sandbox, store: Store, sender: Sender | None = None) -> None:
        self._store = store
        self._rng = random.Random(sandbox.seed + 2)
        ids = Ids(random.Random(sandbox.seed + 3))
        self._ids = ids
        self.hooks = Hooks(store, ids)
        self.log = DeliveryLog(store, ids)
        self.sender: Sender = sender or nobody
        self._waiting: list[tuple[datetime, int, Delivery]] = []
        self._queued = 0
        store.watchers.append(self._hear)

    def now(self) -> datetime:
        return self._store.now()

    @property
    def waiting(self) -> int:
        """How many deliveries are on their way."""
        return len(self._waiting)

    def next_due(self) -> datetime | None:
        """Returns when `deliver_due` will have something to do."""
        return self._waiting[0][0] if self._waiting else None

    async def deliver_due(self) -> int:
        """Posts everything that is due by now, in order; returns how many attempts that were."""
        attempts = 0
        self._store.settle()
        while batch := self._take():
            outcomes = await asyncio.gather(*(self._attempt(delivery) for delivery in batch))
            for delivery, outcome in zip(batch, outcomes, strict=True):
                self._settle(delivery, outcome)
            attempts += len(batch)
        return attempts

    async def test(self, hook: Hook) -> Json:
        """Posts a test payload at once and says how it went."""
        event = hook.event_type if hook.event_type not in (None, "all_events") else "email_sent"
        told = trial(str(event), self._store.now(), self._store.workspace_id)
        outcome = await self._attempt(Delivery(hook=hook, payload=told, rows=[]))
        shown: Json = {
            "success": outcome.is_success,
            "message": "Webhook test successful" if outcome.is_success else "Webhook test failed",
            "response_time_ms": outcome.milliseconds,
            "status_code": outcome.status,
            "error": None if outcome.is_success else outcome.error,
        }
        return {name: value for name, value in shown.items() if value is not None}

    # -- parts

    def _hear(self, deed: Deed) -> None:
        event = event_type(deed, self._store) if self.hooks.all else None
        if event is None:
            return
        told: Json | None = None
        for hook in self.hooks.hearing(event, deed):
            told = told or payload(event, deed, self._store)
            self._queue(Delivery(hook=hook, payload=told, rows=[]), told_at(deed, self._store))

    def _queue(self, delivery: Delivery, at: datetime) -> None:
        switches, rng = self._store.switches, self._rng
        if delivery.hook.status == -1:
            self._pass_over(delivery)
            return
        due = max(at, self._store.now()) + timedelta(seconds=switches.delivery_delay)
        self._push(delivery, due + timedelta(seconds=rng.random() * switches.delivery_jitter))
        if rng.random() < switches.duplicate_rate:
            again = Delivery(hook=delivery.hook, payload=delivery.payload, rows=[])
            self._push(again, due + timedelta(seconds=rng.random() * (switches.delivery_jitter or 1)))

    def _push(self, delivery: Delivery, due: datetime) -> None:
        self._queued += 1
        heapq.heappush(self._waiting, (due, self._queued, delivery))

    def _take(self) -> list[Delivery]:
        batch: list[Delivery] = []
        now = self._store.now()
        while self._waiting and self._waiting[0][0] <= now and len(batch) < self._store.switches.delivery_concurrency:
            _, _, delivery = heapq.heappop(self._waiting)
            if delivery.hook.id not in self.hooks.all:
                continue
            if delivery.hook.status == -1:
                self._pass_over(delivery)
            else:
                batch.append(delivery)
        return batch

    def _pass_over(self, delivery: Delivery) -> None:
        """Tells the log, or nobody, of an event for a webhook that is disabled."""
        for row in delivery.rows[-1:]:
            row.will_retry, row.timestamp_next_retry = False, None
        if not delivery.rows and self._store.switches.log_while_disabled:
            row = self._row(delivery)
            row.error_message = "Webhook is disabled"

    async def _attempt(self, delivery: Delivery) -> Outcome:
        hook, started = delivery.hook, self._store.now()
        own = hook.headers or {}
        taken = {name.lower() for name in own}
        headers = {name: value for name, value in _HEADERS.items() if name not in taken} | own
        body = orjson.dumps(delivery.payload)
        status, error = None, None
        try:
            status = await self.sender(hook.target_hook_url, headers, body, self._store.switches.delivery_timeout)
            error = None if 200 <= status < 300 else f"Request failed with status code {status}"
        except TimeoutError:
            error = "Connection timeout"
        except OSError as exc:
            error = str(exc) or type(exc).__name__
        return Outcome(status, error, int((self._store.now() - started).total_seconds() * 1000))

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        switches, hook = self._store.switches, delivery.hook
        is_retry = delivery.failed > 0
        row = delivery.rows[-1] if delivery.rows and switches.log_rows == "delivery" else self._row(delivery)
        row.retry_count, row.success = delivery.failed, outcome.is_success
        row.status_code, row.error_message = outcome.status, outcome.error
        row.response_time_ms, row.will_retry, row.timestamp_next_retry = outcome.milliseconds, False, None
        if is_retry:
            for told in delivery.rows if switches.retry_marks_group else [row]:
                told.retry_successful = outcome.is_success
        if outcome.is_success:
            hook.failures = 0
            return
        delivery.failed += 1
        counts = outcome.status is None or outcome.status >= (300 if switches.refusals_fail else 500)
        is_last = not counts or delivery.failed > switches.delivery_retries
        if counts and (is_last or switches.disable_counts == "attempts"):
            self._count_failure(hook)
        if not is_last:
            self._retry_later(delivery, row)

    def _retry_later(self, delivery: Delivery, row: Row) -> None:
        waits, now = self._store.switches.retry_waits, self._store.now()
        due = now + timedelta(seconds=waits[min(delivery.failed, len(waits)) - 1])
        delivery.group = delivery.group or self._ids.new(now)
        row.retry_group_id, row.will_retry, row.timestamp_next_retry = delivery.group, True, stamp(due)
        self._push(delivery, due)

    def _count_failure(self, hook: Hook) -> None:
        hook.failures += 1
        limit = self._store.switches.disable_after
        if limit is not None and hook.failures >= limit and hook.status == 1:
            self.hooks.disable(hook, self._store.now())

    def _row(self, delivery: Delivery) -> Row:
        row = self.log.write(
            self._store.now(),
            webhook_url=delivery.hook.target_hook_url,
            payload=delivery.payload,
            retry_count=delivery.failed,
        )
        row.retry_group_id = delivery.group
        delivery.rows.append(row)
        return row


@contextlib.asynccontextmanager
async def delivering(deliveries: Deliveries) -> AsyncIterator[None]:
    """Delivers in the background for as long as the block runs."""

    async def run() -> None:
        while True:
            await deliveries.deliver_due()
            await asyncio.sleep(_TICK)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
