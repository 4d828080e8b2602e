"""export: all leads of a workspace as CSV over HTTP, against COPY of the same columns by a bare client.

The floor is what Postgres gives anybody: the columns as they are stored, with nothing neutralised and no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Final
from uuid import UUID

from app.db import exports
from app.db.session import Database, begins
from app.lab import processes
from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.bench.rig import Urls, workspace
from app.lab.scratch import connected
from app.lab.servers import free_port

SAMPLE: Final = 0.05
#: A lead as people fill them in: every row holds one @, which is how rows are counted on both sides.
_FILL: Final = """
INSERT INTO lead (workspace_id, id, email, full_name, first_name, last_name, company_name, company_domain, title,
    location, industry, company_size, company_website, source, phone, notes, note_entries, status, verified,
    deal_value, scraped_at, last_contacted_at, campaigns, metadata, custom)
SELECT $1, gen_random_uuid(), 'person' || n || '@northwind.example', 'Ada van den Berg', 'Ada', 'van den Berg',
    'Northwind B.V.', 'northwind.example', 'Head of Operations', 'Utrecht, Netherlands', 'Logistics', '51-200',
    'https://www.northwind.example', 'LinkedIn', '+31301234567', E'Knows the founder.\\nAsked to call back in spring.',
    '[["a1", "Knows the founder.", "2026-03-02T09:15:00.000Z", "user"]]', 'contacted', true, n % 5000, now(), now(),
    '{Spring,Fair}', '{"batch": 7}', '{"stand": "B12"}'
FROM generate_series(1, $2) AS n
"""


async def export(bench: Bench) -> list[Figure]:
    """Exports by turns; the service's memory is watched from outside."""
    number, pairs = bench.size(1_000_000, 100_000), bench.size(3, 3)
    urls, folder = await bench.rig.database(durable=False), bench.rig.folder
    bench.say(f"loading {number:,} leads")
    workspace_id, key = await _load(urls, number)
    port = free_port()
    async with processes.service(urls.app, port, folder, "--no-scheduler") as service:
        await _ours(port, key, "status=won")
        at_rest = processes.resident(service.pid)
        held: list[float] = []

        async def ours() -> float:
            async with _watched(service.pid, held):
                return _rate(number, *await _ours(port, key))

        async def floor() -> float:
            return _rate(number, *await _floor(urls, workspace_id))

        a, b = await alternate(pairs, ours, floor, bench.say)
    how = f"{number:,} leads of {len(exports.FIELDS)} columns, median of {pairs} pairs, all on one machine, no fsync"
    grown = f"the highest of {len(held)} looks, from {at_rest:.0f} MB at rest"
    return [
        Figure(
            name="export", value=statistics.median(a), unit="leads/s", floor=statistics.median(b),
            ratio=median_ratio(a, b), target="≥ 0.3", note=how,
        ),
        Figure(name="export.memory", value=max(held) - at_rest, unit="MB grown", target="≤ 50", note=grown),
    ]  # fmt: skip


async def _load(urls: Urls, number: int) -> tuple[UUID, str]:
    db = await Database.open(urls.app, size=1)
    try:
        workspace_id, key = await workspace(db)
    finally:
        await db.close()
    async with connected(urls.owner) as owner:
        # an export reads no search words: they are not made here
        await owner.execute("ALTER TABLE lead DISABLE TRIGGER USER")
        await owner.execute(_FILL, workspace_id, number, timeout=300)
        await owner.execute("VACUUM (ANALYZE) lead", timeout=300)
    return workspace_id, key


async def _ours(port: int, key: str, query: str = "") -> tuple[float, int]:
    """Returns the seconds an export takes, and how many leads came."""
    started, rows, data = perf_counter(), 0, b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET /api/leads/export?{query} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    begin = await reader.readuntil(b"\r\n\r\n")
    if not begin.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(begin.decode(errors="replace"))
    while piece := await reader.read(1 << 18):
        rows += piece.count(b"@")
        data = piece
    writer.close()
    if not data.endswith(b"0\r\n\r\n"):
        raise RuntimeError("the export broke off")
    return perf_counter() - started, rows


async def _floor(urls: Urls, workspace_id: UUID) -> tuple[float, int]:
    """Returns the same of COPY, as the app role."""
    rows = 0

    async def count(piece: bytes) -> None:
        nonlocal rows
        rows += piece.count(b"@")

    async with connected(urls.app) as connection:
        started = perf_counter()
        async with connection.transaction():
            await connection.execute("SELECT " + begins(f"'{workspace_id}'", "'viewer'"))
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.copy_from_query(
                f"SELECT {', '.join(exports.FIELDS)} FROM lead WHERE workspace_id = '{workspace_id}'"
                " AND deleted_at IS NULL",
                output=count, format="csv", header=True, timeout=300,
            )  # fmt: skip
        return perf_counter() - started, rows


@contextlib.asynccontextmanager
async def _watched(pid: int, held: list[float]) -> AsyncIterator[None]:
    async def watch() -> None:
        while True:
            held.append(processes.resident(pid))
            await asyncio.sleep(SAMPLE)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


def _rate(number: int, seconds: float, rows: int) -> float:
    if rows != number:
        raise AssertionError(f"{rows:,} of {number:,} leads came")
    return number / seconds
