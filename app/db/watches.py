"""What is known of an account as a whole: its webhook, the mails and the delivery log, and how far each was read.

Several workspaces may use one account. Whoever claims a look makes it for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from app.db.session import Database, Tx
from app.domain.values import JSON

What = Literal["hook", "mails", "log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is known of an account."""

    account_id: UUID
    hook: str
    hook_error: str | None
    hook_since: datetime | None
    hook_seen_at: datetime | None
    hook_looked_at: datetime | None
    mails_since: datetime | None
    mails_position: dict[str, JSON] | None
    mails_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """When nothing was delivered; not over yet where it has no end."""

    account_id: UUID
    began_at: datetime
    ended_at: datetime | None
    why: str
    is_logged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDay:
    """What the provider's log of a day was found to hold."""

    account_id: UUID
    day: date
    total: int
    failed: int
    lost: int
    lost_from: datetime | None
    lost_to: datetime | None
    error: str | None
    checked_at: datetime


async def claim(tx: Tx, account_id: UUID, what: What, seconds: float) -> bool:
    """Takes the right to look, once in so many seconds; False: somebody looked not long ago."""
    await tx.run("INSERT INTO account_watch (account_id) VALUES ($1) ON CONFLICT DO NOTHING", account_id)
    return bool(
        await tx.run(
            f"UPDATE account_watch SET {what}_looked_at = $2 WHERE account_id = $1 AND ({what}_looked_at IS NULL"
            f" OR {what}_looked_at <= $2::timestamptz - make_interval(secs => $3))",
            account_id,
            tx.now,
            seconds,
        )
    )


async def look_soon(tx: Tx, account_id: UUID) -> None:
    """Lets whoever has a turn next look after an account's webhook."""
    await tx.run("UPDATE account_watch SET hook_looked_at = NULL WHERE account_id = $1", account_id)


async def claim_nobodys(db: Database, seconds: float) -> list[tuple[UUID, UUID]]:
    """Takes the right, once in so many seconds, to remove webhooks of accounts that no connection uses any more.

    Returns, of each account, the workspace and the connection that used it last.
    """
    async with db.transaction() as tx:
        rows = await tx.all("SELECT * FROM claim_nobodys_hooks($1, $2)", tx.now, seconds)
    return [(row["workspace_id"], row["connection_id"]) for row in rows]


async def forget_nobodys(tx: Tx, account_id: UUID) -> None:
    """Notes that an account which no connection uses has no webhook any more."""
    await tx.run("SELECT forget_nobodys_hook($1)", account_id)


async def of(tx: Tx, account_ids: Sequence[UUID]) -> dict[UUID, Watch]:
    """Returns what is known of accounts of this workspace."""
    rows = await tx.all(
        f"SELECT {', '.join(Watch.__dataclass_fields__)} FROM account_watch WHERE account_id = ANY($1)",
        list(account_ids),
    )
    return {row["account_id"]: Watch(**dict(row)) for row in rows}


async def note_hook(tx: Tx, account_id: UUID, error: str | None, *, state: str | None = None) -> None:
    """Says how an account's webhook fares; None: as before."""
    await tx.run(
        "UPDATE account_watch SET hook = coalesce($3, hook), hook_error = $2 WHERE account_id = $1",
        account_id,
        error,
        state,
    )


async def hook_is_active(tx: Tx, account_id: UUID) -> None:
    """Notes that an account's webhook is there and delivers; with that a gap is over."""
    await tx.run(
        "UPDATE account_watch SET hook = 'active', hook_error = NULL, hook_seen_at = $2,"
        " hook_since = coalesce(hook_since, $2) WHERE account_id = $1",
        account_id,
        tx.now,
    )
    await tx.run(
        "UPDATE hook_gap SET ended_at = greatest(began_at, $2) WHERE account_id = $1 AND ended_at IS NULL",
        account_id,
        tx.now,
    )


