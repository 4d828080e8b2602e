"""What a webhook payload of Instantly says: tables first, then the reading.

Payloads are flat, without an id of the event, of the lead or of the webhook. A lead's own variables are spread among
the base keys and win over them where they are called the same, so no key is trusted that does not hold what it should.
What an event makes of a lead is in `happened.py`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from app.domain import normalize
from app.domain.instantly import ICP_NAMES, observe
from app.domain.normalize import Unreadable
from app.domain.values import JSON, value


@value
class Kind:
    """What one type of event means; None where it says nothing."""

    #: its name in the activity log
    activity: str
    status: str | None = None
    delivery: str | None = None
    positive: bool | None = None
    #: why this address must not be mailed any more
    suppresses: str | None = None
    #: what somebody labelled the lead
    interest: str | None = None
    #: our mail left
    is_contact: bool = False
    #: a person wrote, or somebody judged what they wrote: worth a lead of its own
    is_answer: bool = False


def _label(interest: str, *, status: str | None = None, positive: bool | None = None, is_answer: bool = True) -> Kind:
    return Kind(activity="interest", interest=interest, status=status, positive=positive, is_answer=is_answer)


#: Every event type about a lead, with the rungs of the two ladders it proves.
KINDS: Final[Mapping[str, Kind]] = {
    "email_sent": Kind(activity="mail.sent", status="contacted", delivery="emailed", is_contact=True),
    "email_opened": Kind(activity="mail.opened", status="opened", delivery="emailed"),
    "link_clicked": Kind(activity="mail.clicked", status="clicked", delivery="emailed"),
    # subscribed under this name, delivered under the other
    "email_link_clicked": Kind(activity="mail.clicked", status="clicked", delivery="emailed"),
    "reply_received": Kind(activity="mail.replied", status="replied", delivery="replied", is_answer=True),
    "auto_reply_received": Kind(activity="mail.auto_replied", status="contacted", delivery="emailed"),
    "email_bounced": Kind(activity="mail.bounced", delivery="bounced", suppresses="bounced"),
    "lead_unsubscribed": Kind(activity="unsubscribed", suppresses="unsubscribed"),
    "lead_interested": _label("interested", status="replied", positive=True),
    "lead_meeting_booked": _label("meeting_booked", status="booked", positive=True),
    "lead_meeting_completed": _label("meeting_completed", status="booked", positive=True),
    "lead_closed": _label("won", status="won", positive=True),
    "lead_not_interested": _label("not_interested", status="not_interested", positive=False),
    "lead_wrong_person": _label("wrong_person", positive=False),
    "lead_lost": _label("lost", status="lost"),
    "lead_neutral": _label("neutral", is_answer=False),
    "lead_out_of_office": _label("out_of_office", is_answer=False),
    "lead_no_show": _label("no_show", is_answer=False),
}
#: Event types that are about no lead.
ABOUT_NO_LEAD: Final = frozenset({"campaign_completed", "account_error", "supersearch_enrichment_completed"})
#: Keys a payload has of its own; every other one is a variable of the lead.
BASE_KEYS: Final = frozenset(
    normalize.words(
        "timestamp event_type workspace campaign_id campaign_name campaign lead_email email email_account unibox_url"
        " step variant is_first email_id email_subject email_text email_html reply_text_snippet reply_subject"
        " reply_text reply_html"
    )
)
#: Activities that are a mail of the lead, and how the key of one begins whose mail is known.
REPLIES: Final = frozenset({"mail.replied", "mail.auto_replied"})
BY_MAIL: Final = "mail:"
#: Counter -> the activities it will count when the lead is read next.
COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    "email_open_count": ("mail.opened",),
    "email_click_count": ("mail.clicked",),
    "email_reply_count": ("mail.replied", "mail.auto_replied"),
}
#: Characters of a reply that the activity log keeps; the delivery keeps all of it for as long as deliveries are kept.
REPLY_LIMIT: Final = 20_000
#: An event that says it happens further ahead than this of its own arrival has no time that can be believed.
AHEAD: Final = dt.timedelta(days=1)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@value
class Event:
    """One thing that happened to a lead."""

    kind: Kind
    #: the type as it came: of a custom label its text
    type: str
    #: when it happened; None where the payload does not say
    at: str | None
    #: when it arrived, an instant
    received: str
    #: addresses it may be about, the likeliest first
    emails: tuple[str, ...]
    #: what tells it apart from every other event: the same for a repetition, however it arrives
    key: str
    #: our mailbox
    account: str | None = None
    step: int | None = None
    variant: int | None = None
    #: what the activity log shows
    detail: Mapping[str, JSON]

    @property
    def moment(self) -> str:
        """When it happened as far as anybody knows."""
        return self.at or self.received

    @property
    def order(self) -> tuple[str, str]:
        """Its place among the events of a lead; an undated one happened before every dated one."""
        return self.at or "", self.key


@value
class Unread:
    """A payload that says nothing about a lead, and why."""

    reason: str
    type: str | None = None
    #: nothing is missing: there is no lead it could be about
    is_understood: bool = False


def type_of(found: Mapping[str, JSON]) -> str | None:
    """Returns the event's type as it came."""
    return _text(found.get("event_type"), 200)


