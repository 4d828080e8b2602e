"""Errors as `application/problem+json` (RFC 9457). Nothing a client sent is ever repeated in an answer.

Every error of the rooms below has a status here; the sentence is the error's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from app.db.connections import DuplicateTarget, WebhookSecretTaken
from app.db.idempotency import KeyReused
from app.db.leads import IdentityTaken
from app.db.reviews import AlreadyDecided
from app.db.session import DatabaseUnavailable, Unstorable
from app.db.workspaces import NameTaken
from app.domain.filters import FilterError
from app.domain.mapping import MappingError
from app.errors import LeadkeeperError
from app.providers.base import ProviderError, RateLimited, Refused, Rejected
from app.sync.adjust import NotYours, WrongState
from app.sync.ask import NoSuchConnection, NotActive, NothingToSync
from app.sync.breakers import NotInQuarantine
from app.sync.canonical import InvalidFields
from app.sync.decide import MovedOn, NeedsDecision, NotAConflict
from app.sync.edit import AlreadyClaimed, Gone, Merged, NotClaimed, NotFound, NotOneself, StaleVersion
from app.sync.merge import NotMerged
from app.sync.past import NotYetPast, NotYetThere
from app.sync.plans import NoPlan, PlanChanged
from app.sync.write_back import InNoCampaign, NoSuchCampaign
from app.vault import VaultError

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
#: Seconds after which an unreachable database is worth another try.
DATABASE_RETRY = 2
_BODY = "It is a JSON object, sent with Content-Type: application/json."
_SEE_ERRORS = "The request cannot be taken as it is: see errors."
#: Two sentences of a refused request that its documentation shows, too.
UNKNOWN_FIELD = "There is no such field."
NOT_A_UUID = "It is a UUID, such as 01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10."

#: What each error of the rooms below means over HTTP.
STATUSES: dict[type[LeadkeeperError], int] = {
    NotFound: 404,
    Gone: 404,
    NotYetThere: 404,
    NoSuchConnection: 404,
    NoSuchCampaign: 404,
    Merged: 308,
    StaleVersion: 412,
    AlreadyClaimed: 409,
    NotClaimed: 409,
    NotOneself: 403,
    NotYours: 403,
    InNoCampaign: 409,
    IdentityTaken: 409,
    DuplicateTarget: 409,
    WebhookSecretTaken: 409,
    AlreadyDecided: 409,
    NotMerged: 409,
    MovedOn: 409,
    NotActive: 409,
    NothingToSync: 409,
    WrongState: 409,
    NoPlan: 409,
    PlanChanged: 409,
    VaultError: 409,
    NameTaken: 409,
    NotYetPast: 422,
    NotAConflict: 422,
    NeedsDecision: 409,
    NotInQuarantine: 422,
    InvalidFields: 422,
    MappingError: 422,
    FilterError: 422,
    KeyReused: 422,
    Unstorable: 422,
    Refused: 422,
    Rejected: 422,
    RateLimited: 503,
    ProviderError: 502,
    DatabaseUnavailable: 503,
}
#: Errors that a client may want to tell from others of their status: the last part of their type.
TYPES: Final[dict[type[LeadkeeperError], str]] = {
    Gone: "deleted",
    Merged: "merged",
    StaleVersion: "stale-version",
    AlreadyClaimed: "already-claimed",
    IdentityTaken: "identity-taken",
    KeyReused: "idempotency-key-reused",
}


@dataclass(slots=True)
class Problem(Exception):
    """An answer that is not the one asked for."""

    status: int
    detail: str
    errors: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: the last part of its type, where it is not the status's
    kind: str | None = None


def problem(request_id: str | None, found: Problem) -> Response:
    """Renders a problem."""
    content = orjson.dumps(details(request_id, found), default=str)
    return Response(content, found.status, dict(found.headers), MEDIA_TYPE)


def details(request_id: str | None, found: Problem) -> dict[str, Any]:
    """Returns a problem's members."""
    return {
        "type": urn(found.status, found.kind),
        "title": title(found.status),
        "status": found.status,
        "detail": found.detail,
        "errors": list(found.errors),
        "request_id": request_id,
        **found.extra,
    }


def title(status: int) -> str:
    """Returns the short name of a status."""
    return HTTPStatus(status).phrase


def urn(status: int, kind: str | None = None) -> str:
    """Returns a problem's type."""
    return f"urn:leadkeeper:problem:{kind or title(status).lower().replace(' ', '-')}"


async def _problem(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Problem)
    return problem(request_id(request), exc)


async def _expected(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, LeadkeeperError)
    found = translate(exc)
    if isinstance(exc, Merged):
        _lead_on(request, exc, found)
    return problem(request_id(request), found)


def _lead_on(request: Request, exc: Merged, found: Problem) -> None:
    """Sends a request on to the same address of the survivor; a client that follows repeats it there as it was.

    So one that deletes the lead is not sent on: it would delete the survivor without anybody being asked. Neither is
    one that names the merged lead elsewhere than in its address.
    """
    here, given = request.scope["path"], str(request.path_params.get("lead_id"))
    try:
        is_about_it = UUID(given) == exc.lead_id
    except ValueError:
        is_about_it = False
    if not is_about_it or (request.method == "DELETE" and here.endswith(given)):
        found.status = 409
        return
    query = request.scope["query_string"].decode("latin-1")
    there = quote(here.replace(given, str(exc.survivor), 1))
    found.headers = {"Location": f"{there}?{query}" if query else there}


