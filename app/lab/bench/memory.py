"""memory: what the idle service holds, and how a pull of 100,000 rows grows the process that does it."""

from __future__ import annotations

import asyncio
import statistics
from time import perf_counter

from app.lab import processes
from app.lab.bench.figure import Bench, Figure
from app.lab.bench.rig import Scene
from app.lab.servers import free_port, serving

SAMPLE = 0.2


async def memory(bench: Bench) -> list[Figure]:
    """Watches both processes from outside."""
    return [*await _idle(bench), *await _pulling(bench)]


async def _idle(bench: Bench) -> list[Figure]:
    bench.say("the idle service")
    urls = await bench.rig.database(durable=False)
    async with processes.service(urls.app, free_port(), bench.rig.folder) as service:
        await asyncio.sleep(5)
        held = processes.resident(service.pid)
    note = "with its scheduler, 5 s after start; PostgreSQL not included"
    return [Figure(name="memory.idle", value=held, unit="MB", target="≤ 160", note=note)]


async def _pulling(bench: Bench) -> list[Figure]:
    number = bench.size(100_000, 20_000)
    urls = await bench.rig.database(durable=False)
    async with bench.rig.world(urls) as scene:
        for start in range(0, number, 5_000):
            bench.say(f"{start:,} of {number:,} rows made")
            for n in range(start, start + 5_000):
                scene.add_row(n + 1)
            await asyncio.sleep(0)
        async with serving(scene.world.airtable.app) as url:
            started = perf_counter()
            samples = await _watched(bench, scene, url, number)
            seconds = perf_counter() - started
        stored = await scene.value("SELECT count(*) FROM link")
    if stored != number + 1:
        raise AssertionError(f"{stored:,} of {number + 1:,} records were stored")
    grown = max(samples) - samples[0]
    quarter = max(1, len(samples) // 4)
    second, last = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
    note = f"{number:,} rows in {seconds:.0f} s, from {samples[0]:.0f} MB at the first stored page; over HTTP, no fsync"
    flat = f"median of the last quarter of the pull {last:.1f} MB, of its second {second:.1f} MB"
    return [
        Figure(name="memory.pull", value=grown, unit="MB grown", target="≤ 60", note=note),
        Figure(
            name="memory.pull.flat", value=last - second, unit="MB", floor=second, ratio=last / second, target="flat",
            note=flat,
        ),
    ]  # fmt: skip


async def _watched(bench: Bench, scene: Scene, url: str, number: int) -> list[float]:
    """Returns the memory of a pull from its first stored page to its last."""
    tenant, samples = scene.world.tenant, []
    before = len(scene.calls)
    args = (scene.urls.app, str(tenant.workspace_id), str(scene.connection_id), url, str(bench.rig.folder))
    async with processes.running("app.lab.bench.puller", *args, folder=bench.rig.folder) as puller:
        while puller.returncode is None:
            made = len(scene.calls) - before
            if made > 1 and (held := processes.resident(puller.pid)):
                samples.append(held)
            bench.say(f"{made * 100:,} of {number:,} rows pulled")
            await asyncio.sleep(SAMPLE)
    if puller.returncode:
        raise RuntimeError(processes.last_words(bench.rig.folder))
    return samples
