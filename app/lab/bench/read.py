"""read: GET one lead, authenticated, under row-level security, against a bare ASGI app doing the same transaction."""

from __future__ import annotations

import contextlib
import statistics

from app.lab import processes
from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.bench.load import load
from app.lab.bench.rig import Scene
from app.lab.servers import free_port

CLIENTS, LEADS = 16, 1_000


async def read(bench: Bench) -> list[Figure]:
    """Loads the real service and the floor by turns, each in a process of its own."""
    pairs, seconds = bench.size(5, 3), bench.size(3, 1)
    folder = bench.rig.folder
    urls = await bench.rig.database(durable=True)
    async with bench.rig.world(urls) as scene, contextlib.AsyncExitStack() as stack:
        bench.say("loading")
        await scene.grow(LEADS - 1)
        key, lead_ids = await _prepare(scene)
        ours_port, floor_port = free_port(), free_port()
        served = processes.service(urls.app, ours_port, folder, "--no-scheduler")
        service = await stack.enter_async_context(served)
        args = (urls.app, str(scene.world.tenant.workspace_id), str(floor_port))
        floored = processes.running("app.lab.bench.bare", *args, folder=folder, port=floor_port)
        bare = await stack.enter_async_context(floored)
        headers = {"Authorization": f"Bearer {key}"}
        paths = [f"/api/leads/{lead_id}" for lead_id in lead_ids]

        async def ours() -> float:
            return await _loaded(ours_port, service.pid, spent["ours"])

        async def floor() -> float:
            return await _loaded(floor_port, bare.pid, spent["floor"])

        async def _loaded(port: int, pid: int, costs: list[float]) -> float:
            before = processes.busy(pid)
            answers = await load(port, paths, headers, clients=CLIENTS, seconds=seconds)
            costs.append((processes.busy(pid) - before) / (answers * seconds) * 1e6)
            return answers

        spent: dict[str, list[float]] = {"ours": [], "floor": []}
        await alternate(1, ours, floor, bench.say)
        a, b = await alternate(pairs, ours, floor, bench.say)
    how = f"{CLIENTS} clients, median of {pairs} pairs of {seconds} s, all on one machine"
    ours_cpu, floor_cpu = spent["ours"][1:], spent["floor"][1:]
    return [
        Figure(
            name="read", value=statistics.median(a), unit="req/s", floor=statistics.median(b),
            ratio=median_ratio(a, b), target="≥ 0.5", note=how,
        ),
        # what a neighbour does to a shared machine, he does to the first figure and hardly to this one
        Figure(
            name="read.cpu", value=statistics.median(ours_cpu), unit="µs", floor=statistics.median(floor_cpu),
            ratio=median_ratio(floor_cpu, ours_cpu), target="≥ 0.5", note="the server's own CPU time per answer",
        ),
    ]  # fmt: skip


async def _prepare(scene: Scene) -> tuple[str, list[str]]:
    async with scene.world.transaction() as tx:
        rows = await tx.all("SELECT id FROM lead ORDER BY id")
    return await scene.world.key("viewer"), [str(row["id"]) for row in rows]
