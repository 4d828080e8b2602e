"""Refusals in Airtable's own words."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from starlette.responses import Response

from app.sandbox.airtable.switches import RecordError
from app.sandbox.core import Fault, json_response

HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class ApiError(Exception):
    """An answer other than 200; its body has one of three shapes."""

    def __init__(
        self,
        status: int,
        type_: str,
        message: str | None = None,
        *,
        bare: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or type_)
        self.status = status
        self.headers = dict(headers or {})
        named = {"type": type_} if message is None else {"type": type_, "message": message}
        self.body: dict[str, object] = {"error": type_ if bare else named}

    def response(self) -> Response:
        """Returns the refusal as an HTTP answer."""
        return json_response(self.body, self.status, self.headers)


def not_found() -> ApiError:
    return ApiError(404, "NOT_FOUND", bare=True)


def unauthenticated() -> ApiError:
    return ApiError(401, "AUTHENTICATION_REQUIRED", "Authentication required")


def forbidden() -> ApiError:
    return ApiError(
        403,
        "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
        "Invalid permissions, or the requested model was not found. Check that both your user and your token have "
        "the required permissions, and that the model names and/or ids are correct.",
    )


def not_permitted() -> ApiError:
    return ApiError(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation")


def invalid_request() -> ApiError:
    message = "Invalid request: parameter validation failed. Check your request data."
    return ApiError(422, "INVALID_REQUEST_UNKNOWN", message)


def invalid_records() -> ApiError:
    return ApiError(
        422,
        "INVALID_RECORDS",
        'You must provide an array of up to 10 record objects, each with an "id" ID field and a "fields" object '
        "for cell values.",
    )


def unknown_field(name: str) -> ApiError:
    return ApiError(422, "UNKNOWN_FIELD_NAME", f'Unknown field name: "{name}"')


def unknown_record(form: RecordError) -> ApiError:
    """Returns the refusal of a record that does not (or no longer) exist, in the form the switch asks for."""
    match form:
        case "model_id_not_found":
            return ApiError(404, "MODEL_ID_NOT_FOUND", "Record not found")
        case "not_found":
            return ApiError(404, "NOT_FOUND")
        case "not_found_bare":
            return not_found()
        case "forbidden":
            return forbidden()


def missing_row(record_id: object) -> ApiError:
    return ApiError(422, "ROW_DOES_NOT_EXIST", f"Record ID {record_id} does not exist")


def rate_limited(retry_after: float | None) -> ApiError:
    headers = {} if retry_after is None else {"Retry-After": str(max(1, ceil(retry_after)))}
    return ApiError(429, "RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later", headers=headers)


def quota_used_up() -> ApiError:
    return ApiError(
        429,
        "PUBLIC_API_BILLING_LIMIT_EXCEEDED",
        "API billing plan limit exceeded. You've reached the maximum number of requests allowed for this month.",
    )


def worded(fault: Fault) -> Response:
    """Returns the answer of an injected fault as Airtable would word it."""
    if fault.kind == "rate_limit":
        return rate_limited(fault.retry_after).response()
    if fault.kind == "quota":
        return quota_used_up().response()
    if fault.kind == "html" or fault.status == 502:
        return Response(HTML, 502, media_type="text/html")
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return _of_status(fault.status, headers).response()


def _of_status(status: int, headers: dict[str, str]) -> ApiError:
    match status:
        case 401:
            return unauthenticated()
        case 403:
            return forbidden()
        case 404:
            return not_found()
        case 503:
            message = "Server encountered an error while processing your request, and it is safe to retry the request"
            return ApiError(503, "RETRIABLE_ERROR", message, headers=headers)
    return ApiError(status, "SERVER_ERROR", "Server error. Try again.", headers=headers)
