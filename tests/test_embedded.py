"""The embedded PostgreSQL under bad luck: odd folders, several processes, killed holders, a killed server."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT

from db import embedded
from db.embedded import Embedded, EmbeddedError

HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from db.embedded import Embedded
held = Embedded(sys.argv[2], throwaway=True).start()
print("held", held.pid(), flush=True)
sys.stdin.readline()
held.release()
print("released", flush=True)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a space and an accent, gone after the test together with whatever holds it."""
    base = Path(tempfile.mkdtemp(prefix="ballast-embedded-"))
    data_dir = base / "données de test" / "a"
    yield data_dir
    embedded.stop_server(embedded.server_dir(data_dir), embedded.socket_dir(data_dir), limit=2)
    while base.exists():  # a guard on its way out may still write a lock file
        shutil.rmtree(base, ignore_errors=True)


def holder(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that holds the server until a line comes in."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(ROOT), str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().startswith("held")
    return process


def soon(condition: Callable[[], bool], limit: float = 10.0) -> bool:
    """Whether the condition comes true within the limit."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def rows(held: Embedded) -> int:
    with psycopg.connect(held.conninfo(dbname="postgres")) as connection:
        found = connection.execute("SELECT count(*) FROM committed").fetchone()
    return found[0] if found else -1


def test_a_folder_with_a_space_and_an_accent_serves_and_leaves_nothing(
    folder: Path, processes: Callable[[Path], list[str]]
) -> None:
    held = Embedded(folder, throwaway=True).start()
    assert held.start() is held
    assert held.alive()
    assert stat.S_IMODE(held.socket_dir.stat().st_mode) == 0o700
    with psycopg.connect(held.conninfo(dbname="postgres")) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
    held.release()
    held.release()
    assert not held.alive()
    assert soon(lambda: not processes(folder)), processes(folder)
    assert not list(folder.rglob(".s.PGSQL*"))


def test_it_is_durable_unless_thrown_away(folder: Path) -> None:
    held = Embedded(folder).start()
    try:
        with psycopg.connect(held.conninfo(dbname="postgres")) as connection:
            shown = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
    finally:
        held.release()
    assert shown == [("on",), ("on",)]


def test_a_folder_too_long_for_a_socket_gets_a_private_one(folder: Path) -> None:
    long = folder / ("x" * 120)
    held = Embedded(long, throwaway=True).start()
    try:
        assert held.socket_dir.parent == Path("/tmp")
        assert stat.S_IMODE(held.socket_dir.stat().st_mode) == 0o700
        assert held.alive()
    finally:
        held.release()
    assert not held.socket_dir.exists()


def test_a_folder_with_a_comma_and_quotes_serves(folder: Path) -> None:
    held = Embedded(folder / 'it\'s, "so" \\ to say', throwaway=True).start()
    try:
        assert held.alive()
    finally:
        held.release()


def test_somebody_elses_socket_folder_is_refused(folder: Path) -> None:
    long = folder / ("y" * 120)
    place = embedded.socket_dir(long)
    place.symlink_to("/tmp")
    try:
        with pytest.raises(EmbeddedError, match="somebody else"):
            Embedded(long, throwaway=True).start()
    finally:
        place.unlink()


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(folder: Path) -> None:
    other = holder(folder)
    held = Embedded(folder, throwaway=True).start()
    pid = held.pid()
    other.communicate("\n", timeout=30)
    assert held.alive()
    assert held.pid() == pid
    held.release()
    assert not held.alive()


def test_processes_may_race_to_start_it(folder: Path) -> None:
    folder.mkdir(parents=True)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(ROOT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.stdout.readline() for process in started if process.stdout]
    assert len(set(said)) == 1
    assert said[0].startswith("held")
    for process in started:
        process.communicate("\n", timeout=30)
    assert not Embedded(folder).alive()


def test_a_killed_holder_leaves_nothing(folder: Path, processes: Callable[[Path], list[str]]) -> None:
    other = holder(folder)
    other.kill()
    other.wait()
    assert soon(lambda: not processes(folder)), processes(folder)
    held = Embedded(folder, throwaway=True).start()
    assert held.alive()
    held.release()


def test_a_killed_holder_does_not_take_the_server_from_the_others(folder: Path) -> None:
    other = holder(folder)
    held = Embedded(folder, throwaway=True).start()
    other.kill()
    other.wait()
    time.sleep(1.5)
    assert held.alive()
    held.release()
    assert not held.alive()


def test_what_was_committed_is_there_after_the_server_was_killed(folder: Path) -> None:
    held = Embedded(folder).start()
    try:
        with psycopg.connect(held.conninfo(dbname="postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE committed (n integer)")
            for number in range(500):
                connection.execute("INSERT INTO committed VALUES (%s)", (number,))
            pid = held.pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        assert soon(lambda: not held.alive())
        began = time.monotonic()
        assert held.ensure_running()
        assert time.monotonic() - began < 10
        assert rows(held) == 500
        assert not held.ensure_running()
    finally:
        held.release()
    assert not held.alive()


def test_a_reused_process_id_does_not_keep_it_from_starting(folder: Path) -> None:
    Embedded(folder, throwaway=True).start().release()
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        data = embedded.server_dir(folder)
        lines = [str(sleeper.pid), str(data), "1", "5432", str(data), "", "", "ready"]
        (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
        (data / ".s.PGSQL.5432.lock").write_text("\n".join(lines) + "\n")
        assert embedded.server_pid(data) is None
        held = Embedded(folder, throwaway=True).start()
        assert held.alive()
        held.release()
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_an_interrupted_first_start_is_begun_again(folder: Path) -> None:
    half = folder / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    held = Embedded(folder, throwaway=True).start()
    assert held.alive()
    held.release()


def test_an_older_cluster_is_left_alone_and_named(folder: Path) -> None:
    data = embedded.server_dir(folder)
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="PostgreSQL 16, this is 18"):
        Embedded(folder, throwaway=True).start()
    (data / "PG_VERSION").unlink()
    (data / "mine.txt").write_text("not yours")
    with pytest.raises(EmbeddedError, match="move it away"):
        Embedded(folder, throwaway=True).start()
    assert (data / "mine.txt").exists()


def test_the_environment_of_the_user_does_not_lead_astray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGDATA": "/nowhere",
        "PGHOST": "/nowhere",
        "PGUSER": "nobody",
    }.items():
        monkeypatch.setenv(name, value)
    held = Embedded(folder, throwaway=True).start()
    assert held.alive()
    held.release()


def test_hold_brings_the_server_of_the_settings_and_knows_your_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import settings

    monkeypatch.setattr(settings, "settings", settings.read({"DATA_DIR": str(folder)}))
    with embedded.hold() as held:
        assert held is not None
        assert held.alive()
        assert embedded.conninfo("ballast_web") == held.conninfo("ballast_web")
    assert not held.alive()
    monkeypatch.setattr(settings, "settings", settings.read({"DATABASE_URL": "postgresql://u@h/d"}))
    with embedded.hold() as held:
        assert held is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the processes from /proc")
def test_the_server_stays_small(folder: Path, processes: Callable[[Path], list[str]]) -> None:
    held = Embedded(folder).start()
    try:
        with psycopg.connect(held.conninfo(dbname="postgres")) as connection:
            connection.execute("SELECT sum(n * random()) FROM generate_series(1, 200000) AS n ORDER BY 1").fetchone()
            pids = [int(line.split()[0]) for line in processes(folder)]
            rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    finally:
        held.release()
    kilobytes = sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:"))
    assert 10_000 < kilobytes < 120_000
