"""One table: its records, and the one place where cells change.

Modification times: every write to a non-computed field counts, over the API or on the screen;
a new record's modification time is its creation time. Cells are stored by field id in a normalised form
(option ids, user ids, record ids), so renames reach them without being touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Any

from app.sandbox.airtable import links
from app.sandbox.airtable.cells import Writer
from app.sandbox.airtable.reads import readers
from app.sandbox.airtable.schema import Choice, Field, FieldSpec, build

if TYPE_CHECKING:
    from app.sandbox.airtable.store import Base

Key = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Record:
    """One row; times are seconds since 1970."""

    id: str
    #: counts up within the table and is never used twice
    number: int
    created: float
    edited: float
    created_by: str
    edited_by: str
    #: field id -> stored value; empty cells are absent
    values: dict[str, Any]
    #: field id -> its last change; absent: unchanged since creation
    touched: dict[str, float]

    def edited_among(self, field_ids: tuple[str, ...]) -> float:
        """Returns when one of these fields was last changed."""
        touched, created = self.touched, self.created
        return max([touched.get(fid, created) for fid in field_ids]) if touched else created


class Table:
    """A table of a base; addressed by id or name."""

    def __init__(self, base: Base, name: str, description: str | None = None) -> None:
        self.base = base
        self.store = base.store
        self.id = self.store.new_id("tbl")
        self.view_id = self.store.new_id("viw")
        self.name = name
        self.description = description
        self.fields: dict[str, Field] = {}
        self.records: dict[str, Record] = {}
        #: deleted records, which a person can bring back under the same id
        self.trash: dict[str, Record] = {}
        #: record ids in the order they appeared
        self.births: list[str] = []
        self._numbers = 0
        self._by_name: dict[str, Field] = {}
        self._indexes: dict[tuple[str, ...], dict[Key, set[str]]] = {}

    # As a person on Airtable's own screen -----------------------------------------------------------------------

    def create(self, fields: Mapping[str, Any] | None = None) -> Record:
        """Creates a record as a person would; unknown options of a select are added to it."""
        return self.insert(self._typed(fields or {}), by=self.store.owner.id)

    def edit(self, record_id: str, fields: Mapping[str, Any]) -> Record:
        """Changes cells as a person would."""
        record = self.records[record_id]
        self.change(record, self._typed(fields), by=self.store.owner.id)
        return record

    def delete(self, record_id: str) -> None:
        """Moves a record to the trash."""
        self.remove(self.records[record_id])

    def restore(self, record_id: str) -> Record:
        """Brings a record back from the trash, under the same id and with the same times."""
        record = self.trash.pop(record_id)
        self._place(record)
        for item in self.fields.values():
            if item.type == "multipleRecordLinks" and (linked := record.values.get(item.id)):
                links.mirror(self, item, record, before=[], after=linked)
        return record

    def set_computed(self, record_id: str, values: Mapping[str, Any]) -> None:
        """Sets the results of formula, rollup or lookup fields, which touches no modification time."""
        for name, value in values.items():
            item = self.field(name)
            if item is None or not item.is_computed:
                raise KeyError(name)
            self.records[record_id].values[item.id] = value

    def read(self, record: Record) -> dict[str, Any]:
        """Returns a record's non-empty cells by field name, as the API shows them."""
        cells = {name: read(record) for name, read in readers(self)}
        return {name: value for name, value in cells.items() if value is not None}

    def _typed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        writer = Writer(self, typecast=True)
        cells = writer.cells(fields)
        writer.commit()
        return cells

    # The schema -------------------------------------------------------------------------------------------------

    @property
    def primary(self) -> Field:
        return next(iter(self.fields.values()))

    def field(self, key: str) -> Field | None:
        """Returns the field with this id or name."""
        return self.fields.get(key) or self._by_name.get(key)

    def add_field(self, spec: FieldSpec) -> Field:
        """Creates a field; a link field gets its inverse in the linked table."""
        item = build(spec, self.store.new_id("fld"), self.store.new_id)
        if watched := item.options.get("referencedFieldIds"):
            item.options["referencedFieldIds"] = [self._id_of(key) for key in watched]
        self.fields[item.id] = item
        self.schema_changed()
        if item.type == "multipleRecordLinks" and "inverseLinkFieldId" not in item.options:
            links.add_inverse(self, item)
        return item

    def add_choice(self, item: Field, choice: Choice) -> None:
        """Adds an option to a select field."""
        item.choices[choice.id] = choice

    def schema_changed(self) -> None:
        """Refreshes what is derived from the field list."""
        self._by_name = {item.name: item for item in self.fields.values()}
        self._indexes.clear()

    def _id_of(self, key: str) -> str:
        item = self.field(key)
        return item.id if item else key

    # Cells ------------------------------------------------------------------------------------------------------

    def insert(self, values: Mapping[str, Any], *, by: str) -> Record:
        """Adds a record of stored values."""
        now = self.store.now()
        created = now if self.store.switches.last_modified_rounding == "exact" else float(floor(now))
        self._numbers += 1
        record = Record(
            id=self.store.new_id("rec"),
            number=self._numbers,
            created=created,
            edited=created,
            created_by=by,
            edited_by=by,
            values={},
            touched={},
        )
        self._place(record)
        self._put(record, values)
        return record

    def change(self, record: Record, values: Mapping[str, Any], *, by: str) -> bool:
        """Puts stored values into a record and stamps the fields that changed; tells whether any did."""
        touches = self.store.switches.unchanged_write_touches
        changed = {fid: v for fid, v in values.items() if touches or record.values.get(fid) != v}
        if not changed:
            return False
        record.edited_by = by
        self._put(record, changed)
        self.touch(record, changed, by=by)
        return True

    def touch(self, record: Record, field_ids: Mapping[str, Any] | tuple[str, ...], *, by: str) -> None:
        """Stamps these fields as modified now."""
        stamp = self.stamp()
        record.touched.update(dict.fromkeys(field_ids, stamp))
        record.edited = stamp
        record.edited_by = by

    def stamp(self) -> float:
        """Returns the modification time of an edit made now; it may lie half a second ahead."""
        now = self.store.now()
        match self.store.switches.last_modified_rounding:
            case "nearest":
                return float(floor(now + 0.5))
            case "floor":
                return float(floor(now))
            case "exact":
                return now

    def remove(self, record: Record) -> None:
        """Takes a record out of the table and out of every link to it."""
        for item in self.fields.values():
            if item.type == "multipleRecordLinks" and (linked := record.values.get(item.id)):
                links.mirror(self, item, record, before=linked, after=[])
        self._index(record, add=False)
        del self.records[record.id]
        self.trash[record.id] = record

    def put_raw(self, record: Record, field_id: str, value: Any) -> None:
        """Replaces one cell without stamping it, for changes of the schema."""
        self._put(record, {field_id: value})

    def _place(self, record: Record) -> None:
        self.records[record.id] = record
        self.births.append(record.id)
        self._index(record, add=True)

    def _put(self, record: Record, values: Mapping[str, Any]) -> None:
        self._index(record, add=False)
        for fid, value in values.items():
            before = record.values.get(fid)
            if value is None:
                record.values.pop(fid, None)
            else:
                record.values[fid] = value
            if self.fields[fid].type == "multipleRecordLinks":
                links.mirror(self, self.fields[fid], record, before=before or [], after=value or [])
        self._index(record, add=True)

    # Looking records up by value --------------------------------------------------------------------------------

    def matching(self, field_ids: tuple[str, ...], key: Key) -> set[str]:
        """Returns the ids of the records whose cells equal `key`; the index is built on first use."""
        index = self._indexes.get(field_ids)
        if index is None:
            index = self._indexes[field_ids] = {}
            for record in self.records.values():
                index.setdefault(key_of(record.values, field_ids), set()).add(record.id)
        return index.get(key, set())

    def _index(self, record: Record, *, add: bool) -> None:
        for field_ids, index in self._indexes.items():
            ids = index.setdefault(key_of(record.values, field_ids), set())
            if add:
                ids.add(record.id)
            else:
                ids.discard(record.id)


def key_of(values: Mapping[str, Any], field_ids: tuple[str, ...]) -> Key:
    """Returns the cells of these fields as something hashable."""
    cells = (values.get(fid) for fid in field_ids)
    return tuple(tuple(cell) if isinstance(cell, list) else cell for cell in cells)