def translate(exc: LeadkeeperError) -> Problem:
    """Returns what an error of the rooms below is over HTTP."""
    status = next((STATUSES[kind] for kind in type(exc).__mro__ if kind in STATUSES), 500)
    if status == 500:
        log.error("request.unmapped_error", error=type(exc).__name__)
    kind = next((TYPES[kind] for kind in type(exc).__mro__ if kind in TYPES), None)
    found = Problem(status, str(exc) or str(exc.__doc__), kind=kind)
    match exc:
        case InvalidFields():
            found.detail = _SEE_ERRORS
            found.errors = [at(p.message, *p.within, *filter(None, [p.field])) for p in exc.problems]
        case Merged():
            found.extra = {"lead_id": str(exc.survivor)}
        case StaleVersion():
            found.headers = {"ETag": f'"{exc.version}"'}
            found.extra = {"version": exc.version}
        case AlreadyClaimed():
            found.extra = {"claimed_by": exc.holder}
        case IdentityTaken():
            found.extra = {"lead_id": str(exc.owner) if exc.owner else None}
        case DatabaseUnavailable():
            found.headers = {"Retry-After": str(DATABASE_RETRY)}
        case RateLimited():
            found.headers = {"Retry-After": str(max(1, round(exc.retry_after)))}
    return found


def at(detail: str, *path: Any) -> dict[str, str]:
    """Returns one entry of `errors`: why, and the keys that lead to it in the body."""
    return {"pointer": _pointer(path), "detail": detail}


def _pointer(path: Sequence[Any]) -> str:
    """Returns a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


async def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    return problem(request_id(request), invalid(exc.errors(), exc.body))


def invalid(found: Sequence[Any], body: Any) -> Problem:
    """Returns what a validator's errors, with their places in a request and its body, are over HTTP."""
    errors = [_location(error, body) | {"detail": _sentence(error)} for error in found[:20]]
    return Problem(422, _SEE_ERRORS, errors)


def _location(error: Mapping[str, Any], body: Any) -> dict[str, str]:
    """A JSON pointer for what is in the body, the parameter's name for what is not."""
    where, *place = error["loc"]
    if where != "body":
        return {"parameter": str(place[0]) if place else str(where)}
    path = []
    for part in place:
        # of several shapes a value may have, the validator also names the one it tried, which is not in the body
        if part in (body if isinstance(body, Mapping) else range(len(body)) if isinstance(body, list) else ()):
            path.append(part)
            body = body[part]
    if error["type"] == "missing" and place:
        path.append(place[-1])
    if error["type"].startswith("union_tag"):
        # quoted: the field that tells the shapes apart
        path.append(error["ctx"]["discriminator"].strip("'"))
    return {"pointer": _pointer(path)}


def _sentence(error: Mapping[str, Any]) -> str:
    """The validator's sentence; never the value it is about."""
    match error["type"]:
        case "extra_forbidden":
            return UNKNOWN_FIELD
        case "uuid_parsing" | "uuid_type" | "uuid_version":
            return NOT_A_UUID
        case "missing" if error["loc"] == ("body",):
            return _BODY
        case "missing" | "union_tag_not_found":
            return "This is required."
        case "union_tag_invalid":
            return f"It is one of {error['ctx']['expected_tags']}."
        case "too_short":
            return f"It has too few {_counted(error)}: {error['ctx']['min_length']:,} at least."
        case "too_long":
            return f"It has too many {_counted(error)}: {error['ctx']['max_length']:,} at most."
        case "json_invalid":
            return "The body is not valid JSON."
        case "value_error":
            return str(error["ctx"]["error"])
        case "dict_type" | "model_type" | "model_attributes_type":
            return _BODY if error["loc"] == ("body",) else "It is a JSON object."
    return f"{error['msg']}."


def _counted(error: Mapping[str, Any]) -> str:
    return "items" if error["ctx"]["field_type"] == "List" else "characters"


async def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    detail = {
        404: "There is nothing at this address: see /docs.",
        405: "This address knows other methods: see Allow.",
        400: "The body could not be read.",
    }.get(exc.status_code, str(exc.detail))
    headers = dict(exc.headers or {})
    if exc.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    if exc.status_code == 400 and isinstance(exc.__cause__, RequestValidationError):
        # what reading the body strictly has found; the framework hides it behind a sentence of its own
        detail = _sentence(exc.__cause__.errors()[0])
    return problem(request_id(request), Problem(exc.status_code, detail, headers=headers))


_HANDLERS: Final[dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    Problem: _problem,
    LeadkeeperError: _expected,
    RequestValidationError: _invalid,
    HTTPException: _http,
}


def install(app: FastAPI) -> None:
    """Lets an app answer every error with a problem."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def answered(request: Request, exc: Exception) -> Response:
    """Returns the answer to an error; raises one that nobody expected again."""
    for kind in type(exc).__mro__:
        if kind in _HANDLERS:
            return await _HANDLERS[kind](request, exc)
    raise exc


def _methods(request: Request) -> list[str]:
    """Returns every method an address knows; a route only knows its own."""
    path = request.scope["path"]
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    # an address that is named in full is no id, whatever the pattern of ids says
    routes = [route for route in routes if route.path == path] or routes
    found = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def request_id(request: Request) -> str | None:
    """Returns the id this request is known by."""
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found
