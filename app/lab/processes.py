"""Processes of one's own: started, waited for, watched and ended, each by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import app

ROOT = Path(app.__file__).resolve().parents[1]
#: Seconds a process may take to come up or to end, and seconds between two looks.
PATIENCE, LOOK = 30.0, 0.02
#: What a process writes goes there, in its folder.
LOG = "child.log"


class Stuck(AssertionError):
    """Something that should happen soon did not happen."""


async def until(claim: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
    """Waits until something is so; raises `Stuck` where it never is."""
    deadline = time.monotonic() + seconds
    while not await claim():
        if time.monotonic() > deadline:
            raise Stuck(f"After {seconds:.0f} s it is still not so that {what}.")
        await asyncio.sleep(LOOK)


async def start(
    module: str, *args: str, folder: Path, env: Mapping[str, str] | None = None, talks: bool = False
) -> Process:
    """Starts a module in a fresh process, which nothing of our own environment reaches; `talks`: with pipes to it."""
    known = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    with (folder / LOG).open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *args, env={**known, **(env or {})}, cwd=folder,
            stdin=PIPE if talks else None, stdout=PIPE if talks else log, stderr=log,
        )  # fmt: skip


@contextlib.asynccontextmanager
async def running(
    module: str, *args: str, folder: Path, env: Mapping[str, str] | None = None, port: int | None = None
) -> AsyncIterator[Process]:
    """Runs a module for as long as the block does; with a `port`, the block begins once it listens there."""
    process = await start(module, *args, folder=folder, env=env)
    try:
        if port is not None:
            await _listens(process, port, folder)
        yield process
    finally:
        await end(process)


def service(
    database_url: str, port: int, folder: Path, *options: str, **settings: str
) -> contextlib.AbstractAsyncContextManager[Process]:
    """Runs the service as `leadkeeper serve` does, for as long as the block runs, and lets a key ask all it can."""
    env = {
        "DATABASE_URL": database_url, "LEADKEEPER_DATA_DIR": str(folder), "LOG_LEVEL": "ERROR",
        "RATE_PER_MINUTE": "1000000000", **settings,
    }  # fmt: skip
    return running("app.cli", "serve", "--port", str(port), *options, env=env, folder=folder, port=port)


async def end(process: Process) -> None:
    """Ends a process, by force if it does not listen."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        await kill(process)


async def kill(process: Process) -> None:
    """Ends a process at once, as the kernel would."""
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _listens(process: Process, port: int, folder: Path) -> None:
    for _ in range(int(PATIENCE / 0.1)):
        if process.returncode is not None:
            break
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise RuntimeError(f"The process did not come up: {last_words(folder)}")


def last_words(folder: Path) -> str:
    """Returns the end of what the processes of a folder wrote."""
    return (folder / LOG).read_text()[-500:]


def busy(pid: int) -> float:
    """Returns how many seconds of CPU a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Returns how much memory a process holds, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
