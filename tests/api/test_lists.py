"""Lists of leads: every order both ways, filters, fields, counts, and the search."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.db.lead_list import CAP, FILTERS, ORDERS
from app.db.session import NOBODY, Tenant
from tests.api.conftest import Clients

#: What each kind of filter cannot be.
WRONG = {
    "instant": "yesterday",
    "date": "2026-02-30",
    "integer": "2147483648",
    "number": "NaN",
    "boolean": "1",
    "null": "empty",
    "ids": "1",
    "words": "new,happy",
    "texts": "\x00",
}


async def _add(client: httpx.AsyncClient, *leads: dict[str, Any]) -> list[str]:
    made = [await client.post("/api/leads", json=lead) for lead in leads]
    assert [m.status_code for m in made] == [201] * len(leads), [m.text for m in made]
    return [m.json()["id"] for m in made]


async def _names(client: httpx.AsyncClient, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [lead["full_name"] for lead in answer.json()["items"]]


@pytest.mark.parametrize("sort", ORDERS)
async def test_a_walk_to_the_end_and_back_shows_every_lead_once_each_way(member: httpx.AsyncClient, sort: str) -> None:
    statuses = ("new", "replied", "booked")
    leads: list[dict[str, Any]] = [
        {"email": f"{i * 5 % 11}@x.test", "full_name": f"Number {i}", "status": statuses[i % 3]}
        | ({"next_action_date": f"2026-03-{1 + i % 4:02}"} if i % 5 else {})
        for i in range(11)
    ]
    await _add(member, *leads)
    key = sort.lstrip("-")
    # made one after the other: by creation and by the last change they stand as they are
    ordered = sorted((a for a in leads if key in a), key=lambda a: str(a[key])) if key in leads[1] else leads
    ordered = ordered[::-1] if sort != key else ordered

    for narrowed in ("", "&status=new,replied", "&q=numb", "&status=new,replied&q=numb"):
        expected = [a["full_name"] for a in ordered if "status" not in narrowed or a["status"] != "booked"]
        there, last = await _walk(member, f"/api/leads?limit=3&sort={sort}{narrowed}", "next")
        back, first = await _walk(member, last.links["prev"]["url"], "prev")

        assert [name for page in there for name in page] == expected, narrowed
        assert [name for page in back[::-1] for name in page] == expected[: -(len(expected) % 3 or 3)], narrowed
        assert "prev" not in first.links


async def _walk(client: httpx.AsyncClient, url: str, rel: str) -> tuple[list[list[str]], httpx.Response]:
    """Follows the links of one way; returns the names on each page, and the last page."""
    pages = []
    while True:
        page = await client.get(url)
        pages.append([lead["full_name"] for lead in page.json()["items"]])
        assert (rel in page.links) == (page.json()[f"{rel}_cursor"] is not None)
        if rel not in page.links:
            return pages, page
        url = page.links[rel]["url"]


async def test_every_filter_is_a_condition_postgres_takes_and_refuses_what_it_cannot_read(
    member: httpx.AsyncClient,
) -> None:
    fine = {
        "instant": "2026-01-01T00:00:00Z", "date": "2026-01-01", "integer": "0", "number": "0.5", "boolean": "true",
        "null": "null", "texts": "a.test", "ids": "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10",
    }  # fmt: skip
    for name, declared in FILTERS.items():
        value = "a@x.test" if name in ("email", "claimed_by") else ",".join(declared.among) or fine[declared.kind]
        for sort in ("-updated_at", "email"):
            taken = await member.get("/api/leads", params={name: value, "sort": sort, "count": "exact"})
            assert taken.status_code == 200, (name, taken.text)
        refused = await member.get("/api/leads", params={name: WRONG[declared.kind]})
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, name)


async def test_filters_compare(member: httpx.AsyncClient) -> None:
    ada, bo = await _add(
        member,
        {
            "full_name": "Ada",
            "email": "ada@x.test",
            "deal_value": 100,
            "next_action_date": "2026-03-01",
            "campaigns": ["C, D"],
        },
        {
            "full_name": "Bo",
            "linkedin_url": "https://www.linkedin.com/in/bo",
            "verified": True,
            "campaigns": ["A", "B"],
        },
    )
    moments = [(await member.get(f"/api/leads/{lead}")).json()["created_at"] for lead in (ada, bo)]

    for query, expected in {
        "deal_value[gte]=100": ["Ada"],
        "deal_value[gt]=100": [],
        "deal_value=1e2": ["Ada"],
        "next_action_date[lt]=2026-03-02": ["Ada"],
        "next_action_date[is]=null": ["Bo"],
        "email[is]=set": ["Ada"],
        "verified=true": ["Bo"],
        "campaigns=B,C": ["Bo"],
        'campaigns="C, D",X': ["Ada"],
        "campaigns[is]=set": ["Ada", "Bo"],
        "source[is]=null": ["Ada", "Bo"],
        "email_open_count[gt]=0": [],
        "email_open_count=0": ["Ada", "Bo"],
        f"created_at[gt]={moments[0]}": ["Bo"],
        f"created_at[lte]={moments[0]}": ["Ada"],
    }.items():
        assert await _names(member, f"/api/leads?sort=id&{query}") == expected, query


async def test_fields_shows_those_and_the_id(member: httpx.AsyncClient) -> None:
    (lead,) = await _add(member, {"full_name": "Ada", "email": "ada@x.test"})

    shown = (await member.get("/api/leads?fields=email,status")).json()["items"]
    refused = await member.get("/api/leads?fields=email,mood")

    assert shown == [{"id": lead, "email": "ada@x.test", "status": "new"}]
    assert refused.status_code == 422
    assert "updated_at" in refused.json()["allowed"]


async def test_counts_are_asked_for_and_a_capped_one_stops(team: Clients, member: httpx.AsyncClient) -> None:
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run(
            "INSERT INTO lead (workspace_id, id, status) SELECT $1, gen_random_uuid(),"
            " CASE WHEN n <= 5 THEN 'won' ELSE 'new' END FROM generate_series(1, $2::int) n",
            tx.workspace_id,
            CAP + 7,
        )
    counts = {
        query: (await member.get(f"/api/leads?limit=1{query}")).json()["count"]
        for query in ("", "&count=exact", "&count=capped", "&count=capped&status=won,lost", "&count=exact&q=nobody")
    }

    assert list(counts.values()) == [None, CAP + 7, CAP, 5, 0]


async def test_an_unknown_order_is_refused_with_those_there_are(member: httpx.AsyncClient) -> None:
    answer = await member.get("/api/leads?sort=-company_name")

    assert answer.status_code == 422
    assert answer.json()["allowed"] == list(ORDERS)


FOUND = {
    "noor": ["Noor de Vries"],
    "NOOR vries": ["Noor de Vries"],
    "vries noo": ["Noor de Vries"],
    "noo vries": [],
    "oor": [],
    "aerø": ["Zoë Strauß"],
    "zoe": ["Zoë Strauß"],
    "strauss": ["Zoë Strauß"],
    "STRAUẞ": ["Zoë Strauß"],
    "Café-bar": ["Zoë Strauß"],
    "n.devries@voorbeeld.nl": ["Noor de Vries"],
    "voorbeeld": ["Noor de Vries"],
    "devries": ["Noor de Vries"],
    "hoofd inkoop": ["Noor de Vries"],
    "offerte": ["Noor de Vries"],
    "müller": [],
    "' | & ! :* \\ (": [],
    "'noor' & !x:*": [],
    "東京": ["東京 太郎"],
    "иван": ["ИВАН Петров"],
}


async def test_words_are_found_by_beginning_without_case_accents_and_punctuation(member: httpx.AsyncClient) -> None:
    await _add(
        member,
        {
            "full_name": "Noor de Vries",
            "email": "n.devries@voorbeeld.nl",
            "title": "Hoofd inkoop",
            "notes": "Wil offerte",
        },
        {"full_name": "Zoë Strauß", "company_name": "Ærø's Café-Bar", "email": "z@x.test"},
        {"full_name": "東京 太郎", "email": "t@x.test"},
        {"full_name": "ИВАН Петров", "email": "i@x.test"},
    )

    for words, expected in FOUND.items():
        listed = await member.get("/api/leads", params={"q": words})
        searched = await member.get("/api/leads/search", params={"q": words, "fields": "full_name"})

        assert [lead["full_name"] for lead in listed.json()["items"]] == expected, words
        assert [lead["full_name"] for lead in searched.json()["items"]] == expected, words


async def test_a_search_follows_every_change_of_a_lead(member: httpx.AsyncClient) -> None:
    (lead,) = await _add(member, {"full_name": "Ada", "email": "ada@x.test"})

    async def finds(words: str) -> bool:
        return bool((await member.get(f"/api/leads/search?q={words}")).json()["items"])

    await member.patch(f"/api/leads/{lead}", json={"company_name": "Northwind"})
    assert await finds("northwind")
    await member.patch(f"/api/leads/{lead}", json={"company_name": None, "status": "won"})
    assert not await finds("northwind")
    await member.post(f"/api/leads/{lead}/notes", json={"text": "Met at the fair."})
    assert await finds("fair")
    await member.delete(f"/api/leads/{lead}")
    assert not await finds("ada")


async def test_a_search_needs_words(member: httpx.AsyncClient) -> None:
    missing = await member.get("/api/leads/search")
    nul = await member.get("/api/leads/search", params={"q": "a\x00"})

    assert [(a.status_code, a.json()["errors"][0]["parameter"]) for a in (missing, nul)] == [(422, "q")] * 2


async def test_a_search_sees_its_own_workspace_only(team: Clients, others: Clients, member: httpx.AsyncClient) -> None:
    (mine,) = await _add(member, {"full_name": "Shared Name", "email": "a@x.test"})
    await _add(await others.of("member"), {"full_name": "Shared Name", "email": "a@x.test"})

    assert [lead["id"] for lead in (await member.get("/api/leads/search?q=shared")).json()["items"]] == [mine]
    for tenant, found in ((NOBODY, []), (Tenant(team.workspace_id, "viewer"), [mine])):
        async with team.runtime.db.transaction(tenant) as tx:
            assert [str(i) for i in await tx.value("SELECT search_leads('shared', 4000)")] == found
            assert await tx.value("SELECT count(*) FROM lead_search") == len(found)


async def test_words_without_end_are_stored_and_found_as_far_as_they_go(
    team: Clients, member: httpx.AsyncClient
) -> None:
    (lead,) = await _add(member, {"full_name": "x" * 5_000, "email": "a@x.test"})
    async with team.runtime.db.transaction(team.tenant) as tx:
        letters = "".join(chr(0x4E00 + i) + " " for i in range(20_000))
        await tx.run("UPDATE lead SET notes = $1", letters * 5 + "ﷺ" * 900_000)

    found = [(await member.get("/api/leads/search", params={"q": q})).json()["items"] for q in ("x" * 90, chr(0x4E01))]
    assert [[one["id"] for one in items] for items in found] == [[lead], [lead]]


async def test_a_search_for_what_most_leads_have_is_as_exact_as_for_what_few_have(
    team: Clients, member: httpx.AsyncClient
) -> None:
    """More leads than are listed by the index: they are looked for along the order."""
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run(
            "INSERT INTO lead (workspace_id, id, full_name, title, status, updated_at)"
            " SELECT $1, gen_random_uuid(), 'Common ' || n, CASE WHEN n > 4010 THEN 'Rare' END,"
            " CASE WHEN n % 2 = 0 THEN 'won' ELSE 'new' END, timestamptz '2026-01-01' + make_interval(secs => n)"
            " FROM generate_series(1, 4020) n",
            tx.workspace_id,
        )
        assert await tx.value("SELECT search_leads('common', 4000)") is None

    assert await _names(member, "/api/leads?q=common&limit=3") == [f"Common {n}" for n in (4020, 4019, 4018)]
    assert await _names(member, "/api/leads?q=common&limit=3&status=won&sort=updated_at") == [
        f"Common {n}" for n in (2, 4, 6)
    ]
    assert await _names(member, "/api/leads?q=rare+common&limit=2") == ["Common 4020", "Common 4019"]
    assert (await member.get("/api/leads?q=common&count=exact&limit=1")).json()["count"] == 4020
    assert (await member.get("/api/leads?q=common&count=capped&limit=1")).json()["count"] == CAP


async def test_what_changes_no_word_of_a_lead_costs_the_search_nothing(
    team: Clients, member: httpx.AsyncClient
) -> None:
    (lead,) = await _add(member, {"full_name": "Ada", "email": "ada@x.test"})

    async def written_by() -> int:
        async with team.runtime.db.transaction(team.tenant) as tx:
            return int(await tx.value("SELECT xmin::text::bigint FROM lead_search"))

    before = await written_by()
    await member.patch(f"/api/leads/{lead}", json={"status": "won", "deal_value": 5})
    await member.patch(f"/api/leads/{lead}", json={"full_name": "Ada"})
    after = await written_by()
    await member.patch(f"/api/leads/{lead}", json={"full_name": "Bo"})

    assert before == after != await written_by()
