"""What formula values do: truth, equality, order, and the plain functions.

A value is None (blank), a bool, a number, a string, an instant or a list of those.
"""

from __future__ import annotations

import operator
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

from app.sandbox.airtable.reads import text
from app.sandbox.airtable.times import parse


class EvaluationError(Exception):
    """A formula has no value for this record; the record is left out."""


def truth(value: Any) -> bool:
    """Tells whether a record with this result is kept."""
    return bool(value) and not (isinstance(value, float) and isnan(value))


def equal(left: Any, right: Any) -> bool:
    """Compares as Airtable does: blank equals 0, "" and FALSE(); text wins over other types."""
    if isinstance(left, str) or isinstance(right, str):
        return text(left) == text(right)
    if isinstance(left, list) or isinstance(right, list):
        return text(left) == text(right)
    if left is None or right is None:
        return not left and not right
    return bool(left == right)


ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def ordered(op: str, left: Any, right: Any) -> bool:
    """Compares by size: instants with instants, else numbers."""
    as_kind = when if isinstance(left, datetime) or isinstance(right, datetime) else number
    return ORDERS[op](as_kind(left), as_kind(right))


def number(value: Any) -> float:
    """Returns a value as a number; blank is 0."""
    if value is None or value == "":
        return 0
    if isinstance(value, int | float):
        return value
    try:
        return float(text(value).replace(",", "").strip())
    except ValueError:
        raise EvaluationError(value) from None


def when(value: Any) -> datetime:
    """Returns a value as an instant."""
    if isinstance(value, datetime):
        return value
    try:
        return parse(text(value))
    except ValueError:
        raise EvaluationError(value) from None


def find(needle: Any, haystack: Any, start: Any = 0) -> int:
    """Returns where `needle` starts, counted from 1; 0: nowhere."""
    return text(haystack).find(text(needle), max(int(number(start)) - 1, 0)) + 1


def search(needle: Any, haystack: Any, start: Any = 0) -> int | None:
    """Like FIND, but blank where FIND is 0."""
    return find(needle, haystack, start) or None


def unit_of(value: Any) -> str:
    """Returns a time unit in the singular."""
    unit = text(value).lower().removesuffix("s")
    if unit not in ("millisecond", "second", "minute", "hour", "day", "week", "month", "year"):
        raise EvaluationError(value)
    return unit


def add(moment: Any, count: Any, unit: Any) -> datetime:
    """DATEADD: calendar units keep the day of the month where it exists."""
    start, steps, step = when(moment), int(number(count)), unit_of(unit)
    if step in ("month", "year"):
        months = start.year * 12 + start.month - 1 + steps * (12 if step == "year" else 1)
        year, month = divmod(months, 12)
        return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))
    return start + timedelta(**{f"{step}s": steps})


#: how much of an ISO string stands for the unit
LENGTHS = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16, "second": 19, "millisecond": 23}


def same(left: Any, right: Any, unit: Any = "millisecond") -> bool:
    """IS_SAME: equal down to the unit, in UTC."""
    if (length := LENGTHS.get(unit_of(unit))) is None:
        raise EvaluationError(unit)
    stamps = (when(value).astimezone(UTC).isoformat(timespec="milliseconds")[:length] for value in (left, right))
    return len(set(stamps)) == 1


#: name -> (function of values, fewest arguments, most arguments)
PLAIN: dict[str, tuple[Callable[..., Any], int, int]] = {
    "NOT": (lambda value: not truth(value), 1, 1),
    "TRUE": (lambda: True, 0, 0),
    "FALSE": (lambda: False, 0, 0),
    "BLANK": (lambda: None, 0, 0),
    "IS_AFTER": (lambda left, right: when(left) > when(right), 2, 2),
    "IS_BEFORE": (lambda left, right: when(left) < when(right), 2, 2),
    "IS_SAME": (same, 2, 3),
    "DATETIME_PARSE": (when, 1, 1),
    "DATEADD": (add, 3, 3),
    "FIND": (find, 2, 3),
    "SEARCH": (search, 2, 3),
    "LOWER": (lambda value: text(value).lower(), 1, 1),
    "UPPER": (lambda value: text(value).upper(), 1, 1),
    "TRIM": (lambda value: text(value).strip(), 1, 1),
    "LEN": (lambda value: len(text(value)), 1, 1),
    "VALUE": (number, 1, 1),
}
