"""`/campaigns/analytics` and its kin over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from app.sandbox.core import json_response
from app.sandbox.instantly.analytics import Analytics, Range
from app.sandbox.instantly.records import Json
from app.sandbox.instantly.store import Store
from app.sandbox.instantly.wire import Asked, Endpoint, Refusal, flag


def analytics_endpoints(store: Store, analytics: Analytics) -> list[Endpoint]:
    """Returns the four endpoints; none of them is paged."""

    def campaigns(asked: Asked) -> Response:
        within, rows = _range(asked), []
        for campaign_id in _wanted(store, asked, "id", "ids"):
            campaign = store.campaigns[campaign_id]
            if campaign.sent or not store.switches.silent_until_sent:
                with_leads = not flag(asked.query.get("exclude_total_leads_count"))
                rows.append(analytics.campaign(campaign, within, with_leads=with_leads))
        return json_response(rows)

    def overview(asked: Asked) -> Response:
        ids, expand = _wanted(store, asked, "id", "ids"), flag(asked.query.get("expand_crm_events"))
        return json_response(analytics.overview(ids, _range(asked), expand=expand))

    def daily(asked: Asked) -> Response:
        return json_response(analytics.daily(_wanted(store, asked, "campaign_id"), _range(asked)))

    def steps(asked: Asked) -> Response:
        rows: list[Json] = analytics.steps(
            _wanted(store, asked, "campaign_id"),
            _range(asked),
            with_opportunities=flag(asked.query.get("include_opportunities_count")),
        )
        return json_response(rows)

    scope = "campaigns:read"
    return [
        ("GET", "/campaigns/analytics", scope, campaigns),
        ("GET", "/campaigns/analytics/overview", scope, overview),
        ("GET", "/campaigns/analytics/daily", scope, daily),
        ("GET", "/campaigns/analytics/steps", scope, steps),
    ]


def _wanted(store: Store, asked: Asked, *names: str) -> list[str]:
    """Returns the campaigns a request names, or all of them; one that is not there is passed over."""
    named = {value for name in names for value in asked.query.getlist(name) if value} or store.campaigns.keys()
    status = asked.query.get("campaign_status")
    found = (store.campaigns[campaign_id] for campaign_id in sorted(named & store.campaigns.keys()))
    return [campaign.id for campaign in found if status in (None, str(campaign.status))]


def _range(asked: Asked) -> Range:
    within = Range(_instant(asked.query.get("start_date")), _instant(asked.query.get("end_date")))
    if within.start and within.end and within.start > within.end:
        message = "Start Date must be earlier than End Date"
        raise Refusal(400, message, body={"message": message})
    return within


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(400, "Invalid date", body={"message": "Invalid date"}) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
