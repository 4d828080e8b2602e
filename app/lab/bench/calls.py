"""calls: Airtable calls of a working day, against an integration that works lead by lead.

2,000 leads, 150 edits on each side, 20,000 reads by a frontend, a poll every 15 minutes, one sweep; our own re-reads
are counted. The day runs on a virtual clock, the database and the sandbox are real.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from app.db import lead_queries
from app.lab.bench.figure import Bench, Figure
from app.lab.bench.rig import Scene
from app.lab.clock import VirtualClock
from app.sync import edit

LEADS, EDITS, READS, CYCLES = 2_000, 150, 20_000, 96
DAY = timedelta(days=1)
#: Seconds after which the worker has noticed an edit.
NOTICED = 3.0
Kind = Literal["here", "there", "tick"]


async def calls(bench: Bench) -> list[Figure]:
    """Plays the day and compares the call log with what the other approach would have made."""
    rng, clock = random.Random(5), VirtualClock()
    reads = bench.size(READS, READS // 10)
    urls = await bench.rig.database(durable=False)
    async with bench.rig.world(urls, clock=clock, limiter=True) as scene:
        bench.say("loading")
        await scene.grow(LEADS - 1, rows_there=True)
        await scene.run("UPDATE connection SET schedule_minutes = 15, next_run_at = $1", clock.now())
        # the sweep of this day comes half-way through it
        clock.advance(12 * 3600)
        await scene.world.settle()
        first = len(scene.calls)
        await _play(scene, clock, rng, bench, reads)
        log = scene.calls[first:]
        cycles = await scene.value("SELECT count(*) FROM sync_run WHERE trigger = 'schedule'")
        agreed = await scene.value("SELECT count(*) FROM link WHERE push_due OR dirty")
    kinds = Counter("write" if call.wrote else "read" for call in log)
    listing = -(-LEADS // 100)
    without = 2 * EDITS * 2 + CYCLES * listing
    other = without + READS
    how = f"{len(log)} calls ({kinds['write']} writes) in {cycles - 1} cycles, {agreed} links left over; "
    scaled = "" if reads == READS else f"; {reads:,} reads made, {READS:,} compared"
    return [
        _figure("calls", len(log), other, "≥ 98 % fewer", how + f"lead by lead {other:,}{scaled}"),
        _figure("calls.without-reads", len(log), without, "≥ 80 % fewer", how + f"lead by lead {without:,}"),
    ]


def _figure(name: str, ours: int, theirs: int, target: str, note: str) -> Figure:
    fewer = 100 * (1 - ours / theirs)
    return Figure(name=name, value=fewer, unit="% fewer", floor=theirs, ratio=ours / theirs, target=target, note=note)


async def _play(scene: Scene, clock: VirtualClock, rng: random.Random, bench: Bench, reads: int) -> None:
    async with scene.world.transaction() as tx:
        lead_ids: list[UUID] = [row["id"] for row in await tx.all("SELECT id FROM lead ORDER BY id")]
    end, done = clock.now() + DAY, 0
    for at, kind, number in _agenda(clock.now(), rng):
        clock.advance((at - clock.now()).total_seconds())
        if kind == "here":
            async with scene.world.transaction() as tx:
                await edit.change(tx, rng.choice(lead_ids), {"title": f"Edited here {number}"}, actor="ann@team.test")
            clock.advance(NOTICED)
        elif kind == "there":
            scene.table.edit(rng.choice(scene.record_ids), {"Industry": f"Edited there {number}"})
        elif number % 10 == 0:
            bench.say(f"{at:%H:%M} of the day, {len(scene.calls)} calls")
            upto = reads - int(reads * ((end - at) / DAY))
            for _ in range(upto - done):
                async with scene.world.transaction() as tx:
                    await lead_queries.as_json(tx, rng.choice(lead_ids))
            done = upto
        await scene.world.settle()


def _agenda(start: datetime, rng: random.Random) -> Iterator[tuple[datetime, Kind, int]]:
    """Returns the edits, at random times of the day, and a look for due work every minute."""
    found: list[tuple[datetime, Kind, int]] = [(start + timedelta(minutes=n), "tick", n) for n in range(24 * 60)]
    for kind in ("here", "there"):
        found += [(start + DAY * rng.random(), kind, n) for n in range(EDITS)]
    yield from sorted(found)
