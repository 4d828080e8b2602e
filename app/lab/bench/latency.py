"""latency: how long an edit here takes to get there, one there to get here, and an event to reach its lead.

The service runs in a process of its own, with its scheduler and its real limits, against sandboxes over HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from uuid import UUID

import httpx

from app.db import runs
from app.lab import processes
from app.lab.bench.figure import Bench, Figure
from app.lab.bench.rig import Scene, address
from app.lab.servers import free_port, serving

ROWS, INSTANTLY_KEY = 2_000, "key-bench"
#: Seconds between two looks, and how long anything may take.
LOOK, GIVE_UP = 0.01, 150.0
#: Minutes between two polls: the shortest there is. Nothing pings us yet when somebody edits in Airtable.
POLL = 1


@dataclass(frozen=True, slots=True)
class Service:
    """The service under measurement."""

    scene: Scene
    http: httpx.AsyncClient
    instantly_id: UUID
    campaign: str
    secret: str


async def latency(bench: Bench) -> list[Figure]:
    """Measures the three ways, one after the other."""
    async with _service(bench) as service:
        bench.say("edits here")
        there = [await _edit_here(service, n) for n in range(bench.size(20, 6))]
        bench.say("events while a full sync runs")
        acknowledged, events = await _events(service, bench.size(60, 15))
        bench.say("edits there, found by polling")
        here = await _edits_there(service, bench.size(24, 6))
    return [
        _figure("latency.here-to-there", there, "≤ 3", "from the PATCH until Airtable's row has it"),
        _figure("latency.ack", acknowledged, "milliseconds", "from the POST until its answer, while a full sync runs"),
        _figure("latency.event", events, "≤ 0.5", "from the POST until its lead has it, while a full sync runs"),
        _figure(
            "latency.there-to-here", here, f"≤ {POLL * 60 + 2}", f"polled every {POLL * 60} s; there is no ping yet"
        ),
    ]


def _figure(name: str, seconds: list[float], target: str, note: str) -> Figure:
    how = f"p95 of {len(seconds)}, median {statistics.median(seconds):.3f} s; {note}"
    return Figure(name=name, value=sorted(seconds)[int(len(seconds) * 0.95)], unit="s", target=target, note=how)


@contextlib.asynccontextmanager
async def _service(bench: Bench) -> AsyncIterator[Service]:
    """Connects a table and a campaign with the same people, and hands both over to a service."""
    urls, folder, port = await bench.rig.database(durable=True), bench.rig.folder, free_port()
    async with bench.rig.world(urls) as scene, contextlib.AsyncExitStack() as stack:
        world, store = scene.world, scene.world.instantly.store
        bench.say("loading")
        await scene.grow(ROWS - 1, rows_there=True)
        store.add_key(INSTANTLY_KEY)
        campaign = store.add_campaign("Founders")
        for number in range(200):
            store.add_lead(campaign.id, email=address(number))
        config = {"campaign_ids": None, "pacing_seconds": 0}
        instantly = await world.connect("instantly", config, {"api_key": INSTANTLY_KEY}, auto_approve=True)
        await world.settle()
        await scene.run("UPDATE connection SET schedule_minutes = $1, next_run_at = now()", POLL)
        account = await scene.value("SELECT account_id FROM connection WHERE id = $1", instantly)
        sealed = await scene.value("SELECT secret FROM provider_account WHERE id = $1", account)
        apis = {
            "AIRTABLE_API_URL": await stack.enter_async_context(serving(world.airtable.app)),
            "INSTANTLY_API_URL": await stack.enter_async_context(serving(world.instantly.app)),
        }
        await stack.enter_async_context(processes.service(urls.app, port, folder, **apis))
        headers = {"Authorization": f"Bearer {await world.key('member')}"}
        http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)
        await stack.enter_async_context(http)
        secret = world.runtime.vault.open(sealed)["webhook_secret"]
        yield Service(scene, http, instantly, campaign.id, secret)


async def _edit_here(service: Service, number: int) -> float:
    """Edits a lead over REST and waits for its row in Airtable."""
    scene, record = service.scene, service.scene.record_ids[number]
    lead_id = await scene.value("SELECT lead_id FROM link WHERE remote_key = $1", record)
    began = perf_counter()
    answer = await service.http.patch(f"/api/leads/{lead_id}", json={"title": f"Edited here {number}"})
    answer.raise_for_status()

    async def arrived() -> bool:
        return bool(scene.table.read(scene.table.records[record]).get("Title") == f"Edited here {number}")

    return await _until(arrived, began)


async def _events(service: Service, wanted: int) -> tuple[list[float], list[float]]:
    """Delivers events one by one; returns the seconds until the answer and until the lead has each.

    Those count that fall into a full sync.
    """
    answered: list[float] = []
    took: list[float] = []
    path = f"/api/webhooks/instantly/{service.campaign}"
    for number in count():
        if not await _is_syncing(service):
            continue
        email = address(number % 200)
        payload = {"event_type": "email_opened", "lead_email": email, "email": email, "step": number,
                   "timestamp": f"2026-03-02T09:{number // 60 % 60:02d}:{number % 60:02d}.000Z"}  # fmt: skip
        began = perf_counter()
        answer = await service.http.post(path, json=payload, headers={"Authorization": f"Bearer {service.secret}"})
        answer.raise_for_status()
        acknowledged = perf_counter() - began
        delivery = UUID(answer.json()["delivery"])

        async def applied(delivery: UUID = delivery) -> bool:
            state = await service.scene.value("SELECT state FROM webhook_delivery WHERE id = $1", delivery)
            return bool(state == "applied")

        seconds = await _until(applied, began)
        if await _is_syncing(service):
            took.append(seconds)
            answered.append(acknowledged)
        if len(took) >= wanted:
            break
        await asyncio.sleep(0.1)
    return answered, took


async def _is_syncing(service: Service) -> bool:
    """Tells whether a full sync reads right now; asks for one where none does."""
    scene = service.scene
    state = await scene.value("SELECT max(state) FROM sync_run WHERE kind = 'full' AND state IN ('queued', 'running')")
    if state is None:
        async with scene.world.transaction() as tx:
            for connection in (scene.connection_id, service.instantly_id):
                await runs.queue(tx, connection, "full", "bench")
    if state != "running":
        await asyncio.sleep(0.1)
    return bool(state == "running")


async def _edits_there(service: Service, number: int) -> list[float]:
    """Edits rows in Airtable all through a polling interval and waits for their leads."""
    scene = service.scene
    records = scene.record_ids[100 : 100 + number]

    async def edited(place: int, record: str) -> float:
        await asyncio.sleep(place * POLL * 60 / number)
        title = f"Edited there {place}"
        scene.table.edit(record, {"Title": title})
        began = perf_counter()

        async def arrived() -> bool:
            found = "SELECT l.title FROM link k JOIN lead l ON l.id = k.lead_id WHERE k.remote_key = $1"
            return bool(await scene.value(found, record) == title)

        return await _until(arrived, began, look=0.1)

    return await asyncio.gather(*(edited(place, record) for place, record in enumerate(records)))


async def _until(holds: Callable[[], Awaitable[bool]], began: float, *, look: float = LOOK) -> float:
    """Returns the seconds from `began` until something holds."""
    async with asyncio.timeout(GIVE_UP):
        while not await holds():  # noqa: ASYNC110 - neither side has an event for it
            await asyncio.sleep(look)
    return perf_counter() - began
