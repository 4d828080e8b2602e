"""Connections: which accounts of which providers, checked before they are stored, and their state."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import paging, running
from app.api.deps import ADMIN, Current, Running, Session
from app.api.describe import refuses
from app.api.gate import Caller
from app.api.once import Idempotency, Once
from app.api.schemas.connection import (
    Connection,
    Connections,
    ConnectionSettings,
    NewConnection,
    RemoteColumns,
    Tested,
    Webhook,
)
from app.api.schemas.shape import answer
from app.api.schemas.sync import Approval, ReviewItem, Run
from app.api.strict import StrictRoute
from app.db import connections, reviews, runs
from app.db.connections import Stored
from app.db.session import Tx
from app.domain.mapping import MappingError
from app.domain.values import JSON
from app.providers.base import Column, ProviderError
from app.runtime import Runtime, probe_account
from app.sync import adjust, connect, hooks, plans
from app.sync.plans import NoPlan
from app.vault import WEBHOOK_SECRET

router = APIRouter(prefix="/api/admin/connections", tags=["connections"], route_class=StrictRoute, dependencies=[ADMIN])


@router.post(
    "",
    operation_id="createConnection",
    summary="Connect a provider",
    status_code=201,
    response_model=Connection,
    responses=refuses(409, 502),
)
async def create(runtime: Running, caller: Current, once: Once, body: NewConnection) -> Response:
    """Checks the account and the mapping at the provider, stores the connection and queues its first reading.

    Nothing is changed on either side before the first plan is approved. The answer shows the mapping that was chosen.
    """
    async with runtime.db.transaction(caller.tenant) as tx:
        if (known := await once.known(tx)) is not None:
            return known
    wanted = _wanted(runtime, body)
    columns = await probe_account(runtime, wanted.provider, dict(wanted.config), _secret(body))
    table = connect.check(wanted, columns)
    async with runtime.db.transaction(caller.tenant) as tx:

        async def work() -> Response:
            connection_id = await connect.connect(tx, wanted, table, actor=caller.name)
            location = {"Location": f"/api/admin/connections/{connection_id}"}
            return answer(await _shown(tx, await adjust.known(tx, connection_id)), 201, location)

        return await once.once(tx, work)


@router.get("", operation_id="listConnections", summary="List connections", response_model=Connections)
async def page(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """The workspace's connections, the oldest first."""
    after: Any = paging.decode("connections", cursor, paging.BY_TIME)
    found = [
        stored for stored in await connections.every(tx) if after is None or (stored.created_at, stored.id) > after
    ]
    rows = [
        {"created_at": stored.created_at, "id": stored.id, "shown": await _shown(tx, stored)}
        for stored in found[: limit + 1]
    ]
    return paging.answered(
        request, "connections", Connections, rows, limit, by=("created_at", "id"), show=lambda row: [row["shown"]]
    )


@router.get(
    "/{connection_id}",
    operation_id="getConnection",
    summary="Read a connection",
    response_model=Connection,
    responses=refuses(404),
)
async def read(tx: Session, connection_id: UUID) -> Response:
    """Its settings, its mapping and its state; never its secret."""
    return answer(await _shown(tx, await adjust.known(tx, connection_id)))


@router.patch(
    "/{connection_id}",
    operation_id="changeConnection",
    summary="Change settings",
    response_model=Connection,
    responses=refuses(404, 409, 502),
)
async def change(runtime: Running, caller: Current, connection_id: UUID, body: ConnectionSettings) -> Response:
    """Changes what is sent. A new mapping is checked at the provider, and everything is read again under it.

    A new token is tried first, and then used by this connection alone; nothing is read anew because of it. Resume a
    connection that the former one has stopped.

    A new webhook secret is the account's: Instantly is told of it with the next turn, and what it still sends with the
    former one is refused. Of an account that several workspaces share, an operator changes it.
    """
    changes: dict[str, JSON] = body.model_dump(mode="json", exclude_unset=True)
    secret = {name: getattr(body.secret, name).get_secret_value() for name in body.secret.model_fields_set}
    table = None
    if {"mapping", "conflict_strategy"} & changes.keys():
        stored, columns = await _looked_at(runtime, caller, connection_id)
        table = adjust.check(stored, changes, columns)
    if "token" in secret:
        await _try_token(runtime, caller, connection_id, secret["token"])
    async with runtime.db.transaction(caller.tenant) as tx:
        stored = await adjust.known(tx, connection_id)
        await adjust.change(tx, stored, changes, table, actor=caller.name)
        if "token" in secret:
            account = runtime.account(stored.provider, stored.config, {"token": secret["token"]})
            await adjust.give_token(tx, stored, account["fingerprint"], account["sealed"])
        if WEBHOOK_SECRET in secret:
            resealed = await runtime.resealed(tx, stored, secret[WEBHOOK_SECRET])
            await adjust.give_webhook_secret(tx, stored, *resealed, is_operator=caller.role == "operator")
        return answer(await _shown(tx, await adjust.known(tx, connection_id)))


@router.delete(
    "/{connection_id}",
    operation_id="deleteConnection",
    summary="Disconnect",
    status_code=204,
    responses=refuses(404),
)
async def delete(tx: Session, caller: Current, connection_id: UUID) -> Response:
    """Ends the connection. Leads here and records there stay as they are."""
    await adjust.remove(tx, connection_id, actor=caller.name)
    return Response(status_code=204)


