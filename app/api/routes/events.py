"""What changes, as it changes: server-sent events of a workspace, and of one run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from app.api import live, running
from app.api.deps import READ, RUN, WORKERS, Current, Running, known
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.live import EventStream
from app.api.query import unknown
from app.api.strict import StrictRoute
from app.db import runs
from app.db.events import KINDS, Kind

router = APIRouter(prefix="/api", tags=["live"], route_class=StrictRoute)

#: Runs and review items tell of the providers.
FOR_VIEWERS: Final[tuple[Kind, ...]] = ("lead", "activity")
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=64, description="The id of the last event received.")
]
Wait = Annotated[
    int | None,
    Query(ge=0, le=3600, description="Seconds until the stream ends; 0 sends what was missed. By default it goes on."),
]
_TYPES: Final = "|".join(KINDS)
_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_EVENT_ID: Final = "2f1.01980a3c5f6e7c3a9d550c8f4f2f6a10"
_EXAMPLE: Final = (
    f'id: {_EVENT_ID}\nevent: lead\ndata: {{"at": "2026-03-02T09:15:00.000Z", "actor": "noor@voorbeeld.nl",'
    f' "fields": ["status"], "run_id": null, "source": "user", "deleted": null, "lead_id": "{_ID}", "version": 8,'
    ' "erased": false, "connection_id": null}\n\n'
)
_RUN_EXAMPLE: Final = f'id: running\nevent: run\ndata: {{"id": "{_ID}", "state": "running", "parts": []}}\n\n'


@router.get(
    "/events",
    operation_id="followEvents",
    summary="Follow the workspace",
    status_code=200,
    response_class=EventStream,
    dependencies=[READ],
    responses={200: {"content": {"text/event-stream": {"example": _EXAMPLE}}}},
)
async def follow(
    request: Request,
    caller: Current,
    last_event_id: LastEventId = None,
    after: Annotated[
        str | None, Query(max_length=64, description="The same as Last-Event-ID, which outranks it.")
    ] = None,
    types: Annotated[
        str | None,
        Query(
            max_length=100,
            description=f"Some of {', '.join(KINDS)}, comma-separated; by default all of them.",
            json_schema_extra={"pattern": f"^({_TYPES})(,({_TYPES}))*$"},
        ),
    ] = None,
    wait: Wait = None,
) -> Response:
    """Server-sent events: `lead` (a new version, with the names of its fields), `activity` (what happened to a lead),
    `run` and `review` (as they are now; not for viewers). Read a lead again to see its values; forget one that was
    `erased`.

    `ready` comes first, or after what was missed; `reset` says that the id sent is not known any more: read again what
    you show. A client that sends the id of its last event goes on after it, whichever server it reaches, and misses
    nothing; comments are signs of life, or say why the stream ends. In a browser read the body of a `fetch`: an
    `EventSource` cannot send the key.
    """
    given = last_event_id or after
    position = None if given is None else live.position_of(given)
    shown = FOR_VIEWERS if caller.role == "viewer" else KINDS
    kinds = set(shown) if types is None else set(types.split(","))
    if kinds - set(KINDS):
        raise unknown("type of event", "types", KINDS)
    if hidden := kinds - set(shown):
        detail = f"Events of the type {min(hidden)!r} need a key with the role {' or '.join(WORKERS)}."
        raise Problem(403, f"{detail} Yours has the role {caller.role}: use some of {', '.join(shown)}.")

    def tell(feed: live.Feed) -> AsyncGenerator[bytes]:
        return live.told(feed, caller.key_hash, position, kinds, wait)

    return EventStream(request.app.state.feeds, caller, tell)


@router.get(
    "/sync/runs/{run_id}/events",
    operation_id="followRun",
    summary="Follow a run",
    status_code=200,
    response_class=EventStream,
    dependencies=[RUN],
    responses={
        200: {"content": {"text/event-stream": {"example": _RUN_EXAMPLE}}},
        204: {"description": "The run has ended, and you know it."},
        **refuses(404),
    },
)
async def follow_run(
    request: Request,
    caller: Current,
    runtime: Running,
    run_id: UUID,
    last_event_id: Annotated[
        Literal["queued", "running", "done", "failed", "cancelled"] | None,
        Header(alias="Last-Event-ID", description="The id of the last event received, which is the run's state."),
    ] = None,
    wait: Wait = None,
) -> Response:
    """Server-sent events named `run`: the run with its parts and its progress, now and whenever it changes, until it
    has ended. A client that comes back after the end is answered 204, which tells a browser to stop.
    """

    async def look() -> tuple[str, str]:
        async with runtime.db.transaction(caller.tenant) as tx:
            row = known(await runs.get(tx, run_id), "run", run_id)
            return row["state"], (await running.detailed(tx, row)).model_dump_json()

    state, _ = await look()
    if state in runs.FINISHED and last_event_id in runs.FINISHED:
        return Response(status_code=204)

    def tell(feed: live.Feed) -> AsyncGenerator[bytes]:
        return live.told_of(feed, caller.key_hash, run_id, look, wait)

    return EventStream(request.app.state.feeds, caller, tell)
