"""Merges of leads: what moves from one lead to the other, and what it takes to move it back.

Both leads are locked by the caller. History rows are never moved: they say what happened to the lead they belong to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db import history
from app.db.ids import new_id
from app.db.leads import NEXT
from app.db.session import Tx
from app.domain.lead import Lead, Origin
from app.domain.policy import Source
from app.domain.values import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge that was not undone."""

    id: UUID
    survivor_id: UUID
    loser_id: UUID
    survivor_before: Lead
    survivor_after: Lead
    loser_before: Lead
    moved: dict[str, Any]
    at: datetime


async def move(
    tx: Tx, loser: UUID, survivor: UUID, *, stopping: Collection[UUID], emails: Sequence[JSON]
) -> dict[str, JSON]:
    """Gives everything of one lead to another; returns what moved.

    Links among `stopping`, of either lead, have no say any more; `emails`, the addresses of both leads, stay known.
    """
    both = (tx.workspace_id, loser, survivor)
    # in the order in which a page of a listing is stored, which locks no lead
    links = await tx.all(
        "SELECT id, lead_id, writing FROM link WHERE workspace_id = $1 AND (lead_id = $2 OR id = ANY($3))"
        " ORDER BY connection_id, remote_key FOR NO KEY UPDATE",
        *both[:2],
        list(stopping),
    )
    await tx.run(
        # whether a record was made that has no say is yet to be seen
        "UPDATE link SET lead_id = $3, writing = writing AND id <> ALL($4), dirty = dirty OR (writing AND"
        " id <> ALL($4) AND gone_at IS NULL AND ended_at IS NULL), push_due = push_due AND (id <> ALL($4)"
        " OR remote_id IS NULL), reconciled_version = -1"
        " WHERE workspace_id = $1 AND (lead_id = $2 OR id = ANY($4))",
        *both, list(stopping),
    )  # fmt: skip
    await tx.run(
        "UPDATE review_item SET lead_id = $3 WHERE workspace_id = $1 AND lead_id = $2 AND link_id IS NOT NULL", *both
    )
    identities = await tx.all(
        "UPDATE lead_identity SET lead_id = $3 WHERE workspace_id = $1 AND lead_id = $2 RETURNING kind, value", *both
    )
    aliases = await tx.all(
        "DELETE FROM lead_alias WHERE workspace_id = $1 AND lead_id = $2 RETURNING email, created_at", *both[:2]
    )
    added = await tx.all(
        "INSERT INTO lead_alias (workspace_id, lead_id, email, created_at)"
        " SELECT DISTINCT l.workspace_id, l.id, e.email, $3::timestamptz FROM lead l, unnest($4::text[]) AS e(email)"
        " WHERE l.workspace_id = $1 AND l.id = $2 AND e.email IS NOT NULL AND e.email IS DISTINCT FROM l.email"
        " ON CONFLICT DO NOTHING RETURNING email",
        tx.workspace_id, survivor, tx.now, [*(row["email"] for row in aliases), *emails],
    )  # fmt: skip
    activities = await tx.all(
        # what happened to both at one version has one key; what a provider told keeps its own, as it may tell it again
        "UPDATE activity a SET lead_id = $3, dedupe_key = CASE WHEN a.dedupe_key ~ '^(event|mail):' AND NOT EXISTS"
        " (SELECT FROM activity s WHERE s.workspace_id = $1 AND s.lead_id = $3 AND s.dedupe_key = a.dedupe_key)"
        " THEN a.dedupe_key ELSE $2::text || ' ' || a.dedupe_key END"
        " WHERE a.workspace_id = $1 AND a.lead_id = $2 RETURNING a.id",
        *both,
    )
    return {
        "links": {str(row["id"]): row["writing"] for row in links if row["lead_id"] == loser},
        "identities": sorted([row["kind"], row["value"]] for row in identities),
        "aliases": sorted([row["email"], row["created_at"].isoformat()] for row in aliases),
        "aliases_added": sorted(row["email"] for row in added),
        "activities": sorted(str(row["id"]) for row in activities),
    }


