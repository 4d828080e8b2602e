"""Creating, updating, upserting and deleting records: checked as a whole, then stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.airtable.cells import Writer
from app.sandbox.airtable.errors import ApiError, invalid_records, invalid_request, missing_row, unknown_record
from app.sandbox.airtable.listing import shown
from app.sandbox.airtable.params import Shape
from app.sandbox.airtable.schema import CONTACT, MERGEABLE, Field
from app.sandbox.airtable.store import Token
from app.sandbox.airtable.table import Record, Table, key_of

RECORD_ID = re.compile(r"rec[0-9A-Za-z]{14}")


@dataclass(slots=True)
class Row:
    """One record of a request; without an id it is to be created."""

    id: str | None
    fields: Mapping[str, Any]
    cells: dict[str, Any]


class Request:
    """One write to one table, on behalf of a token; `wrote` collects the ids it changed."""

    def __init__(self, table: Table, token: Token, body: Mapping[str, Any], wrote: list[str]) -> None:
        typecast, by_id = body.get("typecast") or False, body.get("returnFieldsByFieldId") or False
        if not isinstance(typecast, bool) or not isinstance(by_id, bool):
            raise invalid_request()
        self.table = table
        self.body = body
        self.wrote = wrote
        self.by = token.user.id
        self.shape = Shape(by_id=by_id)
        self.writer = Writer(table, typecast=typecast, may_add_choices=token.can_edit_schema)

    def create(self) -> dict[str, Any]:
        """Creates one record or up to ten."""
        self._allow("records", "fields")
        many = "records" in self.body
        rows = self._rows() if many else [self._single(None)]
        self._normalise(rows, clears=False)
        return self._answer([self._insert(row) for row in rows], many=many)

    def update_one(self, record_id: str, *, clears: bool) -> dict[str, Any]:
        """Updates one record; `clears` empties every field that is not named (PUT)."""
        self._allow("fields")
        row = self._single(record_id)
        if record_id not in self.table.records:
            raise unknown_record(self.table.store.switches.unknown_record)
        self._normalise([row], clears=clears)
        return self._answer([self._change(row)], many=False)

    def update_many(self, *, clears: bool) -> dict[str, Any]:
        """Updates up to ten records by id, or upserts them."""
        self._allow("records", "performUpsert")
        rows = self._rows()
        upsert = self.body.get("performUpsert")
        if upsert is None:
            if any(row.id is None for row in rows):
                raise invalid_records()
            self._require(rows)
            self._normalise(rows, clears=clears)
            return self._answer([self._change(row) for row in rows], many=True)
        return self._upsert(rows, self._merge_fields(upsert), clears=clears)

    def _upsert(self, rows: list[Row], merge: tuple[Field, ...], *, clears: bool) -> dict[str, Any]:
        self._require([row for row in rows if row.id])
        for row in rows:
            named = {item.id for item in self.writer.fields(row.fields)}
            if row.id is None and not named.issuperset(item.id for item in merge):
                raise invalid_request()
        self._normalise(rows, clears=clears)
        self._match(rows, tuple(item.id for item in merge))
        created = [row.id is None for row in rows]
        records = [self._insert(row) if row.id is None else self._change(row) for row in rows]
        ids = list(zip(created, (record.id for record in records), strict=True))
        return {
            **self._answer(records, many=True),
            "createdRecords": [record_id for is_new, record_id in ids if is_new],
            "updatedRecords": list(dict.fromkeys(record_id for is_new, record_id in ids if not is_new)),
        }

    def _match(self, rows: list[Row], merge: tuple[str, ...]) -> None:
        """Gives each row without an id that of the one record with its key, if there is one."""
        fresh = set()
        for row in rows:
            key = key_of(row.cells, merge)
            # A null in the key created a new record in the live test (rule 5).
            if row.id is not None or None in key:
                continue
            found = self.table.matching(merge, key)
            if len(found) > 1:
                # The documentation has no body for this refusal (rule 2, 11.3).
                raise ApiError(422, "INVALID_REQUEST_UNKNOWN", "Cannot upsert: several records match one key")
            if not found and key in fresh and self.table.store.switches.upsert_duplicate_keys == "refuse":
                raise invalid_request()
            fresh.add(key)
            row.id = next(iter(found), None)

    def _merge_fields(self, upsert: Any) -> tuple[Field, ...]:
        names = upsert.get("fieldsToMergeOn") if isinstance(upsert, dict) else None
        if not isinstance(names, list) or not 1 <= len(names) <= 3 or not all(isinstance(n, str) for n in names):
            raise invalid_request()
        items = self.writer.fields(dict.fromkeys(names))
        allowed = MERGEABLE | (CONTACT if self.table.store.switches.contact_merge_fields else frozenset())
        if any(item.type not in allowed for item in items):
            raise invalid_request()
        return tuple(items)

    def _allow(self, *keys: str) -> None:
        if self.body.keys() - {*keys, "typecast", "returnFieldsByFieldId"}:
            raise invalid_request()

    def _single(self, record_id: str | None) -> Row:
        fields = self.body.get("fields")
        if not isinstance(fields, dict):
            message = 'Could not find field "fields" in the request body'
            raise ApiError(422, "INVALID_REQUEST_MISSING_FIELDS", message)
        return Row(record_id, fields, {})

    def _rows(self) -> list[Row]:
        given = self.body.get("records")
        if not isinstance(given, list) or not 1 <= len(given) <= 10:
            raise invalid_records()
        return [self._row(entry) for entry in given]

    def _row(self, entry: Any) -> Row:
        if not isinstance(entry, dict) or not isinstance(entry.get("fields"), dict):
            raise invalid_records()
        record_id = entry.get("id")
        if record_id is not None and not (isinstance(record_id, str) and RECORD_ID.fullmatch(record_id)):
            raise invalid_records()
        return Row(record_id, entry["fields"], {})

    def _require(self, rows: list[Row]) -> None:
        for row in rows:
            if row.id not in self.table.records:
                raise missing_row(row.id)

    def _normalise(self, rows: list[Row], *, clears: bool) -> None:
        for row in rows:
            self.writer.fields(row.fields)
        for row in rows:
            row.cells = self.writer.cells(row.fields)
            if clears:
                writable = (fid for fid, item in self.table.fields.items() if not item.is_computed)
                row.cells = {**dict.fromkeys(writable), **row.cells}

    def _insert(self, row: Row) -> Record:
        self.writer.commit()
        record = self.table.insert(row.cells, by=self.by)
        self.wrote.append(record.id)
        return record

    def _change(self, row: Row) -> Record:
        self.writer.commit()
        assert row.id is not None
        record = self.table.records[row.id]
        self.table.change(record, row.cells, by=self.by)
        self.wrote.append(record.id)
        return record

    def _answer(self, records: list[Record], *, many: bool) -> dict[str, Any]:
        answers = shown(records, self.table, self.shape)
        return {"records": answers} if many else answers[0]


def delete(table: Table, record_ids: list[str], wrote: list[str], *, unknown: Callable[[str], ApiError]) -> list[Any]:
    """Deletes all of these records or none."""
    if not 1 <= len(record_ids) <= 10 or not all(RECORD_ID.fullmatch(i) for i in record_ids):
        raise invalid_records()
    if len(set(record_ids)) < len(record_ids):
        raise ApiError(422, "FAILED_STATE_CHECK")
    for record_id in record_ids:
        if record_id not in table.records:
            raise unknown(record_id)
    for record_id in record_ids:
        table.remove(table.records[record_id])
        wrote.append(record_id)
    return [{"id": record_id, "deleted": True} for record_id in record_ids]
