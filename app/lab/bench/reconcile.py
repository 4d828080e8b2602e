"""reconcile: 10,000 dirty links both ways without network, against one statement that leaves the same rows behind.

Half of the records show another title; half of the leads got another title here. The floor writes the same leads, links
and history rows, without having to find out what they should be.
"""

from __future__ import annotations

import statistics
from time import perf_counter

from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.bench.rig import Scene
from app.sync import reconcile as stage

_FLOOR = """
WITH there AS (
    UPDATE lead l SET title = k.observed ->> 'title', version = l.version + 1, sync_version = l.sync_version + 1,
        changed_xid = pg_current_xact_id()::text::bigint, updated_at = now(),
        origins = l.origins
            || jsonb_build_object('title', jsonb_build_array('airtable', k.connection_id, k.observed_at))
    FROM link k WHERE k.workspace_id = l.workspace_id AND k.lead_id = l.id AND k.dirty
    RETURNING l.workspace_id, l.id, l.version, l.sync_version, l.title
), history AS (
    INSERT INTO lead_change (workspace_id, id, lead_id, version, source, connection_id, changes, xid)
    SELECT t.workspace_id, gen_random_uuid(), t.id, t.version, 'airtable', $1::uuid, jsonb_build_object('title',
        jsonb_build_object('old', 'old', 'new', t.title, 'rule', 'authority', 'source', 'airtable',
        'connection', $1::uuid, 'at', now(), 'link', t.id)), pg_current_xact_id()::text::bigint FROM there t
)
UPDATE link k SET dirty = false, reconciled_version = coalesce(t.sync_version, l.sync_version),
    base_remote = k.observed,
    base_local = CASE WHEN t.id IS NULL THEN k.base_local ELSE k.base_local || jsonb_build_object('title', t.title) END,
    cells = CASE WHEN t.id IS NULL THEN '{"title": {"state": "pending"}}'::jsonb ELSE k.cells END,
    push_due = t.id IS NULL
FROM lead l LEFT JOIN there t ON t.workspace_id = l.workspace_id AND t.id = l.id
WHERE l.workspace_id = k.workspace_id AND l.id = k.lead_id AND k.connection_id = $1
    AND (k.dirty OR k.reconciled_version < l.sync_version)
"""


async def reconcile(bench: Bench) -> list[Figure]:
    """Alternates the stage and its floor over the same links."""
    number, pairs = bench.size(10_000, 2_000), bench.size(3, 2)
    urls = await bench.rig.database(durable=True)
    async with bench.rig.world(urls) as scene:
        bench.say("loading")
        await scene.grow(number - 1)

        async def ours() -> float:
            await _make_dirty(scene)
            async with scene.job() as job:
                started = perf_counter()
                await stage.reconcile(job)
                seconds = perf_counter() - started
            await _check(scene, number)
            return seconds

        async def floor() -> float:
            await _make_dirty(scene)
            async with scene.world.transaction() as tx:
                # the planner knows nothing of the rows an UPDATE returns, and would loop over them
                await tx.run("SET LOCAL enable_nestloop = off")
                started = perf_counter()
                await tx.run(_FLOOR, scene.connection_id)
                horizon = await tx.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            seconds = perf_counter() - started
            await scene.run("UPDATE connection SET lead_xid = $1", horizon)
            await _check(scene, number)
            return seconds

        a, b = await alternate(pairs, ours, floor, bench.say)
    note = f"{number:,} links, median of {pairs} pairs, best {number / min(a):,.0f}/s; stock durability"
    value, low = number / statistics.median(a), number / statistics.median(b)
    ratio = median_ratio(b, a)
    return [Figure(name="reconcile", value=value, unit="links/s", floor=low, ratio=ratio, target="≥ 0.25", note=note)]


async def _make_dirty(scene: Scene) -> None:
    """Puts every link at rest again, then lets half of them show news and half of the leads have some."""
    stamp = await scene.value("SELECT clock_timestamp()::text")
    await scene.run("UPDATE link SET cells = '{}', push_due = false, next_attempt_at = NULL, base_local = base_remote"
                    " || jsonb_build_object('notes', base_local -> 'notes', 'status', base_local -> 'status',"
                    " 'title', (SELECT l.title FROM lead l WHERE l.workspace_id = link.workspace_id"
                    " AND l.id = link.lead_id)), dirty = false")  # fmt: skip
    half = "(hashtext(remote_key) & 1) ="
    await scene.run(
        f"UPDATE link SET observed = observed || jsonb_build_object('title', 'There ' || $1::text), dirty = true,"
        f" observed_at = now() WHERE {half} 0",
        stamp,
    )
    await scene.run(
        "UPDATE lead l SET title = 'Here ' || $1::text, version = version + 1, sync_version = sync_version + 1,"
        " updated_at = now(), changed_xid = pg_current_xact_id()::text::bigint FROM link k"
        " WHERE k.workspace_id = l.workspace_id"
        " AND k.lead_id = l.id AND (hashtext(k.remote_key) & 1) = 1",
        stamp,
    )
    await scene.tidy()


async def _check(scene: Scene, number: int) -> None:
    """Either way must have left the same behind."""
    left = await scene.value("SELECT count(*) FROM link k JOIN lead l ON l.workspace_id = k.workspace_id AND l.id ="
                             " k.lead_id WHERE k.dirty OR k.reconciled_version < l.sync_version")  # fmt: skip
    pending = await scene.value("SELECT count(*) FROM link WHERE push_due AND cells -> 'title' ->> 'state' = 'pending'")
    if left or abs(pending - number / 2) > number / 10:
        raise AssertionError(f"{left} links are still dirty and {pending} of {number} have something to write")
