"""Campaigns of a workspace: which there are, when they were read, and what their provider counts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.counts import DAY_COUNTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A campaign as its provider lists it; `counts` is None where the provider tells no counters of it."""

    remote_id: str
    name: str
    status: int | None
    namespace: str
    counts: Mapping[str, int] | None


async def refresh(tx: Tx, connection_id: UUID, listed: Sequence[Listed]) -> None:
    """Takes over the list of a connection's campaigns; one that is not in it any more is gone, and its row stays."""
    rows = [
        {
            "id": str(new_id()), "remote_id": c.remote_id, "name": c.name, "status": c.status,
            "namespace": c.namespace, "counts": None if c.counts is None else dict(c.counts),
        }
        for c in listed
    ]  # fmt: skip
    await tx.run(
        """
        INSERT INTO campaign (workspace_id, connection_id, id, remote_id, name, status, namespace, counts, seen_at)
        SELECT $1, $2, r.id, r.remote_id, r.name, r.status, r.namespace, r.counts, $4
        FROM jsonb_to_recordset($3) AS r(
            id uuid, remote_id text, name text, status integer, namespace text, counts jsonb)
        ON CONFLICT (workspace_id, connection_id, remote_id) DO UPDATE SET
            name = excluded.name, status = excluded.status, namespace = excluded.namespace,
            counts = excluded.counts, seen_at = excluded.seen_at, gone_at = NULL,
            -- back again: what was read of it before says nothing
            scanned_at = CASE WHEN campaign.gone_at IS NULL THEN campaign.scanned_at END
        """,
        tx.workspace_id,
        connection_id,
        rows,
        tx.now,
    )
    await tx.run(
        "UPDATE campaign SET gone_at = $4 WHERE workspace_id = $1 AND connection_id = $2 AND remote_id <> ALL($3)"
        " AND gone_at IS NULL",
        tx.workspace_id,
        connection_id,
        [c.remote_id for c in listed],
        tx.now,
    )


async def to_scan(tx: Tx, connection_id: UUID, *, everything: bool, before: datetime) -> list[str]:
    """Returns the campaigns (the provider's ids) whose records are to be read, those never read first.

    Those are: one that was never read to its end, one of which no counters are told, one whose counters have moved
    since its last scan began, and one whose last scan began before `before`.
    """
    rows = await tx.all(
        "SELECT remote_id FROM campaign WHERE workspace_id = $1 AND connection_id = $2 AND gone_at IS NULL"
        " AND ($3 OR scanned_at IS NULL OR scanned_at <= $4 OR counts IS NULL"
        " OR counts IS DISTINCT FROM scanned_counts) ORDER BY scanned_at NULLS FIRST, remote_id",
        tx.workspace_id,
        connection_id,
        everything,
        before,
    )
    return [row["remote_id"] for row in rows]


async def unburied(tx: Tx, connection_id: UUID) -> list[str]:
    """Returns the campaigns (the provider's ids) that are gone and whose records were not looked for since."""
    rows = await tx.all(
        "SELECT remote_id FROM campaign WHERE workspace_id = $1 AND connection_id = $2 AND gone_at IS NOT NULL"
        " AND (scanned_at IS NULL OR scanned_at < gone_at) ORDER BY remote_id",
        tx.workspace_id,
        connection_id,
    )
    return [row["remote_id"] for row in rows]


async def namespace(tx: Tx, connection_id: UUID, remote_id: str) -> str:
    """Returns the name that a campaign's links carry; empty for one nobody knows."""
    found: str | None = await tx.value(
        "SELECT namespace FROM campaign WHERE workspace_id = $1 AND connection_id = $2 AND remote_id = $3",
        tx.workspace_id,
        connection_id,
        remote_id,
    )
    return found or ""


async def scanned(tx: Tx, connection_id: UUID, remote_id: str, began: datetime) -> None:
    """Notes that a campaign was read from its first record to its last, and what was counted before that began."""
    await tx.run(
        "UPDATE campaign SET scanned_counts = counts, scanned_at = $4"
        " WHERE workspace_id = $1 AND connection_id = $2 AND remote_id = $3",
        tx.workspace_id,
        connection_id,
        remote_id,
        began,
    )


async def to_analyse(tx: Tx, connection_id: UUID, *, moved_before: datetime, before: datetime) -> list[Any]:
    """Returns campaigns (id, remote_id) whose statistics are to be read: at all, because their counters have moved and
    they were read before `moved_before`, or because they were read before `before`."""
    return await tx.all(
        "SELECT id, remote_id FROM campaign WHERE workspace_id = $1 AND connection_id = $2 AND gone_at IS NULL"
        " AND (analysed_at IS NULL OR analysed_at <= $4"
        " OR (analysed_at <= $3 AND counts IS DISTINCT FROM analysed_counts))"
        " ORDER BY analysed_at NULLS FIRST, id",
        tx.workspace_id,
        connection_id,
        moved_before,
        before,
    )


