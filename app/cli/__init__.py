"""The `leadkeeper` command: parse, open the runtime, call one thing, print.

Exit codes: 0 it worked, 1 it did not (one sentence says why), 2 the command or a setting is wrong.
"""

from __future__ import annotations

import typer

from app.cli import connecting, database, keeping, laboratory, publishing, serving, syncing

app = typer.Typer(
    name="leadkeeper",
    help="One golden record per lead, in agreement with the tools your sales team already uses.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def leadkeeper() -> None:
    """One golden record per lead, in agreement with the tools your sales team already uses."""


app.command()(serving.serve)
app.command()(serving.worker)
app.command()(database.migrate)
app.command()(syncing.sync)
app.add_typer(connecting.app, name="connections")
app.add_typer(keeping.app, name="keys")
app.command()(database.doctor)
app.command()(laboratory.simulate)
app.command()(laboratory.bench)
app.command()(laboratory.sandbox)
app.command()(laboratory.demo)
app.command()(publishing.openapi)
