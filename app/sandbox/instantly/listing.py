"""Which leads and mails a request asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from app.sandbox.instantly.records import Json, Lead, Mail, stamp
from app.sandbox.instantly.store import Store
from app.sandbox.instantly.switches import Switches
from app.sandbox.instantly.wire import Refusal, flag

Test = Callable[[Lead], bool]
T = TypeVar("T")

FILTERS: dict[str, Test] = {
    "FILTER_VAL_CONTACTED": lambda lead: lead.timestamp_last_contact is not None,
    "FILTER_VAL_NOT_CONTACTED": lambda lead: lead.timestamp_last_contact is None,
    "FILTER_VAL_COMPLETED": lambda lead: lead.status == 3,
    "FILTER_VAL_UNSUBSCRIBED": lambda lead: lead.status == -2,
    "FILTER_VAL_ACTIVE": lambda lead: lead.status == 1,
    "FILTER_VAL_BOUNCED": lambda lead: lead.status == -1,
    "FILTER_VAL_SKIPPED": lambda lead: lead.status == -3,
    "FILTER_VAL_RISKY": lambda lead: lead.verification_status == -2,
    "FILTER_VAL_INVALID": lambda lead: lead.verification_status == -1,
    "FILTER_VAL_VALID": lambda lead: lead.verification_status == 1,
    "FILTER_VAL_IN_SUBSEQUENCE": lambda lead: lead.subsequence_id is not None,
    "FILTER_VAL_OPENED_NO_REPLY": lambda lead: lead.email_open_count > 0 and lead.email_reply_count == 0,
    "FILTER_VAL_COMPLETED_NO_REPLY": lambda lead: lead.status == 3 and lead.email_reply_count == 0,
    "FILTER_VAL_NO_OPENS": lambda lead: lead.email_open_count == 0,
    "FILTER_VAL_REPLIED": lambda lead: lead.email_reply_count > 0,
    "FILTER_VAL_LINK_CLICKED": lambda lead: lead.email_click_count > 0,
    "FILTER_LEAD_INTERESTED": lambda lead: lead.lt_interest_status == 1,
    "FILTER_LEAD_NOT_INTERESTED": lambda lead: lead.lt_interest_status == -1,
    "FILTER_LEAD_MEETING_BOOKED": lambda lead: lead.lt_interest_status == 2,
    "FILTER_LEAD_MEETING_COMPLETED": lambda lead: lead.lt_interest_status == 3,
    "FILTER_LEAD_CLOSED": lambda lead: lead.lt_interest_status == 4,
    "FILTER_LEAD_OUT_OF_OFFICE": lambda lead: lead.lt_interest_status == 0,
    "FILTER_LEAD_WRONG_PERSON": lambda lead: lead.lt_interest_status == -2,
    "FILTER_LEAD_LOST": lambda lead: lead.lt_interest_status == -3,
    "FILTER_LEAD_NO_SHOW": lambda lead: lead.lt_interest_status == -4,
    "FILTER_LEAD_CUSTOM_LABEL_POSITIVE": lambda lead: (lead.lt_interest_status or 0) > 4,
    "FILTER_LEAD_CUSTOM_LABEL_NEGATIVE": lambda lead: (lead.lt_interest_status or 0) < -4,
}


def page_size(limit: int | None, switches: Switches, where: str) -> int | None:
    """Returns how many items a page holds; None is the empty page an oversized limit gets."""
    if limit is None:
        return switches.default_page
    if limit < 1:
        raise Refusal(400, f"{where}/limit must be >= 1")
    if limit > 100:
        if switches.oversized_limit == "refuse":
            raise Refusal(400, f"{where}/limit must be <= 100")
        return None
    return limit


def page(
    found: Iterable[T],
    render: Callable[[T], Json],
    cursor_of: Callable[[T], str],
    *,
    size: int | None,
    after: str | None,
    switches: Switches,
) -> Json:
    """Returns one page of `found`, with Instantly's cursor habits."""
    if size is None:
        return {"items": []}
    found = iter(found)
    rows = list(islice(found, size))
    shown: Json = {"items": [render(row) for row in rows]}
    if not rows:
        cursor = after if switches.cursor_on_empty_page else None
    elif switches.cursor_on_last_page or next(found, None) is not None:
        cursor = cursor_of(rows[-1])
    else:
        cursor = None
    return shown if cursor is None else shown | {"next_starting_after": cursor}


def select_leads(store: Store, asked: Json, after: str | None = None) -> Iterator[Lead]:
    """Yields the leads a filter body asks for, by id, or one per address by address with `distinct_contacts`."""
    shelf = store.shelf_of(asked["campaign"]) if "campaign" in asked else store.shelf
    tests = list(_tests(asked, store.switches))
    if asked.get("distinct_contacts"):
        for email in shelf.emails.after(after.lower() if after else None):
            rows = (store.leads[lead_id] for lead_id in sorted(shelf.by_email[email]))
            fitting = next((lead for lead in rows if all(test(lead) for test in tests)), None)
            if fitting is not None:
                yield fitting
        return
    for lead_id in _candidates(store, asked, after):
        lead = store.leads[lead_id]
        if all(test(lead) for test in tests):
            yield lead


