"""What a webhook says about an event: a flat object.

Unlike REST it spells nulls out, its steps and variants count from 1, and the lead's own data lie between the keys of
the event, so that a custom variable of the same name takes a key's place. No event has an id.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from app.sandbox.instantly.deeds import Deed, Kind
from app.sandbox.instantly.records import Json, Lead, Mail, stamp
from app.sandbox.instantly.store import Store

#: what a webhook can be registered for
SUBSCRIPTIONS: Final = (
    "all_events",
    "email_sent",
    "email_opened",
    "email_link_clicked",
    "reply_received",
    "email_bounced",
    "lead_unsubscribed",
    "campaign_completed",
    "account_error",
    "lead_neutral",
    "lead_interested",
    "lead_not_interested",
    "lead_meeting_booked",
    "lead_meeting_completed",
    "lead_closed",
    "lead_out_of_office",
    "lead_wrong_person",
    "lead_no_show",
    "supersearch_enrichment_completed",
)
#: interest status -> event; -3 (Lost) has none
LABELS: Final = {
    0: "lead_out_of_office",
    1: "lead_interested",
    2: "lead_meeting_booked",
    3: "lead_meeting_completed",
    4: "lead_closed",
    -1: "lead_not_interested",
    -2: "lead_wrong_person",
    -4: "lead_no_show",
}
_EVENTS: Final[dict[Kind, str]] = {
    "sent": "email_sent",
    "opened": "email_opened",
    "clicked": "link_clicked",
    "replied": "reply_received",
    "replied_automatically": "auto_reply_received",
    "bounced": "email_bounced",
    "unsubscribed": "lead_unsubscribed",
    "campaign_completed": "campaign_completed",
    "account_failed": "account_error",
}
_QUOTE: Final = "\n\nOn Monday {account} wrote:\n> Hi, a question."


def event_type(deed: Deed, store: Store) -> str | None:
    """Returns the event a deed is, or None where Instantly tells nobody; a custom label is its own text."""
    if deed.kind != "labelled":
        return _EVENTS.get(deed.kind)
    if deed.value is None:
        return "lead_neutral" if store.switches.neutral_on_reset else None
    custom = next((label.label for label in store.labels.values() if label.interest_status == deed.value), None)
    return LABELS.get(deed.value) or custom


def subscriptions(event: str, deed: Deed, store: Store) -> set[str]:
    """Returns the registrations that hear of an event; a custom label's are found by its number instead."""
    heard = {"all_events"}
    if event == "link_clicked":
        heard.add("email_link_clicked")
    elif event in SUBSCRIPTIONS:
        heard.add(event)
    if deed.kind == "replied_automatically" and store.switches.auto_replies_to_reply_hooks:
        heard.add("reply_received")
    return heard


def told_at(deed: Deed, store: Store) -> datetime:
    """Returns the time of the event: a label the AI gives to a reply comes after the reply."""
    lead = store.leads.get(deed.lead)
    if deed.kind == "labelled" and lead is not None and lead.timestamp_last_reply == stamp(deed.at):
        return deed.at + timedelta(seconds=store.switches.label_lag)
    return deed.at


def payload(event: str, deed: Deed, store: Store) -> Json:
    """Returns what is posted."""
    lead, campaign = store.leads.get(deed.lead), store.campaigns[deed.campaign]
    told: Json = {
        "timestamp": stamp(told_at(deed, store)),
        "event_type": event,
        "workspace": store.workspace_id,
        "campaign_id": campaign.id,
        "campaign_name": campaign.name,
    }
    if lead is None:
        return told | ({"email_account": deed.account} if deed.account else {}) | {"campaign": deed.campaign}
    given = _given(lead)
    if event not in store.switches.bare_payloads:
        told |= _details(deed, store, lead)
    told |= {"lead_email": lead.email, "email": lead.email}
    return told | given if store.switches.custom_variables_win else given | told


def _details(deed: Deed, store: Store, lead: Lead) -> Json:
    """Returns what payloads that were captured have beside what is documented for all of them."""
    told: Json = {"campaign": deed.campaign}
    is_reply = deed.kind in ("replied", "replied_automatically")
    told["unibox_url"] = _unibox(store, lead) if is_reply else None
    if deed.kind != "labelled" or not store.switches.labels_lack_account:
        told["email_account"] = store.mailbox(lead)
    if deed.kind != "labelled":
        told["is_first"] = deed.is_first
    if deed.kind != "unsubscribed" and deed.step is not None and deed.variant is not None:
        told |= {"step": deed.step + 1, "variant": deed.variant + 1}
    if deed.kind == "sent" and deed.mail:
        told |= _sent(store.mails[deed.mail])
    if (is_reply or deed.kind == "labelled") and lead.last_reply:
        told |= _reply(store.mails[lead.last_reply], store.mailbox(lead))
    if is_reply or (deed.kind == "sent" and store.switches.sent_email_id):
        told["email_id"] = lead.last_sent if is_reply and store.switches.email_id_is_answered_mail else deed.mail
    return told


def trial(event: str, at: datetime, workspace_id: str) -> Json:
    """Returns what `POST /webhooks/{id}/test` posts; its real content is unknown."""
    return {
        "timestamp": stamp(at),
        "event_type": event,
        "workspace": workspace_id,
        "campaign_id": None,
        "campaign_name": "Test campaign",
        "lead_email": "test@example.com",
        "email": "test@example.com",
    }


def _given(lead: Lead) -> Json:
    standard = {
        "firstName": lead.first_name or "",
        "lastName": lead.last_name or "",
        "companyName": lead.company_name or "",
        "phone": lead.phone,
        "website": lead.website or "",
        "personalization": lead.personalization or "",
    }
    return standard | lead.payload()


def _sent(mail: Mail) -> Json:
    return {"email_subject": mail.subject, "email_html": f"<div>{mail.text}</div>"}


def _reply(mail: Mail, account: str) -> Json:
    return {
        "reply_text_snippet": mail.text,
        "reply_subject": mail.subject,
        "reply_text": mail.text.rstrip() + _QUOTE.format(account=account),
        "reply_html": f"<div>{mail.text.strip()}</div>",
    }


def _unibox(store: Store, lead: Lead) -> str:
    return f"https://app.instantly.ai/app/unibox?thread_search={lead.email}&selected_wks={store.workspace_id}"
