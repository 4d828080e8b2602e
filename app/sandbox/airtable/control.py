"""Airtable's own screen as control endpoints, beside those every sandbox has.

POST /_sandbox/edit     {"table", "record": id | null, "fields": {...} | null, "base"?}: a person edits a record;
                        record null creates it, fields null deletes it, "restore": true brings it back
GET  /_sandbox/records  ?table= &base=: every record with its cells by field name
POST /_sandbox/schema   {"action", "table", "base"?, ...}: the functions of `admin` with their arguments
GET  /_sandbox/schema   every base with its tables and fields
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.sandbox.airtable.admin import ACTIONS
from app.sandbox.airtable.errors import ApiError
from app.sandbox.airtable.listing import shown
from app.sandbox.airtable.meta import table_model
from app.sandbox.airtable.params import Shape
from app.sandbox.airtable.store import Store
from app.sandbox.airtable.table import Table
from app.sandbox.core import Handler, json_response


def control_handlers(store: Store) -> dict[str, Handler]:
    """Returns the handlers by path."""

    async def edit(request: Request) -> Response:
        wanted = await request.json()
        table = _table(store, wanted)
        record_id, fields = wanted.get("record"), wanted.get("fields")
        if wanted.get("restore"):
            record = table.restore(record_id)
        elif record_id is None:
            record = table.create(fields)
        elif fields is None:
            table.delete(record_id)
            return json_response({"id": record_id, "deleted": True})
        else:
            record = table.edit(record_id, fields)
        return json_response(shown([record], table, Shape())[0])

    async def records(request: Request) -> Response:
        table = _table(store, request.query_params)
        return json_response({"records": shown(list(table.records.values()), table, Shape())})

    async def schema(request: Request) -> Response:
        if request.method == "POST":
            wanted = await request.json()
            table = _table(store, wanted)
            action = ACTIONS[wanted.pop("action")]
            action(table, **{key: value for key, value in wanted.items() if key not in ("table", "base")})
            return json_response(table_model(table))
        models = [
            {"id": base.id, "name": base.name, "tables": [table_model(t) for t in base.tables.values()]}
            for base in store.bases.values()
        ]
        return json_response({"bases": models})

    handlers = {"/_sandbox/edit": edit, "/_sandbox/records": records, "/_sandbox/schema": schema}
    return {path: _explained(handler) for path, handler in handlers.items()}


def _table(store: Store, wanted: Mapping[str, Any]) -> Table:
    bases = [store.bases[wanted["base"]]] if wanted.get("base") else list(store.bases.values())
    found = [table for base in bases if (table := base.table(wanted["table"]))]
    if len(found) != 1:
        raise KeyError(f"{wanted['table']} ({len(found)} tables fit)")
    return found[0]


def _explained(handler: Handler) -> Handler:
    async def explained(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as exc:
            return exc.response()
        except KeyError as exc:
            return json_response({"error": f"Not found: {exc.args[0]}"}, 404)
        except (TypeError, ValueError) as exc:
            return json_response({"error": str(exc)}, 422)

    return explained
