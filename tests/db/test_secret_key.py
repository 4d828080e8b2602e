"""A database and the secret key it was begun with belong together."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from app.db.session import Tenant
from app.runtime import opened
from app.settings import Settings
from app.vault import WrongSecretKey
from tests.conftest import Urls


async def test_a_service_with_another_secret_key_does_not_start(urls: Urls, tmp_path: Path) -> None:
    """It would take everybody for somebody who has never unsubscribed."""
    first, other = [Settings(database_url=urls.app, data_dir=tmp_path / name) for name in ("first", "other")]
    for _ in range(2):
        async with opened(first) as runtime:
            assert await runtime.db.now()

    with pytest.raises(WrongSecretKey, match="was begun with another LEADKEEPER_SECRET_KEY"):
        async with opened(other):
            pass


async def test_no_role_reads_or_changes_what_the_key_is_known_by(urls: Urls, tmp_path: Path) -> None:
    async with opened(Settings(database_url=urls.app, data_dir=tmp_path)) as runtime:
        for statement in ("SELECT hash FROM secret_key_check", "DELETE FROM secret_key_check"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with runtime.db.transaction(Tenant(None, "operator")) as tx:
                    await tx.run(statement)
