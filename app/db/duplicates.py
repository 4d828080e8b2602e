"""Duplicates: the blocking keys of leads, which leads share one, and the pairs that were found.

A pair is a review item of the kind `candidate` without a record: `lead_id` is the lead whose id is smaller, `field` the
other one's id. Its evidence holds no value of either lead, so that nothing is left here of a lead that is erased.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Tx
from app.domain.duplicates import LARGEST_BLOCK, Pair, Person, person
from app.domain.identity import TELLING

#: What is compared of a lead.
COMPARED = TELLING
_PERSON = (
    f"SELECT l.id, {', '.join(f'l.{name}' for name in COMPARED)}, (SELECT array_agg(a.email) FROM lead_alias a"
    " WHERE a.workspace_id = $1 AND a.lead_id = l.id) AS former"
    " FROM lead l WHERE l.workspace_id = $1 AND l.deleted_at IS NULL"
)
#: What a person sees of the two leads of a pair.
_SHOWN = (
    "id", "full_name", "email", "company_name", "company_domain", "title", "phone", "linkedin_url", "status",
    "claimed_by", "created_at", "updated_at",
)  # fmt: skip


async def people(tx: Tx, lead_ids: Iterable[UUID]) -> list[Person]:
    """Returns those of the leads that are not deleted, as they are compared."""
    return [_person(row) for row in await tx.all(f"{_PERSON} AND l.id = ANY($2)", tx.workspace_id, list(lead_ids))]


async def near(tx: Tx, found: Sequence[Person]) -> list[Person]:
    """Returns the other leads that share a blocking key with one of these."""
    rows = await tx.all(
        # an array, because a plan made while the tables were small would read all of them for every key
        f"{_PERSON} AND l.id = ANY(ARRAY(SELECT DISTINCT k.lead_id FROM unnest($3::bigint[]) AS n(key), LATERAL ("
        # in no order: it would let the planner take the index that knows leads only
        " SELECT b.lead_id FROM lead_block b WHERE b.workspace_id = $1 AND b.key = n.key LIMIT $4)"
        " k WHERE k.lead_id <> ALL($2)))",
        tx.workspace_id,
        [UUID(one.id) for one in found],
        # and not looked up by their leads: a plan made while the table was small reads all of it for that
        list({_hash(key) for one in found for key in one.keys}),
        # one more than are compared: a block of that size is left out
        LARGEST_BLOCK + 1,
    )
    return [_person(row) for row in rows]


async def block(tx: Tx, found: Sequence[Person], *, anew: bool) -> None:
    """Stores the blocking keys of leads; `anew` takes out those they had."""
    ids = [UUID(one.id) for one in found]
    if anew and ids:
        await tx.run("DELETE FROM lead_block WHERE workspace_id = $1 AND lead_id = ANY($2)", tx.workspace_id, ids)
    # in one order for everybody
    rows = sorted({(_hash(key), lead_id) for one, lead_id in zip(found, ids, strict=True) for key in one.keys})
    if rows:
        await tx.run(
            "INSERT INTO lead_block (workspace_id, key, lead_id) SELECT $1, * FROM unnest($2::bigint[], $3::uuid[])"
            " ON CONFLICT DO NOTHING",
            tx.workspace_id,
            [key for key, _ in rows],
            [lead_id for _, lead_id in rows],
        )


async def part(tx: Tx, after: UUID | None, limit: int) -> list[Person]:
    """Returns the next leads in the order of their ids."""
    rows = await tx.all(
        # of "no id, or a greater one" a plan for any id reads from the first lead on
        f"{_PERSON} AND l.id > $2 ORDER BY l.id LIMIT $3",
        tx.workspace_id,
        after or UUID(int=0),
        limit,
    )
    return [_person(row) for row in rows]


async def put(tx: Tx, pairs: Sequence[Pair]) -> int:
    """Opens an item per pair, or refreshes the open one; returns how many there are.

    A pair that was dismissed is left alone, also where one of the two has become part of another lead since.
    """
    if not pairs:
        return 0
    rows = [
        {
            "id": str(new_id()), "a": pair.leads[0], "b": pair.leads[1],
            "evidence": {"tier": pair.tier, "score": pair.score, "fields": dict(pair.fields), "why": pair.why},
        }
        for pair in sorted(await _not_told_apart(tx, pairs), key=lambda pair: pair.leads)
    ]  # fmt: skip
    if not rows:
        return 0
    return await tx.run(
        "INSERT INTO review_item AS i (workspace_id, id, kind, lead_id, field, evidence, created_at, updated_at)"
        " SELECT $1, r.id, 'candidate', r.a, r.b, r.evidence, $3, $3"
        " FROM jsonb_to_recordset($2) AS r(id uuid, a uuid, b text, evidence jsonb)"
        " WHERE NOT EXISTS (SELECT FROM review_item d WHERE d.workspace_id = $1 AND d.kind = 'candidate'"
        " AND d.state = 'decided' AND d.lead_id = r.a AND d.field = r.b)"
        " ON CONFLICT (workspace_id, kind, connection_id, link_id, lead_id, field) WHERE state = 'open' DO UPDATE"
        " SET evidence = excluded.evidence, version = i.version + CASE WHEN i.evidence = excluded.evidence THEN 0"
        " ELSE 1 END, updated_at = CASE WHEN i.evidence = excluded.evidence THEN i.updated_at"
        " ELSE excluded.updated_at END",
        tx.workspace_id,
        rows,
        tx.now,
    )


async def _not_told_apart(tx: Tx, pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Leaves out pairs of which a lead that was merged into one of the two was dismissed as the other."""
    merged = await tx.all(
        "SELECT survivor_id, loser_id FROM lead_merge WHERE workspace_id = $1 AND survivor_id = ANY($2)"
        " AND undone_at IS NULL",
        tx.workspace_id,
        list({UUID(lead_id) for pair in pairs for lead_id in pair.leads}),
    )
    if not merged:
        return pairs
    parts: dict[str, list[str]] = {}
    for row in merged:
        survivor = str(row["survivor_id"])
        parts.setdefault(survivor, [survivor]).append(str(row["loser_id"]))
    said = {
        pair.leads: {
            (min(a, b), max(a, b)) for a, b in product(*(parts.get(lead_id, [lead_id]) for lead_id in pair.leads))
        }
        for pair in pairs
        if parts.keys() & set(pair.leads)
    }
    rows = await tx.all(
        "SELECT lead_id, field FROM review_item WHERE workspace_id = $1 AND kind = 'candidate' AND state = 'decided'"
        " AND lead_id = ANY($2)",
        tx.workspace_id,
        list({UUID(a) for couples in said.values() for a, _ in couples}),
    )
    dismissed = {(str(row["lead_id"]), row["field"]) for row in rows}
    return [pair for pair in pairs if not said.get(pair.leads, set()) & dismissed]


