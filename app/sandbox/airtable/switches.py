"""The facts about Airtable that could not be settled, each as one switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecordError = Literal["model_id_not_found", "not_found", "not_found_bare", "forbidden"]


@dataclass(slots=True, kw_only=True)
class Switches:
    """How the sandbox behaves where public material leaves it open."""

    #: rate limits are applied at all
    limiter: bool = True
    #: calls per second to one base
    base_rate: int = 5
    #: calls per second by one token
    token_rate: int = 50
    #: whether the second of the limit slides or starts anew with each second of the clock (unknown)
    limiter_window: Literal["sliding", "fixed"] = "sliding"
    #: seconds of refusals after a 429; documented as 30, field reports say 0
    penalty_seconds: float = 30.0
    #: 429 answers carry Retry-After
    retry_after_header: bool = False
    #: data calls per calendar month of the clock, None: unlimited
    monthly_quota: int | None = None
    #: how a well-formed but unknown record is refused
    unknown_record: RecordError = "model_id_not_found"
    #: the type of the 401 for a token that does not exist
    invalid_login_error: Literal["AUTHENTICATION_REQUIRED", "UNAUTHORIZED"] = "AUTHENTICATION_REQUIRED"
    #: the grain of modification times: recorded as rounded to the nearest second
    last_modified_rounding: Literal["nearest", "floor", "exact"] = "nearest"
    #: a write that changes no value still counts as a modification (unknown)
    unchanged_write_touches: bool = False
    #: option renames and type changes count as modifications of every record they reach
    schema_change_touches: bool = False
    #: POST listRecords refuses timeZone and userLocale in the body
    refuse_time_zone_in_body: bool = True
    #: seconds an unused list iterator lives ("a few minutes", no official number)
    iterator_seconds: float = 300.0
    #: a record that stopped matching while the list was being paged is left out
    iterator_rechecks_filter: bool = True
    #: email, phone and url fields may be merge fields of an upsert
    contact_merge_fields: bool = True
    #: two new records with one key in one upsert: both created, or the request refused
    upsert_duplicate_keys: Literal["create_both", "refuse"] = "create_both"
    #: rich text written as null reads back as a newline
    rich_text_null_is_newline: bool = True
    #: computed fields can be created over the API
    computed_fields_creatable: bool = False
    #: characters of a URL beyond which a request is refused
    url_limit: int = 16_000
