"""House rules that a type checker cannot see, read from the syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.project.conftest import ROOT

TOP = {
    "app", "migrations", "tests", "openapi", "alembic.ini", "Dockerfile", "docker-compose.yml", "pyproject.toml",
    "README.md", "Makefile", "requirements.lock",
}  # fmt: skip
DOTS = {".ci", ".gitignore", ".dockerignore", ".env.example"}
CEILING = 450
#: Longer for a reason: one module per aggregate or one list of tables reads better whole.
LONGER = {"app/db/tables.py": 520, "app/db/links.py": 520, "app/db/embedded.py": 480}
#: A place to install from, as pip, uv and others are told of one.
INDEX = re.compile(r"(?i)(--(?:extra-)?index-url|--find-links|files\.pythonhosted|pypi\.org|/simple/?\b)")
#: A folder of somebody's machine.
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|work|root|opt/pypi)/\w")
Sources = dict[Path, str]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(source: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def test_the_top_level_holds_what_it_should(files: list[Path]) -> None:
    top = {path.relative_to(ROOT).parts[0] for path in files}

    assert top - DOTS == TOP
    assert {name for name in top if name.startswith(".")} <= DOTS


def test_only_the_session_commits(sources: Sources) -> None:
    committing = {
        name_of(path)
        for path, source in sources.items()
        if path.is_relative_to(ROOT / "app")
        for call in calls(source)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "commit"
    }

    assert committing == {"app/db/session.py"}


def test_nothing_is_skipped(sources: Sources) -> None:
    """A test that cannot run is a failing test."""
    skipping = [
        f"{name_of(path)}:{node.lineno}"
        for path, source in sources.items()
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "importorskip")
    ]

    assert skipping == []


def test_tests_replace_nothing_of_ours(sources: Sources) -> None:
    """No patching of our own modules: what a test needs is handed in."""
    found = [
        f"{name_of(path)}:{call.lineno}"
        for path, source in sources.items()
        if path.is_relative_to(ROOT / "tests")
        for call in calls(source)
        if _replaces(call, _ours(source))
    ]

    assert found == []


def _ours(source: str) -> set[str]:
    """Names a file has imported from the application."""
    return {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (node.module or "" if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0] == "app"
    }


def _replaces(call: ast.Call, ours: set[str]) -> bool:
    function = ast.unparse(call.func)
    if not (re.search(r"(^|\.)patch(\.object)?$", function) or function.endswith(("monkeypatch.setattr", ".delattr"))):
        return False
    target = ast.unparse(call.args[0]) if call.args else ""
    return target.strip("'\"").startswith("app.") or target.partition(".")[0] in ours


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from app import log\nmonkeypatch.setattr(log, 'redact', 1)", True),
        ("from unittest.mock import patch\npatch('app.log.redact')", True),
        ("from app.db import leads\nmock.patch.object(leads.Stored, 'x')", True),
        ("client.patch('/api/leads')", False),
        ("import os\nmonkeypatch.setattr(os, 'geteuid', 1)", False),
    ],
)
def test_the_rule_against_patching_finds_it(source: str, expected: bool) -> None:
    assert any(_replaces(call, _ours(source)) for call in calls(source)) is expected


def test_every_module_says_what_it_is(sources: Sources) -> None:
    silent = [name_of(path) for path, source in sources.items() if not ast.get_docstring(ast.parse(source))]

    assert silent == []


def test_files_stay_short(sources: Sources) -> None:
    long = {
        name_of(path): lines
        for path, source in sources.items()
        if path.is_relative_to(ROOT / "app")
        if (lines := source.count("\n")) > LONGER.get(name_of(path), CEILING)
    }

    assert long == {}


@pytest.mark.parametrize("pattern", [INDEX, MACHINE], ids=["package index", "machine path"])
def test_no_file_names_a_place_of_ours(files: list[Path], pattern: re.Pattern[str]) -> None:
    found = [
        f"{name_of(path)}: {hit[0]}"
        for path in files
        if path != Path(__file__) and not fnmatch(path.name, "*.png")
        for hit in pattern.finditer(path.read_text(encoding="utf-8"))
        if hit[0] != "--no-emit-index-url"
    ]

    assert found == []
