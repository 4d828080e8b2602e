"""The transport, against a server that has no time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import httpx
import pytest

from app.providers.transport import Transport


@pytest.fixture
def abrupt() -> Iterator[str]:
    """A server that resets every connection as soon as it is there."""

    def reset(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        thread = threading.Thread(target=reset, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_connection_that_ends_as_soon_as_it_is_open_is_a_network_error(abrupt: str) -> None:
    async with httpx.AsyncClient(transport=Transport()) as client:
        asked = [client.post(abrupt, content=b"x") for _ in range(20 * 32)]
        said = []
        while asked:
            batch, asked = asked[:32], asked[32:]
            said += await asyncio.gather(*batch, return_exceptions=True)

    assert [error for error in said if not isinstance(error, httpx.TransportError)] == []
