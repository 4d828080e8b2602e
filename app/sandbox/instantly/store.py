"""What prospects, users and time do to a workspace.

A send moves the last step, opens and clicks move counters, a reply ends
the sequence where the campaign says so, a bounce ends in -1 and an unsubscribe in -2 for that campaign only.
What Instantly does later (202 answers, move jobs) waits in the agenda and happens when the clock has passed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from app.sandbox.core import Sandbox
from app.sandbox.instantly.agenda import Agenda
from app.sandbox.instantly.deeds import Deed
from app.sandbox.instantly.records import Job, Lead, Mail, stamp
from app.sandbox.instantly.workspace import Refused, Workspace

__all__ = ["Refused", "Store"]

_REPLIES = {
    True: "Yes please, send me more. Thursday works.\n\n",
    False: "Not interested, please take me off your list.\n\n",
    None: "Who is this?\n\n",
}


class Store(Workspace):
    """A workspace that lives."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self._agenda = Agenda(sandbox.clock)
        self.jobs: dict[str, Job] = {}

    # -- leads, as sending and prospects change them

    def send(self, lead_id: str, *, step: int = 0, variant: int = 0, at: datetime | None = None) -> Lead:
        """Sends step `step` (from 0); the last of the sequence completes the lead, and a blocked one is skipped."""
        lead = self.leads[lead_id]
        if self.is_blocked(lead.email):
            lead.status = -3
            return lead
        campaign = self.campaigns.get(lead.campaign or "")
        at, moment = self._engage(lead, at)
        lead.sent_step, lead.sent_variant = step, variant
        lead.timestamp_last_contact = lead.timestamp_last_touch = lead.last_step_timestamp_executed = moment
        lead.last_step_from = "campaign"
        lead.last_contacted_from = self.mailbox(lead) if self.switches.contacted_from_mailbox else "email"
        if campaign is not None:
            campaign.sent += 1
            lead.last_step_id = campaign.steps[step] if step < len(campaign.steps) else None
        if not self.switches.empty_status_summary:
            executed = {"from": "campaign", "stepID": lead.last_step_id, "timestamp_executed": moment}
            lead.status_summary = {"lastStep": executed}
        lead.thread_id = lead.thread_id or self._ids.new(at)
        mail = self._mail(lead, at, ue_type=1, text=f"Hi {lead.first_name or 'there'}, a question.")
        lead.last_sent = mail.id
        self.tell("sent", lead, at, mail=mail.id)
        if campaign is not None and step == len(campaign.steps) - 1 and lead.status == 1:
            self._complete(lead, at)
        return lead

    def open(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Counts an open of the mail sent last."""
        lead = self.leads[lead_id]
        at, lead.timestamp_last_open = self._engage(lead, at)
        lead.email_open_count += 1
        lead.email_opened_step, lead.email_opened_variant = lead.sent_step, lead.sent_variant
        self.tell("opened", lead, at)
        return lead

    def click(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Counts a click in the mail sent last."""
        lead = self.leads[lead_id]
        at, lead.timestamp_last_click = self._engage(lead, at)
        lead.email_click_count += 1
        lead.email_clicked_step, lead.email_clicked_variant = lead.sent_step, lead.sent_variant
        self.tell("clicked", lead, at)
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
        mail = self._mail(lead, at, ue_type=2, text=_REPLIES[positive] if text is None else text, auto=auto)
        lead.last_reply = mail.id
        self.tell("replied_automatically" if auto else "replied", lead, at, mail=mail.id)
        campaign = self.campaigns.get(lead.campaign or "")
        if campaign is not None and campaign.stop_on_reply and not auto and lead.status in (1, 2):
            self._complete(lead, at)
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
        self.tell("bounced", lead, at)
        return lead

    def unsubscribe(self, lead_id: str, *, at: datetime | None = None) -> Lead:
        """Ends the lead with -2, in this campaign only."""
        lead = self.leads[lead_id]
        at, _ = self._engage(lead, at)
        lead.status = -2
        self.tell("unsubscribed", lead, at)
        return lead

    def set_interest(self, lead_id: str, value: int | None, *, at: datetime | None = None) -> Lead:
        """Labels the lead (None: back to plain "Lead") and its last mail."""
        lead = self.leads[lead_id]
        at = at or self.now()
        moment = stamp(at)
        lead.lt_interest_status, lead.timestamp_last_interest_change = value, moment
        if lead.last_mail is not None:
            self.mails[lead.last_mail].i_status = value
        if self.switches.interest_bumps_updated:
            lead.timestamp_updated = moment
        self.tell("labelled", lead, at, value=value)
        return lead

    def mailbox(self, lead: Lead) -> str:
        """Returns the mailbox that writes to this lead."""
        campaign = self.campaigns.get(lead.campaign or "")
        mailboxes = (campaign.email_list if campaign else None) or ["max@sender.test"]
        return mailboxes[int(lead.id[-4:], 16) % len(mailboxes)]

    def complete_campaign(self, campaign_id: str, *, at: datetime | None = None) -> None:
        """Ends a campaign."""
        self.campaigns[campaign_id].status = 3
        self.spread(Deed(at=at or self.now(), kind="campaign_completed", campaign=campaign_id))

    def fail_account(self, campaign_id: str, account: str, *, at: datetime | None = None) -> None:
        """Lets a sending mailbox of a campaign fail."""
        self.campaigns[campaign_id].status = -1
        self.spread(Deed(at=at or self.now(), kind="account_failed", campaign=campaign_id, account=account))

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

    def _complete(self, lead: Lead, at: datetime) -> None:
        lead.status = 3
        self.tell("completed", lead, at)

    def _engage(self, lead: Lead, at: datetime | None) -> tuple[datetime, str]:
        at = at or self.now()
        moment = stamp(at)
        if self.switches.engagement_bumps_updated:
            lead.timestamp_updated = moment
        if self.switches.every_engagement_touches:
            lead.timestamp_last_touch = moment
        return at, moment

    def _mail(
        self, lead: Lead, at: datetime, *, ue_type: int, text: str, auto: bool = False, from_address: str | None = None
    ) -> Mail:
        subject = f"Question about {lead.company_name or 'your team'}"
        if ue_type == 2:
            subject = ("Automatic reply: " if auto else "Re: ") + subject
        mail = Mail(
            id=self._ids.new(at),
            timestamp_created=stamp(at),
            ue_type=ue_type,
            eaccount=self.mailbox(lead),
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
        return mail
