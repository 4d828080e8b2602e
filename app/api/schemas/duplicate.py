"""The shapes of duplicates: pairs, scans, merges."""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from app.api.schemas.shape import At, Body, Flag, NextCursor, Shown, example
from app.domain.policy import FIELDS
from app.domain.survivorship import choosable

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_OTHER: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a11"
_AT: Final = "2026-03-02T09:15:00Z"
_ONE: Final[dict[str, Any]] = {
    "id": _ID, "full_name": "Noor Jansen", "email": "noor@voorbeeld.nl", "company_name": "Voorbeeld B.V.",
    "company_domain": "voorbeeld.nl", "title": "Inkoper", "phone": "+31612345678", "linkedin_url": None,
    "status": "replied", "claimed_by": None, "created_at": _AT, "updated_at": _AT,
}  # fmt: skip
PAIR: Final[dict[str, Any]] = {
    "id": _ID, "state": "open", "tier": "name_company", "score": 0.978, "fields": {"name": 0.957, "company": 1.0},
    "why": "The same company; alike name (0.96).",
    "leads": [_ONE, _ONE | {"id": _OTHER, "full_name": "Noor Janssen", "email": None}],
    "decided_by": None, "decided_at": None, "created_at": _AT, "updated_at": _AT,
}  # fmt: skip


PairState = Literal["open", "dismissed", "merged"]
#: How a review item calls the states of a pair.
STORED: Final[dict[PairState, str]] = {"open": "open", "dismissed": "decided", "merged": "closed"}
_SHOWN: Final = {stored: state for state, stored in STORED.items()}


class Likeness(Shown):
    """What tells one lead of a pair from the other."""

    model_config = example(**_ONE)
    id: UUID
    full_name: str | None
    email: str | None
    company_name: str | None
    company_domain: str | None
    title: str | None
    phone: str | None
    linkedin_url: str | None
    status: str
    claimed_by: str | None
    created_at: At
    updated_at: At


class Duplicate(Shown):
    """Two leads that may be one person."""

    model_config = example(**PAIR)
    id: UUID
    state: PairState
    tier: Literal["linkedin", "email", "name_company", "phone"] = Field(description="The strongest reason.")
    score: float = Field(description="0 to 1; from 0.85 on more likely one person than two.")
    fields: dict[str, float] = Field(description="How far the fields agree that both leads have, 0 to 1.")
    why: str
    leads: list[Likeness]
    decided_by: str | None
    decided_at: At | None
    created_at: At
    updated_at: At

    @classmethod
    def of(cls, row: Any) -> Any:
        """Returns the answer that a row of the database makes."""
        found = dict(row)
        about = {"state": _SHOWN[found["state"]], "leads": [found["one"], found["other"]]}
        return cls.model_validate(found | found["evidence"] | about)


class Duplicates(Shown):
    """Pairs, the newest first."""

    model_config = example(items=[PAIR], next_cursor=None)
    items: list[Duplicate]
    next_cursor: NextCursor


class Scan(Shown):
    """What a part of a scan found."""

    model_config = example(leads=10_000, pairs=12, next_cursor=None)
    leads: int = Field(description="Leads that were compared with all others.")
    pairs: int = Field(description="Pairs among them that are not dismissed, new ones and known ones.")
    next_cursor: str | None = Field(description="Send it as `cursor` to go on; null: every lead was compared.")


class MergeRequest(Body):
    """Which lead is merged into the one in the path, and what it gives."""

    model_config = example(other=_OTHER, dry_run=True, choices={"title": "other"})
    other: UUID = Field(description="It becomes a tombstone; its address answers with the survivor's.")
    dry_run: Flag = Field(True, description="Only say what the merge would do; false does it.")
    choices: dict[str, Literal["survivor", "other"]] = Field(
        {},
        description="Whose value a field takes; what is left out follows the policy.",
        json_schema_extra={"propertyNames": {"enum": [*sorted(filter(choosable, FIELDS))]}},
    )


class FieldMerge(Shown):
    """What one field of the survivor will be."""

    field: str
    survivor: Any
    other: Any
    value: Any
    side: Literal["survivor", "other", "both"] = Field(description="Whose value it is.")
    rule: str


class MovingRecord(Shown):
    """A record that will belong to the survivor."""

    connection_id: UUID
    record: str
    stops: bool = Field(description="The survivor has a record there already: this one is only shown from now on.")


class CellWrite(Shown):
    """A cell that will be written there."""

    connection_id: UUID
    record: str
    field: str
    old: Any
    new: Any


_MERGED: Final[dict[str, Any]] = {
    "survivor": _ID, "other": _OTHER, "done": False,
    "fields": [
        {"field": "title", "survivor": None, "other": "Inkoper", "value": "Inkoper", "side": "other",
         "rule": "fill_if_empty"},
    ],
    "records": [{"connection_id": _ID, "record": "recB9xTqLmNpRs2Vw", "stops": True}],
    "writes": [
        {"connection_id": _ID, "record": "recA1xTqLmNpRs2Vw", "field": "title", "old": None, "new": "Inkoper"},
    ],
}  # fmt: skip


class MergeResult(Shown):
    """What a merge does, or did."""

    model_config = example(**_MERGED)
    survivor: UUID
    other: UUID
    done: bool
    fields: list[FieldMerge]
    records: list[MovingRecord]
    writes: list[CellWrite] = Field(description="Cells that differ from what is there and will be written next.")


class UnmergeRequest(Body):
    """Which merge to undo."""

    model_config = example(other=_OTHER)
    other: UUID | None = Field(None, description="The lead that was merged; by default the one merged last.")


class Unmerged(Shown):
    """Two leads again."""

    model_config = example(survivor=_ID, other=_OTHER)
    survivor: UUID
    other: UUID
