"""The run ledger: every execution of sync work, with its stage, counters and progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.values import JSON

OPEN = "('queued', 'running')"
FINISHED = frozenset({"done", "failed", "cancelled"})
_SHOWN = (
    "id, connection_id, parent_id, kind, trigger, state, stage, options, counters, progress, error, requested_by,"
    " created_at, started_at, finished_at"
)


async def queue(
    tx: Tx,
    connection_id: UUID | None,
    kind: str,
    trigger: str,
    *,
    requested_by: str | None = None,
    options: Mapping[str, JSON] | None = None,
    parent_id: UUID | None = None,
) -> UUID:
    """Adds a run to be done and returns its id."""
    run_id = new_id()
    await tx.run(
        "INSERT INTO sync_run (workspace_id, id, connection_id, parent_id, kind, trigger, options, requested_by,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.workspace_id, run_id, connection_id, parent_id, kind, trigger, dict(options or {}), requested_by, tx.now,
    )  # fmt: skip
    return run_id


async def open_for(tx: Tx, connection_id: UUID | None, kind: str | None = None, *, begun: bool = True) -> Any:
    """Returns the oldest open run of a connection, or of the workspace for None; without `begun`, one that waits."""
    return await tx.one(
        f"SELECT {_SHOWN} FROM sync_run WHERE workspace_id = $1 AND connection_id IS NOT DISTINCT FROM $2"
        f" AND state IN {OPEN} AND ($3::text IS NULL OR kind = $3) AND ($4 OR started_at IS NULL)"
        " ORDER BY created_at, id LIMIT 1",
        tx.workspace_id,
        connection_id,
        kind,
        begun,
    )


async def start(tx: Tx, run_id: UUID) -> None:
    """Marks a run as running; one that was running already is taken up again."""
    await tx.run(
        "UPDATE sync_run SET state = 'running', started_at = coalesce(started_at, $3)"
        " WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id,
        run_id,
        tx.now,
    )


async def note(tx: Tx, run_id: UUID, *, stage: str, counters: Mapping[str, int], progress: Mapping[str, JSON]) -> bool:
    """Writes down how a run gets on; returns False where somebody cancelled it."""
    state = await tx.value(
        "UPDATE sync_run SET stage = $3, counters = $4, progress = $5 WHERE workspace_id = $1 AND id = $2"
        " RETURNING state",
        tx.workspace_id,
        run_id,
        stage,
        dict(counters),
        dict(progress),
    )
    return bool(state != "cancelled")


async def finish(tx: Tx, run_id: UUID, state: str, counters: Mapping[str, int], error: str | None = None) -> None:
    """Ends a run that was not cancelled, and with the last of them the run of the workspace it belongs to."""
    parent = await tx.value(
        "UPDATE sync_run SET state = $3, counters = $4, error = $5, finished_at = $6, stage = NULL"
        f" WHERE workspace_id = $1 AND id = $2 AND state IN {OPEN} RETURNING parent_id",
        tx.workspace_id, run_id, state, dict(counters), error, tx.now,
    )  # fmt: skip
    if parent is not None:
        await settle(tx, parent)


async def settle(tx: Tx, run_id: UUID) -> None:
    """Ends a workspace's run once none of its parts is open; it failed if one of them did."""
    await tx.run("SELECT 1 FROM sync_run WHERE workspace_id = $1 AND id = $2 FOR UPDATE", tx.workspace_id, run_id)
    await tx.run(
        f"""
        WITH parts AS (SELECT state, counters, error FROM sync_run WHERE workspace_id = $1 AND parent_id = $2),
        sums AS (SELECT coalesce(jsonb_object_agg(key, total), '{{}}') AS counters FROM (
            SELECT key, sum(value::bigint) AS total FROM parts, jsonb_each_text(counters) GROUP BY key) s)
        UPDATE sync_run SET finished_at = $3, counters = (SELECT counters FROM sums),
            error = (SELECT string_agg(error, ' · ') FROM parts),
            state = CASE WHEN EXISTS (SELECT FROM parts WHERE state = 'failed') THEN 'failed' ELSE 'done' END
        WHERE workspace_id = $1 AND id = $2 AND state IN {OPEN}
            AND NOT EXISTS (SELECT FROM parts WHERE state IN {OPEN})
        """,
        tx.workspace_id,
        run_id,
        tx.now,
    )


async def get(tx: Tx, run_id: UUID) -> Any:
    """Returns a run, or None."""
    return await tx.one(f"SELECT {_SHOWN} FROM sync_run WHERE workspace_id = $1 AND id = $2", tx.workspace_id, run_id)


