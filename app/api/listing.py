"""What a list of leads may be asked for: declared orders and filters, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from fastapi import Request

from app.api.errors import Problem
from app.db.lead_queries import FILTERS, ORDERS, Filter
from app.domain import policy
from app.domain.mapping import DECODERS
from app.domain.normalize import Unreadable

_OTHERS: Final = frozenset({"limit", "cursor", "sort", "count"})
_KINDS: Final[dict[str, type]] = {"updated_at": datetime, "id": UUID}
#: Values one filter may name.
_VALUES: Final = 100

PARAMETERS: Final[list[dict[str, Any]]] = [
    {"name": name, "in": "query", "required": False, "description": f.note, "schema": {"type": "string"}}
    for name, f in FILTERS.items()
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list as a request asks for it."""

    #: tells lists apart, so that a cursor is not used for another one
    name: str
    key_kinds: Sequence[type]
    filters: dict[str, Any]


def read(request: Request, sort: str) -> Wanted:
    """Reads the order and the filters of a request; answers 422 with what is allowed."""
    if sort not in ORDERS:
        raise _unknown("sort", "sort", ORDERS)
    filters = filtered(request, _OTHERS)
    return Wanted(f"leads {sort} {sorted(filters.items())}", [_KINDS[key] for key in ORDERS[sort].key], filters)


def filtered(request: Request, besides: Collection[str]) -> dict[str, Any]:
    """Reads the filters of a request that knows these parameters besides."""
    filters: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in besides:
            continue
        if name not in FILTERS:
            raise _unknown("filter", "query", FILTERS)
        filters[name] = _value(name, FILTERS[name], value)
    return filters


def chosen(text: str | None, known: Sequence[str]) -> list[str]:
    """Reads a comma-separated choice of fields; None: all of them. Their order is the request's."""
    if text is None:
        return list(known)
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(names) <= set(known):
        raise _unknown("field", "fields", known)
    return names


def render(items: Sequence[str], next_cursor: str | None, count: int | None) -> bytes:
    """Puts leads that are JSON already into the page's JSON."""
    tail = orjson.dumps({"next_cursor": next_cursor, "count": count})
    return b'{"items":[' + ",".join(items).encode() + b"]," + tail[1:]


def _value(name: str, declared: Filter, text: str) -> Any:
    if "\x00" in text:
        raise _bad(name, "It holds a NUL character.")
    match declared.kind:
        case "null":
            if text not in ("null", "set"):
                raise _bad(name, "It is null or set.")
            return text == "null"
        case "instant":
            try:
                at = datetime.fromisoformat(text.replace(" ", "+"))
                if at.tzinfo is None:
                    raise ValueError
                at.utctimetuple()
            except (ValueError, OverflowError):
                raise _bad(name, "It is an instant with its zone, such as 2026-03-02T09:15:00Z.") from None
            return at
    values = text.split(",")
    if len(values) > _VALUES:
        raise _bad(name, f"It names {len(values)} values; {_VALUES} is the most.")
    return [_canonical(name, value) for value in values]


def _canonical(name: str, value: str) -> str:
    """Values are stored in canonical form, so they are looked for in it."""
    if name in ("status", "source", "created_by"):
        return value
    try:
        return str(DECODERS[policy.field(name).kind](value) or value)
    except Unreadable as exc:
        raise _bad(name, str(exc)) from None


def _unknown(what: str, parameter: str, allowed: Any) -> Problem:
    names = ", ".join(allowed)
    return Problem(
        422,
        f"There is no such {what}: use one of {names}.",
        [{"parameter": parameter, "detail": f"Use one of {names}."}],
        extra={"allowed": list(allowed)},
    )


def _bad(parameter: str, detail: str) -> Problem:
    return Problem(
        422, f"The filter {parameter} cannot be used as it is.", [{"parameter": parameter, "detail": detail}]
    )
