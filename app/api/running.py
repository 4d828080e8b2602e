"""Runs over HTTP: asked for in one transaction, answered with where to follow them, and waited for on request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Query
from starlette.responses import Response

from app.api.gate import Caller
from app.api.once import Idempotency
from app.api.schemas.shape import answer
from app.api.schemas.sync import Run, RunWithParts
from app.db import runs
from app.db.runs import FINISHED
from app.db.session import Tx
from app.runtime import Runtime

#: Seconds between two looks at a run that somebody waits for.
LOOK_EVERY = 0.2
Wait = Annotated[int, Query(ge=0, le=60, description="Seconds to wait for the end; 200 if it came, else 202.")]
#: Asks for the run inside the transaction it is given.
Ask = Callable[[Tx], Awaitable[Any]]


async def start(runtime: Runtime, caller: Caller, once: Idempotency, wait: int, ask: Ask) -> Response:
    """Asks for a run, and answers 202 with it, or 200 once it has ended."""
    async with runtime.db.transaction(caller.tenant) as tx:

        async def work() -> Response:
            return accepted(await ask(tx))

        response = await once.once(tx, work)
    if wait and response.status_code == 202:
        return await _waited(runtime, caller, UUID(orjson.loads(bytes(response.body))["id"]), wait)
    return response


def accepted(row: Any) -> Response:
    """Answers with a run: 202 while it goes on, 200 if it has ended."""
    status = 200 if row["state"] in FINISHED else 202
    return answer(Run.of(row), status, {"Location": f"/api/sync/runs/{row['id']}"})


async def detailed(tx: Tx, row: Any) -> RunWithParts:
    """Returns a run with its parts."""
    parts = [dict(part) for part in await runs.parts(tx, row["id"])]
    found: RunWithParts = RunWithParts.model_validate({**dict(row), "parts": parts})
    return found


async def _waited(runtime: Runtime, caller: Caller, run_id: UUID, wait: int) -> Response:
    """Looks at the run until it has ended or the time is up; no transaction is open in between."""
    looks = int(wait / LOOK_EVERY)
    while True:
        async with runtime.db.transaction(caller.tenant) as tx:
            row = await runs.get(tx, run_id)
        if row["state"] in FINISHED or looks <= 0:
            return accepted(row)
        looks -= 1
        await runtime.clock.sleep(LOOK_EVERY)
