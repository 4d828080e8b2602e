"""The web service: what `uvicorn --factory app.main:create_app` and `leadkeeper serve` run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI

from app import log as logs
from app.api import application
from app.api.gate import Gatekeeper
from app.db.session import DatabaseUnavailable
from app.inbox import applied
from app.runtime import Runtime, opened
from app.settings import Settings, load
from app.sync.tidy import tidy

log = structlog.get_logger()
#: Seconds between two notes of which keys were used.
NOTE_EVERY = 30.0
#: Notes between two removals of what has expired.
TIDY_EVERY = 120


def create_app(settings: Settings | None = None, runtime: Runtime | None = None) -> FastAPI:
    """Returns the service; with a runtime that is open already it runs on that one and leaves it open."""
    settings = runtime.settings if runtime is not None else settings or load()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            running = runtime
            if running is None:
                logs.configure(settings.log_level, as_json=settings.log_json)
                running = await stack.enter_async_context(opened(settings))
                application.attach(app, running)
            inbox = await stack.enter_async_context(applied(running))
            mailroom = app.state.door.mailroom
            mailroom.on_kept = inbox.nudge
            stack.push_async_callback(mailroom.close)
            await stack.enter_async_context(_kept_up(running, app.state.gatekeeper))
            yield

    app = application.build(lifespan=lifespan)
    application.equip(app, max_body=settings.max_body_bytes, cors_origins=settings.cors_origins)
    if runtime is not None:
        application.attach(app, runtime)
    return app


@contextlib.asynccontextmanager
async def _kept_up(runtime: Runtime, gatekeeper: Gatekeeper) -> AsyncIterator[None]:
    """Notes the last use of keys now and then, and once more at the end; removes what has expired."""

    async def turn(*, is_tidying: bool = False) -> None:
        try:
            await gatekeeper.note_used()
            if is_tidying:
                await tidy(runtime.db)
        except DatabaseUnavailable:
            log.warning("keys.not_noted")

    async def turns() -> None:
        for number in itertools.count(1):
            await asyncio.sleep(NOTE_EVERY)
            await turn(is_tidying=number % TIDY_EVERY == 0)

    task = asyncio.create_task(turns())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await turn()
