"""The base of every request and answer: unknown fields are refused, examples are declared with the shape."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from starlette.responses import Response

from app.domain import normalize
from app.domain.values import instant


class Body(BaseModel):
    """A request; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", str_max_length=10_000)


class Shown(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    @classmethod
    def of(cls, row: Any) -> Any:
        """Returns the answer that a row of the database makes."""
        return cls.model_validate(dict(row))


#: How a page of a list says where the next one begins.
NextCursor = Annotated[str | None, Field(description="Send it as `cursor` for the next page; null on the last one.")]


def example(**content: Any) -> ConfigDict:
    """Declares the example of a shape."""
    return ConfigDict(json_schema_extra={"example": content})


def answer(content: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Renders an answer."""
    return Response(content.model_dump_json(by_alias=True), status, headers, "application/json")


def _named(text: str) -> str:
    if (found := normalize.text(text)) is None:
        raise ValueError("It needs at least one letter.")
    return found


def _whole(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("It is a whole number.")
    return value


def _instant(value: Any) -> Any:
    if not isinstance(value, str) or not _ZONED.match(value):
        raise ValueError("It is an instant with its zone, such as 2026-03-02T09:15:00Z.")
    return value


def _day(value: Any) -> Any:
    if not isinstance(value, str) or not DATED.fullmatch(value):
        raise ValueError("It is a date, such as 2026-03-02.")
    return value


def _unescaped(value: Any) -> Any:
    # a plus sign that was not escaped arrives as a space
    return value.replace(" ", "+") if isinstance(value, str) else value


#: How a day is written, and an instant from its beginning to its zone.
DATED: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ZONED: Final = re.compile(DATED.pattern + r"[Tt ].*([Zz]|[+-][0-9]{2}:?[0-9]{2})$")


#: A name that people read.
Name = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra={"pattern": normalize.SAYS_SOMETHING}),
    AfterValidator(_named),
]
#: For requests, where "1" is no number, 1 is not true and a number is no time; pydantic alone would take them.
Flag = Annotated[bool, Strict()]
#: Bounds come before it, or the document would not know them.
WHOLE: Final = BeforeValidator(_whole)
Whole = Annotated[int, WHOLE]
Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
#: In answers, where a moment is always written the same: in UTC, with milliseconds.
At = Annotated[
    datetime,
    PlainSerializer(lambda at: instant(at.astimezone(UTC)), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
#: The same as parameters of a query.
QueryInstant = Annotated[AwareDatetime, BeforeValidator(_instant), BeforeValidator(_unescaped)]
QueryDay = Annotated[date, BeforeValidator(_day)]
