"""The command: exit codes that mean something, errors in one sentence that says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from app.cli import app, first_start
from app.cli.console import names
from app.db import connections, keys, workspaces
from app.db.session import Database, Tenant
from app.lab.servers import free_socket
from app.lab.transport import InProcess
from app.log import configure
from app.runtime import opened
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import MovableClock
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.seed import seed_demo
from app.settings import Settings, SettingsError
from app.sync import adjust
from app.vault import new_key
from tests.conftest import Urls, execute
from tests.project.conftest import ROOT

Leadkeeper = Callable[..., Any]
#: What a developer's own environment must not decide.
UNSET = {"DATABASE_URL": "", "MIGRATION_DATABASE_URL": "", "LEADKEEPER_SECRET_KEY": "", "LEADKEEPER_ENV": ""}


@pytest.fixture
def leadkeeper(tmp_path: Path) -> Iterator[Leadkeeper]:
    """Runs the command in this process."""

    def invoke(*args: str, env: Mapping[str, str] | None = None) -> Any:
        settings = {**UNSET, "LEADKEEPER_DATA_DIR": str(tmp_path / "data"), **(env or {})}
        return CliRunner().invoke(app, list(args), env=settings)

    yield invoke
    configure("ERROR")


def test_help_lists_every_command(leadkeeper: Leadkeeper) -> None:
    found = leadkeeper("--help")

    assert found.exit_code == 0
    for name in ("serve", "worker", "migrate", "sync", "connections", "keys", "doctor", "simulate", "bench", "sandbox"):
        assert re.search(rf"\b{name}\b", found.stdout), name


@pytest.mark.parametrize(
    "args",
    [
        ("nothing",),
        ("serve", "--bogus"),
        ("keys", "create", "--role", "king"),
        ("keys", "create", "--acts-for", "noor"),
        ("connections", "add", "airtable"),
        ("simulate", "--cycles", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(leadkeeper: Leadkeeper, args: tuple[str, ...]) -> None:
    assert leadkeeper(*args).exit_code == 2


@pytest.mark.parametrize(
    ("env", "named", "remedy"),
    [
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL", "write postgresql://role:password@host:5432/database"),
        ({"DATABASE_URL": "mysql://a:s3cret@h/d"}, "DATABASE_URL", "write postgresql://"),
        ({"DATABASE_URL": "postgresql://a:s3cret@h:port/d"}, "DATABASE_URL", "write postgresql://"),
        ({"DATABASE_URL": "postgresql://a:s3cret@127.0.0.1:1/d"}, "127.0.0.1:1/d", "start it, or correct DATABASE_URL"),
        ({"LEADKEEPER_DATA_DIR": "/dev/null/data"}, "/dev/null/data", "set LEADKEEPER_DATA_DIR"),
        ({"LEADKEEPER_ENV": "production"}, "LEADKEEPER_SECRET_KEY", "set it to 32 random characters"),
        ({"LEADKEEPER_SECRET_KEY": "s3cret"}, "LEADKEEPER_SECRET_KEY", "use 32 random characters"),
        ({"MIGRATION_DATABASE_URL": "postgresql://o:s3cret@h/d"}, "DATABASE_URL is not", "set both, or neither"),
        ({"PUBLIC_URL": "leads.s3cret.example"}, "PUBLIC_URL", "write https://host"),
        ({"AIRTABLE_API_URL": "s3cret"}, "AIRTABLE_API_URL", "write https://host"),
        ({"CORS_ORIGINS": "app.s3cret.example"}, "CORS_ORIGINS", "https://app.example.com"),
        ({"PORT": "70000"}, "PORT", "less than or equal to 65535"),
        ({"RATE_PER_MINUTE": "0"}, "RATE_PER_MINUTE", "greater than or equal to 1"),
        ({"SYNC_INTERVAL_MINUTES": "s3cret"}, "SYNC_INTERVAL_MINUTES", "correct it in the environment or .env"),
    ],
)
def test_a_wrong_setting_is_2_and_one_sentence(
    leadkeeper: Leadkeeper, env: dict[str, str], named: str, remedy: str
) -> None:
    """It names the setting and the remedy, and never shows the value, which may be a secret."""
    found = leadkeeper("keys", "list", env=env)

    assert found.exit_code == 2
    assert found.stderr.count("\n") == 1
    assert named in found.stderr
    assert remedy in found.stderr
    assert "s3cret" not in found.stderr + found.stdout


def test_a_database_that_is_missing_or_empty_says_so(leadkeeper: Leadkeeper, urls: Urls) -> None:
    name = urls.app.rpartition("/")[2].partition("?")[0] + "_empty"
    asyncio.run(execute(urls.owner, f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}"'))
    missing = leadkeeper("migrate", "--check", env={"DATABASE_URL": urls.of("lk_nowhere").app})
    empty = leadkeeper("keys", "list", env={"DATABASE_URL": urls.of(name).app})
    owner = leadkeeper("keys", "list", env={"DATABASE_URL": urls.owner})

    assert (missing.exit_code, empty.exit_code, owner.exit_code) == (2, 2, 2)
    assert "has no such database: create it, or correct its name in DATABASE_URL" in missing.stderr
    assert "is empty, not at" in empty.stderr
    assert "run `leadkeeper migrate`" in empty.stderr
    assert "row-level security: use a plain role" in owner.stderr


def test_migrate_brings_an_empty_database_to_the_current_schema(leadkeeper: Leadkeeper, urls: Urls) -> None:
    name = urls.app.rpartition("/")[2].partition("?")[0] + "_migrated"
    asyncio.run(execute(urls.owner, f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}"'))
    env = {"DATABASE_URL": urls.of(name).app, "MIGRATION_DATABASE_URL": urls.of(name).owner}
    unset = leadkeeper("migrate", env=env | {"MIGRATION_DATABASE_URL": ""})
    before = leadkeeper("migrate", "--check", env=env)
    work = leadkeeper("migrate", env=env)
    after = leadkeeper("migrate", "--check", env=env)

    assert (unset.exit_code, before.exit_code, work.exit_code, after.exit_code) == (2, 1, 0, 0)
    assert "MIGRATION_DATABASE_URL is not set: give the owner role's address" in unset.stderr
    assert "is current" in after.stdout


def test_a_key_is_made_listed_and_revoked(leadkeeper: Leadkeeper, urls: Urls) -> None:
    env = {"DATABASE_URL": urls.app, "LEADKEEPER_SECRET_KEY": "k" * 32}
    none = leadkeeper("keys", "list", env=env)
    made = json.loads(leadkeeper("keys", "create", "--role", "operator", "--days", "1", "--json", env=env).stdout)
    shown = leadkeeper("keys", "create", "--role", "cron", "--acts-for", "Noor@Voorbeeld.NL", env=env)
    (cron, first) = json.loads(leadkeeper("keys", "list", "--json", env=env).stdout)
    listed = leadkeeper("keys", "list", env=env).stdout
    revoked = leadkeeper("keys", "revoke", made["key"][:10], env=env)
    again = leadkeeper("keys", "revoke", "lk_nobody", env=env)

    assert (none.exit_code, none.stderr.strip()) == (
        1, "There is no workspace yet: make the first one with `leadkeeper keys create --role operator`."
    )  # fmt: skip
    assert (made["role"], made["workspace"]) == ("operator", "main")
    assert re.fullmatch(r"lk_[\w-]{43}\n", shown.stdout), "only the key, so that a script can take it"
    assert cron["acts_for"] == "noor@voorbeeld.nl", "in the form that people are removed by"
    assert (cron["role"], first["id"], bool(first["expires_at"])) == ("cron", made["id"], True)
    assert made["key"] not in listed
    assert revoked.exit_code == 0
    assert asyncio.run(_audit(urls)) == [
        ("command line", "workspace.created"), ("command line", "key.created"), ("command line", "key.created"),
        ("command line", "key.revoked"),
    ]  # fmt: skip
    assert (again.exit_code, "leadkeeper keys list" in again.stderr) == (1, True)


async def _audit(urls: Urls) -> list[Any]:
    connection = await asyncpg.connect(urls.owner)
    try:
        return [tuple(row) for row in await connection.fetch("SELECT actor, action FROM audit ORDER BY at, id")]
    finally:
        await connection.close()


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(leadkeeper: Leadkeeper, urls: Urls) -> None:
    env = {"DATABASE_URL": urls.app, "LEADKEEPER_SECRET_KEY": "k" * 32}
    leadkeeper("keys", "create", "--workspace", "Amsterdam", env=env)
    workspace = leadkeeper("keys", "list", "--workspace", "Berlin", env=env)
    connection = leadkeeper("connections", "pause", "Sales", env=env)
    nothing = leadkeeper("sync", env=env)

    assert workspace.stderr == "There is no workspace 'Berlin': the workspaces are Amsterdam.\n"
    assert connection.stderr == "There is no connection 'Sales' in this workspace (there are none).\n"
    assert nothing.stderr.startswith("Nothing to sync: add a connection with `leadkeeper connections add`")
    assert (workspace.exit_code, connection.exit_code, nothing.exit_code) == (1, 1, 1)


def test_a_port_that_is_taken_is_one_sentence(leadkeeper: Leadkeeper) -> None:
    with contextlib.closing(free_socket()) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        found = leadkeeper("serve", "--port", str(port))

        elsewhere = leadkeeper("serve", "--host", "192.0.2.1")

    assert (found.exit_code, elsewhere.exit_code) == (1, 1)
    assert found.stderr.startswith(f"Port {port} of 127.0.0.1 cannot be used")
    assert "choose another with --port" in found.stderr
    assert "correct --host or HOST" in elsewhere.stderr


def test_a_second_demo_leaves_the_first_one_its_database(leadkeeper: Leadkeeper, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    with (tmp_path / "data" / "demo.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        found = leadkeeper("demo", "--once")

    assert found.exit_code == 1
    assert found.stderr.startswith("A demo runs on this data folder already")
    assert "set LEADKEEPER_DATA_DIR" in found.stderr


@pytest.mark.slow
async def _key(urls: Urls) -> str:
    secret, prefix, hashed = new_key()
    db = await Database.open(urls.app)
    async with db.transaction(Tenant(await workspaces.create(db))) as tx:
        await keys.create(tx, name="x", role="viewer", prefix=prefix, key_hash=hashed)
    await db.close()
    return secret


async def test_the_service_starts_answers_and_ends_when_told(urls: Urls, tmp_path: Path) -> None:
    """SIGTERM ends it in order, streams of events too, with exit code 0."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "serve", "--port", str(port), cwd=ROOT, stderr=asyncio.subprocess.PIPE,
        env={**UNSET, "PATH": "/usr/bin:/bin", "DATABASE_URL": urls.app, "LEADKEEPER_DATA_DIR": str(tmp_path / "data")},
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        deadline = time.monotonic() + 30
        ready = None
        while ready is None and time.monotonic() < deadline and process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                ready = await client.get("/readyz")
            await asyncio.sleep(0.1)
        refused = await client.get("/api/leads")
        key = await _key(urls)
        async with client.stream("GET", "/api/events", headers={"X-API-Key": key}) as stream:
            pieces = stream.aiter_text()
            heard = await anext(pieces)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                heard += "".join([piece async for piece in pieces])
    _, said = await asyncio.wait_for(process.communicate(), 20)

    assert (ready and ready.status_code, refused.status_code) == (200, 401), said
    assert process.returncode == 0, said
    assert "event: ready" in heard
    assert "this server is leaving" in heard
    assert f"Leadkeeper listens on http://127.0.0.1:{port}" in said.decode()


