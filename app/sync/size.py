"""Size: how much a lead may hold of what grows with every request.

Without a bound a lead, every page it is on and every entry of its history could grow for ever. What tools bring is
bounded by their own cells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import orjson

from app.domain import notes
from app.domain.lead import Lead

#: Characters; of what is kept as JSON, its bytes.
MOST: Final = {"notes": 1_000_000, "custom": 1_000_000, "metadata": 1_000_000, "campaigns": 100_000}


def too_much(before: Lead, after: Lead, moved: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yields each of the moved fields that an edit makes too large, with what to do; what shrinks is let through."""
    for name, most in MOST.items():
        if name in moved and most < (held := _held(after, name)) > _held(before, name):
            yield name, f"The lead would hold {held:,} characters of it; {most:,} is the most: shorten it first."


def _held(lead: Lead, name: str) -> int:
    match name:
        case "notes":
            return len(notes.render(lead.values.get(name)) or "")
        case "campaigns":
            return sum(map(len, lead.values.get(name) or ()))
        case "custom":
            return len(orjson.dumps({key: value for key, value in lead.values.items() if key.startswith("custom.")}))
    return len(orjson.dumps(lead.values.get(name)))