async def move_back(tx: Tx, merge: Merge, bases: Mapping[UUID, JSON]) -> list[UUID]:
    """Gives back what moved; of the survivor's links those in `bases`, each with the base it had (None: as it is).

    Returns the links that speak again because their lead is left without another one.
    """
    both = (tx.workspace_id, merge.survivor_id, merge.loser_id)
    link_ids = list(bases)
    speaking = [UUID(link_id) for link_id, writing in merge.moved["links"].items() if writing]
    await tx.run(
        "UPDATE link SET lead_id = $3, writing = writing OR (id = ANY($5) AND gone_at IS NULL),"
        " base_remote = coalesce($6::jsonb -> id::text, base_remote),"
        " dirty = gone_at IS NULL AND ended_at IS NULL, reconciled_version = -1"
        " WHERE workspace_id = $1 AND lead_id = $2 AND id = ANY($4)",
        *both, link_ids, speaking, {str(link_id): base for link_id, base in bases.items() if base is not None},
    )  # fmt: skip
    again = await tx.all(
        "UPDATE link k SET writing = true, dirty = true FROM (SELECT DISTINCT ON (connection_id, lead_id) id FROM link"
        " WHERE workspace_id = $1 AND lead_id = ANY($2) AND gone_at IS NULL AND ended_at IS NULL"
        " ORDER BY connection_id, lead_id, writing DESC, remote_created_at, remote_key) o"
        " WHERE k.workspace_id = $1 AND k.id = o.id AND NOT k.writing RETURNING k.id",
        tx.workspace_id, [merge.survivor_id, merge.loser_id],
    )  # fmt: skip
    await tx.run(
        "UPDATE review_item SET lead_id = $3 WHERE workspace_id = $1 AND lead_id = $2 AND link_id = ANY($4)",
        *both, link_ids,
    )  # fmt: skip
    kinds, values = [i[0] for i in merge.moved["identities"]], [i[1] for i in merge.moved["identities"]]
    # what has come since under an address that only the other lead has is that lead's
    addresses = {*values, merge.loser_before.values.get("email")} - {merge.survivor_before.values.get("email")}
    await tx.run(
        "UPDATE lead_identity i SET lead_id = $3 FROM unnest($4::text[], $5::text[]) AS m(kind, value)"
        " WHERE i.workspace_id = $1 AND i.lead_id = $2 AND i.kind = m.kind AND i.value = m.value",
        *both, kinds, values,
    )  # fmt: skip
    await tx.run(
        "DELETE FROM lead_alias WHERE workspace_id = $1 AND lead_id = $2 AND (email = ANY($3)"
        " OR (email = ANY($4) AND created_at > $5))",
        *both[:2], merge.moved["aliases_added"], list(addresses), merge.at,
    )  # fmt: skip
    await tx.run(
        "INSERT INTO lead_alias (workspace_id, lead_id, email, created_at)"
        " SELECT $1, $2, * FROM unnest($3::text[], $4::text[]::timestamptz[]) ON CONFLICT DO NOTHING",
        tx.workspace_id,
        merge.loser_id,
        [email for email, _ in merge.moved["aliases"]],
        [at for _, at in merge.moved["aliases"]],
    )
    await tx.run(
        "UPDATE activity SET lead_id = $3, dedupe_key ="
        " CASE WHEN starts_with(dedupe_key, $5) THEN substr(dedupe_key, 38) ELSE dedupe_key END"
        " WHERE workspace_id = $1 AND lead_id = $2 AND (id = ANY($4)"
        " OR (detail ->> 'address' = ANY($6) AND created_at > $7))",
        *both, [UUID(activity) for activity in merge.moved["activities"]], f"{merge.loser_id} ",
        list(addresses), merge.at,
    )  # fmt: skip
    return [row["id"] for row in again]


async def say_again(tx: Tx, lead_id: UUID, fields: Collection[str], bases: Mapping[str, JSON]) -> None:
    """Lets a lead's records that only come in (those with a base in `bases`) say again what is new since that base."""
    await tx.run(
        "UPDATE link k SET base_remote = (k.base_remote - $3::text[]) || b.known, dirty = true FROM (SELECT e.key,"
        " coalesce((SELECT jsonb_object_agg(v.key, v.value) FROM jsonb_each(e.value) v WHERE v.key = ANY($3)), '{}')"
        " AS known FROM jsonb_each($4) e) b WHERE k.workspace_id = $1 AND k.lead_id = $2 AND k.id = b.key::uuid"
        " AND k.gone_at IS NULL AND k.ended_at IS NULL",
        tx.workspace_id, lead_id, list(fields), dict(bases),
    )  # fmt: skip


async def bury(tx: Tx, loser: Lead, survivor: UUID, *, actor: str) -> None:
    """Makes a lead the tombstone of a merged one."""
    lead_id = UUID(loser.id)
    await tx.run(
        f"UPDATE lead SET deleted_at = $3, merged_into = $4, {NEXT} WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id, lead_id, tx.now, survivor,
    )  # fmt: skip
    await tx.run("DELETE FROM lead_block WHERE workspace_id = $1 AND lead_id = $2", tx.workspace_id, lead_id)
    await _note(tx, loser, (None, str(survivor)), f"merge into {survivor}", actor)


async def unearth(tx: Tx, loser: Lead, survivor: UUID, *, actor: str) -> None:
    """Makes the tombstone of a merged lead a lead again."""
    await tx.run(
        f"UPDATE lead SET deleted_at = NULL, merged_into = NULL, {NEXT} WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id, UUID(loser.id), tx.now,
    )  # fmt: skip
    await _note(tx, loser, (str(survivor), None), f"unmerge from {survivor}", actor)


