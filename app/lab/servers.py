"""Servers of this process on loopback ports, for the demo and for tests that need real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import uvicorn
from starlette.types import ASGIApp


class PartServer(uvicorn.Server):
    """A server that is one part of a process and leaves its signals to the whole."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none: uvicorn would raise them again before anything else of the process is closed."""
        yield


def free_socket() -> socket.socket:
    """Returns a listening socket on a free loopback port."""
    # with the protocol named, asyncio sets TCP_NODELAY; without it every answer waits 40 ms
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", 0))
    return found


def free_port() -> int:
    """Returns a loopback port that nobody listens on, for a process that binds it itself."""
    with free_socket() as found:
        port: int = found.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    sock: socket.socket | None = None,
    *,
    date: bool = False,
    http: type[asyncio.Protocol] | Literal["auto"] = "auto",
) -> AsyncIterator[str]:
    """Serves an app for as long as the block runs, and gives its address."""
    sock = sock or free_socket()
    config = uvicorn.Config(
        app,
        http=http,
        log_level="critical",
        date_header=date,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = PartServer(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.01)
    host, port = sock.getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task


async def until_ended() -> None:
    """Waits until somebody ends the process, so that everything open is closed in order."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
