"""What a provider of mail campaigns can do beside listing records: protocols, no vendors.

Campaigns are known by the provider's own ids here; clients of the API never see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from app.providers.base import JSON, Cursor, Guard, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCampaign:
    """A campaign as it is listed. `status` is the provider's own number (None: not said)."""

    id: str
    name: str
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What a campaign did on one day (UTC), by the name of the counter; unique counts count a lead once that day."""

    day: date
    counts: Mapping[str, int]


class CampaignSource(Protocol):
    """The campaigns of one account, and what the provider counts of them."""

    async def campaigns(self) -> list[RemoteCampaign]:
        """Returns all campaigns of the account."""
        ...

    async def counts(self) -> dict[str, dict[str, int]]:
        """Returns, with one call, the counters of every campaign that the provider counts; one that never sent may be
        missing, and says nothing thereby."""
        ...

    async def overview(self, campaign_id: str, since: date | None = None, until: date | None = None) -> dict[str, int]:
        """Returns a campaign's counters from `since` to `until`, both included; by default of its whole time."""
        ...

    async def days(self, campaign_id: str, since: date, until: date) -> list[Day]:
        """Returns the days from `since` to `until`, both included, on which anything happened, the oldest first."""
        ...

    def scan(self, campaign_ids: Sequence[str]) -> Cursor:
        """Returns the position before the first record of these campaigns, which are read in this order."""
        ...

    def scanning(self, cursor: Cursor) -> str | None:
        """Returns the campaign that the next page belongs to; None where nothing is left."""
        ...

    async def rest(self) -> None:
        """Waits as long as is to lie between the statistics of two campaigns."""
        ...


class RowWriter(Protocol):
    """What may be changed of the rows by which a provider knows a lead in its campaigns.

    Both calls are writes: after anything that may have been processed they raise `Uncertain` and are not repeated.
    """

    async def remove(self, remote_id: str, guard: Guard) -> None:
        """Deletes a row, and with it everything counted there; one that is gone already is done."""
        ...

    async def label(self, email: str, campaign_id: str, interest: str | None, guard: Guard) -> None:
        """Asks for another interest (None: none), which shows in the row only later."""
        ...

    def shows(self, record: Record, interest: str | None) -> bool:
        """Tells whether a row shows an interest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A webhook of ours, registered there for every event of the account."""

    id: str
    #: False: the provider has given it up after deliveries failed, and delivers nothing until it is resumed
    is_active: bool
    #: when it was given up (the provider's time), where that is said
    failed_at: datetime | None
    #: it carries our secret
    is_right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One attempt to deliver something to us, as the provider's log has it."""

    #: when the attempt was made, where that is said
    at: datetime | None
    #: we answered 2xx
    is_success: bool
    #: the last part of the address it was sent to
    path: str
    #: what was sent; None where the log no longer has it
    payload: dict[str, JSON] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Some attempts, and the position of the next ones (None: there are no more)."""

    attempts: list[Logged]
    next: str | None


class HookSource(Protocol):
    """The webhooks of one account, and the log of what they delivered."""

    #: where deliveries are to go; None: nobody has said under which address this service can be reached
    target: str | None

    async def hooks(self) -> list[Hook]:
        """Returns the hooks that deliver every event of the account to `target`."""
        ...

    async def create(self, guard: Guard) -> None:
        """Registers such a hook."""
        ...

    async def mend(self, hook_id: str, guard: Guard) -> None:
        """Gives a hook our secret."""
        ...

    async def resume(self, hook_id: str, guard: Guard) -> None:
        """Lets a hook deliver again that was given up."""
        ...

    async def delete(self, hook_id: str, guard: Guard) -> None:
        """Removes a hook; one that is gone already is done."""
        ...

    async def delivered(self, day: date, after: str | None) -> LogPage:
        """Returns some of the attempts of a day (UTC) to deliver to us, in no certain order, with one call."""
        ...

    async def totals(self, since: date, until: date) -> dict[date, tuple[int, int]]:
        """Returns how many attempts each day had (both ends included), and how many of them failed: with one call, of
        all hooks of the account."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPage:
    """Some mails, the oldest first, and the position of the next ones (None: there are no more)."""

    #: those that are replies, each as a webhook would say it
    replies: list[dict[str, JSON]]
    next: str | None
    #: the provider's own time when it answered
    server_time: datetime | None


class MailSource(Protocol):
    """The mails that arrived in the mailboxes of one account."""

    async def received(self, since: datetime, after: str | None) -> MailPage:
        """Returns some of the mails that arrived at or after a moment, with one call."""
        ...
