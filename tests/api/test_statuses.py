"""Every documented refusal that a request alone can bring about is brought about, for every operation.

The operations come from the document, so a new route is covered without being remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from app.db.session import Database
from app.main import create_app
from tests.api.conftest import Clients, browser
from tests.api.produced import lacking, seen
from tests.api.test_access import KEYED, OPERATIONS, UNKNOWN, body_of

Operation = dict[str, Any]
#: An id in the examples of bodies.
EXAMPLE = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def documented(status: str) -> Iterator[tuple[str, str, Operation]]:
    """The operations with a key that document a status."""
    return ((method, path, operation) for method, path, operation in KEYED if status in operation["responses"])


def at(path: str) -> str:
    """A path with ids of nothing."""
    return re.sub(r"\{\w+\}", UNKNOWN, path)


async def sent(client: httpx.AsyncClient, method: str, path: str, operation: Operation) -> httpx.Response:
    """Calls an operation with the body it documents."""
    body = body_of(operation)
    return (
        await client.request(method, at(path), json=body)
        if body is not None
        else await client.request(method, at(path))
    )


def queries(operation: Operation) -> list[dict[str, Any]]:
    """The parameters of an operation's query."""
    return [p for p in operation["parameters"] if p["in"] == "query"]


def is_problem(answer: httpx.Response, status: int) -> bool:
    """Whether an answer is that problem, as documented."""
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["status"] == status
        and bool(answer.json()["detail"])
    )


async def test_503_where_the_database_is_away(team: Clients) -> None:
    class Away:
        """A pool nobody gets a connection from."""

        def acquire(self, **_: object) -> None:
            raise ConnectionRefusedError

    app = create_app(runtime=replace(team.runtime, db=Database(Away())))
    async with browser(app, {"X-API-Key": "lk_x", "X-Webhook-Secret": "x"}) as client:
        wrong = [
            f"{method} {path}: {answer.status_code}"
            for method, path, operation in OPERATIONS
            if "503" in operation["responses"]
            for answer in [await sent(client, method, path, operation)]
            if not (is_problem(answer, 503) and int(answer.headers["retry-after"]) > 0)
        ]

    assert wrong == []


async def test_429_where_a_key_asks_too_often(team: Clients) -> None:
    slow = team.runtime.settings.model_copy(update={"rate_per_minute": 1})
    app = create_app(runtime=replace(team.runtime, settings=slow))
    async with browser(app, {"X-API-Key": await team.key("admin")}) as client:
        await client.get("/api/leads")
        wrong = [
            f"{method} {path}: {answer.status_code}"
            for method, path, operation in documented("429")
            for answer in [await sent(client, method, path, operation)]
            if not (is_problem(answer, 429) and int(answer.headers["retry-after"]) > 0)
        ]

    assert wrong == []


async def test_413_where_a_body_is_too_large(team: Clients) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")
    wrong = [
        f"{method} {path}: {answer.status_code}"
        for method, path, _ in documented("413")
        for answer in [
            await client.request(method, at(path), content=b" " * (team.runtime.settings.max_body_bytes + 1))
        ]
        if not is_problem(answer, 413)
    ]

    assert wrong == []


async def test_400_where_a_body_cannot_be_read(team: Clients) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")
    headers = {"Content-Type": "application/json"}
    wrong = [
        f"{method} {path}: {answer.status_code}"
        for method, path, _ in documented("400")
        for answer in [await client.request(method, at(path), content=b"{", headers=headers)]
        if not is_problem(answer, 400)
    ]

    assert wrong == []


async def test_404_where_there_is_nothing_with_that_id(team: Clients) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")
    wrong = [
        f"{method} {path}: {answer.status_code}"
        for method, path, operation in documented("404")
        if "{" in path
        for answer in [await sent(client, method, path, operation)]
        if not is_problem(answer, 404)
    ]

    assert wrong == []


