"""`make client-check`: generates a TypeScript client, compiles it strictly, and runs it against the live service.

Nothing generated is kept. Without npm it says "not run" and ends well: the rest of the project needs no Node.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import orjson

from app.api.application import document
from app.db import keys, workspaces
from app.db.session import Tenant
from app.lab.servers import serving
from app.log import configure
from app.main import create_app
from app.runtime import opened
from app.settings import Settings
from app.vault import new_key

HERE = Path(__file__).parent


def main() -> int:
    """Returns the exit code."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print("client-check: not run, there is no npm here.")  # noqa: T201
        return 0
    configure("ERROR")
    with tempfile.TemporaryDirectory(prefix="leadkeeper-client-") as made:
        folder = Path(made)
        # the embedded server of a root has a user of its own, who must get there
        folder.chmod(0o711)
        for name in ("package.json", "tsconfig.json", "check.ts"):
            shutil.copy(HERE / name, folder)
        (folder / "openapi.json").write_bytes(orjson.dumps(document()))
        return asyncio.run(check(npm, folder))


async def check(npm: str, folder: Path) -> int:
    """Makes the client there, and lets it use a service of its own."""
    for step in (
        (npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"),
        ("node", "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "api.ts"),
        ("node", "node_modules/typescript/bin/tsc"),
    ):
        if code := await run(folder, *step):
            return code
    async with opened(Settings(database_url=None, data_dir=folder / "data"), fresh=True) as runtime:
        workspace_id = await workspaces.create(runtime.db)
        key, prefix, hashed = new_key()
        async with runtime.db.transaction(Tenant(workspace_id, "admin")) as tx:
            await keys.create(
                tx, name="client", role="member", prefix=prefix, key_hash=hashed, acts_for="noor@team.test"
            )
        async with serving(create_app(runtime=runtime)) as url:
            return await run(folder, "node", "built/check.js", url, key)


async def run(folder: Path, *command: str) -> int:
    """Runs a command there, and returns its exit code."""
    return await (await asyncio.create_subprocess_exec(*command, cwd=folder)).wait()


if __name__ == "__main__":
    sys.exit(main())
