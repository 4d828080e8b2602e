"""httpx's own transport, mended in two places where the libraries below it do not go together."""

from __future__ import annotations

import sys
from importlib import util

import httpx

if util.find_spec("sniffio") is None:
    # httpx looks for it several times a call, each time in every folder of the path, unless it is known to be missing
    sys.modules["sniffio"] = None  # type: ignore[assignment]


class Transport(httpx.AsyncHTTPTransport):
    """Makes a connection that ends as soon as it is open an `httpx.ConnectError` on uvloop, as on any other loop.

    There uvloop gives no socket any more, which anyio asks for its peer before anything is sent.
    """

    def __init__(self) -> None:
        super().__init__(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as exc:
            if exc.name != "getpeername":
                raise
            raise httpx.ConnectError("The connection ended as soon as it was open.", request=request) from exc
