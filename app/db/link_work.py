"""The work of links: which of them wait for what, what puts them off, and how they begin and end.

Nothing here reads or decides a value: that is `links`, and the policy. These are the marks by which the stages find
their work, and the steps of a link's life: planned, named, set aside, gone, ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.db.links import Observation
from app.db.session import Tx

#: A link, and the lead it was tied to when it was found to have work.
Work = tuple[UUID, UUID | None]

#: A link whose record has yet to be created is known by its lead until the provider names it.
NEW = "new:"
#: How long a record waits to be created whose address another lead's record shows.
TAKEN_MINUTES = 10


async def dirty(tx: Tx, connection_id: UUID, limit: int) -> list[Work]:
    """Returns links that wait to be reconciled, the oldest remote records first."""
    rows = await tx.all(
        "SELECT id, lead_id FROM link WHERE workspace_id = $1 AND connection_id = $2 AND dirty"
        " ORDER BY remote_created_at, remote_key LIMIT $3",
        tx.workspace_id,
        connection_id,
        limit,
    )
    return [(row["id"], row["lead_id"]) for row in rows]


async def whose(tx: Tx, link_ids: Iterable[UUID]) -> list[Work]:
    """Returns links with the leads they belong to by now."""
    rows = await tx.all(
        "SELECT id, lead_id FROM link WHERE workspace_id = $1 AND id = ANY($2)", tx.workspace_id, list(link_ids)
    )
    return [(row["id"], row["lead_id"]) for row in rows]


async def push_due(tx: Tx, connection_id: UUID, limit: int) -> list[Work]:
    """Returns links with something to write, or to look at again, whose time has come."""
    rows = await tx.all(
        "SELECT id, lead_id FROM link WHERE workspace_id = $1 AND connection_id = $2 AND push_due"
        " AND lead_id IS NOT NULL AND remote_id IS NOT NULL AND (next_attempt_at IS NULL OR next_attempt_at <= $4)"
        " ORDER BY id LIMIT $3",
        tx.workspace_id,
        connection_id,
        limit,
        tx.now,
    )
    return [(row["id"], row["lead_id"]) for row in rows]


async def new_due(tx: Tx, connection_id: UUID, limit: int) -> list[Work]:
    """Returns links whose records are to be created now."""
    rows = await tx.all(
        "SELECT id, lead_id FROM link WHERE workspace_id = $1 AND connection_id = $2 AND push_due AND remote_id IS NULL"
        " AND lead_id IS NOT NULL AND (next_attempt_at IS NULL OR next_attempt_at <= $4) ORDER BY id LIMIT $3",
        tx.workspace_id,
        connection_id,
        limit,
        tx.now,
    )
    return [(row["id"], row["lead_id"]) for row in rows]


async def clears_waiting(tx: Tx, connection_id: UUID, known: Iterable[str]) -> dict[str, int]:
    """Returns, by field, on how many records a value has become empty and was not judged yet.

    Only records that changed are looked at (they have an index), except for fields `known` to wait.
    """
    cleared = (
        "SELECT b.key, count(*) AS n FROM link k, jsonb_each(k.base_remote) AS b"
        " WHERE k.workspace_id = $1 AND k.connection_id = $2 AND k.writing AND k.observed ? b.key"
        " AND b.value NOT IN ('null', '[]', '\"\"', 'false') AND k.observed -> b.key IN ('null', '[]', '\"\"')"
    )
    grouped = " GROUP BY b.key ORDER BY b.key"
    rows = await tx.all(f"{cleared} AND k.dirty{grouped}", tx.workspace_id, connection_id)
    if names := list(known):
        everywhere = f"{cleared} AND b.key = ANY($3){grouped}"
        rows = [r for r in rows if r["key"] not in names] + await tx.all(
            everywhere, tx.workspace_id, connection_id, names
        )
    return {row["key"]: row["n"] for row in rows}


async def planned_changes(tx: Tx, connection_id: UUID) -> list[Any]:
    """Returns what this transaction changed of leads, for a preview."""
    return await tx.all(
        "SELECT lead_id, changes FROM lead_change WHERE workspace_id = $1 AND connection_id = $2"
        " AND xid = pg_current_xact_id()::text::bigint ORDER BY id",
        tx.workspace_id,
        connection_id,
    )


async def planned_writes(tx: Tx) -> list[Any]:
    """Returns the links of all connections that have something to write, for a preview."""
    return await tx.all(
        "SELECT lead_id, remote_id, cells, observed FROM link WHERE workspace_id = $1 AND push_due ORDER BY id",
        tx.workspace_id,
    )


async def clean(tx: Tx, link_ids: Sequence[UUID]) -> None:
    """Marks links as reconciled that have nothing to say."""
    if link_ids:
        await tx.run(
            "UPDATE link SET dirty = false WHERE workspace_id = $1 AND id = ANY($2) AND dirty",
            tx.workspace_id,
            link_ids,
        )


async def park(tx: Tx, link_ids: Iterable[UUID], error: str) -> None:
    """Sets links aside with a reason; the next observation of them brings them back."""
    await tx.run(
        "UPDATE link SET dirty = false, push_due = false, error = $3 WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        list(link_ids),
        error,
    )


async def touch(tx: Tx, link_ids: Sequence[UUID]) -> None:
    """Asks for links to be reconciled again: a decision, an approval or a mapping concerns them."""
    await tx.run(
        "UPDATE link SET dirty = true, reconciled_version = -1 WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        list(link_ids),
    )


async def touch_all(tx: Tx, connection_id: UUID) -> None:
    """Asks for all links of a connection to be reconciled again."""
    await tx.run(
        "UPDATE link SET dirty = true, reconciled_version = -1 WHERE workspace_id = $1 AND connection_id = $2"
        " AND gone_at IS NULL AND ended_at IS NULL",
        tx.workspace_id,
        connection_id,
    )


async def touch_leads(tx: Tx, lead_ids: Iterable[UUID], connection_ids: Iterable[UUID]) -> None:
    """Asks for some leads to be reconciled again with some connections."""
    await tx.run(
        "UPDATE link SET dirty = true, reconciled_version = -1 WHERE workspace_id = $1 AND lead_id = ANY($2)"
        " AND connection_id = ANY($3) AND gone_at IS NULL AND ended_at IS NULL",
        tx.workspace_id,
        list(lead_ids),
        list(connection_ids),
    )


async def looked_at(tx: Tx, link_ids: Iterable[UUID], at: datetime) -> None:
    """Notes that records were read again, also where they show what they showed before."""
    await tx.run(
        "UPDATE link SET observed_at = $3, reread = false, dirty = true WHERE workspace_id = $1 AND id = ANY($2)"
        " AND (observed_at IS NULL OR observed_at <= $3)",
        tx.workspace_id,
        list(link_ids),
        at,
    )


async def delay(tx: Tx, link_ids: Iterable[UUID], *, until: datetime | None, failed: bool, error: str | None) -> None:
    """Puts off the next write of links; a failure counts as an attempt."""
    await tx.run(
        "UPDATE link SET next_attempt_at = $3, attempts = attempts + $4, error = $5"
        " WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        list(link_ids),
        until,
        int(failed),
        error,
    )


async def put_off(tx: Tx, connection_id: UUID, until: datetime) -> None:
    """Lets everything a connection has to write wait at least this long."""
    await tx.run(
        "UPDATE link SET next_attempt_at = $3 WHERE workspace_id = $1 AND connection_id = $2 AND push_due"
        " AND (next_attempt_at IS NULL OR next_attempt_at < $3)",
        tx.workspace_id,
        connection_id,
        until,
    )


async def hurry(tx: Tx, connection_id: UUID, lead_ids: Sequence[UUID]) -> None:
    """Lets links of leads that were just edited be written at once, also where an earlier write of theirs waits."""
    if not lead_ids:
        return
    await tx.run(
        "UPDATE link SET next_attempt_at = NULL, attempts = 0 WHERE workspace_id = $1 AND connection_id = $2"
        " AND lead_id = ANY($3) AND push_due AND next_attempt_at IS NOT NULL AND remote_id IS NOT NULL"
        " AND NOT jsonb_path_exists(cells, '$.*.sent')",
        tx.workspace_id,
        connection_id,
        list(lead_ids),
    )


async def add_new(tx: Tx, connection_id: UUID, links: Sequence[tuple[UUID, UUID]], mapping_version: int) -> None:
    """Adds links (id, lead) whose records are to be created there."""
    await tx.many(
        "INSERT INTO link (workspace_id, connection_id, id, lead_id, remote_key, dirty, push_due, created_at,"
        " observed_version, mapping_version) VALUES ($1, $2, $3, $4, $5, false, true, $6, $7, $7)"
        " ON CONFLICT (workspace_id, connection_id, remote_key) DO NOTHING",
        [
            (tx.workspace_id, connection_id, link_id, lead_id, f"{NEW}{lead_id}", tx.now, mapping_version)
            for link_id, lead_id in links
        ],
    )


async def remove(tx: Tx, link_ids: Iterable[UUID]) -> None:
    """Removes links that were only a plan to create a record."""
    await tx.run("DELETE FROM link WHERE workspace_id = $1 AND id = ANY($2)", tx.workspace_id, list(link_ids))


async def name(tx: Tx, link_id: UUID, seen: Observation) -> None:
    """Gives a link whose record was just created the record's own key."""
    await tx.run(
        "UPDATE link SET remote_key = $3, remote_id = $4, remote_created_at = $5, observed = '{}'"
        " WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id, link_id, seen.key, seen.remote_id, _time(seen.created_at),
    )  # fmt: skip


