"""`leadkeeper migrate` and `leadkeeper doctor`: is everything there that the service stands on."""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from app.cli import first_start
from app.cli.console import AsJson, as_json, errors, load, names, out, run
from app.db import checkup, connections, embedded
from app.db.migrate import create_embedded
from app.db.migrate import migrate as upgrade
from app.db.session import Tenant
from app.errors import LeadkeeperError
from app.runtime import DATABASE, Runtime, opened, probe_account
from app.settings import Settings, SettingsError
from app.sync import adjust


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 unless the schema is current.")
    ] = False,
) -> None:
    """Bring the database to the current schema, as the owner role."""
    settings = load("WARNING")
    found = run(_migrate(settings, check=check))
    if not found.is_current:
        errors.print(
            f"The schema is at {found.revision or 'nothing'}, not at {checkup.newest()}: run `leadkeeper migrate`."
        )
        raise typer.Exit(1)
    out.print(f"The schema of {found.database} is current ({found.revision}).")


async def _migrate(settings: Settings, *, check: bool) -> checkup.Found:
    if settings.database_url is None:
        server = await asyncio.to_thread(embedded.start, settings.data_dir / "pg")
        try:
            owner_url, app_url = await create_embedded(server, DATABASE)
            return await _bring(owner_url, app_url, check=check)
        finally:
            server.stop()
    if settings.migration_database_url is None:
        if check:
            return await checkup.look(settings.database_url, "DATABASE_URL")
        raise SettingsError("MIGRATION_DATABASE_URL is not set: give the owner role's address of the same database.")
    return await _bring(settings.migration_database_url.get_secret_value(), settings.database_url, check=check)


async def _bring(owner_url: str, app_url: str, *, check: bool) -> checkup.Found:
    before = await checkup.look(owner_url, "MIGRATION_DATABASE_URL")
    if check:
        return before
    await upgrade(owner_url, app_url)
    return await checkup.look(owner_url, "MIGRATION_DATABASE_URL")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; a sentence says what is so, or what to do."""

    what: str
    ok: bool
    says: str


def doctor(in_json: AsJson = False) -> None:
    """Check the installation: folder, database, roles, settings, and every connection."""
    settings = load("ERROR")
    findings = run(_examine(settings, show=not in_json))
    if in_json:
        as_json([asdict(finding) for finding in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings, *, show: bool) -> list[Finding]:
    findings = []
    async for finding in _findings(settings):
        findings.append(finding)
        if show:
            mark = "[green]ok  [/]" if finding.ok else "[red]todo[/]"
            out.print(mark, f"{finding.what}:", end=" ")
            out.print(finding.says, markup=False, soft_wrap=True)
    return findings


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("python", True, sys.version.split()[0])
    yield _folder(settings.data_dir)
    yield _secret(settings)
    try:
        if settings.database_url is not None:
            yield _database(await checkup.ready(settings.database_url))
        async with opened(settings) as runtime:
            if runtime.server is not None:
                url = runtime.server.dsn(user="leadkeeper_app", database=DATABASE)
                found = _database(await checkup.ready(url))
                yield replace(found, says=f"{found.says} It is kept in {runtime.server.data}.")
            async for finding in _connections(runtime):
                yield finding
    except LeadkeeperError as exc:
        yield Finding("database", False, str(exc))


def _folder(folder: Path) -> Finding:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return Finding("data folder", False, f"{folder} is open to others ({mode:o}): run `chmod 700 {folder}`.")
    open_files = [path.name for path in folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077]
    if open_files:
        return Finding("data folder", False, f"Others may read {', '.join(open_files)} in {folder}: set mode 600.")
    return Finding("data folder", True, f"{folder} is writable and private.")


def _secret(settings: Settings) -> Finding:
    if settings.secret_key is not None:
        return Finding("secret key", True, f"LEADKEEPER_SECRET_KEY is set ({settings.env}).")
    return Finding("secret key", True, f"Kept in {settings.data_dir / 'secret.key'}; production needs its own.")


def _database(found: checkup.Found) -> Finding:
    says = (
        f"PostgreSQL {found.server}, schema {found.revision}; the role {found.role} owns nothing and bypasses nothing."
    )
    return Finding("database", True, says)


async def _connections(runtime: Runtime) -> AsyncIterator[Finding]:
    """Asks every provider whether it lets us in, and whether every mapped column is still there."""
    known = await names(runtime.db)
    yield Finding(
        "workspaces", True, ", ".join(known) or "none yet: `leadkeeper keys create --role operator` makes one."
    )
    for account in await first_start.missing(runtime, known):
        try:
            await probe_account(runtime, account.kind, dict(account.config), account.secret)
        except LeadkeeperError as exc:
            yield Finding(f"{account.name}, as the settings name it", False, str(exc))
        else:
            yield Finding(f"{account.name}, as the settings name it", True, "It works; the next `serve` connects it.")
    for name, workspace_id in known.items():
        tenant = Tenant(workspace_id, "operator")
        async with runtime.db.transaction(tenant) as tx:
            found = [(c, await connections.secret(tx, c.account_id)) for c in await connections.every(tx)]
        for connection, sealed in found:
            what = f"{name} / {connection.name}"
            try:
                secret = runtime.vault.open(sealed or b"")
                columns = await probe_account(runtime, connection.provider, dict(connection.config), secret)
                async with runtime.db.transaction(tenant) as tx:
                    says = await adjust.verdict(tx, connection, columns)
            except LeadkeeperError as exc:
                yield Finding(what, False, str(exc))
                continue
            if connection.state in ("paused", "stopped"):
                says = (
                    f"It is {connection.state} ({connection.reason}): `leadkeeper connections resume` starts it again."
                )
            yield Finding(what, connection.state != "stopped", says)
