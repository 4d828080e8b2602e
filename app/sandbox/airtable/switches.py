"""The facts about Airtable that could not be settled, each as one switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecordError = Literal["model_id_not_found", "not_found", "not_found_bare", "forbidden"]


@dataclass(slots=True, kw_only=True)
class Switches:
    """How the sandbox behaves where the provider sheet is uncertain; sections are those of that sheet."""

    #: rate limits are applied at all (5.1)
    limiter: bool = True
    #: calls per second to one base (5.1)
    base_rate: int = 5
    #: calls per second by one token (5.1)
    token_rate: int = 50
    #: whether the second of the limit slides or starts anew with each second of the clock (5.1: unknown)
    limiter_window: Literal["sliding", "fixed"] = "sliding"
    #: seconds of refusals after a 429; documented as 30, field reports say 0 (5.1, 11.1)
    penalty_seconds: float = 30.0
    #: 429 answers carry Retry-After (5.1, 11.1)
    retry_after_header: bool = False
    #: data calls per calendar month of the clock, None: unlimited (5.1)
    monthly_quota: int | None = None
    #: how a well-formed but unknown record is refused (5.2, 9.14, 11.2)
    unknown_record: RecordError = "model_id_not_found"
    #: the type of the 401 for a token that does not exist (5.2)
    invalid_login_error: Literal["AUTHENTICATION_REQUIRED", "UNAUTHORIZED"] = "AUTHENTICATION_REQUIRED"
    #: the grain of modification times: recorded as rounded to the nearest second (6.2)
    last_modified_rounding: Literal["nearest", "floor", "exact"] = "nearest"
    #: a write that changes no value still counts as a modification (6.1: unknown)
    unchanged_write_touches: bool = False
    #: option renames and type changes count as modifications of every record they reach (9.15, 11.6)
    schema_change_touches: bool = False
    #: POST listRecords refuses timeZone and userLocale in the body (9.3)
    refuse_time_zone_in_body: bool = True
    #: seconds an unused list iterator lives (2.1: "a few minutes", no official number)
    iterator_seconds: float = 300.0
    #: a record that stopped matching while the list was being paged is left out (2.1)
    iterator_rechecks_filter: bool = True
    #: email, phone and url fields may be merge fields of an upsert (2.3 rule 4, 11.4)
    contact_merge_fields: bool = True
    #: two new records with one key in one upsert: both created, or the request refused (2.3 rule 6, 11.3)
    upsert_duplicate_keys: Literal["create_both", "refuse"] = "create_both"
    #: rich text written as null reads back as a newline (2.2)
    rich_text_null_is_newline: bool = True
    #: computed fields can be created over the API (3, 11.7)
    computed_fields_creatable: bool = False
    #: characters of a URL beyond which a request is refused (2.1)
    url_limit: int = 16_000
