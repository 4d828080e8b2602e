"""Time travel: a lead as of an instant, within what the history knows: everything since the lead was created."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app.db import lead_queries
from app.db.session import Tx
from app.domain.past import rewind
from app.domain.values import JSON, instant
from app.errors import LeadkeeperError
from app.sync.edit import Gone, Merged, NotFound

#: What the history calls a lead that was merged into this one.
MERGED_FROM: Final = "merged_from"


class NotYetThere(LeadkeeperError):
    """The lead was created later than the instant asked for."""

    def __init__(self, lead_id: UUID, created_at: str) -> None:
        super().__init__(f"Lead {lead_id} was created at {created_at}: ask for an instant since then.")


class NotYetPast(LeadkeeperError):
    """The instant asked for has not come yet."""

    def __init__(self, now: datetime) -> None:
        super().__init__(f"It is {instant(now)}: as_of takes an instant that has passed.")


async def as_of(tx: Tx, lead_id: UUID, at: datetime) -> dict[str, JSON]:
    """Returns a lead as the API showed it at an instant, also where it was deleted or merged since.

    Raises:
        NotFound, NotYetThere, NotYetPast
        Gone, Merged: at that instant, it was
    """
    if at > tx.now:
        raise NotYetPast(tx.now)
    found = await lead_queries.as_json(tx, lead_id)
    if found is None:
        raise NotFound(lead_id)
    shown: dict[str, JSON] = orjson.loads(found.json)
    if at < datetime.fromisoformat(shown["created_at"]):
        raise NotYetThere(lead_id, shown["created_at"])
    shown |= {"deleted": found.deleted, "merged_into": found.merged_into}
    if old := await lead_queries.values_at(tx, lead_id, at):
        first = min(row["version"] for row in old)
        last, keys = await lead_queries.state_before(tx, lead_id, first)
        shown = rewind(shown, [{row["field"]: {"old": row["old"]} for row in old}], keys)
        shown["version"] = first - 1
        shown["updated_at"] = shown["created_at"] if last is None else instant(last)
    deleted, survivor, _ = shown.pop("deleted"), shown.pop("merged_into"), shown.pop(MERGED_FROM, None)
    if survivor:
        raise Merged(lead_id, UUID(str(survivor)))
    if deleted:
        raise Gone(lead_id)
    return shown
