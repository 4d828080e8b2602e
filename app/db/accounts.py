"""Accounts: one at a provider may serve many workspaces, and then each campaign of it belongs to one of them.

An account that one workspace alone uses gives it everything. It is shared for good as soon as a second workspace
connects to it or an operator assigns one of its campaigns: from then on what is not assigned waits, read by nobody.
The rule stands in the database's functions, under a lock on the account, because no workspace sees another one's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.connections import Stored
from app.db.ids import new_id
from app.db.session import Tx


async def join(tx: Tx, account_id: UUID) -> None:
    """Lets this workspace use an account as well; what another one has taken in by now is assigned to that one."""
    await tx.run("SELECT join_account($1, $2)", account_id, tx.now)


async def readable(tx: Tx, connection: Stored) -> frozenset[str] | None:
    """Returns the campaigns a connection may read, by the provider's ids; None: all of the account.

    Nobody can move a campaign of the account before this transaction ends. Call it before anything else is locked.
    """
    assigned: list[str] | None = await tx.value("SELECT readable_campaigns($1)", connection.account_id)
    wanted = connection.config.get("campaign_ids")
    if assigned is None or wanted is None:
        found = wanted if assigned is None else assigned
        return None if found is None else frozenset(found)
    return frozenset(assigned) & frozenset(wanted)


async def every(tx: Tx) -> list[Any]:
    """Returns all accounts (id, provider, created_at, shared_at, workspaces) for an operator, the oldest first."""
    return await tx.all("SELECT * FROM list_accounts()")


async def secret(tx: Tx, account_id: UUID) -> bytes | None:
    """Returns the encrypted secret of any account, for an operator."""
    found: bytes | None = await tx.value("SELECT account_secret($1)", account_id)
    return found


async def assignments(tx: Tx, account_id: UUID) -> list[Any]:
    """Returns which campaigns of an account are assigned (campaign_id, workspace_id, name), for an operator."""
    return await tx.all("SELECT * FROM list_assignments($1)", account_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a campaign that was assigned anew."""

    #: the workspace it belonged to
    former: UUID | None
    #: links there that have ended with it
    ended: int


async def assign(tx: Tx, account_id: UUID, campaign_id: str, workspace_id: UUID | None, *, actor: str) -> Moved:
    """Assigns a campaign to a workspace, or to none; only an operator may. Both workspaces' audit logs tell of it.

    Whoever had it keeps the leads, and its links as they were seen last; whoever gets it reads it at once.
    """
    row = await tx.one(
        "SELECT former, ended FROM assign_campaign($1, $2, $3, $4, $5, $6)",
        account_id,
        campaign_id,
        workspace_id,
        actor,
        [new_id(), new_id()],
        tx.now,
    )
    return Moved(former=row["former"], ended=row["ended"])
