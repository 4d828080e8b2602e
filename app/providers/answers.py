"""Reading what a provider answered, leniently: its JSON, its error bodies in all their shapes, its times.

JSON is read with the standard library: orjson refuses a lone surrogate, and with it a whole page, and makes floats of
big integers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

import orjson
import structlog

from app.domain.normalize import storable
from app.providers.base import JSON, ProviderError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer: its JSON object, and the provider's time when it was given (an instant)."""

    json: dict[str, JSON]
    server_time: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An answer that is not 2xx. Its words are scrubbed of secrets and short."""

    path: str
    safe: bool
    status: int
    #: the provider's own error type, or ""
    kind: str
    message: str
    is_json: bool


#: What a provider's refusal means; None leaves it to the status code.
Explain = Callable[[Failure], ProviderError | None]


def as_instant(moment: datetime) -> str:
    """Returns `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(value: JSON) -> str | None:
    """Returns the instant a provider's timestamp names; None for anything else, a date or a time without zone."""
    try:
        moment = datetime.fromisoformat(value)
        return as_instant(moment) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def identified(items: Sequence[JSON], provider: str) -> list[dict[str, JSON]]:
    """Returns the items that are objects with an id; the others are skipped and counted in the log."""
    usable = [item for item in items if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]]
    if len(usable) < len(items):
        log.warning("provider.records_skipped", provider=provider, count=len(items) - len(usable))
    return usable


def parse_json(content: bytes) -> JSON:
    """Returns the JSON value as it can be stored, or None where it is none.

    What cannot be stored is taken out, or becomes text (`normalize.storable`).
    """
    try:
        value = json.loads(content.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if b"\\u0000" not in content and _is_storable(value) else storable(value)


def _is_storable(value: JSON) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:  # a lone surrogate, a number beyond 64 bits, or too deep
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def reason(body: dict[str, JSON]) -> tuple[str, str]:
    """Returns (kind, message) from `{error: {type, message?}}`, `{error, message?}`, `{message}`, `{errors: [...]}`."""
    errors = body.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        body = errors[0]
    error, message = body.get("error"), body.get("message")
    kind = error.get("type") if isinstance(error, dict) else error
    if isinstance(error, dict):
        message = error.get("message")
    return str(kind or ""), str(message or kind or "")


def plain_text(content: bytes) -> str:
    """Returns the beginning of a body that is no JSON."""
    text = content[:4096].decode("utf-8", "replace").strip()
    return "an HTML page" if text.startswith("<") else text


def parse_http_date(text: str | None) -> datetime | None:
    """Returns the time in a Date or Retry-After header; None where it holds none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
