"""Makes `python -m app.cli` the command."""

from __future__ import annotations

from app.cli import app

if __name__ == "__main__":
    app(prog_name="leadkeeper")
