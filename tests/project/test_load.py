"""The load of the benches runs on the loop that the commands run on."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.lab.bench.load import load
from app.lab.servers import serving


def test_a_load_on_the_commands_loop_is_answered_and_ends() -> None:
    async def answer(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("fine")

    async def loaded() -> float:
        async with asyncio.timeout(20), serving(Starlette(routes=[Route("/", answer)])) as url:
            return await load(urlsplit(url).port or 0, ["/"], {}, clients=2, seconds=0.2)

    assert uvloop.run(loaded()) > 0
