"""What a list of leads may be asked for: declared orders, filters and fields, and nothing else."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson
from fastapi import Request
from starlette.datastructures import QueryParams

from app.api.errors import Problem
from app.api.query import unknown
from app.api.reads import LENGTH, REMEMBERED
from app.api.schemas.shape import DATED
from app.db.lead_list import CAP, FILTERS, ORDERS, Filter, Query
from app.db.lead_queries import COLUMNS
from app.domain import policy
from app.domain.mapping import DECODERS
from app.domain.normalize import Unreadable

_KEYS: Final[dict[str, type]] = {"updated_at": datetime, "id": UUID, "email": str, "next_action_date": date}
#: Values one filter may name.
_VALUES: Final = 100
_LARGEST: Final = 2**31 - 1
#: The largest amount, and the most characters that a number has.
_MOST, _LONGEST = Decimal(10) ** 100, 400
#: Python itself would read 1_000 and other scripts' digits, too.
_DIGITS, _DECIMAL = re.compile(r"[+-]?[0-9]+"), re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")

SORT: Final = "; ".join(
    f"`{name}` ({order.note})" for name, order in ORDERS.items() if not name.startswith("-")
)  # fmt: skip
SORT_NOTE: Final = f"One of {SORT}; with `-` before it the other way round."
FIELDS_NOTE: Final = "What to show of each lead, comma-separated; the id is always there."
COUNT_NOTE: Final = f"Also count them: `capped` up to {CAP:,}, which is fast; `exact` all, slow where there are many."
SEARCH_NOTE: Final = (
    "Words that all occur in name, company, e-mail address, title or notes; the last one may be the beginning of a "
    "word. Case, accents and punctuation do not matter."
)
_ID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "null": {"type": "string", "enum": ["null", "set"]},
    "instant": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "integer": {"type": "integer", "minimum": -_LARGEST, "maximum": _LARGEST},
    "number": {"type": "number", "minimum": -1e100, "maximum": 1e100},
    "boolean": {"type": "boolean"},
    "texts": {"type": "string", "minLength": 1},
    "ids": {"type": "string", "pattern": f"^{_ID}(,{_ID})*$"},
}


def _shape(declared: Filter) -> dict[str, Any]:
    if not declared.among:
        return _SHAPES[declared.kind]
    word = f"({'|'.join(declared.among)})"
    return {"type": "string", "pattern": f"^{word}(,{word})*$"}


PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": f.note[0].upper() + f.note[1:],
        "schema": _shape(f),
    }
    for name, f in FILTERS.items()
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list as a request asks for it."""

    #: tells lists apart, so that a cursor is not used for another one
    name: str
    key_kinds: Sequence[type]
    query: Query


def read(request: Request, sort: str, fields: str | None, search: str | None) -> Wanted:
    """Reads what a request asks for; answers 422 with what is allowed."""
    query: bytes = request.scope["query_string"]
    return (_remembered if len(query) <= LENGTH else _wanted)(query, sort, fields, search)


def _wanted(query: bytes, sort: str, fields: str | None, search: str | None) -> Wanted:
    if sort not in ORDERS:
        raise unknown("sort", "sort", ORDERS)
    filters = filtered(QueryParams(query))
    return Wanted(
        name=f"leads {sort} {sorted(filters.items())} {search or ''}",
        key_kinds=[_KEYS[key] for key in ORDERS[sort].key],
        query=Query(
            order=sort,
            filters=filters,
            search=words(search),
            fields=None if fields is None else frozenset(chosen(fields, COLUMNS)),
        ),
    )


_remembered = lru_cache(REMEMBERED)(_wanted)


def words(search: str | None) -> str | None:
    """Reads the words of a search."""
    if search is not None and "\x00" in search:
        raise _bad("q", "It holds a NUL character.")
    return search


def filtered(query: QueryParams) -> dict[str, Any]:
    """Reads the filters among the parameters of a request."""
    return {name: _value(name, FILTERS[name], value) for name, value in query.items() if name in FILTERS}


