"""Lead values are JSON values in one canonical form; empty and missing are two different things.

None is *empty*. `MISSING` is *not shown*: it means nothing, ever, and never enters a base.
Instants are `YYYY-MM-DDTHH:MM:SS.mmmZ` strings, so that they sort as text; sets are sorted lists without repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, TypeVar, dataclass_transform

JSON = Any
T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """Makes a dataclass whose instances never change; the type checker sees to that, on every line of the project.

    A guard at run time would triple what it costs to make one, and the policy makes a dozen for every changed cell.
    """
    return dataclass(slots=True, kw_only=True)(cls)


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING


def instant(moment: datetime) -> str:
    """Returns a point in time, which is in UTC, in the canonical form."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def is_empty(value: JSON) -> bool:
    """Tells whether a lead value says nothing (false and 0 say something)."""
    return value is None or value == [] or value == {} or value == ""