def read(found: Mapping[str, JSON], *, campaign: str | None, received: dt.datetime) -> Event | Unread:
    """Returns what a payload says happened, or why it says nothing about a lead."""
    kind_of = type_of(found)
    if kind_of is None:
        return Unread(reason="it names no event type")
    name = kind_of.lower()
    emails = _emails(found)
    if not emails:
        if name in ABOUT_NO_LEAD:
            return Unread(reason="it is about no lead", type=kind_of, is_understood=True)
        return Unread(reason="it names no lead: neither lead_email nor email is an address", type=kind_of)
    kind = KINDS.get(name) or Kind(activity="label", interest=kind_of)
    at, account = _moment(found.get("timestamp"), received), _address(found.get("email_account"))
    step, variant = _ordinal(found.get("step")), _ordinal(found.get("variant"))
    return Event(
        kind=kind,
        type=kind_of,
        at=at,
        received=normalize.instant(received.isoformat()) or "",
        emails=emails,
        key=_key(found, kind, campaign, emails[0], at, step, variant),
        account=account,
        step=step,
        variant=variant,
        detail=_detail(found, {"interest": kind.interest, "step": step, "variant": variant, "account": account}),
    )


def collisions(found: Mapping[str, JSON]) -> list[str]:
    """Returns the base keys that hold something Instantly does not put there: a variable of the lead is called so."""
    campaign, other = found.get("campaign"), found.get("campaign_id")
    address, twin = found.get("lead_email"), found.get("email")
    overwritten = {
        "campaign_id": other is not None and not (isinstance(other, str) and _UUID.fullmatch(other.lower())),
        "campaign": campaign is not None and campaign != other,
        "email": None not in (address, twin) and _address(address) != _address(twin),
        "step": found.get("step") is not None and _ordinal(found["step"]) is None,
        "variant": found.get("variant") is not None and _ordinal(found["variant"]) is None,
    }
    return [key for key, is_so in overwritten.items() if is_so]


def person(found: Mapping[str, JSON], email: str, namespace: str) -> dict[str, JSON]:
    """Returns what a payload says about the lead itself, in canonical values: for a lead nobody knows yet."""
    variables = {key: item for key, item in found.items() if key not in BASE_KEYS}
    seen = observe(
        {
            "email": email,
            "first_name": variables.get("firstName"),
            "last_name": variables.get("lastName"),
            "company_name": variables.get("companyName"),
            "website": variables.get("website"),
            "phone": variables.get("phone"),
            "personalization": variables.get("personalization"),
            "payload": variables,
        }
    )
    fields = ("email", "first_name", "last_name", "company_name", "company_website", "phone", "personalization")
    values = {name: seen[name] for name in (*fields, *ICP_NAMES) if seen.get(name) is not None}
    return values | ({"metadata": {namespace: seen["metadata"]}} if seen["metadata"] else {})


def _key(
    found: Mapping[str, JSON],
    kind: Kind,
    campaign: str | None,
    email: str,
    at: str | None,
    step: int | None,
    variant: int | None,
) -> str:
    """A reply is its mail's id, which the mailbox shows as well; anything else is what, about whom, when and which."""
    mail = found.get("email_id")
    if kind.activity in REPLIES and isinstance(mail, str) and _UUID.fullmatch(mail.lower()):
        return BY_MAIL + _digest(mail.lower())
    when = at or json.dumps(found, sort_keys=True)
    return "event:" + _digest(json.dumps([kind.activity, kind.interest, campaign, email, when, step, variant]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _detail(found: Mapping[str, JSON], read: Mapping[str, JSON]) -> dict[str, JSON]:
    shown = {
        **read,
        "is_first": found.get("is_first") if isinstance(found.get("is_first"), bool) else None,
        "subject": _text(found.get("reply_subject"), 1000) or _text(found.get("email_subject"), 1000),
        # the snippet is what is new in a reply; the text quotes the thread below it
        "text": _text(found.get("reply_text_snippet"), REPLY_LIMIT) or _text(found.get("reply_text"), REPLY_LIMIT),
    }
    return {name: item for name, item in shown.items() if item is not None}


def _emails(found: Mapping[str, JSON]) -> tuple[str, ...]:
    addresses = (_address(found.get(key)) for key in ("lead_email", "email"))
    return tuple(dict.fromkeys(address for address in addresses if address))


def _address(raw: JSON) -> str | None:
    try:
        return normalize.email(raw)
    except Unreadable:
        return None


def _text(raw: JSON, limit: int) -> str | None:
    return raw.strip()[:limit] or None if isinstance(raw, str) else None


def _ordinal(raw: JSON) -> int | None:
    try:
        number = normalize.integer(raw)
    except Unreadable:
        return None
    return number if number is not None and 0 <= number < 2**31 else None


def _moment(raw: JSON, received: dt.datetime) -> str | None:
    try:
        at = normalize.instant(raw) if isinstance(raw, str) else None
    except Unreadable:
        return None
    latest = normalize.instant((received + AHEAD).isoformat()) or ""
    return at if at is not None and at <= latest else None
