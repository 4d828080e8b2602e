"""A look at a database before anything is built on it: does it answer, for whom, and at which schema version.

The pool's own error says only that the database is away. Here somebody waits in front of a terminal, so every way of
not getting in is told apart, and each says which setting to mend. An address is never shown with its password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from app.db.migrate import MIGRATIONS
from app.db.session import CONNECT_TIMEOUT
from app.errors import LeadkeeperError

_STEP = re.compile(r'^(down_)?revision = "(\w+)"$', re.MULTILINE)


class Unusable(LeadkeeperError):
    """A database cannot be used as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a role sees of a database."""

    server: str
    database: str
    role: str
    #: row-level security does not hold for this role
    is_exempt: bool
    #: tables this role owns; an owner is exempt from their policies
    owned: int
    #: the schema's version; None where no migration ever ran
    revision: str | None

    @property
    def is_current(self) -> bool:
        """Tells whether the schema is at the newest version."""
        return self.revision == newest()


def newest() -> str:
    """Returns the version the migrations lead to, as their files say: loading them takes longer than all of a start."""
    said = [step for path in MIGRATIONS.glob("versions/*.py") for step in _STEP.findall(path.read_text("utf-8"))]
    (head,) = {name for down, name in said if not down} - {name for down, name in said if down}
    return str(head)


async def look(url: str, setting: str) -> Found:
    """Looks at the database of an address; raises `Unusable` with a sentence that names the setting to mend."""
    place = _place(url, setting)
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT)
    except asyncpg.InvalidAuthorizationSpecificationError as exc:
        raise Unusable(f"{place} refuses this role ({exc}): correct the user and the password in {setting}.") from exc
    except asyncpg.InvalidCatalogNameError as exc:
        raise Unusable(f"{place} has no such database: create it, or correct its name in {setting}.") from exc
    except (asyncpg.InterfaceError, ValueError) as exc:
        raise Unusable(_not_an_address(setting)) from exc
    except (asyncpg.PostgresError, OSError, TimeoutError) as exc:
        raise Unusable(f"Nothing usable answers at {place} ({_words(exc)}): start it, or correct {setting}.") from exc
    try:
        return await _ask(connection)
    finally:
        await connection.close()


async def ready(url: str, setting: str = "DATABASE_URL") -> Found:
    """Returns what the app role sees; raises `Unusable` unless the service can run on it."""
    found = await look(url, setting)
    if found.is_exempt or found.owned:
        raise Unusable(
            f"The role {found.role!r} of {setting} {'bypasses' if found.is_exempt else 'owns tables, so it bypasses'} "
            "row-level security: use a plain role, and name the owner in MIGRATION_DATABASE_URL."
        )
    if not found.is_current:
        state = f"is at version {found.revision}" if found.revision else "is empty"
        raise Unusable(f"The database {found.database!r} {state}, not at {newest()}: run `leadkeeper migrate`.")
    return found


async def _ask(connection: asyncpg.Connection) -> Found:
    row = await connection.fetchrow(
        "SELECT current_setting('server_version') AS server, current_database() AS database, current_user AS role,"
        " (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS is_exempt,"
        " (SELECT count(*) FROM pg_tables WHERE tableowner = current_user AND schemaname = 'public') AS owned,"
        " coalesce(has_table_privilege(to_regclass('public.alembic_version'), 'SELECT'), false) AS is_readable"
    )
    revision = await connection.fetchval("SELECT version_num FROM alembic_version") if row["is_readable"] else None
    return Found(
        server=row["server"],
        database=row["database"],
        role=row["role"],
        is_exempt=row["is_exempt"],
        owned=row["owned"],
        revision=revision,
    )


def _place(url: str, setting: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("postgresql", "postgres"):
            raise Unusable(_not_an_address(setting))
        return f"{parts.hostname or 'the local socket'}:{parts.port or 5432}{parts.path}"
    except ValueError as exc:
        raise Unusable(_not_an_address(setting)) from exc


def _not_an_address(setting: str) -> str:
    return f"{setting} is no address of a PostgreSQL database: write postgresql://role:password@host:5432/database."


def _words(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
