"""The routes of Airtable's Web API.

Order of refusals: route and id syntax, token, limits, visibility, then the request itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.sandbox.airtable import meta, params, writes
from app.sandbox.airtable.errors import (
    ApiError,
    forbidden,
    invalid_records,
    invalid_request,
    missing_row,
    not_found,
    not_permitted,
    unauthenticated,
    unknown_record,
)
from app.sandbox.airtable.limits import Limits
from app.sandbox.airtable.listing import Lister, shown
from app.sandbox.airtable.store import Base, Store, Token
from app.sandbox.airtable.table import Table
from app.sandbox.core import Handler, json_response

BASE_ID = re.compile(r"app[0-9A-Za-z]{14}")
HOST = "https://api.airtable.com"
#: set on a request that the `iterator` fault has hit
EXPIRES = "sandbox.expires"

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One provider call: who makes it, what it asks for, and where the ids it writes are logged."""

    request: Request
    token: Token
    body: Mapping[str, Any]

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def wrote(self) -> list[str]:
        ids: list[str] = self.request.scope.setdefault("sandbox.wrote", [])
        return ids

    def given(self) -> dict[str, Any]:
        """Returns the query parameters, in the shape of a JSON body."""
        return params.from_query(self.request.query_params.multi_items())


class Server:
    """The ASGI application behind the funnel."""

    def __init__(self, store: Store, limits: Limits, lister: Lister, controls: Mapping[str, Handler]) -> None:
        self.store = store
        self.limits = limits
        self.lister = lister
        self.controls = controls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if scope["path"].startswith("/_sandbox/"):
            handler = self.controls.get(scope["path"].rstrip("/"))
            response = await handler(request) if handler else not_found().response()
        else:
            response = await self._respond(request)
        # A client takes its watermark from Date: it has to be this clock's, not the machine's.
        response.headers["Date"] = format_datetime(self.store.clock.now(), usegmt=True)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        raw = await request.body()
        try:
            return json_response(self._answer(request, raw))
        except ApiError as exc:
            return exc.response()

    def _answer(self, request: Request, raw: bytes) -> Answer:
        parts = _segments(request.scope)
        _check_route(request.method, parts)
        if len(HOST) + len(request.scope["raw_path"]) + 1 + len(request.scope["query_string"]) > self._url_limit:
            raise ApiError(414, "REQUEST_URI_TOO_LONG")
        token = self._authenticate(request)
        is_meta = parts[0] == "meta"
        base_id = parts[2] if is_meta and len(parts) > 2 else None if is_meta else parts[0]
        self.limits.charge(token.secret, base_id, is_data=not is_meta)
        call = Context(request=request, token=token, body=_json(raw) if request.method in WITH_BODY else {})
        return self._meta(call, parts[1:]) if is_meta else self._data(call, parts)

    @property
    def _url_limit(self) -> int:
        return self.store.switches.url_limit

    def _authenticate(self, request: Request) -> Token:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise unauthenticated()
        if token := self.store.tokens.get(secret.strip()):
            return token
        if self.store.switches.invalid_login_error == "UNAUTHORIZED":
            raise ApiError(401, "UNAUTHORIZED", "Invalid authentication token")
        raise unauthenticated()

    # Records ----------------------------------------------------------------------------------------------------

    def _data(self, call: Context, parts: list[str]) -> Answer:
        table = self._table(call, parts[0], parts[1])
        match call.method, parts[2:]:
            case "GET", []:
                return self._list(call, table, call.given())
            case "POST", ["listRecords"]:
                params.check_body(call.body, self.store.switches)
                zone = {key: v for key, v in call.given().items() if key in ("timeZone", "userLocale")}
                return self._list(call, table, {**call.body, **zone})
            case "GET", [record_id]:
                return self._get(call, table, record_id)
        if not call.token.can_write:
            raise not_permitted()
        if call.method == "DELETE":
            return self._delete(call, table, parts[2:])
        write = writes.Request(table, call.token, call.body, call.wrote)
        if call.method == "POST":
            return write.create()
        clears = call.method == "PUT"
        return write.update_one(parts[2], clears=clears) if parts[2:] else write.update_many(clears=clears)

    def _list(self, call: Context, table: Table, given: Mapping[str, Any]) -> Answer:
        query = params.query(given, table)
        expires = call.request.scope.get(EXPIRES)
        if expires and query.offset:
            self.lister.expire(query.offset)
        answer = self.lister.answer(table, query)
        if expires:
            self.lister.expire(answer.get("offset", ""))
        return answer

    def _get(self, call: Context, table: Table, record_id: str) -> Answer:
        # Any record of the base is returned, whichever table the path names.
        found = table.base.find_record(record_id)
        if found is None:
            raise unknown_record(self.store.switches.unknown_record)
        given = {key: value for key, value in call.given().items() if key in ONE_RECORD}
        return shown([found[1]], found[0], params.shape(given, found[0]))[0]

    def _delete(self, call: Context, table: Table, rest: list[str]) -> Answer:
        if rest:
            form = self.store.switches.unknown_record
            return dict(writes.delete(table, rest, call.wrote, unknown=lambda _: unknown_record(form))[0])
        items = call.request.query_params.multi_items()
        ids = [value for key, value in items if key.partition("[")[0] == "records"]
        if not ids:
            raise invalid_records()
        return {"records": writes.delete(table, ids, call.wrote, unknown=missing_row)}

    def _base(self, call: Context, base_id: str) -> Base:
        base = self.store.bases.get(base_id)
        if base is None or not call.token.reaches(base_id):
            raise forbidden()
        return base

    def _table(self, call: Context, base_id: str, key: str) -> Table:
        table = self._base(call, base_id).table(key)
        if table is None:
            raise forbidden()
        return table

    # The schema -------------------------------------------------------------------------------------------------

    def _meta(self, call: Context, parts: list[str]) -> Answer:
        match call.method, parts:
            case "GET", ["whoami"]:
                return {"id": call.token.user.id, "email": call.token.user.email}
            case "GET", ["bases"]:
                return meta.bases(self.store, call.token, call.given().get("offset", ""))
            case "GET", ["bases", base_id, "tables"]:
                includes = {value for key, value in call.request.query_params.multi_items() if key[:7] == "include"}
                tables = self._base(call, base_id).tables.values()
                wants = "visibleFieldIds" in includes
                return {"tables": [meta.table_model(table, visible_fields=wants) for table in tables]}
        return self._change_schema(call, parts)

    def _change_schema(self, call: Context, parts: list[str]) -> Answer:
        base = self._base(call, parts[1]) if len(parts) > 1 else None
        if not call.token.can_edit_schema:
            raise not_permitted()
        match parts:
            case ["bases"]:
                return meta.create_base(self.store, call.body)
            case ["bases", base_id, "tables"]:
                return meta.create_table(self._base(call, base_id), call.body)
            case ["bases", base_id, "tables", key]:
                return meta.update_table(self._table(call, base_id, key), call.body)
            case ["bases", base_id, "tables", key, "fields"]:
                return meta.create_field(self._table(call, base_id, key), call.body)
        assert base is not None
        table = self._table(call, base.id, parts[3])
        if parts[5] not in table.fields:
            raise forbidden()
        return meta.update_field(table, parts[5], call.body)


