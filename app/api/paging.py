"""Keyset pagination: an opaque cursor that holds the keys at a page's end, and refuses to be used for another list."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.errors import Problem
from app.api.schemas.shape import answer

Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")]
#: Lists of leads are walked both ways.
BothWays = Annotated[
    str | None, Query(max_length=16_000, description="`next_cursor` or `prev_cursor` of the page beside it.")
]
#: The keys of a list by time.
BY_TIME: tuple[type, ...] = (datetime, UUID)
#: What a cursor's list is marked with where the page ends before its keys.
_BACK = "<"
#: A query without anything that must be quoted.
_PLAIN = re.compile(r"[\w.~%&=,\-+:\[\]]*", re.ASCII)


def encode(of: str, keys: Sequence[Any] | None) -> str | None:
    """Returns the cursor after the item with these keys, in the list that `of` names."""
    if keys is None:
        return None
    content = orjson.dumps([_name(of), *keys], default=str)
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encode_back(of: str, keys: Sequence[Any] | None) -> str | None:
    """Returns the cursor before the item with these keys."""
    return encode(_BACK + of, keys)


def decode_either(of: str, cursor: str | None, kinds: Sequence[type]) -> tuple[tuple[Any, ...], bool] | None:
    """Returns the keys in a cursor and whether the page lies before them; answers 422 as `decode` does."""
    if cursor is None:
        return None
    try:
        return decode(_BACK + of, cursor, kinds), True  # type: ignore[return-value]
    except Problem:
        return decode(of, cursor, kinds), False  # type: ignore[return-value]


def decode(of: str, cursor: str | None, kinds: Sequence[type]) -> tuple[Any, ...] | None:
    """Returns the keys in a cursor; answers 422 for one that was not given out for this list."""
    if cursor is None:
        return None
    try:
        name, *keys = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if name != _name(of) or len(keys) != len(kinds):
            raise ValueError
        return tuple(_READERS[kind](key) for kind, key in zip(kinds, keys, strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError):
        errors = [
            {"parameter": "cursor", "detail": "Send the cursor a page came with, with the same sort and filters."}
        ]
        raise Problem(422, "The cursor does not belong to this list: start at the first page.", errors) from None


def decode_id(of: str, cursor: str | None) -> UUID | None:
    """Returns the id in the cursor of a list that goes by nothing else; answers 422 as `decode` does."""
    found = decode(of, cursor, (UUID,))
    return None if found is None else found[0]


def link(request: Request, following: str | None, before: str | None = None) -> dict[str, str]:
    """Returns the Link header to the next page and to the one before."""
    ways = [(cursor, rel) for cursor, rel in ((following, "next"), (before, "prev")) if cursor is not None]
    if not ways:
        return {}
    # a cursor needs no quoting, and the rest is taken as it came where nothing in it could end the header's <…>
    query = request.scope["query_string"].decode("latin-1")
    if not _PLAIN.fullmatch(query):
        query = urlencode(request.query_params.multi_items())
    kept = "".join(f"{part}&" for part in query.split("&") if part and not part.startswith("cursor="))
    path = request.scope["path"]
    return {"Link": ", ".join(f'<{path}?{kept}cursor={cursor}>; rel="{rel}"' for cursor, rel in ways)}


def answered(
    request: Request,
    of: str,
    shape: type[BaseModel],
    found: Sequence[Mapping[str, Any]],
    limit: int,
    *,
    by: Sequence[str] = ("id",),
    show: Callable[[Any], Sequence[Any]] = lambda row: [dict(row)],
    **beside: Any,
) -> Response:
    """Answers with a page of a list, and with the cursor after its last row if there are more.

    Args:
        of: names the list, as for `decode`; `by`: its keys, as columns of the rows.
        found: its rows, one more than the page shows where there is one.
        show: what shows of a row; `beside`: what else the shape has.
    """
    rows = found[:limit]
    following = encode(of, [rows[-1][name] for name in by]) if len(found) > limit else None
    items = [item for row in rows for item in show(row)]
    content = shape.model_validate({"items": items, "next_cursor": following, **beside})
    return answer(content, headers=link(request, following))


def _name(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:12]


def _moment(key: str) -> datetime:
    found = datetime.fromisoformat(key)
    if found.tzinfo is None:
        raise ValueError
    return found


def _number(key: int) -> int:
    if not isinstance(key, int) or abs(key) >= 2**63:
        raise ValueError
    return key


def _text(key: str) -> str:
    if not isinstance(key, str) or "\x00" in key:
        raise ValueError
    return key


_READERS: dict[type, Any] = {datetime: _moment, UUID: UUID, int: _number, str: _text, date: date.fromisoformat}
