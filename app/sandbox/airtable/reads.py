"""How cells are shown: as JSON, as text, and as values a formula can work on.

A reader returns None for everything the API leaves out: empty text, empty lists, unchecked boxes.
Numbers stay, zero included.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.sandbox.airtable.schema import Field, is_date_only, referenced
from app.sandbox.airtable.times import instant, iso, parse

if TYPE_CHECKING:
    from app.sandbox.airtable.table import Record, Table

Reader = Callable[["Record"], Any]


def readers(table: Table, fields: list[Field] | None = None, *, by_id: bool = False) -> list[tuple[str, Reader]]:
    """Returns how to read these fields (None: all), under the key each has in the answer."""
    items = list(table.fields.values()) if fields is None else fields
    return [(item.id if by_id else item.name, reader(item, table)) for item in items]


def reader(item: Field, table: Table) -> Reader:
    """Returns the function that reads one field as JSON."""
    fid, people = item.id, table.store.person_cell
    match item.type:
        case "singleSelect":
            return lambda r: _choice_name(item, r.values.get(fid))
        case "multipleSelects":
            return lambda r: [item.choices[c].name for c in r.values.get(fid, ()) if c in item.choices] or None
        case "singleCollaborator":
            return lambda r: people(r.values.get(fid))
        case "multipleCollaborators":
            return lambda r: [people(one) for one in r.values.get(fid, ())] or None
        case "createdTime" | "lastModifiedTime":
            seconds = moment_reader(item)
            assert seconds is not None
            length = 10 if is_date_only(item) else None
            return lambda r: iso(seconds(r))[:length]
        case "createdBy":
            return lambda r: people(r.created_by)
        case "lastModifiedBy":
            return lambda r: people(r.edited_by)
        case "autoNumber":
            return lambda r: r.number
        case "count":
            link = item.options.get("recordLinkFieldId")
            return lambda r: len(r.values.get(str(link), ()))
    return lambda r: r.values.get(fid)


def _choice_name(item: Field, choice_id: Any) -> str | None:
    choice = item.choices.get(choice_id)
    return choice.name if choice else None


def moment_reader(item: Field) -> Callable[[Record], float] | None:
    """Returns how to read a createdTime or lastModifiedTime field in seconds; None for other types."""
    if item.type == "createdTime":
        return lambda r: r.created
    if item.type != "lastModifiedTime":
        return None
    watched = referenced(item)
    return (lambda r: r.edited) if watched is None else (lambda r: r.edited_among(watched))


def operand(item: Field, table: Table) -> Reader:
    """Returns the function that reads one field for a formula: dates as instants, the rest as they display."""
    read = reader(item, table)
    match item.type:
        case "checkbox":
            return lambda r: bool(read(r))
        case "date" | "dateTime":
            return lambda r: parse(value) if (value := read(r)) else None
        case "createdTime" | "lastModifiedTime" if not is_date_only(item):
            seconds = moment_reader(item)
            assert seconds is not None
            return lambda r: instant(seconds(r))
        case "createdTime" | "lastModifiedTime":
            return lambda r: parse(read(r))
        case "multipleRecordLinks":
            return lambda r: _linked_names(item, table, read(r) or [])
    return lambda r: _flat(read(r))


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("name") or value.get("text") or value.get("filename") or ""
    if isinstance(value, list):
        return [_flat(one) for one in value]
    return value


def _linked_names(item: Field, table: Table, record_ids: list[str]) -> list[str]:
    # Comparisons with linked records work on what the cell displays.
    other = table.base.tables[item.options["linkedTableId"]]
    read = operand(other.primary, other)
    return [text(read(other.records[i])) for i in record_ids if i in other.records]


def text(value: Any) -> str:
    """Returns a formula value as Airtable would concatenate it."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return iso(value.timestamp())
    if isinstance(value, list):
        return ", ".join(text(one) for one in value)
    return str(value)
