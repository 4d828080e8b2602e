"""Kills during a sync: of workers and of the database, at seeded moments while a known stage is running.

A worker of its own process works against Postgres and against the sandboxes, which this process serves over HTTP. While
people edit on both sides it is killed, again and again; each kill counts only if the run ledger shows the stage it fell
into. Afterwards both sides must agree, nothing may be doubled, and every edit must be there.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from app.db import embedded
from app.db.session import Tx
from app.lab.kills.arena import SHORT_LEASE, STUCK, Arena, Child, Kills, arena
from app.lab.processes import LOOK, Stuck, until
from app.lab.scratch import Scratch


async def kill_workers(place: Scratch, seed: int, kills: int, *, lease_seconds: float = SHORT_LEASE) -> Kills:
    """Kills a worker so many times while it works."""
    outcome = Kills(seed)
    async with arena(place, seed, name="killed_workers", lease_seconds=lease_seconds) as ring:
        worker, standby = await ring.hire(), await ring.hire()
        await worker.begin()
        while len(outcome.stages) < kills:
            await _make_work(ring)
            await _in_a_stage(ring)
            await worker.kill()
            if (stage := await ring.stage()) is not None:
                outcome.stages.append(stage)
            worker, standby = standby, await ring.hire()
            await worker.begin()
        await _finish(ring, outcome)
    return outcome


async def kill_postgres(place: Scratch, seed: int, kills: int) -> Kills:
    """Stops the database at once, so many times, while a worker works on it."""
    outcome = Kills(seed)
    async with arena(place, seed, name="killed_postgres") as ring:
        worker = await ring.hire()
        await worker.begin()
        while len(outcome.stages) < kills:
            await _make_work(ring)
            stage = await _in_a_stage(ring)
            await asyncio.to_thread(place.server.stop, immediate=True)
            place.server = await asyncio.to_thread(embedded.start, place.folder / "pg")
            if stage is not None:
                outcome.stages.append(stage)
        if worker.process.returncode is not None:
            outcome.problems.append("the worker did not survive the database")
        await _finish(ring, outcome)
    return outcome


async def _make_work(ring: Arena) -> None:
    await ring.edit()
    await ring.world.queue(ring.airtable, ring.rng.choice(("delta", "full")))
    await ring.world.queue(ring.instantly)


async def _in_a_stage(ring: Arena) -> str | None:
    """Waits until a stage is running, and then for a seeded moment more; returns the stage it is in now."""
    wanted = ring.rng.choice(("pull", "reconcile", "push", "sweep", "air"))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not await ring.is_done():
        stage = await ring.stage()
        if stage is not None and wanted in stage:
            break
        await asyncio.sleep(LOOK)
    await asyncio.sleep(ring.rng.uniform(0, 0.03))
    return await ring.stage()


async def _finish(ring: Arena, outcome: Kills) -> None:
    for connection_id in (ring.airtable, ring.instantly):
        await ring.world.queue(connection_id, "full")
    try:
        await until(ring.is_done, "nothing is left to do", STUCK)
    except Stuck as exc:
        outcome.problems.append(str(exc))
    await ring.judge(outcome)


async def two_instances(place: Scratch, seed: int, *, lease_seconds: float) -> Kills:
    """Kills one of two workers in the middle of its work and sees how soon the other one goes on."""
    outcome = Kills(seed)
    async with arena(place, seed, name=f"two_{seed}", lease_seconds=lease_seconds) as ring:
        both = [await ring.hire(), await ring.hire()]
        for child in both:
            await child.begin()
        await until(ring.is_done, "both connections are in step", STUCK)
        await _make_work(ring)
        dead: Child | None = None
        deadline = time.monotonic() + STUCK
        while dead is None and time.monotonic() < deadline:
            owner = await _owner_in_a_stage(ring)
            dead = next((child for child in both if child.name == owner), None)
        if dead is None:
            outcome.problems.append("no worker was ever seen at work")
            return outcome
        await dead.kill()
        killed, sandbox = time.monotonic(), ring.world.airtable.sandbox
        stage = await ring.stage()
        calls = len(sandbox.calls)
        outcome.stages.append(stage or "between two stages")

        async def is_taken_over() -> bool:
            await asyncio.sleep(0)
            return any(dead.name not in call.agent for call in sandbox.calls[calls:])

        await until(is_taken_over, "the other worker has taken over", STUCK)
        outcome.takeovers.append(time.monotonic() - killed)
        await _finish(ring, outcome)
        # what was on its way into the socket when it died may still arrive; nothing may follow it
        late = [call for call in sandbox.calls[calls + 1 :] if dead.name in call.agent and call.wrote]
        outcome.problems += [f"the dead {dead.name} wrote {call.wrote}" for call in late]
    return outcome


async def _owner_in_a_stage(ring: Arena) -> str | None:
    async def work(tx: Tx) -> Any:
        return await tx.value(
            "SELECT c.lease_owner FROM connection c JOIN sync_run r ON r.workspace_id = c.workspace_id"
            " AND r.connection_id = c.id WHERE r.state = 'running' AND r.stage IS NOT NULL AND c.id = $1",
            ring.airtable,
        )

    found: str | None = await ring.world.ask(work)
    return found
