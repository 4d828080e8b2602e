"""Answers that are written while they are made, as fast as their reader takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

log = structlog.get_logger()
#: Seconds in which a reader must take the next piece; each holds a connection to the database.
PATIENCE = 60.0

Write = Callable[[bytes], Awaitable[None]]


class BrokenOff(Exception):
    """An answer that has begun ends before its end; the message says why, for the log."""


class Streamed(Response):
    """An answer that `make` writes piece by piece.

    It starts with the first piece, be it empty, so what fails before is answered as usual. What fails later, a reader
    who takes nothing for too long, and a `BrokenOff` end the answer without its last chunk: half of it never looks like
    all of it. A reader who goes away ends `make`, which is cancelled once and then waited for: a transaction must be
    able to roll back, which the cancel scopes of Starlette's own streams keep it from.
    """

    def __init__(
        self,
        make: Callable[[Write], Awaitable[None]],
        headers: Mapping[str, str],
        media_type: str,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self._make = make
        self._patience = patience
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, and ends with whoever ends first: the writer or the reader."""
        writing = asyncio.create_task(self._write(send))
        reading = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                await writing
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        has_started = False

        async def start() -> None:
            nonlocal has_started
            if not has_started:
                has_started = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def write(piece: bytes) -> None:
            await start()
            if not piece:
                return
            try:
                async with asyncio.timeout(self._patience):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except TimeoutError:
                raise BrokenOff("its reader takes nothing") from None

        try:
            await self._make(write)
        except BrokenOff as exc:
            log.info("answer.broken_off", reason=str(exc))
            return
        await start()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
