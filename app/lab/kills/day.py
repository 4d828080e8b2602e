"""A day of webhooks against the real service: its own process, its own database, real HTTP, real kills.

The sandbox Instantly lives a seeded day and tells it by webhooks, some twice, none in order; somebody posts junk
between them. Meanwhile the service is killed, the database stopped, Instantly's API is out, and for an hour the
webhook is disabled. What the workspace holds afterwards is returned for somebody else to judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx

from app.db import deliveries, embedded, suppressions
from app.db.session import Tx
from app.domain import instantly as words
from app.lab import processes
from app.lab.clock import SharedClock
from app.lab.processes import until
from app.lab.sandboxes import KEY
from app.lab.scratch import Scratch
from app.lab.servers import free_port, serving
from app.lab.transport import posting
from app.lab.world import World, make
from app.providers.transport import Transport
from app.runtime import opened
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import Fault
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.instantly.day import living
from app.settings import Settings

T = TypeVar("T")
SECRET, HOOK_SECRET = "a secret of the day, not of anybody", "whs_day"
#: Seconds one step of the day lasts, and how far deliveries are put out of order.
STEP, SHUFFLE = 900.0, 3600.0
#: Seconds after which something that should have happened counts as stuck; a day of 100,000 takes its time to recover.
STUCK = 240.0
PEOPLE_PER_EVENT, MOST_PEOPLE, CAMPAIGNS = 0.08, 2_000, 3
DUPLICATES, JUNK = 0.05, 0.01
LABEL = "Spam complaint"


@dataclass(slots=True)
class Day:
    """What was told, and what the workspace made of it."""

    seed: int
    #: every event once, in order
    log: list[dict[str, Any]] = field(default_factory=list)
    #: the hour the webhook was disabled
    gap: tuple[datetime, datetime] | None = None
    #: by address: values of the lead, `suppressed` as (scope, reason), `log` as (kind, second) -> how often
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: campaign -> the scope of its suppressions
    scopes: dict[str, str] = field(default_factory=dict)
    #: state -> how many deliveries
    inbox: Counter[str] = field(default_factory=Counter)
    junk: int = 0
    kills: int = 0
    stops: int = 0
    #: what the service says of each day's completeness
    completeness: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {len(self.log)} events, {self.junk} junk, {self.kills} kills, {self.stops} stops of"
            f" Postgres, {dict(self.inbox)} in {self.seconds:.1f} s"
        )


@dataclass(slots=True)
class Service:
    """The service in a process of its own."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts it; it may take a second until it answers."""
        args = (str(self.folder / "settings.json"), str(self.folder / "clock"))
        self.process = await processes.start("app.lab.kills.service", *args, folder=self.folder)

    async def kill(self) -> None:
        """Ends it at once."""
        if self.process is not None:
            await processes.kill(self.process)

    async def ready(self, http: httpx.AsyncClient) -> None:
        """Waits until it answers."""

        async def answers() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return (await http.get(f"{self.url}/readyz")).status_code == 200
            return False

        await until(answers, "the service answers", STUCK)


async def live(
    place: Scratch, seed: int, events: int, *, kills: int, stops: int, log_while_disabled: bool = True
) -> Day:
    """Lives a day of `events` events; the service dies `kills` times and the database is stopped `stops` times."""
    began = time.monotonic()
    day = Day(seed)
    async with _stage(place, seed, events, log_while_disabled=log_while_disabled) as stage:
        await stage.first_sync()
        await _pass_the_day(stage, day, events, kills, stops)
        await stage.recover(day)
        await stage.look(day)
    day.seconds = time.monotonic() - began
    return day


