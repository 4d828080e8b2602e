"""Activity: what of a lead's changes a person wants to see in its log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from uuid import UUID

from app.db import history
from app.db.session import Tx
from app.domain.lead import Action, Lead, SetField
from app.domain.values import JSON

#: Characters of a campaign's name that the activity log's key holds.
NAME_IN_KEY = 200


async def log(tx: Tx, recorded: Sequence[tuple[Lead, int, Sequence[Action]]], *, actor: str) -> None:
    """Logs notes, claims, and moves of status and campaigns: (lead, its version after it, what was done)."""
    rows = [
        (UUID(lead.id), kind, tx.now, actor, detail, f"{key}:{version}")
        for lead, version, actions in recorded
        for action in actions
        if isinstance(action, SetField) and action.old != action.value
        for kind, detail, key in _moves(action)
    ]
    await history.log(tx, rows)


def _moves(action: SetField) -> Iterator[tuple[str, dict[str, JSON], str]]:
    """Yields what a change is in the activity log: its kind, the detail, and what tells it apart in its version."""
    match action.field:
        case "notes":
            old = {e[0]: e[1] for e in action.old or []}
            for key, text, *_ in action.value or []:
                if old.get(key) != text:
                    kind = "note.revised" if key in old else "note.added"
                    yield kind, {"text": text} | ({"was": old[key]} if key in old else {}), f"note:{key}"
        case "status" | "claimed_by":
            yield action.field, {"old": action.old, "new": action.value, "rule": action.rule}, action.field
        case "campaigns":
            was, now = set(action.old or ()), set(action.value or ())
            for kind, names in (("campaign.joined", now - was), ("campaign.left", was - now)):
                for name in sorted(names):
                    # a column of any text may be mapped to campaigns, and an index takes only so much of it
                    known = name if len(name) <= NAME_IN_KEY else hashlib.sha256(name.encode()).hexdigest()
                    yield kind, {"campaign": name}, f"{kind}:{known}"
