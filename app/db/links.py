"""Links: what every remote record showed, what both sides agreed on, and what is under way.

A link's observation is written by its own connection alone; everything the policy decides about it is written under the
lock of its lead. The two live in different columns, so neither overwrites the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.cells import Cell, Flapping, Sent, State
from app.domain.lead import Connection, Link
from app.domain.values import JSON, MISSING, instant

_COLUMNS = (
    "k.id, k.connection_id, k.lead_id, k.remote_key, k.remote_id, k.writing, k.remote_created_at, k.namespace,"
    " k.observed, k.observed_at, k.modified_at, k.observed_version, k.mapping_version, k.base_remote,"
    " k.base_local, k.cells, k.counters, k.reconciled_version, k.dirty, k.push_due, k.reread, k.attempts,"
    " k.next_attempt_at, k.error, k.ended_at, k.gone_at,"
    " CASE WHEN k.lead_id IS NULL THEN k.raw ->> 'crm_id' END AS crm_id"
)


@dataclass(slots=True, kw_only=True)
class StoredLink:
    """A link as it stands in the database."""

    link: Link
    #: as it was read; never changed, because `save` writes what differs from it
    before: Link
    connection_id: UUID
    lead_id: UUID | None
    remote_id: str | None
    #: what the CRM-id column of a record without a lead shows
    crm_id: str | None
    dirty: bool
    push_due: bool
    attempts: int
    error: str | None
    ended: bool
    #: since when the record is not there any more
    gone_at: datetime | None
    #: an earlier write is put off
    waits: bool

    @property
    def gone(self) -> bool:
        """Tells whether the record is not there any more."""
        return self.gone_at is not None

    @property
    def is_new(self) -> bool:
        """Tells whether the record has yet to be created there."""
        return self.remote_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one record showed, by lead field, ready to be stored."""

    key: str
    remote_id: str
    observed: Mapping[str, JSON]
    created_at: str | None = None
    modified_at: str | None = None
    raw: Mapping[str, JSON] | None = None
    namespace: str = ""


async def observe(
    tx: Tx, connection_id: UUID, observations: Sequence[Observation], *, at: datetime, mapping_version: int
) -> int:
    """Stores observations that changed, marks their links dirty, and returns how many there were.

    A record nobody knows becomes a link without a lead. An observation older than the stored one is left out. What an
    observation does not show stays as it was seen last.
    """
    rows = [
        {
            "id": str(new_id()), "key": o.key, "remote_id": o.remote_id, "observed": dict(o.observed),
            "created": o.created_at, "modified": o.modified_at, "raw": None if o.raw is None else dict(o.raw),
            "namespace": o.namespace,
        }
        for o in {o.key: o for o in observations}.values()
    ]  # fmt: skip
    if not rows:
        return 0
    return await tx.run(
        """
        WITH seen AS (
            SELECT * FROM jsonb_to_recordset($3) AS r(
                id uuid, key text, remote_id text, observed jsonb, created timestamptz, modified timestamptz, raw jsonb,
                namespace text)
        ), news AS (
            SELECT s.* FROM seen s
            LEFT JOIN link k ON k.workspace_id = $1 AND k.connection_id = $2 AND k.remote_key = s.key
            WHERE k.id IS NULL OR ((k.observed_at IS NULL OR k.observed_at <= $4) AND (
                (k.observed || s.observed) IS DISTINCT FROM k.observed OR k.observed_version <> $5
                OR k.gone_at IS NOT NULL OR k.remote_id IS DISTINCT FROM s.remote_id OR k.reread
                OR (k.raw IS DISTINCT FROM s.raw AND k.lead_id IS NULL)))
        )
        INSERT INTO link AS k (workspace_id, connection_id, id, remote_key, remote_id, observed, observed_at,
            remote_created_at, modified_at, raw, namespace, observed_version, mapping_version, created_at)
        SELECT $1, $2, n.id, n.key, n.remote_id, n.observed, $4, n.created, n.modified,
            n.raw, n.namespace, $5, $5, $4
        FROM news n ORDER BY n.key
        ON CONFLICT (workspace_id, connection_id, remote_key) DO UPDATE SET
            observed = CASE WHEN k.observed_version = $5 THEN k.observed ELSE '{}' END || excluded.observed,
            observed_at = $4, observed_version = $5, remote_id = excluded.remote_id,
            -- deleted and added again: another record under the same key, which begins with a first contact
            base_remote = CASE WHEN k.remote_id IS DISTINCT FROM excluded.remote_id THEN '{}' ELSE k.base_remote END,
            remote_created_at = coalesce(excluded.remote_created_at, k.remote_created_at),
            modified_at = excluded.modified_at, raw = coalesce(excluded.raw, k.raw), namespace = excluded.namespace,
            gone_at = NULL, dirty = true, reread = false
        """,
        tx.workspace_id,
        connection_id,
        rows,
        at,
        mapping_version,
    )


