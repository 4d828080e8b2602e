"""The headers of answers, for the OpenAPI document: which one an answer may have follows from its operation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

_TEXT: Final = {"type": "string"}
#: What clients go by; every answer has an X-Request-ID beside them.
DECLARED: Final[dict[str, dict[str, Any]]] = {
    "ETag": {"schema": _TEXT, "description": "The lead's version in quotes: send it as If-Match or If-None-Match."},
    "Location": {"schema": _TEXT, "description": "Where it is, or where to ask instead."},
    "Link": {"schema": _TEXT, "description": 'The pages beside this one, rel="next" and rel="prev" (RFC 8288).'},
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "Nothing was done: this was answered to an earlier request with this Idempotency-Key.",
    },
    "Content-Disposition": {"schema": _TEXT, "description": "The name of the file."},
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until another try is worth it."},
    "WWW-Authenticate": {"schema": _TEXT, "description": "Bearer."},
}
#: Answers that say where what was started can be followed.
_STARTED: Final = {"Run", "OutreachRequests"}


def declare(operation: dict[str, Any], path: str, method: str, gets: Collection[str]) -> None:
    """Adds their headers to an operation's answers; `gets` are the addresses that can be read."""
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    is_read = any(other.rpartition("/")[0] == path for other in gets)
    for status, response in operation["responses"].items():
        names = _refusal(status) if status >= "300" else _success(status, response, parameters, method, is_read)
        if found := {name: {"$ref": f"#/components/headers/{name}"} for name in names}:
            response["headers"] = found


def _refusal(status: str) -> Iterator[str]:
    match status:
        case "304" | "412":
            yield "ETag"
        case "308":
            yield "Location"
        case "401":
            yield "WWW-Authenticate"
        case "429" | "503":
            yield "Retry-After"


def _success(
    status: str, response: dict[str, Any], parameters: Collection[str], method: str, is_read: bool
) -> Iterator[str]:
    content = response.get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    shapes = {one.get("$ref", "").rpartition("/")[2] for one in (schema, *schema.get("anyOf", ()))}
    if "Lead" in shapes:
        yield "ETag"
    if (status == "201" and is_read) or (method != "GET" and _STARTED & shapes):
        yield "Location"
    if "cursor" in parameters and method == "GET":
        yield "Link"
    if "Idempotency-Key" in parameters:
        yield "Idempotency-Replayed"
    if "text/csv" in content:
        yield "Content-Disposition"
