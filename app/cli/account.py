"""An account at a provider, and connecting it: for the command line and for the first start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.db.session import Tenant
from app.domain.values import JSON
from app.runtime import Runtime, probe_account
from app.sync import connect as connecting


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account somebody wants to be connected."""

    kind: str
    name: str
    config: Mapping[str, JSON]
    secret: dict[str, str]
    #: settings of the connection, by the names of `connecting.Wanted`
    options: Mapping[str, Any] = field(default_factory=dict)


async def connect(runtime: Runtime, tenant: Tenant, account: Account, *, actor: str) -> UUID:
    """Checks an account with its provider and stores the connection; its first run proposes a plan."""
    wanted = connecting.Wanted(
        provider=account.kind,
        name=account.name,
        config=account.config,
        **runtime.account(account.kind, account.config, account.secret),
        schedule_minutes=runtime.settings.sync_interval_minutes,
        **account.options,
    )
    table = connecting.check(wanted, await probe_account(runtime, account.kind, dict(account.config), account.secret))
    async with runtime.db.transaction(tenant) as tx:
        return await connecting.connect(tx, wanted, table, actor=actor)
