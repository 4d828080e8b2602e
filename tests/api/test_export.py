"""Export: every lead in one answer, in cells that are safe to open, at flat memory, for as long as somebody reads."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from app.api.errors import Problem
from app.api.routes import exports as route
from app.api.streamed import Streamed
from app.db import exports
from app.db.session import DatabaseUnavailable
from app.domain import policy
from app.lab.servers import serving
from app.main import create_app
from tests.api.conftest import Clients

#: Leads that fill every buffer between Postgres and a reader who does not read.
LARGE = 5_000


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8"), newline="")))


async def test_an_export_holds_every_field_of_every_lead(member: httpx.AsyncClient) -> None:
    full: dict[str, Any] = {
        "email": "a@x.test", "full_name": "Noor de Vries", "title": 'Say "hi", twice\nand again', "deal_value": -12.5,
        "next_action_date": "2026-03-14", "campaigns": ["Beurs, najaar", "Voorjaar"], "metadata": {"a": {"b": '"'}},
        "custom": {"stand": "B12"}, "notes": "één\r\ntwee", "is_positive_reply": True,
    }  # fmt: skip
    path = (await member.post("/api/leads", json=full)).headers["location"]
    await member.post("/api/leads", json={"email": "b@x.test"})
    lead = (await member.get(path)).json()

    answer = await member.get("/api/leads/export")
    lines = (await member.get("/api/leads/export?format=ndjson")).content.split(b"\n")

    (row,) = [row for row in rows(answer) if row["email"] == "a@x.test"]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="leads-')
    assert list(row) == list(exports.FIELDS) == list(lead)
    for name, value in lead.items():
        cell = row[name]
        if value is None:
            assert cell == "", name
        elif isinstance(value, dict | list):
            assert orjson.loads(cell) == value, name
        else:
            assert cell == (str(value).lower() if isinstance(value, bool) else str(value)), name
    assert lines.pop() == b""
    assert lead in [orjson.loads(line) for line in lines]
    assert len(lines) == 2


STARTS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "－1")


@pytest.mark.parametrize("text", STARTS)
async def test_no_text_can_run_as_a_formula(team: Clients, text: str) -> None:
    texts = [name for name, f in policy.FIELDS.items() if f.kind in exports._AS_TEXT]
    assigned = ", ".join(f"{name} = $1" for name in texts)
    client = await team.of("member")
    await client.post("/api/leads", json={"email": "a@x.test", "deal_value": -3})
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run(f"UPDATE lead SET {assigned}, custom = jsonb_build_object('x', $1::text)", text)

    (row,) = rows(await client.get("/api/leads/export"))

    assert {row[name] for name in texts} == {f"'{text}"}
    assert row["deal_value"] == "-3"
    assert not [cell for name, cell in row.items() if cell.startswith(tuple("=+-@\t\r\n")) and name != "deal_value"]


async def test_an_export_takes_the_filters_of_the_list_and_the_fields_asked_for(member: httpx.AsyncClient) -> None:
    for name, status in (("a", "new"), ("b", "replied"), ("c", "it's")):
        source = {"source": status} if name == "c" else {"status": status}
        await member.post("/api/leads", json={"email": f"{name}@x.test", **source})

    replied = await member.get("/api/leads/export?status=replied,booked&fields=status,email")
    quoted = await member.get("/api/leads/export", params={"source": "it's", "fields": "email", "format": "ndjson"})
    none = await member.get("/api/leads/export?status=won&fields=email")
    marked = await member.get("/api/leads/export?status=replied&fields=email&bom=true")
    wrong = [
        await member.get(f"/api/leads/export?{q}") for q in ("fields=marks", "colour=red", "format=xls", "limit=1")
    ]

    found = await member.get("/api/leads/export?q=B&fields=email")
    lost = await member.get("/api/leads/export", params={"q": "b", "status": "new", "fields": "email"})
    no_words = await member.get("/api/leads/export?q=%00")

    assert (found.text, lost.text, no_words.status_code) == ("email\nb@x.test\n", "email\n", 422)
    assert replied.text == "status,email\nreplied,b@x.test\n"
    assert quoted.text == '{"email":"c@x.test"}\n'
    assert none.text == "email\n"
    assert marked.content == "\ufeffemail\nb@x.test\n".encode()
    assert [w.status_code for w in wrong] == [422] * 4
    assert "email" in wrong[0].json()["allowed"]


async def test_a_deleted_lead_and_another_workspaces_leads_are_in_no_export(team: Clients, others: Clients) -> None:
    client = await team.of("member")
    path = (await client.post("/api/leads", json={"email": "gone@x.test"})).headers["location"]
    await client.delete(path)
    await (await others.of("member")).post("/api/leads", json={"email": "theirs@x.test"})

    for form, empty in (("csv", "email\n"), ("ndjson", "")):
        answer = await (await team.of("viewer")).get(f"/api/leads/export?format={form}&fields=email")
        assert (answer.status_code, answer.text) == (200, empty)


async def test_an_export_is_compressed_for_those_who_take_that(member: httpx.AsyncClient) -> None:
    await member.post("/api/leads", json={"email": "a@x.test"})

    packed = await member.get("/api/leads/export?fields=email", headers={"Accept-Encoding": "gzip"})
    plain = await member.get("/api/leads/export?fields=email", headers={"Accept-Encoding": "identity"})

    assert (packed.headers["content-encoding"], packed.text) == ("gzip", plain.text)


async def fill(team: Clients) -> None:
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run(
            "INSERT INTO lead (workspace_id, id, notes) SELECT $1, gen_random_uuid(), repeat('x', 10000)"
            " FROM generate_series(1, $2)",
            team.workspace_id, LARGE,
        )  # fmt: skip


async def under_way(team: Clients) -> int:
    """How many exports Postgres is busy with."""
    row = await team.runtime.db.look_up(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (%'"
        " AND state <> 'idle'"
    )
    return int(row[0])


async def ended(team: Clients) -> bool:
    """Waits for the end of all exports; tells whether it came."""
    for _ in range(300):
        if not await under_way(team):
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_reader_who_goes_away_ends_the_transaction(team: Clients) -> None:
    await fill(team)
    headers = {"X-API-Key": await team.key("viewer"), "Accept-Encoding": "identity"}
    async with serving(team.app) as url, httpx.AsyncClient(base_url=url, headers=headers) as client:
        async with client.stream("GET", "/api/leads/export") as answer:
            pieces = answer.aiter_bytes()
            await anext(pieces)
            while_reading = await under_way(team)
        assert await ended(team)
        whole = await client.get("/api/leads/export?fields=id")

    assert while_reading == 1
    assert whole.text.count("\n") == LARGE + 1
    await nothing_is_left(team)


async def test_a_reader_who_goes_away_cancels_the_writer() -> None:
    cancelled = asyncio.Event()

    async def make(write: Any) -> None:
        await write(b"id\n")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # as a transaction does to roll back
            cancelled.set()
            raise

    async with serving(Streamed(make, {}, "text/csv")) as url, httpx.AsyncClient() as client:
        async with client.stream("GET", url) as answer:
            pieces = answer.aiter_bytes()
            await anext(pieces)
            assert not cancelled.is_set()
        await asyncio.wait_for(cancelled.wait(), 30)


async def nothing_is_left(team: Clients) -> None:
    for _ in range(10):
        row = await team.runtime.db.look_up("SELECT current_setting('app.workspace_id', true) AS tenant")
        assert row["tenant"] in (None, "")


async def test_a_reader_who_takes_nothing_ends_the_transaction_and_never_gets_an_end(team: Clients) -> None:
    await fill(team)

    async def make(write: Any) -> None:
        async with team.runtime.db.transaction(team.tenant) as tx:
            await exports.leads(tx, write, format="csv")

    impatient = Streamed(make, {}, "text/csv", patience=0.2)
    async with serving(impatient) as url, httpx.AsyncClient() as client, client.stream("GET", url) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        assert await under_way(team) == 1
        assert await ended(team)
        with pytest.raises(httpx.RemoteProtocolError):
            [piece async for piece in pieces]

    await nothing_is_left(team)


async def test_what_breaks_off_before_the_first_piece_is_a_problem_and_later_it_is_no_whole_answer() -> None:
    async def breaks(write: Any) -> None:
        raise Problem(429, "later")

    async def breaks_later(write: Any) -> None:
        await write(b"id\n")
        raise Problem(429, "later")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    for make in (breaks, breaks_later):
        with pytest.raises(Problem):
            await Streamed(make, {}, "text/csv")({}, receive, send)

    assert [message.get("more_body") for message in sent] == [None, True]


async def test_a_workspace_has_two_exports_at_a_time_and_leaves_a_place_to_others(
    team: Clients, others: Clients
) -> None:
    places = team.app.state.exports
    ask = "/api/leads/export?fields=id"
    mine, theirs = await team.of("viewer"), await others.of("viewer")

    with places.taken(team.workspace_id), places.taken(team.workspace_id):
        refused, found = await mine.get(ask), await theirs.get(ask)
        with places.taken(others.workspace_id):
            full = await theirs.get(ask)
    again = await mine.get(ask)

    assert [a.status_code for a in (refused, found, full, again)] == [429, 200, 429, 200]
    assert refused.headers["retry-after"] == str(route.RETRY)
    assert not places._taken


async def test_an_export_breaks_off_when_its_key_is_revoked_or_its_person_removed(
    team: Clients, admin: httpx.AsyncClient
) -> None:
    await fill(team)
    user = (await admin.post("/api/admin/users", json={"email": "noor@team.test", "role": "viewer"})).json()
    app = create_app(runtime=team.runtime)
    app.state.exports = route.Places(team.runtime.db, look_every=0)
    key = await team.key("viewer", "noor@team.test")
    headers = {"X-API-Key": key, "Accept-Encoding": "identity"}
    async with serving(app) as url, httpx.AsyncClient(base_url=url, headers=headers) as client:
        async with client.stream("GET", "/api/leads/export") as answer:
            pieces = answer.aiter_bytes()
            await anext(pieces)
            assert (await admin.delete(f"/api/admin/users/{user['id']}")).status_code == 204
            with pytest.raises(httpx.RemoteProtocolError):
                [piece async for piece in pieces]
        refused = await client.get("/api/leads/export")

    assert refused.status_code == 401
    assert await ended(team)
    assert not app.state.exports._taken
    await nothing_is_left(team)


async def test_an_export_may_take_longer_than_a_statement_and_not_longer_than_its_own_limit(team: Clients) -> None:
    got: list[bytes] = []

    async def write(piece: bytes) -> None:
        got.append(piece)

    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("SET LOCAL statement_timeout = 100")
        await tx.copy("SELECT 1 FROM pg_sleep($1)", 0.3, to=write, seconds=5, format="csv")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await tx.run("DELETE FROM lead")
    with pytest.raises(DatabaseUnavailable):
        async with team.runtime.db.transaction(team.tenant) as tx:
            await tx.copy("SELECT 1 FROM pg_sleep($1)", 30, to=write, seconds=1, format="csv")

    assert b"".join(got) == b"1\n"
