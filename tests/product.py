"""The whole product as tests start it: `run.py` on a data folder of its own, and the plain HTTP to talk to it."""

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
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
