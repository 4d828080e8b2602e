"""The inbox: deliveries of webhooks as they came, each once, and what became of them.

Storing and routing come before any tenant, through functions of the database; what follows runs inside a workspace.
Nobody locks a delivery and then a lead: whoever applies one locks its lead first and then reads its state again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from app.db.ids import new_id
from app.db.session import Database, Tx
from app.domain import delivery as words
from app.domain.values import JSON

State = Literal["received", "applied", "ignored", "parked", "unrouted", "failed"]
Via = Literal["webhook", "log", "mail"]

#: Times a delivery is tried before it is set aside, and the wait after the first failure, which doubles.
ATTEMPTS, FIRST_WAIT = 6, 5.0
#: Days a workspace keeps the bodies of what it has applied, where it does not say.
DELIVERY_DAYS = 90
#: Bodies forgotten in one transaction.
FORGOTTEN = 2000

_STORE = "SELECT * FROM store_deliveries(coalesce($1, date_trunc('milliseconds', clock_timestamp())), " + (
    ", ".join(f"${i}" for i in range(2, 15)) + ")"
)
_LOADED = "id, account_id, path, received_at, via, headers, body, campaign_id, event_type, email_hash, attempts, state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery to be stored; made by `delivery`."""

    #: whose it is: the sha256 of a webhook secret, or the account itself
    secret_hash: bytes | None
    account_id: UUID | None
    via: Via
    #: the campaign in the address, None where there was no address
    path: str | None
    headers: Mapping[str, str]
    body: bytes
    digest: bytes
    told: words.Told
    email_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A delivery that is kept, now or since before."""

    id: UUID
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A delivery as it is kept."""

    id: UUID
    account_id: UUID
    path: str | None
    received_at: datetime
    via: Via
    headers: dict[str, str]
    #: None: forgotten, or erased
    body: bytes | None
    #: the provider's id of the campaign, where any of what was told is one
    campaign_id: str | None
    event_type: str | None
    email_hash: bytes | None
    attempts: int
    state: State
    #: the JSON object in the body; None where there is none. Its texts may hold NUL and lone surrogates
    content: dict[str, JSON] | None = field(repr=False)


