"""The outermost layer: a request's id, its size limit, its metrics, and an answer to whatever nobody expected."""

from __future__ import annotations

import re
from time import perf_counter

import structlog
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import Problem, problem
from app.api.metrics import Metrics
from app.db.ids import new_id

log = structlog.get_logger()
#: Headers of every answer that does not say something else itself.
_DEFAULTS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Accept-Encoding"),
)
#: The largest delivery of a webhook, in bytes, and where they come in: a mail with its thread may be long.
DELIVERY_BYTES = 2_000_000
_DELIVERIES = "/api/webhooks/instantly/"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Compressed(GZipMiddleware):
    """Compresses answers for those who take that, and is not in the way of the others."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        accepts = any(name == b"accept-encoding" and b"gzip" in value for name, value in scope.get("headers", ()))
        await (super().__call__ if accepts else self.app)(scope, receive, send)


class Edge:
    """Wraps the whole app."""

    def __init__(self, app: ASGIApp, *, max_body: int, metrics: Metrics) -> None:
        self._app = app
        self._max_body = max_body
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if is_head := scope["method"] == "HEAD":
            # answered as GET is, without the body (RFC 9110, 9.3.2)
            scope = {**scope, "method": "GET"}
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began, status = perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _finished(message["headers"], request_id)
            elif is_head:
                return
            await send(message)
            if is_head:
                # nothing follows, also where the answer is a stream
                await send({"type": "http.response.body"})

        try:
            limit = self._max_body
            if scope["path"].startswith(_DELIVERIES):
                limit = max(limit, DELIVERY_BYTES)
            body = await _body(receive, headers, limit)
            await self._app(scope, receive if body is None else _replay(body, receive), sending)
        except Problem as exc:
            await problem(request_id, exc)(scope, receive, sending)
        except Exception:
            log.exception("request.failed", path=scope["path"], method=scope["method"])
            if status:
                raise
            found = Problem(500, "Something went wrong here; the log has it under this request_id.")
            await problem(request_id, found)(scope, receive, sending)
        finally:
            self._metrics.request(scope, status or 500, perf_counter() - began)
            structlog.contextvars.unbind_contextvars("request_id")


async def _body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes | None:
    """Refuses a body that is too large; one of unknown length is read here, up to the limit."""
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            raise Problem(400, "Content-Length is not a number.")
        if int(length) > limit:
            raise _too_large(limit)
        return None
    if b"transfer-encoding" not in headers:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body)


def _too_large(limit: int) -> Problem:
    sentence = f"The body is larger than {limit:,} bytes: send less at once."
    return Problem(413, sentence, headers={"Connection": "close"})


def _finished(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Returns an answer's headers with those that every answer has."""
    names = {name for name, _ in headers}
    added = [header for header in _DEFAULTS if header[0] not in names]
    return [*headers, (b"x-request-id", request_id.encode()), *added]


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
