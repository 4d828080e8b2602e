"""What every sandbox provider shares: a movable clock, fault knobs, a call log and the control endpoints.

The control endpoints live below `/_sandbox/` and are never counted, delayed or failed:

    GET  /_sandbox/calls?since=N        the provider calls from number N on
    POST /_sandbox/faults               add a fault (the fields of `Fault`); DELETE removes all of them
    GET  /_sandbox/faults               how often each kind fired
    GET/POST /_sandbox/clock            {"advance": seconds} moves the clock forward
    GET/PATCH /_sandbox/switches        the facts about the provider that nobody could settle
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol, get_args

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FaultKind = Literal[
    "rate_limit",  # 429, with or without Retry-After
    "quota",  # the provider's "monthly quota used up" refusal
    "status",  # a bare 5xx (or any other status), before anything is processed
    "status_after",  # the same, after the request was processed
    "drop_before",  # the connection breaks before the request is processed
    "drop_after",  # the request is processed, its answer never arrives
    "slow",  # the answer takes `delay` seconds
    "truncate",  # 200 with half of the JSON
    "html",  # 502 with an HTML page
    "iterator",  # a list cursor has expired
]


class Clock(Protocol):
    """Time as the sandbox sees it; tests hand in one they share with the service."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class MovableClock:
    """Wall time plus an offset that a test (or the control endpoint) can move forward."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset  # noqa: TID251 - the one place that reads the wall clock

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault knob: which requests it hits, how often, and what happens to them."""

    kind: FaultKind
    #: regular expressions searched in the method and in the path
    method: str = ""
    path: str = ""
    #: the chance that a matching request is hit
    probability: float = 1.0
    #: how many more requests it may hit; None: no limit
    count: int | None = None
    #: for `status` and `status_after`
    status: int = 503
    #: seconds, sent as Retry-After where not None
    retry_after: float | None = None
    #: seconds, for `slow`
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"There is no fault kind {self.kind!r}; the kinds are {', '.join(get_args(FaultKind))}.")


