"""Leads: between rows and the policy's values, and the one way they are locked and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.db import history
from app.db.horizon import horizon
from app.db.session import Tx
from app.domain import notes, policy
from app.domain.identity import Identity, moved, strong
from app.domain.lead import Lead, Origin
from app.domain.policy import Source
from app.domain.values import JSON, instant
from app.errors import LeadkeeperError

#: Policy fields that are a column of their own, under their own name.
_PLAIN = tuple(name for name in policy.FIELDS if name != "notes")
_BESIDES = (
    "note_entries", "custom", "marks", "origins", "own_counts", "positive_at",
    "version", "sync_version", "deleted_at", "merged_into", "created_by",
)  # fmt: skip
_SELECT = f"SELECT id, {', '.join((*_PLAIN, *_BESIDES))} FROM lead WHERE workspace_id = $1"
_WRITTEN = (
    *_PLAIN, "notes", "note_entries", "custom", "marks", "origins", "own_counts", "positive_at",
)  # fmt: skip

#: What every change of a lead moves along; `$3` is its time.
NEXT = (
    "updated_at = $3, version = lead.version + 1, sync_version = lead.sync_version + 1,"
    " changed_xid = pg_current_xact_id()::text::bigint"
)


class IdentityTaken(LeadkeeperError):
    """Another lead of the workspace has this e-mail address or LinkedIn page."""

    def __init__(self, identity: Identity, owner: UUID | None) -> None:
        self.identity = identity
        self.owner = owner
        super().__init__(
            f"The {identity.kind} {identity.value} belongs to lead {owner}: change that one, or merge them."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A lead as it stands in the database."""

    lead: Lead
    created_by: str
    merged_into: UUID | None = None


async def lock(tx: Tx, ids: Iterable[UUID]) -> dict[UUID, Stored]:
    """Locks leads in id order, the only way a lead is locked, and returns them."""
    rows = await tx.all(f"{_SELECT} AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE", tx.workspace_id, sorted(set(ids)))
    return {row["id"]: _stored(row) for row in rows}


async def get(tx: Tx, lead_id: UUID) -> Stored | None:
    """Returns a lead without locking it."""
    row = await tx.one(f"{_SELECT} AND id = $2", tx.workspace_id, lead_id)
    return None if row is None else _stored(row)


async def owners(tx: Tx, identities: Iterable[Identity]) -> dict[Identity, str]:
    """Returns which lead each of these identities belongs to."""
    wanted = sorted(set(identities))
    if not wanted:
        return {}
    rows = await tx.all(
        "SELECT i.kind, i.value, i.lead_id FROM unnest($2::text[], $3::text[]) AS w(kind, value)"
        " JOIN lead_identity i ON i.workspace_id = $1 AND i.kind = w.kind AND i.value = w.value",
        tx.workspace_id,
        [i.kind for i in wanted],
        [i.value for i in wanted],
    )
    return {Identity(row["kind"], row["value"]): str(row["lead_id"]) for row in rows}


