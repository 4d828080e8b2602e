"""dedupe: a scan of 100,000 messy leads, beside plain RapidFuzz over the same blocks; and FEBRL, where it is there."""

from __future__ import annotations

from collections.abc import Iterable
from time import process_time

from rapidfuzz.fuzz import token_sort_ratio

from app.domain.duplicates import LIKELY, Pair, candidates, person, scan
from app.lab.bench.febrl import MISSING, febrl
from app.lab.bench.figure import Bench, Figure, alternate, median_ratio
from app.lab.messy import Messy, messy

PAIRS = 5
SEED = 20_261
#: How alike two lines of name and company are for the floor, of 100.
CUT = 85


async def dedupe(bench: Bench) -> list[Figure]:
    """Scans in memory, on one core; what a person would call one person is known, so right and wrong are counted."""
    made = messy(bench.size(100_000, 10_000), seed=SEED)
    found: list[Pair] = []

    async def ours() -> float:
        nonlocal found
        started = process_time()
        found = scan(person(*lead) for lead in made.leads)
        return len(made.leads) / (process_time() - started)

    async def floor() -> float:
        return _floor(made)

    rates, floors = await alternate(PAIRS, ours, floor, bench.say)
    best = max(range(PAIRS), key=lambda n: rates[n])
    note = f"{len(made.leads):,} leads in {len(made.leads) / rates[best]:.2f} s CPU, {len(found):,} pairs, seed {SEED}"
    others = _febrl()
    if not others:
        note += f"; {MISSING}"
    precision, recall = _judged(found, made)
    doubles = f"{len(made.pairs):,} people were entered twice; score ≥ {LIKELY}"
    return [
        Figure(
            name="dedupe", value=rates[best], unit="leads/s", floor=floors[best], ratio=median_ratio(rates, floors),
            target="≥ 0.5", note=note,
        ),
        Figure(name="dedupe.precision", value=precision, unit="", target="≥ 0.99", note=doubles),
        Figure(name="dedupe.recall", value=recall, unit="", target="≥ 0.97", note=doubles),
        *others,
    ]  # fmt: skip


def _judged(found: Iterable[Pair], made: Messy) -> tuple[float, float]:
    """Returns how many of the likely pairs are right, and how many of the right ones were found."""
    likely = {pair.leads for pair in found if pair.score >= LIKELY}
    right = len(likely & made.pairs)
    return right / len(likely), right / len(made.pairs)


def _febrl() -> list[Figure]:
    """Neither the rules nor the threshold were picked on these; which field stands for which, 1 and 2 decide."""
    figures = []
    for number, target in ((1, "–"), (2, "–"), (3, "≥ 0.97")):
        if (made := febrl(number)) is None:
            return []
        precision, recall = _judged(scan(person(*lead) for lead in made.leads), made)
        f1 = 2 * precision * recall / (precision + recall)
        how = (
            f"precision {precision:.3f}, recall {recall:.3f}; {len(made.leads):,} records, {len(made.pairs):,} pairs of"
            f" one person; score ≥ {LIKELY}"
        )
        figures.append(Figure(name=f"dedupe.febrl{number}.f1", value=f1, unit="", target=target, note=how))
    return figures


def _floor(made: Messy) -> float:
    """Scores the same candidates with one call each: no fields, no reasons."""
    started = process_time()
    lines = {
        lead_id: f"{values.get('full_name')} {values.get('company_name') or values.get('company_domain')}"
        for lead_id, values in made.leads
    }
    for a, b in candidates([person(*lead) for lead in made.leads]):
        token_sort_ratio(lines[a.id], lines[b.id], score_cutoff=CUT)
    return len(made.leads) / (process_time() - started)
