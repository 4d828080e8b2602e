"""What happened to leads: the append-only history of values, the activity log, and every write that left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.lead import Action, Lead, Refuse, SetField
from app.domain.values import JSON

#: A lead, its new version, what changed by field, and what was refused.
Row = tuple[Lead, int, Mapping[str, JSON], Sequence[JSON]]


async def record(
    tx: Tx,
    entries: Sequence[tuple[Lead, int, Sequence[Action]]],
    *,
    source: str,
    actor: str | None = None,
    run_id: UUID | None = None,
    connection_id: UUID | None = None,
) -> None:
    """Writes down what changed, and what was refused, for leads at their new version."""
    rows: list[Row] = []
    for lead, version, actions in entries:
        changes: dict[str, JSON] = {}
        refused: list[JSON] = []
        for action in actions:
            if isinstance(action, SetField):
                changes[action.field] = _change(action, changes.get(action.field))
            elif isinstance(action, Refuse):
                refused.append(
                    {"field": action.field, "value": action.value, "kept": action.kept, "reason": action.reason,
                     "link": action.link}
                )  # fmt: skip
        if changes or refused:
            rows.append((lead, version, changes, refused))
    if rows:
        await write(tx, rows, source=source, actor=actor, run_id=run_id, connection_id=connection_id)


async def write(
    tx: Tx,
    rows: Sequence[Row],
    *,
    source: str,
    actor: str | None = None,
    run_id: UUID | None = None,
    connection_id: UUID | None = None,
) -> None:
    """Adds to the history what is put into its words already: (lead, version, changes, refused)."""
    await tx.run(
        "INSERT INTO lead_change (workspace_id, source, actor, run_id, connection_id, at, xid, id, lead_id, version,"
        " changes, refused) SELECT $1, $2, $3, $4, $5, $6, pg_current_xact_id()::text::bigint, r.*"
        " FROM jsonb_to_recordset($7) AS r(id uuid, lead_id uuid, version bigint, changes jsonb, refused jsonb)",
        tx.workspace_id,
        source,
        actor,
        run_id,
        connection_id,
        tx.now,
        [
            {"id": str(new_id()), "lead_id": lead.id, "version": version, "changes": changes, "refused": refused}
            for lead, version, changes, refused in rows
        ],
    )


def _change(action: SetField, earlier: Mapping[str, JSON] | None) -> dict[str, JSON]:
    """One field's change; where a plan moved it twice, from the first old value to the last new one."""
    change: dict[str, JSON] = {
        "old": earlier["old"] if earlier else action.old,
        "new": action.value,
        "rule": action.rule,
        "source": action.origin.source.value,
        "connection": action.origin.connection,
        "at": action.origin.at,
    }
    if action.link:
        change["link"] = action.link
    if losers := [*(earlier or {}).get("losers", []), *action.losers]:
        change["losers"] = losers
    return change


async def record_end(
    tx: Tx,
    leads: Sequence[Lead],
    *,
    deleted: bool,
    source: str,
    actor: str | None = None,
    run_id: UUID | None = None,
    connection_id: UUID | None = None,
) -> None:
    """Writes down, in the history and in the activity log, that locked leads were deleted or came back."""
    changes = {"deleted": {"old": not deleted, "new": deleted, "rule": "delete" if deleted else "restore"}}
    rows: list[Row] = [(lead, lead.version + 1, changes, []) for lead in leads]
    await write(tx, rows, source=source, actor=actor, run_id=run_id, connection_id=connection_id)
    kind = "deleted" if deleted else "restored"
    await log(
        tx,
        [(UUID(lead.id), kind, tx.now, actor, {"source": source}, f"{kind}:{lead.version + 1}") for lead in leads],
    )


async def log(tx: Tx, entries: Sequence[tuple[UUID, str, Any, str | None, Mapping[str, JSON], str]]) -> None:
    """Adds activities: (lead, kind, at, actor, detail, dedupe key); one that is known already is left as it is."""
    await tx.many(
        "INSERT INTO activity (workspace_id, id, lead_id, kind, at, actor, detail, dedupe_key, created_at, xid)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, pg_current_xact_id()::text::bigint) ON CONFLICT DO NOTHING",
        [
            (tx.workspace_id, new_id(), lead_id, kind, at, actor, dict(detail), key, tx.now)
            for lead_id, kind, at, actor, detail, key in entries
        ],
    )


async def correct(tx: Tx, entries: Sequence[tuple[UUID, str, str]]) -> None:
    """Gives activities (lead, dedupe key) the kind they really have, where somebody who knew less was faster."""
    if entries:
        await tx.run(
            "UPDATE activity a SET kind = c.kind, xid = pg_current_xact_id()::text::bigint"
            " FROM unnest($2::uuid[], $3::text[], $4::text[]) AS c(lead_id, key, kind)"
            " WHERE a.workspace_id = $1 AND a.lead_id = c.lead_id AND a.dedupe_key = c.key AND a.kind <> c.kind",
            tx.workspace_id,
            *(list(column) for column in zip(*entries, strict=True)),
        )


async def attempt(
    tx: Tx, connection_id: UUID, run_id: UUID | None, rows: Sequence[tuple[UUID, UUID, UUID, str, Mapping[str, JSON]]]
) -> None:
    """Writes down writes that are about to leave: (attempt, link, lead, action, cells)."""
    await tx.many(
        "INSERT INTO write_attempt (workspace_id, id, connection_id, link_id, lead_id, run_id, action, cells, outcome,"
        " at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'sent', $9)",
        [
            (tx.workspace_id, attempt_id, connection_id, link_id, lead_id, run_id, action, dict(cells), tx.now)
            for attempt_id, link_id, lead_id, action, cells in rows
        ],
    )


async def settle_attempts(tx: Tx, ids: Sequence[UUID], outcome: str, error: str | None = None) -> None:
    """Writes down what became of writes: confirmed, uncertain, refused or not sent."""
    await tx.run(
        "UPDATE write_attempt SET outcome = $3, error = $4 WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        list(ids),
        outcome,
        error,
    )
