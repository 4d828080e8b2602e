"""What the image and the compose file promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.project.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
#: (instruction, its words) of each stage, continuation lines joined
STAGES = [
    [tuple(line.split(maxsplit=1)) for line in stage.splitlines() if re.match(r"[A-Z]+ ", line)]
    for stage in re.split(r"(?m)^(?=FROM )", re.sub(r"\\\n\s*", "", DOCKERFILE))[1:]
]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def words(instruction: str, stage: int = -1) -> list[str]:
    return [rest for name, rest in STAGES[stage] if name == instruction]


def test_the_image_runs_as_nobody_special() -> None:
    """A fixed uid, so that the owner of a mounted folder can be set."""
    assert words("USER") == ["10001:10001"]
    assert "useradd --uid 10001" in " ".join(words("RUN"))


def test_the_image_serves_on_port_8000_and_keeps_its_data_in_a_volume() -> None:
    assert words("EXPOSE") == ["8000"]
    assert words("VOLUME") == ["/app/data"]
    assert words("CMD") == ['["leadkeeper", "serve"]']
    assert any("/healthz" in found for found in words("HEALTHCHECK"))


def test_the_image_installs_from_hashes_and_only_what_runs() -> None:
    assert "--require-hashes --only-binary :all: -r runtime.lock" in " ".join(words("RUN", 0))
    runtime, development = (ROOT / "requirements.lock").read_text(encoding="utf-8").split("# --- development\n")
    names = set(re.findall(r"(?m)^([a-z0-9_.-]+)==", runtime))

    assert {"fastapi", "asyncpg", "uvicorn"} <= names
    assert {"pytest", "mypy", "ruff", "hypothesis", "pyairtable"} <= set(re.findall(r"(?m)^([\w.-]+)==", development))
    assert names & {"pytest", "mypy", "ruff", "hypothesis", "pyairtable", "respx"} == set()


def test_every_locked_version_has_a_hash() -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text(encoding="utf-8"))[1:]

    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert len(blocks) > 60


def test_every_image_is_pinned() -> None:
    images = [found.split()[0] for stage in STAGES for name, found in stage if name == "FROM"]
    images += [service["image"] for service in SERVICES.values()]

    assert all(re.search(r":\d+\.\d+", image) for image in images), images


def test_no_file_of_the_image_holds_a_secret() -> None:
    """Every password and key comes from the environment, and compose refuses to start without it."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.search(r"(PASSWORD|SECRET_KEY|DATABASE_URL): ", line)]

    assert len(lines) == 5
    assert all(re.search(r"\$\{[A-Z_]+:\?put the output", line) for line in lines)
    assert not re.search(r"(?i)(password|secret|token|key)\s*=\s*\S", DOCKERFILE)


def test_the_context_is_what_the_image_copies() -> None:
    """Nothing lying about (.env, data) can get into an image."""
    first, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    allowed = {line[1:] for line in rest if line.startswith("!")}
    copied = {found.split()[0] for stage in STAGES for name, found in stage if name == "COPY" and "--from" not in found}

    assert first == "*"
    assert copied == allowed


def test_the_service_waits_for_its_schema_and_stays_behind_the_proxy() -> None:
    service, proxy = SERVICES["leadkeeper"], SERVICES["proxy"]

    assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert "ports" not in service
    assert proxy["ports"] == ["${LEADKEEPER_BIND:-127.0.0.1}:8000:8000"]
    assert service["read_only"] is True
    assert "MIGRATION_DATABASE_URL" not in service["environment"]


def test_every_setting_that_an_operator_may_choose_reaches_the_service() -> None:
    """The image, the proxy and the service itself decide the others."""
    decided = {
        "MIGRATION_DATABASE_URL", "LEADKEEPER_DATA_DIR", "HOST", "PORT", "MAX_BODY_BYTES", "LOG_JSON",
    }  # fmt: skip

    assert {str(field.alias) for field in Settings.model_fields.values()} - decided <= set(
        SERVICES["leadkeeper"]["environment"]
    )


def test_every_lasting_service_is_watched() -> None:
    watched = {name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})}

    assert watched == {"postgres", "proxy"}, "the service's own check comes with its image"


def test_every_volume_and_config_exists() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    used = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}

    assert mounted == set(COMPOSE["volumes"])
    assert used == set(COMPOSE["configs"])


@pytest.fixture
def roles_script(tmp_path: Path) -> Path:
    """The script that makes the roles, as compose writes it into the container."""
    script = tmp_path / "roles.sh"
    script.write_text(COMPOSE["configs"]["roles"]["content"].replace("$$", "$"))
    return script


def test_the_roles_script_is_a_shell_script(roles_script: Path) -> None:
    subprocess.run(["/bin/sh", "-n", roles_script], check=True)

    text = roles_script.read_text()
    assert "CREATE ROLE leadkeeper_app LOGIN PASSWORD" in text
    assert not re.search(r"leadkeeper_app[^;]*(SUPERUSER|BYPASSRLS|CREATE)", text)


def test_the_proxy_limits_what_the_service_limits() -> None:
    """A body the service would refuse is refused before it is passed on; clients that dawdle are cut off."""
    proxy = COMPOSE["configs"]["caddyfile"]["content"]

    assert "max_size 1MB" in proxy
    assert "read_body 20s" in proxy
    assert "path /metrics" in proxy
    assert proxy.count("{") == proxy.count("}")
