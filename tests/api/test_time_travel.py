"""Time travel: a lead as of any instant since its creation is exactly what was answered then."""

from __future__ import annotations

import random
from typing import Any

import httpx

from tests.api.conftest import Clients

CHOICES: dict[str, list[Any]] = {
    "email": ["a@x.test", "b@x.test", None],
    "full_name": ["Noor de Vries", "Ada Berg", None],
    "first_name": ["Noor", None],
    "title": ["CTO", "CEO", None],
    "phone": ["+31301234567", None],
    "linkedin_url": ["https://linkedin.com/in/noor", None],
    "verified": [True, False, None],
    "scraped_at": ["2026-03-02T09:15:00+01:00", None],
    "deal_value": [12500, 99.95, -3, None],
    "next_action_date": ["2026-03-14", None],
    "status": ["new", "replied", "lost"],
    "is_positive_reply": [True, False, None],
    "campaigns": [["Spring"], ["Fair", "Spring"], None],
    "metadata": [{"a": {"b": 1}}, {"a": None, "c": [1]}, {}],
    "custom": [{"x": 1}, {"x": None, "y": "z"}, {"y": None}, {"x": {"deep": []}}],
}


async def act(client: httpx.AsyncClient, path: str, rng: random.Random) -> httpx.Response:
    """Does something to a lead, as people do."""
    names = rng.sample(sorted(CHOICES), rng.randint(1, 4))
    fields = {name: rng.choice(CHOICES[name]) for name in names}
    match rng.randrange(8):
        case 0:
            return await client.post(f"{path}/claim")
        case 1:
            return await client.post(f"{path}/unclaim")
        case 2:
            return await client.post(f"{path}/notes", json={"text": f"note {rng.random()}"})
        case 3:
            return await client.put(path, json=fields)
        case 4:
            lead = (await client.get(path)).json()
            return await client.patch(path, json={"notes": (lead["notes"] or "") + "!"})
    return await client.patch(path, json=fields)


async def test_every_state_a_lead_was_in_is_there_again(team: Clients) -> None:
    client = await team.of("member", "noor@team.test")
    for seed in range(4):
        rng = random.Random(seed)
        made = await client.post(
            "/api/leads", json={"phone": "+31612345678", "title": f"lead {seed}", "custom": {"first": None}}
        )
        path = made.headers["location"]
        states = {made.json()["updated_at"]: made.json()}
        for _ in range(20):
            answer = await act(client, path, rng)
            assert answer.status_code in (200, 201, 409, 422), answer.text
            lead = (await client.get(path)).json()
            states[lead["updated_at"]] = lead

        assert len(states) > 10
        for at, state in states.items():
            then = await client.get(path, params={"as_of": at})
            assert (then.status_code, then.json()) == (200, state), at
            assert "etag" not in then.headers
        viewer = await team.of("viewer")
        moment = list(states)[5].replace("Z", "+00:00")
        assert (await viewer.get(f"{path}?as_of={moment}")).json() == list(states.values())[5]


async def test_before_a_lead_was_created_and_before_the_future_there_is_nothing(member: httpx.AsyncClient) -> None:
    made = await member.post("/api/leads", json={"email": "a@x.test"})
    path, created = made.headers["location"], made.json()["created_at"]

    asked = [
        await member.get(path, params={"as_of": at})
        for at in ("2020-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T00:00:00Z", "today", "2026-01-01")
    ]  # fmt: skip

    assert [a.status_code for a in asked] == [404, 404, 422, 422, 422]
    assert created in asked[0].json()["detail"]
    assert "has passed" in asked[2].json()["detail"]


async def test_a_deleted_lead_is_shown_as_it_was_before_and_a_restored_one_as_deleted_in_between(
    member: httpx.AsyncClient,
) -> None:
    made = await member.post("/api/leads", json={"email": "a@x.test"})
    path, before = made.headers["location"], made.json()
    await member.delete(path)
    deleted = (await member.get(f"{path}/history")).json()["items"][0]["at"]

    then = await member.get(path, params={"as_of": before["updated_at"]})
    gone = await member.get(path, params={"as_of": deleted})
    await member.post(f"{path}/restore")
    still = await member.get(path, params={"as_of": deleted})
    back = await member.get(path, params={"as_of": (await member.get(path)).json()["updated_at"]})

    assert then.json() == before
    assert [a.status_code for a in (gone, still, back)] == [404, 404, 200]
    assert "was deleted" in gone.json()["detail"]
    assert back.json()["version"] == 3


