"""The short way of reads: which routes take it, what it costs, and that nobody can tell it from FastAPI's own way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import Request
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.routing import Match, Route

from app.api.application import build
from app.api.reads import Parameters, ShortWays, short_way, taken
from app.db.session import Database
from app.main import create_app
from app.runtime import Runtime
from tests.api.conftest import Clients, browser

GETS = [
    route
    for route in build().routes
    if isinstance(route, APIRoute) and route.methods == {"GET"} and route.include_in_schema
]
SHORT = [route for route in GETS if short_way(route) is not None]
VALUES = ("", "7", "0", "-1", "x", "exact", "open", "01980a3c-5f6e-7c3a-9d55-000000000000", "\x00", "é" * 2000)


def test_every_read_takes_the_short_way_but_those_without_a_transaction_of_a_key() -> None:
    assert sorted(route.path for route in GETS if route not in SHORT) == [
        "/api/admin/accounts/{account_id}/campaigns",
        "/api/admin/connections/{connection_id}/schema",
        "/api/admin/workspaces",
        "/api/admin/workspaces/{workspace_id}",
        "/api/events",
        "/api/leads/export",
        "/api/me",
        "/api/sync/runs/{run_id}/events",
        "/healthz",
        "/metrics",
        "/readyz",
    ]


@pytest.mark.parametrize("route", SHORT, ids=lambda route: route.operation_id)
def test_parameters_are_read_and_refused_as_fastapi_does_it(route: APIRoute) -> None:
    names = [field.alias for field in route.dependant.query_params]
    queries: list[dict[str, Any]] = [
        {},
        *({name: value} for name in names for value in VALUES),
    ]
    for place in VALUES[4:8]:
        for query in queries:
            request = asked(route, place, query)

            assert ours(route, request) == theirs(route, request)


def asked(route: APIRoute, place: str, query: dict[str, Any]) -> Request:
    """Returns a request with this in every place of the path, and this query."""
    path_params = dict.fromkeys(route.param_convertors, place)
    query_string = urlencode(query).encode()
    return Request({"type": "http", "path_params": path_params, "query_string": query_string, "headers": []})


def ours(route: APIRoute, request: Request) -> Any:
    """Returns the values, or what is wrong with them."""
    try:
        return Parameters(route.dependant, taken(route)).read(request)
    except RequestValidationError as exc:
        return told(exc.errors())


def theirs(route: APIRoute, request: Request) -> Any:
    """Returns the same as FastAPI finds it."""
    values, errors = request_params_to_args(route.dependant.path_params, request.path_params)
    asked, wrong = request_params_to_args(route.dependant.query_params, request.query_params)
    return told([*errors, *wrong]) or {**values, **asked}


def told(errors: Sequence[Any]) -> list[str]:
    """Returns errors as they read: two exceptions are never equal."""
    return [str(error) for error in errors]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_read_finds_the_route_that_the_router_would_find(method: str) -> None:
    app = build()
    ways, routes = ShortWays(app, routes=app.routes), [route for route in app.routes if isinstance(route, Route)]
    paths = {re.sub(r"{[\w:]+}", place, r.path) for r in routes for place in ("x", "01980a3c", "", "bulk", "a/b")}
    short = 0

    for path in sorted(paths | {"", "/", "/api", "/api/leads/", "/nowhere"}):
        scope = {"type": "http", "method": method, "path": path, "app": app, "headers": []}
        theirs = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
        found = ways.find(scope)

        if theirs is None or not getattr(theirs, "is_short", False):
            assert found is None, path
        elif found is not None:
            short += 1
            assert found is theirs
            assert scope["path_params"] == theirs.matches(scope)[1]["path_params"]
    assert short > 20 or method != "GET"


async def test_a_read_takes_one_connection(team: Clients, runtime: Runtime, member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    counting = Counting(runtime.db._pool)
    app = create_app(runtime=replace(runtime, db=Database(counting)))

    async with browser(app, {"X-API-Key": await team.key("member")}) as client:
        answers = [await client.get(p) for p in (path, "/api/leads", f"{path}/history", "/api/sync/runs")]

    assert [a.status_code for a in answers] == [200] * 4
    assert counting.taken == 4


class Counting:
    """A pool that counts the connections taken from it."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.taken = 0

    def acquire(self, **options: Any) -> Any:
        self.taken += 1
        return self.pool.acquire(**options)

    async def rest(self, connection: Any) -> None:
        await self.pool.rest(connection)

    async def release(self, connection: Any) -> None:
        await self.pool.release(connection)


async def test_a_lead_is_not_read_with_a_key_from_the_moment_it_is_revoked(
    team: Clients, admin: httpx.AsyncClient
) -> None:
    path = (await admin.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    made = (await admin.post("/api/admin/keys", json={"name": "portal", "role": "viewer"})).json()

    async with browser(team.app, {"X-API-Key": made["key"]}) as client:
        before = [await client.get(path) for _ in range(10)]
        await admin.delete(f"/api/admin/keys/{made['id']}")
        after = [await client.get(path) for _ in range(10)]

    assert [a.status_code for a in before] == [200] * 10
    assert [a.status_code for a in after] == [401] * 10


async def test_a_refused_read_leaves_nothing_behind_on_its_connection(team: Clients, runtime: Runtime) -> None:
    await (await team.of("viewer")).get("/api/admin/keys")
    await (await team.of("cron")).get("/api/leads/x")

    async with browser(team.app, {"X-API-Key": "lk_wrong"}) as nobody:
        assert (await nobody.get("/api/leads")).status_code == 401
    for _ in range(10):
        row = await runtime.db.look_up("SELECT current_setting('app.workspace_id', true) AS set")
        assert row["set"] in (None, "")


async def test_answers_say_that_they_vary_with_what_the_reader_takes(member: httpx.AsyncClient) -> None:
    taken = [await member.get("/api/leads", headers={"Accept-Encoding": accepted}) for accepted in ("gzip", "identity")]

    assert [a.headers["vary"] for a in taken] == ["Accept-Encoding"] * 2
