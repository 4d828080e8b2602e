"""For people with one team: the accounts in the environment become the connections of a first workspace.

This happens once. A restart adds nothing that was there before, deleted connections included, and an account that
cannot be reached now does not keep the service from starting: it is tried again at the next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import structlog

from app.cli.account import Account, connect
from app.cli.console import names
from app.cli.keeping import FIRST
from app.db import connections, workspaces
from app.db.session import Tenant
from app.errors import LeadkeeperError
from app.runtime import Runtime
from app.settings import Settings, SettingsError

log = structlog.get_logger()
ACTOR = "first start"


async def ensure(runtime: Runtime) -> None:
    """Makes the first workspace and its connections, where the settings name accounts and nobody has connected them."""
    known = await names(runtime.db)
    wanted = await missing(runtime, known)
    if not wanted:
        return
    tenant = Tenant(known.get(FIRST) or await workspaces.create(runtime.db, FIRST), "operator")
    for account in wanted:
        try:
            await connect(runtime, tenant, account, actor=ACTOR)
            log.info("connection.added", name=account.name, workspace=FIRST)
        except LeadkeeperError as exc:
            remedy = "mend that, or the setting, and start again"
            log.warning("connection.refused", name=account.name, reason=str(exc), remedy=remedy)


async def missing(runtime: Runtime, known: Mapping[str, UUID]) -> list[Account]:
    """Returns the accounts the settings name that the first workspace has never been connected with."""
    wanted = accounts(runtime.settings)
    if not wanted or (known and FIRST not in known):
        return []
    if not known:
        return wanted
    async with runtime.db.transaction(Tenant(known[FIRST], "operator")) as tx:
        had = {c.provider for c in await connections.every(tx, disconnected=True)}
    return [account for account in wanted if account.kind not in had]


def accounts(settings: Settings) -> list[Account]:
    """Returns the accounts the settings name."""
    found = []
    given = (settings.airtable_token, settings.airtable_base_id, settings.airtable_table_id)
    if any(given) and not all(given):
        raise SettingsError("AIRTABLE_TOKEN, AIRTABLE_BASE_ID and AIRTABLE_TABLE_ID belong together: set all or none.")
    if settings.airtable_token and settings.airtable_base_id and settings.airtable_table_id:
        target = {"base_id": settings.airtable_base_id, "table_id": settings.airtable_table_id}
        secret = {"token": settings.airtable_token.get_secret_value()}
        found.append(Account(kind="airtable", name="Airtable", config=target, secret=secret))
    if settings.instantly_api_key:
        secret = {"api_key": settings.instantly_api_key.get_secret_value()}
        found.append(Account(kind="instantly", name="Instantly", config={"campaign_ids": None}, secret=secret))
    return found
