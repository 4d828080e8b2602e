"""How calls reach the sandboxes without sockets, and how webhooks leave them: by an HTTP client that is handed in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx
from starlette.types import ASGIApp

from app.providers.transport import Transport
from app.sandbox.core import DROPPED
from app.sandbox.instantly import InstantlySandbox, Sender, delivering


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


def posting(client: httpx.AsyncClient) -> Sender:
    """Returns a sender that posts with `client`; redirects are not followed."""

    async def send(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        try:
            answer = await client.post(url, headers=dict(headers), content=body, timeout=timeout)
        except httpx.TimeoutException as exc:
            raise TimeoutError from exc
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as exc:
            raise ConnectionError(str(exc) or type(exc).__name__) from exc
        return answer.status_code

    return send


@contextlib.asynccontextmanager
async def delivering_over_http(instantly: InstantlySandbox) -> AsyncIterator[None]:
    """Delivers a sandbox's webhooks in the background, over real connections, for as long as the block runs."""
    async with httpx.AsyncClient(transport=Transport()) as client:
        instantly.deliveries.sender = posting(client)
        async with delivering(instantly.deliveries):
            yield
