"""Merging: make one lead of two, and two of one."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.api.deps import WORK, Current, IfMatch, Session
from app.api.describe import refuses
from app.api.schemas.duplicate import (
    CellWrite,
    FieldMerge,
    MergeRequest,
    MergeResult,
    MovingRecord,
    Unmerged,
    UnmergeRequest,
)
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.domain import notes
from app.domain.survivorship import Decision
from app.sync import merge as merging
from app.sync.merge import Preview

router = APIRouter(prefix="/api/leads/{lead_id}", tags=["duplicates"], route_class=StrictRoute)


@router.post(
    "/merge",
    operation_id="mergeLeads",
    summary="Merge another lead into this one",
    response_model=MergeResult,
    dependencies=[WORK],
    responses=refuses(308, 404, 409, 412),
)
async def merge(tx: Session, caller: Current, version: IfMatch, lead_id: UUID, body: MergeRequest) -> Response:
    """Shows the survivor field by field, and with `dry_run: false` merges: everything of the other lead moves along."""
    found = await merging.merge(
        tx, lead_id, body.other, choices=body.choices, actor=caller.name, dry_run=body.dry_run, version=version
    )
    return answer(_result(lead_id, body, found))


@router.post(
    "/unmerge",
    operation_id="unmergeLeads",
    summary="Undo a merge",
    response_model=Unmerged,
    dependencies=[WORK],
    responses=refuses(308, 404, 409, 412),
)
async def unmerge(
    tx: Session, caller: Current, version: IfMatch, lead_id: UUID, body: UnmergeRequest | None = None
) -> Response:
    """Gives the other lead back what came with its records; what was edited since the merge stays with this one."""
    named = body.other if body else None
    other = await merging.unmerge(tx, lead_id, named, actor=caller.name, version=version)
    return answer(Unmerged(survivor=lead_id, other=other))


def _result(lead_id: UUID, body: MergeRequest, found: Preview) -> MergeResult:
    return MergeResult(
        survivor=lead_id,
        other=body.other,
        done=not body.dry_run,
        fields=[_field(decision) for decision in found.fields],
        records=[
            MovingRecord(connection_id=s.connection_id, record=s.link.key, stops=s in found.stops) for s in found.moves
        ],
        writes=[
            CellWrite(
                connection_id=s.connection_id, record=s.link.key, field=name, old=old,
                new=notes.render(new) if name == "notes" else new,
            )
            for s, name, old, new in found.writes
        ],
    )  # fmt: skip


def _field(decision: Decision) -> FieldMerge:
    shown = notes.render if decision.field == "notes" else lambda value: value
    return FieldMerge(
        field=decision.field,
        survivor=shown(decision.survivor),
        other=shown(decision.other),
        value=shown(decision.value),
        side=decision.side,
        rule=decision.rule,
    )
