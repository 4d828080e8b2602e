"""A pytest plugin for runs inside a run: the database comes from the outer one, so that nothing has to be started."""

from __future__ import annotations

import pytest

from tests.simulation.scene import scene as scene


class Lent:
    """Stands in for a server of one's own: there is one database, and it is empty."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def database(self, _name: str) -> str:
        return self._url


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lent-database", help="the address of an empty migrated database")


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Lent:
    return Lent(request.config.getoption("--lent-database"))
