"""The OpenAPI document's finish: every error with an example, every answer with one, who may call what.

Roles, sizes and errors are read from what the routes declare, so that the document cannot say something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api import headers
from app.api.deps import Allow, expected_version, session_of
from app.api.errors import MEDIA_TYPE, NOT_A_UUID, TYPES, UNKNOWN_FIELD, title, urn
from app.api.once import idempotency_of
from app.api.query import unknown
from app.api.schemas.problem import ProblemDetails
from app.db.session import Role
from app.sync.edit import Merged, StaleVersion

TITLE: Final = "Leadkeeper"
DESCRIPTION: Final = (
    "One golden record per lead, kept in agreement with Airtable and Instantly, field by field.\n\n"
    "Send an API key as `Authorization: Bearer lk_…` or `X-API-Key`; operators choose a workspace with `X-Workspace`. "
    "Errors are `application/problem+json`. Lists are paged by cursor. Leads carry their version as `ETag`: send it as "
    "`If-Match` to be told (412) instead of overwriting. Every POST with an effect takes an `Idempotency-Key`: it "
    "has one effect and one answer then, however often it is sent within a day. Testing a connection has no effect and "
    "a webhook's delivery is known by its content: a key means nothing to these two. Every answer has an "
    "`X-Request-ID`, also one that a request brought along. HEAD is answered as GET is, without the body."
)
TAGS: Final = [
    {"name": "leads", "description": "The golden records: create, read, change, delete."},
    {"name": "duplicates", "description": "Pairs that may be one person: scan, dismiss, merge."},
    {"name": "working a lead", "description": "Claim it, let it go, add notes, choose its campaigns."},
    {"name": "a lead's story", "description": "What changed, why it holds what it holds, where it stands elsewhere."},
    {"name": "live", "description": "Changes as they happen, as server-sent events."},
    {"name": "sync", "description": "Start syncs, follow runs, see what waits."},
    {"name": "plans", "description": "See what a sync would do, then apply it."},
    {"name": "decisions", "description": "Conflicts and quarantined changes that wait for a person."},
    {"name": "statistics", "description": "What the leads are, and what the syncs do."},
    {"name": "campaigns", "description": "Mail campaigns, their leads and what is counted of them."},
    {"name": "instantly", "description": "Read Instantly."},
    {"name": "webhooks", "description": "What Instantly delivers: taken in, looked at, applied again."},
    {"name": "admin sync", "description": "For the portal's button and for a cron."},
    {"name": "connections", "description": "Which accounts of which providers, and how they are kept in agreement."},
    {"name": "keys and people", "description": "API keys, users, workspaces, and who did what."},
    {"name": "accounts", "description": "For operators: whose the campaigns of an account are."},
    {"name": "system", "description": "Is it alive, is it ready, what does it count."},
]
_DETAILS: Final[dict[int, str]] = {
    400: "The body could not be read.",
    401: "Send an API key: Authorization: Bearer lk_… or X-API-Key.",
    404: "There is no connection 01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10 in this workspace.",
    409: "Somebody else did something first: the sentence says what, and what to do.",
    412: "The lead is at version 8 by now: read it again, and send that one.",
    413: "The body is larger than 1,000,000 bytes: send less at once.",
    403: "This needs another role.",
    422: "The request cannot be taken as it is: see errors.",
    429: "This key sends more requests than it may: try again in 2 s.",
    502: "The provider did not answer: try again later.",
    503: "The database does not answer; try again in a few seconds. Nothing was changed.",
}
_PROBLEM: Final = {"$ref": "#/components/schemas/ProblemDetails"}
_SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"header": []}]
_WORKSPACE: Final = {
    "name": "X-Workspace", "in": "header", "required": False, "schema": {"type": "string", "format": "uuid"},
    "description": "For operators: the workspace this request is about.",
}  # fmt: skip
_IF_MATCH: Final = {
    "name": "If-Match", "in": "header", "required": False,
    "schema": {"type": "string", "pattern": r'^(\*|(W/)?"?[0-9]{1,18}"?)$'},
    "description": "The ETag the change is based on; 412 if the lead has moved on.",
}  # fmt: skip
_KEY: Final = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "The same key and body have one effect and one answer, for 24 hours.",
}  # fmt: skip


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declares the errors of a route beside those that every route has."""
    return {status: _response(status) for status in statuses}


