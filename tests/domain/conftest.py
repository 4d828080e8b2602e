"""How hard the laws are tried: a fixed profile, or `--examples 100000 --seed 7` for as long as you like."""

from __future__ import annotations

import pytest

from tests.domain import strategies


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, help="how many examples each law of the policy is tried on")
    parser.addoption("--seed", type=int, help="the seed of those examples")


def pytest_configure(config: pytest.Config) -> None:
    strategies.EFFORT.examples = config.getoption("--examples", None)
    strategies.EFFORT.seed = config.getoption("--seed", None)
