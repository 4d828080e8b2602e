"""House rules that a type checker cannot see, read from the syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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
LONGER = {"app/db/tables.py": 750}
#: A place to install from, as pip, uv and others are told of one.
INDEX = re.compile(r"(?i)(--(?:extra-)?index-url|--find-links|files\.pythonhosted|pypi\.org|/simple/?\b)")
#: A folder of somebody's machine.
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|work|root|opt/pypi)/\w")
#: The embedded server's tests keep what root's server makes outside the data folder away from the machine's own.
EXCUSED = {"tests/db/test_embedded.py"}
Trees = dict[str, ast.Module]


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_the_top_level_holds_what_it_should(files: list[Path]) -> None:
    top = {path.relative_to(ROOT).parts[0] for path in files}

    assert top - DOTS == TOP
    assert {name for name in top if name.startswith(".")} <= DOTS


def test_only_the_session_commits(trees: Trees) -> None:
    """The sandbox's tables have a verb of that name too, in memory."""
    committing = {
        name
        for name, tree in trees.items()
        if name.startswith("app/") and not name.startswith("app/sandbox/")
        for call in calls(tree)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "commit"
    }

    assert committing == {"app/db/session.py"}


def test_nothing_is_skipped(trees: Trees) -> None:
    """A test that cannot run is a failing test, but for the one that needs a document we may not ship."""
    skipping = [
        name
        for name, tree in trees.items()
        if name.startswith("tests/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "importorskip")
    ]

    assert skipping == ["tests/providers/test_instantly_openapi.py"]


def test_tests_replace_nothing_of_ours(trees: Trees) -> None:
    """No patching of our own modules: what a test needs is handed in."""
    found = [
        f"{name}:{line}"
        for name, tree in trees.items()
        if name.startswith("tests/") and name not in EXCUSED
        for line in replaced(tree)
    ]

    assert found == []


def replaced(tree: ast.Module) -> list[int]:
    """Returns the lines where a file puts something in the place of something of the application."""
    ours = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (node.module or "" if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0] == "app"
    }
    return [call.lineno for call in calls(tree) if _replaces(call, ours)]


def _replaces(call: ast.Call, ours: set[str]) -> bool:
    function = ast.unparse(call.func)
    if not re.search(r"(^|\.)patch(\.object)?$|monkeypatch\.(set|del)attr$", function) or not call.args:
        return False
    target = ast.unparse(call.args[0]).strip("'\"")
    return target.partition(".")[0] in {"app", *ours}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from app import log\nmonkeypatch.setattr(log, 'redact', 1)", [2]),
        ("from unittest.mock import patch\npatch('app.log.redact')", [2]),
        ("from app.db import leads\nmock.patch.object(leads.Stored, 'x')", [2]),
        ("client.patch('/api/leads')", []),
        ("import os\nmonkeypatch.setattr(os, 'geteuid', 1)", []),
    ],
)
def test_the_rule_against_patching_finds_it(source: str, expected: list[int]) -> None:
    assert replaced(ast.parse(source)) == expected


def test_every_module_says_what_it_is(trees: Trees) -> None:
    silent = [name for name, tree in trees.items() if not ast.get_docstring(tree)]

    assert silent == []


def test_files_stay_short(files: list[Path]) -> None:
    sizes = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in files
        if path.suffix == ".py" and path.is_relative_to(ROOT / "app")
    }

    assert {name: lines for name, lines in sizes.items() if lines > LONGER.get(name, CEILING)} == {}


@pytest.mark.parametrize("pattern", [INDEX, MACHINE], ids=["package index", "machine path"])
def test_no_file_names_a_place_of_ours(files: list[Path], pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit[0]}"
        for path in files
        if path != Path(__file__)
        for hit in pattern.finditer(path.read_text(encoding="utf-8"))
        if hit[0] != "--no-emit-index-url"
    ]

    assert found == []
