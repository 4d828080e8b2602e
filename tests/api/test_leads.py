"""Leads over REST: CRUD, versions, refusals, pages."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest

from app.api.errors import TYPES
from app.api.schemas.problem import ProblemDetails
from app.api.schemas.story import Activity
from app.domain import policy
from app.domain.events import KINDS
from tests.api.conftest import Clients

UNKNOWN = "01980a3c-5f6e-7c3a-9d55-000000000000"


async def test_a_lead_is_created_read_changed_replaced_and_deleted(member: httpx.AsyncClient) -> None:
    made = await member.post("/api/leads", json={"email": "Jan@Example.test", "first_name": "Jan", "custom": {"a": 1}})

    assert made.status_code == 201, made.text
    lead = made.json()
    path = made.headers["location"]
    assert made.headers["etag"] == '"1"'
    assert path == f"/api/leads/{lead['id']}"
    assert (lead["email"], lead["full_name"], lead["custom"]) == ("jan@example.test", "Jan", {"a": 1})

    read = await member.get(path)
    assert (read.json(), read.headers["etag"]) == (lead, '"1"')
    assert (await member.get(path, headers={"If-None-Match": '"1"'})).status_code == 304

    changed = await member.patch(path, json={"title": "CEO", "first_name": None})
    assert (changed.status_code, changed.json()["title"], changed.json()["version"]) == (200, "CEO", 2)

    replaced = await member.put(path, json={"email": "jan@example.test", "deal_value": 12.5})
    assert (replaced.json()["title"], replaced.json()["deal_value"]) == (None, 12.5)

    assert (await member.delete(path)).status_code == 204
    gone = await member.get(path)
    assert (gone.status_code, gone.json()["detail"]) == (404, f"Lead {lead['id']} was deleted: restore it first.")


async def test_a_merge_patch_may_say_what_it_is(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]

    found = await member.patch(
        path, content=b'{"title":"CTO"}', headers={"Content-Type": "application/merge-patch+json"}
    )

    assert found.json()["title"] == "CTO"


async def test_a_merge_patch_reaches_into_custom_values_and_a_null_empties_them_all(member: httpx.AsyncClient) -> None:
    fair = {"name": "Beurs", "hall": {"nr": 7, "row": "B"}}
    made = await member.post("/api/leads", json={"full_name": "Jan", "custom": {"fair": fair, "size": "XL"}})
    path = made.headers["location"]

    merged = await member.patch(path, json={"custom": {"fair": {"hall": {"row": None}, "year": 2026}}})
    one = await member.patch(path, json={"custom": {"size": None}})
    emptied = await member.patch(path, json={"custom": None})

    assert merged.json()["custom"] == {"fair": {"name": "Beurs", "hall": {"nr": 7}, "year": 2026}, "size": "XL"}
    assert one.json()["custom"]["size"] is None
    assert emptied.json()["custom"] == {"fair": None, "size": None}


async def test_a_lost_update_is_refused(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    await member.patch(path, json={"title": "CTO"})

    late = await member.patch(path, json={"title": "CEO"}, headers={"If-Match": '"1"'})
    wrong = await member.patch(path, json={"title": "CEO"}, headers={"If-Match": "yesterday"})
    right = await member.patch(path, json={"title": "CEO"}, headers={"If-Match": '"2"'})

    assert (late.status_code, late.headers["etag"], late.json()["version"]) == (412, '"2"', 2)
    assert wrong.status_code == 412
    assert (right.status_code, right.headers["etag"]) == (200, '"3"')


async def test_a_known_address_is_a_conflict_that_names_the_lead(member: httpx.AsyncClient) -> None:
    lead = (await member.post("/api/leads", json={"email": "a@x.test"})).json()

    again = await member.post("/api/leads", json={"email": " A@x.test"})

    assert (again.status_code, again.json()["lead_id"]) == (409, lead["id"])


async def test_errors_of_one_status_are_told_apart_by_their_type(
    member: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    a, b, c = [(await member.post("/api/leads", json={"email": f"{n}@x.test"})).json()["id"] for n in "abc"]
    await member.delete(f"/api/leads/{a}")
    await member.post(f"/api/leads/{b}/claim")
    await member.post(f"/api/leads/{b}/merge", json={"other": c, "dry_run": False})
    key = {"Idempotency-Key": "k"}
    await member.post("/api/leads", json={"full_name": "Jan"}, headers=key)
    answers = [
        await member.get(f"/api/leads/{UNKNOWN}"),
        await member.get(f"/api/leads/{a}"),
        await member.get(f"/api/leads/{c}"),
        await member.delete(f"/api/leads/{c}"),
        await admin.post(f"/api/leads/{b}/claim", json={"claimed_by": "eva@team.test"}),
        await member.post("/api/leads", json={"email": "b@x.test"}),
        await member.patch(f"/api/leads/{b}", json={}, headers={"If-Match": '"1"'}),
        await member.post("/api/leads", json={"full_name": "Eva"}, headers=key),
        await member.post("/api/leads", json={"colour": "red"}),
    ]

    found = [(answer.status_code, answer.json()["type"].removeprefix("urn:leadkeeper:problem:")) for answer in answers]
    assert found == [
        (404, "not-found"),
        (404, "deleted"),
        (308, "merged"),
        (409, "merged"),
        (409, "already-claimed"),
        (409, "identity-taken"),
        (412, "stale-version"),
        (422, "idempotency-key-reused"),
        (422, "unprocessable-entity"),
    ]
    described = ProblemDetails.model_fields["type"].description or ""
    assert [kind for kind in TYPES.values() if f"`{kind}`" not in described] == []


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"nope": 1}, "/nope", "There is no such field."),
    ({"email_open_count": 1}, "/email_open_count", "This field is read-only: it is kept by the sync."),
    ({"id": "x"}, "/id", "This field is read-only: Leadkeeper keeps it."),
    ({"status": "happy"}, "/status", "There is no such status: it is one of new"),
    ({"status": None}, "/status", "A lead always has a status"),
    ({"email": "no address"}, "/email", ""),
    ({"title": "x" * 10_001}, "/title", "It has 10,001 characters; 10,000 is the most."),
    ({"custom": []}, "/custom", "It is an object of keys and values."),
    ({"custom": {"": 1}}, "/custom", "Each of its keys has 1 to 200 characters."),
    ({"next_action_date": "soon"}, "/next_action_date", "It is not a date. Send one such as 2026-03-02."),
    ({"deal_value": "much"}, "/deal_value", ""),
    ({"custom.stand": "B12"}, "/custom.stand", "There is no such field."),
    ({"a/b~c": 1}, "/a~1b~0c", "There is no such field."),
    ({"company_website": "javascript:alert(1)"}, "/company_website", "It is an address that begins with https:// or"),
    ({"linkedin_url": "data:text/html,x"}, "/linkedin_url", "It is an address that begins with https:// or http://"),
]


@pytest.mark.parametrize(
    ("body", "pointer", "sentence"), REFUSED, ids=[str(next(iter(r[0]))) + r[2][:9] for r in REFUSED]
)
async def test_what_cannot_be_taken_is_refused_by_name(
    member: httpx.AsyncClient, body: dict[str, Any], pointer: str, sentence: str
) -> None:
    answer = await member.post("/api/leads", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert answer.json()["errors"][0]["detail"].startswith(sentence)


@pytest.mark.parametrize("field", ["email", "status", "next_action_date", "deal_value", "verified", "claimed_at"])
async def test_a_refusal_repeats_nothing_that_was_sent(member: httpx.AsyncClient, field: str) -> None:
    sent = "zq canary"
    answers = [
        await member.post("/api/leads", json={field: sent}),
        await member.get(f"/api/leads?{field}={sent}"),
        await member.get(f"/api/leads?sort={sent}"),
        await member.get(f"/api/leads/{sent}"),
        await member.post("/api/leads/01980a3c-5f6e-7c3a-9d55-000000000000/claim", json={"claimed_by": sent}),
        await member.post("/api/leads/bulk", json={"operations": [{"op": sent}]}),
        await member.get(f"/api/events?wait=0&types={sent}"),
    ]

    assert {answer.status_code for answer in answers} <= {200, 403, 422}
    assert [answer.text for answer in answers if "canary" in answer.text or "`z`" in answer.text] == []


async def test_a_body_that_cannot_be_read_is_refused_with_its_reason(member: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await member.post("/api/leads", content=b'{"title": "a\\u0000b"}', headers=headers)

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The body holds a NUL character")


BROKEN: list[bytes] = [
    b'{"deal_value": NaN}',
    b'{"deal_value": Infinity}',
    b'{"title": "\\ud800"}',
    b'{"title": "a\\u0000b"}',
    b'{"a\\u0000b": 1}',
    b'{"title": "\xff"}',
    b"{",
    b"[1]",
    b"null",
    b"7",
    b'{"metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
    b"[" * 100_000,
    b'{"deal_value": 123456789012345678901234567890}',
    b'{"deal_value": 1e300}',
    b'{"deal_value": 1e15}',
]


@pytest.mark.parametrize("body", BROKEN, ids=lambda b: repr(b[:24]))
async def test_a_broken_body_is_answered_with_one_sentence(member: httpx.AsyncClient, body: bytes) -> None:
    answer = await member.post("/api/leads", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()) >= {"type", "title", "status", "detail", "errors", "request_id"}
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_two_megabyte_note_is_too_large(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]

    known = await member.post(f"{path}/notes", json={"text": "x" * 2_000_000})

    async def slices() -> Any:
        for _ in range(20):
            yield b"x" * 100_000

    unknown = await member.post(f"{path}/notes", content=slices(), headers={"Content-Type": "application/json"})

    assert (known.status_code, unknown.status_code) == (413, 413)
    assert "1,000,000 bytes" in known.json()["detail"]


async def test_a_long_note_within_the_body_limit_is_refused_by_field(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]

    answer = await member.post(f"{path}/notes", json={"text": "x" * 20_001})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/text")


@pytest.mark.parametrize(
    ("field", "first", "more"),
    [
        ("custom", {"a": "x" * 900_000}, {"b": "x" * 900_000}),
        ("metadata", {"a": "x" * 900_000}, {"b": "x" * 900_000}),
        ("campaigns", ["x" * 90_000], ["x" * 90_000, "y" * 90_000]),
    ],
)
async def test_a_lead_holds_only_so_much_however_often_it_is_added_to(
    member: httpx.AsyncClient, field: str, first: Any, more: Any
) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test", field: first})).headers["location"]
    operation = {"op": "update", "id": path.rpartition("/")[2], "lead": {field: more}}

    refused = await member.patch(path, json={field: more})
    many = await member.post(
        "/api/leads/bulk", json={"operations": [operation, {"op": "create", "lead": {"full_name": "B"}}]}
    )
    other = await member.patch(path, json={"title": "CTO"})

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert [item["status"] for item in many.json()["items"]] == [422, 201]
    assert (other.status_code, other.json()["version"]) == (200, 2)


@pytest.mark.parametrize(
    "body", [{}, {"email": None, "full_name": " ", "custom": {}}, {"title": "CTO", "status": "won", "notes": "Who?"}]
)
async def test_a_lead_that_nobody_could_recognise_is_not_made(member: httpx.AsyncClient, body: dict[str, Any]) -> None:
    alone = await member.post("/api/leads", json=body)
    among = await member.post("/api/leads/bulk", json={"operations": [{"op": "create", "lead": body}]})

    (outcome,) = among.json()["items"]
    for refused, place in ((alone.json(), ""), (outcome["error"], "/operations/0/lead")):
        (error,) = refused["errors"]
        assert (refused["status"], error["pointer"]) == (422, place)
        assert error["detail"].startswith("A lead needs something that tells who it is: one of email, full_name, ")
    assert (await member.get("/api/leads?count=exact")).json()["count"] == 0


async def test_no_edit_takes_the_last_of_what_tells_who_a_lead_is(team: Clients, member: httpx.AsyncClient) -> None:
    made = await member.post("/api/leads", json={"email": "a@x.test", "first_name": "Anna", "title": "CTO"})
    path, lead_id = made.headers["location"], made.json()["id"]
    nobody = {"email": None, "full_name": None, "first_name": None}
    among = {"operations": [{"op": "update", "id": lead_id, "lead": nobody}]}

    refused = [
        await member.put(path, json={"title": "CEO"}),
        await member.patch(path, json=nobody),
    ]
    outcome = (await member.post("/api/leads/bulk", json=among)).json()["items"][0]
    kept = await member.get(path)
    async with team.runtime.db.transaction(team.tenant) as tx:
        # as a tool may have brought it
        await tx.run("UPDATE lead SET email = NULL, first_name = NULL, full_name = NULL WHERE id = $1", lead_id)
    edited = await member.patch(path, json={"title": "CEO"})

    assert [answer.status_code for answer in refused] + [outcome["status"]] == [422, 422, 422]
    assert (kept.json()["version"], edited.status_code) == (1, 200)


async def test_notes_are_added_up_to_a_million_characters(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"full_name": "Anna", "notes": "x" * 990_000})).headers["location"]

    refused = await member.post(f"{path}/notes", json={"text": "y" * 10_000})
    added = await member.post(f"{path}/notes", json={"text": "y" * 9_999})

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/notes")
    assert (added.status_code, len(added.json()["notes"])) == (201, 1_000_000)


async def test_a_campaign_may_have_a_name_of_any_length(member: httpx.AsyncClient) -> None:
    name = secrets.token_urlsafe(6_000)

    made = await member.post("/api/leads", json={"email": "a@x.test", "campaigns": [name]})
    told = (await member.get(f"{made.headers['location']}/activity")).json()["items"]

    assert made.status_code == 201
    assert [entry["detail"] for entry in told if entry["kind"] == "campaign.joined"] == [{"campaign": name}]


async def test_a_walk_over_pages_shows_every_lead_once(member: httpx.AsyncClient) -> None:
    for i in range(7):
        await member.post("/api/leads", json={"email": f"{i}@x.test", "status": "replied" if i % 2 else "new"})

    for sort in ("-updated_at", "updated_at", "id"):
        seen: list[str] = []
        url: str | None = f"/api/leads?limit=3&sort={sort}&count=exact"
        while url is not None:
            answer = await member.get(url)
            seen += [lead["email"] for lead in answer.json()["items"]]
            assert answer.json()["count"] == 7
            url = answer.links["next"]["url"] if answer.json()["next_cursor"] else None

        expected = [f"{i}@x.test" for i in range(7)]
        assert seen == (expected[::-1] if sort == "-updated_at" else expected)


async def test_filters_choose(member: httpx.AsyncClient) -> None:
    for i, status in enumerate(["new", "replied", "booked"]):
        await member.post("/api/leads", json={"email": f"{i}@x.test", "status": status, "source": f"s{i}"})
    await member.post(f"/api/leads/{(await _emails(member, 'email=1@x.test', key='id'))[0]}/claim")

    assert await _emails(member, "status=replied,booked") == ["1@x.test", "2@x.test"]
    assert await _emails(member, "email=2@X.test") == ["2@x.test"]
    assert await _emails(member, "source=s0") == ["0@x.test"]
    assert await _emails(member, "claimed_by[is]=null") == ["0@x.test", "2@x.test"]
    assert await _emails(member, "claimed_by=noor@team.test") == ["1@x.test"]
    assert await _emails(member, "updated_at[gte]=2999-01-01T00:00:00Z") == []


async def _emails(client: httpx.AsyncClient, query: str, key: str = "email") -> list[str]:
    answer = await client.get(f"/api/leads?sort=id&{query}")
    assert answer.status_code == 200, answer.text
    return [lead[key] for lead in answer.json()["items"]]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("sort=title", "sort"),
        ("nope=1", "nope"),
        ("status=new&status=won", "status"),
        ("status=", "status"),
        ("email=", "email"),
        ("source=a,,b", "source"),
        ('source="a', "source"),
        ("next_action_date=20260302", "next_action_date"),
        ("updated_at[gt]=20260302T091500Z", "updated_at[gt]"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=zzz", "cursor"),
        ("cursor=%00", "cursor"),
        ("count=some", "count"),
        ("email=%00", "email"),
        ("claimed_by[is]=1", "claimed_by[is]"),
        ("updated_at[gt]=soon", "updated_at[gt]"),
    ],
)
async def test_an_unknown_order_or_filter_is_refused_with_what_is_allowed(
    member: httpx.AsyncClient, query: str, parameter: str
) -> None:
    answer = await member.get(f"/api/leads?{query}")

    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, parameter)


async def test_a_cursor_belongs_to_its_list(member: httpx.AsyncClient) -> None:
    for i in range(3):
        await member.post("/api/leads", json={"email": f"{i}@x.test"})
    cursor = (await member.get("/api/leads?limit=1")).json()["next_cursor"]

    assert (await member.get(f"/api/leads?limit=1&cursor={cursor}")).status_code == 200
    assert (await member.get(f"/api/leads?limit=1&sort=id&cursor={cursor}")).status_code == 422
    assert (await member.get(f"/api/leads?limit=1&status=new&cursor={cursor}")).status_code == 422


async def test_deleted_leads_are_listed_until_they_are_restored_or_erased(
    member: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    ids = [(await member.post("/api/leads", json={"email": f"{n}@x.test"})).json()["id"] for n in "abcde"]
    merged = await member.post(f"/api/leads/{ids[0]}/merge", json={"other": ids[1], "dry_run": False})
    assert merged.status_code == 200
    for lead_id in ids[2:]:
        await member.delete(f"/api/leads/{lead_id}")

    first = await member.get("/api/leads/deleted?limit=2")
    rest = await member.get(first.links["next"]["url"])
    await member.post(f"/api/leads/{ids[2]}/restore")
    await admin.delete(f"/api/leads/{ids[3]}?purge=true")
    left = await member.get("/api/leads/deleted")

    assert [item["email"] for item in first.json()["items"]] == ["e@x.test", "d@x.test"]
    assert [item["email"] for item in rest.json()["items"]] == ["c@x.test"]
    assert "next" not in rest.links
    assert [item["id"] for item in left.json()["items"]] == [ids[4]]


async def test_history_activity_and_explain_tell_the_story(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test", "title": "CTO"})).headers["location"]
    await member.patch(path, json={"title": "CEO"})
    await member.post(f"{path}/notes", json={"text": "Called."})
    await member.post(f"{path}/claim")

    history = (await member.get(f"{path}/history?limit=3")).json()
    rest = (await member.get(f"{path}/history?limit=3&cursor={history['next_cursor']}")).json()
    whole = await member.get(f"{path}/history?limit=4")
    activity = (await member.get(f"{path}/activity?limit=2")).json()
    explained = (await member.get(f"{path}/explain")).json()

    assert [c["version"] for c in history["items"] + rest["items"]] == [4, 3, 2, 1]
    assert [page["next_cursor"] for page in (rest, whole.json(), activity)] == [None] * 3
    assert "link" not in whole.headers
    assert rest["items"][-1]["actor"] == "noor@team.test"
    assert {a["kind"] for a in activity["items"]} == {"claimed_by", "note.added"}
    described = Activity.model_fields["kind"].description or ""
    kinds = {"claimed_by", "note.added", *(kind.activity for kind in KINDS.values())}
    assert [kind for kind in kinds if f"`{kind}`" not in described] == []
    title = explained["fields"]["title"]
    assert (title["value"], title["source"], title["rule"], title["version"]) == ("CEO", "user", "user", 2)
    assert explained["fields"]["notes"]["value"] == "Called."
    assert (await member.get(f"{path}/links")).json() == {"items": []}


async def test_claims_belong_to_people(team: Clients, member: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]

    mine = await member.post(f"{path}/claim")
    taken = await admin.post(f"{path}/claim")
    forbidden = await member.post(f"{path}/claim", json={"claimed_by": "zoe@team.test"})
    nobody = await (await team.of("member")).post(f"{path}/claim")
    theirs = await (await team.of("member", "zoe@team.test")).post(f"{path}/unclaim")
    freed = await admin.post(f"{path}/unclaim")
    given = await admin.post(f"{path}/claim", json={"claimed_by": "zoe@team.test"})

    assert (mine.status_code, mine.json()["claimed_by"]) == (200, "noor@team.test")
    assert (taken.status_code, taken.json()["claimed_by"]) == (409, "noor@team.test")
    assert forbidden.status_code == 403
    assert (nobody.status_code, nobody.json()["errors"][0]["pointer"]) == (422, "/claimed_by")
    assert theirs.status_code == 409
    assert freed.json()["claimed_by"] is None
    assert given.json()["claimed_by"] == "zoe@team.test"


async def test_a_merged_lead_leads_to_the_survivor(team: Clients, member: httpx.AsyncClient) -> None:
    survivor, loser = [(await member.post("/api/leads", json={"email": f"{i}@x.test"})).json()["id"] for i in "ab"]
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE lead SET merged_into = $1, deleted_at = now() WHERE id = $2", survivor, loser)

    answers = [
        await member.get(f"/api/leads/{loser}"),
        await member.patch(f"/api/leads/{loser}", json={"title": "CEO"}),
        await member.get(f"/api/leads/{loser}/activity?limit=5"),
        await member.delete(f"/api/leads/{loser}/campaigns/Café 1/2"),
    ]

    assert [(a.status_code, a.headers["location"].removeprefix(f"/api/leads/{survivor}")) for a in answers] == [
        (308, ""), (308, ""), (308, "/activity?limit=5"), (308, "/campaigns/Caf%C3%A9%201/2"),
    ]  # fmt: skip


async def test_who_deletes_a_merged_lead_or_merges_it_again_is_told_and_not_sent_on_to_the_survivor(
    team: Clients, member: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    """A client follows a 308 with the same method, so it would delete the survivor."""
    survivor, loser, third = [
        (await member.post("/api/leads", json={"email": f"{i}@x.test"})).json()["id"] for i in "abc"
    ]
    merge = {"other": loser, "dry_run": False}
    assert (await member.post(f"/api/leads/{survivor}/merge", json=merge)).status_code == 200

    answers = [
        await member.delete(f"/api/leads/{loser}", follow_redirects=True),
        await admin.delete(f"/api/leads/{loser}?purge=true", follow_redirects=True),
        await member.post(f"/api/leads/{third}/merge", json=merge, follow_redirects=True),
    ]

    assert [(a.status_code, a.json()["lead_id"]) for a in answers] == [(409, survivor)] * 3
    assert (await member.get(f"/api/leads/{survivor}")).status_code == 200


async def test_an_edit_claims_no_more_than_a_claim_does(member: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    zoe, noor = {"claimed_by": "zoe@team.test"}, {"claimed_by": "noor@team.test"}
    lead_id = path.rpartition("/")[2]

    for_zoe = [
        await member.patch(path, json=zoe),
        await member.put(path, json=zoe),
        await member.post("/api/leads", json=zoe),
    ]
    unheld = await member.patch(path, json={"claimed_at": "2026-03-02T09:15:00Z"})
    await admin.patch(path, json=zoe)
    held = (await member.get(path)).json()
    echoed = await member.patch(path, json={"title": "CTO", "claimed_by": held["claimed_by"], "claimed_at": None})
    stolen = [
        await member.patch(path, json=noor),
        await member.patch(path, json={"claimed_by": None}),
        await member.patch(path, json={"claimed_at": "2026-03-02T09:15:00Z"}),
    ]
    update = {"op": "update", "id": lead_id, "lead": noor}
    in_bulk = (await member.post("/api/leads/bulk", json={"operations": [update]})).json()["items"][0]
    replaced = (await member.put(path, json={"email": "a@x.test"})).json()
    freed = (await admin.patch(path, json={"claimed_by": None})).json()
    mine = (await member.patch(path, json=noor)).json()

    assert [a.status_code for a in for_zoe] == [403] * 3
    assert unheld.status_code == 409
    assert held["claimed_at"] is not None
    assert (echoed.status_code, echoed.json()["claimed_at"]) == (200, held["claimed_at"])
    assert [(a.status_code, a.json()["claimed_by"]) for a in stolen] == [(409, "zoe@team.test")] * 3
    assert (in_bulk["status"], in_bulk["error"]["claimed_by"]) == (409, "zoe@team.test")
    assert (replaced["claimed_by"], replaced["claimed_at"]) == ("zoe@team.test", held["claimed_at"])
    assert (freed["claimed_by"], freed["claimed_at"]) == (None, None)
    assert mine["claimed_by"] == "noor@team.test"
    assert mine["claimed_at"] is not None


ODD: list[Any] = [
    None, True, 0, -1, 2**63 - 1, 1e300, 1e15, "", " ", "a\u200b", "\x7f\x01", "💥", "2026-13-45",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "http://[::1", "+31", "a@b", [], {},
    [[]], ["a", None], {"a.b": [1, {}]}, 1.5,
]  # fmt: skip


async def test_odd_values_are_taken_or_refused_and_what_was_taken_can_be_read(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    one_of_a_kind = {policy.field(name).kind: name for name in sorted(policy.WRITABLE)}

    for field in (*one_of_a_kind.values(), "custom"):
        for value in ODD:
            answer = await member.patch(path, json={field: value})
            assert answer.status_code in (200, 422), (field, value, answer.text)
        assert (await member.get(path)).status_code == 200
        assert (await member.get(f"{path}/explain")).status_code == 200
