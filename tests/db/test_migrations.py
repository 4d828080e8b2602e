"""Migrations: up, down, up again, and no difference from the tables the code knows."""

from __future__ import annotations

import asyncio

import asyncpg
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
