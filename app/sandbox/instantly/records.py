"""What the sandbox Instantly keeps, in the shapes its API shows."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

#: lead field -> its key in `payload`; only filled keys appear there
PAYLOAD_KEYS = {
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "company_name": "companyName",
    "job_title": "jobTitle",
    "phone": "phone",
    "website": "website",
    "personalization": "personalization",
}
#: nullable lead fields the sandbox never fills
_ALWAYS_NULL = ("timestamp_added_subsequence", "uploaded_by_user", "is_website_visitor")
#: fields that are missing where they are empty, and never null
_NEVER_NULL = ("lt_interest_status", "verification_status", "upload_method", "esp_code")
#: what a user, an import or PATCH may set
EDITABLE = (*(name for name in PAYLOAD_KEYS if name != "email"), "lt_interest_status", "pl_value_lead", "assigned_to")


def stamp(moment: datetime) -> str:
    """Returns an instant the way Instantly writes it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass(slots=True, kw_only=True)
class Lead:
    """One row per campaign and address."""

    id: str
    timestamp_created: str
    timestamp_updated: str
    organization: str
    company_domain: str
    status: int = 1
    email_open_count: int = 0
    email_reply_count: int = 0
    email_click_count: int = 0
    status_summary: Json = field(default_factory=dict)
    campaign: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    company_name: str | None = None
    job_title: str | None = None
    phone: str | None = None
    website: str | None = None
    personalization: str | None = None
    last_step_from: str | None = None
    last_step_id: str | None = None
    last_step_timestamp_executed: str | None = None
    email_opened_step: int | None = None
    email_opened_variant: int | None = None
    email_replied_step: int | None = None
    email_replied_variant: int | None = None
    email_clicked_step: int | None = None
    email_clicked_variant: int | None = None
    lt_interest_status: int | None = None
    subsequence_id: str | None = None
    verification_status: int | None = None
    pl_value_lead: str | None = None
    timestamp_last_contact: str | None = None
    timestamp_last_open: str | None = None
    timestamp_last_click: str | None = None
    timestamp_last_reply: str | None = None
    timestamp_last_interest_change: str | None = None
    timestamp_last_touch: str | None = None
    list_id: str | None = None
    last_contacted_from: str | None = None
    upload_method: str | None = None
    assigned_to: str | None = None
    esp_code: int | None = None
    #: custom variables; shown inside `payload`
    custom: Json = field(default_factory=dict)
    #: what was sent last, and the thread it belongs to; not shown
    sent_step: int = 0
    sent_variant: int = 0
    thread_id: str | None = None
    last_mail: str | None = None
    last_sent: str | None = None
    last_reply: str | None = None

    def render(self, *, omit_nulls: bool = True) -> Json:
        """Returns the lead as REST shows it."""
        shown = {name: value for name in _LEAD_FIELDS if (value := getattr(self, name)) is not None}
        shown["payload"] = self.payload()
        if omit_nulls:
            return shown
        return dict.fromkeys(name for name in (*_LEAD_FIELDS, *_ALWAYS_NULL) if name not in _NEVER_NULL) | shown

    def payload(self) -> Json:
        """Returns the merge fields: the filled standard keys in camelCase, then the custom variables verbatim."""
        return {key: value for name, key in PAYLOAD_KEYS.items() if (value := getattr(self, name))} | self.custom


_HIDDEN = {"custom", "sent_step", "sent_variant", "thread_id", "last_mail", "last_sent", "last_reply"}
_LEAD_FIELDS = tuple(f.name for f in fields(Lead) if f.name not in _HIDDEN)


@dataclass(slots=True, kw_only=True)
class Campaign:
    """A campaign and the counters analytics need."""

    id: str
    name: str
    organization: str
    timestamp_created: str
    timestamp_updated: str
    #: Instantly shows `{}` or an empty start date on some campaigns
    campaign_schedule: Json
    #: absent on drafts
    email_list: list[str] | None
    steps: list[str]
    status: int = 1
    stop_on_reply: bool = True
    custom_variables: dict[str, bool] = field(default_factory=dict)
    sent: int = 0

    def render(self) -> Json:
        """Returns the campaign as REST shows it."""
        steps = [
            {
                "type": "email",
                "delay": 3,
                "delay_unit": "days",
                "variants": [{"subject": _subject(n), "body": _BODY}, {"subject": _subject(n), "body": _BODY}],
            }
            for n in range(len(self.steps))
        ]
        shown: Json = {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "campaign_schedule": self.campaign_schedule,
            "sequences": [{"steps": steps}],
            "timestamp_created": self.timestamp_created,
            "timestamp_updated": self.timestamp_updated,
            "daily_limit": 100,
            "stop_on_reply": self.stop_on_reply,
            "open_tracking": True,
            "link_tracking": True,
            "organization": self.organization,
            "core_variables": dict.fromkeys(PAYLOAD_KEYS.values(), True),
            "custom_variables": self.custom_variables,
        }
        return shown if self.email_list is None else shown | {"email_list": self.email_list}


