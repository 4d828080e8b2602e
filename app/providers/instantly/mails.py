"""Instantly: the mails that arrived in its mailboxes, each told as the webhook of a reply would tell it.

- Twenty calls a minute for the whole workspace, and a sliding window: calls are spaced.
- `is_auto_reply` is documented and missing live; a label 0 (out of office) or the subject tells as well.
- Bounces arrive as mails too, from a mailer-daemon: they are no replies.
- A filter Instantly does not know is dropped silently, so every mail is looked at: one we sent is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from app.domain.values import JSON
from app.providers.answers import as_instant, identified, parse_instant
from app.providers.base import Resource
from app.providers.http import Funnel
from app.providers.instantly.funnel import PAGE_SIZE, following, resource
from app.providers.outreach import MailPage, MailSource

#: Seconds between two calls: 3 would be the twenty a minute, which other tools use as well; 3.1 was seen to be refused.
SPACING: Final = 3.5
RECEIVED: Final = 2
OUT_OF_OFFICE: Final = 0
_DAEMON = re.compile(r"(?i)^(mailer-daemon|postmaster)@")
_AUTOMATIC = re.compile(
    r"(?i)^\s*(re:\s*|aw:\s*|antw:\s*)*"
    r"(auto(matic|matisch|matische)?[\s-]*(reply|response|antwoord|antwort)|out of (the )?office|ooo\b|afwezig|abwesen)"
)
_STEP = re.compile(r"^\d+_(\d+)_(\d+)$")


class InstantlyMails(MailSource):
    """The mailboxes of one Instantly workspace."""

    def __init__(self, funnel: Funnel, *, api_key: str) -> None:
        self._funnel = funnel
        self._budget = Resource(f"{resource(api_key).key}:emails", 1 / SPACING)

    async def received(self, since: datetime, after: str | None) -> MailPage:
        """Returns up to a hundred mails that arrived at or after a moment, the oldest first."""
        params = {
            "email_type": "received",
            "sort_order": "asc",
            "min_timestamp_created": as_instant(since),
            "limit": str(PAGE_SIZE),
        }
        params |= {"starting_after": after} if after else {}
        answer = await self._funnel.request(
            "GET", "/emails", params=params, safe=True, expects="items", also=(self._budget,)
        )
        replies = [
            payload
            for item in identified(answer.json["items"], "instantly")
            if _has_arrived(item) and (parse_instant(item.get("timestamp_created")) or "~") >= as_instant(since)
            if (payload := _payload(item)) is not None
        ]
        # a page that is not even half full is the last one: the empty page behind it is not worth one of twenty calls
        is_last = len(answer.json["items"]) < PAGE_SIZE // 2
        at = answer.server_time
        server_time = None if at is None else datetime.fromisoformat(at)
        return MailPage(replies=replies, next=None if is_last else following(answer, after), server_time=server_time)


def _has_arrived(item: Mapping[str, JSON]) -> bool:
    return item.get("ue_type") in (RECEIVED, None) and item.get("from_address_email") != item.get("eaccount")


def _payload(item: Mapping[str, JSON]) -> dict[str, JSON] | None:
    """Returns a reply as a webhook would have brought it; steps count from 1 there, from 0 here. None for a bounce.

    A mail that belongs to no lead and no campaign is the mailbox's own affair.
    """
    sender = item.get("from_address_email")
    if (isinstance(sender, str) and _DAEMON.match(sender)) or not (item.get("lead") or item.get("campaign_id")):
        return None
    body: JSON = item.get("body")
    body = body if isinstance(body, dict) else {}
    found: dict[str, JSON] = {
        "event_type": "auto_reply_received" if _is_automatic(item) else "reply_received",
        "timestamp": item.get("timestamp_created"),
        "workspace": item.get("organization_id"),
        "campaign_id": item.get("campaign_id"),
        "campaign": item.get("campaign_id"),
        "lead_email": item.get("lead") or sender,
        "email_account": item.get("eaccount"),
        "email_id": item["id"],
        "reply_subject": item.get("subject"),
        "reply_text": body.get("text"),
        "reply_html": body.get("html"),
    }
    if (step := _STEP.match(str(item.get("step")))) is not None:
        found |= {"step": int(step[1]) + 1, "variant": int(step[2]) + 1}
    return {name: value for name, value in found.items() if value is not None}


def _is_automatic(item: Mapping[str, JSON]) -> bool:
    said = item.get("is_auto_reply")
    if said is not None:
        return bool(said)
    return item.get("i_status") == OUT_OF_OFFICE or bool(_AUTOMATIC.match(str(item.get("subject") or "")))
