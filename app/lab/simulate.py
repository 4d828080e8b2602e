"""Simulate: the storm, the kills, the model and the laws for as long as you like, from a printed seed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from app.db.connections import LEASE_SECONDS
from app.lab import model
from app.lab.kills.receiving import kill_service
from app.lab.kills.syncing import kill_postgres, kill_workers, two_instances
from app.lab.scratch import scratch
from app.lab.storm import storm

#: How often each kind of fault fires at the least in a storm of so many cycles: the rare ones, and all others.
CYCLES, RARE, LEAST = 200, {"quota": 3, "iterator": 3}, 20
#: Seconds after which somebody else goes on where a killed instance stopped.
TAKEOVER = 45.0
MODEL_STEPS = 1_000_000
#: How many problems of the model are printed, and how one of its episodes is played again.
SHOWN, REPEAT = 5, "python -c 'from app.lab.model import run; print(*run(SEED).trace, sep=\"\\n\")'"
ROOT = Path(__file__).resolve().parents[2]


async def simulate(seed: int, cycles: int, kills: int, examples: int, mutants: int, deliveries: int) -> int:
    """Runs everything from one seed, prints what it does, and returns the exit code: 0 when all held.

    Args:
        examples: of each law; a hundred thousand take about an hour on one core.
        mutants: of the domain, on which its tests are tried; all 3,000 take about an hour and a half.
        deliveries: events of the day of webhooks; the day of `make test` has 5,000.
    """
    console = Console(highlight=False)
    console.print(f"seed {seed}: {cycles} storm cycles, {kills} kills. The same seed gives the same storm.")
    holds = await _storm(console, seed, cycles)
    if kills:
        holds = await _kills(console, seed, kills) and holds
    holds = _model(console, seed) and holds
    holds = _laws(console, seed, examples) and holds
    holds = _day(console, seed, deliveries) and holds
    holds = _mutants(console, seed, mutants) and holds
    console.print("All held." if holds else f"[red]Something did not hold: repeat it with seed {seed}.[/]")
    return 0 if holds else 1


async def _storm(console: Console, seed: int, cycles: int) -> bool:
    started = time.monotonic()

    def progress(cycle: int) -> None:
        if cycle % max(1, cycles // 10) == 0:
            console.print(f"  cycle {cycle} of {cycles}, {time.monotonic() - started:.0f} s")

    async with scratch() as place:
        outcome = await storm(seed, cycles, await place.database("storm"), progress=progress)
    console.print(f"  storm, {time.monotonic() - started:.0f} s: {outcome}", soft_wrap=True)
    if cycles >= CYCLES:
        rare = {kind: n for kind, n in outcome.fired.items() if n < RARE.get(kind, LEAST)}
        if rare:
            outcome.problems.append(f"faults that fired too rarely: {rare}")
            console.print(f"  {outcome.problems[-1]}")
    return outcome.holds


async def _kills(console: Console, seed: int, kills: int) -> bool:
    started = time.monotonic()
    async with scratch(fast_unsafe=False) as place:
        outcome = await kill_workers(place, seed, kills)
        console.print(f"  kills of the worker, {time.monotonic() - started:.0f} s: {outcome}", soft_wrap=True)
        again = await kill_postgres(place, seed, max(1, kills // 5))
        console.print(f"  kills of Postgres, {time.monotonic() - started:.0f} s: {again}", soft_wrap=True)
        inbox = await kill_service(place, seed, max(2, kills // 5))
        console.print(f"  kills of the service, {time.monotonic() - started:.0f} s: {inbox}", soft_wrap=True)
        both = await two_instances(place, seed, lease_seconds=LEASE_SECONDS)
        console.print(f"  two instances: {both}; taken over after {both.takeovers[0]:.1f} s", soft_wrap=True)
    return outcome.holds and again.holds and inbox.holds and both.holds and both.takeovers[0] <= TAKEOVER


def _model(console: Console, seed: int) -> bool:
    """Runs the model of the domain in memory."""
    started = time.monotonic()
    problems = model.run(seed, MODEL_STEPS).problems
    console.print(f"  model, {MODEL_STEPS:,} steps, {time.monotonic() - started:.0f} s: {len(problems)} problems")
    for problem in problems[:SHOWN]:
        console.print(f"    {problem}", soft_wrap=True, markup=False)
    if problems:
        console.print(f"    Repeat one, by the seed it names, step by step: {REPEAT}", soft_wrap=True, markup=False)
    return not problems


def _laws(console: Console, seed: int, examples: int) -> bool:
    """Tries each law of the merge policy on this many examples."""
    started = time.monotonic()
    words = ("pytest", "-q", "-n", "2", "tests/domain/test_laws.py", "--examples", str(examples), "--seed", str(seed))
    holds = _of_the_tests(console, "laws", examples, words)
    console.print(
        f"  laws, {examples:,} examples each, {time.monotonic() - started:.0f} s: {'hold' if holds else 'NO'}"
    )
    return holds


def _day(console: Console, seed: int, deliveries: int) -> bool:
    """Lives a day of webhooks, with everything that goes wrong on one, and compares its end with its clean log."""
    started = time.monotonic()
    words = ("pytest", "-q", "-n", "1", "tests/simulation/test_day.py", "-k", "clean_log", "--deliveries")
    holds = _of_the_tests(console, "day", deliveries, (*words, str(deliveries), "--day", str(seed)))
    console.print(
        f"  a day of {deliveries:,} webhooks, {time.monotonic() - started:.0f} s: {'holds' if holds else 'NO'}"
    )
    return holds


def _mutants(console: Console, seed: int, count: int) -> bool:
    """Plants defects into the domain, and lets its tests find them."""
    words = ("app.lab.survivors", "--seed", str(seed), "--mutants", str(count))
    return _of_the_tests(console, "mutants", count, words)


def _of_the_tests(console: Console, what: str, count: int, words: tuple[str, ...]) -> bool:
    """Runs a module over the tests, in a process that has imported nothing of the domain."""
    if not count or not (ROOT / "tests").is_dir():
        console.print(f"  no {what}: none were asked for, or the tests are not here")
        return True
    return subprocess.run((sys.executable, "-m", *words), cwd=ROOT, check=False).returncode == 0  # noqa: S603 - ours