async def follow_moves(tx: Tx, connection_id: UUID, observations: Sequence[Observation]) -> int:
    """Gives links whose records moved to another place there (another campaign) their new key; returns how many."""
    return await tx.run(
        "UPDATE link k SET remote_key = m.key, namespace = m.namespace, base_remote = k.base_remote - 'metadata',"
        " dirty = true FROM unnest($3::text[], $4::text[], $5::text[]) AS m(remote_id, key, namespace)"
        " WHERE k.workspace_id = $1 AND k.connection_id = $2 AND k.remote_id = m.remote_id AND k.remote_key <> m.key"
        " AND k.remote_id = ANY($3)"
        " AND NOT EXISTS (SELECT FROM link t WHERE t.workspace_id = $1 AND t.connection_id = $2"
        " AND t.remote_key = m.key)",
        tx.workspace_id,
        connection_id,
        [o.remote_id for o in observations],
        [o.key for o in observations],
        [o.namespace for o in observations],
    )


async def by_ids(tx: Tx, ids: Collection[UUID], connections: Mapping[UUID, Connection]) -> list[StoredLink]:
    """Returns links by id."""
    if not ids:
        return []
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM link k WHERE k.workspace_id = $1 AND k.id = ANY($2)", tx.workspace_id, list(ids)
    )
    return [_stored(row, connections) for row in rows]


async def of_leads(tx: Tx, lead_ids: Iterable[UUID], connections: Mapping[UUID, Connection]) -> list[StoredLink]:
    """Returns the links of leads that belong to the given connections."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM link k WHERE k.workspace_id = $1 AND k.lead_id = ANY($2)"
        " AND k.connection_id = ANY($3)",
        tx.workspace_id,
        list(lead_ids),
        list(connections),
    )
    return [_stored(row, connections) for row in rows]


async def silent_counts(
    tx: Tx, lead_ids: Collection[UUID], speaking: Iterable[Sequence[StoredLink]]
) -> dict[UUID, dict[str, int]]:
    """Returns, by lead, what links have counted that are not among those `speaking`: they go on counting.

    The link of a connection that was made again takes the place of the one it had before.
    """
    if not lead_ids:
        return {}
    rows = await tx.all(
        "SELECT k.lead_id, c.key AS counter, sum(e.value::bigint)::bigint AS n"
        " FROM link k, jsonb_each(k.counters) AS c, jsonb_each_text(c.value) AS e"
        " WHERE k.workspace_id = $1 AND k.lead_id = ANY($2) AND k.counters <> '{}' AND k.id <> ALL($3)"
        " AND NOT EXISTS (SELECT FROM link n WHERE n.workspace_id = $1 AND n.lead_id = k.lead_id"
        " AND n.remote_key = k.remote_key AND (n.created_at, n.id) > (k.created_at, k.id))"
        " GROUP BY k.lead_id, c.key",
        tx.workspace_id,
        list(lead_ids),
        [UUID(s.link.id) for found in speaking for s in found],
    )
    counts: dict[UUID, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row["lead_id"], {})[row["counter"]] = row["n"]
    return counts


async def of_connection(tx: Tx, connection_id: UUID) -> list[Any]:
    """Returns the ids of all links of a connection."""
    return await tx.all(
        "SELECT id FROM link WHERE workspace_id = $1 AND connection_id = $2", tx.workspace_id, connection_id
    )


async def save(tx: Tx, links: Sequence[StoredLink], *, at_version: Mapping[UUID, int], own: UUID | None) -> None:
    """Writes what was decided about links; those of the connection `own` are reconciled with `at_version` now.

    Of a base only what moved is written: a record that is added again under an old key starts its base anew meanwhile.
    """
    if not links:
        return
    rows = {
        str(s.link.id): {
            "lead_id": str(s.lead_id) if s.lead_id else None, "writing": s.link.writing,
            **_moved("remote", s.before.base_remote, s.link.base_remote),
            **_moved("local", s.before.base_local, s.link.base_local),
            "cells": {name: dump_cell(cell) for name, cell in s.link.cells.items()}, "counters": s.link.counters,
            "mapping_version": s.link.mapping_version, "reread": s.link.reread, "push_due": is_due(s),
            "error": s.error,
            "reconciled": at_version.get(s.lead_id, 0) if s.lead_id and s.connection_id == own else None,
        }
        for s in links
    }  # fmt: skip
    await tx.run(
        # each link looks its own row up: joined, the rows would be gone through once per link while the table is young
        """
        UPDATE link k SET (lead_id, writing, base_remote, base_local, cells, counters, mapping_version, reread,
            push_due, error, next_attempt_at, attempts, dirty, reconciled_version) = (
            SELECT r.lead_id, r.writing,
                CASE WHEN r.remote IS NULL THEN k.base_remote ELSE (k.base_remote || r.remote) - r.remote_gone END,
                CASE WHEN r.local IS NULL THEN k.base_local ELSE (k.base_local || r.local) - r.local_gone END,
                r.cells, r.counters, r.mapping_version, r.reread,
                r.push_due, r.error, CASE WHEN r.push_due THEN k.next_attempt_at END,
                CASE WHEN r.push_due THEN k.attempts ELSE 0 END,
                k.dirty AND r.reconciled IS NULL, coalesce(r.reconciled, k.reconciled_version)
            FROM jsonb_to_record($2::jsonb -> k.id::text) AS r(lead_id uuid, writing boolean, remote jsonb,
                remote_gone text[], local jsonb, local_gone text[], cells jsonb, counters jsonb,
                mapping_version integer, reread boolean, push_due boolean, error text, reconciled bigint))
        WHERE k.workspace_id = $1 AND k.id = ANY($3)
        """,
        tx.workspace_id,
        rows,
        [UUID(link_id) for link_id in rows],
    )


def _moved(side: str, before: Mapping[str, JSON], after: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns what moved of a base: keys to be set, and keys to be taken out."""
    if before == after:
        return {}
    news = {name: value for name, value in after.items() if before.get(name, MISSING) != value}
    return {side: news, f"{side}_gone": [name for name in before if name not in after]}


