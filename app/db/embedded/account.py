"""Whom the embedded server runs as: PostgreSQL refuses to run as root, so root lends it to an unprivileged account."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.errors import LeadkeeperError

#: Seconds that a server, or another starter, is waited for.
PATIENCE = 30.0
#: nothing of the caller's PG* variables, locale or time zone reaches the server
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


class EmbeddedPostgresError(LeadkeeperError):
    """The embedded PostgreSQL could not be started or reached."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as; None: whoever we are."""

    user: int | None = None
    group: int | None = None

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own argument list, no shell
            command,
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            umask=0o077,
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=4 * PATIENCE,
            check=False,
        )

    def may_use(self, path: Path) -> bool:
        """Asks the kernel, as that account: modes alone do not know of access lists and mount options."""
        return self.user is None or self.run("/bin/sh", "-c", 'test -x "$1"', "sh", path).returncode == 0

    def own(self, path: Path | int) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def make_private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.own(folder)


def is_cluster(folder: Path) -> bool:
    """Tells whether a folder holds a cluster."""
    return (folder / "PG_VERSION").is_file()


def account_of(cluster: Path) -> Account:
    """Returns who runs a cluster: its owner, and for one still to be made whoever root can lend it to."""
    if os.geteuid() != 0:
        return Account()
    if is_cluster(cluster):
        owner = cluster.stat()
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody: "
        "run Leadkeeper as an ordinary user or set DATABASE_URL."
    )


def is_ours(folder: Path, user: int, *, forbidden: int) -> bool:
    """Claims that nobody else can have put this folder there, or can change what is in it."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & forbidden
