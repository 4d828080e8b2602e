"""What Instantly accepts and how it words a refusal."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from app.sandbox.core import json_response
from app.sandbox.instantly.records import Json
from app.sandbox.instantly.switches import Switches

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_BOOL = {True: True, False: False, "true": True, "false": False}

LEAD_FILTERS = {
    "search": "string",
    "filter": "string",
    "campaign": "uuid",
    "list_id": "uuid",
    "in_campaign": "boolean",
    "in_list": "boolean",
    "ids": "array",
    "excluded_ids": "array",
    "contacts": "array",
    "queries": "array",
    "organization_user_ids": "array",
    "smart_view_id": "uuid",
    "is_website_visitor": "boolean",
    "distinct_contacts": "boolean",
    "enrichment_status": "number",
    "esg_code": "string",
}
LIST_LEADS = LEAD_FILTERS | {"limit": "integer", "starting_after": "string"}
MOVE_LEADS = LEAD_FILTERS | {
    "to_campaign_id": "uuid",
    "to_list_id": "uuid",
    "copy_leads": "boolean",
    "check_duplicates": "boolean",
    "check_duplicates_in_campaigns": "boolean",
    "skip_leads_in_verification": "boolean",
    "reset_interest_status": "boolean",
    "ignore_resource_filter_clauses": "boolean",
    "limit": "number",
    "assigned_to": "uuid",
    "esp_code": "number",
}
INTEREST = {
    "lead_email": "string",
    "interest_value": "number,null",
    "campaign_id": "string",
    "list_id": "string",
    "ai_interest_value": "number",
    "disable_auto_interest": "boolean",
}
PATCH_LEAD = {
    **dict.fromkeys(
        ("personalization", "website", "last_name", "first_name", "company_name", "job_title", "phone"), "string,null"
    ),
    "lt_interest_status": "number,null",
    "pl_value_lead": "string,null",
    "assigned_to": "uuid,null",
    "custom_variables": "object",
}
CREATE_LEAD = PATCH_LEAD | {
    "campaign": "uuid,null",
    "list_id": "uuid,null",
    "email": "string,null",
    "skip_if_in_workspace": "boolean",
    "skip_if_in_campaign": "boolean",
    "skip_if_in_list": "boolean",
    "blocklist_id": "uuid",
    "verify_leads_on_import": "boolean",
    "verify_leads_for_lead_finder": "boolean",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was let in."""

    #: the id in the path, empty where it has none
    id: str
    query: QueryParams
    #: the JSON body, None where there is none
    body: Any
    #: takes the ids of the leads that were written
    wrote: list[str]


class Refusal(Exception):
    """An answer other than 2xx; `body` stands in for the canonical one where an endpoint has its own."""

    def __init__(self, status: int, message: str, *, body: Json | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body or {"statusCode": status, "error": HTTPStatus(status).phrase, "message": message}
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def response(self) -> Response:
        return json_response(self.body, self.status, self.headers)


NOT_FOUND = "Resource not found"
Row = TypeVar("Row")
Answer = Callable[[Asked], Response | Awaitable[Response]]
#: method, path below /api/v2, scope, answer
Endpoint = tuple[str, str, str, Answer]


def known(rows: Mapping[str, Row], row_id: str) -> Row:
    """Returns a row, or refuses with 404."""
    row = rows.get(row_id)
    if row is None:
        raise Refusal(404, NOT_FOUND)
    return row


def whole(text: str | None) -> int | None:
    """Returns the query parameter `limit`."""
    if text is None:
        return None
    if not text.lstrip("-").isdigit():
        raise Refusal(400, "querystring/limit must be integer")
    return int(text)


async def read(request: Request, switches: Switches) -> Asked:
    """Takes a request apart; a body that Instantly's parser refuses is a 400 or 415."""
    body = await _body(request, switches)
    wrote = request.scope["sandbox.wrote"]
    return Asked(id=request.path_params.get("id", ""), query=request.query_params, body=body, wrote=wrote)


async def _body(request: Request, switches: Switches) -> Any:
    raw = await request.body()
    is_json = request.headers.get("content-type", "").lower().startswith("application/json")
    if request.method == "GET":
        return None
    if not raw:
        if is_json and switches.empty_json_trap:
            raise Refusal(400, "Body cannot be empty when content-type is set to 'application/json'")
        return None
    if not is_json:
        raise Refusal(415, f"Unsupported Media Type: {request.headers.get('content-type', 'undefined')}")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refusal(400, "Body is not valid JSON but content-type is set to 'application/json'") from None


def checked(body: Any, kinds: Mapping[str, str], switches: Switches, *, required: Iterable[str] = ()) -> Json:
    """Returns the known keys of an object body; unknown ones are dropped in silence, wrong types are a 400."""
    if not isinstance(body, dict):
        raise Refusal(400, "body must be object")
    for key in required:
        if key not in body:
            raise Refusal(400, f"body must have required property '{key}'")
    if switches.refuse_unknown_keys and body.keys() - kinds.keys():
        raise Refusal(400, "body must NOT have additional properties")
    return {key: _one(f"body/{key}", value, kinds[key]) for key, value in body.items() if key in kinds}


def flag(text: str | None) -> bool:
    """Returns a boolean query parameter; missing is false."""
    return (text or "").lower() in ("true", "1")


def _one(where: str, value: Any, kind: str) -> Any:
    base, _, null = kind.partition(",")
    if value is None and null:
        return None
    if base == "uuid":
        if not (isinstance(value, str) and _UUID.match(value)):
            raise Refusal(400, f'{where} must match format "uuid"')
        return value
    if base == "integer" and isinstance(value, str) and value.isdigit():
        return int(value)
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool) or value in ("true", "false"),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    if not fits[base]:
        raise Refusal(400, f"{where} must be {kind}")
    if base == "object" and any(isinstance(inner, dict | list) for inner in value.values()):
        raise Refusal(400, f"{where} must hold scalars")
    return _BOOL[value] if base == "boolean" else value
