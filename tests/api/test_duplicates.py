"""Duplicates over REST: found beside every create, scanned for, dismissed for good."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import Clients

ADA = {"full_name": "Ada Lovelace", "company_name": "Acme B.V.", "phone": "+31612345678"}


async def _make(client: httpx.AsyncClient, **values: Any) -> str:
    made = await client.post("/api/leads", json=values)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def _pairs(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    found = await client.get("/api/leads/duplicates", params=query)
    assert found.status_code == 200, found.text
    items: list[dict[str, Any]] = found.json()["items"]
    return items


async def _forget(team: Clients) -> None:
    """Leaves the workspace as one from before pairs were looked for."""
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("DELETE FROM lead_block")
        await tx.run("DELETE FROM review_item WHERE state = 'open'")


async def test_a_create_says_who_it_looks_like_and_is_not_blocked(member: httpx.AsyncClient) -> None:
    first = await _make(member, **ADA, email="ada@acme.test")
    second = await _make(member, full_name="Lovelace, Ada", company_name="ACME", email="a.l@home.test")
    await _make(member, full_name="Grace Hopper", company_name="Acme")

    (pair,) = await _pairs(member)

    assert (pair["state"], pair["tier"], pair["score"]) == ("open", "name_company", 1)
    assert pair["fields"] == {"email": 0, "name": 1, "company": 1}
    assert pair["why"] == "The same name, company; different e-mail address."
    assert [lead["id"] for lead in pair["leads"]] == sorted([first, second])
    assert {lead["email"] for lead in pair["leads"]} == {"ada@acme.test", "a.l@home.test"}


async def test_a_lead_that_is_renamed_or_deleted_is_compared_as_it_is(member: httpx.AsyncClient) -> None:
    first = await _make(member, **ADA)
    second = await _make(member, full_name="Grace Hopper", company_name="Navy")
    assert await _pairs(member) == []

    await member.patch(f"/api/leads/{second}", json={"full_name": "Ada Lovelac", "company_name": "Acme"})
    assert len(await _pairs(member)) == 1

    await member.delete(f"/api/leads/{first}")
    await _make(member, full_name="Ada Lovelace", company_name="Acme", email="new@acme.test")
    (left,) = await _pairs(member)
    assert {lead["full_name"] for lead in left["leads"]} == {"Ada Lovelac", "Ada Lovelace"}


async def test_a_former_address_gives_somebody_away(member: httpx.AsyncClient) -> None:
    first = await _make(member, email="ada@old.test")
    await member.patch(f"/api/leads/{first}", json={"email": "ada@new.test"})
    await _make(member, email="ada@old.test")

    (pair,) = await _pairs(member)

    assert (pair["tier"], pair["why"]) == ("email", "The same e-mail address.")


async def test_a_scan_finds_what_was_there_before_in_parts(team: Clients, member: httpx.AsyncClient) -> None:
    for number in range(3):
        await _make(member, **ADA | {"title": str(number)})
    await _make(member, full_name="Grace Hopper")
    await _forget(team)

    first = (await member.post("/api/leads/duplicates/scan", params={"limit": 2})).json()
    second = (
        await member.post("/api/leads/duplicates/scan", params={"limit": 3, "cursor": first["next_cursor"]})
    ).json()

    assert (first["leads"], first["pairs"]) == (2, 1)
    assert (second["leads"], second["pairs"], second["next_cursor"]) == (2, 2, None)
    assert len(await _pairs(member)) == 3


async def test_a_dismissed_pair_stays_dismissed_whatever_a_scan_finds(team: Clients, member: httpx.AsyncClient) -> None:
    await _make(member, **ADA)
    second = await _make(member, **ADA)
    (pair,) = await _pairs(member)
    path = f"/api/leads/duplicates/{pair['id']}/dismiss"

    dismissed, again = await member.post(path), await member.post(path)
    await member.post("/api/leads/duplicates/scan")
    await member.patch(f"/api/leads/{second}", json={"full_name": "Ada Lovelac"})

    assert (dismissed.status_code, dismissed.json()["state"]) == (200, "decided")
    assert again.json() == dismissed.json()
    assert await _pairs(member) == []
    assert [item["id"] for item in await _pairs(member, state="dismissed")] == [pair["id"]]


async def test_pairs_are_paged_and_belong_to_their_workspace(team: Clients, others: Clients) -> None:
    member, stranger = await team.of("member", "noor@team.test"), await others.of("admin", "otto@other.test")
    for _ in range(3):
        await _make(member, **ADA)
    await _make(stranger, **ADA)

    first = await member.get("/api/leads/duplicates", params={"limit": 2})
    rest = await member.get("/api/leads/duplicates", params={"limit": 2, "cursor": first.json()["next_cursor"]})

    pages = [[item["id"] for item in page.json()["items"]] for page in (first, rest)]
    assert [len(page) for page in pages] == [2, 1]
    assert sorted(pages[0] + pages[1], reverse=True) == pages[0] + pages[1]
    assert await _pairs(stranger) == []
    foreign = await stranger.post(f"/api/leads/duplicates/{pages[0][0]}/dismiss")
    assert foreign.status_code == 404


async def test_other_candidates_are_not_pairs(team: Clients, member: httpx.AsyncClient) -> None:
    lead = await _make(member, **ADA)
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run(
            "INSERT INTO review_item (workspace_id, id, kind, lead_id, field)"
            " VALUES ($1, gen_random_uuid(), 'candidate', $2, 'second record')",
            tx.workspace_id,
            lead,
        )

    assert await _pairs(member) == []
