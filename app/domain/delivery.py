"""A webhook's body, as it came: what can be read of it without believing any of it.

Providers give their deliveries no id, so a delivery is known by what it says: its JSON in one canonical form, or its
bytes where it is no JSON object.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Final

import orjson

from app.domain import normalize
from app.domain.values import JSON, value

#: How long a body may become when it is unpacked, in bytes, how long a name in it may be, in characters, and how many
#: levels it may have: whoever walks further runs out of stack.
UNPACKED, LONGEST, DEEPEST = 8_000_000, 200, 200
#: Bits of zlib's window, plus 16: the gzip format.
_GZIP: Final = 16 + zlib.MAX_WBITS


@value
class Read:
    """What a body says before anybody looks closer."""

    #: the JSON object; None where it is none
    content: dict[str, JSON] | None
    #: sha256 of what it says
    digest: bytes


@value
class Told:
    """By what a delivery is routed, found and listed; every text can be stored."""

    event_type: str | None
    #: what may be the campaign: custom variables of a lead can take the place of either
    campaign: str | None
    campaign_id: str | None
    email: str | None


def read(body: bytes, encoding: str = "") -> Read:
    """Reads a body of a Content-Encoding; never raises. Lone surrogates and NaN are let through as they are."""
    plain = readable(body, encoding)
    content = _object(plain)
    canonical = body
    if content is not None:
        try:
            # a provider's log shows the same without what cannot be stored
            shown = normalize.storable(content) if b"\\u0000" in plain else content
            canonical = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            if _is_deep(content):
                content = None
            else:
                canonical = orjson.dumps(normalize.storable(content), option=orjson.OPT_SORT_KEYS)
    return Read(content=content, digest=hashlib.sha256(canonical).digest())


def told(content: dict[str, JSON] | None) -> Told:
    """Returns what a payload is known by."""
    content = content or {}
    return Told(
        event_type=_name(content.get("event_type")),
        campaign=_lower(content.get("campaign")),
        campaign_id=_lower(content.get("campaign_id")),
        email=_name(content.get("lead_email")) or _name(content.get("email")),
    )


def readable(body: bytes, encoding: str = "") -> bytes:
    """Returns a body of a Content-Encoding as it was before; as it is where that cannot be told."""
    if encoding.strip().lower() != "gzip":
        return body
    unpacking = zlib.decompressobj(_GZIP)
    try:
        found = unpacking.decompress(body, UNPACKED)
    except zlib.error:
        return body
    return found if unpacking.eof else body


def shortened(text: str) -> str:
    """Returns the first `LONGEST` characters of a text, without what a database's text cannot hold."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()[:LONGEST]


def _name(found: JSON) -> str | None:
    return (shortened(found) or None) if isinstance(found, str) else None


def _lower(found: JSON) -> str | None:
    name = _name(found)
    return None if name is None else name.strip().lower()


def _object(body: bytes) -> dict[str, JSON] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = _lenient(body)
    return content if isinstance(content, dict) else None


def _is_deep(content: JSON) -> bool:
    level = [content]
    for _ in range(DEEPEST):
        inside = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for items in inside for item in items]
    return bool(level)


def _lenient(body: bytes) -> JSON:
    """Reads what strict JSON is not: texts cut in the middle of a character, a byte order mark, NaN."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
