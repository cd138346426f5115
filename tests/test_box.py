"""The box Ballast comes in: settings, make targets, the launcher under every ending, the compose file."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

import settings

LAUNCH = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored, by us as well
sys.path.insert(0, {root!r})
import run
python = sys.executable
sys.exit(run.main(run.Commands(
    setup=(python, "-c", {setup!r}, {word!r}), web=(python, "-c", {web!r}, {word!r}), jobs=(python, "-c", {jobs!r}, {word!r}),
)))
"""
SETUP = "print('tables made')"
WEB = """
import http.server, os
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
address = (os.environ["STREAMLIT_SERVER_ADDRESS"], int(os.environ["STREAMLIT_SERVER_PORT"]))
http.server.ThreadingHTTPServer(address, Healthy).serve_forever()
"""
JOBS = "import time; print('jobs are up'); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('jobs are up'); time.sleep(600)"


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("PORT", "eighty", "1 to 65535"),
        ("PORT", "70000", "1 to 65535"),
        ("DEMO", "maybe", "on or off"),
        ("FEEDS", "yahoo,bloomberg", "replay, yahoo, csv"),
        ("FEEDS", "csv,csv", "replay, yahoo, csv"),
        ("COVERAGE_LIMIT", "98", "0.98"),
        ("COVERAGE_LIMIT", "nan", "0.98"),
        ("QUOTES_EVERY_SECONDS", "0", "1 to 86400"),
        ("SESSION_HOURS", "1.5", "1 to 8760"),
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("WEB_DATABASE_URL", "postgresql://u@h/d", "DATABASE_URL"),
        ("LOG_LEVEL", "loud", "debug"),
        ("LOG_FORMAT", "xml", "json"),
        ("HOST", "my host", "127.0.0.1"),
        ("DATA_DIR", str(ROOT / "Makefile"), "use a folder"),
        ("SMTP_URL", "mail.example.org:25", "smtp://"),
        ("SMTP_URL", "smtp://anna@host", "user:password"),
        ("MAIL_FROM", "a@b.org, c@d.org", "one mail address"),
        ("PUBLIC_URL", "ballast.example.org", "https://"),
        ("WEBHOOK_PRIVATE", "some", "on or off"),
        ("TASK_RETENTION_DAYS", "0", "1 to 36500"),
    ],
)
def test_a_bad_setting_says_which_what_and_what_would_be_right(name: str, value: str, right: str) -> None:
    with pytest.raises(settings.BadSetting) as caught:
        settings.read({name: value})
    assert name in str(caught.value)
    assert value in str(caught.value)
    assert right in str(caught.value)


def test_the_demo_is_refused_on_a_database_of_your_own() -> None:
    with pytest.raises(settings.BadSetting, match="DEMO"):
        settings.read({"DATABASE_URL": "postgresql://u@h/d", "DEMO": "on"})


def test_the_defaults_follow_the_database() -> None:
    alone, yours = settings.read({}), settings.read({"DATABASE_URL": "postgres://u@h/d", "PORT": " "})
    assert (alone.demo, alone.feeds, alone.embedded) == (True, ("replay",), True)
    assert (yours.demo, yours.feeds, yours.embedded) == (False, ("csv",), False)
    assert yours.database_url == "postgresql://u@h/d"
    assert alone.price_csv_dir == alone.data_dir / "prices"


def test_a_password_is_never_shown() -> None:
    url = "postgresql://anna:hush/h@sh@db/ballast?password=hush"
    assert "hush" not in settings.table({"DATABASE_URL": url})
    assert "anna" in settings.table({"DATABASE_URL": url})
    with pytest.raises(settings.BadSetting) as caught:
        settings.read({"WEB_DATABASE_URL": url})
    assert "hush" not in str(caught.value)
    mail = "smtp://anna%40example.org:hush@mail.example.org:587"
    assert "hush" not in settings.table({"SMTP_URL": mail})
    assert settings.read({"SMTP_URL": mail}).mail_from == "anna@example.org"
    with pytest.raises(settings.BadSetting) as caught:
        settings.read({"SMTP_URL": mail + "/inbox"})
    assert "hush" not in str(caught.value)


def test_the_browser_opens_only_where_someone_looks() -> None:
    assert settings.read({"DISPLAY": ":0"}).browser_open
    assert not settings.read({"DISPLAY": ":0", "CI": "1"}).browser_open
    assert not settings.read({"DISPLAY": ":0", "BROWSER_OPEN": "off"}).browser_open


def test_nothing_else_reads_the_environment() -> None:
    reading = re.compile(r"os\.(getenv|environ\.get|environ\[)")
    places = [
        ROOT / "app.py",
        *(p for f in ("pages", "ui", "core", "db", "jobs", "api") for p in (ROOT / f).rglob("*.py")),
    ]
    guilty = [str(place) for place in places if place.exists() and reading.search(place.read_text())]
    assert not guilty


