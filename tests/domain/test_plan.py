"""Planning and applying, beside the cases and stories of the merge policy."""

from __future__ import annotations

import pytest

from app.domain.plan import apply
from tests.domain.builders import lead


def test_an_action_that_nobody_knows_is_refused_and_not_skipped() -> None:
    with pytest.raises(AssertionError):
        apply(lead(), [], ["clear everything"])  # type: ignore[list-item]