class Faults:
    """The active fault knobs, drawn from one seeded generator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.active: list[Fault] = []
        self.fired: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        self.active.append(fault)

    def clear(self) -> None:
        self.active.clear()

    def draw(self, method: str, path: str) -> Fault | None:
        """Returns the fault that hits this request, if any, and counts it."""
        for fault in self.active:
            if fault.count == 0 or not (re.search(fault.method, method) and re.search(fault.path, path)):
                continue
            if fault.probability < 1 and self.rng.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
            self.fired[fault.kind] += 1
            return fault
        return None


@dataclass(frozen=True, slots=True)
class Call:
    """One provider call as the sandbox saw it."""

    number: int
    at: str
    method: str
    path: str
    status: int
    #: the fault that hit it, or None
    fault: str | None
    #: the caller's User-Agent
    agent: str
    #: ids of the records it wrote, in order
    wrote: tuple[str, ...] = ()


@dataclass(slots=True)
class Sandbox:
    """The state one sandbox server shares with its control endpoints."""

    clock: Clock
    seed: int = 1
    calls: list[Call] = field(default_factory=list)
    switches: Any = None
    rng: random.Random = field(init=False)
    faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.faults = Faults(random.Random(self.seed + 1))


Handler = Callable[[Request], Awaitable[Response]]

#: Set on answers that must never reach the client: an in-process transport turns it into a network error.
DROPPED = b"x-sandbox-dropped"


class Funnel:
    """ASGI middleware: every provider call passes here once, to be failed, delayed and logged."""

    def __init__(self, app: ASGIApp, *, sandbox: Sandbox, refuse: Callable[[Fault], Response]) -> None:
        self.app = app
        self.sandbox = sandbox
        #: how this provider words a fault (`rate_limit`, `quota`, `status`, `html`, `iterator`)
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox/"):
            await self.app(scope, receive, send)
            return
        wrote: list[str] = []
        scope["sandbox.wrote"] = wrote
        fault = self.sandbox.faults.draw(scope["method"], scope["path"])
        answer = await self._answer(fault, scope, receive)
        headers = dict(scope["headers"])
        self.sandbox.calls.append(
            Call(
                number=len(self.sandbox.calls) + 1,
                at=self.sandbox.clock.now().isoformat(),
                method=scope["method"],
                path=scope["path"],
                status=answer[0]["status"],
                fault=fault.kind if fault else None,
                agent=headers.get(b"user-agent", b"").decode("latin-1"),
                wrote=tuple(wrote),
            )
        )
        for message in answer:
            await send(message)

    async def _answer(self, fault: Fault | None, scope: Scope, receive: Receive) -> list[Message]:
        match fault.kind if fault else None:
            case None:
                return await _collect(self.app, scope, receive)
            case "slow":
                await self.sandbox.clock.sleep(fault.delay if fault else 0)
                return await _collect(self.app, scope, receive)
            case "drop_before":
                return _dropped()
            case "drop_after":
                await _collect(self.app, scope, receive)
                return _dropped()
            case "truncate":
                return _halved(await _collect(self.app, scope, receive))
            case "status_after":
                await _collect(self.app, scope, receive)
        assert fault is not None
        return await _collect(self.refuse(fault), scope, receive)


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages


def _dropped() -> list[Message]:
    # A body shorter than its Content-Length makes the server close the socket: the client sees a broken answer.
    headers = [(b"content-type", b"application/json"), (b"content-length", b"64"), (DROPPED, b"1")]
    return [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]


def _halved(messages: list[Message]) -> list[Message]:
    start, *bodies = messages
    body = b"".join(m.get("body", b"") for m in bodies)
    half = body[: len(body) // 2]
    headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
    return [
        {**start, "headers": [*headers, (b"content-length", str(len(half)).encode())]},
        {"type": "http.response.body", "body": half, "more_body": False},
    ]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns `content` as JSON; a lone surrogate, which people do manage to store, is escaped."""
    try:
        body = orjson.dumps(content)
    except TypeError:
        body = json.dumps(content).encode()
    return Response(body, status, dict(headers or {}), "application/json; charset=utf-8")


def control_routes(sandbox: Sandbox) -> dict[str, Handler]:
    """Returns the control endpoints every sandbox has, by path."""

    async def calls(request: Request) -> Response:
        since = int(request.query_params.get("since", 0))
        return json_response({"total": len(sandbox.calls), "calls": [asdict(c) for c in sandbox.calls[since:]]})

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            try:
                sandbox.faults.add(Fault(**await request.json()))
            except (TypeError, ValueError) as exc:
                return json_response({"error": str(exc)}, 422)
        elif request.method == "DELETE":
            sandbox.faults.clear()
        return json_response(
            {"fired": dict(sandbox.faults.fired), "active": [asdict(f) for f in sandbox.faults.active]}
        )

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            advance = getattr(sandbox.clock, "advance", None)
            if advance is None:
                return json_response({"error": "This clock moves with the test that owns it."}, 409)
            advance(float((await request.json())["advance"]))
        return json_response({"now": sandbox.clock.now().isoformat()})

    async def switches(request: Request) -> Response:
        if request.method == "PATCH":
            wanted = await request.json()
            known = {f.name for f in fields(sandbox.switches)}
            if unknown := sorted(set(wanted) - known):
                return json_response({"error": f"No switch {unknown[0]!r}; there are {', '.join(sorted(known))}."}, 422)
            for name, value in wanted.items():
                setattr(sandbox.switches, name, value)
        return json_response(asdict(replace(sandbox.switches)))

    return {
        "/_sandbox/calls": calls,
        "/_sandbox/faults": faults,
        "/_sandbox/clock": clock,
        "/_sandbox/switches": switches,
    }
