"""One pool, one kind of transaction, one commit place.

Every statement runs in an explicit transaction whose first statement sets the tenant and the role for row-level
security (transaction-local, so that a cancelled request leaves nothing behind on its connection) and brings the
database's own time. `app.workspace_id` is never set from an event listener or for a session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

import asyncpg
import orjson

from app.db.pool import Pool
from app.errors import LeadkeeperError

Role = Literal["operator", "admin", "member", "viewer", "cron", "system"]
T = TypeVar("T")

#: Seconds: a statement, a connection attempt, a place in the pool.
COMMAND_TIMEOUT, CONNECT_TIMEOUT, POOL_TIMEOUT = 20.0, 5.0, 4.0


def begins(workspace: str, role: str) -> str:
    """Returns what a transaction's first statement selects: it sets the tenant, and brings the database's time."""
    return (
        f"set_config('app.workspace_id', {workspace}, true), set_config('app.role', {role}, true),"
        " date_trunc('milliseconds', clock_timestamp()) AS now"
    )


_BEGIN = "SELECT " + begins("$1", "$2")
#: What two transactions can do to each other; the loser is run once more.
_RETRIED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.DiskFullError,
    OSError,
    TimeoutError,
)


class DatabaseUnavailable(LeadkeeperError):
    """The database does not answer; try again in a few seconds. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class Unstorable(LeadkeeperError):
    """A value does not fit what is stored of it: it is too large, or holds a character that text cannot."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a transaction runs for; without a workspace it sees no tenant's row."""

    workspace_id: UUID | None
    role: Role = "system"

    @property
    def settings(self) -> tuple[str, Role]:
        """What row-level security goes by: the workspace and the role, as `_BEGIN` takes them."""
        return "" if self.workspace_id is None else str(self.workspace_id), self.role


NOBODY = Tenant(None)


class Clock(Protocol):
    """Time that a simulation owns; without one the database's own clock counts."""

    def now(self) -> datetime: ...


#: Called before and after every transaction's end, with a name: where a simulation edits, crashes or counts.
Probe = Callable[[str], Awaitable[None]]


class Tx:
    """An open transaction: asyncpg's connection, the tenant it runs for, and the time."""

    __slots__ = ("connection", "now", "tenant")

    def __init__(self, connection: Any, tenant: Tenant, now: datetime) -> None:
        self.connection = connection
        self.tenant = tenant
        #: the database's time at the begin, to the millisecond
        self.now = now

    @property
    def workspace_id(self) -> UUID:
        """The workspace this transaction runs in."""
        assert self.tenant.workspace_id is not None
        return self.tenant.workspace_id

    async def all(self, sql: str, *args: Any) -> list[Any]:
        """Returns every row."""
        return list(await self.connection.fetch(sql, *args))

    async def one(self, sql: str, *args: Any) -> Any:
        """Returns the first row, or None."""
        return await self.connection.fetchrow(sql, *args)

    async def value(self, sql: str, *args: Any) -> Any:
        """Returns the first column of the first row, or None."""
        return await self.connection.fetchval(sql, *args)

    async def run(self, sql: str, *args: Any, seconds: float | None = None) -> int:
        """Runs a statement and returns how many rows it touched; it may take `seconds` instead of the usual."""
        if seconds is not None:
            await self.connection.execute("SELECT set_config('statement_timeout', $1, true)", f"{seconds:.0f}s")
        status = await self.connection.execute(sql, *args, timeout=seconds)
        *_, count = str(status).split()
        return int(count) if count.isdigit() else 0

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undoes what its block did if that raises; the transaction goes on."""
        with _TRANSLATED:
            async with self.connection.transaction():
                yield

    @contextlib.asynccontextmanager
    async def elsewhere(self, tenant: Tenant) -> AsyncIterator[Tx]:
        """Acts for another tenant for the length of its block, which is undone as a whole if it raises."""
        async with self.savepoint():
            await self.connection.execute(_BEGIN, *tenant.settings)
            yield Tx(self.connection, tenant, self.now)
            await self.connection.execute(_BEGIN, *self.tenant.settings)

    async def many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Runs a statement once per row."""
        if rows:
            await self.connection.executemany(sql, rows)

    async def copy(
        self, sql: str, *args: Any, to: Callable[[bytes], Awaitable[None]], seconds: float, **options: Any
    ) -> None:
        """Writes a query's rows as COPY renders them, and waits for the reader; makes this transaction read-only."""
        await self.run(
            "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', $1, true)",
            f"{seconds:.0f}s",
        )
        await self.connection.copy_from_query(sql, *args, output=to, timeout=seconds, **options)


