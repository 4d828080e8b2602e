"""Airtable's words: what its refusals mean for a connection, and its columns as it describes them.

Two decisions: a 404 of a read is about the base or the table (reads never address one record), so it stops the
connection instead of parking its records one by one; and a column type that is unknown here is read only.
"""

from __future__ import annotations

import re
from typing import Final

from app.providers.answers import Failure
from app.providers.base import JSON, Column, CursorExpired, ProviderError, QuotaUsedUp, Refused, Rejected

WRITABLE: Final = frozenset(
    {
        *("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber", "barcode"),
        *("number", "currency", "percent", "duration", "rating", "checkbox", "date", "dateTime"),
        *("singleSelect", "multipleSelects", "singleCollaborator", "multipleCollaborators"),
        *("multipleRecordLinks", "multipleAttachments"),
    }
)
EXPIRED: Final = frozenset({"LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "INVALID_OFFSET_VALUE"})
NO_TABLE: Final = frozenset({"TABLE_NOT_FOUND", "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"})
#: where a message names the column it complains about, by id or by name
COLUMN_IN_MESSAGE: Final = (
    re.compile(r'Unknown field name: "(.+)"'),
    re.compile(r"Unknown field names: ([^,]+)"),
    re.compile(r'Field "(.+)" cannot accept'),
    re.compile(r"in field .*\((fld\w+)\)"),
)
#: the doubled quotes are real
OPTION_IN_MESSAGE: Final = re.compile(r'select option "{1,2}(.+?)"{0,2}\.?$')


def explain(failure: Failure, *, base_id: str, table_id: str) -> ProviderError | None:
    """Returns what a refusal means, or None where the status code says enough."""
    if "BILLING_LIMIT" in failure.kind:
        return QuotaUsedUp(
            "The monthly Airtable API calls of this workspace are used up; Airtable answers again on the 1st of next "
            f"month, or after the plan is raised. ({failure.message})"
        )
    if failure.kind in EXPIRED:
        return CursorExpired(f"Airtable has forgotten the list position ({failure.kind}); the listing starts again.")
    if failure.status in (401, 402, 403) or (failure.status == 404 and (failure.safe or failure.kind in NO_TABLE)):
        return _refused(failure, base_id, table_id)
    if failure.status in (400, 404, 409, 413, 422):
        return _rejected(failure)
    return None


def _refused(failure: Failure, base_id: str, table_id: str) -> Refused:
    return Refused(
        f"{_remedy(failure, base_id, table_id)} (Airtable, {failure.status}: {failure.message})",
        details={"kind": failure.kind, "column": _column(failure.message)},
    )


def _remedy(failure: Failure, base_id: str, table_id: str) -> str:
    if failure.status == 401:
        return "Airtable does not know this token: create a personal access token and store it in the account."
    if failure.status == 402:
        return f"The Airtable plan of base {base_id} does not allow this: raise the plan."
    if not failure.is_json:
        return "Something between here and Airtable refuses the call (its answer is not Airtable's): check the network."
    if failure.path.startswith("/v0/meta/"):
        return (
            f"Airtable does not show the columns of base {base_id} to this token: give the token the scope "
            "schema.bases:read and add the base to it."
        )
    if failure.kind in NO_TABLE or failure.status == 404:
        scope = "data.records:read" if failure.safe else "data.records:write"
        role = "" if failure.safe else ", and its user must be an editor there"
        return (
            f"Airtable does not show table {table_id} of base {base_id} to this token, or it is gone: give the token "
            f"the scope {scope} and add the base to it{role}."
        )
    return (
        f"Airtable does not permit this in table {table_id} of base {base_id}: the token needs the scopes "
        "data.records:read and data.records:write, and its user the editor role and no field or table locked to it."
    )


def _rejected(failure: Failure) -> Rejected:
    error = Rejected(
        f"Airtable rejected the call: {failure.message}", kind=failure.kind, column=_column(failure.message)
    )
    if failure.kind == "INVALID_MULTIPLE_CHOICE_OPTIONS" and (match := OPTION_IN_MESSAGE.search(failure.message)):
        error.details["option"] = match[1]
    return error


def _column(message: str) -> str | None:
    matches = (pattern.search(message) for pattern in COLUMN_IN_MESSAGE)
    return next((match[1] for match in matches if match), None)


def column_of(field: dict[str, JSON]) -> Column:
    """Returns one field of the schema as a column."""
    options = field.get("options")
    options = options if isinstance(options, dict) else {}
    kind = str(field.get("type") or "")
    result = options.get("result")
    watched = options.get("referencedFieldIds") if kind == "lastModifiedTime" else None
    return Column(
        id=field["id"],
        name=str(field.get("name") or field["id"]),
        type=kind,
        writable=kind in WRITABLE,
        options=_choices(options),
        has_time=kind == "lastModifiedTime" and isinstance(result, dict) and result.get("type") == "dateTime",
        watches=tuple(map(str, watched)) if isinstance(watched, list) and watched else None,
    )


def _choices(options: dict[str, JSON]) -> tuple[str, ...]:
    choices = options.get("choices")
    if not isinstance(choices, list):
        return ()
    return tuple(c["name"] for c in choices if isinstance(c, dict) and isinstance(c.get("name"), str))
