"""The state of the sandbox Instantly, and what prospects, users and time do to it.

Engagement follows section 7 of the fact sheet: a send moves the last step, opens and clicks move counters, a reply ends
the sequence where the campaign says so, a bounce ends in -1 and an unsubscribe in -2 for that campaign only.
What Instantly does later (202 answers, move jobs) waits in the agenda and happens when the clock has passed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.sandbox.core import Sandbox
from app.sandbox.instantly.agenda import Agenda
from app.sandbox.instantly.ids import Ids
from app.sandbox.instantly.records import EDITABLE, Campaign, Job, Json, Lead, Mail, stamp
from app.sandbox.instantly.shelves import Shelf, SortedKeys
from app.sandbox.instantly.switches import Switches

_REPLIES = {
    True: "Yes please, send me more. Thursday works.\n\n",
    False: "Not interested, please take me off your list.\n\n",
    None: "Who is this?\n\n",
}


class Refused(ValueError):
    """Something the workspace does not allow; the message says what."""


class Store:
    """One Instantly workspace."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._ids = Ids(sandbox.rng)
        self._agenda = Agenda(sandbox.clock)
        self.created = sandbox.clock.now()
        self.workspace_id = self._ids.old()
        self.owner_id = self._ids.old()
        #: key -> its scopes
        self.keys: dict[str, frozenset[str]] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.leads: dict[str, Lead] = {}
        self.jobs: dict[str, Job] = {}
        self.mails: dict[str, Mail] = {}
        #: (time, id) of every mail
        self.mail_order: SortedKeys[tuple[str, str]] = SortedKeys()
        #: every lead
        self.shelf = Shelf()
        self._shelves: dict[str | None, Shelf] = {None: Shelf()}

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
            id=self._ids.old() if old_id else self._ids.new(at),
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

    # -- leads, as sending and prospects change them

    def send(self, lead_id: str, *, step: int = 0, variant: int = 0, at: datetime | None = None) -> Lead:
        """Sends step `step` (from 0); the last step of the sequence completes the lead."""
        lead = self.leads[lead_id]
        campaign = self.campaigns.get(lead.campaign or "")
        at, moment = self._engage(lead, at)
        lead.sent_step, lead.sent_variant = step, variant
        lead.timestamp_last_contact = lead.timestamp_last_touch = lead.last_step_timestamp_executed = moment
        lead.last_contacted_from, lead.last_step_from = "email", "campaign"
        if campaign is not None:
            campaign.sent += 1
            lead.last_step_id = campaign.steps[step] if step < len(campaign.steps) else None
            if step == len(campaign.steps) - 1 and lead.status == 1:
                lead.status = 3
        if not self.switches.empty_status_summary:
            executed = {"from": "campaign", "stepID": lead.last_step_id, "timestamp_executed": moment}
            lead.status_summary = {"lastStep": executed}
        lead.thread_id = lead.thread_id or self._ids.new(at)
        self._mail(lead, at, ue_type=1, text=f"Hi {lead.first_name or 'there'}, a question.")
        return lead

    def open(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Counts an open of the mail sent last."""
        lead = self.leads[lead_id]
        lead.timestamp_last_open = self._engage(lead, at)[1]
        lead.email_open_count += 1
        lead.email_opened_step, lead.email_opened_variant = lead.sent_step, lead.sent_variant
        return lead

    def click(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Counts a click in the mail sent last."""
        lead = self.leads[lead_id]
        lead.timestamp_last_click = self._engage(lead, at)[1]
        lead.email_click_count += 1
        lead.email_clicked_step, lead.email_clicked_variant = lead.sent_step, lead.sent_variant
        return lead

    def reply(
        self,
        lead_id: str,
        *,
        positive: bool | None = None,
        text: str | None = None,
        auto: bool = False,
        at: datetime | None = None,
    ) -> Lead:
        """Counts a reply; `positive` is the label the AI gives it at once (None: it gives none)."""
        lead = self.leads[lead_id]
        at, lead.timestamp_last_reply = self._engage(lead, at)
        lead.email_reply_count += 1
        lead.email_replied_step, lead.email_replied_variant = lead.sent_step, lead.sent_variant
        campaign = self.campaigns.get(lead.campaign or "")
        if campaign is not None and campaign.stop_on_reply and not auto and lead.status in (1, 2):
            lead.status = 3
        self._mail(lead, at, ue_type=2, text=_REPLIES[positive] if text is None else text, auto=auto)
        if auto or positive is not None:
            self.set_interest(lead_id, 0 if auto else 1 if positive else -1, at=at)
        return lead

    def bounce(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Ends the lead with -1."""
        lead = self.leads[lead_id]
        at, _ = self._engage(lead, at)
        lead.status = -1
        if self.switches.bounce_mails:
            sender = f"mailer-daemon@{lead.company_domain or 'mail.test'}"
            self._mail(lead, at, ue_type=2, text="Delivery has failed: 550 5.1.1 user unknown", from_address=sender)
        return lead

    def unsubscribe(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Ends the lead with -2, in this campaign only."""
        lead = self.leads[lead_id]
        self._engage(lead, at)
        lead.status = -2
        return lead

    def set_interest(self, lead_id: str, value: int | None, *, at: datetime | None = None) -> Lead:
        """Labels the lead (None: back to plain "Lead") and its last mail."""
        lead = self.leads[lead_id]
        moment = stamp(at or self.now())
        lead.lt_interest_status, lead.timestamp_last_interest_change = value, moment
        if lead.last_mail is not None:
            self.mails[lead.last_mail].i_status = value
        if self.switches.interest_bumps_updated:
            lead.timestamp_updated = moment
        return lead

    # -- what happens later

    def set_interest_later(self, leads: Sequence[Lead], value: int | None) -> None:
        """Labels these rows once the delay has passed; a row deleted meanwhile is passed over."""
        ids = [lead.id for lead in leads]

        def label(due: datetime) -> None:
            for lead_id in ids:
                if lead_id in self.leads:
                    self.set_interest(lead_id, value, at=due)

        self._agenda.add(self.now() + timedelta(seconds=self.switches.interest_delay), label)

    def start_job(self, source: str | None, work: Callable[[], None]) -> Job:
        """Starts a background job; its work is done at once when the delay has passed."""
        now = self.now()
        due = now + timedelta(seconds=self.switches.move_delay)
        job = Job(id=self._ids.job(now), workspace_id=self.workspace_id, created=now, due=due, entity_id=source)
        self.jobs[job.id] = job

        def finish(due: datetime) -> None:
            work()
            job.applied = due

        self._agenda.add(due, finish)
        return job

    def settle(self) -> None:
        """Does everything that is due by now."""
        self._agenda.settle()

    # -- parts

    def _place(self, lead: Lead) -> None:
        self.leads[lead.id] = lead
        self.shelf.put(lead.id, lead.email)
        self._shelves[lead.campaign].put(lead.id, lead.email)
        self._declare_variables(lead)

    def _declare_variables(self, lead: Lead) -> None:
        if lead.campaign is not None:
            self.campaigns[lead.campaign].custom_variables.update(dict.fromkeys(lead.custom, True))

    def _engage(self, lead: Lead, at: datetime | None) -> tuple[datetime, str]:
        at = at or self.now()
        moment = stamp(at)
        if self.switches.engagement_bumps_updated:
            lead.timestamp_updated = moment
        return at, moment

    def _mail(
        self, lead: Lead, at: datetime, *, ue_type: int, text: str, auto: bool = False, from_address: str | None = None
    ) -> None:
        campaign = self.campaigns.get(lead.campaign or "")
        mailboxes = (campaign.email_list if campaign else None) or ["max@sender.test"]
        subject = f"Question about {lead.company_name or 'your team'}"
        if ue_type == 2:
            subject = ("Automatic reply: " if auto else "Re: ") + subject
        mail = Mail(
            id=self._ids.new(at),
            timestamp_created=stamp(at),
            ue_type=ue_type,
            eaccount=mailboxes[int(lead.id[-4:], 16) % len(mailboxes)],
            lead=lead.email or "",
            lead_id=lead.id,
            lead_name=" ".join(filter(None, (lead.first_name, lead.last_name))),
            campaign_id=lead.campaign,
            organization_id=self.workspace_id,
            thread_id=lead.thread_id or self._ids.new(at),
            step=f"0_{lead.sent_step}_{lead.sent_variant}",
            subject=subject if from_address is None else "Undelivered Mail Returned to Sender",
            text=text,
            is_auto_reply=auto,
            i_status=lead.lt_interest_status,
            from_address=from_address,
        )
        lead.thread_id, lead.last_mail = mail.thread_id, mail.id
        self.mails[mail.id] = mail
        self.mail_order.add((mail.timestamp_created, mail.id))


def _refuse_unknown(given: Json) -> None:
    if unknown := sorted(given.keys() - set(EDITABLE)):
        raise Refused(f"A lead has no editable field {unknown[0]!r}")


def _domain(website: str | None, email: str | None) -> str:
    host = (website or "").lower().removeprefix("https://").removeprefix("http://").removeprefix("www.").split("/")[0]
    return host or (email or "").lower().rpartition("@")[2]


def _office_hours(start: datetime) -> Json:
    timing = {"from": "09:00", "to": "17:00"}
    days = {"1": True, "2": True, "3": True, "4": True, "5": True}
    schedule = {"name": "Office hours", "timing": timing, "days": days, "timezone": "Europe/Amsterdam"}
    return {"start_date": start.date().isoformat(), "end_date": None, "schedules": [schedule]}
