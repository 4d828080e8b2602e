"""What every command does the same way: settings, errors as one sentence, the runtime, and a workspace by its name."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import orjson
import structlog
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from app import log, settings
from app.db import checkup, workspaces
from app.db.session import Database
from app.errors import LeadkeeperError
from app.runtime import Runtime, opened
from app.settings import Settings, SettingsError

T = TypeVar("T")
#: What the history and the audit log call whoever sits at the command line.
ACTOR = "command line"
out = Console(highlight=False)
if not out.is_terminal:
    # a pipe has no edge to wrap at
    out.width = 240
errors = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
InWorkspace = Annotated[
    str | None, typer.Option("--workspace", help="The workspace's name; not needed while there is only one.")
]


#: When the collector looks for cycles. A batch is hundreds of thousands of values without one; looking through them
#: again and again took a third of the time.
COLLECT = (50_000, 20, 50)


class CommandError(LeadkeeperError):
    """A command cannot do what it was asked."""


def fail(sentence: object, code: int = 1) -> NoReturn:
    """Ends the command with one sentence on stderr."""
    errors.print(str(sentence), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def announce(found: Settings, sentence: str) -> None:
    """Says that a service is up; where logs are read by machines, as one of them."""
    if found.log_json:
        structlog.get_logger().info("service.started", says=sentence)
    else:
        errors.print(sentence, markup=False, soft_wrap=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs one piece of work; an error we can explain becomes a sentence: exit code 2 for settings, 1 for the rest."""
    gc.freeze()
    gc.set_threshold(*COLLECT)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_in_order(work))
    except (SettingsError, checkup.Unusable) as exc:
        fail(exc, 2)
    except LeadkeeperError as exc:
        fail(exc)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except asyncio.CancelledError:
        raise typer.Exit(143) from None


async def _in_order(work: Coroutine[Any, Any, T]) -> T:
    """Lets a termination unwind the work, so that an embedded Postgres is stopped and not left behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def load(level: str | None = None) -> Settings:
    """Reads the settings and sets logging up; a command that answers somebody logs warnings and worse only."""
    try:
        found = settings.load()
        _check_folder(found)
    except LeadkeeperError as exc:
        fail(exc, 2)
    log.configure(level or found.log_level, as_json=found.log_json)
    return found


def _check_folder(found: Settings) -> None:
    folder = found.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(
            f"The data folder {folder} cannot be made ({exc.strerror}): set LEADKEEPER_DATA_DIR to one that can."
        ) from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(
            f"The data folder {folder} cannot be written to: give it to this user, or set LEADKEEPER_DATA_DIR."
        )


@contextlib.asynccontextmanager
async def runtime(found: Settings) -> AsyncIterator[Runtime]:
    """Opens the runtime, after a look at the database that explains what is wrong with it."""
    if found.database_url is not None:
        await checkup.ready(found.database_url)
    async with opened(found) as open_runtime:
        yield open_runtime


def listening(host: str, port: int, *, remedy: str) -> socket.socket:
    """Returns a listening socket; raises `CommandError` where the port is taken or the address is not ours."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with contextlib.ExitStack() as unless_it_works:
            found = unless_it_works.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            # a second listener is refused now, and not when the server starts
            found.listen(128)
            unless_it_works.pop_all()
    except OSError as exc:
        if isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL:
            raise CommandError(
                f"{host} is no address of this machine ({exc.strerror}): correct --host or HOST."
            ) from exc
        raise CommandError(f"Port {port} of {host} cannot be used ({exc.strerror}): {remedy}.") from exc
    return found


async def workspace(db: Database, name: str | None) -> UUID:
    """Returns the workspace of a name, or the only one there is."""
    known = await names(db)
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    if not known:
        raise CommandError(
            "There is no workspace yet: make the first one with `leadkeeper keys create --role operator`."
        )
    listed = ", ".join(sorted(known))
    if name is None:
        raise CommandError(f"There are {len(known)} workspaces: choose one with --workspace ({listed}).")
    raise CommandError(f"There is no workspace {name!r}: the workspaces are {listed}.")


async def names(db: Database) -> dict[str, UUID]:
    """Returns every workspace's id by its name."""
    found = [await workspaces.get(db, workspace_id) for workspace_id in await workspaces.ids(db)]
    return {row["name"]: row["id"] for row in found if row is not None}


def as_json(content: object) -> None:
    """Prints JSON on one line."""
    typer.echo(orjson.dumps(content, default=str).decode())


def as_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Prints a table, or a sentence where there is nothing to show."""
    table = Table(*columns, box=None, padding=(0, 2), header_style="bold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(table if table.row_count else empty, markup=False)
