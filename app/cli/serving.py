"""`leadkeeper serve` and `leadkeeper worker`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Annotated

import typer
import uvicorn

from app.cli import first_start
from app.cli.console import announce, listening, load, run, runtime
from app.cli.patience import Patient
from app.inbox import applied
from app.lab.servers import PartServer, until_ended
from app.main import create_app
from app.scheduler import scheduled
from app.settings import Settings

#: Requests one process works on at a time; more are told to come back.
CONCURRENCY = 512


def serve(
    scheduler: Annotated[bool, typer.Option("--scheduler/--no-scheduler", help="Sync in this process too.")] = True,
    host: Annotated[str | None, typer.Option(help="The address to listen on, instead of HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to listen on, instead of PORT.")] = None,
) -> None:
    """Serve the API, and sync in the background."""
    settings = load()
    chosen = settings.port if port is None else port
    run(_serve(settings, host or settings.host, chosen, scheduler=scheduler))


async def _serve(settings: Settings, host: str, port: int, *, scheduler: bool) -> None:
    sock = listening(host, port, remedy="end what listens there, or choose another with --port or PORT")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(sock.close)
        open_runtime = await stack.enter_async_context(runtime(settings))
        await first_start.ensure(open_runtime)
        if scheduler:
            await stack.enter_async_context(scheduled(open_runtime))
        app = create_app(runtime=open_runtime)
        config = uvicorn.Config(
            app,
            http=Patient,
            limit_concurrency=CONCURRENCY,
            timeout_graceful_shutdown=10,
            server_header=False,
            access_log=False,
            log_config=None,
        )
        server = PartServer(config)

        def leave(number: int) -> None:
            # the server waits for answers under way, and a stream of events has no end of its own
            app.state.feeds.close()
            server.handle_exit(number, None)

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, leave, number)
        url = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"
        announce(settings, f"Leadkeeper listens on {url}; its documentation is at /docs.")
        await server.serve(sockets=[sock])


def worker() -> None:
    """Sync in the background without serving the API."""
    run(_work(load()))


async def _work(settings: Settings) -> None:
    async with runtime(settings) as open_runtime, scheduled(open_runtime), applied(open_runtime):
        announce(settings, "Leadkeeper syncs what is due.")
        await until_ended()
