"""Instantly: the leads of a workspace's campaigns, read only.

- There is no "modified since": every listing walks all campaigns, oldest lead first.
- A filter Instantly does not know is dropped silently and the answer is the whole workspace, which may belong to
  other tenants. So every item is compared with what was asked for; an answer in which nothing fits is `Unavailable`.
- The last page carries a cursor too: a campaign ends at an empty page, a missing or a repeated cursor.
- Cells stay empty; a lead is passed on as it came (`Record.raw`) and translated by the domain.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

import httpx

from app.providers.answers import Answer, identified, parse_instant
from app.providers.base import (
    JSON,
    Clock,
    Column,
    Cursor,
    Guard,
    Limiter,
    Mode,
    Page,
    Provider,
    Record,
    Refused,
    Rejected,
    Write,
)
from app.providers.http import OnCall
from app.providers.instantly.funnel import API_URL, FULL_PAGES, PACING, PAGE_SIZE, fitting, following, instantly_funnel
from app.providers.instantly.rows import InstantlyRows

#: Characters of an e-mail address: 64 before the @, 255 after it.
LONGEST_ADDRESS: Final = 320


class Instantly(Provider):
    """One workspace, or the campaigns of it that belong to one tenant.

    Args:
        campaign_ids: the campaigns to be read; None: all of the workspace.
        pacing_seconds: the rest between two campaigns.
        on_call: called after every attempt with "read" and the status (0: no answer).
    """

    write_batch = 1
    read_batch = PAGE_SIZE

    def __init__(
        self,
        *,
        client: httpx.AsyncClient,
        api_key: str,
        campaign_ids: Sequence[str] | None,
        limiter: Limiter,
        clock: Clock,
        rng: random.Random,
        api_url: str = API_URL,
        pacing_seconds: float = PACING,
        on_call: OnCall | None = None,
    ) -> None:
        self._campaign_ids = None if campaign_ids is None else list(campaign_ids)
        self._clock = clock
        self._pacing = pacing_seconds
        #: the workspace's one way in, shared by whatever else is asked of it
        self.funnel = instantly_funnel(
            client=client, api_key=api_key, limiter=limiter, clock=clock, rng=rng, api_url=api_url, on_call=on_call
        )

    async def schema(self) -> list[Column]:
        """Checks the key; Instantly has no columns of its own."""
        await self.funnel.request("GET", "/workspaces/current", safe=True)
        return []

    async def campaigns(self) -> list[dict[str, JSON]]:
        """Returns all campaigns of the workspace as {id, name, status}."""
        found: dict[str, dict[str, JSON]] = {}
        after: str | None = None
        while True:
            params = {"limit": str(PAGE_SIZE)} | ({"starting_after": after} if after else {})
            answer = await self.funnel.request("GET", "/campaigns", params=params, safe=True, expects="items")
            for item in identified(answer.json["items"], "instantly"):
                found[item["id"]] = {"id": item["id"], "name": item.get("name"), "status": item.get("status")}
            after = following(answer, after)
            # asked for in every turn: the call that would only show an empty page is saved where no page ends here
            if after is None or len(answer.json["items"]) not in FULL_PAGES:
                return list(found.values())

    def start(self, mode: Mode, since: str | None = None) -> Cursor:
        """Returns the position before the first campaign; every mode lists everything."""
        del since
        return {"mode": mode, "campaigns": self._campaign_ids, "after": None}

    async def page(self, cursor: Cursor) -> Page:
        """Reads up to 100 leads of the first campaign that is left."""
        campaigns, after = cursor.get("campaigns"), cursor.get("after")
        if campaigns is None:
            campaigns = [campaign["id"] for campaign in await self.campaigns()]
        left = [campaign for campaign in campaigns if self._campaign_ids is None or campaign in self._campaign_ids]
        if left[:1] != campaigns[:1]:
            after = None  # the listing stood in a campaign that is no longer read here
        campaigns = left
        if not campaigns:
            return Page(records=[], next=None)
        if cursor.get("is_between"):
            await self._clock.sleep(self._pacing)
        campaign, *others = campaigns
        answer = await self._leads({"campaign": campaign}, after)
        items = fitting(answer, lambda item: item.get("campaign") == campaign)
        further: Cursor | None = None
        if (next_page := following(answer, after)) is not None:
            further = {"campaigns": campaigns, "after": next_page}
        elif others:
            further = {"campaigns": others, "after": None, "is_between": True}
        return Page(records=[_record(item) for item in items], next=further, server_time=answer.server_time)

    async def read(self, remote_ids: Sequence[str]) -> list[Record]:
        """Returns the leads that exist among `remote_ids`, in the campaigns that are read here."""
        wanted = set(remote_ids)
        if len(wanted) > self.read_batch:
            raise ValueError(f"At most {self.read_batch} leads are read in one call, not {len(wanted)}.")
        if not wanted:
            return []
        answer = await self._leads({"ids": list(dict.fromkeys(remote_ids))}, None)
        return self._own(fitting(answer, lambda item: item["id"] in wanted))

    async def find(self, column: str, values: Sequence[str]) -> list[Record]:
        """Returns the leads with one of these e-mail addresses; other columns cannot be searched."""
        if column != "email":
            raise Rejected("Instantly finds leads by their e-mail address only.", column=column)
        # whether Instantly's own comparison minds the case is not documented, so both spellings are asked for
        contacts = list(dict.fromkeys(spelling for value in values for spelling in (value, value.lower())))
        wanted = {_plain_email(value) for value in values}
        found: dict[str, Record] = {}
        for first in range(0, len(contacts), PAGE_SIZE):
            body, after = {"contacts": contacts[first : first + PAGE_SIZE]}, None
            while True:
                answer = await self._leads(body, after)
                items = fitting(answer, lambda item: _plain_email(item.get("email")) in wanted)
                found.update((record.remote_id, record) for record in self._own(items))
                after = following(answer, after)
                if after is None:
                    break
        return list(found.values())

    async def update(self, writes: Sequence[Write], guard: Guard) -> list[Record]:  # noqa: ARG002
        """Always refuses."""
        raise Refused("Instantly is read only here: leads are changed in Instantly itself.")

    async def create(self, writes: Sequence[Write], guard: Guard, merge_on: str | None = None) -> list[Record]:  # noqa: ARG002
        """Always refuses."""
        raise Refused("Instantly is read only here: leads are added in Instantly itself.")

    async def delete(self, remote_ids: Sequence[str], guard: Guard) -> None:
        """Deletes rows, one call each."""
        rows = InstantlyRows(self.funnel)
        for remote_id in remote_ids:
            await rows.remove(remote_id, guard)

    async def close(self) -> None:
        """Does nothing: the HTTP client belongs to whoever handed it in."""

    async def _leads(self, query: Mapping[str, JSON], after: str | None) -> Answer:
        body = {**query, "limit": PAGE_SIZE} | ({"starting_after": after} if after else {})
        return await self.funnel.request("POST", "/leads/list", body=body, safe=True, expects="items")

    def _own(self, items: list[dict[str, JSON]]) -> list[Record]:
        """Keeps the leads of this tenant's campaigns; a lead outside any campaign is nobody's."""
        own = self._campaign_ids
        return [_record(i) for i in items if i.get("campaign") and (own is None or i["campaign"] in own)]


def _record(item: dict[str, JSON]) -> Record:
    email = _plain_email(item.get("email"))
    is_address = 0 < len(email) <= LONGEST_ADDRESS  # a key of any length could not be looked up
    return Record(
        key=f"{item['campaign']}/{email if is_address else 'id:' + item['id']}",
        remote_id=item["id"],
        cells={},
        created_at=parse_instant(item.get("timestamp_created")),
        raw=item,
        campaign=item["campaign"],
    )


def _plain_email(value: JSON) -> str:
    return value.strip().lower() if isinstance(value, str) else ""
