"""Databases that are used again: taking the rows out of one is ten times faster than making another one."""

from __future__ import annotations

import asyncpg

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


async def empty(owner_url: str, template_url: str) -> bool:
    """Takes every row out of a copy of the template; False where it is no plain copy any more, or may not be."""
    if template_url not in _known:
        _known[template_url] = await _measure(template_url)
    schema, size = _known[template_url]
    copy = await asyncpg.connect(owner_url)
    try:
        if await copy.fetchval(_SCHEMA) != schema or await copy.fetchval(_SIZE) > size + _GROWTH:
            return False
        tables = [row["tablename"] for row in await copy.fetch(_TABLES)]
        deletes = "; ".join(f'DELETE FROM "{table}"' for table in tables)
        # no trigger and no foreign key has a say: everything goes
        await copy.execute(f"SET session_replication_role = replica; {deletes}")
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await copy.close()
    return True


async def _measure(url: str) -> tuple[str, int]:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(_SCHEMA)), int(await connection.fetchval(_SIZE))
    finally:
        await connection.close()
