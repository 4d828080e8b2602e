"""How a sandbox reaches the world outside: its webhooks are posted by an HTTP client somebody else owns."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx

from app.sandbox.instantly import InstantlySandbox, Sender, delivering


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
    async with httpx.AsyncClient() as client:
        instantly.deliveries.sender = posting(client)
        async with delivering(instantly.deliveries):
            yield