def delivery(
    body: bytes,
    *,
    fingerprint: Callable[[str], bytes],
    secret_hash: bytes | None = None,
    account_id: UUID | None = None,
    via: Via = "webhook",
    path: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Delivery:
    """Makes a delivery of a body, whatever is in it; `fingerprint` is the keyed hash of an address."""
    headers = headers or {}
    found = words.read(body, headers.get("content-encoding", ""))
    told = words.told(found.content)
    return Delivery(
        secret_hash=secret_hash,
        account_id=account_id,
        via=via,
        path=None if path is None else words.shortened(path),
        headers=headers,
        body=body,
        digest=found.digest,
        told=told,
        email_hash=None if told.email is None else fingerprint(told.email),
    )


async def store(db: Database, rows: Sequence[Delivery], *, timeout: float | None = None) -> list[Stored | None]:
    """Keeps deliveries, all in one statement that commits; None for those whose secret nobody has."""
    if not rows:
        return []
    found = await db.alone(
        _STORE,
        db.given_time(),
        [new_id() for _ in rows],
        [row.secret_hash for row in rows],
        [row.account_id for row in rows],
        [row.via for row in rows],
        [None if row.path is None else row.path.strip().lower() for row in rows],
        [row.path for row in rows],
        [row.told.campaign for row in rows],
        [row.told.campaign_id for row in rows],
        [row.told.event_type for row in rows],
        [row.email_hash for row in rows],
        [row.digest for row in rows],
        [dict(row.headers) for row in rows],
        [row.body for row in rows],
        timeout=timeout,
    )
    return [None if row["delivery"] is None else Stored(row["delivery"], row["is_new"]) for row in found]


async def is_secret(db: Database, secret_hash: bytes) -> bool:
    """Tells whether a webhook secret is anybody's, before anything of its delivery is read."""
    row = await db.look_up("SELECT is_webhook_secret($1) AS known", secret_hash)
    return bool(row["known"])


async def own(tx: Tx, ids: Collection[UUID]) -> int:
    """Returns how many of these deliveries are this workspace's; an account's may be others' as well."""
    found: int = await tx.value(
        "SELECT count(*) FROM webhook_delivery WHERE workspace_id = $1 AND id = ANY($2)", tx.workspace_id, list(ids)
    )
    return found


async def due(db: Database, limit: int) -> list[tuple[UUID, list[UUID]]]:
    """Returns what is to be applied, the oldest first and at most `limit` of each workspace."""
    async with db.transaction() as tx:
        rows = await tx.all("SELECT * FROM due_deliveries($1, $2)", tx.now, limit)
    return [(row["workspace_id"], list(row["ids"])) for row in rows]


async def route(tx: Tx, account_id: UUID | None = None, campaign_id: str | None = None) -> int:
    """Gives deliveries without a workspace (of an account, of a campaign) to the one that has their campaign by now."""
    found: int = await tx.value("SELECT route_deliveries($1, $2)", account_id, campaign_id)
    return found


async def unrouted(tx: Tx) -> list[Any]:
    """Returns how many deliveries wait for a workspace, by account and campaign; for operators, others see none."""
    return await tx.all("SELECT * FROM unrouted_deliveries()")


async def hold(tx: Tx, ids: Collection[UUID]) -> list[UUID]:
    """Keeps deliveries' campaigns where they are until this transaction ends, and returns those that are still ours.

    The others go to the workspace that has their campaign by now. Call it before anything else is locked.
    """
    found: list[UUID] = await tx.value("SELECT hold_deliveries($1)", list(ids))
    return found


async def load(tx: Tx, ids: Collection[UUID]) -> list[Loaded]:
    """Returns deliveries of the workspace, in the order they came in."""
    rows = await tx.all(
        f"SELECT {_LOADED} FROM webhook_delivery WHERE workspace_id = $1 AND id = ANY($2) ORDER BY received_at, id",
        tx.workspace_id,
        list(ids),
    )
    return [loaded(row) for row in rows]


def loaded(row: Mapping[str, Any]) -> Loaded:
    """Returns a delivery as its row has it."""
    body, headers = row["body"], row["headers"]
    content = None if body is None else words.read(body, str(headers.get("content-encoding", ""))).content
    return Loaded(**{name: row[name] for name in Loaded.__dataclass_fields__ if name != "content"}, content=content)


async def waiting(tx: Tx, ids: Collection[UUID]) -> set[UUID]:
    """Returns those that are still to be applied; asked again once their leads are locked."""
    rows = await tx.all(
        "SELECT id FROM webhook_delivery WHERE workspace_id = $1 AND id = ANY($2) AND state IN ('received', 'parked')",
        tx.workspace_id,
        list(ids),
    )
    return {row["id"] for row in rows}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery."""

    id: UUID
    state: State
    reason: str | None = None
    lead_id: UUID | None = None
    #: when a parked one is looked at again; None: when a person asks for it
    retry_at: datetime | None = None
    #: nothing is kept of what it said
    forget: bool = False


async def settle(tx: Tx, outcomes: Sequence[Outcome]) -> None:
    """Says what became of deliveries that were to be applied."""
    if not outcomes:
        return
    await tx.run(
        "UPDATE webhook_delivery d SET state = o.state, reason = o.reason, lead_id = o.lead_id,"
        " next_attempt_at = o.retry_at, attempts = CASE WHEN o.state = 'parked' THEN d.attempts + 1 ELSE 0 END,"
        " body = CASE WHEN NOT o.forget THEN d.body END,"
        " headers = CASE WHEN o.forget THEN '{}' ELSE d.headers END,"
        " email_hash = CASE WHEN NOT o.forget THEN d.email_hash END,"
        " applied_at = CASE WHEN o.state IN ('applied', 'ignored') THEN $2::timestamptz END"
        " FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[], $8::boolean[])"
        " AS o(id, state, reason, lead_id, retry_at, forget)"
        " WHERE d.workspace_id = $1 AND d.id = o.id AND d.state IN ('received', 'parked')",
        tx.workspace_id,
        tx.now,
        [o.id for o in outcomes],
        [o.state for o in outcomes],
        [None if o.reason is None else words.shortened(o.reason) for o in outcomes],
        [o.lead_id for o in outcomes],
        [o.retry_at for o in outcomes],
        [o.forget for o in outcomes],
    )


async def unpark(tx: Tx, email_hashes: Collection[bytes]) -> int:
    """Lets the deliveries that wait for leads with these addresses (as keyed hashes) be applied; returns how many."""
    if not email_hashes:
        return 0
    return await tx.run(
        "UPDATE webhook_delivery SET state = 'received', reason = NULL, attempts = 0, next_attempt_at = NULL"
        " WHERE workspace_id = $1 AND email_hash = ANY($2) AND state = 'parked'",
        tx.workspace_id,
        list(email_hashes),
    )


async def failed(tx: Tx, delivery_id: UUID, reason: str) -> State:
    """Notes that applying a delivery failed: it is tried again later, and after `ATTEMPTS` times set aside."""
    state: State | None = await tx.value(
        "UPDATE webhook_delivery SET attempts = attempts + 1, reason = $3, next_attempt_at = CASE"
        " WHEN attempts + 1 < $4 THEN $5::timestamptz + make_interval(secs => $6 * power(2, attempts)) END,"
        " state = CASE WHEN attempts + 1 < $4 THEN 'received' ELSE 'failed' END"
        " WHERE workspace_id = $1 AND id = $2 AND state IN ('received', 'parked') RETURNING state",
        tx.workspace_id,
        delivery_id,
        words.shortened(reason),
        ATTEMPTS,
        tx.now,
        FIRST_WAIT,
    )
    return state or "applied"


async def forget(tx: Tx, limit: int = FORGOTTEN) -> int:
    """Empties bodies that were applied longer ago than the workspace keeps them; returns of how many."""
    days = await tx.value("SELECT settings -> 'delivery_days' FROM workspace WHERE id = $1", tx.workspace_id)
    kept = days if isinstance(days, int) and days > 0 else DELIVERY_DAYS
    return await tx.run(
        "UPDATE webhook_delivery SET body = NULL, headers = '{}' WHERE workspace_id = $1 AND id IN ("
        " SELECT id FROM webhook_delivery WHERE workspace_id = $1 AND body IS NOT NULL"
        " AND state IN ('applied', 'ignored') AND received_at < $2 ORDER BY received_at LIMIT $3)",
        tx.workspace_id,
        tx.now - timedelta(days=kept),
        limit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which deliveries: all of these hold; None holds for every one."""

    id: UUID | None = None
    state: str | None = None
    event_type: str | None = None
    #: a campaign of the workspace, by its own id
    campaign: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def sql(self, first: int) -> tuple[str, list[Any]]:
        """Returns conditions on `d`, whose parameters begin with this number, and the parameters."""
        tests = {
            "d.id = ${}": self.id,
            "d.state = ${}": self.state,
            "d.event_type = ${}": self.event_type,
            "(d.account_id, d.campaign_id) IN (SELECT k.account_id, m.remote_id FROM campaign m JOIN connection k ON"
            " k.workspace_id = m.workspace_id AND k.id = m.connection_id WHERE m.workspace_id = $1 AND m.id = ${})": (
                self.campaign
            ),
            "d.received_at >= ${}": self.since,
            "d.received_at < ${}": self.until,
        }
        given = [(test, value) for test, value in tests.items() if value is not None]
        conditions = [test.format(number) for number, (test, _) in enumerate(given, first)]
        return "".join(f" AND {condition}" for condition in conditions), [value for _, value in given]


_LISTED = (
    "d.id, d.received_at, d.via, d.event_type, d.state, d.reason, d.attempts, d.next_attempt_at, d.applied_at,"
    " d.lead_id, octet_length(d.body) AS size, (SELECT jsonb_build_object('id', m.id, 'name', m.name) FROM campaign m"
    " JOIN connection k ON k.workspace_id = m.workspace_id AND k.id = m.connection_id"
    " WHERE m.workspace_id = d.workspace_id AND m.remote_id = d.campaign_id AND k.account_id = d.account_id"
    " ORDER BY m.id LIMIT 1) AS campaign"
)


async def page(tx: Tx, chosen: Chosen, limit: int, before: tuple[datetime, UUID] | None = None) -> list[Any]:
    """Returns deliveries of the workspace without their bodies, the newest first."""
    tests, args = chosen.sql(3)
    keys = f" AND (d.received_at, d.id) < (${len(args) + 3}::timestamptz, ${len(args) + 4}::uuid)" if before else ""
    return await tx.all(
        f"SELECT {_LISTED} FROM webhook_delivery d WHERE d.workspace_id = $1{tests}{keys}"
        " ORDER BY d.received_at DESC, d.id DESC LIMIT $2",
        tx.workspace_id,
        limit,
        *args,
        *(before or ()),
    )


async def get(tx: Tx, delivery_id: UUID) -> Any:
    """Returns a delivery with its headers and its body, or None."""
    return await tx.one(
        f"SELECT {_LISTED}, d.path, d.headers, d.body FROM webhook_delivery d WHERE d.workspace_id = $1 AND d.id = $2",
        tx.workspace_id,
        delivery_id,
    )


async def replay(tx: Tx, chosen: Chosen) -> int:
    """Lets deliveries be applied again, as far as their bodies are still there; returns how many."""
    tests, args = chosen.sql(2)
    return await tx.run(
        "UPDATE webhook_delivery d SET state = 'received', attempts = 0, next_attempt_at = NULL, reason = NULL,"
        " applied_at = NULL WHERE d.workspace_id = $1 AND d.body IS NOT NULL"
        f" AND NOT (d.state = 'received' AND d.attempts = 0){tests}",
        tx.workspace_id,
        *args,
    )