_BODY = "<div>Hi {{firstName}}, a question about {{companyName}}.</div>"


def _subject(step: int) -> str:
    return "Question about {{companyName}}" if step == 0 else ""


@dataclass(slots=True, kw_only=True)
class Mail:
    """One mail in the Unibox: 1 sent by the campaign, 2 received."""

    id: str
    timestamp_created: str
    ue_type: int
    eaccount: str
    lead: str
    lead_id: str
    lead_name: str
    campaign_id: str | None
    organization_id: str
    thread_id: str
    step: str
    subject: str
    text: str
    is_auto_reply: bool = False
    i_status: int | None = None
    #: set where the sender is not the lead (mailer-daemon)
    from_address: str | None = None

    def render(self, *, bare: bool = True) -> Json:
        """Returns the mail as REST shows it; `bare` leaves out what live workspaces lack."""
        theirs = self.from_address or self.lead
        sender, receiver = (theirs, self.eaccount) if self.ue_type == 2 else (self.eaccount, theirs)
        sender_name = self.lead_name if self.ue_type == 2 and self.from_address is None else ""
        shown: Json = {
            "id": self.id,
            "timestamp_created": self.timestamp_created,
            "timestamp_email": self.timestamp_created[:19] + ".000Z",
            "message_id": f"<{self.id}@mail.sandbox.test>",
            "thread_id": self.thread_id,
            "organization_id": self.organization_id,
            "from_address_email": sender,
            "from_address_json": [{"address": sender, "name": sender_name}],
            "to_address_email_list": receiver,
            "to_address_json": [{"address": receiver, "name": ""}],
            "subject": self.subject,
            "body": {"text": self.text, "html": f"<div>{self.text}</div>"},
            "content_preview": self.text[:100],
            "eaccount": self.eaccount,
            "lead": self.lead,
            "step": self.step,
            "is_unread": int(self.ue_type == 2),
            "is_focused": 1,
            "ue_type": self.ue_type,
        }
        if self.campaign_id is not None:
            shown["campaign_id"] = self.campaign_id
        if self.i_status is not None:
            shown["i_status"] = self.i_status
        return shown if bare else shown | {"lead_id": self.lead_id, "is_auto_reply": int(self.is_auto_reply)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label of the workspace's own."""

    id: str
    timestamp_created: str
    created_by: str
    organization_id: str
    label: str
    interest_status_label: str
    interest_status: int

    def render(self) -> Json:
        """Returns the label as REST shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """An address or a domain nobody is to be written to."""

    id: str
    timestamp_created: str
    organization_id: str
    bl_value: str

    @property
    def is_domain(self) -> bool:
        return "@" not in self.bl_value

    def render(self) -> Json:
        """Returns the entry as REST shows it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"is_domain": self.is_domain}


@dataclass(slots=True, kw_only=True)
class Job:
    """A background job; the clock moves it from pending to success."""

    id: str
    workspace_id: str
    created: datetime
    due: datetime
    entity_id: str | None
    applied: datetime | None = None

    def render(self, now: datetime) -> Json:
        """Returns the job as it stands at `now`."""
        half = self.created + (self.due - self.created) / 2
        status, progress = ("pending", 0) if now < half else ("in-progress", 50)
        if self.applied is not None:
            status, progress = "success", 100
        shown: Json = {
            "id": self.id,
            "workspace_id": self.workspace_id,
            "type": "move-leads",
            "entity_type": "campaign" if self.entity_id else "workspace",
            "data": {},
            "progress": progress,
            "status": status,
            "created_at": stamp(self.created),
            "updated_at": stamp(self.applied or (self.created if status == "pending" else half)),
        }
        return shown if self.entity_id is None else shown | {"entity_id": self.entity_id}
