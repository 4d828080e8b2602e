"""The two roles, as the catalogue has them: what the service may do, and what row-level security keeps from it."""

from __future__ import annotations

import contextlib
from uuid import UUID

import asyncpg
import pytest

from app.db import keys, migrate, tables, workspaces
from app.db.ids import new_id
from app.db.session import NOBODY, Database, Role, Tenant
from app.sync import edit
from app.sync.canonical import canonical
from tests.conftest import Urls


async def test_app_role_owns_nothing_and_cannot_bypass(urls: Urls, db: Database) -> None:
    async with db.transaction() as tx:
        role = await tx.one("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user")
        owned = await tx.value(
            "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = current_user"
        )

    assert dict(role) == {"rolsuper": False, "rolbypassrls": False, "rolcreaterole": False}
    assert owned == 0


async def test_every_tenant_table_has_security_and_a_policy_for_each_command(db: Database) -> None:
    async with db.transaction() as tx:
        rows = await tx.all(
            "SELECT c.relname, c.relrowsecurity AS on, c.relforcerowsecurity AS forced,"
            " (SELECT array_agg(p.polcmd::text ORDER BY 1) FROM pg_policy p WHERE p.polrelid = c.oid) AS commands"
            " FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        )
    found = {row["relname"]: row for row in rows}
    tenant_tables = {t.name for t in tables.metadata.tables.values()} - tables.OPERATOR_TABLES

    assert set(found) == {t.name for t in tables.metadata.tables.values()} | {"alembic_version"}
    for name in tenant_tables:
        assert found[name]["on"], name
        assert not found[name]["forced"], name
        assert set(found[name]["commands"]) == {"a", "d", "r", "w"}, name
    assert found["provider_account"]["on"]
    assert found["workspace"]["on"]


@pytest.mark.parametrize("table", sorted(tables.APPEND_ONLY))
async def test_history_is_append_only_for_the_service(db: Database, table: str) -> None:
    workspace = await workspaces.create(db)
    for statement in (f"UPDATE {table} SET at = now()", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction(Tenant(workspace)) as tx:
                await tx.run(statement)


async def test_without_a_tenant_or_with_another_nothing_is_seen(db: Database) -> None:
    mine, other = await workspaces.create(db), await workspaces.create(db)
    async with db.transaction(Tenant(mine)) as tx:
        await tx.run("INSERT INTO lead (workspace_id, id, email) VALUES ($1, $2, 'a@b.test')", mine, new_id())

    for tenant, seen in ((NOBODY, 0), (Tenant(other), 0), (Tenant(mine), 1)):
        async with db.transaction(tenant) as tx:
            assert await tx.value("SELECT count(*) FROM lead") == seen


async def test_a_viewer_reads_and_cannot_write_or_lock(db: Database) -> None:
    workspace = await workspaces.create(db)
    async with db.transaction(Tenant(workspace)) as tx:
        await tx.run("INSERT INTO lead (workspace_id, id) VALUES ($1, $2)", workspace, new_id())
    async with db.transaction(Tenant(workspace, "viewer")) as tx:
        assert await tx.value("SELECT count(*) FROM lead") == 1
        assert await tx.run("UPDATE lead SET title = 'x'") == 0
        assert await tx.all("SELECT id FROM lead FOR NO KEY UPDATE") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(Tenant(workspace, "viewer")) as tx:
            await tx.run("INSERT INTO lead (workspace_id, id) VALUES ($1, $2)", workspace, new_id())


async def test_a_row_cannot_be_put_into_another_workspace(db: Database) -> None:
    mine, other = await workspaces.create(db), await workspaces.create(db)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(Tenant(mine)) as tx:
            await tx.run("INSERT INTO lead (workspace_id, id) VALUES ($1, $2)", other, new_id())


async def test_one_role_for_both_is_refused(urls: Urls) -> None:
    with pytest.raises(migrate.MigrationError, match="a role of its own"):
        await migrate.migrate(urls.owner, urls.owner)


async def test_no_policy_lets_a_viewer_write_and_only_runs_let_a_cron(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.owner)
    rows = await connection.fetch(
        "SELECT polrelid::regclass::text AS t, coalesce(pg_get_expr(polwithcheck, polrelid),"
        " pg_get_expr(polqual, polrelid)) AS says FROM pg_policy WHERE polcmd IN ('a', 'w', 'd')"
    )
    await connection.close()

    assert rows
    assert [row["t"] for row in rows if "app.role" not in row["says"] or "viewer" in row["says"]] == []
    assert {row["t"] for row in rows if "cron" in row["says"]} == {"sync_run", "idempotency_key"}


@pytest.mark.parametrize("role", ["member", "viewer", "cron"])
async def test_only_who_sees_to_a_workspace_makes_and_changes_its_keys_and_people(db: Database, role: Role) -> None:
    """The other way to a key would be a mistake in a route."""
    workspace = await workspaces.create(db)
    made = {"name": "x", "role": "admin", "prefix": "lk_x"}
    async with db.transaction(Tenant(workspace, "admin")) as tx:
        await keys.create(tx, **made, key_hash=new_id().bytes)  # type: ignore[arg-type]
        await workspaces.add_user(tx, "noor@team.test", "member")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(Tenant(workspace, role)) as tx:
            await keys.create(tx, **made, key_hash=new_id().bytes)  # type: ignore[arg-type]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(Tenant(workspace, role)) as tx:
            await workspaces.add_user(tx, "olga@team.test", "admin")
    async with db.transaction(Tenant(workspace, role)) as tx:
        for table in ("api_key", "app_user"):
            changed = [await tx.run(f"UPDATE {table} SET role = 'viewer'"), await tx.run(f"DELETE FROM {table}")]
            assert changed == [0, 0], table


async def test_a_viewer_changes_no_table(db: Database) -> None:
    workspace = await workspaces.create(db)
    async with db.transaction(Tenant(workspace)) as tx:
        lead = await edit.create(tx, canonical({"email": "a@b.test", "notes": "Hello"}), actor="ann@team.test")
        await edit.change(tx, UUID(lead.id), {"email": "c@b.test", "status": "replied"}, actor="ann@team.test")
    for table in tables.metadata.tables.values():
        if table.name in tables.OPERATOR_TABLES:
            continue
        async with db.transaction(Tenant(workspace, "viewer")) as tx:
            seen = await tx.value(f"SELECT count(*) FROM {table.name}")
        for statement in (f"UPDATE {table.name} SET workspace_id = workspace_id", f"DELETE FROM {table.name}"):
            with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                async with db.transaction(Tenant(workspace, "viewer")) as tx:
                    assert await tx.run(statement) == 0, statement
        async with db.transaction(Tenant(workspace)) as tx:
            assert await tx.value(f"SELECT count(*) FROM {table.name}") == seen
