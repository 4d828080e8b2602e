"""The floor of `webhook`: an ASGI app and asyncpg, which insert what was posted, once, and commit before they answer.

Run as a process of its own: python -m app.lab.bench.bare_inbox DSN PORT
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import asyncpg
import uvicorn
from starlette.types import Receive, Scope, Send

#: Made by the bench, as the owner.
TABLE = (
    "CREATE TABLE bare_inbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received_at timestamptz NOT NULL"
    " DEFAULT now(), path text NOT NULL, body bytea NOT NULL, key bytea NOT NULL UNIQUE)"
)
_INSERT = "INSERT INTO bare_inbox (path, body, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id"


class BareInbox:
    """Any POST."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; each is a statement and a commit of its own."""
        if scope["type"] == "lifespan":
            await receive()
            self._pool = await asyncpg.create_pool(self._dsn, min_size=10, max_size=10, reset=_nothing)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with self._pool.acquire() as connection:
            found = await connection.fetchval(_INSERT, scope["path"], body, hashlib.sha256(body).digest())
        content = b'{"delivery":%d}' % (found or 0)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _nothing(_connection: Any) -> None:
    """Nothing was set that another request could meet."""


if __name__ == "__main__":
    address, port = sys.argv[1:]
    uvicorn.run(BareInbox(address), port=int(port), http="httptools", access_log=False, log_level="warning")
