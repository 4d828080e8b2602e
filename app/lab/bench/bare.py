"""The floor of `read`: an ASGI app and asyncpg, which set the workspace, select one lead as JSON and commit.

Run as a process of its own: python -m app.lab.bench.bare DSN WORKSPACE PORT
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from starlette.types import Receive, Scope, Send

_SET = "SELECT set_config('app.workspace_id', $1, true), set_config('app.role', 'admin', true)"
_ONE = "SELECT row_to_json(l)::text FROM lead l WHERE workspace_id = $1 AND id = $2"


class Bare:
    """GET /<lead id>, and nothing else."""

    def __init__(self, dsn: str, workspace: str) -> None:
        self._dsn = dsn
        self._workspace = workspace
        self._id = UUID(workspace)
        self._pool: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; the pool is opened by the first one."""
        if scope["type"] == "lifespan":
            await receive()
            self._pool = await asyncpg.create_pool(self._dsn, min_size=10, max_size=10, reset=_nothing)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        lead_id = UUID(scope["path"].rpartition("/")[2])
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SET, self._workspace)
            found = await connection.fetchval(_ONE, self._id, lead_id)
        body = found.encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _nothing(_connection: Any) -> None:
    """Everything set is transaction-local, as in the service."""


if __name__ == "__main__":
    address, workspace_id, port = sys.argv[1:]
    uvicorn.run(Bare(address, workspace_id), port=int(port), http="httptools", access_log=False, log_level="warning")
