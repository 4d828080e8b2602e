"""A small HTTP/1.1 load: some connections that each send the next request once the last one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import cast


class Stopped(Exception):
    """The server closed a connection, or answered something else than 200 or 202."""


class _Line(asyncio.Protocol):
    """One connection under load."""

    def __init__(
        self, next_request: Callable[[], bytes | None], done: asyncio.Future[None], took: list[float] | None = None
    ) -> None:
        self._next = next_request
        self._done = done
        self._took = took
        self._sent = 0.0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by their class
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            self._stop(Stopped(self._buffer[:300].decode(errors="replace")))
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            if self._took is not None:
                self._took.append(perf_counter() - self._sent)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(exc or Stopped("the server closed the connection"))

    def _send(self) -> None:
        assert self._transport is not None
        request = self._next()
        if request is None:
            self._stop(None)
        else:
            self._sent = perf_counter()
            self._transport.write(request)

    def _stop(self, exc: Exception | None) -> None:
        if not self._done.done():
            if exc is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(exc)
        if self._transport is not None:
            self._transport.close()


async def load(port: int, paths: Sequence[str], headers: Mapping[str, str], *, clients: int, seconds: float) -> float:
    """Returns the answers per second."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n".encode() for path in paths]
    loop, sent, started = asyncio.get_running_loop(), 0, perf_counter()

    def next_request() -> bytes | None:
        nonlocal sent
        if perf_counter() - started >= seconds:
            return None
        sent += 1
        return requests[sent % len(requests)]

    finished = [loop.create_future() for _ in range(clients)]
    for done in finished:
        await loop.create_connection(lambda done=done: _Line(next_request, done), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*finished)
    return sent / (perf_counter() - started)


async def pour(
    port: int, request: Callable[[int], bytes], *, clients: int, seconds: float
) -> tuple[float, list[float]]:
    """Sends what `request` makes of each number; returns the answers per second, and the seconds each one took."""
    loop, sent, started = asyncio.get_running_loop(), 0, perf_counter()
    took: list[float] = []

    def next_request() -> bytes | None:
        nonlocal sent
        if perf_counter() - started >= seconds:
            return None
        sent += 1
        return request(sent)

    finished = [loop.create_future() for _ in range(clients)]
    for done in finished:
        await loop.create_connection(lambda done=done: _Line(next_request, done, took), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*finished)
    return sent / (perf_counter() - started), took


async def latencies(port: int, paths: Sequence[str], headers: Mapping[str, str], count: int) -> list[float]:
    """Returns the seconds of each of so many requests, sent by one client one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for number in range(count):
        started = perf_counter()
        await ask(reader, writer, paths[number % len(paths)], headers)
        found.append(perf_counter() - started)
    writer.close()
    return found


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, headers: Mapping[str, str]
) -> bytes:
    """Sends one request on a connection and returns the answer's body."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n{more}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise Stopped(head[:300].decode(errors="replace"))
    return await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
