"""Ask: a person or a cron asks for sync work. It is queued, or joined where the same work waits already.

Work that has begun may be past what somebody has just changed, and its end would say that this was seen. So another run
follows it, unless a cron asks, which has nothing particular in mind, or all is read anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.db import connections, link_work, runs
from app.db.connections import Stored
from app.db.session import Tx
from app.domain.values import JSON
from app.errors import LeadkeeperError

#: Runs that read everything: one that has begun is as good as another one.
_WHOLE = frozenset({"full", "refresh", "analytics"})
_REMEDIES = {"new": "approve its first plan", "paused": "resume it", "stopped": "mend what stopped it and resume it"}


class NoSuchConnection(LeadkeeperError):
    """There is no such connection in this workspace."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class NotActive(LeadkeeperError):
    """The connection takes no part in syncs now."""

    def __init__(self, connection: Stored) -> None:
        reason = f" ({connection.reason.rstrip('.')})" if connection.reason else ""
        super().__init__(
            f"The connection {connection.name} is {connection.state}{reason}: {_REMEDIES[connection.state]}."
        )


class NothingToSync(LeadkeeperError):
    """No active connection can do this: connect a provider, and approve its first plan."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


async def ask(
    tx: Tx,
    kind: str,
    *,
    trigger: str,
    actor: str,
    provider: str | None = None,
    connection_id: UUID | None = None,
    only_due: bool = False,
    lead_ids: Sequence[UUID] = (),
    options: Mapping[str, JSON] | None = None,
) -> Any:
    """Queues a run and returns it; a run of the same kind that waits is returned instead of a second one.

    `only_due` is for a cron: connections whose time has come. Where none is due, the run returned is done already.

    Raises:
        NoSuchConnection, NotActive, NothingToSync
    """
    await runs.take_turns(tx)
    chosen = await choose(tx, provider=provider, connection_id=connection_id)
    if only_due:
        chosen = [c for c in chosen if c.next_run_at is not None and c.next_run_at <= tx.now]
    elif not chosen:
        raise NothingToSync
    if lead_ids:
        await link_work.touch_leads(tx, lead_ids, [c.id for c in chosen])
    begun = only_due or kind in _WHOLE
    if len(chosen) == 1:
        run_id = await _of_one(tx, chosen[0].id, kind, trigger, actor, options or {}, begun=begun)
    else:
        scope = {"provider": provider} if provider else {}
        run_id = await _of_many(tx, chosen, kind, trigger, actor, scope, options or {}, begun=begun)
    return await runs.get(tx, run_id)


async def choose(tx: Tx, *, provider: str | None = None, connection_id: UUID | None = None) -> list[Stored]:
    """Returns the active connections that are meant; raises `NoSuchConnection` or `NotActive` for one that is named."""
    if connection_id is None:
        every = await connections.every(tx)
        return [c for c in every if c.state == "active" and provider in (None, c.provider)]
    named = await connections.get(tx, connection_id)
    if named is None or provider not in (None, named.provider):
        raise NoSuchConnection
    if named.state != "active":
        raise NotActive(named)
    return [named]


async def _of_one(
    tx: Tx, connection_id: UUID, kind: str, trigger: str, actor: str, options: Mapping[str, JSON], *, begun: bool
) -> UUID:
    there = await runs.open_for(tx, connection_id, kind, begun=begun)
    if there is not None and there["options"].items() >= options.items():
        return UUID(str(there["id"]))
    return await runs.queue(tx, connection_id, kind, trigger, requested_by=actor, options=options)


async def _of_many(
    tx: Tx,
    chosen: Sequence[Stored],
    kind: str,
    trigger: str,
    actor: str,
    scope: Mapping[str, JSON],
    options: Mapping[str, JSON],
    *,
    begun: bool,
) -> UUID:
    """A run of the workspace with a part per connection; runs that are there are taken in instead of done twice."""
    there = await runs.open_whole(tx, kind, {**scope, **options}, begun=begun)
    if there is not None:
        return UUID(str(there["id"]))
    run_id = await runs.queue(tx, None, kind, trigger, requested_by=actor, options={**scope, **options})
    for connection in chosen:
        if not await runs.adopt(tx, run_id, connection.id, kind, options, begun=begun):
            await runs.queue(tx, connection.id, kind, trigger, requested_by=actor, parent_id=run_id, options=options)
    await runs.start(tx, run_id)
    if not chosen:
        await runs.finish(tx, run_id, "done", {})
    return run_id
