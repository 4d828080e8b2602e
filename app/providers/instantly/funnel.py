"""Instantly's one way in: the budget of a workspace, what its refusals mean, how its lists end.

Everything that speaks to Instantly (leads, campaigns, webhooks, mails) goes through a funnel made here.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Final

import httpx
import structlog

from app.providers.answers import Answer, Failure, identified
from app.providers.base import JSON, Clock, CursorExpired, Limiter, ProviderError, Refused, Resource, Unavailable
from app.providers.http import Funnel, OnCall

API_URL: Final = "https://api.instantly.ai"
#: Instantly allows 100 a second and 6,000 a minute to the whole workspace, which other tools use as well.
WORKSPACE_RATE: Final = 30.0
#: seconds between two campaigns, where a connection says nothing else
PACING: Final = 0.5
#: seconds nobody is served after a 429
PENALTY: Final = 5.0
#: a larger limit is answered with an empty page
PAGE_SIZE: Final = 100
#: a page with more to come holds as many as were asked for, or 10 where Instantly overlooked the limit
FULL_PAGES: Final = (PAGE_SIZE, 10)
#: the scope a call needs, by the beginning of its path
SCOPES: Final = {
    "/leads/list": "leads:read",
    "/leads/update": "leads:update",
    # the only other call about leads takes one out
    "/leads/": "leads:delete",
    "/campaigns": "campaigns:read",
    "/workspaces": "workspaces:read",
    "/webhooks": "webhooks:all",
    "/webhook-events": "webhook_events:read",
    "/emails": "emails:read",
}

log = structlog.get_logger()


def instantly_funnel(
    *,
    client: httpx.AsyncClient,
    api_key: str,
    limiter: Limiter,
    clock: Clock,
    rng: random.Random,
    api_url: str = API_URL,
    on_call: OnCall | None = None,
) -> Funnel:
    """Returns the way to the Instantly workspace of a key.

    Args:
        on_call: called after every attempt with "read" or "write" and the status (0: no answer).
    """
    return Funnel(
        client,
        name="Instantly",
        base_url=f"{api_url.rstrip('/')}/api/v2",
        headers={"Authorization": f"Bearer {api_key}"},
        resources=(resource(api_key),),
        limiter=limiter,
        clock=clock,
        rng=rng,
        secrets=(api_key,),
        explain=explain,
        penalty=PENALTY,
        on_call=on_call,
    )


def resource(api_key: str) -> Resource:
    """Returns what a call uses up."""
    digest = hashlib.sha256(api_key.encode()).hexdigest()[:12]
    return Resource(f"instantly:workspace:{digest}", WORKSPACE_RATE)


def explain(failure: Failure) -> ProviderError | None:
    """Returns what a refusal means, or None where the status code says enough."""
    said = f"(Instantly, {failure.status}: {failure.message})"
    match failure.status:
        case 401:
            return Refused(
                f"Instantly does not know this key: create an API v2 key and store it in the account. {said}"
            )
        case 402:
            return Refused(f"The Instantly plan of this workspace does not allow this: check its subscription. {said}")
        case 403 if not failure.is_json:
            return Refused(
                "The network edge in front of Instantly refuses the call, not the key: check the outgoing address and "
                f"any proxy. {said}"
            )
        case 403:
            scope = next((s for path, s in SCOPES.items() if failure.path.startswith(path)), "all:read")
            return Refused(f"This Instantly key may not do this: give it the scope {scope}. {said}")
        case 400 if "starting_after" in failure.message:
            return CursorExpired(f"Instantly has forgotten the list position; the listing starts again. {said}")
    return None


def following(answer: Answer, sent: str | None) -> str | None:
    """Returns the next page's cursor; the last page has one too, so an empty page or the same cursor again ends it."""
    cursor = answer.json.get("next_starting_after")
    return str(cursor) if answer.json["items"] and cursor and cursor != sent else None


def fitting(answer: Answer, is_asked_for: Callable[[dict[str, JSON]], bool]) -> list[dict[str, JSON]]:
    """Returns the items that were asked for; a filter Instantly does not know is dropped silently by it."""
    items = identified(answer.json["items"], "instantly")
    found = [item for item in items if is_asked_for(item)]
    if items and not found:
        raise Unavailable("Instantly answered with something that was not asked for; nothing of it is taken over.")
    if len(found) < len(items):
        log.warning("provider.records_foreign", provider="instantly", count=len(items) - len(found))
    return found
