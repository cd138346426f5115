"""The product as a whole: started by its launcher, killed part by part, started again. Every committed row is there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import ROOT

from db import embedded


class Product:
    """`run.py` on a data folder of its own."""

    def __init__(self, data: Path, log: Path) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.data, self.log, self.token = data, log, ""
        self.launcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "DATA_DIR": str(self.data), "PORT": str(self.port), "DEMO": "on", "FEEDS": "replay", "BROWSER_OPEN": "off",
                       "DATABASE_URL": ""}  # fmt: skip
        with self.log.open("ab") as out:
            self.launcher = subprocess.Popen(
                [sys.executable, str(ROOT / "run.py")], cwd=ROOT, env=environment, stdout=out, stderr=out
            )
        self.until(lambda: self.get("/api/health")["status"] in ("ok", "degraded"), 120)
        answer = self.send("/api/v1/auth/login", {"username": "demo", "password": "demo"})
        self.token = answer["access_token"]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        assert self.launcher is not None
        self.launcher.send_signal(how)
        self.launcher.wait(30)

    def parts(self, word: str) -> list[psutil.Process]:
        assert self.launcher is not None
        found = []
        for p in psutil.Process(self.launcher.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if word in " ".join(p.cmdline()):
                    found.append(p)
        return found

    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((embedded.server_dir(self.data) / "postmaster.pid").read_text().split()[0]))

    def get(self, path: str) -> Any:
        return self.send(path, None)

    def send(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError, psutil.Error):
                if true():
                    return
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; the log ends:\n" + self.log.read_text()[-3000:])
            time.sleep(0.2)

    def deposits(self, portfolio: str) -> set[str]:
        rows = self.get(f"/api/v1/reports/transactions?portfolio={portfolio}")["rows"]
        return {row["note"] for row in rows if row["note"].startswith("survival")}


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    made = Product(tmp_path / "data", tmp_path / "log.txt")
    made.start()
    yield made
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        made.stop()


def test_every_committed_row_survives_kill_9_of_each_part(product: Product) -> None:
    portfolio = product.get("/api/v1/portfolios")[0]["portfolio_id"]
    booked: set[str] = set()

    def book(note: str) -> None:
        draft = {
            "kind": "deposit",
            "date": "2026-01-05",
            "gross": "12.34",
            "currency": "USD",
            "note": f"survival {note}",
        }
        product.send(f"/api/v1/transactions?portfolio={portfolio}", draft)
        booked.add(f"survival {note}")

    total = product.get(f"/api/v1/reports/overview?portfolio={portfolio}")["figures"][0]["value"]
    assert float(total) > 0
    for part, kill in {
        "web": lambda: product.parts("streamlit")[0].kill(),
        "scheduler": lambda: product.parts("jobs")[0].kill(),
        "postmaster": lambda: product.postmaster().kill(),
    }.items():
        for n in range(5):
            book(f"{part} {n}")
        kill()
        product.until(lambda: product.get("/api/health")["status"] == "ok", 60)
        product.until(lambda: product.deposits(portfolio) == booked, 30)
    for n in range(3):
        book(f"all {n}")
    everything = [*product.parts(""), product.postmaster(), psutil.Process(product.launcher.pid)]  # type: ignore[union-attr]
    for p in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            p.kill()
    product.launcher.wait(10)  # type: ignore[union-attr]
    product.start()
    assert product.deposits(portfolio) == booked
    product.stop()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(product.data) in " ".join(p.info["cmdline"] or [])]
