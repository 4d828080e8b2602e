"""The harness itself: eight planted defects, each a patch, each turns the test red that names its promise.

A patch is applied to a copy of the code, and the one test runs there in a process of its own. Where a patch no longer
applies, the code it is about has moved, and the defect must be planted again.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from app.lab.scratch import Scratch

ROOT = Path(__file__).parents[2]
PATCHES = ROOT / "tests" / "planted"
PROMISES = "tests/simulation/test_promises.py"
DEFECTS = {
    "cursor-before-rows": "test_a_crash_while_a_page_is_stored_loses_no_edit",
    "base-before-success": "test_a_write_that_never_arrived_is_written_again",
    "blind-create": "test_a_create_whose_answer_was_lost_is_not_repeated",
    "whole-row-write": "test_a_write_touches_only_the_cells_that_changed",
    "no-overlap": "test_a_clock_that_went_back_hides_no_edit",
    "status-by-last-write": "test_a_campaign_never_lowers_a_status_that_a_person_set",
    "notes-overwritten": "test_notes_that_both_sides_add_are_all_kept",
    "timestamps-instead-of-base": "test_an_edit_of_another_cell_there_reverts_no_edit_here",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code, with what the tests of the promises need."""
    target = tmp_path / "copy"
    shutil.copytree(ROOT / "app", target / "app")
    shutil.copytree(ROOT / "tests" / "simulation", target / "tests" / "simulation")
    shutil.copy2(ROOT / "pyproject.toml", target)
    return target


async def run(folder: Path, *command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def promise(copy: Path, place: Scratch, test: str) -> tuple[int, str]:
    """Runs the test of one promise in the copy."""
    url = await place.database("planted")
    plugins = ("--disable-plugin-autoload", "-p", "pytest_asyncio.plugin", "-p", "tests.simulation.lent_database")
    options = ("-q", "-x", "--noconftest", "-p", "no:cacheprovider", *plugins, "--lent-database", url)
    return await run(copy, sys.executable, "-m", "pytest", f"{PROMISES}::{test}", *options)


def test_every_patch_is_about_a_known_defect() -> None:
    assert {path.stem for path in PATCHES.glob("*.patch")} == set(DEFECTS)


async def test_every_patch_applies() -> None:
    refused = {path.stem: await run(ROOT, "git", "apply", "--check", str(path)) for path in PATCHES.glob("*.patch")}

    assert {defect: output for defect, (code, output) in refused.items() if code} == {}


async def test_the_promises_hold_in_an_unpatched_copy(copy: Path, place: Scratch) -> None:
    code, output = await promise(copy, place, DEFECTS["no-overlap"])

    assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_planted_defect_turns_its_test_red(copy: Path, place: Scratch, defect: str) -> None:
    assert await run(copy, "git", "apply", str(PATCHES / f"{defect}.patch")) == (0, "")

    code, output = await promise(copy, place, DEFECTS[defect])

    assert (code, "1 failed" in output) == (1, True), output
    assert "AssertionError" in output or "assert " in output, output
