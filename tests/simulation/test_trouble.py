"""What goes wrong once must not go on for ever: each scene is a fault the storm or a crash has shown, or could."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.db import connections, runs
from app.lab.simulated import nothing
from app.sandbox.core import Fault
from app.scheduler import Worker
from app.sync import edit
from tests.simulation.scene import QUARTER, Scene


async def connection(scene: Scene) -> connections.Stored:
    return await scene.world.connection(scene.airtable)


async def add(scene: Scene, email: str) -> UUID:
    async with scene.world.transaction() as tx:
        lead = await edit.create(tx, {"email": email, "full_name": "Made Here"}, actor="ann@team.test")
    return UUID(lead.id)


async def test_the_reason_of_a_failure_goes_with_the_next_success(scene: Scene) -> None:
    for _ in range(4):
        scene.world.airtable.sandbox.faults.add(_down(1))
    await scene.sync(scene.airtable)
    failed = (await connection(scene)).reason
    await scene.quiet()

    assert failed is not None
    assert (await connection(scene)).reason is None


async def test_a_provider_that_is_down_is_left_alone_for_a_while(scene: Scene) -> None:
    await scene.here(0, title="Boss")
    scene.world.airtable.sandbox.faults.add(_down(None))
    await scene.world.settle()
    calls = len(scene.world.airtable.sandbox.calls)
    for _ in range(5):
        await scene.world.settle()

    assert len(scene.world.airtable.sandbox.calls) == calls
    scene.world.airtable.sandbox.faults.clear()
    await scene.quiet()
    assert scene.cell(0, "Title") == "Boss"


async def test_a_refusal_ends_everything_that_was_asked_for(scene: Scene) -> None:
    scene.world.airtable.sandbox.faults.add(_quota())
    for _ in range(3):
        await scene.world.queue(scene.airtable)
    calls = len(scene.world.airtable.sandbox.calls)
    await scene.world.settle()

    assert len(scene.world.airtable.sandbox.calls) == calls + 1
    assert (await connection(scene)).state == "stopped"


async def test_the_monthly_quota_also_stops_a_push(scene: Scene) -> None:
    await scene.here(0, title="Boss")
    scene.world.airtable.sandbox.faults.add(_quota())
    await scene.world.settle()

    assert (await connection(scene)).state == "stopped"


async def test_an_upsert_that_meets_a_known_row_is_taken_as_it_is(scene: Scene) -> None:
    lead_id = await add(scene, "new@here.test")

    def paste() -> None:
        row = scene.world.table.create({"Full Name": "Pasted", "Status": "New", "CRM ID": str(lead_id)})
        scene.rows.append(row.id)

    # the row appears after it was looked for
    scene.at("call PATCH", paste)
    await scene.world.settle()
    await scene.quiet()

    ids = [scene.world.table.read(r).get("CRM ID") for r in scene.world.table.records.values()]
    assert ids.count(str(lead_id)) == 1
    assert scene.cell(3, "Email") == "new@here.test"


async def test_a_lead_deleted_here_while_it_is_created_there_stays_deleted(scene: Scene) -> None:
    lead_id = await add(scene, "new@here.test")

    async def happen(name: str, _request: Any, _answer: Any) -> None:
        if name.startswith("answer PATCH"):
            scene.world.moments.happen = nothing
            async with scene.world.transaction() as tx:
                await edit.delete(tx, lead_id, actor="ann@team.test")

    scene.world.moments.happen = happen
    await scene.world.settle()
    await scene.quiet()

    async with scene.world.transaction() as tx:
        alive = await tx.value("SELECT count(*) FROM lead WHERE email = 'new@here.test' AND deleted_at IS NULL")
        left = await tx.value("SELECT count(*) FROM link WHERE push_due OR dirty")
    assert (alive, left) == (0, 0)


async def test_a_lead_whose_row_is_gone_leaves_no_work_behind(scene: Scene) -> None:
    scene.world.table.delete(scene.rows[0])
    await scene.world.queue(scene.airtable, "full")
    await scene.world.settle()
    await scene.quiet()

    async with scene.world.transaction() as tx:
        ended = await tx.value(
            "SELECT count(*) FROM link k JOIN lead l ON l.id = k.lead_id WHERE l.deleted_at IS NOT NULL"
            " AND k.ended_at IS NULL"
        )
    assert ended == 0


class Broken:
    """A limiter with a bug."""

    async def acquire(self, _resources: Any) -> None:
        raise ZeroDivisionError

    async def pause(self, _resource: Any, _seconds: float) -> None:
        raise ZeroDivisionError


async def test_an_error_nobody_foresaw_is_written_down_and_tried_again(scene: Scene) -> None:
    await scene.world.queue(scene.airtable)
    runtime = scene.world.runtime
    limiter, runtime.limiter = runtime.limiter, Broken()
    worker = Worker(runtime, "worker")
    await worker.tick()
    await worker.idle()
    runtime.limiter = limiter
    async with scene.world.transaction() as tx:
        (last,) = await runs.recent(tx, 1)

    assert (last["state"], (await connection(scene)).lease_owner) == ("failed", None)
    assert "ZeroDivisionError" in last["error"]
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    assert (await connection(scene)).reason is None


def _down(count: int | None) -> Fault:
    return Fault(kind="drop_before", count=count)


def _quota() -> Fault:
    return Fault(kind="quota", count=1)
