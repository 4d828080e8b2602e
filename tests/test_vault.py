"""The key that an installation makes for itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.vault import NoLocalKey, local_key


def test_a_local_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made, again = local_key(tmp_path / "data"), local_key(tmp_path / "data")

    assert made == again
    assert len(made) == 43
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "data", tmp_path / "data/secret.key")] == [0o700, 0o600]


@pytest.mark.parametrize("left", ["", "\n", "abc"])
def test_a_local_key_that_was_cut_short_is_not_gone_by(tmp_path: Path, left: str) -> None:
    (tmp_path / "secret.key").write_text(left)

    with pytest.raises(NoLocalKey, match=r"secret\.key holds no key: put back"):
        local_key(tmp_path)


def test_those_that_start_at_the_same_moment_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: local_key(tmp_path), range(64)))

    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
