"""One Instantly workspace as imports and users see and change it: its keys, campaigns and leads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from app.sandbox.core import Sandbox
from app.sandbox.instantly.deeds import Deed, Kind
from app.sandbox.instantly.ids import Ids
from app.sandbox.instantly.records import EDITABLE, Blocked, Campaign, Json, Label, Lead, Mail, stamp
from app.sandbox.instantly.shelves import Shelf, SortedKeys
from app.sandbox.instantly.switches import Switches

Watcher = Callable[[Deed], None]


class Refused(ValueError):
    """Something the workspace does not allow; the message says what."""


class Workspace:
    """The rows of one workspace; whoever wants to know what happens to them joins `watchers`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._ids = Ids(sandbox.rng)
        self.created = sandbox.clock.now()
        self.workspace_id = self._ids.old()
        self.owner_id = self._ids.old()
        #: key -> its scopes
        self.keys: dict[str, frozenset[str]] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.leads: dict[str, Lead] = {}
        self.labels: dict[str, Label] = {}
        self.blocked: dict[str, Blocked] = {}
        self.mails: dict[str, Mail] = {}
        #: (time, id) of every mail
        self.mail_order: SortedKeys[tuple[str, str]] = SortedKeys()
        #: every lead
        self.shelf = Shelf()
        self._shelves: dict[str | None, Shelf] = {None: Shelf()}
        self.watchers: list[Watcher] = []
        #: what has happened to a lead of a campaign at least once
        self._seen: set[tuple[str, str, Kind]] = set()

    @property
    def switches(self) -> Switches:
        switches: Switches = self._sandbox.switches
        return switches

    def now(self) -> datetime:
        return self._sandbox.clock.now()

    # -- the workspace

    def add_key(self, key: str, *, scopes: Iterable[str] = ("all:all",)) -> None:
        """Lets `key` in, with these scopes (`leads:read`, `all:update` …)."""
        self.keys[key] = frozenset(scopes)

    def add_campaign(
        self,
        name: str,
        *,
        status: int = 1,
        steps: int = 3,
        email_list: Sequence[str] | None = ("max@sender.test",),
        stop_on_reply: bool = True,
        schedule: Json | None = None,
        old_id: bool = False,
        at: datetime | None = None,
    ) -> Campaign:
        """Adds a campaign; `schedule={}` and `email_list=None` are oddities seen live."""
        at = at or self.now()
        campaign = Campaign(
            id=self._ids.old() if old_id else self._ids.new(at),
            name=name,
            organization=self.workspace_id,
            timestamp_created=stamp(at),
            timestamp_updated=stamp(at),
            campaign_schedule=_office_hours(at) if schedule is None else schedule,
            email_list=None if email_list is None else list(email_list),
            steps=[self._ids.new(at) for _ in range(steps)],
            status=status,
            stop_on_reply=stop_on_reply,
        )
        self.campaigns[campaign.id] = campaign
        self._shelves[campaign.id] = Shelf()
        return campaign

    def add_label(self, text: str, interest_status_label: str = "positive") -> Label:
        """Adds a custom label; its interest status is made up here, negative for "negative"."""
        at, number = self.now(), 100 + len(self.labels)
        label = Label(
            id=self._ids.new(at),
            timestamp_created=stamp(at),
            created_by=self.owner_id,
            organization_id=self.workspace_id,
            label=text,
            interest_status_label=interest_status_label,
            interest_status=-number if interest_status_label == "negative" else number,
        )
        self.labels[label.id] = label
        return label

    def block(self, value: str) -> Blocked:
        """Puts an address or a domain on the block list; one that is there already is returned as it is."""
        known = next((entry for entry in self.blocked.values() if entry.bl_value.lower() == value.lower()), None)
        if known is not None:
            return known
        at = self.now()
        entry = Blocked(
            id=self._ids.new(at), timestamp_created=stamp(at), organization_id=self.workspace_id, bl_value=value
        )
        self.blocked[entry.id] = entry
        return entry

    def is_blocked(self, email: str | None) -> bool:
        """Tells whether an address, or its domain, is on the block list."""
        address = (email or "").lower()
        wanted = {address, address.rpartition("@")[2]}
        return any(entry.bl_value.lower() in wanted for entry in self.blocked.values())

    def shelf_of(self, campaign_id: str | None) -> Shelf:
        """Returns the leads of a campaign (None: of no campaign); an unknown one has none."""
        return self._shelves.get(campaign_id) or Shelf()

    def find(self, campaign_id: str | None, email: str) -> Lead | None:
        """Returns the lead with this address in this campaign."""
        rows = self.shelf_of(campaign_id).by_email.get(email.lower())
        return self.leads[rows[0]] if rows else None

    # -- leads, as imports and users change them

    def add_lead(
        self,
        campaign_id: str | None,
        *,
        email: str | None = None,
        payload: Json | None = None,
        upload_method: str = "manual",
        verification_status: int | None = None,
        esp_code: int | None = None,
        old_id: bool = False,
        at: datetime | None = None,
        **given: Any,
    ) -> Lead:
        """Adds a lead; `payload` are its custom variables, `given` any of the editable fields.

        Raises `Refused` for an address the campaign already has, and when the plan is full.
        """
        if campaign_id is not None and campaign_id not in self.campaigns:
            raise Refused("Campaign not found")
        if email is not None and self.find(campaign_id, email) is not None:
            raise Refused("Lead already exists in this campaign")
        limit = self.switches.lead_limit
        if limit is not None and len(self.leads) >= limit:
            raise Refused("Lead limit reached. Remaining uploads: 0")
        _refuse_unknown(given)
        at = at or self.now()
        lead = Lead(
            id=self._ids.old() if old_id or not self.switches.ordered_ids else self._ids.new(at),
            timestamp_created=stamp(at),
            timestamp_updated=stamp(at),
            organization=self.workspace_id,
            campaign=campaign_id,
            email=email,
            company_domain=_domain(given.get("website"), email),
            upload_method=upload_method,
            verification_status=verification_status,
            esp_code=esp_code,
            custom=dict(payload or {}),
            **given,
        )
        self._place(lead)
        return lead

    def edit(self, lead_id: str, *, custom_variables: Json | None = None, **changes: Any) -> Lead:
        """Changes fields as a user or PATCH does; None clears, custom variables replace or merge as switched."""
        _refuse_unknown(changes)
        lead, now = self.leads[lead_id], stamp(self.now())
        for name, value in changes.items():
            setattr(lead, name, value)
        if "lt_interest_status" in changes:
            lead.timestamp_last_interest_change = now
            self.tell("labelled", lead, self.now(), value=lead.lt_interest_status)
        if "website" in changes:
            lead.company_domain = _domain(lead.website, lead.email)
        if custom_variables is not None:
            lead.custom = custom_variables if self.switches.patch_replaces_custom else lead.custom | custom_variables
            self._declare_variables(lead)
        if self.switches.edit_bumps_updated:
            lead.timestamp_updated = now
        return lead

    def delete(self, lead_id: str) -> Lead:
        """Removes the row; adding the address again makes a new id."""
        lead = self.leads.pop(lead_id)
        self.shelf.take(lead_id, lead.email)
        self._shelves[lead.campaign].take(lead_id, lead.email)
        return lead

    def move(self, lead_id: str, campaign_id: str) -> Lead:
        """Puts the row into another campaign under the same id."""
        lead = self.leads[lead_id]
        if campaign_id not in self.campaigns:
            raise Refused("Campaign not found")
        if lead.email is not None and self.find(campaign_id, lead.email) is not None:
            raise Refused("Lead already exists in this campaign")
        self.delete(lead_id)
        lead.campaign = campaign_id
        self._place(lead)
        return lead

    def copy(self, lead: Lead, campaign_id: str) -> Lead:
        """Adds the same person to another campaign, as a new row without engagement."""
        given = {name: getattr(lead, name) for name in EDITABLE}
        return self.add_lead(campaign_id, email=lead.email, payload=lead.custom, **given)

    # -- parts

    def tell(self, kind: Kind, lead: Lead, at: datetime, *, value: int | None = None, mail: str | None = None) -> None:
        """Says what happened to a lead; one outside any campaign is of no interest."""
        if lead.campaign is None:
            return
        seen = (lead.campaign, lead.id, kind)
        is_first = seen not in self._seen
        self._seen.add(seen)
        deed = Deed(
            at=at,
            kind=kind,
            campaign=lead.campaign,
            lead=lead.id,
            step=lead.sent_step,
            variant=lead.sent_variant,
            value=value,
            mail=mail,
            is_first=is_first,
        )
        self.spread(deed)

    def spread(self, deed: Deed) -> None:
        """Lets the watchers know."""
        for watch in self.watchers:
            watch(deed)

    def _place(self, lead: Lead) -> None:
        self.leads[lead.id] = lead
        self.shelf.put(lead.id, lead.email)
        self._shelves[lead.campaign].put(lead.id, lead.email)
        self._declare_variables(lead)

    def _declare_variables(self, lead: Lead) -> None:
        if lead.campaign is not None:
            self.campaigns[lead.campaign].custom_variables.update(dict.fromkeys(lead.custom, True))


def _refuse_unknown(given: Json) -> None:
    if unknown := sorted(given.keys() - set(EDITABLE)):
        raise Refused(f"A lead has no editable field {unknown[0]!r}")


def _domain(website: str | None, email: str | None) -> str:
    host = (website or "").lower().removeprefix("https://").removeprefix("http://").removeprefix("www.").split("/")[0]
    return host or (email or "").lower().rpartition("@")[2]


def _office_hours(start: datetime) -> Json:
    timing = {"from": "09:00", "to": "17:00"}
    days = {"1": True, "2": True, "3": True, "4": True, "5": True}
    # the time of Amsterdam under a name of Instantly's closed list, which Amsterdam is not on
    schedule = {"name": "Office hours", "timing": timing, "days": days, "timezone": "Europe/Belgrade"}
    return {"start_date": start.date().isoformat(), "end_date": None, "schedules": [schedule]}
