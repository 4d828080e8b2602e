"""Migrations: up, down, up again, and no difference from the tables the code knows."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic import command

from app.db import migrate
from tests.conftest import Urls


async def test_schema_matches_the_code_after_going_down_and_up_again(urls: Urls) -> None:
    settings = migrate.config(urls.owner)

    await asyncio.to_thread(command.downgrade, settings, "base")
    connection = await asyncpg.connect(urls.owner)
    left = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    await migrate.migrate(urls.owner, urls.app)

    assert left == 1  # Alembic's own
    await asyncio.to_thread(command.check, settings)


async def test_an_owner_who_may_not_do_it_is_told_what_is_missing(urls: Urls) -> None:
    settings = migrate.config(urls.owner)
    await asyncio.to_thread(command.downgrade, settings, "base")
    connection = await asyncpg.connect(urls.owner)
    await connection.execute("DROP TABLE alembic_version")
    role = f"not_the_owner_{await connection.fetchval('SELECT current_database()')}"
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
        address = urlsplit(urls.owner)
        host = address.netloc.rpartition("@")[2]
        weak = urlunsplit(address._replace(netloc=f"{role}:plain@{host}"))
        with pytest.raises(
            migrate.MigrationError, match=r"permission denied .* must own the database and have CREATEROLE"
        ):
            await migrate.migrate(weak, urls.app)
    finally:
        await connection.execute(f"DROP ROLE IF EXISTS {role}")
        await connection.close()
