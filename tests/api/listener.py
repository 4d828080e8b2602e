"""A client of server-sent events that speaks ASGI: it reads piece by piece, may be slow, and may leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import FastAPI

from tests.api.produced import noting


@dataclass(frozen=True, slots=True)
class Heard:
    """An event; a comment has no name."""

    id: str | None
    name: str
    data: Any


class Listener:
    """One stream of an app."""

    def __init__(self, app: FastAPI, path: str, headers: dict[str, str]) -> None:
        self.status = 0
        self.body = b""
        self.comments: list[str] = []
        #: what the other side has in hand for us at most before it has to wait
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._left = asyncio.Event()
        self._started = asyncio.Event()
        self._is_asked = False
        self._rest = b""
        split = urlsplit(path)
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": split.path,
            "raw_path": split.path.encode(), "query_string": split.query.encode(), "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("api.test", 80),
        }  # fmt: skip
        self.task = asyncio.create_task(self._call(app, scope))

    async def _call(self, app: FastAPI, scope: dict[str, Any]) -> None:
        try:
            await noting(app)(scope, self._receive, self._send)
        finally:
            self._started.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._started.set()
            return
        await self._pieces.put(message["body"])
        if not message.get("more_body"):
            await self._pieces.put(None)

    async def answered(self) -> int:
        """Waits for the answer to begin, and returns its status."""
        await asyncio.wait_for(self._started.wait(), 30)
        return self.status

    async def __aiter__(self) -> AsyncIterator[Heard]:
        """Yields what comes, until the other side ends the stream."""
        while (piece := await asyncio.wait_for(self._pieces.get(), 30)) is not None:
            self.body += piece
            *whole, self._rest = (self._rest + piece).split(b"\n\n")
            for block in whole:
                lines = dict(line.partition(": ")[::2] for line in block.decode().splitlines())
                if "" in lines:
                    self.comments.append(lines[""])
                else:
                    yield Heard(lines.get("id"), lines["event"], orjson.loads(lines["data"]))

    def leave(self) -> None:
        """Closes the connection."""
        self._left.set()


@contextlib.asynccontextmanager
async def listening(app: FastAPI, key: str, path: str = "/api/events", **headers: str) -> AsyncIterator[Listener]:
    """Listens for as long as the block runs."""
    sent = {"X-API-Key": key} | {name.replace("_", "-"): value for name, value in headers.items()}
    listener = Listener(app, path, sent)
    try:
        yield listener
    finally:
        listener.leave()
        with contextlib.suppress(asyncio.QueueFull):
            while not listener.task.done():
                with contextlib.suppress(asyncio.QueueEmpty):
                    listener._pieces.get_nowait()
                await asyncio.sleep(0.001)
        await listener.task
