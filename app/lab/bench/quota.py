"""quota: pull and push at Airtable's limit, against a sliding and a fixed window.

The waits are skipped and everything else takes its real time: the clock is the wall clock plus the time slept. A call
takes 100 ms beside that, as over a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from app.lab.bench.figure import Bench, Figure
from app.lab.bench.rig import Scene
from app.sandbox.core import Call, MovableClock
from app.sync import pull, push, reconcile

LIMIT = 5.0
LATENCY, SLOW = 0.1, 0.3


class Hurried(MovableClock):
    """The wall clock plus whatever was slept; for one task at a time."""

    def now(self) -> datetime:
        """Returns the time, to the millisecond, as the database gives it."""
        found = super().now()
        return found.replace(microsecond=found.microsecond // 1000 * 1000)

    async def sleep(self, seconds: float) -> None:
        """Lets the time pass at once."""
        self.advance(max(0.0, seconds))


async def quota(bench: Bench) -> list[Figure]:
    """Measures both windows, and the push once more over a slow network."""
    found = []
    for window, latency in (("sliding", LATENCY), ("fixed", LATENCY), ("sliding", SLOW)):
        found += await _measured(bench, "fixed" if window == "fixed" else "sliding", latency)
    return found


async def _measured(bench: Bench, window: Literal["sliding", "fixed"], latency: float) -> list[Figure]:
    number = bench.size(5_000, 1_000)
    clock = Hurried()
    urls = await bench.rig.database(durable=False)
    async with bench.rig.world(urls, clock=clock, latency=latency, limiter=True) as scene:
        scene.world.airtable.switches.limiter_window = window
        bench.say(f"{window} window: loading")
        await scene.grow(number - 1, rows_there=True)
        clock.advance(60)
        name = f"quota.{{}}.{window}" if latency == LATENCY else "quota.{}.slow-network"
        shares = {}
        async with scene.job() as job:
            first = len(scene.calls)
            bench.say(f"{window} window: pulling {number:,}")
            await pull.pull(job, "full")
            shares["pull"] = scene.calls[first:]
            await _edit_here(scene, clock)
            first = len(scene.calls)
            bench.say(f"{window} window: pushing {number:,}")
            await reconcile.reconcile(job)
            await push.push(job)
            shares["push"] = scene.calls[first:]
            written, changed = job.counters["written_there"], job.counters["changed_there"]
        if written != number or changed:
            raise AssertionError(f"{written} of {number} records were written, {changed} differed before")
    return [_figure(name.format(what), calls, latency) for what, calls in shares.items()]


async def _edit_here(scene: Scene, clock: Hurried) -> None:
    """Changes every lead, as an import does."""
    await scene.run(
        "UPDATE lead SET title = title || ' II', version = version + 1, sync_version = sync_version + 1,"
        " changed_xid = pg_current_xact_id()::text::bigint, updated_at = $1",
        clock.now(),
    )
    clock.advance(2)


def _figure(name: str, calls: Sequence[Call], latency: float) -> Figure:
    times = [datetime.fromisoformat(call.at) for call in calls]
    reached = (len(calls) - 1) / (times[-1] - times[0]).total_seconds()
    refused = sum(call.status == 429 for call in calls)
    note = f"{len(calls)} calls, {refused} of them 429 (target 0), {latency * 1000:.0f} ms each; no fsync"
    target = "≥ 0.85" if latency == LATENCY else "–"
    return Figure(
        name=name, value=reached, unit="calls/s", floor=LIMIT, ratio=reached / LIMIT, target=target, note=note
    )
