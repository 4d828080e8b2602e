"""Clients that do not come to the end of their request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.cli.patience import HEAD_BYTES, Patient
from app.lab.servers import serving


class Hasty(Patient):
    """Waits a moment only."""

    seconds = 0.3


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body's length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-length", str(length).encode())]})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def client(protocol: type[Patient]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(echo, http=protocol) as url:
        found = urlsplit(url)
        reader, writer = await asyncio.open_connection(found.hostname, found.port)
        yield reader, writer
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nX-Slow: ", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "a head", "a body"],
)
async def test_a_request_that_does_not_end_ends_its_connection(sent: bytes) -> None:
    async with client(Hasty) as (reader, writer):
        writer.write(sent)

        async with asyncio.timeout(5):
            assert b"200" not in await reader.read()


async def test_a_later_request_that_does_not_end_ends_its_connection_too() -> None:
    async with client(Hasty) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(5):
            await reader.readuntil(b"x-length: 0\r\n")
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")

            # less than the seconds after which a connection that rests is closed
            async with asyncio.timeout(3):
                assert b"200" not in await reader.read()


async def test_a_head_without_an_end_is_refused() -> None:
    async with client(Patient) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\n")

        async def go_on() -> None:
            for _ in range(200):
                writer.write(b"X-More: and more\r\n" * (HEAD_BYTES // 18))
                await writer.drain()

        with pytest.raises(ConnectionError):
            await go_on()


async def test_requests_one_behind_the_other_are_answered_however_large_their_bodies() -> None:
    async with client(Hasty) as (reader, writer):
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")

        async with asyncio.timeout(5):
            answers = await reader.read()
        assert answers.count(b"x-length: 1000000") == 3
        assert answers.count(b"HTTP/1.1 200") == 4
