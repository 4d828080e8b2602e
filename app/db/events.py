"""What happened in a workspace, in an order that does not change: by transaction, then by id.

Neither ids nor sequences follow the order of commits. Only what is below the horizon is read, where nothing can be
added any more: a position in this order therefore means the same to every instance, now and later. Of a run or a review
item that changed several times the last change is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args
from uuid import UUID

from app.db.horizon import horizon
from app.db.session import Tx

Kind = Literal["lead", "activity", "run", "review"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: A transaction, and the last row of it that was read.
Position = tuple[int, UUID]
_LAST: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that changed."""

    position: Position
    kind: Kind
    #: the lead, the run or the item
    about: UUID
    #: the run a run is a part of
    parent: UUID | None
    #: JSON
    data: str


#: What is not known yet of a run's progress is said to be null.
_PROGRESS: Final = ", ".join(f"'{name}', progress -> '{name}'" for name in ("done", "total", "rate", "eta"))


def _at(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def _source(
    kind: Kind, table: str, about: str, shown: Sequence[str], *more: str, parent: str = "NULL::uuid", only: str = "true"
) -> str:
    pairs = ", ".join([*(f"'{name}', {name}" for name in shown), *more])
    return (
        f"(SELECT '{kind}' AS kind, xid, id, {about} AS about, {parent} AS parent,"
        f" jsonb_build_object({pairs})::text AS data FROM {table}"
        f" WHERE workspace_id = $1 AND (xid, id) > ($2, $3) AND (xid, id) <= ($4, $5) AND {only}"
        " ORDER BY xid, id LIMIT $6)"
    )


_READ: Final = " UNION ALL ".join((
    _source(
        "lead", "lead_change", "lead_id", ("lead_id", "version", "source", "actor", "run_id", "connection_id"),
        "'fields', (SELECT jsonb_agg(key ORDER BY key) FROM jsonb_object_keys(changes) AS key)",
        "'deleted', changes -> 'deleted' -> 'new'", "'erased', false", f"'at', {_at('at')}", only="changes <> '{}'",
    ),
    # what else was said of an erased lead is gone
    _source(
        "lead", "audit", "(detail ->> 'lead_id')::uuid", ("actor",), "'lead_id', detail ->> 'lead_id'",
        "'version', NULL, 'source', 'user', 'run_id', NULL, 'connection_id', NULL",
        "'fields', '[]'::jsonb, 'deleted', true, 'erased', true", f"'at', {_at('at')}", only="action = 'lead.erased'",
    ),
    _source(
        # what a provider says of a failure is not for everybody who listens
        "activity", "activity", "lead_id", ("id", "lead_id", "kind", "actor"), "'detail', detail - 'error'",
        f"'at', {_at('at')}",
    ),
    _source(
        "run", "sync_run", "id",
        ("id", "connection_id", "parent_id", "kind", "trigger", "state", "stage", "counters", "error",
         "requested_by"),
        f"'progress', jsonb_build_object({_PROGRESS})",
        *(f"'{name}', {_at(name)}" for name in ("created_at", "started_at", "finished_at")), parent="parent_id",
    ),
    _source(
        "review", "review_item", "id",
        ("id", "kind", "state", "connection_id", "link_id", "lead_id", "field", "version", "decided_by"),
        f"'at', {_at('updated_at')}",
    ),
)) + " ORDER BY xid, id LIMIT $6"  # fmt: skip


async def end(tx: Tx) -> Position:
    """Returns the last position there is: everything up to it can be read, and nothing will be added below it."""
    return await horizon(tx) - 1, _LAST


async def read(tx: Tx, after: Position, upto: Position, limit: int) -> list[Event]:
    """Returns the first events after one position, up to another one that is not above the end."""
    return [
        Event((row["xid"], row["id"]), row["kind"], row["about"], row["parent"], row["data"])
        for row in await tx.all(_READ, tx.workspace_id, *after, *upto, limit)
    ]
