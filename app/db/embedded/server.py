"""One server of a cluster: made, started, joined, left and ended."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from app.db.embedded.account import ENVIRONMENT, PATIENCE, Account, EmbeddedPostgresError
from app.db.embedded.places import PORT, locked, socket_folder

OWNER = "leadkeeper_owner"

_POLL = 0.02
_UNSAFE = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


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
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={PORT}"

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
                stack.enter_context(locked(self.place))
            if _let_go(self.used.pop()) or (immediate and self.process):
                self.end(signal.SIGQUIT if immediate else signal.SIGINT)

    def end(self, number: int) -> None:
        """Ends the server with a signal, or at once where that takes too long."""
        for attempt in (number, signal.SIGQUIT):
            if self.is_alive:
                os.kill(self.pid, attempt)
            deadline = time.monotonic() + PATIENCE
            while self.is_alive and time.monotonic() < deadline:
                time.sleep(_POLL)
        if self.socket != self.data:
            with contextlib.suppress(OSError):
                self.socket.rmdir()


def initialise(binaries: Path, cluster: Path, account: Account, *, fast_unsafe: bool) -> None:
    """Makes a cluster."""
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
        *(("--no-sync",) if fast_unsafe else ()),
    )
    if result.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise EmbeddedPostgresError(
            f"PostgreSQL could not make a cluster in {cluster}: mend what it says here or set DATABASE_URL. "
            f"{_last_lines(result.stderr)}"
        )
    fresh.rename(cluster)


def attach(binaries: Path, cluster: Path) -> EmbeddedPostgres | None:
    """Joins the server that runs a cluster; None where none does."""
    deadline = time.monotonic() + PATIENCE
    while (noted := _noted(cluster)) is not None:
        pid, socket = noted
        if _answers(binaries, socket):
            return EmbeddedPostgres(data=cluster, socket=socket, pid=pid)
        if not _is_alive(pid):
            return None
        if not _is_postgres(pid):
            # killed with its container; after the restart its pid is another program's, and PostgreSQL would not start
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            (socket / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
            return None
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"The PostgreSQL of {cluster} (pid {pid}) has not answered for {PATIENCE:.0f} seconds: "
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


def launch(binaries: Path, cluster: Path, account: Account, *, fast_unsafe: bool) -> EmbeddedPostgres:
    """Starts a cluster's server and waits until it answers."""
    socket = socket_folder(cluster, account)
    settings = [
        f"unix_socket_directories={socket}",
        "unix_socket_permissions=0700",
        "listen_addresses=",
        f"port={PORT}",
    ]
    settings += _UNSAFE if fast_unsafe else ()
    log = os.open(cluster / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        account.own(log)
        before = os.fstat(log).st_size
        process = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
            (binaries / "postgres", "-D", cluster, *(f"--{setting}" for setting in settings)),
            user=account.user,
            group=account.group,
            extra_groups=None if account.user is None else [],
            umask=0o077,
            cwd="/",
            env=ENVIRONMENT,
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
    deadline = time.monotonic() + PATIENCE
    while not _answers(binaries, server.socket):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            what = "did not start" if ended else f"did not answer within {PATIENCE:.0f} seconds"
            raise EmbeddedPostgresError(
                f"The PostgreSQL of {server.data} {what}: mend what its log says here or set DATABASE_URL. "
                f"{_last_lines(_read_log(server.data, log_start))}"
            )
        time.sleep(_POLL)


def take(cluster: Path) -> int:
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
    command = (binaries / "pg_isready", "-q", "-h", socket, "-p", str(PORT), "-U", OWNER, "-d", "postgres")
    return Account().run(*command).returncode == 0


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


def _read_log(cluster: Path, begin: int = 0) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (cluster / "log").read_bytes()[begin:].decode(errors="replace")
    return ""


def _last_lines(text: str) -> str:
    return "Its last words: " + (" | ".join(text.strip().splitlines()[-5:]) or "none")
