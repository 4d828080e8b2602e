"""Instantly: its webhooks, and the log of what they delivered.

- A hook has one event type or `all_events`, which alone brings custom labels and automatic replies.
- Nothing is signed: a hook is known by a secret in a header of ours.
- After some failed deliveries Instantly sets a hook to status -1, and nothing comes until it is resumed.
- The log has a row per attempt, so several rows may carry one payload; rows of other people's hooks are in it too.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

from app.domain.values import JSON
from app.providers.answers import identified, parse_instant, parse_json
from app.providers.base import Guard, Rejected
from app.providers.http import Funnel
from app.providers.instantly.funnel import PAGE_SIZE, following
from app.providers.outreach import Hook, HookSource, Logged, LogPage

#: Below the address of this service: where Instantly delivers, and what comes before the campaign there.
RECEIVER: Final = "/api/webhooks/instantly/"
#: Where a hook of the whole workspace delivers.
EVERYTHING: Final = "all"
HEADER: Final = "X-Webhook-Secret"
DISABLED: Final = -1
_OURS = re.compile(re.escape(RECEIVER) + r"([^/?#]+)(?:[?#].*)?$")


class InstantlyHooks(HookSource):
    """The hooks of one Instantly workspace.

    Args:
        public_url: where this service can be reached from outside; None: no hook can be made.
        secret: what a delivery proves itself with.
    """

    def __init__(self, funnel: Funnel, *, public_url: str | None, secret: str | None) -> None:
        self._funnel = funnel
        self._secret = secret or ""
        funnel.conceal(self._secret)
        self.target = f"{public_url.rstrip('/')}{RECEIVER}{EVERYTHING}" if public_url and secret else None

    async def hooks(self) -> list[Hook]:
        """Returns the hooks that deliver every event to us, the oldest first."""
        found: dict[str, tuple[str, Hook]] = {}
        after: str | None = None
        while True:
            params = {"limit": str(PAGE_SIZE)} | ({"starting_after": after} if after else {})
            answer = await self._funnel.request("GET", "/webhooks", params=params, safe=True, expects="items")
            for item in identified(answer.json["items"], "instantly"):
                if self._is_ours(item):
                    created = parse_instant(item.get("timestamp_created")) or ""
                    found[item["id"]] = (created, self._hook(item))
            after = following(answer, after)
            if after is None:
                return [hook for _, hook in sorted(found.values(), key=lambda one: (one[0], one[1].id))]

    async def create(self, guard: Guard) -> None:
        """Registers a hook for every event of the whole workspace."""
        body = {"target_hook_url": self.target, "event_type": "all_events", "name": "Leadkeeper", **self._headers()}
        await self._funnel.request("POST", "/webhooks", body=body, safe=False, guard=guard)

    async def mend(self, hook_id: str, guard: Guard) -> None:
        """Gives a hook our secret."""
        await self._funnel.request("PATCH", f"/webhooks/{hook_id}", body=self._headers(), safe=False, guard=guard)

    async def resume(self, hook_id: str, guard: Guard) -> None:
        """Lets a hook deliver again."""
        await self._funnel.request("POST", f"/webhooks/{hook_id}/resume", safe=False, guard=guard)

    async def delete(self, hook_id: str, guard: Guard) -> None:
        """Removes a hook."""
        try:
            await self._funnel.request("DELETE", f"/webhooks/{hook_id}", safe=False, guard=guard)
        except Rejected as exc:
            if exc.details.get("status") != 404:
                raise

    async def delivered(self, day: date, after: str | None) -> LogPage:
        """Returns up to a hundred rows of the log of one day; both ends of the range are included."""
        params = {"from": day.isoformat(), "to": day.isoformat(), "limit": str(PAGE_SIZE)}
        params |= {"starting_after": after} if after else {}
        answer = await self._funnel.request("GET", "/webhook-events", params=params, safe=True, expects="items")
        rows = [row for row in answer.json["items"] if isinstance(row, dict)]
        attempts = [_attempt(row, path) for row in rows if (path := _path(row)) and _day(row) in (day, None)]
        return LogPage(attempts=attempts, next=following(answer, after))

    async def totals(self, since: date, until: date) -> dict[date, tuple[int, int]]:
        """Returns the attempts and the failed ones of every day that has any."""
        params = {"from": since.isoformat(), "to": until.isoformat()}
        path = "/webhook-events/summary-by-date"
        answer = await self._funnel.request("GET", path, params=params, safe=True, expects="items")
        found: dict[date, tuple[int, int]] = {}
        for item in answer.json["items"]:
            day = _date(item.get("date")) if isinstance(item, dict) else None
            if day is not None:
                found[day] = (_count(item.get("total_events")), _count(item.get("failed_events")))
        return found

    def _is_ours(self, item: dict[str, JSON]) -> bool:
        is_everything = item.get("event_type") == "all_events" and not item.get("campaign")
        return is_everything and item.get("target_hook_url") == self.target

    def _hook(self, item: dict[str, JSON]) -> Hook:
        headers = item.get("headers")
        failed_at = parse_instant(item.get("timestamp_error"))
        return Hook(
            id=item["id"],
            is_active=item.get("status") != DISABLED,
            failed_at=None if failed_at is None else datetime.fromisoformat(failed_at),
            is_right=isinstance(headers, dict) and headers.get(HEADER) == self._secret,
        )

    def _headers(self) -> dict[str, JSON]:
        return {"headers": {HEADER: self._secret}}


def _path(row: dict[str, JSON]) -> str | None:
    found = _OURS.search(row["webhook_url"]) if isinstance(row.get("webhook_url"), str) else None
    return found[1] if found else None


def _attempt(row: dict[str, JSON], path: str) -> Logged:
    at, payload = parse_instant(row.get("timestamp_created")), row.get("payload")
    if isinstance(payload, str):
        payload = parse_json(payload.encode())
    return Logged(
        at=None if at is None else datetime.fromisoformat(at),
        is_success=row.get("success") is True,
        path=path,
        payload=payload if isinstance(payload, dict) and payload else None,
    )


def _day(row: dict[str, JSON]) -> date | None:
    return _date(row.get("timestamp_created_date")) or _date(row.get("timestamp_created"))


def _date(value: JSON) -> date | None:
    try:
        return date.fromisoformat(value[:10])
    except (TypeError, ValueError):
        return None


def _count(value: JSON) -> int:
    return value if isinstance(value, int) else 0