async def test_the_first_start_connects_what_the_settings_name_once(urls: Urls, tmp_path: Path) -> None:
    """A restart adds nothing, not even what somebody has deleted; an account that is refused stops nothing."""
    clock = MovableClock()
    airtable, instantly = AirtableSandbox(clock=clock, seed=1), InstantlySandbox(clock=clock, seed=1)
    facts = seed_demo(airtable, instantly)
    transport = InProcess({"api.airtable.com": airtable.app, "api.instantly.ai": instantly.app})
    settings = Settings(
        database_url=urls.app, data_dir=tmp_path, airtable_token=facts.token, airtable_base_id=facts.base_id,
        airtable_table_id=facts.table_id, instantly_api_key="wrong",
    )  # fmt: skip
    async with opened(settings, transport=transport) as runtime:
        await first_start.ensure(runtime)
        runtime.settings = settings.model_copy(
            update={"instantly_api_key": Settings(instantly_api_key=facts.api_key).instantly_api_key}
        )
        await first_start.ensure(runtime)
        tenant = Tenant((await names(runtime.db))["main"], "operator")
        async with runtime.db.transaction(tenant) as tx:
            made = [(c.name, c.state) for c in await connections.every(tx)]
            await adjust.remove(tx, (await connections.every(tx))[0].id, actor="me")
        await first_start.ensure(runtime)
        async with runtime.db.transaction(tenant) as tx:
            left = [c.name for c in await connections.every(tx)]
            ever = await connections.every(tx, disconnected=True)

    assert made == [("Airtable", "new"), ("Instantly", "new")]
    assert (left, len(ever)) == (["Instantly"], 2)


