"""The service in a process of its own, as `leadkeeper serve` runs it, in the time of a shared clock.

python -m app.lab.kills.service SETTINGS.json CLOCK
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import uvicorn
import uvloop

from app import log
from app.lab.clock import SharedClock
from app.main import create_app
from app.runtime import opened
from app.scheduler import scheduled
from app.settings import Settings


async def serve(settings: Settings, clock: SharedClock) -> None:
    """Serves until the process is killed."""
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(opened(settings, clock=clock))
        await stack.enter_async_context(scheduled(runtime))
        config = uvicorn.Config(
            create_app(runtime=runtime), host=settings.host, port=settings.port, http="httptools", log_config=None,
            access_log=False,
        )  # fmt: skip
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    log.configure("CRITICAL")
    given = json.loads(Path(sys.argv[1]).read_text())
    uvloop.run(serve(Settings.model_validate(given), SharedClock(Path(sys.argv[2]))))
