"""Linked records: writing one side changes the other, in both tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.sandbox.airtable.schema import Field, FieldSpec

if TYPE_CHECKING:
    from app.sandbox.airtable.table import Record, Table


def add_inverse(table: Table, item: Field) -> None:
    """Creates the field on the other side of a new link field and joins the two."""
    other = table.base.table(str(item.options.get("linkedTableId")))
    if other is None:
        raise KeyError(f"{item.name}: the linked table does not exist")
    item.options["linkedTableId"] = other.id
    name = table.name if other.field(table.name) is None else f"{table.name} ({item.name})"
    spec = FieldSpec(name, item.type, {"linkedTableId": table.id, "inverseLinkFieldId": item.id})
    item.options["inverseLinkFieldId"] = other.add_field(spec).id


def mirror(table: Table, item: Field, record: Record, *, before: list[str], after: list[str]) -> None:
    """Brings the other side in step with a link cell that changed from `before` to `after`."""
    other = table.base.tables[item.options["linkedTableId"]]
    inverse = item.options["inverseLinkFieldId"]
    for linked_id in [*(i for i in before if i not in after), *(i for i in after if i not in before)]:
        linked = other.records.get(linked_id)
        if linked is None:
            continue
        back = [i for i in linked.values.get(inverse, []) if i != record.id]
        if linked_id in after:
            back.append(record.id)
        if back:
            linked.values[inverse] = back
        else:
            linked.values.pop(inverse, None)
        other.touch(linked, (inverse,), by=record.edited_by)