async def _note(tx: Tx, lead: Lead, into: tuple[str | None, str | None], rule: str, actor: str) -> None:
    old, new = into
    changes = {
        "deleted": {"old": old is not None, "new": new is not None, "rule": rule},
        "merged_into": {"old": old, "new": new, "rule": rule},
    }
    await history.write(tx, [(lead, lead.version + 1, changes, [])], source="user", actor=actor)


async def keep(tx: Tx, survivor: Lead, loser: Lead, after: Lead, moved: Mapping[str, JSON], *, actor: str) -> None:
    """Remembers a merge."""
    await tx.run(
        "INSERT INTO lead_merge (workspace_id, id, survivor_id, loser_id, survivor_before, loser_before,"
        " survivor_after, moved, actor, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tx.workspace_id, new_id(), UUID(survivor.id), UUID(loser.id), _dump(survivor), _dump(loser), _dump(after),
        dict(moved), actor, tx.now,
    )  # fmt: skip


async def find(tx: Tx, survivor: UUID, loser: UUID | None) -> Merge | None:
    """Returns the newest merge into a lead that was not undone, or the one of this other lead."""
    row = await tx.one(
        "SELECT * FROM lead_merge WHERE workspace_id = $1 AND survivor_id = $2 AND undone_at IS NULL"
        " AND ($3::uuid IS NULL OR loser_id = $3) ORDER BY at DESC, id DESC LIMIT 1",
        tx.workspace_id, survivor, loser,
    )  # fmt: skip
    return None if row is None else _merge(row)


async def later(tx: Tx, merge: Merge) -> list[Merge]:
    """Returns the merges into the same lead that came after this one and were not undone, the oldest first."""
    rows = await tx.all(
        "SELECT * FROM lead_merge m WHERE workspace_id = $1 AND survivor_id = $2 AND undone_at IS NULL AND (at, id) >"
        " (SELECT at, id FROM lead_merge WHERE workspace_id = $1 AND id = $3) ORDER BY at, id",
        tx.workspace_id, merge.survivor_id, merge.id,
    )  # fmt: skip
    return [_merge(row) for row in rows]


async def reclaim(tx: Tx, lead_id: UUID) -> None:
    """Gives a lead that was restored the identities of those that were merged into it, as far as nobody has them."""
    await tx.run(
        "INSERT INTO lead_identity (workspace_id, kind, value, lead_id) SELECT $1, i ->> 0, i ->> 1, $2"
        " FROM lead_merge m, jsonb_array_elements(m.moved -> 'identities') AS i WHERE m.workspace_id = $1"
        " AND m.survivor_id = $2 AND m.undone_at IS NULL ORDER BY 2, 3 ON CONFLICT DO NOTHING",
        tx.workspace_id, lead_id,
    )  # fmt: skip


def _merge(row: Any) -> Merge:
    return Merge(
        id=row["id"],
        survivor_id=row["survivor_id"],
        loser_id=row["loser_id"],
        survivor_before=_load(row["survivor_id"], row["survivor_before"]),
        survivor_after=_load(row["survivor_id"], row["survivor_after"]),
        loser_before=_load(row["loser_id"], row["loser_before"]),
        moved=row["moved"],
        at=row["at"],
    )


async def keep_without(tx: Tx, merge: Merge, before: Lead, after: Lead, bases: Mapping[str, JSON]) -> None:
    """Remembers a merge as if an earlier one, which is undone, had not been."""
    await tx.run(
        "UPDATE lead_merge SET survivor_before = $3, survivor_after = $4, moved = $5"
        " WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id, merge.id, _dump(before), _dump(after), merge.moved | {"bases": dict(bases)},
    )  # fmt: skip


async def undone(tx: Tx, merge_id: UUID) -> None:
    """Notes that a merge was undone; what it remembered of the two is not needed any more."""
    await tx.run(
        "UPDATE lead_merge SET undone_at = $3, survivor_before = '{}', loser_before = '{}', survivor_after = '{}',"
        " moved = '{}' WHERE workspace_id = $1 AND id = $2",
        tx.workspace_id, merge_id, tx.now,
    )  # fmt: skip


def _dump(lead: Lead) -> dict[str, JSON]:
    return {
        "values": lead.values,
        "cleared": sorted(lead.cleared),
        "untouched": sorted(lead.untouched),
        "derived": sorted(lead.derived),
        "origins": {name: list(origin) for name, origin in lead.origins.items()},
        "positive_at": lead.positive_at,
        "own_counts": lead.own_counts,
    }


def _load(lead_id: UUID, kept: Mapping[str, Any]) -> Lead:
    return Lead(
        id=str(lead_id),
        values=kept["values"],
        cleared=frozenset(kept["cleared"]),
        untouched=frozenset(kept["untouched"]),
        derived=frozenset(kept["derived"]),
        origins={name: Origin(Source(source), via, at) for name, (source, via, at) in kept["origins"].items()},
        positive_at=kept["positive_at"],
        own_counts=kept["own_counts"],
    )
