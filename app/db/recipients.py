"""Who an event is about: leads by campaign and address, and what people decided about them before it arrived."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.db.leads import existing
from app.db.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A campaign of the workspace, and the connection it is read through."""

    id: UUID
    name: str
    connection_id: UUID
    connection: str


class Addressed(NamedTuple):
    """A campaign (the provider's id, None: unknown) and an address in it."""

    campaign: str | None
    email: str


async def campaigns(tx: Tx, remote_ids: Collection[str]) -> dict[str, Known]:
    """Returns the workspace's campaigns by the provider's id."""
    rows = await tx.all(
        "SELECT m.remote_id, m.id, m.name, m.connection_id, c.name AS connection FROM campaign m"
        " JOIN connection c ON c.workspace_id = m.workspace_id AND c.id = m.connection_id AND c.deleted_at IS NULL"
        " WHERE m.workspace_id = $1 AND m.remote_id = ANY($2) ORDER BY c.created_at DESC",
        tx.workspace_id,
        list(remote_ids),
    )
    return {
        row["remote_id"]: Known(
            id=row["id"], name=row["name"], connection_id=row["connection_id"], connection=row["connection"]
        )
        for row in rows
    }


async def find(tx: Tx, wanted: Iterable[Addressed]) -> dict[Addressed, UUID]:
    """Returns the lead of each address: the one whose record in that campaign it is, else the one that has it, had it.

    A lead that was deleted is found where no other one is.
    """
    every = sorted(set(wanted), key=lambda a: (a.email, a.campaign or ""))
    rows = await tx.all(
        "WITH w AS (SELECT * FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w(campaign, email, place)),"
        " found AS ("
        # the connection is named, because a key is looked up within one
        " SELECT w.place, 1 AS rank, k.lead_id FROM w JOIN connection c ON c.workspace_id = $1"
        " JOIN link k ON k.workspace_id = $1 AND k.connection_id = c.id AND k.remote_key = w.campaign || '/' || w.email"
        " WHERE k.lead_id IS NOT NULL"
        " UNION ALL SELECT w.place, 2, i.lead_id FROM w JOIN lead_identity i ON i.workspace_id = $1"
        " AND i.kind = 'email' AND i.value = w.email"
        # a shared mailbox identifies nobody, and still its lead is the one that has it
        " UNION ALL SELECT w.place, 3, l.id FROM w JOIN lead l ON l.workspace_id = $1 AND l.email = w.email"
        " UNION ALL SELECT w.place, 4, a.lead_id FROM w JOIN lead_alias a ON a.workspace_id = $1"
        " AND a.email = w.email)"
        " SELECT DISTINCT ON (f.place) f.place, l.id FROM found f"
        " JOIN lead l ON l.workspace_id = $1 AND l.id = f.lead_id"
        " ORDER BY f.place, l.deleted_at IS NOT NULL AND l.merged_into IS NULL, f.rank, l.created_at, l.id",
        tx.workspace_id,
        [a.campaign for a in every],
        [a.email for a in every],
    )
    now = await existing(tx, {row["id"] for row in rows})
    return {every[row["place"] - 1]: now[row["id"]] for row in rows if row["id"] in now}


async def decided(tx: Tx, lead_ids: Collection[UUID], sources: Sequence[str]) -> dict[UUID, str]:
    """Returns when each lead's status was last set by one of `sources`, an instant."""
    rows = await tx.all(
        "SELECT c.lead_id, max(c.changes -> 'status' ->> 'at') AS at FROM lead_change c WHERE c.workspace_id = $1"
        " AND c.lead_id = ANY($2) AND c.changes -> 'status' ->> 'source' = ANY($3) GROUP BY c.lead_id",
        tx.workspace_id,
        list(lead_ids),
        list(sources),
    )
    return {row["lead_id"]: row["at"] for row in rows if row["at"]}


class Reply(NamedTuple):
    """A reply the activity log has."""

    key: str
    at: datetime
    campaign_id: str | None


async def replies(tx: Tx, lead_ids: Collection[UUID], kinds: Sequence[str]) -> dict[UUID, list[Reply]]:
    """Returns the replies of leads that the activity log has."""
    rows = await tx.all(
        "SELECT lead_id, dedupe_key, at, detail ->> 'campaign_id' AS campaign FROM activity"
        " WHERE workspace_id = $1 AND lead_id = ANY($2) AND kind = ANY($3)",
        tx.workspace_id,
        list(lead_ids),
        list(kinds),
    )
    found: dict[UUID, list[Reply]] = {}
    for row in rows:
        found.setdefault(row["lead_id"], []).append(Reply(row["dedupe_key"], row["at"], row["campaign"]))
    return found


async def uncounted(tx: Tx, lead_id: UUID, kinds: Sequence[str]) -> dict[str, int]:
    """Returns how many activities of each kind a lead has had in campaigns since these were last read to their end."""
    rows = await tx.all(
        "SELECT a.kind, count(*) AS n FROM activity a LEFT JOIN campaign c ON c.workspace_id = a.workspace_id"
        " AND c.id::text = a.detail ->> 'campaign_id'"
        " WHERE a.workspace_id = $1 AND a.lead_id = $2 AND a.kind = ANY($3)"
        " AND (c.scanned_at IS NULL OR a.at > c.scanned_at) GROUP BY a.kind",
        tx.workspace_id,
        lead_id,
        list(kinds),
    )
    return {row["kind"]: row["n"] for row in rows}
