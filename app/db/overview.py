"""What people look at to see how the sync stands: counts per connection, work that waits, accepted differences."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.db.session import Tx

#: A jsonpath over a link's cells, by the state of a field.
_IN_STATE = "k.cells @? '$.* ? (@.state == \"{}\")'"


async def status(tx: Tx) -> list[Any]:
    """Returns every connection with its last run and the counts of its links, the oldest first."""
    return await tx.all(
        f"""
        SELECT c.id, c.name, c.provider, c.state, c.reason, c.next_run_at, c.lease_until > $2 AS is_running,
            last.id AS run_id, last.kind AS run_kind, last.state AS run_state, last.error AS run_error,
            last.finished_at AS run_finished_at, counts.*, held.n AS held, quota.calls AS calls_this_month
        FROM connection c
        LEFT JOIN LATERAL (SELECT * FROM sync_run r WHERE r.workspace_id = $1 AND r.connection_id = c.id
            ORDER BY r.id DESC LIMIT 1) last ON true
        CROSS JOIN LATERAL (SELECT count(*) AS links, count(*) FILTER (WHERE k.push_due) AS pending,
            count(*) FILTER (WHERE k.cells <> '{{}}' AND {_IN_STATE.format("diverged")}) AS diverged,
            count(*) FILTER (WHERE k.error IS NOT NULL) AS failing
            FROM link k WHERE k.workspace_id = $1 AND k.connection_id = c.id
            AND k.gone_at IS NULL AND k.ended_at IS NULL) counts
        CROSS JOIN LATERAL (SELECT count(*) AS n FROM review_item i WHERE i.workspace_id = $1
            AND i.connection_id = c.id AND i.kind = 'conflict' AND i.state = 'open') held
        LEFT JOIN quota_use quota ON quota.workspace_id = $1 AND quota.connection_id = c.id
            AND quota.month = date_trunc('month', $2::timestamptz)::date
        WHERE c.workspace_id = $1 AND c.deleted_at IS NULL ORDER BY c.created_at, c.id
        """,
        tx.workspace_id,
        tx.now,
    )


async def pending(tx: Tx, limit: int, after: UUID | None = None) -> list[Any]:
    """Returns links with something to write or to look at again."""
    return await tx.all(
        "SELECT k.id, k.connection_id, k.lead_id, k.remote_id, k.cells, k.reread, k.attempts, k.next_attempt_at,"
        " k.error FROM link k WHERE k.workspace_id = $1 AND k.push_due AND ($3::uuid IS NULL OR k.id > $3)"
        " ORDER BY k.id LIMIT $2",
        tx.workspace_id,
        limit,
        after,
    )


async def diverged(tx: Tx, limit: int, after: UUID | None = None) -> list[Any]:
    """Returns links with a difference that is accepted, with what they last showed."""
    return await tx.all(
        "SELECT k.id, k.connection_id, k.lead_id, k.remote_id, k.cells, k.observed FROM link k"
        f" WHERE k.workspace_id = $1 AND k.cells <> '{{}}' AND {_IN_STATE.format('diverged')}"
        " AND ($3::uuid IS NULL OR k.id > $3) ORDER BY k.id LIMIT $2",
        tx.workspace_id,
        limit,
        after,
    )


async def totals(tx: Tx) -> list[Any]:
    """Returns a workspace's numbers for the metrics: (name, first label, second label, value)."""
    return await tx.all(
        "SELECT 'runs' AS name, kind AS one, state AS two, count(*) AS n FROM sync_run WHERE workspace_id = $1"
        " GROUP BY 2, 3 UNION ALL SELECT 'pending', '', '', count(*) FROM link WHERE workspace_id = $1 AND push_due"
        " UNION ALL SELECT 'calls', c.provider, '', coalesce(sum(q.calls), 0) FROM quota_use q JOIN connection c"
        " ON c.workspace_id = $1 AND c.id = q.connection_id WHERE q.workspace_id = $1 GROUP BY 2",
        tx.workspace_id,
    )
