"""Survivors: the mutants of the domain that its own tests do not notice.

Each mutant lives in a child process, which runs the tests of its file first, then the other cases, then the laws and
the model. What survives is a missing case, or changes nothing that anybody could see; the latter are argued one by one
in `tests/domain/equivalent_mutants.txt`.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console

from app.lab.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "app.domain"
DOMAIN, TESTS = ROOT / "app" / "domain", ROOT / "tests" / "domain"
ARGUED = TESTS / "equivalent_mutants.txt"
#: The share of mutants that the tests must find, of 100.
TARGET = 95.0
#: Seconds a test may take, and bytes a mutant may fill, before it counts as found.
PATIENCE, MEMORY = 30, 4 * 2**30
#: Tests that take long, and find what no case has thought of.
LAWS = ("test_laws.py", "test_model.py")
#: Files that are judged by the cases of the merge policy.
MERGING = {"cells", "draft", "incoming", "lead", "merge", "plan", "rules"}


def judge(console: Console, seed: int, count: int | None, files: Sequence[Path]) -> float:
    """Plants `count` mutants drawn from a seed (None: all there are), names the survivors, and returns the score."""
    known = argued(ARGUED.read_text(encoding="utf-8"))
    every = [mutant for path in files for mutant in mutants(path) if mutant.key not in known]
    chosen = every if count is None else random.Random(seed).sample(every, min(count, len(every)))
    _warm_up()
    if not survives(None):
        console.print("The tests of the domain fail without any mutant: mend that first.", style="red")
        return 0.0
    started, survivors = time.monotonic(), 0
    for number, mutant in enumerate(chosen, start=1):
        if survives(mutant):
            survivors += 1
            where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
            console.print(f"  {where} survives:\n    {mutant.key}", markup=False, soft_wrap=True)
        if number % max(1, len(chosen) // 10) == 0:
            console.print(f"  {number} of {len(chosen)} mutants, {time.monotonic() - started:.0f} s")
    score = 100 * (1 - survivors / max(1, len(chosen)))
    console.print(f"  {score:.1f} % of {len(chosen)} mutants found, of {len(every)}; {len(known)} more are argued")
    return score


def argued(text: str) -> dict[str, str]:
    """Reads the list of mutants that change nothing: a line each, and the reason for those above it indented below."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("    "):
            found |= {key: line.strip() for key, reason in found.items() if not reason}
        elif line and not line.startswith("#"):
            found[line] = ""
    return found


def survives(mutant: Mutant | None) -> bool:
    """Tells whether all tests of the domain pass with a mutant (None: without any), in a process of its own."""
    sys.stdout.flush()
    process = os.fork()
    if not process:
        code = 1
        try:
            code = _run_tests(mutant)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


class Patience:
    """Ends a test that goes on for ever, and with it the process."""

    def pytest_runtest_setup(self) -> None:
        signal.alarm(PATIENCE)


def _run_tests(mutant: Mutant | None) -> int:
    import hypothesis
    import pytest

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # nobody reads the smallest example
    hypothesis.settings.register_profile("mutants", phases=phases, derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutants")
    if mutant is not None:
        mutant.plant(PACKAGE)
    options = ["-x", "-q", "--tb=no", f"--confcutdir={TESTS}", f"--rootdir={ROOT}"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += [word for name in ("randomly", "cacheprovider", "xdist") for word in ("-p", f"no:{name}")]
    for files in _stages(mutant.path.stem if mutant is not None else ""):
        if code := pytest.main([*options, *map(str, files)], plugins=[Patience()]):
            return int(code)
    return 0


def _stages(stem: str) -> list[list[Path]]:
    """Returns the test files in the order in which they find the most in the least time."""
    stages: list[list[Path]] = [[], [], [], []]
    for path in sorted(TESTS.glob("test_*.py")):
        is_law, is_own, is_merge = path.name in LAWS, path.stem == f"test_{stem}", "merge" in path.stem
        stages[3 if is_law else 0 if is_own else 1 if is_merge and stem in MERGING else 2].append(path)
    return [stage for stage in stages if stage]


def _warm_up() -> None:
    """Imports once what every child needs and what holds nothing of the domain."""
    for name in (
        "asyncpg", "email_validator", "httpx", "hypothesis.strategies", "phonenumbers", "pydantic", "rapidfuzz.fuzz",
        "sqlalchemy.ext.asyncio",
    ):  # fmt: skip
        import_module(name)
    assert not any(name.startswith(PACKAGE) for name in sys.modules)


def main() -> int:
    """Judges the tests of the domain; exit code 0 where they find enough."""
    parser = argparse.ArgumentParser(prog="python -m app.lab.survivors", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="which mutants are drawn")
    parser.add_argument("--mutants", type=int, help="how many, at most; without it, all")
    parser.add_argument("files", nargs="*", type=Path, help="only these files of the domain")
    given = parser.parse_args()
    files = [path.resolve() for path in given.files] or sorted(DOMAIN.glob("*.py"))
    return 0 if judge(Console(highlight=False), given.seed, given.mutants, files) >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