def _candidates(store: Store, asked: Json, after: str | None) -> Iterable[str]:
    if "ids" in asked or "contacts" in asked:
        named = {i for i in asked.get("ids", ()) if i in store.leads}
        if "ids" not in asked:
            named.update(i for email in asked["contacts"] for i in store.shelf.by_email.get(str(email).lower(), ()))
        return sorted(i for i in named if after is None or i > after)
    shelf = store.shelf_of(asked["campaign"]) if "campaign" in asked else store.shelf
    return shelf.ids.after(after)


def _tests(asked: Json, switches: Switches) -> Iterator[Test]:
    if "campaign" in asked:
        yield lambda lead: lead.campaign == asked["campaign"]
    if "in_campaign" in asked:
        yield lambda lead: (lead.campaign is not None) == asked["in_campaign"]
    if "list_id" in asked:
        yield lambda lead: lead.list_id == asked["list_id"]
    if "in_list" in asked:
        yield lambda lead: (lead.list_id is not None) == asked["in_list"]
    if "ids" in asked:
        ids = set(asked["ids"])
        yield lambda lead: lead.id in ids
    if "excluded_ids" in asked:
        excluded = set(asked["excluded_ids"])
        yield lambda lead: lead.id not in excluded
    if "contacts" in asked:
        contacts = {str(email).lower() for email in asked["contacts"]}
        yield lambda lead: (lead.email or "").lower() in contacts
    if wanted := str(asked.get("search", "")).strip().lower():
        yield lambda lead: any(wanted in part for part in _searched(lead))
    if "filter" in asked:
        if asked["filter"] not in FILTERS:
            raise Refusal(400, "body/filter must be equal to one of the allowed values")
        yield FILTERS[asked["filter"]]
    if switches.interest_status_filter and "interest_status" in asked:
        yield lambda lead: lead.lt_interest_status == asked["interest_status"]


def _searched(lead: Lead) -> tuple[str, ...]:
    first, last = (lead.first_name or "").lower(), (lead.last_name or "").lower()
    return f"{first} {last}", (lead.email or "").lower()


_MAIL_TYPES = {"received": 2, "sent": 1, "manual": 3}


def select_mails(store: Store, asked: Mapping[str, str]) -> Iterator[Mail]:
    """Yields the mails `GET /emails` asks for, newest first unless `sort_order=asc`; unknown parameters are ignored."""
    cursor = store.mails.get(asked.get("starting_after", ""))
    if "starting_after" in asked and cursor is None:
        return
    at = None if cursor is None else (cursor.timestamp_created, cursor.id)
    low, high = _moment(asked, "min_timestamp_created", ""), _moment(asked, "max_timestamp_created", "~")
    if asked.get("sort_order", "desc") not in ("asc", "desc"):
        raise Refusal(400, "querystring/sort_order must be equal to one of the allowed values")
    if asked.get("sort_order") == "asc":
        order = store.mail_order.after(max(at or ("", ""), (low, "")))
    else:
        order = store.mail_order.before(min(at or ("~", ""), (high, "~")))
    tests = list(_mail_tests(asked))
    threads: set[str] = set()
    for moment, mail_id in order:
        mail = store.mails[mail_id]
        if not low <= moment <= high or not all(test(mail) for test in tests):
            continue
        if flag(asked.get("latest_of_thread")) and mail.thread_id in threads:
            continue
        threads.add(mail.thread_id)
        yield mail


def _mail_tests(asked: Mapping[str, str]) -> Iterator[Callable[[Mail], bool]]:
    if campaign := asked.get("campaign_id"):
        yield lambda mail: mail.campaign_id == campaign
    if lead := asked.get("lead", "").lower():
        yield lambda mail: mail.lead.lower() == lead
    if search := asked.get("search", "").lower():
        thread = search.removeprefix("thread:")
        yield lambda mail: mail.thread_id == thread if thread != search else mail.lead.lower() == search
    if kind := asked.get("email_type"):
        if kind not in _MAIL_TYPES:
            raise Refusal(400, "querystring/email_type must be equal to one of the allowed values")
        yield lambda mail: mail.ue_type == _MAIL_TYPES[kind]
    if accounts := asked.get("eaccount"):
        mailboxes = set(accounts.lower().split(","))
        yield lambda mail: mail.eaccount.lower() in mailboxes
    if "i_status" in asked:
        yield lambda mail: str(mail.i_status) == asked["i_status"]
    if "is_unread" in asked:
        yield lambda mail: (mail.ue_type == 2) == flag(asked["is_unread"])
    if domain := asked.get("company_domain", "").lower():
        yield lambda mail: mail.lead.lower().rpartition("@")[2] == domain
    if "list_id" in asked or "assigned_to" in asked or flag(asked.get("scheduled_only")):
        yield lambda _mail: False


def _moment(asked: Mapping[str, str], name: str, default: str) -> str:
    """Returns a time the way mails carry theirs, so that both compare as text."""
    if name not in asked:
        return default
    try:
        at = datetime.fromisoformat(asked[name])
    except ValueError:
        raise Refusal(400, f"Invalid {name}") from None
    return stamp(at if at.tzinfo else at.replace(tzinfo=UTC))