class Database:
    """The service's way to Postgres, as the app role."""

    def __init__(self, pool: Any, *, clock: Clock | None = None, probe: Probe | None = None) -> None:
        self._pool = pool
        self._clock = clock
        self._probe = probe

    @classmethod
    async def open(
        cls, dsn: str, *, size: int = 10, clock: Clock | None = None, probe: Probe | None = None
    ) -> Database:
        """Connects; raises `DatabaseUnavailable` where nothing answers."""
        with _TRANSLATED:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=size,
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                init=_prepare,
                reset=_forget_nothing,
                server_settings={"application_name": "leadkeeper"},
            )
        return cls(Pool(pool), clock=clock, probe=probe)

    async def close(self) -> None:
        """Closes every connection; waits for transactions under way, but not for ever."""
        try:
            await asyncio.wait_for(self._pool.close(), 10)
        except TimeoutError:
            self._pool.terminate()

    def transaction(self, tenant: Tenant = NOBODY) -> Transaction[Tx]:
        """Opens a transaction for a tenant; commits at the end of the block, rolls back on any error."""

        def opened(connection: Any, row: Any) -> Tx:
            return Tx(connection, tenant, self._time(row))

        return Transaction(self._pool, self._probe, opened, _BEGIN, *tenant.settings)

    def transaction_of(self, who: Callable[[Any], T], sql: str, *args: Any) -> Transaction[tuple[T, Tx]]:
        """Opens a transaction for the tenant its first statement finds.

        The statement selects workspace_id, role and `begins(…)` of both. `who` makes of its row what comes with the
        transaction; where nobody was found it is handed None, and raises.
        """

        def opened(connection: Any, row: Any) -> tuple[T, Tx]:
            return who(row), Tx(connection, Tenant(row["workspace_id"], row["role"]), self._time(row))

        return Transaction(self._pool, self._probe, opened, sql, *args)

    async def look_up(self, sql: str, *args: Any) -> Any:
        """Returns the first row of one statement that precedes every tenant, such as finding an API key."""
        return await self._ask(lambda connection: connection.fetchrow(sql, *args), POOL_TIMEOUT)

    async def alone(self, sql: str, *args: Any, timeout: float | None = None) -> list[Any]:
        """Returns the rows of one statement that is a transaction of its own: one trip, committed when it returns.

        For statements that precede every tenant. `timeout` is in seconds, for the place in the pool and for the
        statement each.
        """

        async def fetch(connection: Any) -> list[Any]:
            await self._point("commit")
            return list(await connection.fetch(sql, *args, timeout=timeout))

        rows = await self._ask(fetch, timeout or POOL_TIMEOUT)
        await self._point("committed")
        return rows

    async def _ask(self, ask: Callable[[Any], Awaitable[T]], seconds: float) -> T:
        """Asks one question on a connection of its own, and outside every transaction."""
        with _TRANSLATED:
            connection = await self._pool.acquire(timeout=seconds)
            try:
                found = await ask(connection)
            except BaseException:
                await self._pool.release(connection)
                raise
            await self._pool.rest(connection)
            return found

    def given_time(self) -> datetime | None:
        """Returns a simulation's time; None where the database's own counts."""
        return self._clock.now() if self._clock else None

    async def now(self) -> datetime:
        """Returns the database's time, to the millisecond."""
        async with self.transaction() as tx:
            return tx.now

    async def retrying(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a whole transaction, once more if it lost a race with another one."""
        try:
            return await work()
        except _RETRIED:
            return await work()

    async def _point(self, name: str) -> None:
        if self._probe is not None:
            await self._probe(name)

    def _time(self, row: Any) -> datetime:
        now: datetime = self._clock.now() if self._clock else row["now"]
        return now


class Transaction(Generic[T]):
    """A transaction on a connection of its own: begun by one statement, committed at the end of the block.

    A class and not a generator: every request passes here, and this is a third of the price.
    """

    __slots__ = ("_args", "_connection", "_opened", "_pool", "_probe", "_sql", "_transaction")

    def __init__(self, pool: Any, probe: Probe | None, opened: Callable[[Any, Any], T], sql: str, *args: Any) -> None:
        self._pool = pool
        self._probe = probe
        self._opened = opened
        self._sql = sql
        self._args = args

    async def __aenter__(self) -> T:
        with _TRANSLATED:
            connection = self._connection = await self._pool.acquire(timeout=POOL_TIMEOUT)
            self._transaction = connection.transaction()
            try:
                await self._transaction.start()
                return self._opened(connection, await connection.fetchrow(self._sql, *self._args))
            except BaseException:
                await self._end(self._roll_back())
                raise

    async def __aexit__(self, _kind: object, exc: BaseException | None, _traceback: object) -> None:
        await self._end(self._commit() if exc is None else self._roll_back())
        if exc is not None and (understood := _understood(exc)) is not None:
            raise understood from exc

    async def _end(self, work: Awaitable[bool]) -> None:
        is_committed = False
        try:
            is_committed = await work
        finally:
            await (self._pool.rest if is_committed else self._pool.release)(self._connection)

    async def _commit(self) -> bool:
        try:
            await self._point("commit")
        except BaseException:
            await self._roll_back()
            raise
        with _TRANSLATED:
            await self._transaction.commit()
        await self._point("committed")
        return True

    async def _roll_back(self) -> bool:
        with contextlib.suppress(Exception):
            await self._transaction.rollback()
        return False

    async def _point(self, name: str) -> None:
        if self._probe is not None:
            await self._probe(name)


class _Translated:
    """Turns every way of not reaching the database into one error with a remedy."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, exc: BaseException | None, _traceback: object) -> None:
        if exc is not None and (understood := _understood(exc)) is not None:
            raise understood from exc


_TRANSLATED = _Translated()


def _understood(exc: BaseException) -> LeadkeeperError | None:
    if isinstance(exc, _GONE):
        return DatabaseUnavailable()
    if isinstance(exc, asyncpg.DataError | asyncpg.ProgramLimitExceededError):
        return Unstorable()
    # the pool or the connection was closed under us; anything else is a bug of ours
    return DatabaseUnavailable() if isinstance(exc, asyncpg.InterfaceError) and "clos" in str(exc) else None


def _jsonb(value: Any) -> bytes:
    """Writes a value as jsonb travels: a version, and JSON text."""
    return b"\1" + orjson.dumps(value)


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec(
        "json", encoder=orjson.dumps, decoder=orjson.loads, schema="pg_catalog", format="binary"
    )
    await connection.set_type_codec(
        "jsonb", encoder=_jsonb, decoder=lambda data: orjson.loads(data[1:]), schema="pg_catalog", format="binary"
    )


async def _forget_nothing(_connection: Any) -> None:
    """Every setting is transaction-local, so a returned connection needs no reset (one round trip less)."""
