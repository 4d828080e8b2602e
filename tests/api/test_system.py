"""Health, metrics, the document, and what every answer carries."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import orjson
from fastapi import FastAPI

from app.api.application import document
from app.domain import policy
from app.main import create_app
from tests.api.conftest import Clients, browser


async def test_it_is_alive_and_ready_and_counts(app: FastAPI, member: httpx.AsyncClient) -> None:
    await member.get("/api/leads/01980a3c-5f6e-7c3a-9d55-000000000000")
    async with browser(app) as nobody:
        alive, ready = await nobody.get("/healthz"), await nobody.get("/readyz")
        metrics = (await nobody.get("/metrics")).text

    assert (alive.status_code, ready.status_code) == (200, 200)
    assert 'leadkeeper_requests_total{method="GET",route="/api/leads/{lead_id}",status="404"}' in metrics
    assert "leadkeeper_pushes_pending" in metrics


async def test_the_documentation_pages_load_nothing_from_elsewhere(app: FastAPI) -> None:
    async with browser(app) as nobody:
        for page in ("/docs", "/redoc"):
            shown = (await nobody.get(page)).text
            loaded = re.findall(r'(?:src|href)="([^"]+)"', shown)
            answers = [await nobody.get(address) for address in loaded]

            assert any(address.endswith(".js") for address in loaded)
            assert [(address, answer.status_code) for address, answer in zip(loaded, answers, strict=True)] == [
                (address, 200) for address in loaded
            ]
            assert "https://" not in shown.replace("http://www.w3.org", "")


async def test_an_address_nobody_knows_is_a_problem(app: FastAPI) -> None:
    async with browser(app) as nobody:
        unknown, wrong = await nobody.get("/api/nope"), await nobody.put("/api/leads")
        named = await nobody.get("/healthz", headers={"X-Request-ID": "abc-1"})
        odd = await nobody.get("/healthz", headers={"X-Request-ID": "a b"})

    assert [a.headers["content-type"] for a in (unknown, wrong)] == ["application/problem+json"] * 2
    assert [a.status_code for a in (unknown, wrong)] == [404, 405]
    assert wrong.headers["allow"] == "GET, HEAD, POST"
    assert named.headers["x-request-id"] == "abc-1"
    assert len(odd.headers["x-request-id"]) == 32


async def test_browsers_of_known_origins_may_call(team: Clients) -> None:
    settings = team.runtime.settings.model_copy(update={"cors_origins": "https://portal.test"})
    app = create_app(settings=settings)
    ask = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
    async with browser(app) as client:
        allowed = await client.options("/api/leads", headers=ask | {"Origin": "https://portal.test"})
        refused = await client.options("/api/leads", headers=ask | {"Origin": "https://evil.test"})
        too_large = await client.post("/api/leads", content=b" " * 2_000_000, headers={"Origin": "https://portal.test"})

    assert (too_large.status_code, too_large.headers["vary"]) == (413, "Accept-Encoding, Origin")
    assert too_large.headers["access-control-allow-origin"] == "https://portal.test"
    assert allowed.headers["access-control-allow-origin"] == "https://portal.test"
    assert "access-control-allow-origin" not in refused.headers


async def test_head_answers_as_get_does_without_the_body(member: httpx.AsyncClient) -> None:
    path = (await member.post("/api/leads", json={"email": "a@x.test"})).headers["location"]
    for address, status in ((path, 200), ("/healthz", 200), ("/api/leads?nope=1", 422), ("/api/events", 200)):
        head = await member.head(address)

        assert (head.status_code, head.content) == (status, b""), address
    got, asked = await member.get(path), await member.head(path)
    same = ("etag", "content-type", "content-length")
    assert [asked.headers[name] for name in same] == [got.headers[name] for name in same]


async def test_large_answers_are_compressed(member: httpx.AsyncClient) -> None:
    for i in range(3):
        await member.post("/api/leads", json={"email": f"{i}@x.test"})

    assert (await member.get("/api/leads")).headers["content-encoding"] == "gzip"


async def test_a_lead_shows_every_field_of_the_policy_as_documented(member: httpx.AsyncClient) -> None:
    lead = (await member.post("/api/leads", json={"email": "a@x.test"})).json()

    shape = document()["components"]["schemas"]["Lead"]

    assert set(lead) == set(shape["properties"]) == set(shape["required"])
    assert set(lead) == {*policy.FIELDS, "id", "version", "custom", "created_by", "created_at", "updated_at"}


def test_the_document_is_the_same_in_every_process() -> None:
    script = "import orjson; from app.api.application import document; print(orjson.dumps(document()).decode())"

    other = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env={"PYTHONHASHSEED": "7"})

    assert orjson.loads(other.stdout) == document()
    assert other.stdout.strip() == orjson.dumps(document())