async def adopt(tx: Tx, connection_id: UUID, pairs: Sequence[tuple[UUID, Observation]]) -> None:
    """Ties planned links to records that exist; where such a record has a link of its own, that one takes the lead.

    A record of another lead is nobody else's: the plan waits until that record shows somebody else, as it does once
    two leads that were one have been told apart there.
    """
    for link_id, seen in pairs:
        taken = await tx.value(
            "SELECT id FROM link WHERE workspace_id = $1 AND connection_id = $2 AND remote_key = $3",
            tx.workspace_id, connection_id, seen.key,
        )  # fmt: skip
        if taken is None:
            await name(tx, link_id, seen)
            continue
        if await tx.run(
            "UPDATE link n SET next_attempt_at = $4, error = $5 FROM link k WHERE n.workspace_id = $1 AND n.id = $3"
            " AND k.workspace_id = $1 AND k.id = $2 AND k.lead_id <> n.lead_id",
            tx.workspace_id, taken, link_id, tx.now + timedelta(minutes=TAKEN_MINUTES),
            "The record there that shows this lead's e-mail address belongs to another lead: a new one waits.",
        ):  # fmt: skip
            continue
        await tx.run(
            "UPDATE link k SET lead_id = coalesce(k.lead_id, n.lead_id), dirty = true FROM link n"
            " WHERE k.workspace_id = $1 AND k.id = $2 AND n.workspace_id = $1 AND n.id = $3",
            tx.workspace_id, taken, link_id,
        )  # fmt: skip
        await remove(tx, [link_id])


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


