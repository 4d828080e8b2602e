"""Brings a database to the current schema, as the owner role, and opens it to the app role.

Alembic, and SQLAlchemy with it, are imported where a schema is migrated: they take longer than all the rest of a start.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from app.db.embedded import OWNER, EmbeddedPostgres
from app.errors import LeadkeeperError

if TYPE_CHECKING:
    from alembic.config import Config

#: The role the service runs as: never an owner, so row-level security holds for it.
APP_ROLE = "leadkeeper_app"
#: Milliseconds; a stock server has none of them and hangs instead.
_TIMEOUTS = {"statement_timeout": "20s", "idle_in_transaction_session_timeout": "15s", "lock_timeout": "8s"}
_ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = _ROOT / "migrations"


class MigrationError(LeadkeeperError):
    """The database could not be brought to the current schema."""


def config(owner_url: str) -> Config:
    """Returns Alembic's configuration for a database."""
    from alembic.config import Config

    settings = Config(_ROOT / "alembic.ini")
    settings.set_main_option("script_location", str(MIGRATIONS))
    settings.attributes["url"] = owner_url.replace("postgres://", "postgresql://", 1).replace(
        "postgresql://", "postgresql+asyncpg://", 1
    )
    settings.attributes["connect_args"] = {"timeout": 10}
    return settings


async def create_embedded(server: EmbeddedPostgres, database: str, *, fresh: bool = False) -> tuple[str, str]:
    """Makes a database on the embedded server if it is missing (or anew); returns its owner and its app address."""
    owner = await asyncpg.connect(server.dsn(user=OWNER, database="postgres"), timeout=10)
    try:
        if not await owner.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", APP_ROLE):
            await owner.execute(f"CREATE ROLE {APP_ROLE} LOGIN")
        await owner.execute(f"ALTER ROLE {APP_ROLE} LOGIN")
        if fresh:
            await owner.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        if not await owner.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            await owner.execute(f'CREATE DATABASE "{database}"')
    finally:
        await owner.close()
    return server.dsn(user=OWNER, database=database), server.dsn(user=APP_ROLE, database=database)


async def migrate(owner_url: str, app_url: str) -> None:
    """Upgrades the schema to the newest version and grants the app role what it needs.

    Raises:
        MigrationError: the two addresses name one role, or the owner may not do what it must.
    """
    from alembic import command
    from sqlalchemy.exc import DBAPIError

    owner, user = urlsplit(owner_url).username, urlsplit(app_url).username
    if owner == user:
        raise MigrationError(
            f"DATABASE_URL and MIGRATION_DATABASE_URL both name the role {user!r}: the service needs a role of its own "
            "that owns nothing, because row-level security does not hold for owners."
        )
    try:
        # Alembic runs its own event loop
        await asyncio.to_thread(command.upgrade, config(owner_url), "head")
        await _open_to(owner_url, user or APP_ROLE)
    except (asyncpg.PostgresError, DBAPIError, OSError) as exc:
        reason = exc.orig.__cause__ if isinstance(exc, DBAPIError) and exc.orig is not None else exc
        remedy = ""
        if isinstance(reason, asyncpg.InsufficientPrivilegeError):
            remedy = " The role of MIGRATION_DATABASE_URL must own the database and have CREATEROLE."
        raise MigrationError(f"The schema could not be brought up to date: {reason}.{remedy}") from exc


async def _open_to(owner_url: str, user: str) -> None:
    connection = await asyncpg.connect(owner_url, timeout=10)
    try:
        if await connection.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1", user):
            raise MigrationError(f"The role {user!r} of DATABASE_URL bypasses row-level security: use a plain role.")
        quoted = '"' + user.replace('"', '""') + '"'
        if user != APP_ROLE:
            await connection.execute(f"GRANT {APP_ROLE} TO {quoted}")
        for name, value in _TIMEOUTS.items():
            await connection.execute(f"ALTER ROLE {quoted} SET {name} = '{value}'")
    finally:
        await connection.close()
