"""Databases for whoever needs many: a server of its own, copies of a migrated template, and copies used again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from app.db import embedded, migrate

#: What a schema is recognised by: what there is of everything, and every function as it is written.
_SCHEMA = (
    "SELECT concat_ws('/', (SELECT count(*) || ':' || sum(hashtext(relname || relrowsecurity)) FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace), (SELECT sum(hashtext(prosrc)) FROM pg_proc"
    " WHERE pronamespace = 'public'::regnamespace), (SELECT count(*) FROM pg_trigger),"
    " (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_policy), (SELECT sum(hashtext(coalesce("
    "qual, '') || coalesce(with_check, ''))) FROM pg_policies))"
)
_SIZE = "SELECT pg_database_size(current_database())"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
#: Bytes by which a database may have grown: what is larger keeps the traces of its rows.
_GROWTH = 4_000_000
#: Template -> its schema and its size.
_known: dict[str, tuple[str, int]] = {}


class Scratch:
    """A server of its own, where a simulation makes as many migrated databases as it needs."""

    TEMPLATE = "template_migrated"

    def __init__(self, server: embedded.EmbeddedPostgres, folder: Path) -> None:
        self.server = server
        self.folder = folder

    async def database(self, name: str) -> str:
        """Makes an empty migrated database and returns its address for the app role."""
        async with connected(self.owner_url("postgres")) as owner:
            await owner.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await owner.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.TEMPLATE}"')
        return self.server.dsn(user=migrate.APP_ROLE, database=name)

    async def emptied(self, name: str) -> str:
        """Returns the address of a database of that name with nothing in it: the same one again, where that is so."""
        with contextlib.suppress(asyncpg.InvalidCatalogNameError):
            if await empty(self.owner_url(name), self.owner_url(self.TEMPLATE)):
                return self.server.dsn(user=migrate.APP_ROLE, database=name)
        return await self.database(name)

    def owner_url(self, database: str) -> str:
        """Returns a database's address for the owner role."""
        return self.server.dsn(user=embedded.OWNER, database=database)


@contextlib.asynccontextmanager
async def scratch(*, fast_unsafe: bool = True) -> AsyncIterator[Scratch]:
    """Starts a server in a folder of its own, and removes both at the end.

    Nothing runs on it beside the simulation, not even autovacuum: a transaction of somebody else would decide when a
    change becomes visible, and a seed would not give the same trace twice.
    """
    folder = Path(tempfile.mkdtemp(prefix="leadkeeper-simulate-"))
    folder.chmod(0o711)  # noqa: ASYNC240 - a moment, before anything runs
    server = embedded.start(folder / "pg", fast_unsafe=fast_unsafe)
    place = Scratch(server, folder)
    try:
        owner_url, app_url = await migrate.create_embedded(server, Scratch.TEMPLATE)
        await migrate.migrate(owner_url, app_url)
        async with connected(place.owner_url("postgres")) as owner:
            await owner.execute("ALTER SYSTEM SET autovacuum = off")
            await owner.execute("SELECT pg_reload_conf()")
        yield place
    finally:
        place.server.stop(immediate=True)
        shutil.rmtree(folder, ignore_errors=True)


async def empty(owner_url: str, template_url: str) -> bool:
    """Takes every row out of a copy of the template; False where it is no plain copy any more, or may not be."""
    if template_url not in _known:
        _known[template_url] = await _measure(template_url)
    schema, size = _known[template_url]
    try:
        async with connected(owner_url) as copy:
            if await copy.fetchval(_SCHEMA) != schema or await copy.fetchval(_SIZE) > size + _GROWTH:
                return False
            tables = [row["tablename"] for row in await copy.fetch(_TABLES)]
            deletes = "; ".join(f'DELETE FROM "{table}"' for table in tables)
            # no trigger and no foreign key has a say: everything goes
            await copy.execute(f"SET session_replication_role = replica; {deletes}")
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


async def _measure(url: str) -> tuple[str, int]:
    async with connected(url) as connection:
        return str(await connection.fetchval(_SCHEMA)), int(await connection.fetchval(_SIZE))


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Opens a bare connection, as the role of its address."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()
