"""Claims as one history that everybody agrees on.

The checker is shown to fail on the naive way to claim: read, see that nobody holds the lead, write.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import httpx

from tests.api.conftest import Clients

#: A version that somebody was answered with, and who held the lead then.
Seen = tuple[int, str | None]


def is_one_history(seen: Sequence[Seen]) -> bool:
    """Tells whether each version was made once, and the lead went from nobody to one person and back each time."""
    ordered = sorted(seen, key=lambda found: found[0])
    versions = [version for version, _ in ordered]
    holders = [None, *(holder for _, holder in ordered)]
    hands = all((before is None) != (after is None) for before, after in itertools.pairwise(holders))
    return versions == list(range(2, len(versions) + 2)) and hands


async def claim_and_let_go(client: httpx.AsyncClient, path: str, person: str) -> list[Seen]:
    seen = []
    for _ in range(6):
        claimed = await client.post(f"{path}/claim")
        if claimed.status_code == 200:
            seen.append((claimed.json()["version"], claimed.json()["claimed_by"]))
            let_go = (await client.post(f"{path}/unclaim")).json()
            seen.append((let_go["version"], let_go["claimed_by"]))
        else:
            assert claimed.json()["claimed_by"] not in (None, person)
    return seen


async def read_then_write(client: httpx.AsyncClient, path: str, person: str) -> list[Seen]:
    if (await client.get(path)).json()["claimed_by"] is not None:
        return []
    claimed = (await client.patch(path, json={"claimed_by": person})).json()
    return [(claimed["version"], claimed["claimed_by"])]


async def test_claims_of_many_people_are_one_history(team: Clients, member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    people = {name: await team.of("member", name) for name in (f"p{i}@team.test" for i in range(8))}

    seen = list(itertools.chain(*await asyncio.gather(*(claim_and_let_go(c, path, p) for p, c in people.items()))))

    assert len(seen) >= 2
    assert is_one_history(seen)
    told = (await member.get(f"{path}/history?limit=200")).json()["items"]
    moves = {(h["version"], h["changes"]["claimed_by"]["new"]) for h in told if "claimed_by" in h["changes"]}
    assert moves == set(seen)


async def test_the_naive_way_to_claim_is_no_history(team: Clients, member: httpx.AsyncClient) -> None:
    """Administrators may hand a lead on, so nothing stops them."""
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    people = {name: await team.of("admin", name) for name in (f"p{i}@team.test" for i in range(8))}

    seen = list(itertools.chain(*await asyncio.gather(*(read_then_write(c, path, p) for p, c in people.items()))))

    assert not is_one_history(seen)