async def open_gap(tx: Tx, account_id: UUID, began_at: datetime, why: str) -> None:
    """Notes since when nothing is delivered, unless that is known."""
    await tx.run(
        "INSERT INTO hook_gap (account_id, began_at, why) SELECT $1, $2, $3 WHERE NOT EXISTS"
        " (SELECT FROM hook_gap WHERE account_id = $1 AND ended_at IS NULL) ON CONFLICT DO NOTHING",
        account_id,
        began_at,
        why,
    )


async def gaps(tx: Tx, account_ids: Sequence[UUID], since: datetime, until: datetime | None = None) -> list[Gap]:
    """Returns the gaps that ended after a moment or are not over, and began before another one."""
    rows = await tx.all(
        "SELECT * FROM hook_gap WHERE account_id = ANY($1) AND (ended_at IS NULL OR ended_at > $2)"
        " AND ($3::timestamptz IS NULL OR began_at < $3) ORDER BY began_at",
        list(account_ids),
        since,
        until,
    )
    return [Gap(**dict(row)) for row in rows]


async def gap_is_logged(tx: Tx, gap: Gap) -> None:
    """Notes that the provider's log went on during a gap."""
    await tx.run(
        "UPDATE hook_gap SET is_logged = true WHERE account_id = $1 AND began_at = $2", gap.account_id, gap.began_at
    )


async def move_mails(
    tx: Tx, account_id: UUID, since: datetime, position: Mapping[str, JSON] | None, error: str | None = None
) -> None:
    """Notes how far an account's mails were read, once what was read is kept."""
    await tx.run(
        "UPDATE account_watch SET mails_since = $2, mails_position = $3, mails_error = $4 WHERE account_id = $1",
        account_id,
        since,
        None if position is None else dict(position),
        error,
    )


async def note_mails(tx: Tx, account_id: UUID, error: str) -> None:
    """Says why an account's mails cannot be read."""
    await tx.run("UPDATE account_watch SET mails_error = $2 WHERE account_id = $1", account_id, error)


async def log_days(tx: Tx, account_ids: Sequence[UUID], days: Sequence[date]) -> list[LogDay]:
    """Returns what is known of the log of some days."""
    rows = await tx.all(
        "SELECT * FROM log_day WHERE account_id = ANY($1) AND day = ANY($2)", list(account_ids), list(days)
    )
    return [LogDay(**dict(row)) for row in rows]


async def put_log_day(tx: Tx, found: LogDay) -> None:
    """Keeps what the log of a day was found to hold."""
    columns = [*LogDay.__dataclass_fields__]
    news = ", ".join(f"{name} = excluded.{name}" for name in columns[2:])
    await tx.run(
        f"INSERT INTO log_day ({', '.join(columns)}) VALUES ({', '.join(f'${i}' for i in range(1, len(columns) + 1))})"
        f" ON CONFLICT (account_id, day) DO UPDATE SET {news}",
        *(getattr(found, name) for name in columns),
    )


async def note_logged(tx: Tx, account_id: UUID, delivery_ids: Sequence[UUID], day: date) -> None:
    """Notes on which day the provider's log has deliveries, whosever they are."""
    await tx.run("SELECT note_logged($1, $2, $3)", account_id, list(delivery_ids), day)


async def count_logged(tx: Tx, day: date) -> Any:
    """Returns of the workspace's deliveries that the log of a day has: how many, and how they came."""
    return await tx.one(
        "SELECT count(*) AS logged, count(*) FILTER (WHERE via = 'webhook') AS received,"
        " count(*) FILTER (WHERE via <> 'webhook') AS recovered FROM webhook_delivery"
        " WHERE workspace_id = $1 AND logged_on = $2",
        tx.workspace_id,
        day,
    )


async def accounts(tx: Tx) -> dict[UUID, bool]:
    """Returns the accounts of this workspace's mail-campaign providers, and whether other workspaces share them."""
    rows = await tx.all(
        "SELECT a.id, a.shared_at IS NOT NULL AS is_shared FROM provider_account a WHERE a.provider = 'instantly'"
        " AND EXISTS (SELECT FROM connection c WHERE c.workspace_id = $1 AND c.account_id = a.id"
        " AND c.deleted_at IS NULL) ORDER BY a.id",
        tx.workspace_id,
    )
    return {row["id"]: row["is_shared"] for row in rows}