async def mark_gone(tx: Tx, link_ids: Sequence[UUID], *, speaks_again: bool) -> None:
    """Ends links whose records are no longer there; a record that comes back has its say again, or none."""
    await tx.run(
        "UPDATE link SET gone_at = $3, writing = writing AND $4, dirty = false, push_due = false"
        " WHERE workspace_id = $1 AND id = ANY($2)",
        tx.workspace_id,
        list(link_ids),
        tx.now,
        speaks_again,
    )


async def others(tx: Tx, connection_id: UUID, lead_ids: Sequence[UUID]) -> list[Any]:
    """Returns the records of a connection that leads have left: of each lead the one that speaks, then the oldest."""
    return await tx.all(
        "SELECT id, lead_id FROM link WHERE workspace_id = $1 AND connection_id = $2 AND lead_id = ANY($3)"
        " AND gone_at IS NULL AND ended_at IS NULL ORDER BY lead_id, writing DESC, remote_created_at, remote_key",
        tx.workspace_id,
        connection_id,
        list(lead_ids),
    )


async def inherit(tx: Tx, link_ids: Sequence[UUID]) -> list[UUID]:
    """Gives records a say whose predecessor is gone, and returns them; they begin with a first contact."""
    rows = await tx.all(
        "UPDATE link SET writing = true, dirty = true, base_remote = '{}', base_local = '{}', cells = '{}'"
        " WHERE workspace_id = $1 AND id = ANY($2) AND NOT writing RETURNING id",
        tx.workspace_id,
        list(link_ids),
    )
    return [row["id"] for row in rows]


async def end_of_lead(tx: Tx, lead_ids: Sequence[UUID]) -> None:
    """Ends the links of leads that are no more; the records are left alone, a planned one is dropped.

    A create that may have happened keeps its link: its record would be taken for a new person's otherwise.
    """
    await tx.run(
        "DELETE FROM link WHERE workspace_id = $1 AND lead_id = ANY($2) AND remote_id IS NULL AND attempts = 0",
        tx.workspace_id,
        list(lead_ids),
    )
    await tx.run(
        "UPDATE link SET ended_at = $3, dirty = false, push_due = false WHERE workspace_id = $1 AND lead_id = ANY($2)",
        tx.workspace_id,
        list(lead_ids),
        tx.now,
    )


async def end_of_connection(tx: Tx, connection_id: UUID) -> None:
    """Ends the links of a connection that is no more; they stay as they were seen last."""
    await tx.run(
        "UPDATE link SET ended_at = $3, dirty = false, push_due = false WHERE workspace_id = $1 AND connection_id = $2",
        tx.workspace_id,
        connection_id,
        tx.now,
    )


async def return_of_lead(tx: Tx, lead_id: UUID) -> None:
    """Lets the links of a restored lead begin again with a first contact; records that are gone stay gone."""
    await tx.run(
        "UPDATE link SET ended_at = NULL, dirty = true, base_remote = '{}', base_local = '{}', cells = '{}',"
        " reconciled_version = -1 WHERE workspace_id = $1 AND lead_id = $2 AND gone_at IS NULL",
        tx.workspace_id,
        lead_id,
    )
