"""The database every test runs on: a real PostgreSQL, migrated, met as the two roles of production.

Without `DATABASE_URL` an embedded server is started once per run; with it (and `MIGRATION_DATABASE_URL`) that server is
used. One migrated template is made; a test that needs a database of its own gets a clone of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from app import settings
from app.db import embedded, migrate
from app.db.session import Database
from app.lab.scratch import empty
from app.log import configure
from tests.api import produced

TEMPLATE = "lk_template"


@dataclass(frozen=True, slots=True)
class Urls:
    """A database's address for each of the two roles."""

    owner: str
    app: str

    def of(self, name: str) -> Urls:
        """Returns the addresses of another database on the same server."""
        return Urls(_named(self.owner, name), _named(self.app, name))


def _named(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


class Server:
    """The PostgreSQL server of this test run, started by the process that collects."""

    def __init__(self) -> None:
        found = settings.load()
        self._folder: Path | None = None
        self._embedded: embedded.EmbeddedPostgres | None = None
        if found.database_url and found.migration_database_url:
            self.urls = Urls(found.migration_database_url.get_secret_value(), found.database_url)
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="leadkeeper-tests-"))
            self._folder.chmod(0o711)
            self._embedded = embedded.start(self._folder / "pg", fast_unsafe=True)
            dsn = self._embedded.dsn
            self.urls = Urls(
                dsn(user=embedded.OWNER, database="postgres"), dsn(user=migrate.APP_ROLE, database="postgres")
            )
        self.version = _run(self._make_template())

    async def _make_template(self) -> str:
        if self._embedded is not None:
            await migrate.create_embedded(self._embedded, TEMPLATE)
        else:
            await execute(self.urls.owner, f'DROP DATABASE IF EXISTS "{TEMPLATE}"', f'CREATE DATABASE "{TEMPLATE}"')
        urls = self.urls.of(TEMPLATE)
        await migrate.migrate(urls.owner, urls.app)
        connection = await asyncpg.connect(self.urls.owner)
        version = str(await connection.fetchval("SHOW server_version"))
        await connection.close()
        return version

    def stop(self) -> None:
        """Stops the server and removes its folder."""
        if self._embedded is not None and self._folder is not None:
            self._embedded.stop(immediate=True)
            shutil.rmtree(self._folder, ignore_errors=True)


async def execute(url: str, *statements: str) -> None:
    """Runs statements as the role of an address."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner() as runner:
        return runner.run(work)


_server: Server | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cancelled", type=int, default=300, help="how many requests are cancelled half-way")
    parser.addoption("--leads", type=int, default=20_000, help="how many leads the plans of lists are read at")
    parser.addoption("--deliveries", type=int, default=5_000, help="how many events the day of webhooks has")
    parser.addoption("--day", type=int, default=7, help="the seed of that day")
    parser.addoption("--requests", type=int, default=500, help="how many requests the live API is asked")


def pytest_configure(config: pytest.Config) -> None:
    global _server  # noqa: PLW0603 - pytest hooks share nothing else
    configure("ERROR")
    config.pluginmanager.register(produced)
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        _server = Server()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lets every worker begin with its share of the slow tests: none of them is still running when the others are done.

    A worker is given the next part of the list.
    """
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    items[:] = [item for worker in range(workers) for part in (slow, quick) for item in part[worker::workers]]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Spares the collector what was imported: it would look through all of it again and again."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


def pytest_unconfigure() -> None:
    if _server is not None:
        _server.stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells each parallel worker where the server is."""
    assert _server is not None
    node.workerinput["owner"], node.workerinput["app"] = _server.urls.owner, _server.urls.app


def pytest_report_header() -> str:
    return f"database: PostgreSQL {_server.version}" if _server else "database: none"


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Urls:
    """The server's addresses."""
    given = getattr(request.config, "workerinput", None)
    if given is not None:
        return Urls(given["owner"], given["app"])
    assert _server is not None
    return _server.urls


@pytest.fixture(scope="session")
def clone(server: Urls, worker_id: str) -> Callable[[], Coroutine[Any, Any, Urls]]:
    """Makes a database of its own for whoever calls it."""
    numbers = itertools.count(1)

    async def make() -> Urls:
        name = f"lk_{worker_id}_{next(numbers)}"
        for attempt in range(20):
            try:
                await execute(
                    server.owner, f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"'
                )
                break
            except asyncpg.ObjectInUseError:
                # another worker is copying the template this very moment
                await asyncio.sleep(0.02 * (attempt + 1))
        return server.of(name)

    return make


@pytest.fixture(scope="session")
def idle() -> list[Urls]:
    """Databases that a test has given back."""
    return []


@pytest.fixture
async def urls(server: Urls, clone: Callable[[], Coroutine[Any, Any, Urls]], idle: list[Urls]) -> AsyncIterator[Urls]:
    """A migrated, empty database that is this test's own for as long as it runs."""
    found = idle.pop() if idle else await clone()
    yield found
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        if await empty(found.owner, server.of(TEMPLATE).owner):
            idle.append(found)


@pytest.fixture
async def db(urls: Urls) -> AsyncIterator[Database]:
    """The service's way into that database."""
    database = await Database.open(urls.app)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """Which parallel worker this is."""
    given = getattr(request.config, "workerinput", None)
    return given["workerid"] if given is not None else "solo"