def test_a_bad_setting_ends_a_program_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "settings.py"], cwd=ROOT, env={**os.environ, "PORT": "x"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: PORT='x' cannot be used")
    assert len(done.stderr.splitlines()) == 1


# --- make ----------------------------------------------------------------------------------------


def made(*targets: str) -> str:
    return subprocess.run(["make", "-s", *targets], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_lists_every_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert targets >= {"setup", "run", "test", "check", "bench", "lock", "settings", "help", "clean"}
    assert set(re.findall(r"make (\w+) ", made())) == targets


def test_make_settings_lists_every_variable() -> None:
    shown = made("settings")
    source = (ROOT / "settings.py").read_text()
    read = set(re.findall(r"(?<!\.)\bget\(\s*\"([A-Z_]+)\"", source))
    assert set(settings.names()) == read
    for name in settings.names():
        assert re.search(rf"^{name} ", shown, flags=re.MULTILINE)


# --- containers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_compose_starts_in_order(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    services = compose["services"]
    assert list(services) == ["db", "migrate", "web", "jobs"]
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    for name in ("web", "jobs"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    for name in ("db", "web"):
        assert "test" in services[name]["healthcheck"]  # type: ignore[operator]
    assert [name for name in services if "ports" in services[name]] == ["web"]
    assert all(str(port).startswith("127.0.0.1:") for port in services["web"]["ports"])  # type: ignore[attr-defined]


def test_compose_pins_images_and_holds_no_secret(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for image in [*base, *(str(service["image"]) for service in compose["services"].values())]:
        assert re.fullmatch(r"[a-z]+:\d[\w.-]*", image), image
        assert "alpine" not in image
    text = (ROOT / "docker-compose.yml").read_text()
    required = "${POSTGRES_PASSWORD:?set it}"
    assert set(re.findall(r"PASSWORD: (.*)", text)) == {required}
    assert set(re.findall(r"//ballast:(.*)@", text)) == {required}


def test_compose_runs_what_exists(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    for name, service in compose["services"].items():
        match service.get("command"):
            case ["python", "-m", "streamlit", "run", str(script), *_]:
                assert (ROOT / script).exists(), name
            case ["python", "-m", str(module), *_]:
                path = ROOT / module.replace(".", "/")
                assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
            case None:
                assert name == "db"
            case other:
                pytest.fail(f"{name} runs {other}")


def test_the_image_runs_unprivileged_and_without_compiling_in_secrets() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER ballast" in lines
    assert any("--require-hashes" in line for line in lines)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".data", ".venv"} <= set(ignored)


# --- the launcher --------------------------------------------------------------------------------


class Run:
    """A launcher with stand-ins for the web process and the jobs, and what it says."""

    def __init__(self, folder: Path, port: int, **stand_ins: str) -> None:
        self.folder, self.port = folder, port
        self.word = f"stand-in-{folder.name}-{port}"
        code = LAUNCH.format(root=str(ROOT), word=self.word, **{"setup": SETUP, "web": WEB, "jobs": JOBS, **stand_ins})
        self.output = folder.parent / f"output-{port}.txt"
        environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port), "DEMO": "on", "FEEDS": ""}
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def until(self, text: str, limit: float = 30.0) -> None:
        """Wait until it has said so."""
        deadline = time.monotonic() + limit
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None or text in self.said, self.said
            time.sleep(0.02)

    def children(self, processes: Callable[[str], list[str]]) -> dict[str, int]:
        """The ids of the running stand-ins."""
        lines = [line for line in processes(self.word) if "run.main" not in line]
        return {("web" if "Healthy" in line else "jobs"): int(line.split()[0]) for line in lines}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def launch(tmp_path: Path, port: int) -> Iterator[Callable[..., Run]]:
    """`launch(jobs=…)`: a launcher on a folder with a space in its name; it is gone after the test."""
    runs: list[Run] = []

    def start(at: int = port, **stand_ins: str) -> Run:
        runs.append(Run(tmp_path / "my data", at, **stand_ins))
        return runs[-1]

    yield start
    for each in runs:
        if each.process.poll() is None:
            each.process.terminate()
            each.process.wait(30)


def gone(processes: Callable[[Path | str], list[str]], words: list[Path | str], limit: float = 10.0) -> list[str]:
    """What is still there of all that has one of these words, after the limit at most."""
    deadline = time.monotonic() + limit
    while left := [line for word in words for line in processes(word)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_leaves_nothing(
    how: signal.Signals, launch: Callable[..., Run], processes: Callable[[Path | str], list[str]]
) -> None:
    run = launch()
    run.until("jobs are up")
    assert re.search(r"Started in +[\d.]+ s: database [\d.]+ s, demo [\d.]+ s, web [\d.]+ s", run.said)
    assert f"http://127.0.0.1:{run.port}" in run.said
    assert "demo / demo" in run.said
    assert "tables made" in run.said
    began = time.monotonic()
    run.process.send_signal(how)
    assert run.process.wait(15) == 0
    assert time.monotonic() - began < 5
    assert not gone(processes, [run.folder, run.word], limit=2)
    assert not list(run.folder.rglob(".s.PGSQL*"))


def test_a_terminal_that_hangs_up_stops_it(
    tmp_path: Path, port: int, processes: Callable[[Path | str], list[str]]
) -> None:
    """Only the leader of the terminal's session is told by signal; here that is a shell that does not pass it on."""
    folder, word = tmp_path / "my data", f"stand-in-{port}"
    code = LAUNCH.format(root=str(ROOT), word=word, setup=SETUP, web=WEB, jobs=JOBS)
    environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port), "DEMO": "on", "FEEDS": ""}
    leader, terminal = pty.fork()
    if leader == 0:
        os.execve("/bin/sh", ["sh", "-c", 'trap "" HUP; "$0" -c "$1"; true', sys.executable, code], environment)
    said = b""
    while b"jobs are up" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    os.waitpid(leader, 0)
    assert not gone(processes, [folder, word], limit=5)


def test_killed_it_leaves_nothing(
    launch: Callable[..., Run], processes: Callable[[Path | str], list[str]], port: int
) -> None:
    run = launch(jobs=STUBBORN)
    run.until("jobs are up")
    run.process.kill()
    run.process.wait()
    assert not gone(processes, [run.folder, run.word])
    again = launch()
    again.until("jobs are up")


def test_a_child_that_does_not_listen_is_ended(
    launch: Callable[..., Run], processes: Callable[[Path | str], list[str]]
) -> None:
    run = launch(jobs=STUBBORN)
    run.until("jobs are up")
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    run.process.send_signal(signal.SIGINT)  # the second Ctrl-C does not wait
    assert run.process.wait(15) == 0
    assert time.monotonic() - began < 4
    assert not gone(processes, [run.folder, run.word], limit=2)


def test_what_dies_is_started_again(launch: Callable[..., Run], processes: Callable[[Path | str], list[str]]) -> None:
    run = launch()
    run.until("jobs are up")
    before = run.children(processes)
    assert set(before) == {"web", "jobs"}
    os.kill(before["jobs"], signal.SIGKILL)
    run.until("jobs stopped (signal SIGKILL); starting it again in 1 s")
    postmaster = int((run.folder / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    run.until("the database stopped; starting it again")
    deadline = time.monotonic() + 20
    from db import embedded

    while not embedded.server_pid(run.folder / "postgres") or set(run.children(processes)) != {"web", "jobs"}:
        assert time.monotonic() < deadline, run.said
        time.sleep(0.1)
    after = run.children(processes)
    assert after["web"] == before["web"]
    assert after["jobs"] != before["jobs"]


def test_a_web_process_that_cannot_start_is_said_and_all_is_stopped(
    launch: Callable[..., Run], processes: Callable[[Path | str], list[str]]
) -> None:
    run = launch(web="raise SystemExit('no such page')")
    assert run.process.wait(30) == 1
    assert "no such page" in run.said
    assert "error: the web process stopped before it answered" in run.said
    assert not gone(processes, [run.folder, run.word], limit=2)


def test_a_failed_setup_is_said_and_all_is_stopped(
    launch: Callable[..., Run], processes: Callable[[Path | str], list[str]]
) -> None:
    run = launch(setup="raise SystemExit(3)")
    assert run.process.wait(30) == 1
    assert "error: the database cannot be set up (status 3)" in run.said
    assert not gone(processes, [run.folder, run.word], limit=2)


def test_a_second_one_says_where_the_first_one_is(launch: Callable[..., Run], port: int) -> None:
    first = launch()
    first.until("Ballast is ready")
    second = launch(at=port + 1 if port < 65535 else port - 1)
    assert second.process.wait(15) == 1
    assert (
        f"Ballast already runs on {first.folder}: http://127.0.0.1:{port} (process {first.process.pid})" in second.said
    )
    assert first.process.poll() is None


def test_a_port_in_use_is_named_with_a_way_out(launch: Callable[..., Run], port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        run = launch()
        assert run.process.wait(15) == 1
    assert f"error: port {port} is in use by another program" in run.said
    assert f"PORT={port + 1} make run" in run.said
    assert not (run.folder / "postgres").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(tmp_path / "file" / "data")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: DATA_DIR={tmp_path / 'file' / 'data'}")


# --- the tests themselves ------------------------------------------------------------------------


def test_sockets_stay_on_this_machine() -> None:
    for reach in (
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.getaddrinfo("example.com", 443),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    ):
        with pytest.raises(AssertionError, match="a test tried to"):
            reach()
