"""Review items: everything a person must decide, and what strategies decided and a person may decide again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.values import JSON
from app.errors import LeadkeeperError

_SHOWN = (
    "id, kind, state, connection_id, link_id, lead_id, field, evidence, version, decision, decided_by, created_at,"
    " updated_at, decided_at"
)

#: An item that nobody can decide while its lead is deleted, or one of a pair, is offered again once that is restored.
_OFFERED = (
    "(r.state <> 'open' OR r.kind NOT IN ('conflict', 'candidate') OR NOT EXISTS (SELECT FROM lead l"
    " WHERE l.workspace_id = $1 AND l.deleted_at IS NOT NULL AND l.id IN (r.lead_id,"
    " CASE WHEN r.kind = 'candidate' AND r.link_id IS NULL AND length(r.field) = 36 THEN r.field::uuid END)))"
)

Kind = Literal["conflict", "candidate", "quarantine", "plan", "deleted", "erased", "delivery", "alert"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class AlreadyDecided(LeadkeeperError):
    """This item was decided, or has changed since you looked: read it again and decide on what it says now."""


async def put(
    tx: Tx,
    kind: Kind,
    evidence: Mapping[str, JSON],
    *,
    connection_id: UUID | None = None,
    link_id: UUID | None = None,
    lead_id: UUID | None = None,
    field: str = "",
) -> None:
    """Opens an item, or refreshes the evidence of the one that is open; what a person has acknowledged stays closed."""
    await tx.run(
        "INSERT INTO review_item AS r (workspace_id, id, kind, connection_id, link_id, lead_id, field, evidence,"
        " created_at, updated_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9 WHERE NOT EXISTS (SELECT"
        " FROM review_item d WHERE d.workspace_id = $1 AND d.kind = $3 AND d.field = $7 AND d.decision ? 'acknowledged'"
        " AND (d.connection_id, d.link_id, d.lead_id, d.evidence) IS NOT DISTINCT FROM ($4, $5, $6, $8))"
        " ON CONFLICT (workspace_id, kind, connection_id, link_id, lead_id, field) WHERE state = 'open' DO UPDATE"
        " SET evidence = excluded.evidence, version = r.version + 1, updated_at = excluded.updated_at"
        " WHERE r.evidence IS DISTINCT FROM excluded.evidence",
        tx.workspace_id, new_id(), kind, connection_id, link_id, lead_id, field, dict(evidence), tx.now,
    )  # fmt: skip


async def note_decided(
    tx: Tx, items: Sequence[tuple[UUID, UUID, UUID, str, Mapping[str, JSON], Mapping[str, JSON]]]
) -> None:
    """Keeps conflicts a strategy decided: (connection, link, lead, field, evidence, decision)."""
    await tx.many(
        "INSERT INTO review_item (workspace_id, id, kind, state, connection_id, link_id, lead_id, field, evidence,"
        " decision, decided_by, created_at, updated_at, decided_at)"
        " VALUES ($1, $2, 'conflict', 'auto', $3, $4, $5, $6, $7, $8, 'strategy', $9, $9, $9)",
        [
            (tx.workspace_id, new_id(), connection, link, lead, field, dict(evidence), dict(decision), tx.now)
            for connection, link, lead, field, evidence, decision in items
        ],
    )


async def close(tx: Tx, *, why: str, by: str | None = None, **about: UUID | str) -> None:
    """Closes the open items that are about all of this (values of the item's columns): it is settled."""
    those = "".join(f" AND {name} = ${place}" for place, name in enumerate(about, 5))
    await tx.run(
        "UPDATE review_item SET state = 'closed', decision = $2, decided_by = $3, decided_at = $4, updated_at = $4,"
        f" version = version + 1 WHERE workspace_id = $1 AND state = 'open'{those}",
        tx.workspace_id,
        {"why": why},
        by,
        tx.now,
        *about.values(),
    )


async def of_connection(tx: Tx, kind: str, connection_id: UUID) -> list[Any]:
    """Returns a connection's open items of a kind."""
    return await tx.all(
        f"SELECT {_SHOWN} FROM review_item WHERE workspace_id = $1 AND kind = $2 AND connection_id = $3"
        " AND state = 'open' ORDER BY id",
        tx.workspace_id,
        kind,
        connection_id,
    )


async def get(tx: Tx, item_id: UUID, *, lock: bool = False) -> Any:
    """Returns an item, or None."""
    suffix = " FOR UPDATE" if lock else ""
    return await tx.one(
        f"SELECT {_SHOWN} FROM review_item WHERE workspace_id = $1 AND id = $2{suffix}", tx.workspace_id, item_id
    )


async def decide(tx: Tx, item_id: UUID, version: int, decision: Mapping[str, JSON], actor: str) -> None:
    """Writes down a person's decision; raises `AlreadyDecided` where the item is not as that person saw it."""
    if not await tx.run(
        "UPDATE review_item SET state = 'decided', decision = $4, decided_by = $5, decided_at = $6, updated_at = $6,"
        " version = version + 1 WHERE workspace_id = $1 AND id = $2 AND version = $3 AND state IN ('open', 'auto')",
        tx.workspace_id, item_id, version, dict(decision), actor, tx.now,
    ):  # fmt: skip
        raise AlreadyDecided


async def page(tx: Tx, kinds: Sequence[str], states: Sequence[str], limit: int, after: UUID | None = None) -> list[Any]:
    """Returns items, the newest first; open ones as far as somebody can do something about them."""
    return await tx.all(
        f"SELECT {_SHOWN} FROM review_item r WHERE workspace_id = $1 AND kind = ANY($2) AND state = ANY($3)"
        f" AND ($5::uuid IS NULL OR id < $5) AND {_OFFERED} ORDER BY id DESC LIMIT $4",
        tx.workspace_id,
        list(kinds),
        list(states),
        limit,
        after,
    )


async def find_open(tx: Tx, kind: str, connection_id: UUID) -> Any:
    """Returns the open item of a kind that concerns a connection, or None."""
    return next(iter(await of_connection(tx, kind, connection_id)), None)


async def count_open(tx: Tx) -> dict[str, int]:
    """Returns how many items of each kind wait for a person."""
    rows = await tx.all(
        "SELECT kind, count(*) AS n FROM review_item r WHERE workspace_id = $1 AND state = 'open'"
        f" AND {_OFFERED} GROUP BY 1 ORDER BY 1",
        tx.workspace_id,
    )
    return {row["kind"]: row["n"] for row in rows}


async def was_approved(tx: Tx, connection_id: UUID) -> bool:
    """Tells whether a plan of this connection was ever approved: before that, nothing is applied."""
    found = await tx.value(
        "SELECT 1 FROM review_item WHERE workspace_id = $1 AND connection_id = $2 AND kind = 'plan'"
        " AND state = 'decided' LIMIT 1",
        tx.workspace_id,
        connection_id,
    )
    return found is not None
