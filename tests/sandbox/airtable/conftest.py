"""A sandbox Airtable on a clock that stands still, and a client of it without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.airtable import AirtableSandbox, Base, FieldSpec, Switches, Table

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def sandbox(clock: VirtualClock) -> AirtableSandbox:
    sandbox = AirtableSandbox(clock=clock, switches=Switches(limiter=False))
    sandbox.store.add_token("pat")
    sandbox.store.add_token("reader", can_write=False)
    sandbox.store.add_token("editor", can_edit_schema=False)
    sandbox.store.add_token("elsewhere", bases=set())
    return sandbox


@pytest.fixture
def base(sandbox: AirtableSandbox) -> Base:
    return sandbox.store.add_base("Sales")


@pytest.fixture
def table(base: Base) -> Table:
    return base.add_table(
        "Leads",
        [
            FieldSpec("Name"),
            FieldSpec("Email", "email"),
            FieldSpec("Score", "number"),
            FieldSpec("Hot", "checkbox"),
            FieldSpec("Notes", "richText"),
            FieldSpec("Stage", "singleSelect", {"choices": ["New", "Won"]}),
            FieldSpec("Tags", "multipleSelects", {"choices": ["a", "b"]}),
            FieldSpec("Met", "date"),
            FieldSpec("Called", "dateTime", {"timeZone": "Europe/Vienna"}),
            FieldSpec("Stars", "rating"),
            FieldSpec("Owner", "singleCollaborator"),
            FieldSpec("Changed", "lastModifiedTime"),
            FieldSpec("Scored", "lastModifiedTime", {"referencedFieldIds": ["Score"]}),
            FieldSpec("Day", "lastModifiedTime", {"result": {"type": "date", "options": {}}}),
            FieldSpec("Sum", "formula"),
        ],
    )


@pytest.fixture
async def client(sandbox: AirtableSandbox) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(sandbox.app)
    headers = {"Authorization": "Bearer pat"}
    async with httpx.AsyncClient(transport=transport, base_url="http://airtable.test", headers=headers) as client:
        yield client


@pytest.fixture
def url(base: Base, table: Table) -> str:
    return f"/v0/{base.id}/{table.id}"


def refusal(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    return response.status_code, error if isinstance(error, str) else error["type"]
