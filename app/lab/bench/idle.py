"""delta-idle: a delta with no news, with 1,000 and with 100,000 linked leads."""

from __future__ import annotations

import contextlib
import statistics
from time import perf_counter

from app.db import runs
from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.bench.rig import Scene

TABLES = ("lead", "link", "lead_identity", "lead_change")


async def delta_idle(bench: Bench) -> list[Figure]:
    """Alternates whole turns, from the queued run to the given-back lease, over a small and a large table."""
    sizes, pairs = (1_000, bench.size(100_000, 20_000)), bench.size(30, 10)
    async with contextlib.AsyncExitStack() as stack:
        scenes = []
        for number in sizes:
            urls = await bench.rig.database(durable=True)
            scene = await stack.enter_async_context(bench.rig.world(urls))
            bench.say(f"loading {number:,} links")
            await scene.grow(number - 1)
            await _turn(scene)
            scenes.append(scene)
        small, large = scenes
        before = [await _versions(scene) for scene in scenes]
        calls = [len(scene.calls) for scene in scenes]
        b, a = await alternate(pairs, lambda: _turn(small), lambda: _turn(large), bench.say)
        after = [await _versions(scene) for scene in scenes]
        moved = sum(
            old != new for was, now in zip(before, after, strict=True) for old, new in zip(was, now, strict=True)
        )
        made = [(len(scene.calls) - since) / pairs for scene, since in zip(scenes, calls, strict=True)]
    note = f"{sizes[1]:,} links beside {sizes[0]:,}, median of {pairs} pairs; stock durability"
    ms, low = statistics.median(a) * 1000, statistics.median(b) * 1000
    watched = f"count, ctid and xmin of {', '.join(TABLES)}"
    return [
        Figure(
            name="delta-idle", value=ms, unit="ms", floor=low, ratio=median_ratio(a, b), target="≤ 1.3", note=note
        ),
        Figure(name="delta-idle.calls", value=max(made), unit="calls", target="1", note="per delta"),
        Figure(name="delta-idle.moved", value=moved, unit="tables", target="0", note=watched),
    ]  # fmt: skip


async def _turn(scene: Scene) -> float:
    """Asks for a delta and lets the worker do it."""
    async with scene.world.transaction() as tx:
        await runs.queue(tx, scene.connection_id, "delta", "bench")
    started = perf_counter()
    await scene.world.worker.tick()
    await scene.world.worker.idle()
    return perf_counter() - started


async def _versions(scene: Scene) -> list[object]:
    """Returns, per table, what moves with every new row version."""
    return [
        await scene.value(
            f"SELECT (count(*), sum(hashtextextended(ctid::text || xmin::text, 0)::numeric))::text FROM {table}"
        )
        for table in TABLES
    ]
