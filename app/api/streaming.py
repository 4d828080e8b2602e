"""An answer of server-sent events, which lasts until one of the two sides ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.gate import Caller
from app.api.live import Feed, Feeds
from app.db.session import DatabaseUnavailable

log = structlog.get_logger()
AWAY = b": the database does not answer: connect again with the last id to go on\n\n"


class EventStream(Response):
    """Tells a caller about their workspace; what has to be refused is refused before the first byte."""

    media_type = "text/event-stream"

    def __init__(self, feeds: Feeds, caller: Caller, tell: Callable[[Feed], AsyncGenerator[bytes]]) -> None:
        # proxies are told not to collect pieces before they pass them on
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feeds = feeds
        self._caller = caller
        self._tell = tell

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Streams until the story ends, the client leaves, or it takes too long to accept what it is sent."""
        async with self._feeds.listen(self._caller) as feed:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            writing = asyncio.create_task(self._write(self._tell(feed), send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                writing.cancel()
                leaving.cancel()
                await asyncio.gather(writing, leaving, return_exceptions=True)
        if not writing.cancelled():
            writing.result()

    async def _write(self, pieces: AsyncGenerator[bytes], send: Send) -> None:
        async def piece(body: bytes, *, more: bool = True) -> None:
            await asyncio.wait_for(
                send({"type": "http.response.body", "body": body, "more_body": more}), self._feeds.patience
            )

        try:
            try:
                async with contextlib.aclosing(pieces):
                    async for body in pieces:
                        await piece(body)
            except DatabaseUnavailable:
                await piece(AWAY)
            await piece(b"", more=False)
        except TimeoutError:
            log.info("events.listener_too_slow", key_id=str(self._caller.key_id))


async def _left(receive: Receive) -> None:
    with contextlib.suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass
