"""The transport, against a server that has no time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvloop

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


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_a_connection_that_ends_as_soon_as_it_is_open_is_a_network_error(
    abrupt: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def ask() -> list[Any]:
        said: list[Any] = []
        async with httpx.AsyncClient(transport=Transport()) as client:
            for _ in range(20):
                said += await asyncio.gather(*(client.post(abrupt) for _ in range(32)), return_exceptions=True)
        return said

    with asyncio.Runner(loop_factory=loop) as runner:
        said = runner.run(ask())

    assert [error for error in said if not isinstance(error, httpx.TransportError)] == []
