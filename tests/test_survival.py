"""The product as a whole: started by its launcher, killed part by part, started again. Every committed row is there."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from product import Product


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
