"""The floor of `read`, `list` and `search`: an ASGI app and asyncpg, which set the workspace, select and commit.

Run as a process of its own: python -m app.lab.bench.bare DSN WORKSPACE PORT
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from starlette.types import Receive, Scope, Send

from app.db.lead_list import FOUND_AT_MOST, Query, Statement
from app.lab.bench.lists import LIMIT, NARROWED, ORDER

_SET = "SELECT set_config('app.workspace_id', $1, true), set_config('app.role', 'admin', true)"
_ONE = "SELECT row_to_json(l)::text FROM lead l WHERE workspace_id = $1 AND id = $2"


_FIND = "SELECT search_leads($1, $2)"
#: Stands in a statement's arguments for what a request brings.
_HERE: Any = object()


class Bare:
    """GET /api/leads/<lead id>, /list and /search/<words>, with the service's own SQL for lists, and nothing else."""

    def __init__(self, dsn: str, workspace: str) -> None:
        self._dsn = dsn
        self._workspace = workspace
        self._id = UUID(workspace)
        self._pool: Any = None
        narrowed = Query(order=ORDER, filters=NARROWED)
        self._list = Statement(self._id, narrowed).page(LIMIT + 1)
        self._found = Statement(self._id, Query(order=ORDER, search=_HERE), _HERE).page(LIMIT + 1)
        self._walked = Statement(self._id, Query(order=ORDER, search=_HERE)).page(LIMIT + 1)

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
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SET, self._workspace)
            body = await self._read(connection, scope["path"])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, connection: Any, path: str) -> bytes:
        _, what, *rest = path.split("/")
        if what not in ("list", "search"):
            found: str = await connection.fetchval(_ONE, self._id, UUID(path.rpartition("/")[2]))
            return found.encode()
        sql, *args = self._list
        if what == "search":
            (words,) = rest
            ids = await connection.fetchval(_FIND, words, FOUND_AT_MOST)
            sql, *args = self._found if ids is not None else self._walked
            args = [(words if ids is None else ids) if arg is _HERE else arg for arg in args]
        rows = await connection.fetch(sql, *args)
        return b'{"items":[' + ",".join([row["json"] for row in rows[:LIMIT]]).encode() + b"]}"


async def _nothing(_connection: Any) -> None:
    """Everything set is transaction-local, as in the service."""


if __name__ == "__main__":
    address, workspace_id, port = sys.argv[1:]
    uvicorn.run(Bare(address, workspace_id), port=int(port), http="httptools", access_log=False, log_level="warning")
