"""What people asked to be changed in a lead's rows at a mail-campaign provider, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx

Kind = Literal["remove", "interest"]
#: Said of a change from before it leaves until its answer is there; whoever finds it later knows that none came.
UNANSWERED = "It is being sent; there is no answer yet."
OPEN = "('queued', 'sent')"
#: A row's key begins with its campaign's id; the name is what people know.
_SHOWN = (
    "q.id, q.link_id, q.lead_id, q.kind, q.interest, q.state, q.attempts, q.error, q.requested_by, q.created_at,"
    " q.sent_at, q.finished_at, c.id AS campaign_id, c.name AS campaign"
)
_JOINED = (
    "FROM outreach_request q JOIN link k ON k.workspace_id = q.workspace_id AND k.id = q.link_id"
    " LEFT JOIN campaign c ON c.workspace_id = k.workspace_id AND c.connection_id = k.connection_id"
    " AND c.remote_id = split_part(k.remote_key, '/', 1)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A lead's row in a campaign at the provider."""

    link_id: UUID
    connection_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A change that is to be made, or looked for, now."""

    id: UUID
    link_id: UUID
    lead_id: UUID
    kind: Kind
    interest: str | None
    state: str
    attempts: int
    looks: int
    error: str | None
    #: the row, its address and its campaign as the provider has them
    remote_id: str
    email: str | None
    campaign_id: str
    #: the campaign's name
    campaign: str | None
    #: the row is no longer there, or is somebody else's
    is_gone: bool


async def memberships(tx: Tx, lead_id: UUID, campaign_id: UUID | None = None) -> list[Membership]:
    """Returns the rows a lead has in campaigns at mail-campaign providers, or the one in a campaign."""
    rows = await tx.all(
        "SELECT k.id, k.connection_id FROM link k JOIN connection n ON n.workspace_id = k.workspace_id"
        " AND n.id = k.connection_id AND n.provider = 'instantly' AND n.deleted_at IS NULL"
        " LEFT JOIN campaign c ON c.workspace_id = k.workspace_id AND c.connection_id = k.connection_id"
        " AND c.remote_id = split_part(k.remote_key, '/', 1)"
        " WHERE k.workspace_id = $1 AND k.lead_id = $2 AND k.gone_at IS NULL AND k.ended_at IS NULL"
        " AND k.remote_id IS NOT NULL AND ($3::uuid IS NULL OR c.id = $3) ORDER BY k.id",
        tx.workspace_id,
        lead_id,
        campaign_id,
    )
    return [Membership(link_id=row["id"], connection_id=row["connection_id"]) for row in rows]


async def add(
    tx: Tx, lead_id: UUID, wanted: Sequence[Membership], kind: Kind, *, interest: str | None, requested_by: str
) -> list[UUID]:
    """Stores changes to be made, and returns the ids of what is to be done now.

    The same change that waits already is not asked for twice; another interest takes the place of the one that waits.
    The lead is locked.
    """
    found: list[UUID] = []
    for one in wanted:
        waiting = await tx.one(
            "SELECT id, interest, state FROM outreach_request WHERE workspace_id = $1 AND link_id = $2 AND kind = $3"
            f" AND state IN {OPEN} FOR UPDATE",
            tx.workspace_id, one.link_id, kind,
        )  # fmt: skip
        if waiting is not None:
            if waiting["interest"] == interest:
                found.append(waiting["id"])
                continue
            await fail(tx, waiting["id"], "Another interest was asked for since.")
        request_id = new_id()
        await tx.run(
            "INSERT INTO outreach_request (workspace_id, id, connection_id, link_id, lead_id, kind, interest,"
            " requested_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            tx.workspace_id, request_id, one.connection_id, one.link_id, lead_id, kind, interest, requested_by, tx.now,
        )  # fmt: skip
        found.append(request_id)
    return found


async def shown(tx: Tx, ids: Sequence[UUID]) -> list[dict[str, object]]:
    """Returns some requests as people see them, in the order they were made."""
    rows = await tx.all(
        f"SELECT {_SHOWN} {_JOINED} WHERE q.workspace_id = $1 AND q.id = ANY($2) ORDER BY q.created_at, q.id",
        tx.workspace_id,
        list(ids),
    )
    return [dict(row) for row in rows]


async def of_links(tx: Tx, link_ids: Sequence[UUID], limit: int = 10) -> list[dict[str, object]]:
    """Returns the last requests about each link, the newest first."""
    rows = await tx.all(
        f"SELECT r.* FROM unnest($2::uuid[]) AS l(id) CROSS JOIN LATERAL (SELECT {_SHOWN} {_JOINED}"
        " WHERE q.workspace_id = $1 AND q.link_id = l.id ORDER BY q.id DESC LIMIT $3) r",
        tx.workspace_id,
        list(link_ids),
        limit,
    )
    return [dict(row) for row in rows]


async def due(tx: Tx, connection_id: UUID, limit: int) -> list[Request]:
    """Returns what is to be sent, or looked for, now (as `claim_due` has it), the oldest first."""
    rows = await tx.all(
        f"SELECT q.id, q.link_id, coalesce(k.lead_id, q.lead_id) AS lead_id, q.kind, q.interest, q.state, q.attempts,"
        " q.looks, q.error, k.remote_id, k.raw ->> 'email' AS email, split_part(k.remote_key, '/', 1) AS campaign_id,"
        " k.gone_at IS NOT NULL OR k.ended_at IS NOT NULL AS is_gone,"
        f" c.name AS campaign {_JOINED} WHERE q.workspace_id = $1 AND q.connection_id = $2 AND q.state IN {OPEN}"
        " AND (q.next_attempt_at IS NULL OR q.next_attempt_at <= $4) ORDER BY q.created_at, q.id LIMIT $3",
        tx.workspace_id,
        connection_id,
        limit,
        tx.now,
    )
    return [Request(**dict(row)) for row in rows]


async def send(tx: Tx, request_id: UUID, until: datetime) -> bool:
    """Notes that a change is about to leave, and may be under way until then. False: it is not wanted any more."""
    return bool(
        await tx.run(
            "UPDATE outreach_request SET state = 'sent', attempts = attempts + 1, looks = 0, next_attempt_at = $3,"
            " sent_at = $4, error = $5 WHERE workspace_id = $1 AND id = $2 AND state = 'queued'",
            tx.workspace_id, request_id, until, tx.now, UNANSWERED,
        )
    )  # fmt: skip


async def look_again(tx: Tx, request_id: UUID, at: datetime, *, error: str | None, looked: bool) -> None:
    """Lets a change that was sent be looked for at a time."""
    await tx.run(
        "UPDATE outreach_request SET next_attempt_at = $3, error = $4, looks = looks + $5"
        " WHERE workspace_id = $1 AND id = $2 AND state = 'sent'",
        tx.workspace_id, request_id, at, error, int(looked),
    )  # fmt: skip


async def send_again(tx: Tx, request_id: UUID, at: datetime | None, *, error: str | None, sent: bool) -> None:
    """Puts a change back that certainly did not happen; where it was not even sent, it does not count as an attempt."""
    await tx.run(
        "UPDATE outreach_request SET state = 'queued', next_attempt_at = $3, error = $4, attempts = attempts - $5"
        " WHERE workspace_id = $1 AND id = $2 AND state = 'sent'",
        tx.workspace_id, request_id, at, error, int(not sent),
    )  # fmt: skip


async def confirm(tx: Tx, request_id: UUID) -> bool:
    """Ends a request whose change was seen; False where it had ended before."""
    return bool(
        await tx.run(
            "UPDATE outreach_request SET state = 'confirmed', error = NULL, next_attempt_at = NULL, finished_at = $3"
            f" WHERE workspace_id = $1 AND id = $2 AND state IN {OPEN}",
            tx.workspace_id, request_id, tx.now,
        )
    )  # fmt: skip


async def fail(tx: Tx, request_id: UUID, error: str) -> bool:
    """Ends a request that came to nothing; False where it had ended before."""
    return bool(
        await tx.run(
            "UPDATE outreach_request SET state = 'failed', error = $3, next_attempt_at = NULL, finished_at = $4"
            f" WHERE workspace_id = $1 AND id = $2 AND state IN {OPEN}",
            tx.workspace_id, request_id, error, tx.now,
        )
    )  # fmt: skip


async def put_off(tx: Tx, connection_id: UUID, until: datetime) -> None:
    """Lets everything that a connection was asked to change wait at least this long."""
    await tx.run(
        "UPDATE outreach_request SET next_attempt_at = $3 WHERE workspace_id = $1 AND connection_id = $2"
        f" AND state IN {OPEN} AND (next_attempt_at IS NULL OR next_attempt_at < $3)",
        tx.workspace_id, connection_id, until,
    )  # fmt: skip
