"""`leadkeeper demo`, `sandbox`, `simulate` and `bench`: the product against local stand-ins of its providers.

The simulation and the benches are imported when they are asked for: they take long to import, and nobody else needs
them.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Annotated

import typer

from app.cli.console import listening, load, run
from app.lab.demo import demo as show_demo
from app.lab.servers import serving, until_ended
from app.lab.transport import delivering_over_http
from app.sandbox.airtable import AirtableSandbox
from app.sandbox.core import MovableClock
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.seed import seed_demo
from app.settings import Settings

HOST = "127.0.0.1"


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the reconciliation instead of serving.")] = False,
) -> None:
    """Watch Postgres, Airtable and Instantly come to agreement, all local, with seeded data."""
    raise typer.Exit(run(_demo(load("ERROR"), once=once)))


async def _demo(settings: Settings, *, once: bool) -> int:
    if once:
        return await show_demo(settings)
    with listening(HOST, settings.port, remedy="end what listens there, set PORT, or add --once") as sock:
        return await show_demo(settings, sock)


def sandbox(
    airtable_port: Annotated[int, typer.Option(help="Where the local Airtable listens.")] = 8801,
    instantly_port: Annotated[int, typer.Option(help="Where the local Instantly listens.")] = 8802,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 7,
) -> None:
    """Serve a local Airtable and a local Instantly with seeded data."""
    run(_sandbox(airtable_port, instantly_port, seed))


async def _sandbox(airtable_port: int, instantly_port: int, seed: int) -> None:
    clock = MovableClock()
    airtable, instantly = AirtableSandbox(clock=clock, seed=seed), InstantlySandbox(clock=clock, seed=seed)
    facts = seed_demo(airtable, instantly, seed=seed)
    async with contextlib.AsyncExitStack() as stack:
        urls = []
        for name, app, port in (
            ("airtable", airtable.app, airtable_port),
            ("instantly", instantly.app, instantly_port),
        ):
            sock = listening(HOST, port, remedy=f"end what listens there, or choose another with --{name}-port")
            urls.append(await stack.enter_async_context(serving(app, sock)))
        await stack.enter_async_context(delivering_over_http(instantly))
        for line in (
            "Both sandboxes are up; Ctrl-C ends them. Put this into .env and start `leadkeeper serve`:",
            "",
            f"AIRTABLE_API_URL={urls[0]}",
            f"INSTANTLY_API_URL={urls[1]}",
            f"AIRTABLE_TOKEN={facts.token}",
            f"AIRTABLE_BASE_ID={facts.base_id}",
            f"AIRTABLE_TABLE_ID={facts.table_id}",
            f"INSTANTLY_API_KEY={facts.api_key}",
            "",
            f"Records, as JSON:  curl '{urls[0]}/_sandbox/records?table={facts.table_id}'",
            f"Calls so far:      curl {urls[0]}/_sandbox/calls",
            f"A day of mails:    curl {urls[1]}/_sandbox/day -d '{{\"events\": 100}}'",
        ):
            typer.echo(line)
        await until_ended()


def simulate(
    seed: Annotated[int | None, typer.Option(help="Repeat the run of this seed; without it, one is drawn.")] = None,
    cycles: Annotated[int, typer.Option(min=1, help="Sync cycles in the storm.")] = 200,
    kills: Annotated[int, typer.Option(min=0, help="How often the service is killed for real.")] = 0,
    examples: Annotated[int, typer.Option(min=0, help="How many examples each law is tried on.")] = 2_000,
    mutants: Annotated[int, typer.Option(min=0, help="How many defects are planted into the domain, at most.")] = 100,
    deliveries: Annotated[int, typer.Option(min=0, help="How many events the day of webhooks has.")] = 100_000,
) -> None:
    """Run the storm, the crashes, the model and the laws for as long as you like, from one seed."""
    from app.lab.simulate import simulate as run_simulation

    load("ERROR")
    seed = secrets.randbelow(2**32) if seed is None else seed
    raise typer.Exit(run(run_simulation(seed, cycles, kills, examples, mutants, deliveries)))


def bench(
    only: Annotated[str | None, typer.Option(help="Measure one figure, by its name.")] = None,
) -> None:
    """Measure, against floors and peers in the same run."""
    from app.lab.bench import bench as measure

    load("ERROR")
    raise typer.Exit(run(measure(only)))
