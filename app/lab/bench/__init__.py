"""The benches: figures with their floors, measured in one run, printed as a table and as one JSON line each.

They assert nothing about time. Every figure is bounded; one that fails is named, and the rest goes on.
"""

from __future__ import annotations

import asyncio

import structlog
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.errors import LeadkeeperError
from app.lab.bench.calls import calls
from app.lab.bench.cold import cold
from app.lab.bench.dedupe import dedupe
from app.lab.bench.export import export
from app.lab.bench.figure import Bench, Figure, Measure, show
from app.lab.bench.idle import delta_idle
from app.lab.bench.latency import latency
from app.lab.bench.lists import lists, search
from app.lab.bench.memory import memory
from app.lab.bench.merge import merge
from app.lab.bench.page import page
from app.lab.bench.quota import quota
from app.lab.bench.read import read
from app.lab.bench.reconcile import reconcile
from app.lab.bench.rig import Rig
from app.lab.bench.webhook import webhook

log = structlog.get_logger()
#: Columns of the table where no terminal says how many there are.
WIDE = 200

#: What can be measured, and in how many seconds at the most.
FIGURES: dict[str, tuple[Measure, float]] = {
    "merge": (merge, 120),
    "dedupe": (dedupe, 120),
    "page": (page, 120),
    "reconcile": (reconcile, 300),
    "delta-idle": (delta_idle, 240),
    "quota": (quota, 420),
    "calls": (calls, 300),
    "read": (read, 180),
    "list": (lists, 420),
    "search": (search, 420),
    "webhook": (webhook, 240),
    "latency": (latency, 480),
    "export": (export, 420),
    "memory": (memory, 480),
    "cold": (cold, 240),
}


class UnknownFigure(LeadkeeperError):
    """There is no such figure."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no figure {name!r}: choose one of {', '.join(FIGURES)}.")


async def bench(only: str | None = None, *, quick: bool = False) -> int:
    """Measures every figure, or one; returns 1 where one could not be measured.

    Raises:
        UnknownFigure: `only` names none.
    """
    if only is not None and only not in FIGURES:
        raise UnknownFigure(only)
    console, failed = Console(highlight=False), 0
    if not console.is_terminal:
        console.width = WIDE
    found: list[Figure] = []
    rig = Rig()
    try:
        for name in [only] if only else FIGURES:
            try:
                measured = await _measured(name, rig, console, quick=quick)
            except Exception as exc:
                failed += 1
                log.exception("bench.failed", figure=name)
                console.print(f"[red]{name} could not be measured: {exc or type(exc).__name__}.[/]", soft_wrap=True)
                continue
            for figure in measured:
                console.print(figure.line(), markup=False, soft_wrap=True)
            found += measured
    finally:
        await asyncio.to_thread(rig.close)
    console.print(show(found))
    return int(failed > 0)


async def _measured(name: str, rig: Rig, console: Console, *, quick: bool) -> list[Figure]:
    measure, seconds = FIGURES[name]
    columns = (SpinnerColumn(), TextColumn(f"{name:<10} {{task.description}}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("preparing", total=None)

        def say(note: str) -> None:
            progress.update(bar, description=note)

        async with asyncio.timeout(seconds):
            return await measure(Bench(rig, quick, say))