async def parts(tx: Tx, run_id: UUID) -> list[Any]:
    """Returns the runs per connection that a workspace's run consists of."""
    return await tx.all(
        f"SELECT {_SHOWN} FROM sync_run WHERE workspace_id = $1 AND parent_id = $2 ORDER BY created_at, id",
        tx.workspace_id,
        run_id,
    )


async def recent(tx: Tx, limit: int, before: UUID | None = None, connection_id: UUID | None = None) -> list[Any]:
    """Returns runs, the newest first; `before` is the last one of the page before."""
    return await tx.all(
        f"SELECT {_SHOWN} FROM sync_run WHERE workspace_id = $1 AND ($3::uuid IS NULL OR id < $3)"
        " AND ($4::uuid IS NULL OR connection_id = $4) ORDER BY id DESC LIMIT $2",
        tx.workspace_id,
        limit,
        before,
        connection_id,
    )


async def add_calls(tx: Tx, connection_id: UUID, calls: int) -> None:
    """Counts provider calls against the calendar month."""
    await tx.run(
        "INSERT INTO quota_use (workspace_id, connection_id, month, calls)"
        " VALUES ($1, $2, date_trunc('month', $4::timestamptz)::date, $3)"
        " ON CONFLICT (workspace_id, connection_id, month) DO UPDATE SET calls = quota_use.calls + $3",
        tx.workspace_id,
        connection_id,
        calls,
        tx.now,
    )


async def sum_counters(tx: Tx) -> dict[str, int]:
    """Returns the counters of all runs of connections, added up."""
    rows = await tx.all(
        "SELECT key, sum(value::bigint) AS total FROM sync_run, jsonb_each_text(counters)"
        " WHERE workspace_id = $1 AND connection_id IS NOT NULL GROUP BY key ORDER BY key",
        tx.workspace_id,
    )
    return {row["key"]: int(row["total"]) for row in rows}


async def take_turns(tx: Tx) -> None:
    """Lets one transaction of the workspace at a time decide which runs there are, until it ends."""
    await tx.run("SELECT pg_advisory_xact_lock(hashtextextended('runs ' || $1::text, 0))", str(tx.workspace_id))


async def open_whole(tx: Tx, kind: str, options: Mapping[str, JSON], *, begun: bool) -> Any:
    """Returns the open run of the whole workspace that was asked for in the same words, or None.

    Without `begun`, only one of which no part was begun.
    """
    return await tx.one(
        f"SELECT {_SHOWN} FROM sync_run r WHERE workspace_id = $1 AND connection_id IS NULL AND kind = $2"
        f" AND options = $3 AND state IN {OPEN} AND ($4 OR NOT EXISTS (SELECT FROM sync_run p"
        " WHERE p.workspace_id = r.workspace_id AND p.parent_id = r.id AND p.started_at IS NOT NULL))"
        " ORDER BY created_at, id LIMIT 1",
        tx.workspace_id,
        kind,
        dict(options),
        begun,
    )


async def adopt(
    tx: Tx, parent_id: UUID, connection_id: UUID, kind: str, options: Mapping[str, JSON], *, begun: bool
) -> bool:
    """Makes a connection's open run, with these options at least, a part of a workspace's run; returns False where
    there is none to take. Without `begun`, one that is worked on is not taken.
    """
    return bool(
        await tx.run(
            "UPDATE sync_run SET parent_id = $2 WHERE workspace_id = $1 AND connection_id = $3 AND kind = $4"
            f" AND options @> $5 AND parent_id IS NULL AND state IN {OPEN} AND ($6 OR started_at IS NULL)",
            tx.workspace_id,
            parent_id,
            connection_id,
            kind,
            dict(options),
            begun,
        )
    )


async def cancel(tx: Tx, run_id: UUID, why: str) -> bool:
    """Cancels a run with its parts; what was done so far stays done. Returns whether anything was still to be done."""
    ended = await tx.all(
        f"UPDATE sync_run SET state = 'cancelled', error = $3, finished_at = $4, stage = NULL"
        f" WHERE workspace_id = $1 AND (id = $2 OR parent_id = $2) AND state IN {OPEN} RETURNING parent_id",
        tx.workspace_id, run_id, why, tx.now,
    )  # fmt: skip
    for parent_id in {row["parent_id"] for row in ended if row["parent_id"] not in (None, run_id)}:
        await settle(tx, parent_id)
    return bool(ended)


async def cancel_for(tx: Tx, connection_id: UUID, why: str) -> None:
    """Cancels everything a connection has under way."""
    rows = await tx.all(
        f"SELECT id FROM sync_run WHERE workspace_id = $1 AND connection_id = $2 AND state IN {OPEN}",
        tx.workspace_id,
        connection_id,
    )
    for row in rows:
        await cancel(tx, row["id"], why)