@dataclass(slots=True, kw_only=True)
class _Stage:
    """The service, the sandbox, and a way to ask the database."""

    place: Scratch
    world: World
    service: Service
    clock: SharedClock
    http: httpx.AsyncClient
    rng: random.Random
    connection: UUID
    key: str

    @property
    def sandbox(self) -> InstantlySandbox:
        return self.world.instantly

    async def queue(self, kind: str) -> None:
        """Asks for a run."""
        await self.world.queue(self.connection, kind)

    async def is_synced(self) -> bool:
        """Tells whether no run is left to do."""

        async def work(tx: Tx) -> bool:
            return not await tx.value("SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running')")

        return await self.world.ask(work)

    async def first_sync(self) -> None:
        """Reads everybody, and registers the webhook as the service asks for it or, where it does not, by hand."""
        await self.queue("full")
        await until(self.is_synced, "the first sync has ended", STUCK)
        hooks = self.sandbox.deliveries.hooks
        if not hooks.all:
            hooks.add(
                f"{self.service.url}/api/webhooks/instantly/all",
                event_type="all_events",
                headers={"X-Webhook-Secret": HOOK_SECRET},
            )

    async def post_junk(self, number: int) -> None:
        """Posts what no webhook of Instantly would say; an outage may lose it, as nobody promised to keep it."""
        junk = self.rng.choice(
            (
                b"{", b"", b"[1, 2]", b"\xff\x00" * 50, b'{"event_type": 7}', b'{"n": %d}' % number,
                b'{"event_type": "email_opened", "lead_email": "nobody%d@unknown.test"}' % number,
                b'{"event_type": "campaign_completed", "n": %d}' % number,
            )
        )  # fmt: skip
        with contextlib.suppress(httpx.HTTPError):
            await self.http.post(
                f"{self.service.url}/api/webhooks/instantly/all?n={number}",
                content=junk,
                headers={"X-Webhook-Secret": HOOK_SECRET},
            )

    async def recover(self, day: Day) -> None:
        """Lets everything arrive, be recovered and be applied."""
        await self.service.ready(self.http)
        self.clock.advance(SHUFFLE + STEP)
        while self.sandbox.deliveries.waiting:
            await self.sandbox.deliveries.deliver_due()
            self.clock.advance(STEP)
        dates = sorted({event["timestamp"][:10] for event in day.log} | {self.clock.now().date().isoformat()})
        headers = {"Authorization": f"Bearer {self.key}"}
        for date in dates:
            checked = await self.http.post(
                f"{self.service.url}/api/webhooks/completeness", params={"day": date}, headers=headers
            )
            checked.raise_for_status()
            await until(self.is_synced, f"the log of {date} has been compared", STUCK)
        await self.queue("full")
        await until(self.is_synced, "the last sync has ended", STUCK)

        async def is_applied() -> bool:
            return not await deliveries.due(self.world.runtime.db, 1)

        await until(is_applied, "every delivery is applied", STUCK)
        for date in dates:
            shown = await self.http.get(
                f"{self.service.url}/api/webhooks/completeness", params={"day": date}, headers=headers
            )
            day.completeness.append(shown.raise_for_status().json())

    async def look(self, day: Day) -> None:
        """Reads what the workspace holds now."""
        vault = self.world.runtime.vault
        day.scopes = {campaign: words.namespace(campaign) for campaign in self.sandbox.store.campaigns}

        async def work(tx: Tx) -> None:
            rows = await tx.all(
                "SELECT id, email, status, delivery_status, is_positive_reply, last_contacted_at, sender_account"
                " FROM lead WHERE deleted_at IS NULL"
            )
            logs: dict[UUID, Counter[tuple[str, str]]] = {row["id"]: Counter() for row in rows}
            for happened in await tx.all(
                "SELECT lead_id, kind, at FROM activity"
                " WHERE kind LIKE 'mail.%' OR kind IN ('interest', 'label', 'unsubscribed')"
            ):
                at = happened["at"].strftime("%Y-%m-%dT%H:%M:%S")
                logs[happened["lead_id"]][happened["kind"], at] += 1
            for row in rows:
                suppressed = await suppressions.of(tx, vault.address(row["email"]))
                day.people[row["email"]] = dict(row) | {"log": logs[row["id"]], "suppressed": set(suppressed)}
            states = await tx.all("SELECT state, count(*) AS n FROM webhook_delivery GROUP BY state")
            day.inbox = Counter({row["state"]: row["n"] for row in states})

        await self.world.ask(work)