def is_due(stored: StoredLink) -> bool:
    """Tells whether a link has something to write, to confirm or to look at again."""
    if stored.ended or stored.gone:
        return False
    if stored.is_new or not stored.link.writing:
        # also one without a say: whether its record was made is yet to be seen
        return stored.is_new
    busy = any(cell.state in (State.PENDING, State.INFLIGHT) for cell in stored.link.cells.values())
    return busy or stored.link.reread


def dump_cell(cell: Cell) -> dict[str, JSON]:
    """Returns what a cell remembers beside its base, as JSON; nothing that is as usual."""
    rest: dict[str, JSON] = {"state": cell.state.value}
    for name in ("fresh", "reason", "other"):
        if (value := getattr(cell, name)) is not None:
            rest[name] = value
    for name in ("sent", "ghost", "flapping"):
        if (part := getattr(cell, name)) is not None:
            rest[name] = {key: value for key, value in asdict(part).items() if value is not MISSING}
    return rest


def load_cell(rest: Mapping[str, JSON]) -> Cell:
    """Returns the cell that `dump_cell` wrote."""
    return Cell(
        state=State(rest["state"]),
        sent=Sent(**rest["sent"]) if "sent" in rest else None,
        ghost=Sent(**rest["ghost"]) if "ghost" in rest else None,
        flapping=Flapping(**rest["flapping"]) if "flapping" in rest else None,
        fresh=rest.get("fresh"),
        reason=rest.get("reason"),
        other=rest.get("other"),
    )


def _stored(row: Mapping[str, Any], connections: Mapping[UUID, Connection]) -> StoredLink:
    link = Link(
        id=str(row["id"]),
        connection=connections[row["connection_id"]],
        key=row["remote_key"],
        writing=row["writing"],
        created_at=_at(row["remote_created_at"]) or "",
        epoch=row["remote_id"] or "",
        namespace=row["namespace"],
        observed=row["observed"],
        observed_at=_at(row["observed_at"]) or "",
        modified_at=_at(row["modified_at"]),
        observed_version=row["observed_version"],
        mapping_version=row["mapping_version"],
        base_remote=row["base_remote"],
        base_local=row["base_local"],
        cells={name: load_cell(rest) for name, rest in row["cells"].items()},
        counters=row["counters"],
        reconciled=row["reconciled_version"],
        reread=row["reread"],
    )
    return StoredLink(
        link=link.copy(),
        before=link,
        connection_id=row["connection_id"],
        lead_id=row["lead_id"],
        remote_id=row["remote_id"],
        crm_id=row["crm_id"],
        dirty=row["dirty"],
        push_due=row["push_due"],
        attempts=row["attempts"],
        error=row["error"],
        ended=row["ended_at"] is not None,
        gone_at=row["gone_at"],
        waits=row["next_attempt_at"] is not None,
    )


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else instant(moment)
