"""Idempotency-Key: a POST has one effect and one answer, however often it is sent within a day.

The answer is kept in the transaction of the effect. Where a POST is handed its transaction (`deps.Session`), that needs
nothing of its route: the key is taken when the transaction begins, and the answer is kept before it commits. A route
that works in transactions of its own asks for `Once`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.errors import Problem
from app.db import idempotency
from app.db.session import Tx


class ShownOnce(Response):
    """An answer that holds something shown once; `kept` is what is kept of it, to be repeated."""

    def __init__(self, content: BaseModel, kept: BaseModel, status: int, headers: dict[str, str]) -> None:
        super().__init__(content.model_dump_json(), status, headers, "application/json")
        self.kept = kept.model_dump_json().encode()


class Repeated(Exception):
    """The request was answered before."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer


class Idempotency:
    """A request's Idempotency-Key, if it has one."""

    def __init__(self, key: str | None, body_hash: bytes) -> None:
        self._key = key
        self._body_hash = body_hash

    async def known(self, tx: Tx) -> Response | None:
        """Returns what was answered under this key, for routes that do something else before their effect."""
        if self._key is None:
            return None
        found = await idempotency.find(tx, self._key, self._body_hash)
        return None if found is None else _repeated(found)

    async def begin(self, tx: Tx) -> Response | None:
        """Takes the key for the effect of this transaction, or returns what was answered under it."""
        if self._key is None:
            return None
        found = await idempotency.begin(tx, self._key, self._body_hash)
        return None if found is None else _repeated(found)

    async def keep(self, tx: Tx, answer: Response) -> None:
        """Leaves the answer with the effect."""
        if self._key is None:
            return
        headers = {
            name: answer.headers[name] for name in ("content-type", "location", "etag") if name in answer.headers
        }
        body = answer.kept if isinstance(answer, ShownOnce) else bytes(answer.body)
        await idempotency.finish(tx, self._key, idempotency.Answer(answer.status_code, body, headers))

    async def once(self, tx: Tx, work: Callable[[], Awaitable[Response]]) -> Response:
        """Does the work, or repeats the answer of the request that did it."""
        if (found := await self.begin(tx)) is not None:
            return found
        answer = await work()
        await self.keep(tx, answer)
        return answer


def _repeated(found: idempotency.Answer) -> Response:
    return Response(found.body, found.status, {**found.headers, "Idempotency-Replayed": "true"})


async def idempotency_of(request: Request) -> Idempotency:
    """Reads the key; it belongs to the API key, the address and the body it came with."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return Idempotency(None, b"")
    if not (0 < len(given) <= 255 and given.isascii() and given.isprintable()):
        raise Problem(422, "An Idempotency-Key has 1 to 255 printable ASCII characters.")
    request_hash = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    request_hash.update(await request.body())
    return Idempotency(f"{request.state.caller.key_id}:{given}", request_hash.digest())


Once = Annotated[Idempotency, Depends(idempotency_of)]


async def begin(request: Request, tx: Tx) -> None:
    """Lets a POST have its effect in this transaction; raises `Repeated` where it has had it."""
    if request.method == "POST":
        found = await idempotency_of(request)
        if (answer := await found.begin(tx)) is not None:
            raise Repeated(answer)
        request.state.keep = lambda answer: found.keep(tx, answer)


async def finish(request: Request, answer: Response) -> None:
    """Keeps the answer of a request that has begun so, before its transaction ends."""
    if (keep := getattr(request.state, "keep", None)) is not None:
        await keep(answer)
