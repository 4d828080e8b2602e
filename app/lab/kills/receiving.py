"""Kills of the service while deliveries come in: what was acknowledged is there, once, and reaches its lead.

Senders post as Instantly does: what is not acknowledged they send again. Meanwhile the service is killed, and with the
first kill and every second one after it the database is stopped at once as well.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from app.db import embedded
from app.db.session import Tx
from app.lab import processes
from app.lab.kills.arena import SECRET, STUCK, Arena, Kills, arena
from app.lab.processes import until
from app.lab.scratch import Scratch
from app.lab.servers import free_port
from app.providers.transport import Transport

ROWS, SENDERS = 12, 6
#: Seconds a sender waits for an answer, and before it tries again.
ANSWER, AGAIN = 3.0, 0.05


@dataclass(slots=True)
class Senders:
    """What is posted, and what was acknowledged."""

    url: str
    secret: str
    acknowledged: dict[int, UUID] = field(default_factory=dict)
    posted: int = 0
    in_the_air: int = 0
    is_over: bool = False

    async def send(self, client: httpx.AsyncClient) -> None:
        """Posts one delivery after the other until it is over, each until it is acknowledged."""
        while not self.is_over:
            self.posted += 1
            number = self.posted
            while number not in self.acknowledged:
                await self._try(client, number)

    async def _try(self, client: httpx.AsyncClient, number: int) -> None:
        email = f"person{number % ROWS}@firm.test"
        payload = {"event_type": "email_opened", "lead_email": email, "email": email, "step": number,
                   "timestamp": "2026-03-02T09:15:00.000Z"}  # fmt: skip
        self.in_the_air += 1
        try:
            answer = await client.post(self.url, json=payload, headers={"X-Webhook-Secret": self.secret})
        except httpx.TransportError:
            await asyncio.sleep(AGAIN)
        else:
            if answer.status_code == 202:
                self.acknowledged[number] = UUID(answer.json()["delivery"])
            elif answer.status_code != 503:
                raise AssertionError(f"A delivery was answered {answer.status_code}: {answer.text[:200]}")
        finally:
            self.in_the_air -= 1


async def kill_service(place: Scratch, seed: int, kills: int) -> Kills:
    """Kills the service so many times while deliveries come in."""
    outcome = Kills(seed)
    async with arena(place, seed, name="killed_service", rows=ROWS) as ring:
        await _ready(ring)
        port, secret, campaign = free_port(), await _secret(ring), next(iter(ring.world.instantly.store.campaigns))
        senders = Senders(f"http://127.0.0.1:{port}/api/webhooks/instantly/{campaign}", secret)
        async with httpx.AsyncClient(transport=Transport(), timeout=ANSWER) as client, asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(senders.send(client))
            for number in range(kills):
                async with _service(ring, port) as service:
                    before = len(senders.acknowledged)
                    await until(lambda before=before: _more(senders, before), "deliveries are acknowledged", STUCK)  # type: ignore[misc]
                    await asyncio.sleep(ring.rng.uniform(0.05, 0.5))
                    outcome.stages.append("acknowledging" if senders.in_the_air else "idle")
                    service.kill()
                    if number % 2 == 0:
                        await asyncio.to_thread(place.server.stop, immediate=True)
                        place.server = await asyncio.to_thread(embedded.start, place.folder / "pg")
            senders.is_over = True
            async with _service(ring, port):
                await until(lambda: _all_applied(ring, senders), "every delivery is applied", STUCK)
        await _judge(ring, senders, outcome)
    return outcome


def _service(ring: Arena, port: int) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
    database_url = str(ring.world.runtime.settings.database_url)
    return processes.service(database_url, port, ring.folder, "--no-scheduler", LEADKEEPER_SECRET_KEY=SECRET)


async def _ready(ring: Arena) -> None:
    """Reads what both providers have, with a worker that then goes home."""
    worker = await ring.hire()
    await worker.begin()
    await until(ring.is_done, "both connections are in step", STUCK)
    await worker.kill()


async def _secret(ring: Arena) -> str:
    async def work(tx: Tx) -> bytes:
        found: bytes = await tx.value("SELECT secret FROM provider_account WHERE provider = 'instantly'")
        return found

    return ring.world.runtime.vault.open(await ring.world.ask(work))["webhook_secret"]


async def _more(senders: Senders, before: int) -> bool:
    return len(senders.acknowledged) > before


async def _all_applied(ring: Arena, senders: Senders) -> bool:
    async def work(tx: Tx) -> bool:
        return not await tx.value("SELECT count(*) FROM webhook_delivery WHERE state <> 'applied'")

    return len(senders.acknowledged) == senders.posted and await ring.world.ask(work)


async def _judge(ring: Arena, senders: Senders, outcome: Kills) -> None:
    async def work(tx: Tx) -> tuple[set[UUID], int]:
        rows = await tx.all("SELECT id FROM webhook_delivery")
        opened = await tx.value("SELECT count(*) FROM activity WHERE kind = 'mail.opened'")
        return {row["id"] for row in rows}, opened

    kept, opened = await ring.world.ask(work)
    if lost := set(senders.acknowledged.values()) - kept:
        outcome.problems.append(f"{len(lost)} acknowledged deliveries are gone")
    for what, count in (("deliveries", len(kept)), ("events", opened)):
        if count != senders.posted:
            outcome.problems.append(f"{senders.posted} were posted, and there are {count} {what}")
