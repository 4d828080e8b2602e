"""Airtable: one table of one base, by ids throughout.

- Lists always go through POST listRecords: a formula of 100 ids is longer than a URL may be.
- Airtable leaves empty cells out, so a requested column that is absent is empty (None, False for a checkbox), and a
  column that was not requested is not in the cells at all. An answer keyed by names would thereby read as a table of
  empty cells: it is refused.
- A delta is one iterator with one formula from its first page to its last; `since` never moves in between.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import httpx

from app.providers.airtable.words import column_of, explain
from app.providers.answers import Answer, identified, parse_instant
from app.providers.base import (
    JSON,
    Clock,
    Column,
    Cursor,
    CursorExpired,
    Guard,
    Limiter,
    Mode,
    Page,
    Provider,
    Record,
    Refused,
    Resource,
    Unavailable,
    Uncertain,
    Write,
)
from app.providers.http import Funnel, OnCall

API_URL: Final = "https://api.airtable.com"
#: Airtable allows 5 and 50; the rest is room for clocks and for people's other tools
BASE_RATE: Final = 4.5
TOKEN_RATE: Final = 45.0
#: seconds nobody is served after a 429
PENALTY: Final = 30.0
FIND_BATCH: Final = 50


class Airtable(Provider):
    """One table; the token, the base and the columns to be shown are fixed when it is opened.

    Args:
        columns: the ids of the columns that are shown; everything else is neither asked for nor passed on.
        checkboxes: those of them that are checkboxes: absent means False there.
        modified_column: a lastModifiedTime column, for `Record.modified_at`.
        on_call: called after every attempt with "read" or "write" and the status (0: no answer).
    """

    write_batch = 10
    read_batch = 100

    def __init__(
        self,
        *,
        client: httpx.AsyncClient,
        token: str,
        base_id: str,
        table_id: str,
        columns: Sequence[str],
        limiter: Limiter,
        clock: Clock,
        rng: random.Random,
        api_url: str = API_URL,
        checkboxes: frozenset[str] = frozenset(),
        modified_column: str | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        self._base_id = base_id
        self._table_id = table_id
        self._columns = list(columns)
        self._checkboxes = checkboxes
        self._modified = modified_column
        self._path = f"/v0/{quote(base_id, safe='')}/{quote(table_id, safe='')}"
        self._funnel = Funnel(
            client,
            name="Airtable",
            base_url=api_url,
            headers={"Authorization": f"Bearer {token}"},
            resources=resources(token, base_id),
            limiter=limiter,
            clock=clock,
            rng=rng,
            secrets=(token, token.partition(".")[2]),
            explain=partial(explain, base_id=base_id, table_id=table_id),
            penalty=PENALTY,
            on_call=on_call,
        )

    async def schema(self) -> list[Column]:
        """Returns the table's columns; raises `Refused` with the remedy where they are not to be had."""
        path = f"/v0/meta/bases/{quote(self._base_id, safe='')}/tables"
        answer = await self._funnel.request("GET", path, safe=True, expects="tables")
        for table in identified(answer.json["tables"], "airtable"):
            if self._table_id in (table["id"], table.get("name")):
                return [column_of(field) for field in identified(table.get("fields") or [], "airtable")]
        raise Refused(
            f"The Airtable base {self._base_id} has no table {self._table_id} (any more). "
            "Choose another table for this connection, or restore it in Airtable."
        )

    def start(self, mode: Mode, since: str | None = None) -> Cursor:
        """Returns the position before the first page; a delta without `since` is a full listing."""
        return {"mode": mode, "since": since, "offset": None}

    async def page(self, cursor: Cursor) -> Page:
        """Reads up to 100 records with one call; a sweep shows ids and no cells."""
        is_sweep = cursor["mode"] == "sweep"
        since, offset = cursor.get("since"), cursor.get("offset")
        formula = modified_since(since) if cursor["mode"] == "delta" and since else None
        answer = await self._list(self._columns[:1] if is_sweep else self._shown(), formula, offset)
        following = _following(answer, offset)
        return Page(
            records=self._records(answer, with_cells=not is_sweep),
            next={**cursor, "offset": following} if following else None,
            server_time=answer.server_time,
        )

    async def read(self, remote_ids: Sequence[str]) -> list[Record]:
        """Returns the records that exist among `remote_ids`."""
        wanted = set(remote_ids)
        if len(wanted) > self.read_batch:
            raise ValueError(f"At most {self.read_batch} records are read in one call, not {len(wanted)}.")
        if not wanted:
            return []
        tests = ",".join(f"RECORD_ID()={quoted(record_id)}" for record_id in dict.fromkeys(remote_ids))
        return [r for r in await self._collect(f"OR({tests})", enough=len(wanted)) if r.remote_id in wanted]

    async def find(self, column: str, values: Sequence[str]) -> list[Record]:
        """Returns the records whose `column` holds one of `values`, whatever the case."""
        distinct = list(dict.fromkeys(values))
        found: dict[str, Record] = {}
        for first in range(0, len(distinct), FIND_BATCH):
            batch = distinct[first : first + FIND_BATCH]
            tests = ",".join(f"LOWER({{{column}}})=LOWER({quoted(value)})" for value in batch)
            found.update((r.remote_id, r) for r in await self._collect(f"OR({tests})"))
        return list(found.values())

    async def update(self, writes: Sequence[Write], guard: Guard) -> list[Record]:
        """Changes only the cells named in `writes`."""
        if any(write.remote_id is None for write in writes):
            raise ValueError("An update names the record it changes.")
        records = [{"id": write.remote_id, "fields": write.cells} for write in writes]
        return await self._write("PATCH", writes, {"records": records}, guard)

    async def create(self, writes: Sequence[Write], guard: Guard, merge_on: str | None = None) -> list[Record]:
        """Creates records; with `merge_on` the record that holds the same value there is updated instead."""
        body: dict[str, JSON] = {"records": [{"fields": write.cells} for write in writes]}
        if merge_on is None:
            return await self._write("POST", writes, body, guard)
        body["performUpsert"] = {"fieldsToMergeOn": [merge_on]}
        return await self._write("PATCH", writes, body, guard, merge_on)

    async def delete(self, remote_ids: Sequence[str], guard: Guard) -> None:
        """Deletes records; those that are there are looked up first, because Airtable deletes all of them or none."""
        if len(remote_ids) > self.write_batch:
            raise ValueError(f"At most {self.write_batch} records are deleted in one call, not {len(remote_ids)}.")
        there = [record.remote_id for record in await self.read(remote_ids)]
        if there:
            query = "&".join(f"records[]={quote(record_id, safe='')}" for record_id in there)
            await self._funnel.request("DELETE", f"{self._path}?{query}", safe=False, guard=guard, expects="records")

    async def close(self) -> None:
        """Does nothing: the HTTP client belongs to whoever handed it in."""

    def _shown(self) -> list[str]:
        extra = [self._modified] if self._modified and self._modified not in self._columns else []
        return self._columns + extra

    async def _list(self, fields: list[str], formula: str | None, offset: str | None) -> Answer:
        body: dict[str, JSON] = {"pageSize": self.read_batch, "fields": fields, "returnFieldsByFieldId": True}
        if formula is not None:
            body["filterByFormula"] = formula
        if offset is not None:
            body["offset"] = offset
        return await self._funnel.request("POST", f"{self._path}/listRecords", body=body, safe=True, expects="records")

    async def _collect(self, formula: str, enough: int | None = None) -> list[Record]:
        records: dict[str, Record] = {}
        offset: str | None = None
        while True:
            answer = await self._list(self._shown(), formula, offset)
            records.update((r.remote_id, r) for r in self._records(answer))
            offset = _following(answer, offset)
            if offset is None or (enough is not None and len(records) >= enough):
                return list(records.values())

    async def _write(
        self, method: str, writes: Sequence[Write], body: dict[str, JSON], guard: Guard, merge_on: str | None = None
    ) -> list[Record]:
        if len(writes) > self.write_batch:
            raise ValueError(f"At most {self.write_batch} records are written in one call, not {len(writes)}.")
        if not writes:
            return []
        body |= {"typecast": False, "returnFieldsByFieldId": True}
        answer = await self._funnel.request(method, self._path, body=body, safe=False, guard=guard, expects="records")
        items = answer.json["records"]
        if not _answers(writes, items, merge_on):
            raise Uncertain(
                f"Airtable answered a write of {len(writes)} records with other records, or in another order."
            )
        return [self._record(item) for item in items]

    def _records(self, answer: Answer, *, with_cells: bool = True) -> list[Record]:
        items = identified(answer.json["records"], "airtable")
        if any(not _keyed_by_id(item) for item in items):
            raise Unavailable("Airtable answered with column names where column ids were asked for.")
        return [self._record(item, with_cells=with_cells) for item in items]

    def _record(self, item: Mapping[str, JSON], *, with_cells: bool = True) -> Record:
        fields = item.get("fields")
        shown = with_cells and isinstance(fields, dict)
        fields = fields if shown and fields else {}
        return Record(
            key=item["id"],
            remote_id=item["id"],
            cells={column: self._cell(column, fields) for column in self._columns} if shown else {},
            created_at=parse_instant(item.get("createdTime")),
            modified_at=parse_instant(fields.get(self._modified)),
        )

    def _cell(self, column: str, fields: Mapping[str, JSON]) -> JSON:
        value = fields.get(column)
        return False if value is None and column in self._checkboxes else value


