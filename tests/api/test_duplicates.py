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


async def test_leads_created_in_bulk_or_restored_are_compared_too(member: httpx.AsyncClient) -> None:
    operations = [{"op": "create", "lead": ADA}, {"op": "create", "lead": ADA}]
    made = await member.post("/api/leads/bulk", json={"operations": operations})
    assert made.status_code == 200, made.text
    assert len(await _pairs(member)) == 1

    third = await _make(member, full_name="Ada Lovelac", company_name="Acme")
    await member.delete(f"/api/leads/{third}")
    assert len(await _pairs(member)) == 1
    await member.post(f"/api/leads/{third}/restore")
    await member.patch(f"/api/leads/{third}", json={"title": "CTO"})
    assert len(await _pairs(member)) == 3


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

    assert (dismissed.status_code, dismissed.json()["state"]) == (200, "dismissed")
    assert again.json() == dismissed.json()
    assert await _pairs(member) == []
    assert [item["id"] for item in await _pairs(member, state="dismissed")] == [pair["id"]]


async def test_a_dismissed_pair_stays_dismissed_where_one_of_them_is_part_of_another_lead(
    member: httpx.AsyncClient,
) -> None:
    await _make(member, **ADA)
    second = await _make(member, **ADA)
    (pair,) = await _pairs(member)
    await member.post(f"/api/leads/duplicates/{pair['id']}/dismiss")
    third = await _make(member, email="ada@acme.test")

    await member.post(f"/api/leads/{third}/merge", json={"other": second, "dry_run": False})
    await member.post("/api/leads/duplicates/scan")

    assert (await member.get(f"/api/leads/{third}")).json()["full_name"] == "Ada Lovelace"
    assert await _pairs(member) == []


async def test_of_merges_into_merged_leads_the_last_is_undone_first(member: httpx.AsyncClient) -> None:
    one, two, three = [await _make(member, email=f"{name}@x.test") for name in "abc"]
    for survivor, other in ((two, three), (one, two)):
        await member.post(f"/api/leads/{survivor}/merge", json={"other": other, "dry_run": False})

    hidden = await member.post(f"/api/leads/{two}/unmerge")
    early = await member.post(f"/api/leads/{one}/unmerge", json={"other": three})
    last = await member.post(f"/api/leads/{one}/unmerge", json={"other": two})
    first = await member.post(f"/api/leads/{two}/unmerge", json={"other": three})

    assert (hidden.status_code, hidden.headers["location"]) == (308, f"/api/leads/{one}/unmerge")
    assert (early.status_code, early.json()["detail"]) == (
        409, f"Lead {three} was not merged into {one}: it was merged into {two}, which has to be a lead again first.",
    )  # fmt: skip
    assert (last.status_code, first.status_code) == (200, 200)
    emails = [(await member.get(f"/api/leads/{lead}")).json()["email"] for lead in (one, two, three)]
    assert emails == ["a@x.test", "b@x.test", "c@x.test"]


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


async def test_a_merge_is_shown_first_and_the_old_address_leads_to_the_survivor(member: httpx.AsyncClient) -> None:
    one = await _make(member, **ADA, email="ada@acme.test", title="Countess", campaigns=["Alpha"])
    other = await _make(
        member,
        full_name="A. Lovelace",
        company_name="Acme",
        email="a.l@home.test",
        location="London",
        campaigns=["Beta"],
    )
    await member.post(f"/api/leads/{other}/notes", json={"text": "Met in London."})
    body = {"other": other, "choices": {"email": "other"}}

    shown = await member.post(f"/api/leads/{one}/merge", json=body)
    untouched = (await member.get(f"/api/leads/{one}")).json()
    done = await member.post(f"/api/leads/{one}/merge", json=body | {"dry_run": False})
    lead = (await member.get(f"/api/leads/{one}")).json()
    moved = await member.get(f"/api/leads/{other}")

    assert (shown.status_code, shown.json()["done"], untouched["version"]) == (200, False, 1)
    fields = {field["field"]: field for field in shown.json()["fields"]}
    assert fields["location"] == {
        "field": "location", "survivor": None, "other": "London", "value": "London", "side": "other",
        "rule": "fill_if_empty",
    }  # fmt: skip
    assert (fields["email"]["value"], fields["email"]["rule"]) == ("a.l@home.test", "chosen")
    assert fields["campaigns"]["side"] == "both"
    assert done.json() == shown.json() | {"done": True}
    assert {name: lead[name] for name in fields} == {name: field["value"] for name, field in fields.items()}
    assert (moved.status_code, moved.headers["location"]) == (308, f"/api/leads/{one}")

    taken = await member.post("/api/leads", json={"email": "ada@acme.test"})
    assert (taken.status_code, taken.json()["lead_id"]) == (409, one)
    assert [pair["state"] for pair in await _pairs(member, state="merged")] == ["merged"]