def chosen(text: str | None, known: Collection[str]) -> list[str]:
    """Reads a comma-separated choice of fields; None: all of them. Their order is the request's."""
    if text is None:
        return list(known)
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(names) <= set(known):
        raise unknown("field", "fields", known)
    return names


def render(items: Sequence[str], next_cursor: str | None, prev_cursor: str | None, count: int | None) -> bytes:
    """Puts leads that are JSON already into the page's JSON."""
    tail = orjson.dumps({"next_cursor": next_cursor, "prev_cursor": prev_cursor, "count": count})
    return b'{"items":[' + ",".join(items).encode() + b"]," + tail[1:]


def _value(name: str, declared: Filter, text: str) -> Any:
    if "\x00" in text:
        raise _bad(name, "It holds a NUL character.")
    if declared.kind in _READERS:
        read, what = _READERS[declared.kind]
        try:
            return read(text)
        except (ValueError, OverflowError, InvalidOperation, KeyError):
            raise _bad(name, f"It is {what}.") from None
    try:
        values = [value.strip() for value in next(csv.reader([text], strict=True)) or [""]]
    except csv.Error:
        raise _bad(name, 'A value that holds a comma or begins with a quote is quoted: "Smith, Jones".') from None
    if len(values) > _VALUES:
        raise _bad(name, f"It names {len(values)} values; {_VALUES} is the most.")
    if declared.among and not set(values) <= set(declared.among):
        raise _bad(name, f"It is one or more of {', '.join(declared.among)}.")
    if declared.kind == "ids":
        if not all(re.fullmatch(_ID, value) for value in values):
            raise _bad(name, "It is one or more ids, comma-separated.")
        return sorted({UUID(value) for value in values})
    if "" in values:
        raise _bad(name, f"A value is empty: leave it out.{_without(declared.field)}")
    return sorted({_canonical(declared, value) for value in values})


def _canonical(declared: Filter, value: str) -> str:
    """Values are stored in canonical form, so they are looked for in it."""
    kind = policy.FIELDS[declared.field].kind if declared.field in policy.FIELDS else "text"
    if kind not in ("email", "domain"):
        return value
    try:
        return str(DECODERS[kind](value) or value)
    except Unreadable as exc:
        raise _bad(declared.field, f"{exc.plain}{_without(declared.field)}") from None


def _without(field: str) -> str:
    """Says how to ask for leads without a value, where that can be asked."""
    return f" {field}[is]=null finds leads without one." if f"{field}[is]" in FILTERS else ""


def _day(text: str) -> date:
    if not DATED.fullmatch(text):
        raise ValueError
    return date.fromisoformat(text)


def _instant(text: str) -> datetime:
    if not DATED.match(text):
        raise ValueError
    at = datetime.fromisoformat(text.replace(" ", "+"))
    if at.tzinfo is None:
        raise ValueError
    at.utctimetuple()
    return at


def _integer(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError
    number = int(text)
    if abs(number) > _LARGEST:
        raise ValueError
    return number


def _number(text: str) -> Decimal:
    if len(text) > _LONGEST or not _DECIMAL.fullmatch(text):
        raise ValueError
    number = Decimal(text)
    if abs(number) > _MOST:
        raise ValueError
    return number


_READERS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "instant": (_instant, "an instant with its zone, such as 2026-03-02T09:15:00Z"),
    "date": (_day, "a date, such as 2026-03-02"),
    "integer": (_integer, "a whole number below 2,147,483,648"),
    "number": (_number, "a number, such as 12500 or 0.5"),
    "boolean": ({"true": True, "false": False}.__getitem__, "true or false"),
    "null": ({"null": True, "set": False}.__getitem__, "null or set"),
}


def _bad(parameter: str, detail: str) -> Problem:
    return Problem(
        422, f"The filter {parameter} cannot be used as it is.", [{"parameter": parameter, "detail": detail}]
    )
