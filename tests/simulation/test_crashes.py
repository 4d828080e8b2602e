"""A worker dies before and after every I/O call of every stage; another one takes over; nothing is lost or doubled."""

from __future__ import annotations

import pytest

from app.lab.crashes import Telling, tell
from app.lab.scratch import Scratch

PARTS = 8


@pytest.fixture(scope="session")
async def plain(place: Scratch) -> Telling:
    """The story as it goes when nobody dies."""
    return await tell(await place.database("plain"))


async def test_the_story_runs_every_stage(plain: Telling) -> None:
    assert plain.problems == []
    named = {name.partition(" ")[2].rpartition("/")[2][:3] for chapter in plain.chapters for name in chapter}
    assert {"lis", "tbl", "cam"} <= named  # a listing, a write, the campaigns
    assert sum(map(len, plain.chapters)) > 400


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_crash_at_any_moment_loses_and_doubles_nothing(place: Scratch, plain: Telling, part: int) -> None:
    due = {(c, m) for c, chapter in enumerate(plain.chapters) for m in range(part, len(chapter), PARTS)}
    different, crashed = {}, set()
    for moment in range(part, max(map(len, plain.chapters)), PARTS):
        told = await tell(await place.emptied("crashed"), crash_at=moment)
        crashed |= set(told.crashes)
        if problems := told.differs_from(plain):
            different[moment] = problems

    assert different == {}
    assert due - crashed == set()