_ITEM = (
    "SELECT r.id, r.state, r.evidence, r.version, r.decided_by, r.decided_at, r.created_at, r.updated_at,"
    f" (SELECT row_to_json(s) FROM (SELECT {', '.join(f'a.{name}' for name in _SHOWN)}) s) AS one,"
    f" (SELECT row_to_json(s) FROM (SELECT {', '.join(f'b.{name}' for name in _SHOWN)}) s) AS other"
    " FROM review_item r JOIN lead a ON a.workspace_id = $1 AND a.id = r.lead_id JOIN lead b ON b.workspace_id = $1"
    # other candidates are about a record and have words there
    " AND b.id = CASE WHEN r.link_id IS NULL AND length(r.field) = 36 THEN r.field::uuid END"
    " WHERE r.workspace_id = $1 AND r.kind = 'candidate' AND r.link_id IS NULL"
)


async def page(tx: Tx, state: str, limit: int, after: UUID | None) -> list[Any]:
    """Returns pairs in a state, the newest first; open ones as long as both leads are there."""
    return await tx.all(
        f"{_ITEM} AND r.state = $2 AND (r.state <> 'open' OR (a.deleted_at IS NULL AND b.deleted_at IS NULL))"
        " AND ($4::uuid IS NULL OR r.id < $4) ORDER BY r.id DESC LIMIT $3",
        tx.workspace_id,
        state,
        limit,
        after,
    )


async def get(tx: Tx, item_id: UUID) -> Any:
    """Returns a pair, or None."""
    return await tx.one(f"{_ITEM} AND r.id = $2", tx.workspace_id, item_id)


async def part_ways(tx: Tx, a: UUID, b: UUID, actor: str) -> None:
    """Dismisses the pair of two leads that were merged and are two again: somebody has decided that."""
    pair = (min(a, b), str(max(a, b)), {"dismissed": True, "why": "unmerged"}, actor, tx.now)
    if await tx.run(
        "UPDATE review_item SET state = 'decided', decision = $4, decided_by = $5, decided_at = $6, updated_at = $6,"
        " version = version + 1 WHERE workspace_id = $1 AND kind = 'candidate' AND state IN ('closed', 'decided')"
        " AND lead_id = $2 AND field = $3",
        tx.workspace_id, *pair,
    ):  # fmt: skip
        return
    # nobody had suggested to merge them; nobody shall
    evidence = {"tier": "name_company", "score": 0, "fields": {}, "why": "They were merged, and are two again."}
    await tx.run(
        "INSERT INTO review_item (workspace_id, id, kind, state, lead_id, field, decision, decided_by, decided_at,"
        " created_at, updated_at, evidence) VALUES ($1, $7, 'candidate', 'decided', $2, $3, $4, $5, $6, $6, $6, $8)",
        tx.workspace_id, *pair, new_id(), evidence,
    )  # fmt: skip


def _person(row: Any) -> Person:
    return person(str(row["id"]), row, row["former"] or ())


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)
