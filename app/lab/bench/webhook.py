"""webhook: deliveries acknowledged after their commit, against a bare ASGI app with an INSERT and a commit for each."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from itertools import count
from typing import Any

import orjson

from app.api.schemas.webhook import PAYLOAD
from app.db import connections
from app.db.ids import new_id
from app.lab import processes
from app.lab.bench.bare_inbox import TABLE
from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.bench.load import pour
from app.lab.bench.rig import Scene
from app.lab.scratch import connected
from app.lab.servers import free_port
from app.vault import new_webhook_secret, webhook_hash

#: How many at a time, and what the floor allows.
CLIENTS = {16: "≥ 0.5", 64: "≥ 0.7"}
#: What a mail with its thread adds to a payload, in characters.
THREAD = 1_500


async def webhook(bench: Bench) -> list[Figure]:
    """Posts to the real service and to the floor by turns, each in a process of its own.

    The deliveries are of a campaign that no workspace has: they are routed, deduplicated and kept, and wait. What
    applying costs is no part of an acknowledgement.
    """
    pairs, seconds = bench.size(5, 3), bench.size(3, 1)
    folder = bench.rig.folder
    urls = await bench.rig.database(durable=True)
    async with connected(urls.owner) as owner:
        await owner.execute(TABLE)
        await owner.execute("GRANT ALL ON bare_inbox TO leadkeeper_app")
    figures = []
    async with bench.rig.world(urls) as scene, contextlib.AsyncExitStack() as stack:
        secret = await _account(scene)
        ours_port, floor_port = free_port(), free_port()
        await stack.enter_async_context(processes.service(urls.app, ours_port, folder, "--no-scheduler"))
        args = (urls.app, str(floor_port))
        bare = processes.running("app.lab.bench.bare_inbox", *args, folder=folder, port=floor_port)
        await stack.enter_async_context(bare)
        for clients, target in CLIENTS.items():
            slowest: dict[int, list[float]] = {ours_port: [], floor_port: []}

            async def loaded(port: int, clients: int = clients, slowest: Any = slowest) -> float:
                rate, took = await pour(port, posts(port, secret), clients=clients, seconds=seconds)
                slowest[port].append(statistics.quantiles(took, n=100)[98] * 1000)
                return rate

            await alternate(1, lambda: loaded(ours_port), lambda: loaded(floor_port), bench.say)
            a, b = await alternate(pairs, lambda: loaded(ours_port), lambda: loaded(floor_port), bench.say)
            ours, floor = slowest[ours_port][1:], slowest[floor_port][1:]
            how = f"{clients} clients, median of {pairs} pairs of {seconds} s, all on one machine"
            figures += [
                Figure(
                    name=f"webhook.{clients}", value=statistics.median(a), unit="req/s", floor=statistics.median(b),
                    ratio=median_ratio(a, b), target=target, note=how,
                ),
                Figure(
                    name=f"webhook.{clients}.p99", value=statistics.median(ours), unit="ms",
                    floor=statistics.median(floor), ratio=median_ratio(ours, floor), target="≤ 2", note=how,
                ),
            ]  # fmt: skip
    return figures


def posts(port: int, secret: str) -> Callable[[int], bytes]:
    """Returns what makes deliveries, each of its own."""
    numbers, thread = count(), "> " * (THREAD // 2)
    campaign, run = PAYLOAD["campaign"], str(new_id())
    head = (
        f"POST /api/webhooks/instantly/{campaign} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Webhook-Secret: {secret}\r\n"
        "Content-Type: application/json\r\n"
    )
    before, after = orjson.dumps(PAYLOAD | {"reply_text": thread, "lead_email": "person@NUMBER"}).split(b"@NUMBER")

    def make(_number: int) -> bytes:
        body = before + f"{next(numbers)}@{run}.example".encode() + after
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    return make


async def _account(scene: Scene) -> str:
    """Makes an account that nobody uses; returns its webhook secret."""
    secret = new_webhook_secret()
    async with scene.world.runtime.db.transaction() as tx:
        account = await connections.account(tx, "instantly", "bench", b"", new_id())
        await connections.give_webhook_secret(tx, account, b"", webhook_hash(secret.encode()))
    return secret
