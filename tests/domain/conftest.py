"""How hard the laws are tried: a fixed profile, or `--examples 100000 --seed 7` for as long as you like."""

from __future__ import annotations

import hypothesis
import pytest

from tests.domain import strategies


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, help="how many examples each law of the policy is tried on")
    parser.addoption("--seed", type=int, help="the seed of those examples")


def pytest_configure(config: pytest.Config) -> None:
    # the same examples on every run, however slow the machine is
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "tests", derandomize=True, database=None, deadline=None, suppress_health_check=slow
    )
    hypothesis.settings.load_profile("tests")
    strategies.EFFORT.examples = config.getoption("--examples", None)
    strategies.EFFORT.seed = config.getoption("--seed", None)