def test_half_an_account_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="belong together"):
        first_start.accounts(Settings(airtable_token="pat"))


def test_a_region_nobody_knows_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match="DEFAULT_REGION is no country code"):
        Settings(default_region="Holland")


@pytest.mark.slow
def test_accounts_are_connected_from_the_command_line(leadkeeper: Leadkeeper, urls: Urls) -> None:
    """Against the sandbox as a process: a wrong token is refused in one sentence, a right one is checked."""
    with _sandbox() as given:
        env = {"DATABASE_URL": urls.app, "LEADKEEPER_SECRET_KEY": "k" * 32} | {
            name: value for name, value in given.items() if name.endswith("_URL")
        }
        table = ("--base", given["AIRTABLE_BASE_ID"], "--table", given["AIRTABLE_TABLE_ID"])
        leadkeeper("keys", "create", env=env)
        wrong = leadkeeper("connections", "add", "airtable", *table, "--token", "patWRONG.x", env=env)
        right = leadkeeper("connections", "add", "airtable", *table, "--token", given["AIRTABLE_TOKEN"], env=env)
        twice = leadkeeper("connections", "add", "airtable", *table, "--token", given["AIRTABLE_TOKEN"], env=env)
        other = leadkeeper("connections", "add", "instantly", "--key", given["INSTANTLY_API_KEY"], env=env)
        listed = json.loads(leadkeeper("connections", "list", "--json", env=env).stdout)
        works = leadkeeper("connections", "test", "Airtable", env=env)
        early = leadkeeper("connections", "approve", "Airtable", env=env)
        doctor = leadkeeper("doctor", env=env)

    assert (wrong.exit_code, wrong.stderr.count("\n"), "token" in wrong.stderr.lower()) == (1, 1, True)
    assert (right.exit_code, other.exit_code) == (0, 0)
    assert (twice.exit_code, "already" in twice.stderr) == (1, True)
    assert [(row["name"], row["state"]) for row in listed] == [("Airtable", "new"), ("Instantly", "new")]
    assert works.stdout.startswith("Airtable works: 26 columns")
    assert (early.exit_code, "run `leadkeeper sync` first" in early.stderr) == (1, True)
    assert doctor.exit_code == 0
    assert "todo" not in doctor.stdout


@contextlib.contextmanager
def _sandbox() -> Iterator[dict[str, str]]:
    """Runs `leadkeeper sandbox` and reads the settings it prints."""
    with contextlib.ExitStack() as stack:
        ports = [str(stack.enter_context(contextlib.closing(free_socket())).getsockname()[1]) for _ in range(2)]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "app.cli", "sandbox", "--airtable-port", ports[0], "--instantly-port", ports[1]],
        cwd=ROOT, env={**UNSET, "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        name, _, value = line.strip().partition("=")
        found |= {name: value} if name.isupper() else {}
        if "INSTANTLY_API_KEY" in found:
            break
    yield found
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0
