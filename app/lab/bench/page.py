"""page: what is ours of one delta page of 100 links, 10 of them changed: store the observations, reconcile.

The page is handed to the pull ready-made, so that neither the call nor the sandbox is in the time.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter, process_time

from app.domain.values import instant
from app.lab.bench.figure import Bench, Figure
from app.lab.bench.rig import Scene
from app.providers.base import Column, Cursor, Guard, Mode, Page, Provider, Record, Write
from app.sync import pull, reconcile
from app.sync.job import Job

SIZE, CHANGED = 100, 10


class OnePage(Provider):
    """A provider whose listing is one prepared page."""

    write_batch, read_batch = 10, SIZE

    def __init__(self, page: Page) -> None:
        self._page = page

    def start(self, mode: Mode, since: str | None = None) -> Cursor:
        """Returns the one position there is."""
        return {"mode": mode, "since": since}

    async def page(self, cursor: Cursor) -> Page:  # noqa: ARG002 - there is only one
        """Returns the page."""
        return self._page

    async def schema(self) -> list[Column]:
        """Is never asked."""
        raise NotImplementedError

    async def read(self, remote_ids: Sequence[str]) -> list[Record]:
        """Is never asked."""
        raise NotImplementedError

    async def find(self, column: str, values: Sequence[str]) -> list[Record]:
        """Is never asked."""
        raise NotImplementedError

    async def update(self, writes: Sequence[Write], guard: Guard) -> list[Record]:
        """Is never asked."""
        raise NotImplementedError

    async def create(self, writes: Sequence[Write], guard: Guard, merge_on: str | None = None) -> list[Record]:
        """Is never asked."""
        raise NotImplementedError

    async def delete(self, remote_ids: Sequence[str], guard: Guard) -> None:
        """Is never asked."""
        raise NotImplementedError

    async def close(self) -> None:
        """Holds nothing open."""


async def page(bench: Bench) -> list[Figure]:
    """Measures pages of a table of 2,000 rows."""
    rounds = bench.size(40, 15)
    urls = await bench.rig.database(durable=True)
    async with bench.rig.world(urls) as scene:
        bench.say("loading")
        await scene.grow(2_000 - 1, rows_there=True)
        async with scene.job() as job:
            pages = await _listing(job)
            pulls, reconciles, busy = [], [], []
            for number in range(rounds + 3):
                bench.say(f"page {number + 1}")
                records = _edited(scene, pages[number % len(pages)], number)
                pages[number % len(pages)] = records
                job.adapter = replace(job.adapter, provider=OnePage(_page(records, scene)))
                started, spent = perf_counter(), process_time()
                await pull.pull(job, "delta")
                pulled = perf_counter()
                await reconcile.reconcile(job)
                reconciles.append((perf_counter() - pulled) * 1000)
                pulls.append((pulled - started) * 1000)
                busy.append((process_time() - spent) * 1000)
                if job.counters["leads_changed"] != CHANGED * (number + 1):
                    raise AssertionError(f"a page changed other leads than its {CHANGED}: {job.counters}")
    pulls, reconciles = pulls[3:], reconciles[3:]
    whole = [a + b for a, b in zip(pulls, reconciles, strict=True)]
    note = (
        f"median of {rounds}: pull {statistics.median(pulls):.1f}, reconcile {statistics.median(reconciles):.1f};"
        f" best {min(whole):.1f}, our own CPU {statistics.median(busy[3:]):.1f}; stock durability"
    )
    return [Figure(name="page", value=statistics.median(whole), unit="ms", target="≤ 15", note=note)]


async def _listing(job: Job) -> list[list[Record]]:
    position: Cursor | None = job.adapter.provider.start("full")
    pages = []
    while position is not None:
        answer = await job.adapter.provider.page(position)
        pages.append(answer.records)
        position = answer.next
    return pages


def _edited(scene: Scene, records: Sequence[Record], number: int) -> list[Record]:
    column = next(f.id for f in scene.table.fields.values() if f.name == "Title")
    step = len(records) // CHANGED
    return [
        replace(r, cells=r.cells | {column: f"Title {number}.{at}"}) if at % step == 0 else r
        for at, r in enumerate(records)
    ]


def _page(records: list[Record], scene: Scene) -> Page:
    return Page(records=records, next=None, server_time=instant(scene.table.store.clock.now()))