def describe(app: FastAPI) -> dict[str, Any]:
    """Returns the finished document of an app; the same code gives the same document.

    FastAPI leaves the nulls out of examples, which then lack what their shape requires: they are put back.
    """
    if app.openapi_schema is None:
        order = [tag["name"] for tag in TAGS]
        routes = sorted(_routes(app), key=lambda route: order.index(str(route.tags[0])))
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=routes, tags=TAGS
        )
        components = document.setdefault("components", {})
        shape = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        shapes = components.setdefault("schemas", {})
        shapes |= shape.pop("$defs") | {"ProblemDetails": shape}
        for name, declared in _examples(BaseModel):
            if "example" in shapes.get(name, ()):
                shapes[name]["example"] = declared
        for unused in ("HTTPValidationError", "ValidationError"):
            shapes.pop(unused, None)
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, lk_…"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "webhook": {"type": "apiKey", "in": "header", "name": "X-Webhook-Secret"},
            "webhookBearer": {"type": "http", "scheme": "bearer", "description": "A connection's webhook secret."},
            "webhookQuery": {"type": "apiKey", "in": "query", "name": "secret"},
        }
        components["headers"] = headers.DECLARED
        gets = [path for path, methods in document["paths"].items() if "get" in methods]
        for route in _routes(app):
            for method in sorted(route.methods or ()):
                operation = document["paths"][route.path_format][method.lower()]
                _finish(operation, route, method, shapes)
                headers.declare(operation, route.path_format, method, gets)
        app.openapi_schema = document
    return app.openapi_schema


def roles(route: APIRoute) -> list[str] | None:
    """Returns the roles a route lets in; None for one that asks for no key."""
    for found in route.dependencies:
        if isinstance(found.dependency, Allow):
            return list(found.dependency.roles)
    return None


def _routes(app: FastAPI) -> Iterator[APIRoute]:
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            yield route