def resources(token: str, base_id: str) -> tuple[Resource, Resource]:
    """Returns what a call uses up: the base first, which is what a 429 pauses."""
    digest = hashlib.sha256(token.encode()).hexdigest()[:12]
    return Resource(f"airtable:base:{base_id}", BASE_RATE), Resource(f"airtable:token:{digest}", TOKEN_RATE)


def modified_since(instant: str) -> str:
    """Returns the formula for records modified at or after `instant`."""
    return f"NOT(IS_BEFORE(LAST_MODIFIED_TIME(), DATETIME_PARSE({quoted(instant)})))"


def quoted(value: str) -> str:
    """Returns `value` as a string of Airtable's formula language."""
    for plain, escaped in (("\\", r"\\"), ('"', r"\""), ("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t")):
        value = value.replace(plain, escaped)
    return f'"{value}"'


def _following(answer: Answer, sent: str | None) -> str | None:
    offset = answer.json.get("offset") or None
    if offset is not None and offset == sent:
        raise CursorExpired("Airtable gave the same list position twice; the listing starts again.")
    return offset


def _keyed_by_id(item: Mapping[str, JSON]) -> bool:
    fields = item.get("fields")
    return not isinstance(fields, dict) or all(key.startswith("fld") for key in fields)


def _answers(writes: Sequence[Write], items: Sequence[JSON], merge_on: str | None) -> bool:
    """Whether `items` are the records of `writes`, each once and in their order."""
    usable = identified(items, "airtable")
    ids = [item["id"] for item in usable]
    if len(ids) != len(items) or len(set(ids)) != len(writes) or len(ids) != len(writes):
        return False
    return all(
        _keyed_by_id(item) and write.remote_id in (None, item["id"]) and _same_key(write, item, merge_on)
        for write, item in zip(writes, usable, strict=True)
    )


def _same_key(write: Write, item: Mapping[str, JSON], merge_on: str | None) -> bool:
    fields = item.get("fields")
    if merge_on is None or not isinstance(fields, dict):
        return True
    sent, shown = write.cells.get(merge_on), fields.get(merge_on)
    return not (isinstance(sent, str) and isinstance(shown, str)) or sent.strip() == shown.strip()
