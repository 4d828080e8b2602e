"""Export: all leads in one answer, however many there are."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import listing
from app.api.deps import READ, Current, Running
from app.api.errors import Problem
from app.api.schemas.lead import EXAMPLE
from app.api.streamed import Streamed, Write
from app.api.strict import StrictRoute
from app.db import exports
from app.db.exports import Format

router = APIRouter(prefix="/api/leads", tags=["leads"], route_class=StrictRoute)
#: Exports under way at once, per instance: each holds one of the pool's connections for as long as its reader reads.
AT_ONCE: Final = 2
RETRY: Final = 10
_BOM: Final = b"\xef\xbb\xbf"
_TYPES: Final[dict[str, str]] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_CSV: Final = "email,full_name,phone,deal_value\nnoor.devries@voorbeeld.nl,Noor de Vries,'+31301234567,12500\n"
_EXAMPLES: Final[dict[str, Any]] = {
    "text/csv": {"schema": {"type": "string"}, "example": _CSV},
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": f'{{"email":"{EXAMPLE["email"]}","full_name":"{EXAMPLE["full_name"]}"}}\n',
    },
}


@router.get(
    "/export",
    operation_id="exportLeads",
    summary="Export leads",
    response_class=Response,
    dependencies=[READ],
    responses={200: {"content": _EXAMPLES}},
    openapi_extra={"parameters": listing.PARAMETERS},
)
async def export(
    request: Request,
    runtime: Running,
    caller: Current,
    format: Annotated[
        Format, Query(description="CSV (RFC 4180, UTF-8, lines end in LF), or one JSON per line.")
    ] = "csv",
    fields: Annotated[str | None, Query(description="Columns, comma-separated; all of them by default.")] = None,
    q: Annotated[str | None, Query(min_length=1, max_length=200, description=listing.SEARCH_NOTE)] = None,
    bom: Annotated[bool, Query(description="CSV: begin with a byte order mark, which Excel goes by.")] = False,
) -> Response:
    """Streams all leads that pass the list's filters and search, as of one moment, in no particular order.

    In CSV a text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a line end)
    is preceded by an apostrophe, a phone number for one; numbers stay numbers, lists and objects are JSON. An export
    ends after half an hour, or when its reader takes nothing for a minute; an answer that broke off lacks its last
    chunk, which HTTP clients report. Two exports run at a time; a third is a 429.
    """
    filters = listing.filtered(request.query_params)
    names = listing.chosen(fields, exports.FIELDS)
    search = listing.words(q)
    slots: asyncio.Semaphore = request.app.state.exports

    async def make(write: Write) -> None:
        if slots.locked():
            detail = f"{AT_ONCE} exports are under way already: try again when one of them has ended."
            raise Problem(429, detail, headers={"Retry-After": str(RETRY)})
        async with slots, runtime.db.transaction(caller.tenant) as tx:
            if bom and format == "csv":
                await write(_BOM)
            await exports.leads(tx, write, format=format, fields=names, filters=filters, search=search)

    name = f"leads-{runtime.clock.now():%Y-%m-%d}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Streamed(make, headers, f"{_TYPES[format]}; charset=utf-8")
