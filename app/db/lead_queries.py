"""Reads of one lead for people: Postgres renders the JSON, and the service passes it through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from app.db.session import Tx
from app.domain import policy

#: Bytes of JSON after which a page of a lead's history ends: a change may be twice as large as the lead.
PAGE_BYTES: Final = 4_000_000
_INSTANT: Final = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'


def column(name: str) -> str:
    """Returns what a lead shows of a column, under its name."""
    kind = policy.FIELDS[name].kind if name in policy.FIELDS else ""
    if kind == "instant" or name.endswith("_at"):
        return f"to_char(l.{name} AT TIME ZONE 'UTC', '{_INSTANT}') AS {name}"
    if kind == "number":
        return f"trim_scale(l.{name}) AS {name}"
    return f"l.{name}"


#: What shows of a lead, in the order in which it shows.
COLUMNS: Final = {
    name: column(name) for name in ("id", "version", *policy.FIELDS, "custom", "created_by", "created_at", "updated_at")
}


@lru_cache(maxsize=256)
def columns(fields: frozenset[str] | None = None) -> str:
    """Returns what to select of `lead l` to show it: everything, or the id and some fields."""
    return ", ".join(sql for name, sql in COLUMNS.items() if fields is None or name == "id" or name in fields)


#: A row and what shows of it: a join costs less than a subselect among the columns.
_LEAD = f"lead l, LATERAL (SELECT {columns()}) AS shown"
_JSON = "row_to_json(shown)::text AS json"
_ONE = (
    f"SELECT {_JSON}, l.version, l.deleted_at IS NOT NULL AS deleted, l.merged_into FROM {_LEAD}"
    " WHERE l.workspace_id = $1 AND l.id = $2"
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A lead as JSON text."""

    json: str
    version: int
    deleted: bool
    merged_into: UUID | None


async def as_json(tx: Tx, lead_id: UUID) -> Rendered | None:
    """Returns a lead, also a deleted or merged one, or None."""
    row = await tx.one(_ONE, tx.workspace_id, lead_id)
    return None if row is None else Rendered(row["json"], row["version"], row["deleted"], row["merged_into"])


async def history(tx: Tx, lead_id: UUID, limit: int, before: tuple[int, UUID] | None = None) -> list[Any]:
    """Returns what changed of a lead, the newest first; `before` is (version, id) of the last one shown.

    Each says how many bytes of JSON are `ahead` of it, and the first that has `PAGE_BYTES` or more ahead is the last.
    """
    return await tx.all(
        "SELECT * FROM (SELECT p.*, sum(size) OVER w - size AS ahead, coalesce(lag(size) OVER w, 0) AS size_before"
        " FROM (SELECT id, version, source, actor, run_id, connection_id, changes, refused, at,"
        " octet_length(changes::text) + octet_length(refused::text) AS size FROM lead_change"
        " WHERE workspace_id = $1 AND lead_id = $2 AND ($4::bigint IS NULL OR (version, id) < ($4, $5::uuid))"
        " ORDER BY version DESC, id DESC LIMIT $3) p WINDOW w AS (ORDER BY version DESC, id DESC)) q"
        f" WHERE ahead - size_before < {PAGE_BYTES} ORDER BY version DESC, id DESC",
        tx.workspace_id,
        lead_id,
        limit,
        *(before or (None, None)),
    )


async def values_at(tx: Tx, lead_id: UUID, at: datetime) -> list[Any]:
    """Returns of each field that changed later than an instant the first such change: its version and the old value.

    A change carries the time its transaction began, so one that waited for the lead may look older than the change
    before it: it is later all the same, because versions follow the lock.
    """
    return await tx.all(
        # keys first: a lead may have changed often, and a change may be as large as the lead
        "SELECT f.field, f.version, c.changes -> f.field -> 'old' AS old FROM (SELECT DISTINCT ON (k.field) k.field,"
        " h.version, h.id FROM lead_change h, jsonb_object_keys(h.changes) AS k(field) WHERE h.workspace_id = $1"
        " AND h.lead_id = $2 AND h.version >= (SELECT min(version) FROM lead_change WHERE workspace_id = $1"
        " AND lead_id = $2 AND at > $3 AND changes <> '{}') ORDER BY k.field, h.version, h.id) f"
        " JOIN lead_change c ON c.workspace_id = $1 AND c.id = f.id",
        tx.workspace_id,
        lead_id,
        at,
    )


