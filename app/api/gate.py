"""The gate: which key a request carries, whom it stands for, and how often it may come."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from starlette.requests import Request

from app.api.errors import Problem
from app.api.limits import Buckets, Strangers, slow_down
from app.db import audits, keys, workspaces
from app.db.session import Role, Tenant, Tx
from app.runtime import Runtime
from app.vault import key_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: a key, its role, and the workspace the request is about."""

    workspace_id: UUID
    key_id: UUID
    role: Role
    #: what the history calls them: the person the key acts for, else the key's name
    name: str
    acts_for: str | None
    #: what the key is found by
    key_hash: bytes = field(repr=False)

    @property
    def tenant(self) -> Tenant:
        """Whom transactions run for."""
        return Tenant(self.workspace_id, self.role)


class Gatekeeper:
    """Identifies callers of one app."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

        def seconds() -> float:
            return runtime.clock.now().timestamp()

        self._strangers = Strangers(runtime.settings.wrong_keys_per_minute, seconds)
        self._requests = Buckets(runtime.settings.rate_per_minute, seconds)
        self._used: dict[UUID, set[UUID]] = {}

    async def identify(self, request: Request) -> Caller:
        """Returns who calls; answers 401 without a valid key and 429 for too many requests."""
        hashed = self._presented(request)
        caller = self._admitted(request, hashed, await keys.find(self._runtime.db, hashed))
        chosen = request.headers.get("x-workspace")
        return caller if chosen is None else await self._elsewhere(request, caller, chosen)

    def enter(self, request: Request) -> AbstractAsyncContextManager[tuple[Caller, Tx]]:
        """Identifies the caller within the transaction their request runs in: one connection, no trip for the key."""
        if "x-workspace" in request.headers:
            return self._enter_elsewhere(request)
        hashed = self._presented(request)
        return keys.enter(self._runtime.db, hashed, partial(self._admitted, request, hashed))

    @contextlib.asynccontextmanager
    async def _enter_elsewhere(self, request: Request) -> AsyncIterator[tuple[Caller, Tx]]:
        caller = await self.identify(request)
        async with self._runtime.db.transaction(caller.tenant) as tx:
            yield caller, tx

    def _presented(self, request: Request) -> bytes:
        """Returns the hash of the key a request carries, unless too many wrong ones came from there."""
        key = _presented(request)
        if key is None:
            raise _unauthorized("Send an API key: Authorization: Bearer lk_… or X-API-Key.")
        hashed = key_hash(key)
        self._strangers.check(request.scope, hashed, "Too many requests with a wrong key came from here")
        return hashed

    def _admitted(self, request: Request, hashed: bytes, found: keys.Found | None) -> Caller:
        self._strangers.note(request.scope, hashed, is_good=found is not None)
        if found is None:
            raise _unauthorized("This API key is unknown, expired or revoked: ask an administrator for a new one.")
        if wait := self._requests.take(found.id):
            raise slow_down(wait, "This key sends more requests than it may")
        self._used.setdefault(found.workspace_id, set()).add(found.id)
        return Caller(
            workspace_id=found.workspace_id,
            key_id=found.id,
            role=found.role,
            name=found.acts_for or found.name,
            acts_for=found.acts_for,
            key_hash=hashed,
        )

    async def _elsewhere(self, request: Request, caller: Caller, chosen: str) -> Caller:
        """An operator acts inside one workspace at a time, and that is written down there."""
        if caller.role != "operator":
            raise Problem(403, "X-Workspace needs a key with the role operator.")
        missing = Problem(404, "There is no such workspace: X-Workspace takes the id of one.")
        try:
            workspace_id = UUID(chosen)
        except ValueError:
            raise missing from None
        if workspace_id == caller.workspace_id:
            return caller
        db = self._runtime.db
        if await workspaces.get(db, workspace_id) is None:
            raise missing
        async with db.transaction(Tenant(workspace_id, "operator")) as tx:
            await audits.note(tx, caller.name, f"{request.method} {request.url.path}", {"key_id": str(caller.key_id)})
        return replace(caller, workspace_id=workspace_id)

    async def note_used(self) -> None:
        """Writes down which keys were used since the last time."""
        used, self._used = self._used, {}
        for workspace_id, key_ids in used.items():
            async with self._runtime.db.transaction(Tenant(workspace_id)) as tx:
                await keys.used(tx, key_ids)


def _presented(request: Request) -> str | None:
    """Returns the key a request carries, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    found = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
    with contextlib.suppress(UnicodeEncodeError):
        if found:
            found.encode()
            return found
    return None


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
