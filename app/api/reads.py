"""Reads take the short way: the key is found and the rows are read in one transaction on one connection.

They are declared like every other route, and asked, answered and refused alike. What is left out is FastAPI's general
solving of dependencies, which costs several times as much as reading a lead does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import errors, query
from app.api.deps import Allow, caller_of, runtime_of, session_of
from app.api.gate import Gatekeeper
from app.runtime import Runtime

#: What such a route may ask for beside its parameters.
_GIVEN = {session_of, caller_of, runtime_of}
#: Queries whose meaning is remembered, per route, and how long they are at most: a portal asks the same ones again.
REMEMBERED: Final = 256
LENGTH: Final = 1_000


def taken(route: APIRoute) -> tuple[str, ...]:
    """Returns the names of the parameters a route knows in its query, also of those it reads by itself."""
    extra = (route.openapi_extra or {}).get("parameters", ())
    declared = (field.alias for field in route.dependant.query_params)
    return *declared, *(p["name"] for p in extra if p["in"] == "query")


def short_way(route: APIRoute) -> ASGIApp | None:
    """Returns an app for a GET that needs a transaction of its caller and parameters; None for any other route."""
    dependant = route.dependant
    allows = [d.call for d in dependant.dependencies if isinstance(d.call, Allow)]
    names: dict[Any, Any] = {d.call: d.name for d in dependant.dependencies if d.call not in allows}
    elsewhere = dependant.header_params or dependant.cookie_params or dependant.body_params
    if route.methods != {"GET"} or session_of not in names or names.keys() - _GIVEN or elsewhere:
        return None
    (allow,) = allows
    endpoint: Any = route.endpoint
    parameters = Parameters(dependant, taken(route))

    async def read(request: Request, runtime: Runtime) -> Response:
        gatekeeper: Gatekeeper = request.app.state.gatekeeper
        async with gatekeeper.enter(request) as (caller, tx):
            allow.check(caller)
            given = parameters.read(request)
            for call, value in ((session_of, tx), (caller_of, caller), (runtime_of, runtime)):
                if call in names:
                    given[names[call]] = value
            if dependant.request_param_name:
                given[dependant.request_param_name] = request
            response: Response = await endpoint(**given)
            return response

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        runtime: Runtime = scope["app"].state.runtime
        try:
            response = await runtime.db.retrying(lambda: read(request, runtime))
        except Exception as exc:
            response = await errors.answered(request, exc)
        await response(scope, receive, send)

    return app


class ShortWays:
    """A layer that takes such a read straight to its route.

    The router and the layers around it, which are for every kind of route, cost about half of what reading a lead does.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        known = [route for route in routes if isinstance(route, Route)]
        #: by address: the short way of what is named in full, or None for what takes another way
        self._named: dict[str, Route | None] = {r.path: None for r in known if not r.param_convertors}
        #: by the address before it: what ends with its only parameter, and that parameter's name
        self._ending: dict[str, tuple[Route, str]] = {}
        for route in known:
            if not getattr(route, "is_short", False):
                continue
            stem, _, last = route.path.rpartition("/")
            if not route.param_convertors:
                self._named[route.path] = route
            elif list(route.param_convertors) == [last[1:-1]]:
                self._ending[stem] = route, last[1:-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        route = self.find(scope)
        await (self._app if route is None else route.app)(scope, receive, send)

    def find(self, scope: Scope) -> Route | None:
        """Returns the route of a read that takes the short way, and notes it in the scope as the router would."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
            return None
        path = scope["path"]
        if path in self._named:
            route, given = self._named[path], {}
        else:
            stem, _, last = path.rpartition("/")
            route, name = self._ending.get(stem, (None, ""))
            given = {name: last}
            route = route if last else None
        if route is not None:
            scope["route"], scope["path_params"] = route, given
        return route


class Parameters:
    """The parameters in a route's path and query, read and refused as FastAPI does it, at a tenth of the price.

    Those in the query hold one value; `takes` names all there may be.
    """

    def __init__(self, dependant: Dependant, takes: Sequence[str]) -> None:
        self._takes = takes
        self._path = [(field.name, field.alias, field.validate) for field in dependant.path_params]
        self._query = [
            (field.name, field.alias, field.validate, ... if field.field_info.is_required() else field.default)
            for field in dependant.query_params
        ]
        self._remembered = lru_cache(REMEMBERED)(self._asked)

    def read(self, request: Request) -> dict[str, Any]:
        """Returns the parameters of a request; raises a validation error that names all that cannot be taken."""
        values: dict[str, Any] = {}
        errors: list[Any] = []
        for name, alias, validate in self._path:
            values[name], wrong = validate(request.path_params[alias], {}, loc=("path", alias))
            errors += wrong
        asked = request.scope["query_string"]
        if asked or self._query:
            found, wrong = self._remembered(asked) if len(asked) <= LENGTH else self._asked(asked)
            values |= found
            errors += wrong
        if errors:
            raise RequestValidationError(errors)
        return values

    def _asked(self, asked: bytes) -> tuple[dict[str, Any], list[Any]]:
        """Returns the parameters in a query, and what is wrong with them."""
        values: dict[str, Any] = {}
        errors: list[Any] = []
        given = query.read(asked, self._takes)
        for name, alias, validate, default in self._query:
            found = given.get(alias)
            if found is not None:
                values[name], wrong = validate(found, {}, loc=("query", alias))
                errors += wrong
            elif default is ...:
                errors.append({"type": "missing", "loc": ("query", alias), "msg": "Field required", "input": None})
            else:
                values[name] = default
        return values, errors