@router.post(
    "/{connection_id}/test",
    operation_id="testConnection",
    summary="Say whether it works",
    response_model=Tested,
    responses=refuses(404),
)
async def test(runtime: Running, caller: Current, connection_id: UUID) -> Response:
    """Asks the provider, and says in one sentence what works or what is missing."""
    try:
        stored, columns = await _looked_at(runtime, caller, connection_id)
        async with runtime.db.transaction(caller.tenant) as tx:
            return answer(Tested(ok=True, message=await adjust.verdict(tx, stored, columns)))
    except (ProviderError, MappingError) as exc:
        return answer(Tested(ok=False, message=str(exc)))


@router.get(
    "/{connection_id}/schema",
    operation_id="getConnectionSchema",
    summary="Read the provider's columns",
    response_model=RemoteColumns,
    responses=refuses(404, 502),
)
async def schema(runtime: Running, caller: Current, connection_id: UUID) -> Response:
    """The columns as the provider describes them now."""
    _, columns = await _looked_at(runtime, caller, connection_id)
    return answer(RemoteColumns.model_validate({"columns": columns}))


@router.get(
    "/{connection_id}/plan",
    operation_id="getConnectionPlan",
    summary="See the plan that waits",
    response_model=ReviewItem,
    responses=refuses(404, 409),
)
async def plan(tx: Session, connection_id: UUID) -> Response:
    """What applying this connection's plan would change on both sides. 409 while there is none (yet)."""
    await adjust.known(tx, connection_id)
    item = await reviews.find_open(tx, "plan", connection_id)
    if item is None:
        raise NoPlan
    return answer(ReviewItem.of(item))


@router.post(
    "/{connection_id}/approve",
    operation_id="approveConnection",
    summary="Approve the plan",
    status_code=202,
    response_model=Run,
    responses=refuses(404, 409),
)
async def approve(runtime: Running, caller: Current, once: Once, connection_id: UUID, body: Approval) -> Response:
    """Applies the plan that was looked at; if it says something else by now, 409, and the new one waits instead."""
    return await applied(runtime, caller, once, connection_id, body.digest)


@router.post(
    "/{connection_id}/pause",
    operation_id="pauseConnection",
    summary="Pause",
    response_model=Connection,
    responses=refuses(404, 409),
)
async def pause(tx: Session, caller: Current, connection_id: UUID) -> Response:
    """Keeps it from syncing; what changes here reaches it after it is resumed."""
    await adjust.pause(tx, connection_id, actor=caller.name)
    return answer(await _shown(tx, await adjust.known(tx, connection_id)))


@router.post(
    "/{connection_id}/resume",
    operation_id="resumeConnection",
    summary="Resume",
    response_model=Connection,
    responses=refuses(404, 409),
)
async def resume(tx: Session, caller: Current, connection_id: UUID) -> Response:
    """Lets a paused or stopped connection sync again, at once."""
    await adjust.resume(tx, connection_id, actor=caller.name)
    return answer(await _shown(tx, await adjust.known(tx, connection_id)))


async def applied(runtime: Runtime, caller: Caller, once: Idempotency, connection_id: UUID, digest: str) -> Response:
    """Applies a connection's plan and answers with the run that does it."""
    async with runtime.db.transaction(caller.tenant) as tx:
        waits = await reviews.find_open(tx, "plan", connection_id) is not None
        # asked for after the plan: one that the same request has just approved waits no more
        if (known := await once.known(tx)) is not None:
            return known
        stored = await adjust.known(tx, connection_id)
        if not waits:
            raise NoPlan
    plan = await plans.check(runtime.db, caller.tenant, stored, runtime.adapter, digest=digest)
    async with runtime.db.transaction(caller.tenant) as tx:

        async def work() -> Response:
            await plans.keep(tx, connection_id, plan)
            run_id = await plans.approve(tx, connection_id, actor=caller.name, digest=digest)
            return running.accepted(await runs.get(tx, run_id))

        return await once.once(tx, work)


async def _looked_at(runtime: Runtime, caller: Caller, connection_id: UUID) -> tuple[Stored, list[Column]]:
    """Returns a connection and its columns as the provider shows them; no transaction is open meanwhile."""
    async with runtime.db.transaction(caller.tenant) as tx:
        stored = await adjust.known(tx, connection_id)
    async with runtime.adapter(runtime.db, caller.tenant, stored) as adapter:
        return stored, await adapter.provider.schema()


async def _try_token(runtime: Runtime, caller: Caller, connection_id: UUID, token: str) -> None:
    """Opens a connection's table with another token; raises a `ProviderError` that says what that lacks."""
    async with runtime.db.transaction(caller.tenant) as tx:
        stored = await adjust.known(tx, connection_id)
    adjust.check_token(stored)
    await probe_account(runtime, stored.provider, dict(stored.config), {"token": token})


def _wanted(runtime: Runtime, body: NewConnection) -> connect.Wanted:
    secret, config = _secret(body), body.config.model_dump()
    rows = body.mapping if isinstance(body.mapping, str) else [m.model_dump(exclude_none=True) for m in body.mapping]
    return connect.Wanted(
        provider=body.provider,
        name=body.name or body.provider.capitalize(),
        config=config,
        **runtime.account(body.provider, config, secret),
        mapping=rows,
        conflict_strategy=body.conflict_strategy,
        create=body.create,
        priority=body.priority,
        schedule_minutes=body.schedule_minutes or runtime.settings.sync_interval_minutes,
        auto_approve=body.auto_approve,
    )


def _secret(body: NewConnection) -> dict[str, str]:
    fields = type(body.secret).model_fields
    return {name: value.get_secret_value() for name in fields if (value := getattr(body.secret, name)) is not None}


async def _shown(tx: Tx, stored: Stored) -> Connection:
    found: Connection = Connection.model_validate(stored)
    if stored.provider == "instantly" and (state := (await hooks.states(tx, [stored.account_id])).values()):
        found.webhook = Webhook.model_validate(*state)
    return found
