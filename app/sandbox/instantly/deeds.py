"""What can happen in a workspace, as the numbers of a campaign and the subscribers of its webhooks hear of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal[
    "sent",
    "opened",
    "clicked",
    "replied",
    "replied_automatically",
    "bounced",
    "unsubscribed",
    "labelled",
    "completed",
    "campaign_completed",
    "account_failed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that happened to one lead of a campaign, or to the campaign itself."""

    at: datetime
    kind: Kind
    campaign: str
    #: empty where it is about no lead
    lead: str = ""
    #: of the mail it is about, from 0; None where it is about none
    step: int | None = None
    variant: int | None = None
    #: the new interest status of `labelled`
    value: int | None = None
    #: the id of the mail that was sent or received
    mail: str | None = None
    #: the sending mailbox that failed
    account: str | None = None
    #: the first of its kind for this lead
    is_first: bool = False