def _examples(base: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Gives the example of every shape of ours that declares one."""
    for shape in base.__subclasses__():
        extra = shape.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and "example" in extra and shape.__module__.startswith("app."):
            yield shape.__name__, extra["example"]
        yield from _examples(shape)


def _finish(operation: dict[str, Any], route: APIRoute, method: str, shapes: dict[str, Any]) -> None:
    allowed = roles(route)
    parameters = operation.setdefault("parameters", [])
    statuses: list[int] = []
    if allowed is not None:
        operation["security"] = _SECURITY
        operation["x-roles"] = allowed
        operation["description"] = f"{operation.get('description', '')}\n\nRoles: {', '.join(allowed)}.".strip()
        # a query that names what it does not know is refused by each
        statuses += [401, 403, 422, 429, 503]
        parameters.append(_WORKSPACE)
    given = {dependency.call for dependency in route.dependant.dependencies}
    if expected_version in given:
        parameters.append(_IF_MATCH)
    if idempotency_of in given or (method == "POST" and session_of in given):
        parameters.append(_KEY)
    if "requestBody" in operation or method in ("POST", "PUT", "PATCH"):
        statuses.append(413)
    if allowed is None:
        # what needs no key refuses no shape
        operation["responses"].pop("422", None)
    elif "requestBody" in operation:
        statuses.append(400)
        _finish_body(operation["requestBody"], shapes, method)
    for parameter in parameters:
        if parameter["in"] == "path":
            parameter.setdefault("description", f"Which {_thing(parameter['name'])}.")
        # left out is what an optional one can be; a null cannot be sent outside of a body
        match parameter["schema"]:
            case {"anyOf": [shape, {"type": "null"}], **beside}:
                parameter["schema"] = {**shape, **beside}
    _finish_answers(operation["responses"], statuses, shapes)
    _tell(operation, allowed or [])
    if not parameters:
        del operation["parameters"]


def _finish_body(body: dict[str, Any], shapes: dict[str, Any], method: str) -> None:
    content = body["content"]["application/json"]
    if (found := _example(content["schema"], shapes)) is not None:
        content["example"] = found
    if method == "PATCH":
        body["content"]["application/merge-patch+json"] = content


def _finish_answers(responses: dict[str, Any], statuses: list[int], shapes: dict[str, Any]) -> None:
    for status in statuses:
        if status == 422 or str(status) not in responses:
            # the framework's own 422 is not ours
            responses[str(status)] = _response(status)
    for code, response in responses.items():
        media = response.get("content", {}).get("application/json")
        if media is not None and (found := _example(media.get("schema", {}), shapes)) is not None:
            media["example"] = found
        if code in ("200", "201", "202"):
            response["description"] = title(int(code))
    in_order = sorted(responses.items())
    responses.clear()
    responses.update(in_order)


def _tell(operation: dict[str, Any], allowed: list[str]) -> None:
    """Lets the errors' examples be about this operation."""
    given = [p for p in operation["parameters"] if p["in"] in ("path", "query")]
    about = [_thing(p["name"]) for p in given if p["in"] == "path" and p["name"].endswith("_id")]
    for code, response in operation["responses"].items():
        content = response.get("content", {}).get(MEDIA_TYPE, {}).get("example", {})
        match code:
            case "403":
                other = next(role for role in get_args(Role) if role not in allowed)
                content["detail"] = (
                    f"This needs a key with the role {' or '.join(allowed)}; yours has the role {other}."
                )
            case "404" if about:
                content["detail"] = content["detail"].replace("connection", about[-1])
            case "422" if "requestBody" in operation:
                content["errors"] = [{"pointer": "/colour", "detail": UNKNOWN_FIELD}]
            case "422" if given:
                content["errors"] = [{"parameter": given[0]["name"], "detail": _wrong(given[0]["schema"])}]
            case "422":
                found = unknown("parameter", "colour", [])
                content |= {"detail": found.detail, "errors": found.errors, **found.extra}


def _thing(parameter: str) -> str:
    return parameter.removesuffix("_id").replace("_", " ")


def _wrong(schema: dict[str, Any]) -> str:
    if schema.get("format") == "uuid":
        return NOT_A_UUID
    return (
        f"Input should be less than or equal to {schema['maximum']}." if "maximum" in schema else "It cannot be read."
    )


def _example(schema: dict[str, Any], shapes: dict[str, Any]) -> Any:
    """Returns the example declared with a shape; of several shapes the first one's."""
    for found in (schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        name = found.get("$ref", "").rpartition("/")[2]
        if name in shapes and "example" in shapes[name]:
            return shapes[name]["example"]
    return None


def _response(status: int) -> dict[str, Any]:
    if status == 304:
        return {"description": "Not Modified"}
    if status == 308:
        return {
            "description": "The lead was merged into another one: see Location.",
            "content": _problem(
                308,
                "Lead 01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10 was merged into 01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a11:"
                " use that one.",
            ),
        }
    return {"description": HTTPStatus(status).phrase, "content": _problem(status, _DETAILS[status])}


def _problem(status: int, detail: str) -> dict[str, Any]:
    content = {
        "type": urn(status, {308: TYPES[Merged], 412: TYPES[StaleVersion]}.get(status)),
        "title": title(status),
        "status": status,
        "detail": detail,
        "errors": [],
        "request_id": "01980a3c5f6e7c3a9d550c8f4f2f6a10",
    }
    return {MEDIA_TYPE: {"schema": dict(_PROBLEM), "example": content}}
