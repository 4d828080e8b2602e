"""The parameters of list and get calls, from a query string or a JSON body, checked into one shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.airtable.errors import ApiError, invalid_request, unknown_field
from app.sandbox.airtable.schema import Field
from app.sandbox.airtable.switches import Switches
from app.sandbox.airtable.table import Table

ARRAY = re.compile(r"(?P<name>\w+)\[(?P<index>\d*)\](?:\[(?P<key>\w+)\])?")
LISTS = ("fields", "recordMetadata")
BOOLEANS = {"1": True, "true": True, "0": False, "false": False, "": False}
BODY_KEYS = frozenset(
    {
        *("fields", "filterByFormula", "maxRecords", "pageSize", "offset", "sort", "view", "cellFormat"),
        *("returnFieldsByFieldId", "recordMetadata"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How records are to be shown."""

    fields: list[Field] | None = None
    by_id: bool = False
    as_text: bool = False
    comment_count: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One list call."""

    shape: Shape
    page_size: int
    max_records: int | None
    offset: str
    formula: str
    #: field and whether it sorts downwards, most important first
    sort: tuple[tuple[Field, bool], ...]


def from_query(items: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Returns query parameters as the JSON body would have them; arrays may be spelled x, x[] or x[0]."""
    found: dict[str, Any] = {}
    sort: dict[str, dict[str, str]] = {}
    for key, value in items:
        match = ARRAY.fullmatch(key)
        name = match["name"] if match else key
        if match and match["key"]:
            if name == "sort":
                sort.setdefault(match["index"], {})[match["key"]] = value
        elif name in LISTS:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    if sort:
        found["sort"] = [sort[index] for index in sorted(sort, key=lambda i: int(i or 0))]
    if "limit" in found:
        found.setdefault("pageSize", found["limit"])
    for name in ("pageSize", "maxRecords"):
        if name in found:
            found[name] = _integer(found[name])
    if "returnFieldsByFieldId" in found:
        found["returnFieldsByFieldId"] = _boolean(found["returnFieldsByFieldId"])
    return found


def check_body(body: Mapping[str, Any], switches: Switches) -> None:
    """Refuses keys a listRecords body may not have."""
    allowed = BODY_KEYS if switches.refuse_time_zone_in_body else BODY_KEYS | {"timeZone", "userLocale"}
    if body.keys() - allowed:
        raise invalid_request()


def shape(given: Mapping[str, Any], table: Table) -> Shape:
    """Returns how the caller wants records shown."""
    names, metadata = given.get("fields"), given.get("recordMetadata") or []
    by_id, cell_format = given.get("returnFieldsByFieldId", False), given.get("cellFormat", "json")
    if not isinstance(by_id, bool) or cell_format not in ("json", "string") or set(metadata) - {"commentCount"}:
        raise invalid_request()
    if cell_format == "string" and not (given.get("timeZone") and given.get("userLocale")):
        raise invalid_request()
    return Shape(
        fields=None if names is None else [_field(table, name) for name in _strings(names)],
        by_id=by_id,
        as_text=cell_format == "string",
        comment_count=bool(metadata),
    )


def query(given: Mapping[str, Any], table: Table) -> Query:
    """Returns a checked list call."""
    page_size, max_records = given.get("pageSize", 100), given.get("maxRecords")
    offset, formula = given.get("offset") or "", given.get("filterByFormula") or ""
    if not _is_count(page_size) or page_size > 100 or not (max_records is None or _is_count(max_records)):
        raise invalid_request()
    if not isinstance(offset, str) or not isinstance(formula, str):
        raise invalid_request()
    _check_view(given.get("view"), table)
    return Query(
        shape=shape(given, table),
        page_size=page_size,
        max_records=max_records,
        offset=offset,
        formula=formula,
        sort=_sort(given.get("sort") or [], table),
    )


def _sort(given: Any, table: Table) -> tuple[tuple[Field, bool], ...]:
    if not isinstance(given, list):
        raise invalid_request()
    found = []
    for entry in given:
        if not isinstance(entry, dict) or entry.get("direction", "asc") not in ("asc", "desc"):
            raise invalid_request()
        found.append((_field(table, entry.get("field")), entry.get("direction") == "desc"))
    return tuple(found)


def _check_view(view: Any, table: Table) -> None:
    if not view or view in (table.view_id, "Grid view"):
        return
    kind = "VIEW_ID_NOT_FOUND" if str(view).startswith("viw") and len(str(view)) == 17 else "VIEW_NAME_NOT_FOUND"
    raise ApiError(422, kind, f"View {view} not found")


def _field(table: Table, name: Any) -> Field:
    item = table.field(name) if isinstance(name, str) else None
    if item is None:
        raise unknown_field(str(name))
    return item


def _strings(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise invalid_request()
    return given


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _integer(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise invalid_request() from None


def _boolean(value: str) -> bool:
    if value.lower() not in BOOLEANS:
        raise invalid_request()
    return BOOLEANS[value.lower()]