WITH_BODY = ("POST", "PATCH", "PUT")
ONE_RECORD = ("cellFormat", "timeZone", "userLocale", "returnFieldsByFieldId")
#: what is allowed at which depth below /v0/{base}/{table} and /v0/meta
DATA_METHODS = {2: ("GET", "POST", "PATCH", "PUT", "DELETE"), 3: ("GET", "PATCH", "PUT", "DELETE")}
META_ROUTES = {
    (("whoami",), 2): ("GET",),
    (("bases",), 2): ("GET", "POST"),
    (("bases", "tables"), 4): ("GET", "POST"),
    (("bases", "tables"), 5): ("PATCH",),
    (("bases", "tables", "fields"), 6): ("POST",),
    (("bases", "tables", "fields"), 7): ("PATCH",),
}


def _segments(scope: Scope) -> list[str]:
    # The raw path: a table's name may itself contain an encoded slash.
    path = scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    first, *rest = path.strip("/").split("/")
    if first != "v0" or not rest:
        raise not_found()
    return [unquote(part) for part in rest]


def _check_route(method: str, parts: list[str]) -> None:
    """Refuses undefined routes and malformed ids, which Airtable does before it looks at the token."""
    if parts[0] == "meta":
        key = (tuple(parts[1::2]), len(parts))
        if method not in META_ROUTES.get(key, ()) or (len(parts) > 2 and not BASE_ID.fullmatch(parts[2])):
            raise not_found()
        return
    if not BASE_ID.fullmatch(parts[0]) or len(parts) not in (2, 3):
        raise not_found()
    if parts[2:] == ["listRecords"]:
        allowed: tuple[str, ...] = ("POST",)
    elif parts[2:] and not writes.RECORD_ID.fullmatch(parts[2]):
        allowed = ()
    else:
        allowed = DATA_METHODS[len(parts)]
    if method not in allowed:
        raise not_found()


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        raise ApiError(400, "INVALID_REQUEST_BODY", "Could not parse request body") from None
    if not isinstance(body, dict):
        raise invalid_request()
    return body
