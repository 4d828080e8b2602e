"""The uncertain facts of Instantly's API, each one a switch with its likeliest value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True, kw_only=True)
class Switches:
    """What public material leaves open; the numbers name sections of the Instantly fact sheet."""

    #: null fields are left out of REST objects (1.5)
    omit_nulls: bool = True
    #: page size when `limit` is missing (1.4)
    default_page: int = 10
    #: what a `limit` above 100 gets: an empty page, or a 400 (1.4)
    oversized_limit: Literal["empty", "refuse"] = "empty"
    #: the last page with items carries a cursor too (1.4)
    cursor_on_last_page: bool = True
    #: the empty page after it repeats the caller's cursor (1.4)
    cursor_on_empty_page: bool = True
    #: unknown body keys are a 400 instead of being dropped in silence (1.6)
    refuse_unknown_keys: bool = False
    #: `application/json` with an empty body is refused (1.1)
    empty_json_trap: bool = True
    #: the edge answers 403 in HTML to Python-urllib's own User-Agent (1.1)
    refuse_urllib: bool = False
    #: it does so to httpx's own as well (1.1: untested)
    refuse_httpx: bool = False
    #: 100 calls a second, 6,000 a minute and 20 a minute on `/emails` (1.3)
    rate_limits: bool = True
    #: a 429 says how long to wait (1.3: documented for OAuth only)
    retry_after: bool = False
    #: refused calls count against the limit as well (1.3: an untamed retry tripped it)
    refused_calls_count: bool = False
    #: engagement (send, open, click, reply, bounce, unsubscribe) moves `timestamp_updated` (2.1)
    engagement_bumps_updated: bool = False
    #: a PATCH or an edit by a user moves `timestamp_updated` (9)
    edit_bumps_updated: bool = True
    #: a change of the interest status moves `timestamp_updated` (9)
    interest_bumps_updated: bool = False
    #: every engagement moves `timestamp_last_touch`; off: sends alone (2.1, 9)
    every_engagement_touches: bool = False
    #: `last_contacted_from` is the sending mailbox; off: the word "email" (2.1)
    contacted_from_mailbox: bool = False
    #: new leads have ids that are ordered by time; off: they land anywhere in a listing (1.5, 9)
    ordered_ids: bool = True
    #: `status_summary` stays `{}` on leads that were contacted (2.1)
    empty_status_summary: bool = True
    #: `/leads/list` obeys `interest_status` (2.4: in the text, not in the schema)
    interest_status_filter: bool = False
    #: PATCH `custom_variables` replaces all of them; off: merges (2.5)
    patch_replaces_custom: bool = True
    #: seconds until a 202 of update-interest-status shows (2.5)
    interest_delay: float = 5.0
    #: seconds until a move job has succeeded (2.5)
    move_delay: float = 10.0
    #: how many lead rows the plan holds; None: no limit (1.2, 8)
    lead_limit: int | None = None
    #: the HTTP status of "Lead limit reached" (1.2: unknown)
    lead_limit_status: int = 402
    #: e-mail objects lack `lead_id` and `is_auto_reply` (4)
    bare_emails: bool = True
    #: a bounce appears in the Unibox as mail from mailer-daemon (4)
    bounce_mails: bool = True
    #: analytics leave out campaigns that never sent (3.3)
    silent_until_sent: bool = True
    #: `open_count` of `/campaigns/analytics` counts leads; off: every open, as in the overview (3.3)
    open_count_is_leads: bool = True
    #: `reply_count` and daily `replies` contain automatic replies (3.3: said of the unique ones only that they do not)
    replies_include_automatic: bool = True
    #: seconds after a change of interest in which the next one makes no analytics event (3.3)
    interest_window: float = 600.0
    #: what `expand_crm_events=false` counts once: a contact's first event of each kind, or its first of all (3.3)
    first_event_of: Literal["kind", "contact"] = "kind"
    #: the unique numbers of a day count its leads; off: a lead counts on the day of its first such event only (3.3)
    unique_per_day: bool = True
    #: days on which nothing happened have a row of zeros in the daily analytics (3.3)
    rows_of_quiet_days: bool = False
    #: webhooks are in the workspace's plan; off: registering one is a 402 (5.1)
    webhooks_in_plan: bool = True
    #: `type` of a custom label among the event types (5.1)
    label_event_type: str = "custom"
    #: a `reply_received` webhook hears of automatic replies too (5.2)
    auto_replies_to_reply_hooks: bool = False
    #: going back to plain "Lead" is a `lead_neutral` event (2.3, 5.2)
    neutral_on_reset: bool = True
    #: seconds between a reply and the event of the label the AI gives it (5.5)
    label_lag: float = 5.0
    #: `lead_*` events have no `email_account` (5.4)
    labels_lack_account: bool = True
    #: event types whose payload has only what is documented for all of them, and the lead's data (5.3, 5.4)
    bare_payloads: tuple[str, ...] = ()
    #: `email_id` of a reply is the mail it answers; off: the reply itself (5.4)
    email_id_is_answered_mail: bool = False
    #: `email_sent` has an `email_id` too (5.3; 5.4 did not see one)
    sent_email_id: bool = False
    #: a custom variable named like a key of the payload takes its place (5.4)
    custom_variables_win: bool = True
    #: seconds a delivery waits at least, and at random on top of that, which changes the order (5.5)
    delivery_delay: float = 0.0
    delivery_jitter: float = 0.0
    #: the share of deliveries that are made twice (5.5)
    duplicate_rate: float = 0.0
    #: seconds until an attempt without an answer has failed (5.5, 9)
    delivery_timeout: float = 10.0
    #: how many attempts are under way at once
    delivery_concurrency: int = 1
    #: how often a failed delivery is tried again, and the seconds before each; the last wait repeats (5.5)
    delivery_retries: int = 3
    retry_waits: tuple[float, ...] = (1.0, 5.0, 20.0)
    #: 3xx and 4xx are failures like 5xx; off: they end the delivery without a retry and do not count (5.5)
    refusals_fail: bool = True
    #: failures in a row after which a webhook is disabled; None: never (5.5, 9)
    disable_after: int | None = 20
    #: what counts as one of them: a delivery that was given up, or every attempt (5.5)
    disable_counts: Literal["deliveries", "attempts"] = "deliveries"
    #: events for a disabled webhook are logged as failures; off: they leave no trace (5.6)
    log_while_disabled: bool = False
    #: a delivery has one row in the log, or one per attempt (5.6)
    log_rows: Literal["attempt", "delivery"] = "attempt"
    #: `retry_successful` is told on all rows of a delivery; off: on the retry's own row (5.6)
    retry_marks_group: bool = False
    #: days the log is kept; None: for ever (5.6)
    log_retention_days: float | None = 30.0
    #: the order of `/webhook-events` (5.6)
    log_order: Literal["asc", "desc"] = "desc"