async def test_a_change_that_waited_for_the_lead_is_later_than_the_one_it_waited_for(team: Clients) -> None:
    client = await team.of("member")
    made = await client.post("/api/leads", json={"company_name": "Berg", "title": "one"})
    path, lead_id = made.headers["location"], made.json()["id"]
    second = (await client.patch(path, json={"title": "two"})).json()
    async with team.runtime.db.transaction(team.tenant) as tx:
        # as if its transaction had begun before that of the second
        await tx.run(
            "INSERT INTO lead_change SELECT workspace_id, gen_random_uuid(), lead_id, 3, source, actor, run_id,"
            " connection_id, jsonb_build_object('title', jsonb_build_object('old', 'two', 'new', 'three')), refused,"
            " at - interval '1 ms', xid FROM lead_change WHERE lead_id = $1 AND version = 2",
            lead_id,
        )
        await tx.run("UPDATE lead SET title = 'three', version = 3 WHERE id = $1", lead_id)
        at = await tx.value("SELECT at - interval '1 ms' FROM lead_change WHERE lead_id = $1 AND version = 2", lead_id)

    assert (await client.get(path, params={"as_of": at.isoformat()})).json()["title"] == "one"
    assert (await client.get(path, params={"as_of": second["updated_at"]})).json()["title"] == "three"


async def test_before_a_merge_both_leads_are_there_and_after_it_one_leads_to_the_other(
    member: httpx.AsyncClient,
) -> None:
    made = [
        await member.post("/api/leads", json=fields)
        for fields in ({"email": "a@x.test", "title": "CTO"}, {"full_name": "Noor de Vries", "phone": "+31301234567"})
    ]
    one, two = (m.headers["location"] for m in made)
    before = [m.json() for m in made]
    merged = await member.post(f"{one}/merge", json={"other": before[1]["id"], "dry_run": False})
    assert merged.status_code == 200, merged.text
    after = (await member.get(one)).json()
    await member.patch(one, json={"title": "CEO"})

    then = [await member.get(path, params={"as_of": before[1]["updated_at"]}) for path in (one, two)]
    since = [await member.get(path, params={"as_of": after["updated_at"]}) for path in (one, two)]

    assert [t.json() for t in then] == before
    assert since[0].json() == after
    assert (since[1].status_code, since[1].headers["location"].partition("?")[0]) == (308, one)


async def test_the_activity_log_tells_everything_a_person_did_page_by_page(team: Clients) -> None:
    client = await team.of("member", "noor@team.test")
    path = (await client.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    await client.post(f"{path}/notes", json={"text": "Belde terug."})
    await client.patch(path, json={"notes": "Belde later terug."})
    await client.post(f"{path}/claim")
    await client.post(f"{path}/unclaim")
    await client.patch(path, json={"status": "replied", "campaigns": ["Fair", "Spring"]})
    await client.patch(path, json={"campaigns": ["Spring"]})
    await client.patch(path, json={"title": "CTO"})
    await client.delete(path)
    await client.post(f"{path}/restore")

    kinds, cursor = [], None
    while True:
        answer = await client.get(f"{path}/activity", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        kinds += [(item["kind"], item["actor"]) for item in answer.json()["items"]]
        if (cursor := answer.json()["next_cursor"]) is None:
            break
        assert 'rel="next"' in answer.headers["link"]

    assert {actor for _, actor in kinds} == {"noor@team.test"}
    assert sorted(kind for kind, _ in kinds) == [
        "campaign.joined", "campaign.joined", "campaign.left", "claimed_by", "claimed_by", "deleted", "note.added",
        "note.revised", "restored", "status",
    ]  # fmt: skip
    assert [kind for kind, _ in kinds][:3] == ["restored", "deleted", "campaign.left"]


async def test_the_history_of_a_large_lead_comes_in_pages_that_fit(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    born = (await member.get(path)).json()["created_at"]
    for n in range(8):
        answer = await member.patch(path, json={"metadata": {"a": str(n) * 900_000}})
        assert answer.status_code == 200
    seen, sizes, cursor = [], [], "limit=200"
    while cursor:
        page = await member.get(f"{path}/history?{cursor}")
        seen += [item["version"] for item in page.json()["items"]]
        sizes.append(len(page.content))
        cursor = page.json()["next_cursor"] and f"limit=200&cursor={page.json()['next_cursor']}"

    assert seen == list(range(9, 0, -1))
    assert max(sizes) < 7_000_000
    assert (await member.get(f"{path}?as_of={born}")).json()["metadata"] == {}
