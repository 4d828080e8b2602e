"""What a clean, ordered log of webhook payloads makes of the people in it, told as plainly as it can be.

It stands beside the product and knows nothing of it: no import, no shared table. The payloads are Instantly's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LADDER = ["new", "not_interested", "contacted", "opened", "clicked", "replied", "booked", "lost", "won"]
DELIVERY = ["not_yet_emailed", "emailed", "bounced", "replied"]

#: event -> the status it proves, the delivery it proves, whether it judges a reply
MEANS: dict[str, tuple[str | None, str | None, bool | None]] = {
    "email_sent": ("contacted", "emailed", None),
    "email_opened": ("opened", "emailed", None),
    "link_clicked": ("clicked", "emailed", None),
    "reply_received": ("replied", "replied", None),
    # Instantly counts it among the replies of the lead, so its counter says so as well
    "auto_reply_received": ("replied", "replied", None),
    "email_bounced": (None, "bounced", None),
    "lead_unsubscribed": (None, None, None),
    "lead_interested": ("replied", None, True),
    "lead_meeting_booked": ("booked", None, True),
    "lead_meeting_completed": ("booked", None, True),
    "lead_closed": ("won", None, True),
    "lead_not_interested": ("not_interested", None, False),
    "lead_wrong_person": (None, None, False),
}
#: event -> what the activity log calls it; every other one is a label or an interest
LOGGED = {
    "email_sent": "mail.sent",
    "email_opened": "mail.opened",
    "link_clicked": "mail.clicked",
    "reply_received": "mail.replied",
    "auto_reply_received": "mail.auto_replied",
    "email_bounced": "mail.bounced",
    "lead_unsubscribed": "unsubscribed",
}


@dataclass
class Person:
    """One address."""

    status: str = "new"
    delivery_status: str = "not_yet_emailed"
    is_positive_reply: bool | None = None
    last_contacted_at: str | None = None
    sender_account: str | None = None
    #: the campaigns it may not be mailed in, and whether the address is dead
    unsubscribed: set[str] = field(default_factory=set)
    bounced: bool = False
    #: (kind, time to the second) -> how often
    log: Counter[tuple[str, str]] = field(default_factory=Counter)


def fold(log: Iterable[dict[str, Any]]) -> dict[str, Person]:
    """Returns everybody in a log of payloads, each event once, in the order of its time."""
    people: dict[str, Person] = {}
    for event in log:
        person = people.setdefault(event["lead_email"].lower(), Person())
        kind, at = event["event_type"], event["timestamp"]
        status, delivery, positive = MEANS.get(kind, (None, None, None))
        if status is not None and LADDER.index(status) > LADDER.index(person.status):
            person.status = status
        if delivery is not None and DELIVERY.index(delivery) > DELIVERY.index(person.delivery_status):
            person.delivery_status = delivery
        if positive is not None:
            person.is_positive_reply = positive
        if kind == "email_sent":
            person.last_contacted_at = at
        if event.get("email_account"):
            person.sender_account = event["email_account"]
        if kind == "lead_unsubscribed":
            person.unsubscribed.add(event["campaign"])
        person.bounced = person.bounced or kind == "email_bounced"
        is_label = kind not in LOGGED and not kind.startswith("lead_")
        person.log[LOGGED.get(kind, "label" if is_label else "interest"), at[:19]] += 1
    return people