async def state_before(tx: Tx, lead_id: UUID, version: int) -> tuple[datetime | None, set[str]]:
    """Returns when the last change below a version was, or None, and which fields of `custom` had been set by then."""
    last = await tx.value(
        "SELECT at FROM lead_change WHERE workspace_id = $1 AND lead_id = $2 AND version < $3"
        " AND changes <> '{}' ORDER BY version DESC, id DESC LIMIT 1",
        tx.workspace_id, lead_id, version,
    )  # fmt: skip
    rows = await tx.all(
        "SELECT DISTINCT f.name FROM lead_change c, jsonb_object_keys(c.changes) AS f(name) WHERE c.workspace_id = $1"
        " AND c.lead_id = $2 AND c.version < $3 AND f.name LIKE 'custom.%'",
        tx.workspace_id, lead_id, version,
    )  # fmt: skip
    return last, {row["name"] for row in rows}


async def activities(tx: Tx, lead_id: UUID, limit: int, before: tuple[datetime, UUID] | None = None) -> list[Any]:
    """Returns what happened to a lead, the newest first; `before` is (at, id) of the last one shown."""
    return await tx.all(
        "SELECT id, kind, at, actor, detail FROM activity WHERE workspace_id = $1 AND lead_id = $2"
        " AND ($4::timestamptz IS NULL OR (at, id) < ($4, $5::uuid)) ORDER BY at DESC, id DESC LIMIT $3",
        tx.workspace_id,
        lead_id,
        limit,
        *(before or (None, None)),
    )


async def deleted(tx: Tx, limit: int, before: tuple[datetime, UUID] | None = None) -> list[Any]:
    """Returns deleted leads, the last one first, without those that were merged; `before` is (deleted_at, id)."""
    start = "AND (deleted_at, id) < ($3, $4)" if before else ""
    return await tx.all(
        "SELECT id, full_name, email, company_name, deleted_at FROM lead WHERE workspace_id = $1"
        f" AND deleted_at IS NOT NULL AND merged_into IS NULL {start} ORDER BY deleted_at DESC, id DESC LIMIT $2",
        tx.workspace_id,
        limit,
        *(before or ()),
    )


async def is_in_campaign(tx: Tx, lead_id: UUID, name: str) -> bool:
    """Tells whether a lead is in a campaign of this name."""
    found = await tx.value(
        "SELECT 1 FROM lead WHERE workspace_id = $1 AND id = $2 AND campaigns @> ARRAY[$3::text]",
        tx.workspace_id, lead_id, name,
    )  # fmt: skip
    return found is not None


async def last_changes(tx: Tx, lead_id: UUID) -> dict[str, Mapping[str, Any]]:
    """Returns the last change of every field of a lead, and what was refused for it since."""
    rows = await tx.all(
        "SELECT DISTINCT ON (f.key) f.key AS field, f.value AS change, c.version, c.actor, c.run_id, c.at"
        " FROM lead_change c, jsonb_each(c.changes) AS f WHERE c.workspace_id = $1 AND c.lead_id = $2"
        " ORDER BY f.key, c.version DESC, c.id DESC",
        tx.workspace_id,
        lead_id,
    )
    return {row["field"]: row for row in rows}


async def refusals(tx: Tx, lead_id: UUID, limit: int = 200) -> Sequence[Any]:
    """Returns the values that were refused for a lead, the newest first."""
    return await tx.all(
        "SELECT r.value AS refused, c.at, c.connection_id FROM lead_change c, jsonb_array_elements(c.refused) AS r"
        " WHERE c.workspace_id = $1 AND c.lead_id = $2 AND c.refused <> '[]'"
        " ORDER BY c.version DESC, c.id DESC LIMIT $3",
        tx.workspace_id,
        lead_id,
        limit,
    )
