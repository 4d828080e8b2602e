"""What a bench reports: one number beside its floor, and what it should be. A bench asserts nothing about time."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from rich.table import Table

from app.lab.bench.rig import Rig


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number. `floor` is the floor's or the peer's own value, measured alternately in the same run."""

    name: str
    value: float
    unit: str
    target: str
    floor: float | None = None
    ratio: float | None = None
    #: for people: how it came about
    note: str = ""

    def line(self) -> str:
        """Returns the figure as one line of JSON."""
        shown = {name: getattr(self, name) for name in ("name", "value", "unit", "floor", "ratio", "target")}
        return orjson.dumps({k: rounded(v) if isinstance(v, float) else v for k, v in shown.items()}).decode()


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measurement is handed: where its databases come from, and how much it may cost."""

    rig: Rig
    quick: bool
    #: says how far it is
    say: Callable[[str], None]

    def size(self, full: int, quick: int) -> int:
        """Returns how many of something to measure with."""
        return quick if self.quick else full


Measure = Callable[[Bench], Awaitable[list[Figure]]]
Timed = Callable[[], Awaitable[float]]


async def alternate(
    pairs: int, ours: Timed, floor: Timed, say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Measures A B A B …, so that a noisy machine is noisy for both."""
    a: list[float] = []
    b: list[float] = []
    for number in range(pairs):
        say(f"pair {number + 1} of {pairs}")
        a.append(await ours())
        b.append(await floor())
    return a, b


def median_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """Returns the median of the ratios of pairs."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def rounded(value: float) -> float:
    """Rounds to what a shared machine can tell: three or four digits."""
    if abs(value) >= 1000:
        return round(value)
    return float(f"{value:.4g}")


def show(figures: Sequence[Figure]) -> Table:
    """Returns the figures as a table."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("figure", "value", "unit", "floor", "ratio", "target", "how"):
        is_number = title in ("value", "floor", "ratio")
        table.add_column(title, justify="right" if is_number else "left", no_wrap=title != "how")
    for f in figures:
        table.add_row(f.name, _shown(f.value), f.unit, _shown(f.floor), _shown(f.ratio), f.target, f.note)
    return table


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{rounded(value):,}"
