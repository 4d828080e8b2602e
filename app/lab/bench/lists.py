"""list and search: pages of a million leads, filtered, sorted and searched, against the same SQL on bare ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import orjson

from app.lab import processes
from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.bench.load import ask, latencies, load
from app.lab.bench.many import Many, many
from app.lab.servers import free_port

ORDER: Final = "-updated_at"
LIMIT: Final = 50
NARROWED: Final = {"status": ["booked", "replied"]}
CLIENTS: Final = 16
#: The page whose price is compared with the first one's, and how many leads a walk to it takes at once.
DEEP, STRIDE = 10_000, 200
#: Rare words, names, halves of words, words that thousands of leads have, and words nobody has.
SEARCHED: Final = (
    "berg31", "noor", "lars bakker", "firm4711", "julia energy", "visser62@firm", "fair 2026", "spring", "head of",
    "zoe", "metals", "tess firm123", "nobody", "eva dekker9", "firm50", "mulder 7", "sem studio", "operations",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """The service and its floor under load."""

    bench: Bench
    leads: Many
    ours: int
    floor: int

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.leads.key}"}

    async def compared(self, name: str, ours: Sequence[str], floor: Sequence[str]) -> Figure:
        """Loads both by turns and returns the figure."""
        pairs, seconds = self.bench.size(5, 3), self.bench.size(3, 1)

        async def service() -> float:
            return await load(self.ours, ours, self.headers, clients=CLIENTS, seconds=seconds)

        async def bare() -> float:
            return await load(self.floor, floor, {}, clients=CLIENTS, seconds=seconds)

        await alternate(1, service, bare, self.bench.say)
        a, b = await alternate(pairs, service, bare, self.bench.say)
        how = f"{self.leads.number:,} leads, {CLIENTS} clients, median of {pairs} pairs of {seconds} s, one machine"
        return Figure(
            name=name, value=statistics.median(a), unit="req/s", floor=statistics.median(b),
            ratio=median_ratio(a, b), target="≥ 0.75", note=how,
        )  # fmt: skip


async def lists(bench: Bench) -> list[Figure]:
    """Reads the newest of two statuses; then walks to a late page and compares it with the first."""
    async with _running(bench) as running:
        narrowed = f"status={','.join(NARROWED['status'])}"
        compared = await running.compared("list", [f"/api/leads?{narrowed}&sort={ORDER}&limit={LIMIT}"], ["/list"])
        page = min(DEEP, running.leads.mine // LIMIT - 1)
        bench.say(f"walking to page {page:,}")
        first = f"/api/leads?sort={ORDER}&limit={LIMIT}"
        late = f"{first}&cursor={await _walked(running, (page - 1) * LIMIT)}"
        rounds = bench.size(10, 5)
        early_ms: list[float] = []
        late_ms: list[float] = []
        for _ in range(rounds):
            for path, found in ((first, early_ms), (late, late_ms)):
                found.append(statistics.median(await latencies(running.ours, [path], running.headers, 50)) * 1000)
    deep = Figure(
        name="list.deep", value=statistics.median(late_ms), unit="ms", floor=statistics.median(early_ms),
        ratio=median_ratio(late_ms, early_ms), target="≤ 1.2",
        note=f"page {page:,} of a walk against page 1, one client, median of {rounds} rounds of 50",
    )  # fmt: skip
    return [compared, deep]


async def search(bench: Bench) -> list[Figure]:
    """Searches by turns, then alone to see how long one search takes."""
    async with _running(bench) as running:
        ours = [f"/api/leads/search?limit={LIMIT}&q={quote(words)}" for words in SEARCHED]
        floor = [f"/search/{quote(words)}" for words in SEARCHED]
        compared = await running.compared("search", ours, floor)
        bench.say("one client")
        taken = sorted(await latencies(running.ours, ours, running.headers, bench.size(60, 20) * len(ours)))
        slowest = {
            words: statistics.median(await latencies(running.ours, [path], running.headers, 5)) * 1000
            for words, path in zip(SEARCHED, ours, strict=True)
        }
    word = max(slowest, key=slowest.__getitem__)
    p99 = Figure(
        name="search.p99", value=taken[int(len(taken) * 0.99)] * 1000, unit="ms", target="≤ 50",
        note=f"one client, {len(taken):,} searches for {len(ours)} different words, median"
        f" {statistics.median(taken) * 1000:.1f} ms; the slowest: {word!r}, {slowest[word]:.1f} ms",
    )  # fmt: skip
    return [compared, p99]


@contextlib.asynccontextmanager
async def _running(bench: Bench) -> AsyncIterator[Running]:
    leads, folder = await many(bench), bench.rig.folder
    ours, floor = free_port(), free_port()
    bare = (leads.urls.app, str(leads.workspace_id), str(floor))
    async with (
        processes.service(leads.urls.app, ours, folder, "--no-scheduler"),
        processes.running("app.lab.bench.bare", *bare, folder=folder, port=floor),
    ):
        yield Running(bench, leads, ours, floor)


async def _walked(running: Running, leads: int) -> str:
    """Returns the cursor behind so many leads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.ours)
    cursor, seen = "", 0
    while seen < leads:
        step = min(STRIDE, leads - seen)
        path = f"/api/leads?sort={ORDER}&limit={step}&fields=id" + (f"&cursor={cursor}" if cursor else "")
        cursor = orjson.loads(await ask(reader, writer, path, running.headers))["next_cursor"]
        seen += step
    writer.close()
    return cursor
