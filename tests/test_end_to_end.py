"""The whole product at once: the API, the scheduler and both sandboxes, each a server of its own, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api import application
from app.db import keys, workspaces
from app.db.session import Tenant
from app.lab.sandboxes import TOKEN, furnished
from app.lab.servers import serving
from app.main import create_app
from app.runtime import opened
from app.sandbox.core import MovableClock
from app.scheduler import scheduled
from app.settings import Settings
from app.vault import new_key
from tests.conftest import Urls

PATIENCE = 60.0


@pytest.fixture
async def service(urls: Urls, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient, Any]]:
    """A running service as its users meet it: a client with an admin key, the sandbox's screen, and its table."""
    airtable, instantly = furnished(MovableClock())
    (base,) = airtable.store.bases.values()
    (table,) = base.tables.values()
    instantly.store.add_campaign("Founders")
    async with serving(airtable.app) as airtable_url, serving(instantly.app) as instantly_url:
        settings = Settings(
            database_url=urls.app,
            data_dir=tmp_path,
            airtable_api_url=airtable_url,
            instantly_api_url=instantly_url,
            scheduler_tick_seconds=0.2,
        )
        async with opened(settings) as runtime, scheduled(runtime):
            app = create_app(runtime=runtime)
            application.attach(app, runtime)
            key = await _first_key(runtime)
            async with (
                serving(app) as url,
                httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as client,
                httpx.AsyncClient(base_url=airtable_url, trust_env=False) as screen,
            ):
                yield client, screen, table


async def _first_key(runtime: Any) -> str:
    workspace_id = await workspaces.create(runtime.db, "Sales team")
    key, prefix, hashed = new_key()
    async with runtime.db.transaction(Tenant(workspace_id, "admin")) as tx:
        await keys.create(tx, name="first", prefix=prefix, key_hash=hashed, role="admin", acts_for="ann@team.test")
    return key


async def _until(claim: Callable[[], Awaitable[Any]]) -> Any:
    for _ in range(int(PATIENCE / 0.1)):
        if found := await claim():
            return found
        await asyncio.sleep(0.1)
    pytest.fail("It did not come true in time.")


async def test_connect_approve_edit_on_both_sides_and_meet(
    service: tuple[httpx.AsyncClient, httpx.AsyncClient, Any],
) -> None:
    client, screen, table = service
    record = table.create({"Full Name": "Anna Berg", "Email": "anna@berg.test", "Status": "New"}).id
    config = {"base_id": table.base.id, "table_id": table.id}
    made = await client.post(
        "/api/admin/connections",
        json={"provider": "airtable", "name": "CRM", "config": config, "secret": {"token": TOKEN}},
    )
    assert made.status_code == 201, made.text
    connection = made.json()["id"]
    assert TOKEN not in made.text

    async def plan() -> Any:
        answer = await client.get(f"/api/admin/connections/{connection}/plan")
        return answer.json() if answer.status_code == 200 else None

    shown = await _until(plan)
    digest = shown["evidence"]["digest"]
    approved = await client.post(f"/api/admin/connections/{connection}/approve", json={"digest": digest})
    assert approved.status_code in (200, 202), approved.text

    async def arrived() -> Any:
        leads = (await client.get("/api/leads", params={"email": "anna@berg.test"})).json()["items"]
        return leads[0] if leads else None

    lead = await _until(arrived)

    patched = await client.patch(f"/api/leads/{lead['id']}", json={"title": "CTO"})
    assert patched.status_code == 200, patched.text
    assert (await client.post(f"/api/leads/{lead['id']}/claim", json={})).status_code == 200

    async def in_airtable() -> bool:
        rows = (await screen.get("/_sandbox/records", params={"table": table.id})).json()
        [fields] = [row["fields"] for row in rows["records"] if row["id"] == record]
        return bool(fields.get("Title") == "CTO")

    await _until(in_airtable)

    await screen.post("/_sandbox/edit", json={"table": table.id, "record": record, "fields": {"Company": "Berg BV"}})
    run = await client.post("/api/admin/sync/delta", params={"wait": 10}, json={})
    assert run.status_code in (200, 202), run.text

    async def in_postgres() -> bool:
        answer = await client.get(f"/api/leads/{lead['id']}")
        return bool(answer.json()["company_name"] == "Berg BV")

    await _until(in_postgres)
    explained = (await client.get(f"/api/leads/{lead['id']}/explain")).json()
    assert "company_name" in str(explained)
