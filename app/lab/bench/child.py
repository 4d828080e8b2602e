"""Processes a bench starts, watches and ends: only its own, each by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import app

ROOT = Path(app.__file__).resolve().parents[1]
PATIENCE = 30.0


@contextlib.asynccontextmanager
async def python(module: str, *args: str, env: Mapping[str, str], folder: Path) -> AsyncIterator[Process]:
    """Runs a module in a fresh process for as long as the block runs; nothing of our own environment reaches it."""
    known = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    with (folder / "child.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *args, env={**known, **env}, cwd=folder, stdout=log, stderr=log
        )  # fmt: skip
        try:
            yield process
        finally:
            await end(process)


async def end(process: Process) -> None:
    """Ends a process, by force if it does not listen."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()


async def reachable(process: Process, port: int, folder: Path) -> None:
    """Waits until a process listens on a port; raises with the end of its log where it never does."""
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
    raise RuntimeError(f"The process did not come up: {(folder / 'child.log').read_text()[-500:]}")


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
