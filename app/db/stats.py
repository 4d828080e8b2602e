"""Numbers over many rows: what a workspace's leads are, and what its syncs do.

Leads are counted while they are written: triggers append to `lead_count` what each statement adds and takes away, so
that a count is a sum of few rows, exact, and nobody waits for anybody.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from app.db.session import Tx

#: Values of a free text that are told apart; the rest of them counts in the totals only.
MOST: Final = 100
_LEADS: Final = f"""
SELECT by, value, leads FROM (
    SELECT by, value, sum(leads)::bigint AS leads,
        row_number() OVER (PARTITION BY by ORDER BY sum(leads) DESC, value) AS place
    FROM lead_count WHERE workspace_id = $1 GROUP BY by, value HAVING sum(leads) > 0) counted
WHERE place <= {MOST} OR by NOT IN ('source', 'owner')
ORDER BY by, place
"""
_CONNECTIONS: Final = """
SELECT c.id, c.name, c.provider, c.state, r.runs, r.failed, r.seconds, r.last_done_at,
    coalesce(counted.counters, '{}') AS counters, coalesce(quota.months, '[]') AS calls, waiting.pending,
    coalesce(items.open, '{}') AS open_items
FROM connection c
CROSS JOIN LATERAL (
    SELECT count(*) AS runs, count(*) FILTER (WHERE state = 'failed') AS failed,
        extract(epoch FROM avg(finished_at - started_at) FILTER (WHERE state = 'done'))::float8 AS seconds,
        max(finished_at) FILTER (WHERE state = 'done') AS last_done_at
    FROM run WHERE run.connection_id = c.id) r
CROSS JOIN LATERAL (SELECT jsonb_object_agg(k.key, k.total) AS counters FROM (
    SELECT e.key, sum(e.value::bigint) AS total FROM run, jsonb_each_text(run.counters) AS e
    WHERE run.connection_id = c.id GROUP BY e.key) k) counted
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('month', to_char(q.month, 'YYYY-MM'), 'calls', q.calls) ORDER BY q.month DESC)
        AS months
    FROM (SELECT * FROM quota_use q WHERE q.workspace_id = $1 AND q.connection_id = c.id
        ORDER BY q.month DESC LIMIT 12) q) quota
CROSS JOIN LATERAL (SELECT count(*) AS pending FROM link k
    WHERE k.workspace_id = $1 AND k.connection_id = c.id AND k.push_due) waiting
CROSS JOIN LATERAL (SELECT jsonb_object_agg(i.kind, i.n) AS open FROM item i WHERE i.connection_id = c.id) items
WHERE c.workspace_id = $1 AND c.deleted_at IS NULL ORDER BY c.created_at, c.id
"""
_RECENT: Final = """
WITH run AS MATERIALIZED (SELECT * FROM sync_run
    WHERE workspace_id = $1 AND created_at >= $2 AND connection_id IS NOT NULL),
item AS MATERIALIZED (SELECT kind, connection_id, count(*) AS n FROM review_item
    WHERE workspace_id = $1 AND state = 'open' GROUP BY kind, connection_id)
"""


async def of_leads(tx: Tx) -> list[Any]:
    """Returns counts of the leads that are not deleted, the greatest of each kind first: (by, value, leads).

    `by` is status, source, owner, week, positive or all; a value of None is an empty field. Of sources and owners there
    are the `MOST` with the most leads.
    """
    return await tx.all(_LEADS, tx.workspace_id)


async def fold(tx: Tx) -> None:
    """Adds up what writes have appended to the counts of leads."""
    await tx.run("SELECT fold_lead_counts()")


async def of_connections(tx: Tx, since: datetime) -> list[Any]:
    """Returns every connection with what its runs since an instant did, and what waits now."""
    return await tx.all(_RECENT + _CONNECTIONS, tx.workspace_id, since)


async def of_runs(tx: Tx, since: datetime) -> list[Any]:
    """Returns how many runs of connections since an instant are of a kind and in a state: (kind, state, runs)."""
    return await tx.all(
        "SELECT kind, state, count(*) AS runs FROM sync_run WHERE workspace_id = $1 AND created_at >= $2"
        " AND connection_id IS NOT NULL GROUP BY kind, state ORDER BY kind, state",
        tx.workspace_id,
        since,
    )
