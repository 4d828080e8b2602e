"""`leadkeeper openapi`: writes what is generated, or finds what has drifted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli import docs
from app.cli.console import fail, out


def openapi(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where a file has drifted.")] = False,
) -> None:
    """Write openapi/openapi.json, .env.example and the README's tables."""
    rendered = docs.render(context.find_root().command)
    drifted = {path: content for path, content in rendered.items() if _read(path) != content}
    shown = ", ".join(str(path.relative_to(docs.ROOT)) for path in drifted)
    if check and drifted:
        fail(f"{shown} differs from what the code says: run `make openapi` and commit the result.")
    for path, content in drifted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    out.print(f"Written: {shown}." if drifted else "Everything that is generated is as the code says.")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
