"""The control endpoints through which somebody plays prospect, user or Instantly itself. The first:

    POST /_sandbox/act  {"lead": id or address, "campaign": id (optional), "do": what, ...}

A campaign, named alone, can `complete_campaign`, or `fail_account` with the `account` of a mailbox.
`do` is one of send, open, click, reply, bounce, unsubscribe, interest, delete, move, edit; the further keys are the
arguments of the store's method (`step`, `positive`, `text`, `auto`; `value` for interest; `to` for move; `fields` and
`custom_variables` for edit). An address that is in several campaigns acts in all of them unless `campaign` is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.core import json_response
from app.sandbox.instantly.analytics import Analytics
from app.sandbox.instantly.day import live_a_day
from app.sandbox.instantly.deliveries import Deliveries
from app.sandbox.instantly.records import Json, Lead
from app.sandbox.instantly.store import Refused, Store

Act = Callable[[str, Json], Lead]


def act_route(store: Store) -> Route:
    """Returns the route of the endpoint."""

    async def act(request: Request) -> Response:
        store.settle()
        asked = await request.json()
        if asked.get("do") in ("complete_campaign", "fail_account"):
            return _on_campaign(store, asked)
        rows = _rows(store, str(asked.get("lead", "")), asked.get("campaign"))
        if not rows:
            return json_response({"error": f"No lead {asked.get('lead')!r} in this workspace."}, 404)
        deeds = _deeds(store)
        deed = deeds.get(asked.get("do"))
        if deed is None:
            known = ", ".join(sorted(deeds))
            return json_response({"error": f"Nothing is called {asked.get('do')!r}; there are {known}."}, 422)
        arguments = {key: value for key, value in asked.items() if key not in ("lead", "campaign", "do")}
        try:
            done = [deed(lead.id, arguments).render() for lead in rows]
        except (Refused, TypeError, KeyError) as exc:
            return json_response({"error": str(exc)}, 422)
        return json_response({"leads": done})

    return Route("/_sandbox/act", act, methods=["POST"])


def correct_route(analytics: Analytics) -> Route:
    """Returns the route through which Instantly recounts a day.

    POST /_sandbox/correct  {"campaign": id, "date": "2026-11-02", "sent": 7, …the columns of a day}
    """

    async def correct(request: Request) -> Response:
        asked = await request.json()
        try:
            day = date.fromisoformat(asked.pop("date"))
            analytics.correct(asked.pop("campaign"), day, **asked)
        except (KeyError, TypeError, ValueError) as exc:
            return json_response({"error": str(exc)}, 422)
        return json_response({"corrected": day.isoformat()})

    return Route("/_sandbox/correct", correct, methods=["POST"])


def hooks_route(deliveries: Deliveries) -> Route:
    """Returns the route through which Instantly gives up on a webhook, takes it up again, or delivers what is due.

    POST /_sandbox/hooks  {"disable": id} | {"enable": id} | {"deliver": true}; GET shows all of them, with failures
    """

    async def hooks(request: Request) -> Response:
        made = 0
        if request.method == "POST":
            asked = await request.json()
            try:
                if "disable" in asked:
                    deliveries.hooks.disable(deliveries.hooks.all[asked["disable"]], deliveries.now())
                if "enable" in asked:
                    deliveries.hooks.resume(deliveries.hooks.all[asked["enable"]])
            except KeyError as exc:
                return json_response({"error": f"There is no webhook {exc}."}, 404)
            if asked.get("deliver"):
                made = await deliveries.deliver_due()
        shown = [hook.render() | {"failures": hook.failures} for hook in deliveries.hooks.all.values()]
        return json_response({"hooks": shown, "waiting": deliveries.waiting, "attempts": made})

    return Route("/_sandbox/hooks", hooks, methods=["GET", "POST"])


def day_route(store: Store) -> Route:
    """Returns the route that lets a day pass: the one that ends now.

    POST /_sandbox/day  {"seed": 1, "events": 100, "seconds": 86400}
    """

    async def day(request: Request) -> Response:
        store.settle()
        asked = {"seed": 1, "events": 100, "seconds": 86_400.0} | await request.json()
        try:
            start = store.now() - timedelta(seconds=asked["seconds"])
            told = live_a_day(store, start=start, **asked)
        except (TypeError, ValueError) as exc:
            return json_response({"error": str(exc)}, 422)
        return json_response({"events": dict(Counter(payload["event_type"] for payload in told))})

    return Route("/_sandbox/day", day, methods=["POST"])


def _on_campaign(store: Store, asked: Json) -> Response:
    campaign = store.campaigns.get(str(asked.get("campaign")))
    if campaign is None:
        return json_response({"error": f"No campaign {asked.get('campaign')!r} in this workspace."}, 404)
    if asked["do"] == "complete_campaign":
        store.complete_campaign(campaign.id)
    else:
        store.fail_account(campaign.id, str(asked.get("account", "max@sender.test")))
    return json_response({"campaign": campaign.render()})


def _rows(store: Store, named: str, campaign: str | None) -> list[Lead]:
    ids = [named] if named in store.leads else store.shelf.by_email.get(named.lower(), ())
    leads = [store.leads[lead_id] for lead_id in ids]
    return [lead for lead in leads if campaign in (None, lead.campaign)]


def _deeds(store: Store) -> dict[Any, Act]:
    return {
        "send": lambda lead_id, more: store.send(lead_id, **more),
        "open": lambda lead_id, more: store.open(lead_id, **more),
        "click": lambda lead_id, more: store.click(lead_id, **more),
        "reply": lambda lead_id, more: store.reply(lead_id, **more),
        "bounce": lambda lead_id, more: store.bounce(lead_id, **more),
        "unsubscribe": lambda lead_id, more: store.unsubscribe(lead_id, **more),
        "interest": lambda lead_id, more: store.set_interest(lead_id, more["value"]),
        "delete": lambda lead_id, _more: store.delete(lead_id),
        "move": lambda lead_id, more: store.move(lead_id, more["to"]),
        "edit": lambda lead_id, more: store.edit(
            lead_id, custom_variables=more.get("custom_variables"), **more.get("fields", {})
        ),
    }
