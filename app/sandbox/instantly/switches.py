"""The uncertain facts of Instantly's API, each one a switch with its likeliest value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True, kw_only=True)
class Switches:
    """What public material leaves open."""

    #: null fields are left out of REST objects
    omit_nulls: bool = True
    #: page size when `limit` is missing
    default_page: int = 10
    #: what a `limit` above 100 gets: an empty page, or a 400
    oversized_limit: Literal["empty", "refuse"] = "empty"
    #: the last page with items carries a cursor too
    cursor_on_last_page: bool = True
    #: the empty page after it repeats the caller's cursor
    cursor_on_empty_page: bool = True
    #: unknown body keys are a 400 instead of being dropped in silence
    refuse_unknown_keys: bool = False
    #: `application/json` with an empty body is refused
    empty_json_trap: bool = True
    #: the edge answers 403 in HTML to Python-urllib's own User-Agent
    refuse_urllib: bool = False
    #: it does so to httpx's own as well (untested)
    refuse_httpx: bool = False
    #: 100 calls a second, 6,000 a minute and 20 a minute on `/emails`
    rate_limits: bool = True
    #: a 429 says how long to wait (documented for OAuth only)
    retry_after: bool = False
    #: refused calls count against the limit as well (an untamed retry tripped it)
    refused_calls_count: bool = False
    #: engagement (send, open, click, reply, bounce, unsubscribe) moves `timestamp_updated`
    engagement_bumps_updated: bool = False
    #: a PATCH or an edit by a user moves `timestamp_updated`
    edit_bumps_updated: bool = True
    #: a change of the interest status moves `timestamp_updated`
    interest_bumps_updated: bool = False
    #: every engagement moves `timestamp_last_touch`; off: sends alone
    every_engagement_touches: bool = False
    #: `last_contacted_from` is the sending mailbox; off: the word "email"
    contacted_from_mailbox: bool = False
    #: new leads have ids that are ordered by time; off: they land anywhere in a listing
    ordered_ids: bool = True
    #: `status_summary` stays `{}` on leads that were contacted
    empty_status_summary: bool = True
    #: `/leads/list` obeys `interest_status` (in the text, not in the schema)
    interest_status_filter: bool = False
    #: PATCH `custom_variables` replaces all of them; off: merges
    patch_replaces_custom: bool = True
    #: seconds until a 202 of update-interest-status shows
    interest_delay: float = 5.0
    #: seconds until a move job has succeeded
    move_delay: float = 10.0
    #: how many lead rows the plan holds; None: no limit
    lead_limit: int | None = None
    #: the HTTP status of "Lead limit reached" (unknown)
    lead_limit_status: int = 402
    #: e-mail objects lack `lead_id` and `is_auto_reply`
    bare_emails: bool = True
    #: a bounce appears in the Unibox as mail from mailer-daemon
    bounce_mails: bool = True
    #: analytics leave out campaigns that never sent
    silent_until_sent: bool = True
    #: `open_count` of `/campaigns/analytics` counts leads; off: every open, as in the overview
    open_count_is_leads: bool = True
    #: `reply_count` and daily `replies` contain automatic replies (said of the unique ones only that they do not)
    replies_include_automatic: bool = True
    #: seconds after a change of interest in which the next one makes no analytics event
    interest_window: float = 600.0
    #: what `expand_crm_events=false` counts once: a contact's first event of each kind, or its first of all
    first_event_of: Literal["kind", "contact"] = "kind"
    #: the unique numbers of a day count its leads; off: a lead counts on the day of its first such event only
    unique_per_day: bool = True
    #: days on which nothing happened have a row of zeros in the daily analytics
    rows_of_quiet_days: bool = False
    #: webhooks are in the workspace's plan; off: registering one is a 402
    webhooks_in_plan: bool = True
    #: `type` of a custom label among the event types
    label_event_type: str = "custom"
    #: a `reply_received` webhook hears of automatic replies too
    auto_replies_to_reply_hooks: bool = False
    #: going back to plain "Lead" is a `lead_neutral` event
    neutral_on_reset: bool = True
    #: seconds between a reply and the event of the label the AI gives it
    label_lag: float = 5.0
    #: `lead_*` events have no `email_account`
    labels_lack_account: bool = True
    #: event types whose payload has only what is documented for all of them, and the lead's data
    bare_payloads: tuple[str, ...] = ()
    #: `email_id` of a reply is the mail it answers; off: the reply itself
    email_id_is_answered_mail: bool = False
    #: `email_sent` has an `email_id` too (not seen everywhere)
    sent_email_id: bool = False
    #: a custom variable named like a key of the payload takes its place
    custom_variables_win: bool = True
    #: seconds a delivery waits at least, and at random on top of that, which changes the order
    delivery_delay: float = 0.0
    delivery_jitter: float = 0.0
    #: the share of deliveries that are made twice
    duplicate_rate: float = 0.0
    #: seconds until an attempt without an answer has failed
    delivery_timeout: float = 10.0
    #: how many attempts are under way at once
    delivery_concurrency: int = 1
    #: how often a failed delivery is tried again, and the seconds before each; the last wait repeats
    delivery_retries: int = 3
    retry_waits: tuple[float, ...] = (1.0, 5.0, 20.0)
    #: 3xx and 4xx are failures like 5xx; off: they end the delivery without a retry and do not count
    refusals_fail: bool = True
    #: failures in a row after which a webhook is disabled; None: never
    disable_after: int | None = 20
    #: what counts as one of them: a delivery that was given up, or every attempt
    disable_counts: Literal["deliveries", "attempts"] = "deliveries"
    #: events for a disabled webhook are logged as failures; off: they leave no trace
    log_while_disabled: bool = False
    #: a delivery has one row in the log, or one per attempt
    log_rows: Literal["attempt", "delivery"] = "attempt"
    #: `retry_successful` is told on all rows of a delivery; off: on the retry's own row
    retry_marks_group: bool = False
    #: days the log is kept; None: for ever
    log_retention_days: float | None = 30.0
    #: the order of `/webhook-events`
    log_order: Literal["asc", "desc"] = "desc"
