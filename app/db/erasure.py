"""What a lead's erasure takes away, and what stays of it: keyed hashes, by which the person does not silently return.

The two lists below name every column that could hold text about anybody; a test reads the catalogue and fails for one
that is in neither. The rows themselves are removed by the database's `erase_leads`, since the service may not change
history.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.session import Tx

#: Tables whose rows about a lead go with it, whole rows. A table that refers to the lead with ON DELETE CASCADE needs
#: no more than its name here; any other one is for `erase_leads`.
ERASED: Final = frozenset({
    "lead", "lead_identity", "lead_alias", "lead_change", "activity", "link", "write_attempt", "review_item",
    "idempotency_key", "lead_merge", "lead_search", "outreach_request",
    # of a delivery everything but its key and its campaign, or the provider's delivery log would bring it back
    "webhook_delivery",
})  # fmt: skip
#: How long it may take: it looks through every delivery that is kept.
ERASE_SECONDS: Final = 80.0
#: Columns of the other tables, which hold nothing about a lead: names that the team gave, how things are set up, what
#: staff did and to which ids, and keyed hashes, which are kept on purpose.
KEPT: Final = {
    # a state, an offset and sentences about keys and plans
    "account_watch": "hook hook_error mails_position mails_error",
    "alembic_version": "version_num",
    "api_key": "name prefix hash role acts_for",
    "app_user": "email role",
    "audit": "actor action detail",
    "campaign": "remote_id name namespace counts scanned_counts analysed_counts",
    # numbers
    "campaign_overview": "counts",
    "campaign_assignment": "campaign_id",
    "connection": (
        "provider name target config mapping conflict_strategy create_policy thresholds state reason lease_owner"
    ),
    "erasure_ledger": "hash",
    # how many leads are in a status, come from a source, are somebody's: gone with the last of them
    "lead_count": "by value",
    "hook_gap": "why",
    "log_day": "error",
    "provider_account": "provider secret fingerprint webhook_hash",
    "rate_bucket": "resource",
    "secret_key_check": "hash",
    # kept until the record is deleted there, and no longer
    "remote_erasure": "remote_id",
    # an offset and the provider's clock
    "stream_cursor": "stream position progress",
    "suppression": "email_hash scope reason",
    # the providers' own ids
    "sweep_seen": "remote_key",
    "sync_run": "kind trigger state stage options counters progress error requested_by",
    "workspace": "name settings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """By what a lead can be recognised."""

    #: the lead, and those that were merged into it
    leads: list[UUID]
    #: the addresses and pages it has or had
    known_as: list[str]
    #: the keys of its remote records
    records: list[str]


async def family(tx: Tx, lead_id: UUID) -> list[UUID]:
    """Returns a lead and the leads that were merged into it, at any remove."""
    rows = await tx.all(
        "WITH RECURSIVE f AS (SELECT $2::uuid AS id UNION SELECT l.id FROM f JOIN lead l ON l.workspace_id = $1"
        " AND l.merged_into = f.id) SELECT id FROM f",
        tx.workspace_id,
        lead_id,
    )
    return [row["id"] for row in rows]


async def traces(tx: Tx, lead_ids: Sequence[UUID]) -> Traces:
    """Returns by what leads can be recognised; they are locked."""
    known_as = await tx.all(
        "SELECT email AS v FROM lead WHERE workspace_id = $1 AND id = ANY($2)"
        " UNION SELECT linkedin_url FROM lead WHERE workspace_id = $1 AND id = ANY($2)"
        " UNION SELECT email FROM lead_alias WHERE workspace_id = $1 AND lead_id = ANY($2)"
        " UNION SELECT value FROM lead_identity WHERE workspace_id = $1 AND lead_id = ANY($2)",
        tx.workspace_id,
        lead_ids,
    )
    records = await tx.all(
        "SELECT DISTINCT remote_key AS v FROM link WHERE workspace_id = $1 AND lead_id = ANY($2)"
        " AND remote_id IS NOT NULL",
        tx.workspace_id,
        lead_ids,
    )
    return Traces(
        leads=list(lead_ids),
        known_as=sorted(row["v"] for row in known_as if row["v"]),
        records=sorted(row["v"] for row in records),
    )


async def erase(tx: Tx, lead_ids: Sequence[UUID], *, words: Collection[str], hashes: Collection[bytes]) -> None:
    """Removes everything about leads, and whatever says one of the words (lower case); leaves the hashes."""
    await tx.run(
        "SELECT erase_leads($1, $2, $3, $4)", lead_ids, sorted(words), sorted(hashes), tx.now, seconds=ERASE_SECONDS
    )


async def has_any(tx: Tx) -> bool:
    """Tells whether anybody was ever erased from the workspace."""
    return bool(await tx.value("SELECT EXISTS (SELECT FROM erasure_ledger WHERE workspace_id = $1)", tx.workspace_id))


async def known(tx: Tx, hashes: Collection[bytes]) -> set[bytes]:
    """Returns those of the hashes that stand for somebody who was erased."""
    rows = await tx.all(
        "SELECT hash FROM erasure_ledger WHERE workspace_id = $1 AND hash = ANY($2)", tx.workspace_id, list(hashes)
    )
    return {row["hash"] for row in rows}


async def records_there(tx: Tx, lead_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    """Returns (connection, remote id) of the records that leads have at providers, as far as they are known there."""
    rows = await tx.all(
        "SELECT k.connection_id, k.remote_id FROM link k JOIN connection c ON c.workspace_id = $1"
        " AND c.id = k.connection_id AND c.deleted_at IS NULL WHERE k.workspace_id = $1 AND k.lead_id = ANY($2)"
        " AND k.remote_id IS NOT NULL AND k.gone_at IS NULL ORDER BY 1, 2",
        tx.workspace_id,
        lead_ids,
    )
    return [(row["connection_id"], row["remote_id"]) for row in rows]


async def remember_there(tx: Tx, records: Sequence[tuple[UUID, str]]) -> None:
    """Remembers records (connection, remote id) to be deleted at their providers."""
    await tx.many(
        "INSERT INTO remote_erasure (workspace_id, connection_id, remote_id, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        [(tx.workspace_id, connection_id, remote_id, tx.now) for connection_id, remote_id in records],
    )


async def due_there(tx: Tx, connection_id: UUID, limit: int) -> list[str]:
    """Returns records of a connection that are to be deleted now."""
    rows = await tx.all(
        "SELECT remote_id FROM remote_erasure WHERE workspace_id = $1 AND connection_id = $2"
        " AND (next_attempt_at IS NULL OR next_attempt_at <= $4) ORDER BY created_at, remote_id LIMIT $3",
        tx.workspace_id, connection_id, limit, tx.now,
    )  # fmt: skip
    return [row["remote_id"] for row in rows]


async def put_off_there(tx: Tx, connection_id: UUID, remote_ids: Sequence[str], until: datetime) -> None:
    """Tries records again later."""
    await tx.run(
        "UPDATE remote_erasure SET next_attempt_at = $4 WHERE workspace_id = $1 AND connection_id = $2"
        " AND remote_id = ANY($3)",
        tx.workspace_id, connection_id, list(remote_ids), until,
    )  # fmt: skip


async def forget_there(tx: Tx, connection_id: UUID, remote_ids: Sequence[str] | None = None) -> None:
    """Forgets records that are deleted there, or every one of a connection that is no more."""
    await tx.run(
        "DELETE FROM remote_erasure WHERE workspace_id = $1 AND connection_id = $2"
        " AND ($3::text[] IS NULL OR remote_id = ANY($3))",
        tx.workspace_id, connection_id, None if remote_ids is None else list(remote_ids),
    )  # fmt: skip
