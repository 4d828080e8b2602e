"""A worker in a process of its own, without the API: what the kills kill.

    python -m app.lab.kills.worker NAME SETTINGS.json LEASE_SECONDS

It opens everything, says "ready", and begins to work when a line comes in. Every call it makes carries its name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import uvloop

from app import log
from app.providers.transport import Transport
from app.runtime import opened
from app.scheduler import Worker, scheduled
from app.settings import Settings


class Signed(Transport):
    """A transport that says who calls."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["User-Agent"] += f" ({self._name})"
        return await super().handle_async_request(request)


async def work(name: str, settings: Settings, lease_seconds: float) -> None:
    """Works until the process is killed."""
    async with opened(settings, transport=Signed(name)) as runtime:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        async with scheduled(runtime, Worker(runtime, name, lease_seconds=lease_seconds)):
            await asyncio.Event().wait()


if __name__ == "__main__":
    log.configure("CRITICAL")
    given = json.loads(Path(sys.argv[2]).read_text())
    uvloop.run(work(sys.argv[1], Settings.model_validate(given), float(sys.argv[3])))
