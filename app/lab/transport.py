"""The sandboxes without sockets: an httpx transport that hands each call to an ASGI app of this process."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp

from app.sandbox.core import DROPPED


class InProcess(httpx.AsyncBaseTransport):
    """Routes by host; an answer the sandbox marked as dropped becomes the network error a client would see."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._transports = {host: httpx.ASGITransport(app) for host, app in apps.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._transports.get(request.url.host)
        if transport is None:
            raise httpx.ConnectError(f"No sandbox answers as {request.url.host}.", request=request)
        response = await transport.handle_async_request(request)
        if DROPPED.decode() in response.headers:
            await response.aclose()
            raise httpx.ReadError("The sandbox dropped the connection.", request=request)
        return response
