"""The live API is asked whatever its document allows, and what it does not, by two identities (Schemathesis).

More requests than `make test` sends: `make test ARGS="tests/api/contract --requests 10000"`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.application import document
from app.db import keys, workspaces
from app.db.session import Tenant
from app.lab.sandboxes import KEY, TOKEN, furnished
from app.lab.servers import serving
from app.lab.transport import InProcess
from app.lab.world import Unlimited
from app.main import create_app
from app.runtime import Runtime, opened
from app.sandbox.core import MovableClock
from app.scheduler import scheduled
from app.settings import Settings
from app.vault import new_key
from tests.conftest import Urls
from tests.project.conftest import ROOT

HERE = Path(__file__).parent
#: With fewer requests than this the systematic walk over every boundary, about 80 for an operation, is left out.
WALK = 5000


@dataclass
class Live:
    """A served API, what it answered, and who may ask it."""

    url: str
    identities: dict[str, dict[str, str]]
    document: dict[str, Any]
    answered: Counter[int] = field(default_factory=Counter)


@pytest.fixture
async def live(urls: Urls, tmp_path: Path) -> AsyncIterator[Live]:
    """The service over HTTP: its scheduler runs, and its document's examples name accounts that exist."""
    airtable, instantly = furnished(MovableClock())
    (base,) = airtable.store.bases.values()
    (table,) = base.tables.values()
    for number in range(3):
        table.create({"Full Name": f"Lead {number}", "Email": f"lead{number}@voorbeeld.nl", "Status": "New"})
    real = {
        "appAAAAAAAAAAAAAA": base.id, "tblAAAAAAAAAAAAAA": table.id,
        "patAAAAAAAAAAAAAA.0123456789abcdef": TOKEN, "0123456789abcdef": KEY,
    }  # fmt: skip
    text = orjson.dumps(document()).decode()
    for example, known in real.items():
        text = text.replace(f'"{example}"', f'"{known}"')
    transport = InProcess({"api.airtable.com": airtable.app, "api.instantly.ai": instantly.app})
    settings = Settings(
        database_url=urls.app, data_dir=tmp_path, rate_per_minute=10**9, wrong_keys_per_minute=10**9,
        scheduler_tick_seconds=0.1,
    )  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(opened(settings, transport=transport))
        runtime.limiter = Unlimited()
        await stack.enter_async_context(scheduled(runtime))
        found = Live("", {name: await identity(runtime) for name in ("here", "there")}, orjson.loads(text))
        app = create_app(runtime=runtime)

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    found.answered[message["status"]] += 1
                await send(message)

            await app(scope, receive, sending)

        found.url = await stack.enter_async_context(serving(counted))
        yield found


async def identity(runtime: Runtime) -> dict[str, str]:
    """An operator who acts in a workspace of its own; its key is of another one, where nobody revokes it by chance."""
    home, workspace_id = await workspaces.create(runtime.db), await workspaces.create(runtime.db)
    key, prefix, hashed = new_key()
    async with runtime.db.transaction(Tenant(home, "admin")) as tx:
        await keys.create(
            tx, name="contract", role="operator", prefix=prefix, key_hash=hashed, acts_for="noor@voorbeeld.nl"
        )
    return {"Authorization": f"Bearer {key}", "X-Workspace": str(workspace_id)}


@pytest.mark.slow
async def test_the_live_api_does_what_its_document_says(
    live: Live, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    wanted: int = request.config.getoption("--requests")
    # who asks is fixed for each identity; another workspace than its own is tests/api/test_access.py's business
    operations = [operation for methods in live.document["paths"].values() for operation in methods.values()]
    for operation in operations:
        for response in operation["responses"].values():
            # one schema cannot say what a stream is and what each of its events is
            response.get("content", {}).get("text/event-stream", {}).pop("schema", None)
        operation["parameters"] = [p for p in operation.get("parameters", ()) if p["name"] != "X-Workspace"]
    asked, identities = tmp_path / "openapi.json", tmp_path / "identities.json"
    asked.write_bytes(orjson.dumps(live.document))
    known = [
        {"name": name, "fixedHeaders": [{"name": header, "value": value} for header, value in headers.items()]}
        for name, headers in live.identities.items()
    ]
    identities.write_bytes(orjson.dumps({"auth": known}))
    phases = "examples,fuzzing,stateful" if wanted < WALK else "examples,coverage,fuzzing,stateful"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(HERE / "schemathesis.toml"),
        "run", str(asked), "--url", live.url, "--checks", "all", "--phases", phases, "--seed", "1",
        "--max-examples", str(ceil(wanted / 1.5 / len(operations))), "--no-shrink",
    ]  # fmt: skip
    environment = {"LEADKEEPER_IDENTITIES": str(identities), "PYTHONPATH": str(ROOT), "PATH": os.defpath}

    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert sum(live.answered.values()) >= wanted, said.decode()
    assert {status: times for status, times in live.answered.items() if status >= 500} == {}
