"""`/webhooks` and `/webhook-events` over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import TypeVar

from starlette.responses import Response

from app.sandbox.core import json_response
from app.sandbox.instantly.deliveries import Deliveries
from app.sandbox.instantly.delivery_log import Row
from app.sandbox.instantly.hooks import Hook
from app.sandbox.instantly.listing import page, page_size
from app.sandbox.instantly.payloads import SUBSCRIPTIONS
from app.sandbox.instantly.records import Json
from app.sandbox.instantly.store import Store
from app.sandbox.instantly.wire import Asked, Endpoint, Refusal, checked, flag, known, whole

T = TypeVar("T", Hook, Row)

_SETTABLE = {
    "target_hook_url": "string",
    "campaign": "uuid,null",
    "name": "string,null",
    "event_type": "string,null",
    "custom_interest_value": "number,null",
    "headers": "object,null",
}
_WORDS = {"email_link_clicked": "Link Clicked", "supersearch_enrichment_completed": "SuperSearch Enrichment Completed"}


def hook_endpoints(store: Store, deliveries: Deliveries) -> list[Endpoint]:
    """Returns the endpoints that register and watch webhooks."""
    hooks = deliveries.hooks

    def shown(hook: Hook) -> Response:
        return json_response(hook.render(omit_nulls=store.switches.omit_nulls))

    def create(asked: Asked) -> Response:
        if not store.switches.webhooks_in_plan:
            raise Refusal(402, "Workspace does not have an active paid plan")
        body = checked(asked.body, _SETTABLE, store.switches, required=("target_hook_url",))
        return shown(hooks.add(**_fitting(body)))

    def every(asked: Asked) -> Response:
        query, after = asked.query, asked.query.get("starting_after")
        found = (
            hook
            for hook in hooks.all.values()
            if (after is None or hook.id > after)
            and query.get("campaign", hook.campaign) == hook.campaign
            and query.get("event_type", hook.event_type) == hook.event_type
        )
        return _page(store, asked, found, lambda hook: hook.render(omit_nulls=store.switches.omit_nulls))

    def one(asked: Asked) -> Response:
        return shown(known(hooks.all, asked.id))

    def change(asked: Asked) -> Response:
        hook, body = known(hooks.all, asked.id), checked(asked.body, _SETTABLE, store.switches)
        if not body:
            raise Refusal(400, "body must NOT have fewer than 1 properties")
        for name, value in _fitting(body).items():
            setattr(hook, name, value)
        return shown(hook)

    def delete(asked: Asked) -> Response:
        return shown(hooks.all.pop(known(hooks.all, asked.id).id))

    def resume(asked: Asked) -> Response:
        hook = known(hooks.all, asked.id)
        hooks.resume(hook)
        return shown(hook)

    async def test(asked: Asked) -> Response:
        return json_response(await deliveries.test(known(hooks.all, asked.id)))

    def event_types(_asked: Asked) -> Response:
        standard = [
            {"id": name, "label": _WORDS.get(name, name.replace("_", " ").title()), "type": "standard"}
            for name in SUBSCRIPTIONS
        ]
        kind = store.switches.label_event_type
        own = [{"id": label.label, "label": label.label, "type": kind} for label in store.labels.values()]
        return json_response({"event_types": standard + own})

    return [
        ("POST", "/webhooks", "webhooks:create", create),
        ("GET", "/webhooks", "webhooks:read", every),
        ("GET", "/webhooks/event-types", "webhooks:read", event_types),
        ("GET", "/webhooks/{id}", "webhooks:read", one),
        ("PATCH", "/webhooks/{id}", "webhooks:update", change),
        ("DELETE", "/webhooks/{id}", "webhooks:delete", delete),
        ("POST", "/webhooks/{id}/test", "webhooks:update", test),
        ("POST", "/webhooks/{id}/resume", "webhooks:update", resume),
    ]


def log_endpoints(store: Store, deliveries: Deliveries) -> list[Endpoint]:
    """Returns the endpoints that read the delivery log."""
    log = deliveries.log

    def rows(asked: Asked) -> Response:
        query = asked.query
        search, success = query.get("search"), query.get("success")
        found = (
            row
            for row in log.between(_day(asked, "from"), _day(asked, "to"), after=query.get("starting_after"))
            if (search is None or search == row.webhook_url or search.lower() == (row.lead_email or "").lower())
            and (success is None or flag(success) == row.success)
        )
        return _page(store, asked, found, lambda row: row.render(omit_nulls=store.switches.omit_nulls))

    def one(asked: Asked) -> Response:
        return json_response(known(log.rows, asked.id).render(omit_nulls=store.switches.omit_nulls))

    def summary(asked: Asked) -> Response:
        return json_response(log.summary(_day(asked, "from"), _day(asked, "to")))

    def by_date(asked: Asked) -> Response:
        return json_response(log.by_date(_day(asked, "from"), _day(asked, "to")))

    scope = "webhook_events:read"
    return [
        ("GET", "/webhook-events", scope, rows),
        ("GET", "/webhook-events/summary", scope, summary),
        ("GET", "/webhook-events/summary-by-date", scope, by_date),
        ("GET", "/webhook-events/{id}", scope, one),
    ]


def _page(store: Store, asked: Asked, found: Iterator[T], render: Callable[[T], Json]) -> Response:
    size = page_size(whole(asked.query.get("limit")), store.switches, "querystring")
    after = asked.query.get("starting_after")
    return json_response(page(found, render, lambda row: row.id, size=size, after=after, switches=store.switches))


def _fitting(body: Json) -> Json:
    if "target_hook_url" in body and not re.match("https?://", body["target_hook_url"]):
        raise Refusal(400, 'body/target_hook_url must match pattern "^https?://"')
    if body.get("event_type") not in (None, *SUBSCRIPTIONS):
        raise Refusal(400, "body/event_type must be equal to one of the allowed values")
    for name, value in (body.get("headers") or {}).items():
        if not isinstance(value, str):
            raise Refusal(400, f"body/headers/{name} must be string")
    return body


def _day(asked: Asked, name: str) -> str | None:
    text = asked.query.get(name)
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Refusal(400, f'querystring/{name} must match format "date"') from None