async def test_422_where_an_id_or_a_field_cannot_be_taken(team: Clients) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")
    wrong = []
    for method, path, operation in documented("422"):
        if "requestBody" in operation:
            answer = await client.request(method, at(path), json={"colour": "red"})
        elif "{" in path:
            answer = await client.request(method, re.sub(r"\{\w+\}", "no-id", path))
        elif too_much := {
            p["name"]: p["schema"]["maximum"] + 1 for p in queries(operation) if "maximum" in p["schema"]
        }:
            answer = await client.request(method, path, params=too_much)
        elif queries(operation):
            answer = await client.request(method, path, params={p["name"]: "no such" for p in queries(operation)})
        else:
            continue
        if not is_problem(answer, 422):
            wrong.append(f"{method} {path}: {answer.status_code}")

    assert wrong == []


async def test_422_where_the_query_names_what_an_operation_does_not_know(team: Clients) -> None:
    """A filter with a typing mistake would otherwise show everything."""
    client = await team.of("operator", "noor@voorbeeld.nl")
    wrong = []
    for method, path, operation in documented("422"):
        body, known = body_of(operation), [p["name"] for p in queries(operation)]
        queried = {"colour=red": "colour"} | {f"{name}=1&{name}=2": name for name in known[:1]}
        for query, name in queried.items():
            answer = await client.request(method, f"{at(path)}?{query}", json=body)
            if not (is_problem(answer, 422) and answer.json()["errors"][0]["parameter"] == name):
                wrong.append(f"{method} {path}?{query}: {answer.status_code}")

    assert wrong == []
    assert len(list(documented("422"))) == len(KEYED)


async def test_412_where_a_version_is_out_of_date(team: Clients) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")
    wrong = []
    for method, path, operation in documented("412"):
        lead, other = [(await client.post("/api/leads", json={"full_name": "Noor"})).json()["id"] for _ in range(2)]
        body = EXAMPLE.sub(other.encode(), orjson.dumps(body_of(operation)))
        headers = {"If-Match": '"7"', "Content-Type": "application/json"}
        answer = await client.request(method, at(path.replace("{lead_id}", lead)), content=body, headers=headers)
        if not is_problem(answer, 412):
            wrong.append(f"{method} {path}: {answer.status_code}")

    assert wrong == []


async def test_308_where_a_lead_was_merged_into_another(team: Clients) -> None:
    client = await team.of("operator", "noor@voorbeeld.nl")
    loser, survivor = [
        (await client.post("/api/leads", json={"full_name": f"Noor {number}"})).json()["id"] for number in (1, 2)
    ]
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE lead SET merged_into = $1, deleted_at = now() WHERE id = $2", survivor, loser)
    wrong = []
    for method, path, operation in documented("308"):
        if "{lead_id}" not in path:
            continue
        here, there = (at(path.replace("{lead_id}", lead)) for lead in (loser, survivor))
        answer = await client.request(method, here, json=body_of(operation))
        if not (is_problem(answer, 308) and answer.headers["location"] == there):
            wrong.append(f"{method} {path}: {answer.status_code} {answer.headers.get('location')}")

    assert wrong == []


@pytest.mark.parametrize("status", ["308", "400", "404", "412", "413", "422", "429", "503"])
def test_each_of_these_is_documented_somewhere(status: str) -> None:
    """A walk over nothing would hold, too."""
    assert len(list(documented(status))) > 2


def test_a_documented_answer_that_nothing_brings_about_is_named() -> None:
    """What the whole run is held against at its end (tests/api/produced.py), on a small document."""
    document = {"paths": {"/boats": {"get": {"operationId": "listBoats", "responses": {"200": {}, "404": {}}}}}}
    answered = {("listBoats", "200"), ("", "404")}

    (sentence,) = lacking(document, answered)

    assert sentence.startswith("listBoats (GET /boats) documents 404, and no test of tests/api brings it about")
    assert list(lacking(document, answered, {("listBoats", "404"): "There is always a boat."})) == []
    assert list(lacking(document, answered | {("listBoats", "404")}, {("listBoats", "404"): "…"})) == [
        "listBoats 404 needs no exemption: take it out of EXEMPT in tests/api/produced.py."
    ]


async def test_what_an_app_answers_is_noted_under_its_operation(member: httpx.AsyncClient) -> None:
    before = set(seen)
    try:
        seen.clear()
        await member.get("/api/leads?limit=0")
        await member.post("/api/leads", content=b" " * 2_000_000)
        await member.get("/api/nothing")

        assert seen == {("listLeads", "422"), ("createLead", "413"), ("", "404")}
    finally:
        seen.update(before)
