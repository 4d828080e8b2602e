"""How a webhook's delivery is taken in: the short way, past the framework, since there is nothing to refuse in it.

Providers count every answer but 2xx as a failure, and stop delivering after some. So whatever comes is kept as it came
and acknowledged; only a wrong secret is refused, and what is too large for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from app.api.errors import Problem
from app.api.limits import Strangers
from app.api.mailroom import Mailroom
from app.db import deliveries
from app.db.deliveries import Delivery, Stored
from app.domain.delivery import shortened
from app.runtime import Runtime
from app.vault import webhook_hash

#: Seconds a statement that stores may take.
STATEMENT_SECONDS = 4.0
#: Headers that are kept with a delivery: what it takes to read it, and whom to ask about it. None holds a secret.
KEPT_HEADERS = {b"content-type", b"content-encoding", b"user-agent", b"x-request-id"}
REFUSAL = (
    "Send the webhook secret of the Instantly connection as X-Webhook-Secret, as Authorization: Bearer, or as ?secret=."
)


class Door:
    """Where deliveries come in: whose they are, and how often somebody may be wrong about that."""

    def __init__(self, runtime: Runtime) -> None:
        self._db = runtime.db
        self._fingerprint = runtime.vault.address
        self._strangers = Strangers(runtime.settings.wrong_keys_per_minute, lambda: runtime.clock.now().timestamp())

        async def store(rows: Sequence[Delivery]) -> list[Stored | None]:
            return await runtime.db.retrying(lambda: deliveries.store(runtime.db, rows, timeout=STATEMENT_SECONDS))

        self.mailroom = Mailroom(store)

    async def apply(self) -> None:
        """Lets what is kept be applied now."""
        self.mailroom.on_kept()

    async def take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keeps one delivery and acknowledges it."""
        secret, headers = _presented(scope)
        if secret is None:
            raise Problem(401, REFUSAL)
        hashed = webhook_hash(secret)
        self._strangers.check(scope, hashed, "Too many deliveries with a wrong secret came from here")
        if not self._strangers.knows(hashed) and not await deliveries.is_secret(self._db, hashed):
            # nothing of a stranger's delivery is read, or waits where others' are kept
            self._strangers.note(scope, hashed, is_good=False)
            raise Problem(401, REFUSAL)
        body = await _body(receive)
        if body is None:
            return
        path = scope["path_params"]["campaign_id"]
        delivery = deliveries.delivery(
            body, fingerprint=self._fingerprint, secret_hash=hashed, path=path, headers=headers
        )
        stored = await self.mailroom.put(delivery)
        self._strangers.note(scope, hashed, is_good=stored is not None)
        if stored is None:
            raise Problem(401, REFUSAL)
        content = b'{"delivery":"%s","duplicate":%s}' % (
            str(stored.id).encode(),
            b"false" if stored.is_new else b"true",
        )
        length = str(len(content)).encode()
        answer = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 202, "headers": answer})
        await send({"type": "http.response.body", "body": content})


class TakingRoute(APIRoute):
    """A route that is described like every other, and answered by the door."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        self.app = _take


async def _take(scope: Scope, receive: Receive, send: Send) -> None:
    door: Door = scope["app"].state.door
    await door.take(scope, receive, send)


def _presented(scope: Scope) -> tuple[bytes | None, dict[str, str]]:
    """Returns the secret a request carries, and the headers that are kept of it."""
    own = bearer = None
    kept: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in KEPT_HEADERS:
            kept[name.decode()] = shortened(value.decode("latin-1"))
        elif name == b"x-webhook-secret":
            own = value.strip()
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
    query: bytes | None = None
    if own is None and bearer is None and scope["query_string"]:
        found = parse_qs(scope["query_string"].decode("latin-1"), encoding="latin-1").get("secret")
        query = found[0].encode("latin-1") if found else None
    return own or bearer or query, kept


async def _body(receive: Receive) -> bytes | None:
    """Returns a request's body; None where the sender went away before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def router() -> APIRouter:
    """Returns a router for such routes."""
    return APIRouter(prefix="/api/webhooks", tags=["webhooks"], route_class=TakingRoute)
