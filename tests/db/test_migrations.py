"""Migrations: up, down, up again, and no difference from the tables the code knows."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

from app.db import checkup, migrate, tables
from tests.conftest import Urls

#: Whose rows are removed one by one.
REMOVED = {"lead", "link"}
#: A person merges by hand: there are too few of these to be counted.
FEW = {("lead_merge", "loser_id")}
_KEYS = (PrimaryKeyConstraint, UniqueConstraint)


async def test_schema_matches_the_code_after_going_down_and_up_again(urls: Urls) -> None:
    settings = migrate.config(urls.owner)

    await asyncio.to_thread(command.downgrade, settings, "base")
    connection = await asyncpg.connect(urls.owner)
    left = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    await migrate.migrate(urls.owner, urls.app)

    assert left == 1  # Alembic's own
    await asyncio.to_thread(command.check, settings)


def test_the_newest_version_is_the_one_that_migrations_lead_to() -> None:
    assert checkup.newest() == ScriptDirectory.from_config(migrate.config("postgresql://")).get_current_head()


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


def test_what_refers_to_a_row_that_is_removed_is_found_by_it() -> None:
    unfound = set()
    for table in tables.metadata.tables.values():
        keys = [(list(key.columns.keys()), None) for key in table.constraints if isinstance(key, _KEYS)]
        keys += [(list(i.columns.keys()), i.dialect_kwargs.get("postgresql_where")) for i in table.indexes]
        for reference in table.foreign_key_constraints:
            column = reference.column_keys[-1]
            whole = [names for names, where in keys if where is None or str(where) == f"{column} IS NOT NULL"]
            is_found = any(names[names[0] == "workspace_id"] == column for names in whole)
            if reference.referred_table.name in REMOVED and not is_found:
                unfound.add((table.name, column))

    assert unfound == FEW
