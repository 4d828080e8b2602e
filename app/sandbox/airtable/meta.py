"""The schema endpoints: bases, tables and fields, read and created."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.sandbox.airtable.errors import ApiError, invalid_request
from app.sandbox.airtable.schema import COMPUTED, REQUIRED, WRITABLE, FieldSpec, TableSpec, field_model
from app.sandbox.airtable.store import Base, Store, Token
from app.sandbox.airtable.table import Table

BASES_PER_PAGE = 1000


def bases(store: Store, token: Token, offset: str) -> dict[str, Any]:
    """Returns a page of the bases a token reaches."""
    start = int(offset.removeprefix("itr")) if offset.removeprefix("itr").isdigit() else 0
    visible = [base for base in store.bases.values() if token.reaches(base.id)]
    page = visible[start : start + BASES_PER_PAGE]
    answer: dict[str, Any] = {
        "bases": [{"id": base.id, "name": base.name, "permissionLevel": token.permission} for base in page]
    }
    if start + BASES_PER_PAGE < len(visible):
        answer["offset"] = f"itr{start + BASES_PER_PAGE}"
    return answer


def table_model(table: Table, *, visible_fields: bool = False) -> dict[str, Any]:
    """Returns a table as the schema endpoints show it; it has one view that shows everything."""
    view: dict[str, Any] = {"id": table.view_id, "name": "Grid view", "type": "grid"}
    if visible_fields:
        view["visibleFieldIds"] = list(table.fields)
    model: dict[str, Any] = {"id": table.id, "name": table.name, "primaryFieldId": table.primary.id}
    if table.description is not None:
        model["description"] = table.description
    return {**model, "fields": [field_model(item) for item in table.fields.values()], "views": [view]}


def create_base(store: Store, body: Mapping[str, Any]) -> dict[str, Any]:
    """Creates a base with its tables."""
    tables = body.get("tables")
    if not isinstance(body.get("name"), str) or not isinstance(tables, list) or not tables:
        raise invalid_request()
    specs = [_table_spec(store, raw, None) for raw in tables]
    base = store.add_base(body["name"], specs)
    return {"id": base.id, "tables": [table_model(table) for table in base.tables.values()]}


def create_table(base: Base, body: Mapping[str, Any]) -> dict[str, Any]:
    """Creates a table; its first field becomes the primary one."""
    spec = _table_spec(base.store, body, base)
    if base.table(spec.name):
        raise ApiError(422, "DUPLICATE_TABLE_NAME", f'A table named "{spec.name}" already exists')
    return table_model(base.add_table(spec.name, spec.fields, spec.description))


def create_field(table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    """Creates a field of a type the API can create."""
    spec = _field_spec(table.base.store, body, table.base)
    if spec.name in {item.name for item in table.fields.values()}:
        raise ApiError(422, "DUPLICATE_OR_EMPTY_FIELD_NAME", f'A field named "{spec.name}" already exists')
    return field_model(table.add_field(spec))


def update_table(table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    """Changes a table's name or description, nothing else."""
    _check_names(body)
    table.name = body.get("name", table.name)
    table.description = body.get("description", table.description)
    return table_model(table)


def update_field(table: Table, field_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Changes a field's name or description, nothing else."""
    _check_names(body)
    item = table.fields[field_id]
    item.name = body.get("name", item.name)
    item.description = body.get("description", item.description)
    table.schema_changed()
    return field_model(item)


def _check_names(body: Mapping[str, Any]) -> None:
    if not body or body.keys() - {"name", "description"} or not all(isinstance(v, str) for v in body.values()):
        raise invalid_request()


def _table_spec(store: Store, raw: Any, base: Base | None) -> TableSpec:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or not raw.get("fields"):
        raise invalid_request()
    return TableSpec(raw["name"], [_field_spec(store, one, base) for one in raw["fields"]], raw.get("description"))


def _field_spec(store: Store, raw: Any, base: Base | None) -> FieldSpec:
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise invalid_request()
    name, kind, options = raw.get("name"), raw["type"], raw.get("options")
    spec = FieldSpec(str(name or ""), kind, options, raw.get("description"))
    if not spec.name:
        raise ApiError(422, "DUPLICATE_OR_EMPTY_FIELD_NAME", "A field needs a name")
    if kind in COMPUTED and not store.switches.computed_fields_creatable:
        message = f"Creating {kind} fields is not supported at this time"
        raise ApiError(422, "UNSUPPORTED_FIELD_TYPE_FOR_CREATE", message)
    if kind not in WRITABLE | COMPUTED or not isinstance(options, dict | None):
        raise invalid_request()
    if REQUIRED.get(kind, frozenset()) - (options or {}).keys():
        raise _bad_options(spec)
    linked = (options or {}).get("linkedTableId")
    if kind == "multipleRecordLinks" and (base is None or linked not in base.tables):
        raise _bad_options(spec)
    return spec


def _bad_options(spec: FieldSpec) -> ApiError:
    message = f"Invalid options for {spec.name}: the options of {spec.type} are incomplete or wrong"
    return ApiError(422, "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", message)
