"""Listing records: an iterator over a live table, not a snapshot.

The first page fixes which records are visited and in which order; each page then reads them as they are by then.
Records deleted meanwhile are skipped, records that no longer match are left out, and records created meanwhile
come at the end of an unsorted list.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.sandbox.airtable.errors import ApiError
from app.sandbox.airtable.formula import Filter, compile_filter
from app.sandbox.airtable.params import Query, Shape
from app.sandbox.airtable.reads import moment_reader, operand, readers, text
from app.sandbox.airtable.schema import Field
from app.sandbox.airtable.store import ALPHABET, Store
from app.sandbox.airtable.table import Record, Table
from app.sandbox.airtable.times import iso

OFFSET = re.compile(r"(?P<iterator>itr[0-9A-Za-z]{14})/(?P<record>rec[0-9A-Za-z]{14})")


@dataclass(slots=True)
class Iterator:
    """One list call on its way through the pages."""

    table: Table
    filter: Filter | None
    ids: list[str]
    #: how many records had ever appeared in the table when the list was last extended
    births: int
    #: new records are appended to the list
    grows: bool
    used_at: float
    #: where the pages handed out so far start, by the record their offset names
    starts: dict[str, int] = field(default_factory=dict)

    def page(self, start: int, size: int, *, rechecks: bool) -> tuple[list[Record], int | None]:
        """Returns the records of a page and the position after it, None where nothing can follow."""
        keeps = self.filter.keeps if self.filter and rechecks else None
        found: list[Record] = []
        at = start
        while len(found) < size and at < self._length(at):
            record = self.table.records.get(self.ids[at])
            if record and (keeps is None or keeps(record)):
                found.append(record)
            at += 1
        return found, at if at < self._length(at) else None

    def _length(self, at: int) -> int:
        born = self.table.births
        if at >= len(self.ids) and self.grows and self.births < len(born):
            fresh = [self.table.records.get(i) for i in born[self.births :]]
            self.ids += [r.id for r in fresh if r and (self.filter is None or self.filter.keeps(r))]
            self.births = len(born)
        return len(self.ids)


class Lister:
    """Answers list calls and keeps their iterators."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        # Reads draw from their own generator, so that they do not change the ids of records created later.
        self.rng = random.Random(seed)
        self.iterators: dict[str, Iterator] = {}

    def expire(self, offset: str) -> None:
        """Forgets the iterator behind an offset."""
        self.iterators.pop(offset.split("/")[0], None)

    def answer(self, table: Table, query: Query) -> dict[str, Any]:
        """Returns one page."""
        key, iterator, start = self._resume(table, query.offset) if query.offset else self._begin(table, query)
        rechecks = bool(query.offset) and self.store.switches.iterator_rechecks_filter
        records, after = iterator.page(start, query.page_size, rechecks=rechecks)
        body: dict[str, Any] = {"records": shown(records, table, query.shape)}
        if after is not None:
            self.iterators[key] = iterator
            next_id = iterator.ids[after]
            iterator.starts[next_id] = after
            body["offset"] = f"{key}/{next_id}"
        return body

    def _begin(self, table: Table, query: Query) -> tuple[str, Iterator, int]:
        now = self.store.now()
        filter_ = compile_filter(query.formula, table) if query.formula else None
        records = list(table.records.values()) if filter_ is None else filter_.select(table)
        for item, is_down in reversed(query.sort):
            records.sort(key=sort_key(item, table), reverse=is_down)
        ids = [record.id for record in records[: query.max_records]]
        grows = not query.sort and query.max_records is None
        key = "itr" + "".join(self.rng.choices(ALPHABET, k=14))
        return key, Iterator(table, filter_, ids, len(table.births), grows, now), 0

    def _resume(self, table: Table, offset: str) -> tuple[str, Iterator, int]:
        match = OFFSET.fullmatch(offset)
        if match is None:
            raise ApiError(422, "INVALID_OFFSET_VALUE", f"The value of offset {offset} is invalid")
        self._expire_old()
        iterator = self.iterators.get(match["iterator"])
        if iterator is None or iterator.table is not table or match["record"] not in iterator.starts:
            raise ApiError(422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
        iterator.used_at = self.store.now()
        return match["iterator"], iterator, iterator.starts[match["record"]]

    def _expire_old(self) -> None:
        oldest = self.store.now() - self.store.switches.iterator_seconds
        for key in [key for key, iterator in self.iterators.items() if iterator.used_at < oldest]:
            del self.iterators[key]


def shown(records: list[Record], table: Table, shape: Shape) -> list[dict[str, Any]]:
    """Returns records as the API answers them; empty cells are left out."""
    columns = readers(table, shape.fields, by_id=shape.by_id)
    if shape.as_text:
        items = list(table.fields.values()) if shape.fields is None else shape.fields
        columns = [(key, as_text(item, table)) for (key, _), item in zip(columns, items, strict=True)]
    answers: list[dict[str, Any]] = []
    for record in records:
        cells = {key: value for key, read in columns if (value := read(record)) is not None}
        answer: dict[str, Any] = {"id": record.id, "createdTime": iso(record.created), "fields": cells}
        if shape.comment_count:
            answer["commentCount"] = 0
        answers.append(answer)
    return answers


def as_text(item: Field, table: Table) -> Callable[[Record], str | None]:
    """Returns the reader for cellFormat=string."""
    read = operand(item, table)
    return lambda record: text(read(record)) or None


def sort_key(item: Field, table: Table) -> Callable[[Record], Any]:
    """Returns what records are ordered by; blanks come first, text ignores case, options go by their position."""
    if seconds := moment_reader(item):
        return seconds
    if item.type == "singleSelect":
        order = {choice_id: at for at, choice_id in enumerate(item.choices)}
        return lambda record: order.get(record.values.get(item.id, ""), -1)
    read = operand(item, table)
    return lambda record: _comparable(read(record))


def _comparable(value: Any) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, value, "")
    return (2, 0.0, text(value).casefold())