async def _pass_the_day(stage: _Stage, day: Day, events: int, kills: int, stops: int) -> None:
    """Lives the day step by step; incidents fall at seeded steps, none of them into another."""
    sandbox, rng = stage.sandbox, stage.rng
    steps = int(86_400 / STEP)
    spread = rng.sample(range(3, steps - 8, 2), kills + stops + 1)
    incidents = dict.fromkeys(spread[:kills], "kill") | dict.fromkeys(spread[kills:-1], "stop") | {spread[-1]: "outage"}
    disabled = rng.randrange(20, steps - 20)
    hook = next(iter(sandbox.deliveries.hooks.all.values()))
    start = stage.clock.now()
    told = living(sandbox.store, seed=day.seed, events=events, start=start)
    waiting: list[dict[str, Any]] = []
    for step in range(steps):
        until_then = start + timedelta(seconds=STEP * (step + 1))
        while not waiting or datetime.fromisoformat(waiting[-1]["timestamp"]) < until_then:
            some = next(told, None)
            if some is None:
                break
            waiting += [payload for _, payload in some]
            for _ in some:
                if rng.random() < JUNK:
                    day.junk += 1
                    await stage.post_junk(day.junk)
        stage.clock.advance(max(0.0, (until_then - stage.clock.now()).total_seconds()))
        if step == disabled:
            sandbox.deliveries.hooks.disable(hook, stage.clock.now())
            day.gap = (stage.clock.now(), stage.clock.now() + timedelta(hours=1))
        elif step == disabled + int(3600 / STEP):
            await stage.queue("delta")
            await until(stage.is_synced, "the service has looked at its webhook", STUCK)
            if hook.status != 1:
                sandbox.deliveries.hooks.resume(hook)
        await _befall(stage, day, incidents.get(step))
        await sandbox.deliveries.deliver_due()
    day.log = sorted(waiting, key=lambda payload: payload["timestamp"])


async def _befall(stage: _Stage, day: Day, incident: str | None) -> None:
    """Something happens while deliveries are on their way."""
    if incident is None:
        return
    on_their_way = asyncio.create_task(stage.sandbox.deliveries.deliver_due())
    await asyncio.sleep(stage.rng.uniform(0, 0.02))
    if incident == "kill":
        await stage.service.kill()
        await stage.service.start()
        day.kills += 1
    elif incident == "stop":
        await asyncio.to_thread(stage.place.server.stop, immediate=True)
        stage.place.server = await asyncio.to_thread(embedded.start, stage.place.folder / "pg")
        day.stops += 1
    else:
        stage.sandbox.sandbox.faults.add(Fault(kind="status", path="/api/v2", status=503, count=10))
        await stage.queue("delta")
    await on_their_way
    await stage.service.ready(stage.http)


@contextlib.asynccontextmanager
async def _stage(place: Scratch, seed: int, events: int, *, log_while_disabled: bool) -> AsyncIterator[_Stage]:
    name = f"day_{seed}_{int(log_while_disabled)}"
    folder = place.folder / name
    folder.mkdir()
    clock = SharedClock(folder / "clock")
    sandbox = InstantlySandbox(clock=clock, seed=seed)
    switches = sandbox.switches
    switches.rate_limits, switches.disable_after = False, None
    switches.duplicate_rate, switches.delivery_jitter = DUPLICATES, SHUFFLE
    switches.log_while_disabled, switches.delivery_concurrency = log_while_disabled, 32
    sandbox.store.add_key(KEY)
    sandbox.store.add_label(LABEL)
    people = min(MOST_PEOPLE, max(8, int(events * PEOPLE_PER_EVENT)))
    for number in range(CAMPAIGNS):
        campaign = sandbox.store.add_campaign(
            f"Campaign {number}", email_list=[f"box{n}@sender.test" for n in range(4)]
        )
        for person in range(number, people, 2 if number else 1):
            sandbox.store.add_lead(campaign.id, email=f"p{person}@firm{person}.test", first_name=f"Given{person}")
    url = await place.database(name)
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(transport=Transport(), timeout=60))

        sandbox.deliveries.sender = posting(http)
        sandbox_url = await stack.enter_async_context(serving(sandbox.app))
        given = {
            "database_url": url, "instantly_api_url": sandbox_url, "secret_key": SECRET, "port": port,
            "public_url": f"http://127.0.0.1:{port}", "scheduler_tick_seconds": 0.1, "database_pool": 6,
        }  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(given))
        runtime = await stack.enter_async_context(opened(Settings.model_validate(given), clock=clock))
        world = await make(runtime, AirtableSandbox(clock=clock, seed=seed), sandbox)
        connection = await world.connect(
            "instantly",
            {"campaign_ids": None, "pacing_seconds": 0},
            {"api_key": KEY, "webhook_secret": HOOK_SECRET},
            auto_approve=True,
            schedule_minutes=1440,
        )
        service = Service(folder, port)
        stack.push_async_callback(service.kill)
        await service.start()
        await service.ready(http)
        yield _Stage(
            place=place, world=world, service=service, clock=clock, http=http, rng=random.Random(seed),
            connection=connection, key=await world.key("admin"),
        )  # fmt: skip
