"""What a person can do to a table on Airtable's own screen and no API call can.

None of it counts as a modification of the records, unless the switch says so: whether it does is undocumented.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.sandbox.airtable.cells import Writer
from app.sandbox.airtable.errors import ApiError
from app.sandbox.airtable.reads import operand, text
from app.sandbox.airtable.schema import Field, FieldSpec, build
from app.sandbox.airtable.table import Table


def rename_field(table: Table, field: str, name: str) -> None:
    """Renames a field; its id stays."""
    _field(table, field).name = name
    table.schema_changed()


def delete_field(table: Table, field: str) -> None:
    """Deletes a field with all its values; a link field takes its other side along."""
    item = _field(table, field)
    if item is table.primary:
        raise ValueError("The primary field cannot be deleted.")
    _drop(table, item)
    if item.type == "multipleRecordLinks":
        other = table.base.tables[item.options["linkedTableId"]]
        _drop(other, other.fields[item.options["inverseLinkFieldId"]])


def add_field(table: Table, name: str, type: str = "singleLineText", options: dict[str, Any] | None = None) -> None:
    """Adds a field of any type, computed ones included."""
    table.add_field(FieldSpec(name, type, options))


def rename_option(table: Table, field: str, option: str, name: str) -> None:
    """Renames an option of a select; every cell that has it reads differently from then on."""
    item = _field(table, field)
    choice = item.choice_named(option)
    if choice is None:
        raise KeyError(option)
    choice.name = name
    if table.store.switches.schema_change_touches:
        for record in table.records.values():
            if choice.id in (record.values.get(item.id) or ()):
                table.touch(record, (item.id,), by=table.store.owner.id)


def change_type(table: Table, field: str, type: str, options: dict[str, Any] | None = None) -> None:
    """Gives a field another type under the same id; values that do not fit the new type are lost."""
    item = _field(table, field)
    read = operand(item, table)
    texts = {record.id: text(read(record)) for record in table.records.values()}
    fresh = build(FieldSpec(item.name, type, options, item.description), item.id, table.store.new_id)
    item.type, item.options, item.choices = fresh.type, fresh.options, fresh.choices
    table.schema_changed()
    writer = Writer(table, typecast=True)
    for record_id, value in texts.items():
        record = table.records[record_id]
        table.put_raw(record, item.id, _fitting(writer, item, value))
        if table.store.switches.schema_change_touches:
            table.touch(record, (item.id,), by=table.store.owner.id)
    writer.commit()


ACTIONS: dict[str, Callable[..., None]] = {
    "rename_field": rename_field,
    "delete_field": delete_field,
    "add_field": add_field,
    "rename_option": rename_option,
    "change_type": change_type,
}


def _fitting(writer: Writer, item: Field, value: str) -> Any:
    try:
        return writer.cell(item, value or None)
    except ApiError:
        return None


def _drop(table: Table, item: Field) -> None:
    del table.fields[item.id]
    table.schema_changed()
    for record in (*table.records.values(), *table.trash.values()):
        record.values.pop(item.id, None)
        record.touched.pop(item.id, None)


def _field(table: Table, key: str) -> Field:
    item = table.field(key)
    if item is None:
        raise KeyError(key)
    return item