async def save_analysis(
    tx: Tx,
    campaign_id: UUID,
    overview: Mapping[str, int],
    days: Sequence[tuple[date, Mapping[str, int]]],
    *,
    since: date,
    until: date,
) -> int:
    """Takes over a campaign's totals and its days of a period; returns how many of them are new or different.

    A row that says the same is not touched. A day the provider counts nothing of any more is removed, unless it tells
    of no day at all.
    """
    changed = await tx.run(
        "INSERT INTO campaign_overview AS o (workspace_id, campaign_id, counts, updated_at)"
        " SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM campaign_overview"
        " WHERE workspace_id = $1 AND campaign_id = $2 AND counts = $3)"
        " ON CONFLICT (workspace_id, campaign_id) DO UPDATE SET counts = excluded.counts, updated_at = $4",
        tx.workspace_id,
        campaign_id,
        dict(overview),
        tx.now,
    )
    rows = [{"day": day.isoformat(), **{name: counts.get(name, 0) for name in DAY_COUNTS}} for day, counts in days]
    if rows:
        changed += await tx.run(_SAVE_DAYS, tx.workspace_id, campaign_id, rows, tx.now)
        changed += await tx.run(
            "DELETE FROM campaign_day WHERE workspace_id = $1 AND campaign_id = $2 AND day BETWEEN $3 AND $4"
            " AND day <> ALL($5)",
            tx.workspace_id,
            campaign_id,
            since,
            until,
            [day for day, _ in days],
        )
    return changed


_NAMES = ", ".join(DAY_COUNTS)
_SAVE_DAYS = f"""
    INSERT INTO campaign_day (workspace_id, campaign_id, day, {_NAMES}, updated_at)
    SELECT $1, $2, r.day, {", ".join(f"r.{name}" for name in DAY_COUNTS)}, $4
    FROM jsonb_to_recordset($3) AS r(day date, {", ".join(f"{name} bigint" for name in DAY_COUNTS)})
    LEFT JOIN campaign_day d ON d.workspace_id = $1 AND d.campaign_id = $2 AND d.day = r.day
    WHERE d.day IS NULL OR ({", ".join(f"d.{name}" for name in DAY_COUNTS)})
        IS DISTINCT FROM ({", ".join(f"r.{name}" for name in DAY_COUNTS)})
    ORDER BY r.day
    ON CONFLICT (workspace_id, campaign_id, day) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in DAY_COUNTS)}, updated_at = $4
"""


async def analysed(tx: Tx, campaign_id: UUID) -> None:
    """Notes that a campaign's statistics were read, and what was counted of it before."""
    await tx.run(
        "UPDATE campaign SET analysed_counts = counts, analysed_at = $3 WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id,
        campaign_id,
        tx.now,
    )


def _shown(chosen: str) -> str:
    """Returns the statement that shows the campaigns `chosen` by a condition, each with its leads by delivery status.

    A lead counts once in a campaign, under the status it has; rows that are gone do not count. The campaigns are chosen
    first, and their leads are looked up all at once.
    """
    return f"""
        WITH chosen AS MATERIALIZED (
            SELECT id, connection_id, namespace, name, status, seen_at, gone_at, scanned_at, analysed_at
            FROM campaign WHERE workspace_id = $1 {chosen}
        ), members AS (
            SELECT DISTINCT c.id, k.lead_id FROM chosen c JOIN link k ON k.workspace_id = $1
                AND k.connection_id = c.connection_id AND k.namespace = c.namespace
            WHERE k.namespace <> '' AND k.gone_at IS NULL
        ), counted AS (
            SELECT m.id, coalesce(l.delivery_status, '') AS status, count(*) AS leads
            FROM members m JOIN lead l ON l.workspace_id = $1 AND l.id = m.lead_id AND l.deleted_at IS NULL
            GROUP BY 1, 2
        )
        SELECT c.*, coalesce(jsonb_object_agg(n.status, n.leads) FILTER (WHERE n.id IS NOT NULL), '{{}}') AS leads
        FROM chosen c LEFT JOIN counted n ON n.id = c.id
        GROUP BY c.id, c.connection_id, c.namespace, c.name, c.status, c.seen_at, c.gone_at, c.scanned_at, c.analysed_at
        ORDER BY c.name, c.id
    """


_PAGE = _shown("AND ($3::text IS NULL OR (name, id) > ($3, $4::uuid)) ORDER BY name, id LIMIT $2")
_ONE = _shown("AND id = $2")


async def page(tx: Tx, limit: int, after: tuple[str, UUID] | None) -> list[Any]:
    """Returns campaigns by name, each with its leads by delivery status; `after` is the last one of the page before."""
    name, campaign_id = after or (None, None)
    return await tx.all(_PAGE, tx.workspace_id, limit, name, campaign_id)


async def get(tx: Tx, campaign_id: UUID) -> Any:
    """Returns a campaign as `page` does, or None."""
    return await tx.one(_ONE, tx.workspace_id, campaign_id)


async def days(tx: Tx, campaign_id: UUID, since: date, until: date) -> list[Any]:
    """Returns what is known of the days of a period, both ends included, the oldest first."""
    return await tx.all(
        f"SELECT day, {_NAMES} FROM campaign_day WHERE workspace_id = $1 AND campaign_id = $2"
        " AND day BETWEEN $3 AND $4 ORDER BY day",
        tx.workspace_id,
        campaign_id,
        since,
        until,
    )


async def overview(tx: Tx, campaign_id: UUID) -> Any:
    """Returns a campaign's totals (counts, updated_at), or None."""
    return await tx.one(
        "SELECT counts, updated_at FROM campaign_overview WHERE workspace_id = $1 AND campaign_id = $2",
        tx.workspace_id,
        campaign_id,
    )
