"""What every test may ask for: a real PostgreSQL, connections by role, a browser, the data folder beside us.

    server      the throw-away PostgreSQL of this test process (its own DATA_DIR, no durability), migrated
    database    a fresh `ballast` database for tests that commit: .conninfo(role) .owner() .jobs() .web(user)
    owner, jobs one connection with that role; web(user_id) makes one that acts for a user
                (without `database` they are rolled back, refuse to commit and do not see each other's work)
    shared      the folder ../shared, or a skip
    chromium    a headless browser, or a skip
    processes   what is alive with a given word in its command line or working folder
    no_network  sockets beyond loopback are refused (always on)

The environment is set before anything reads it: the product's own code, in this process or started by a test,
finds this test process's database through `settings` without being told.
"""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import psycopg
import pytest

if TYPE_CHECKING:
    from uuid import UUID

    from playwright.sync_api import Browser

    from db.embedded import Embedded

ROOT = Path(__file__).resolve().parent.parent
NOWHERE = "http://127.0.0.1:9"  # libraries that bring their own sockets end at this proxy
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))

_DATA_DIR = Path(tempfile.mkdtemp(prefix="ballast-test-"))
atexit.register(shutil.rmtree, _DATA_DIR, ignore_errors=True)
sys.path.insert(0, str(ROOT))
for _name in [name for name in os.environ if name.startswith("PG") or name in ("DATABASE_URL", "WEB_DATABASE_URL")]:
    del os.environ[_name]
os.environ |= {"DATA_DIR": str(_DATA_DIR), "DEMO": "off", "BROWSER_OPEN": "off", "FEEDS": "csv"}
os.environ |= {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "http_proxy": NOWHERE, "https_proxy": NOWHERE}
os.environ |= {"NO_PROXY": "127.0.0.1,localhost,::1", "no_proxy": "127.0.0.1,localhost,::1"}


