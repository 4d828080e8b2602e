"""Many leads in one request."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from app.api.deps import WORK, Current, Session, claims
from app.api.errors import Problem, details, invalid, translate
from app.api.schemas.bulk import Bulk, BulkOperation, BulkOutcomes
from app.api.strict import StrictRoute
from app.sync import bulk
from app.sync.bulk import Operation, Outcome
from app.sync.canonical import InvalidFields

router = APIRouter(prefix="/api/leads", tags=["leads"], route_class=StrictRoute)
_OPERATION: Final[TypeAdapter[Any]] = TypeAdapter(BulkOperation)


@router.post(
    "/bulk",
    operation_id="changeLeads",
    summary="Change many leads",
    response_model=BulkOutcomes,
    dependencies=[WORK],
)
async def change(tx: Session, caller: Current, body: Bulk) -> Response:
    """Carries out up to 1,000 operations in their order; each has its own outcome, and none stops another.

    All effects become visible together. `update` and `upsert` merge fields in (RFC 7396); `upsert` goes by the e-mail
    address and adds a lead where there is none. An Idempotency-Key holds for the whole request.
    """
    read = [_read(index, raw) for index, raw in enumerate(body.operations)]
    operations = [found for found in read if isinstance(found, Operation)]
    done = iter(await bulk.run(tx, operations, actor=caller.name, claims=claims(caller)))
    items = [
        _refused(index, found) if isinstance(found, Problem) else _shown(index, next(done))
        for index, found in enumerate(read)
    ]
    failed = sum(item["error"] is not None for item in items)
    content = {"succeeded": len(items) - failed, "failed": failed, "items": items}
    return Response(orjson.dumps(content, default=str), media_type="application/json")


def _read(index: int, raw: Any) -> Operation | Problem:
    try:
        found = _OPERATION.validate_python(raw)
    except ValidationError as exc:
        errors = [error | {"loc": ("body", "operations", index, *error["loc"])} for error in exc.errors()]
        return invalid(errors, {"operations": {index: raw}})
    lead = getattr(found, "lead", None)
    return Operation(
        op=found.op,
        lead_id=getattr(found, "id", None),
        version=getattr(found, "version", None),
        fields=lead.given() if lead is not None else {},
    )


def _shown(index: int, outcome: Outcome) -> dict[str, Any]:
    if outcome.error is None:
        known = {"id": outcome.lead_id, "version": outcome.version}
        return {"index": index, "status": outcome.status, **known, "error": None}
    found = translate(outcome.error)
    if isinstance(outcome.error, InvalidFields):
        found.errors = [{**e, "pointer": f"/operations/{index}/lead{e['pointer']}"} for e in found.errors]
    return _refused(index, found, outcome)


def _refused(index: int, found: Problem, outcome: Outcome | None = None) -> dict[str, Any]:
    error = details(None, found)
    return {"index": index, "status": found.status, "id": outcome and outcome.lead_id, "version": None, "error": error}
