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
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that happened to one lead of a campaign."""

    at: datetime
    kind: Kind
    campaign: str
    lead: str
    #: of the mail it is about, from 0; None where it is about none
    step: int | None = None
    variant: int | None = None
    #: the new interest status of `labelled`
    value: int | None = None
    #: the id of the mail that was sent or received
    mail: str | None = None
    #: the first of its kind for this lead
    is_first: bool = False