hypothesis.settings.register_profile("ballast", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ballast")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their place: packed ones hold the time they were packed at, and each worker must find the same names."""
    return argname if isinstance(val, bytes) else None


# --- the network ---------------------------------------------------------------------------------


class OutsideSocket(AssertionError):
    """A test tried to leave this machine."""


def _stays_here(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every socket beyond loopback and unix, and every name that would be looked up."""

    def check(family: int, address: Any) -> None:
        if family in (socket.AF_INET, socket.AF_INET6) and not _stays_here(address[0]):
            raise OutsideSocket(f"a test tried to reach {address[0]}:{address[1]}; record the reply instead")

    def guarded(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def call(self: socket.socket, *arguments: Any) -> Any:
            check(self.family, arguments[-1])
            return original(self, *arguments)

        return call

    looked_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        if not _stays_here(host) and host != "0.0.0.0":
            raise OutsideSocket(f"a test tried to look up {host!r}; record the reply instead")
        return looked_up(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, guarded(name))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


# --- the database --------------------------------------------------------------------------------

TEMPLATE = "ballast_template"
DATABASE = "ballast"
_state = {"clean": False}


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> None:
    """Passwords are hashed with argon2id at its cheapest here: its full cost was more than half of the suite's set-up."""
    from argon2 import PasswordHasher

    from db import access

    access._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session")
def server() -> Iterator[Embedded]:
    """The throw-away PostgreSQL of this test process, with the newest schema in its template database."""
    from db import migrate
    from db.embedded import Embedded

    running = Embedded(_DATA_DIR, throwaway=True).start()
    try:
        migrate.ensure_database(running.conninfo(dbname="postgres"), TEMPLATE)
        migrate.migrate(running.conninfo(dbname=TEMPLATE))
        _renew(running)
        yield running
    finally:
        _forget_pools()
        running.release()


class RolledBack(psycopg.Connection[Any]):
    """A connection whose work is undone after the test."""

    def commit(self) -> None:
        raise AssertionError("this test commits: let it ask for the `database` fixture too")


class Database:
    """A fresh `ballast` database: what is committed here is gone before the next test."""

    def __init__(self, running: Embedded, stack: ExitStack) -> None:
        self.server = running
        self._stack = stack

    def conninfo(self, role: str = "ballast_owner") -> str:
        """How to connect with a role; the product's own code finds this database by itself."""
        return self.server.conninfo(role, DATABASE)

    def connect(
        self,
        role: str,
        user_id: UUID | str | None = None,
        kind: type[psycopg.Connection[Any]] = psycopg.Connection,
    ) -> psycopg.Connection[Any]:
        """A connection that is closed after the test, acting for a user where one is given."""
        connection = self._stack.enter_context(closing(kind.connect(self.conninfo(role))))
        if user_id is not None:  # the product sets it for each transaction; here the whole session is one user's
            connection.execute("SELECT set_config('app.user_id', %s, false)", (str(user_id),))
            if kind is psycopg.Connection:
                connection.commit()
        return connection

    def owner(self) -> psycopg.Connection[Any]:
        return self.connect("ballast_owner")

    def jobs(self) -> psycopg.Connection[Any]:
        return self.connect("ballast_jobs")

    def web(self, user_id: UUID | str | None = None) -> psycopg.Connection[Any]:
        return self.connect("ballast_web", user_id)


@pytest.fixture
def _here(server: Embedded, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A clean database; left clean unless the test asked for `database`."""
    if not _state["clean"]:
        _renew(server)
    if "database" in request.fixturenames:
        _state["clean"] = False
    with ExitStack() as stack:
        yield Database(server, stack)


@pytest.fixture
def database(_here: Database) -> Database:
    """A fresh database for a test that commits, or whose code opens connections of its own."""
    return _here


@pytest.fixture
def _kind(request: pytest.FixtureRequest) -> type[psycopg.Connection[Any]]:
    return psycopg.Connection if "database" in request.fixturenames else RolledBack


@pytest.fixture
def owner(_here: Database, _kind: type[psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
    """A connection as the role that owns the tables."""
    return _here.connect("ballast_owner", kind=_kind)


@pytest.fixture
def jobs(_here: Database, _kind: type[psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
    """A connection as the role of the scheduled process."""
    return _here.connect("ballast_jobs", kind=_kind)


@pytest.fixture
def web(
    _here: Database, _kind: type[psycopg.Connection[Any]]
) -> Callable[[UUID | str | None], psycopg.Connection[Any]]:
    """`web(user_id)`: a connection as the role of the web process, acting for that user, or nobody."""
    return lambda user_id=None: _here.connect("ballast_web", user_id, kind=_kind)


def _renew(running: Embedded, template: str = TEMPLATE) -> None:
    """Put a copy of a template in the place of the database."""
    _copy(running, template, DATABASE)
    _state["clean"] = template == TEMPLATE


def keep_as(running: Embedded, template: str) -> None:
    """Keep the database as it is now under a name that `_renew` can copy from."""
    _copy(running, DATABASE, template)


def _copy(running: Embedded, source: str, target: str) -> None:
    _forget_pools()
    with psycopg.connect(running.conninfo(dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {target} TEMPLATE {source}")


def _forget_pools() -> None:
    """Close the product's own connections in this process: they would keep the database, or outlive it."""
    engine = sys.modules.get("db.engine")
    close = getattr(engine, "close", None)
    if close is not None:
        close()
    for name in ("db.books", "db.reports"):  # kept by version, and every database starts at the same versions
        forget = getattr(sys.modules.get(name), "forget", None)
        if forget is not None:
            forget()


# --- things that may be missing ------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the checkout; the test is skipped where there is none."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"there is no data folder at {folder}")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium (CHROMIUM names another one); the test is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}; name one in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


# --- processes -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def processes() -> Callable[[Path | str], list[str]]:
    """`processes(word)`: what is alive (no zombies) with it in the command line or as working folder."""
    import psutil

    def alive(word: Path | str) -> list[str]:
        found = []
        for each in psutil.process_iter(["pid", "cmdline", "status"]):
            line = " ".join(each.info["cmdline"] or [])
            try:
                here = each.cwd()
            except (psutil.Error, OSError):
                here = ""
            if each.info["status"] == psutil.STATUS_ZOMBIE or each.pid == os.getpid():
                continue
            if str(word) in line or here.startswith(str(word)):
                found.append(f"{each.pid} {line}")
        return found

    return alive
