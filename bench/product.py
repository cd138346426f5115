"""The real product with the demo, started in a temporary folder for a while; and the same pages with Streamlit's defaults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from db import embedded
from settings import ROOT

START_LIMIT = 180.0  # seconds for the demo and the first answer


@dataclass(frozen=True)
class Running:
    """A product that answers."""

    address: str
    data_dir: Path
    launcher: psutil.Process

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Its processes: web, scheduler, database."""
        children = self.launcher.children()
        server = embedded.server_pid(embedded.server_dir(self.data_dir))
        database = [psutil.Process(server)] if server else []
        return {
            "web": [p for p in children if "streamlit" in p.cmdline()],
            "scheduler": [p for p in children if p.cmdline()[-2:] == ["-m", "jobs"]],
            "database": database + [c for p in database for c in p.children(recursive=True)],
        }


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def environment(data_dir: Path, port: int) -> dict[str, str]:
    """The environment of a product of our own: nothing of ours leads it elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "STREAMLIT_")) and name not in ("DATABASE_URL", "WEB_DATABASE_URL")
    }
    ours = {"DATA_DIR": str(data_dir), "PORT": str(port), "HOST": "127.0.0.1", "DEMO": "on", "FEEDS": "replay"}
    return kept | ours | {"BROWSER_OPEN": "off", "LOG_LEVEL": "warning", "PYTHONPATH": str(ROOT)}


@contextmanager
def started(command: list[str], data_dir: Path, port: int) -> Iterator[psutil.Process]:
    """A process that answers on the port; stopped afterwards, whatever it started with it."""
    with (data_dir / f"log.{port}").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(data_dir, port), stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_LIMIT
        while not _answers(f"http://127.0.0.1:{port}/_stcore/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (data_dir / f"log.{port}").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{command} does not answer:\n{said}")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def product() -> Iterator[Running]:
    """The product as `make run` starts it."""
    folder, port = Path(tempfile.mkdtemp(prefix="ballast-bench-")), free_port()
    try:
        with started([sys.executable, "run.py"], folder, port) as launcher:
            yield Running(f"http://127.0.0.1:{port}", folder, launcher)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def defaults(beside: Running) -> Iterator[Running]:
    """The same pages on the same database by a second web process with Streamlit's defaults."""
    port = free_port()
    with started([sys.executable, "-m", "bench.defaults"], beside.data_dir, port) as web:
        yield Running(f"http://127.0.0.1:{port}", beside.data_dir, web)


def cookie(address: str) -> str:
    """Sign in as the demo's user; the cookie as a header."""
    request = urllib.request.Request(
        f"{address}/api/v1/auth/login",
        json.dumps({"username": "demo", "password": "demo"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.headers["Set-Cookie"].split(";")[0])


def people(address: str, count: int, seconds: float, think: float, pause: float = 0.0) -> subprocess.Popen[bytes]:
    """So many people in a process of their own, see `bench.people`."""
    command = [
        sys.executable,
        "-m",
        "bench.people",
        address,
        cookie(address),
        *map(str, (count, seconds, think, pause)),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
