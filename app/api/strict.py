"""How a route reads its body and ends: strict JSON, and the transaction's end before the answer.

Python's own JSON reader takes NaN, Infinity and lone surrogates, which no later stage can handle. A handler that lost
a race in the database (a deadlock, a serialization failure) is run once more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from app.api import once, reads

#: How deep a body may nest, and how large a whole number may be.
DEPTH, LARGEST = 64, 2**63 - 1


class StrictRequest(Request):
    """A request whose JSON is what JSON says it is."""

    async def json(self) -> Any:
        """Returns the parsed body; raises a validation error that does not repeat it."""
        if not hasattr(self, "_json"):
            try:
                self._json = orjson.loads(await self.body())
            except orjson.JSONDecodeError:
                raise _refused("The body is not valid JSON (RFC 8259): check it with a JSON validator.") from None
            _check(self._json)
        return self._json


def named(app: Any) -> frozenset[str]:
    """Returns the addresses that routes name in full."""
    if not hasattr(app.state, "named"):
        app.state.named = frozenset(
            route.path for route in app.routes if isinstance(route, APIRoute) and not route.param_convertors
        )
    found: frozenset[str] = app.state.named
    return found


class StrictRoute(APIRoute):
    """A route with strict bodies, whose transactions end inside its handler."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        self.takes = reads.taken(self)
        short = reads.short_way(self)
        self.is_short = short is not None
        self.app = short or self.app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Leaves an address that another route names in full, such as /api/leads/bulk, to that one."""
        found, child = super().matches(scope)
        if found is Match.FULL and self.param_convertors and scope["path"] in named(scope["app"]):
            return Match.NONE, {}
        return found, child

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            await strict.body()

            async def attempt() -> Response:
                async with AsyncExitStack() as stack:
                    # where function-scoped dependencies end: here, so that losing a race can be answered by going again
                    request.scope["fastapi_function_astack"] = stack
                    try:
                        answer = await handler(strict)
                    except once.Repeated as found:
                        return found.answer
                    await once.finish(strict, answer)
                    return answer

            found: Response = await request.app.state.runtime.db.retrying(attempt)
            return found

        return handle


def _check(root: Any) -> None:
    """Refuses what JSON allows and the database does not: NUL, numbers and nesting beyond measure."""
    stack = [(root, 0)]
    while stack:
        value, depth = stack.pop()
        if depth > DEPTH:
            raise _refused(f"The body nests deeper than {DEPTH} levels: flatten it.")
        match value:
            case str():
                _check_text(value)
            case dict():
                for key in value:
                    _check_text(key)
                stack += [(item, depth + 1) for item in value.values()]
            case list():
                stack += [(item, depth + 1) for item in value]
            case bool():
                pass
            case int() if abs(value) > LARGEST:
                raise _refused("The body holds a number that is too large: send it as text.")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _refused("The body holds a NUL character, which text cannot hold: remove it.")


def _refused(sentence: str) -> RequestValidationError:
    return RequestValidationError([{"type": "json", "loc": ("body",), "msg": sentence.rstrip("."), "input": None}])
