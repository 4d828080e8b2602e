"""Export: all leads in one answer, however many there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import listing
from app.api.deps import READ, Current, Running
from app.api.errors import Problem
from app.api.schemas.lead import EXAMPLE
from app.api.streamed import BrokenOff, Streamed, Write
from app.api.strict import StrictRoute
from app.db import exports, keys
from app.db.exports import Format
from app.db.session import Database, DatabaseUnavailable

router = APIRouter(prefix="/api/leads", tags=["leads"], route_class=StrictRoute)
#: Exports under way at once, per instance and of one workspace in it: each holds one of the pool's connections for as
#: long as its reader reads, so the slow readers of one workspace leave a place to the others.
AT_ONCE, PER_WORKSPACE = 3, 2
#: Seconds between two looks whether the key is still good.
LOOK_EVERY: Final = 1.0
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


class Places:
    """Where the exports of one app go on."""

    def __init__(self, db: Database, *, look_every: float = LOOK_EVERY) -> None:
        self._db = db
        self._look_every = look_every
        self._taken: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def taken(self, workspace_id: UUID) -> Iterator[None]:
        """Takes a place for an export of a workspace; answers 429 where there is none."""
        if self._taken[workspace_id] >= PER_WORKSPACE or self._taken.total() >= AT_ONCE:
            detail = "As many exports as may be are under way already: try again when one of them has ended."
            raise Problem(429, detail, headers={"Retry-After": str(RETRY)})
        self._taken[workspace_id] += 1
        try:
            yield
        finally:
            self._taken -= Counter([workspace_id])

    def while_good(self, key_hash: bytes, write: Write) -> Write:
        """Returns a way to write that breaks the answer off soon after its key has expired or was revoked."""
        seconds = asyncio.get_running_loop().time
        looked = seconds()

        async def guarded(piece: bytes) -> None:
            nonlocal looked
            await write(piece)
            if seconds() - looked >= self._look_every:
                with contextlib.suppress(DatabaseUnavailable):
                    if await keys.find(self._db, key_hash) is None:
                        raise BrokenOff("its key has expired or was revoked")
                looked = seconds()

        return guarded


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
    ends after half an hour, when its reader takes nothing for a minute, or when its key is revoked; an answer that
    broke off lacks its last chunk, which HTTP clients report. A workspace has two exports at a time; a third is a 429.
    """
    filters = listing.filtered(request.query_params)
    names = listing.chosen(fields, exports.FIELDS)
    search = listing.words(q)
    places: Places = request.app.state.exports

    async def make(write: Write) -> None:
        with places.taken(caller.workspace_id):
            async with runtime.db.transaction(caller.tenant) as tx:
                if bom and format == "csv":
                    await write(_BOM)
                going = places.while_good(caller.key_hash, write)
                await exports.leads(tx, going, format=format, fields=names, filters=filters, search=search)

    name = f"leads-{runtime.clock.now():%Y-%m-%d}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Streamed(make, headers, f"{_TYPES[format]}; charset=utf-8")
