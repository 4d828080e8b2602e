"""cold: `make demo ONCE=1` on a machine on which it has never run, after installation."""

from __future__ import annotations

import asyncio
import resource
import sys
from asyncio.subprocess import PIPE, STDOUT
from time import perf_counter

from app.lab import processes
from app.lab.bench.figure import Bench, Figure


async def cold(bench: Bench) -> list[Figure]:
    """Runs it as a newcomer does, in an empty data folder: a cluster is made, migrated and filled."""
    folder = bench.rig.folder / "demo"
    folder.mkdir(mode=0o711)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LEADKEEPER_DATA_DIR": str(folder / "data")}
    # what is installed already is not looked at again
    command = ("make", "-o", ".venv/installed", f"PY={sys.executable}", "demo", "ONCE=1")
    bench.say("make demo ONCE=1")
    started, spent = perf_counter(), _children()
    process = await asyncio.create_subprocess_exec(*command, cwd=processes.ROOT, env=env, stdout=PIPE, stderr=STDOUT)
    try:
        output, _ = await process.communicate()
    finally:
        await processes.end(process)
    seconds = perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"the demo ended with {process.returncode}: {output.decode()[-500:]}")
    note = f"an empty data folder: initdb, migrations, three reconciliations; {_children() - spent:.0f} s of CPU in all"
    return [Figure(name="cold", value=seconds, unit="s", target="≤ 30", note=note)]


def _children() -> float:
    """Returns the CPU seconds of every process that ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