async def existing(tx: Tx, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Returns, for those of the ids that are leads, which lead each of them is by now: the one it was merged into."""
    rows = await tx.all(
        "WITH RECURSIVE f AS (SELECT l.id AS named, l.id, l.merged_into FROM lead l"
        " WHERE l.workspace_id = $1 AND l.id = ANY($2) UNION ALL SELECT f.named, l.id, l.merged_into FROM f"
        " JOIN lead l ON l.workspace_id = $1 AND l.id = f.merged_into)"
        " SELECT named, id FROM f WHERE merged_into IS NULL",
        tx.workspace_id,
        list(ids),
    )
    return {row["named"]: row["id"] for row in rows}


async def changed_by_this(tx: Tx) -> list[UUID]:
    """Returns the leads that this very transaction changed."""
    rows = await tx.all(
        "SELECT id FROM lead WHERE workspace_id = $1 AND changed_xid = pg_current_xact_id()::text::bigint ORDER BY id",
        tx.workspace_id,
    )
    return [row["id"] for row in rows]


async def count(tx: Tx) -> int:
    """Returns how many leads the workspace has."""
    return int(
        await tx.value("SELECT count(*) FROM lead WHERE workspace_id = $1 AND deleted_at IS NULL", tx.workspace_id)
    )


async def sum_versions(tx: Tx) -> int:
    """Returns the sum of all versions: it moves with every change of any lead."""
    return int(await tx.value("SELECT coalesce(sum(version), 0) FROM lead WHERE workspace_id = $1", tx.workspace_id))


async def insert(tx: Tx, leads: Sequence[tuple[Lead, str]]) -> None:
    """Adds leads, each with the source that created it; their identities come with `claim_identities`."""
    if not leads:
        return
    rows = [
        _row(lead)
        | {
            "workspace_id": str(tx.workspace_id),
            "created_by": created_by,
            "version": 1,
            "sync_version": 1,
            "created_at": instant(tx.now),
            "updated_at": instant(tx.now),
        }
        for lead, created_by in leads
    ]
    columns = ", ".join(
        ("workspace_id", "id", *_WRITTEN, "created_by", "version", "sync_version", "created_at", "updated_at")
    )
    await tx.run(
        f"INSERT INTO lead ({columns}, changed_xid)"
        f" SELECT {columns}, pg_current_xact_id()::text::bigint FROM jsonb_populate_recordset(NULL::lead, $1)",
        rows,
    )


async def save(tx: Tx, moves: Sequence[tuple[Lead, Lead]]) -> None:
    """Writes leads (locked by this transaction) that changed from the first to the second; each gets a new version.

    Written are the columns that one of them changed.
    """
    if not moves:
        return
    changed = set().union(*(_changed(before, after) for before, after in moves))
    columns = [name for name in _WRITTEN if name in changed]
    await tx.run(
        # each lead looks its own row up, as in `links.save`
        f"UPDATE lead SET ({', '.join(columns)}) = (SELECT {', '.join(f'r.{name}' for name in columns)}"
        f" FROM jsonb_populate_record(NULL::lead, $1::jsonb -> lead.id::text) AS r), {NEXT}"
        " WHERE workspace_id = $2 AND id = ANY($4)",
        {lead.id: _row(lead, columns) for _, lead in moves},
        tx.workspace_id,
        tx.now,
        [UUID(lead.id) for _, lead in moves],
    )


async def tombstone(
    tx: Tx,
    ended: Sequence[Lead],
    *,
    source: str,
    actor: str | None = None,
    run_id: UUID | None = None,
    connection_id: UUID | None = None,
) -> None:
    """Marks locked leads as deleted: their identities are free again, their history stays."""
    if not ended:
        return
    ids = [UUID(lead.id) for lead in ended]
    await tx.run(
        f"UPDATE lead SET deleted_at = $3, {NEXT} WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        ids,
        tx.now,
    )
    for table in ("lead_identity", "lead_block"):
        await tx.run(f"DELETE FROM {table} WHERE workspace_id = $1 AND lead_id = ANY($2)", tx.workspace_id, ids)
    await history.record_end(
        tx, ended, deleted=True, source=source, actor=actor, run_id=run_id, connection_id=connection_id
    )


async def revive(tx: Tx, lead: Lead, *, source: str, actor: str) -> None:
    """Takes a locked tombstone back; raises `IdentityTaken` where another lead has one of its identities by now."""
    await _take(tx, dict.fromkeys(strong(lead.values), lead.id))
    await tx.run(
        f"UPDATE lead SET deleted_at = NULL, {NEXT} WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id,
        UUID(lead.id),
        tx.now,
    )
    await history.record_end(tx, [lead], deleted=False, source=source, actor=actor)


async def claim_identities(tx: Tx, moves: Sequence[tuple[Lead | None, Lead]]) -> None:
    """Gives up the identities leads no longer have and takes the new ones, in one order for everybody.

    Raises:
        IdentityTaken: another lead has one of them.
    """
    gone: list[tuple[Identity, str]] = []
    wanted: dict[Identity, str] = {}
    for before, after in moves:
        if before is not None and before.deleted == after.deleted and not moved(before.values, after.values):
            continue
        had = set(strong(before.values)) if before is not None and not before.deleted else set()
        has = set() if after.deleted else set(strong(after.values))
        gone += [(identity, after.id) for identity in had - has]
        wanted |= dict.fromkeys(has - had, after.id)
    if gone:
        await tx.run(
            "DELETE FROM lead_identity i USING unnest($2::text[], $3::text[], $4::uuid[]) AS g(kind, value, lead_id)"
            " WHERE i.workspace_id = $1 AND i.kind = g.kind AND i.value = g.value AND i.lead_id = g.lead_id",
            tx.workspace_id,
            [i.kind for i, _ in gone],
            [i.value for i, _ in gone],
            [UUID(lead_id) for _, lead_id in gone],
        )
        await _keep_aliases(tx, [(i.value, lead_id) for i, lead_id in gone if i.kind == "email"])
    await _take(tx, wanted)


async def assign(tx: Tx, wanted: Mapping[Identity, str]) -> None:
    """Gives identities to locked leads, whichever of these leads had them."""
    order = sorted(wanted)
    args = ([i.kind for i in order], [i.value for i in order], [UUID(wanted[i]) for i in order])
    await tx.run(
        "UPDATE lead_identity i SET lead_id = w.lead_id"
        " FROM unnest($2::text[], $3::text[], $4::uuid[]) AS w(kind, value, lead_id)"
        " WHERE i.workspace_id = $1 AND i.kind = w.kind AND i.value = w.value AND i.lead_id = ANY($4)",
        tx.workspace_id,
        *args,
    )
    await _take(tx, wanted)


async def _take(tx: Tx, wanted: Mapping[Identity, str]) -> None:
    if not wanted:
        return
    order = sorted(wanted)
    rows = await tx.all(
        "INSERT INTO lead_identity (workspace_id, kind, value, lead_id)"
        " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::uuid[]) ON CONFLICT DO NOTHING RETURNING kind, value",
        tx.workspace_id,
        [i.kind for i in order],
        [i.value for i in order],
        [UUID(wanted[i]) for i in order],
    )
    if len(rows) == len(order):
        return
    taken = {Identity(row["kind"], row["value"]) for row in rows}
    lost = [i for i in order if i not in taken]
    held = await owners(tx, lost)
    for identity in lost:
        # a lead that another one was merged into has that one's identities already
        if (owner := held.get(identity)) != wanted[identity]:
            raise IdentityTaken(identity, UUID(owner) if owner else None)


async def _keep_aliases(tx: Tx, former: Sequence[tuple[str, str]]) -> None:
    await tx.many(
        "INSERT INTO lead_alias (workspace_id, lead_id, email, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        [(tx.workspace_id, UUID(lead_id), email, tx.now) for email, lead_id in former],
    )


async def changed_since(
    tx: Tx, connection_id: UUID, xid: int, after: UUID | None, limit: int, *, creates: bool
) -> tuple[list[UUID], int, bool]:
    """Returns leads changed by transactions from `xid` on that a connection has not learnt of, oldest first.

    Those are leads whose link was reconciled with an older version, and with `creates` leads without a link there.

    Neither ids nor sequences follow the order of commits; this reads only below the oldest transaction still running,
    so a change that commits late is not passed over. Returns the ids, the transaction to go on from, and whether this
    is all there is.
    """
    below = await horizon(tx)
    rows = await tx.all(
        "SELECT l.id, l.changed_xid FROM lead l WHERE l.workspace_id = $1 AND (l.changed_xid, l.id) > ($2, $3)"
        " AND l.changed_xid < $4 AND (EXISTS (SELECT FROM link k WHERE k.workspace_id = $1 AND k.lead_id = l.id"
        " AND k.connection_id = $6 AND k.writing AND k.reconciled_version < l.sync_version)"
        " OR ($7 AND l.deleted_at IS NULL AND NOT EXISTS (SELECT FROM link k WHERE k.workspace_id = $1"
        " AND k.lead_id = l.id AND k.connection_id = $6 AND k.gone_at IS NULL)))"
        " ORDER BY l.changed_xid, l.id LIMIT $5",
        tx.workspace_id,
        xid if after is not None else xid - 1,
        after if after is not None else UUID(int=2**128 - 1),
        below,
        limit,
        connection_id,
        creates,
    )
    if len(rows) < limit:
        return [row["id"] for row in rows], below, True
    return [row["id"] for row in rows], int(rows[-1]["changed_xid"]), False


def _stored(row: Any) -> Stored:
    marks = row["marks"]
    # the columns are read in the order in which they are listed
    values: dict[str, JSON] = dict(zip(_PLAIN, row[1 : len(_PLAIN) + 1], strict=True))
    for name, read in _CONVERTED.items():
        if values[name] is not None:
            values[name] = read(values[name])
    values["notes"] = row["note_entries"] or None
    for key, value in row["custom"].items():
        values[f"custom.{key}"] = value
    lead = Lead(
        id=str(row["id"]),
        values=values,
        cleared=frozenset(marks.get("cleared", ())),
        untouched=frozenset(marks.get("untouched", ())),
        derived=frozenset(marks.get("derived", ())),
        origins={name: Origin(_SOURCES[source], via, at) for name, (source, via, at) in row["origins"].items()},
        positive_at=row["positive_at"] and instant(row["positive_at"]),
        own_counts=row["own_counts"],
        version=row["version"],
        sync_version=row["sync_version"],
        deleted=row["deleted_at"] is not None,
    )
    return Stored(lead=lead, created_by=row["created_by"], merged_into=row["merged_into"])


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


_SOURCES = {source.value: source for source in Source}
_READERS: dict[policy.Kind, Callable[[Any], JSON]] = {
    "instant": instant,
    "date": date.isoformat,
    "number": _number,
    "set": lambda value: value or None,
    "object": lambda value: value or None,
}
#: Columns whose values Postgres gives in another form than the policy's, and how they are read.
_CONVERTED = {name: _READERS[kind] for name in _PLAIN if (kind := policy.FIELDS[name].kind) in _READERS}


def _marks(lead: Lead) -> JSON:
    marks = {"cleared": lead.cleared, "untouched": lead.untouched, "derived": lead.derived}
    return {name: sorted(fields) for name, fields in marks.items() if fields}


#: Columns that are more than a value of the lead; times and ids are text, which Postgres reads.
_COMPOSED: dict[str, Callable[[Lead], JSON]] = {
    "metadata": lambda lead: lead.values.get("metadata") or {},
    "notes": lambda lead: notes.render(lead.values.get("notes")),
    "note_entries": lambda lead: lead.values.get("notes") or [],
    "custom": lambda lead: {name[7:]: value for name, value in lead.values.items() if name.startswith("custom.")},
    "marks": _marks,
    "origins": lambda lead: {name: list(origin) for name, origin in lead.origins.items()},
    "own_counts": lambda lead: lead.own_counts,
    "positive_at": lambda lead: lead.positive_at,
}


def _row(lead: Lead, columns: Sequence[str] = _WRITTEN) -> dict[str, JSON]:
    """Returns a lead as some columns of its row, and its id."""
    row: dict[str, JSON] = {"id": lead.id}
    for name in columns:
        compose = _COMPOSED.get(name)
        row[name] = lead.values.get(name) if compose is None else compose(lead)
    return row


def _changed(before: Lead, after: Lead) -> set[str]:
    """Returns the columns in which two states of a lead differ."""
    # a copy shares every value that was not set
    fields = {name for name, value in after.values.items() if value is not before.values.get(name)}
    fields |= before.values.keys() - after.values.keys()
    columns = {"custom" if name.startswith("custom.") else name for name in fields}
    columns |= {"note_entries"} if "notes" in fields else set()
    columns |= {"own_counts"} if before.own_counts != after.own_counts else set()
    columns |= {"positive_at"} if before.positive_at != after.positive_at else set()
    return columns | {"marks", "origins"}
