"""What is published says what the code does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from typer.main import get_command

from app.cli import app, docs
from app.settings import Settings
from tests.project.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND: Any = get_command(app)
COMMANDS = dict(docs.commands(COMMAND, ("leadkeeper",)))
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)) + "\n".join(re.findall(r"`([^`\n]+)`", README))


def test_generated_files_are_as_the_code_says() -> None:
    """`make openapi` would change nothing."""
    drifted = [
        str(path.relative_to(ROOT))
        for path, content in docs.render(COMMAND).items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]

    assert drifted == []


def test_the_readme_has_every_generated_block() -> None:
    assert re.findall(r"<!-- generated:(\w+) -->", README) == ["policy", "commands", "settings"]
    assert README.count("<!-- /generated -->") == 3


def test_the_readme_fits() -> None:
    assert len(README.splitlines()) <= 250


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_and_its_options_have_help(path: tuple[str, ...]) -> None:
    command: Any = COMMANDS[path]

    assert command.help
    assert [p.name for p in command.params if not p.help] == []


def test_every_setting_is_described_and_has_its_name() -> None:
    for name, field in Settings.model_fields.items():
        assert field.alias, name
        assert field.description, name
        assert field.description.endswith("."), name


def test_an_example_environment_is_one_the_settings_accept() -> None:
    """Each line of .env.example, uncommented, is a setting."""
    names = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)

    assert names == [field.alias for field in Settings.model_fields.values()]


def test_commands_in_the_readme_exist() -> None:
    known = {" ".join(path) for path in COMMANDS}
    words = re.findall(r"\bleadkeeper ((?:[a-z]+ ?)+)", SHELL.replace("exec leadkeeper", ""))
    named = {f"leadkeeper {found}".strip() for found in words}

    assert {name for name in named if not any((name + " ").startswith(k + " ") for k in known)} == set()
    assert len(named) > 8


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)", SHELL)) <= targets


def test_files_in_the_readme_exist() -> None:
    named = set(re.findall(r"`((?:app|migrations|tests)/[\w./]+|[\w-]+\.yml)`", README))

    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert len(named) > 10


def test_routes_in_the_readme_exist() -> None:
    document = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))
    routes = {re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]}
    named = {
        re.sub(r"\{\w+\}|\$ID", "{}", path.rstrip("/"))
        for path in re.findall(r"(/(?:api/|healthz|readyz|metrics)[\w/{}$-]*)", SHELL)
    }

    assert named - routes == set()
    assert len(named) > 12