async def test_an_undone_merge_gives_both_leads_back(member: httpx.AsyncClient) -> None:
    one = await _make(member, **ADA, email="ada@acme.test", custom={"a": 1})
    other = await _make(member, full_name="A. Lovelace", email="a.l@home.test", custom={"b": 2}, metadata={"k": 1})
    before = [(await member.get(f"/api/leads/{lead}")).json() for lead in (one, other)]
    await member.post(f"/api/leads/{one}/merge", json={"other": other, "dry_run": False})

    undone = await member.post(f"/api/leads/{one}/unmerge")
    after = [(await member.get(f"/api/leads/{lead}")).json() for lead in (one, other)]
    again = await member.post(f"/api/leads/{one}/unmerge", json={"other": other})
    history = (await member.get(f"/api/leads/{other}/history")).json()["items"]

    assert undone.json() == {"survivor": one, "other": other}
    aside = ("version", "updated_at")
    assert [{k: v for k, v in lead.items() if k not in aside} for lead in after] == [
        {k: v for k, v in lead.items() if k not in aside} for lead in before
    ]
    assert (again.status_code, again.json()["detail"]) == (
        409, f"Lead {other} was not merged into {one}: there is nothing to undo.",
    )  # fmt: skip
    assert [change["changes"]["merged_into"]["rule"] for change in history[:2]] == [
        f"unmerge from {one}", f"merge into {one}",
    ]  # fmt: skip


async def test_a_merge_is_in_the_survivors_history_also_where_no_field_of_it_changes(member: httpx.AsyncClient) -> None:
    one, other = await _make(member, **ADA), await _make(member, full_name="Ada Lovelace")
    await member.post(f"/api/leads/{one}/merge", json={"other": other, "dry_run": False})
    merged = (await member.get(f"/api/leads/{one}")).json()
    await member.post(f"/api/leads/{one}/unmerge")

    history = (await member.get(f"/api/leads/{one}/history")).json()["items"]
    then = await member.get(f"/api/leads/{one}", params={"as_of": merged["updated_at"]})

    assert [change["version"] for change in history] == [3, 2, 1]
    names = ("old", "new", "rule")
    assert [[change["changes"]["merged_from"][name] for name in names] for change in history[:2]] == [
        [other, None, f"unmerge of {other}"], [None, other, f"merge of {other}"],
    ]  # fmt: skip
    assert then.json() == merged


async def test_who_a_merge_makes_alike_is_noticed_and_who_was_unmerged_is_not_suggested(
    member: httpx.AsyncClient,
) -> None:
    third = await _make(member, **ADA, email="ada@acme.test")
    other = await _make(member, full_name="Ada Lovelace", email="ada@home.test")
    one = await _make(member, company_name="Acme", email="a.l@acme.test")
    assert await _pairs(member) == []

    await member.post(f"/api/leads/{one}/merge", json={"other": other, "dry_run": False})
    (pair,) = await _pairs(member)
    assert {lead["id"] for lead in pair["leads"]} == {one, third}

    await member.post(f"/api/leads/{one}/unmerge")
    for lead in (one, other):
        await member.patch(f"/api/leads/{lead}", json={"full_name": "Lovelace, Ada", "phone": "+31687654321"})
    await member.post("/api/leads/duplicates/scan")
    found = [{lead["id"] for lead in pair["leads"]} for pair in await _pairs(member)]
    assert {one, other} not in found
    (parted,) = await _pairs(member, state="dismissed")
    assert {lead["id"] for lead in parted["leads"]} == {one, other}


async def test_an_address_that_somebody_else_has_by_now_keeps_a_merge_from_being_undone(
    member: httpx.AsyncClient,
) -> None:
    one = await _make(member, email="ada@acme.test")
    other = await _make(member, email="a.l@home.test")
    await member.post(f"/api/leads/{one}/merge", json={"other": other, "dry_run": False})
    await member.patch(f"/api/leads/{one}", json={"email": "a.l@home.test"})

    refused = await member.post(f"/api/leads/{one}/unmerge")

    assert (refused.status_code, refused.json()["lead_id"]) == (409, one)
    assert (await member.get(f"/api/leads/{one}")).json()["email"] == "a.l@home.test"


async def test_what_cannot_be_merged_is_refused_with_the_reason(team: Clients, others: Clients) -> None:
    member, stranger = await team.of("member", "noor@team.test"), await others.of("admin", "otto@other.test")
    one, other = await _make(member, email="a@x.test"), await _make(member, email="b@x.test")
    foreign = await _make(stranger, email="c@x.test")
    path = f"/api/leads/{one}/merge"

    itself = await member.post(path, json={"other": one})
    elsewhere = await member.post(path, json={"other": foreign, "dry_run": False})
    counted = await member.post(
        path, json={"other": other, "choices": {"email_open_count": "other", "nonsense": "other"}}
    )
    late = await member.post(path, json={"other": other}, headers={"If-Match": '"7"'})
    await member.delete(f"/api/leads/{other}")
    gone = await member.post(path, json={"other": other, "dry_run": False})

    assert (itself.status_code, elsewhere.status_code, late.status_code, gone.status_code) == (422, 404, 412, 404)
    assert [error["pointer"] for error in counted.json()["errors"]] == [
        "/choices/email_open_count", "/choices/nonsense",
    ]  # fmt: skip
