"""The `leadkeeper` command: parse, open the runtime, call one thing, print."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from app import log, settings
from app.errors import LeadkeeperError

T = TypeVar("T")
app = typer.Typer(
    name="leadkeeper",
    help="One golden record per lead, in agreement with the tools your sales team already uses.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, highlight=False)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs one piece of work; an error we can explain becomes a sentence and exit code 1."""
    try:
        return asyncio.run(work)
    except LeadkeeperError as exc:
        errors.print(f"[red]{exc}[/]")
        raise typer.Exit(1) from exc
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def load(level: str | None = None) -> settings.Settings:
    """Reads the settings and sets logging up."""
    try:
        found = settings.load()
    except LeadkeeperError as exc:
        errors.print(f"[red]{exc}[/]")
        raise typer.Exit(2) from exc
    log.configure(level or found.log_level, as_json=found.log_json)
    return found


@app.callback()
def leadkeeper() -> None:
    """One golden record per lead, in agreement with the tools your sales team already uses."""


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the reconciliation instead of serving.")] = False,
) -> None:
    """Watch Postgres, Airtable and Instantly come to agreement, all local, with seeded data."""
    from app.lab.demo import demo as show

    raise typer.Exit(run(show(load("ERROR"), once=once)))


if __name__ == "__main__":
    app()
