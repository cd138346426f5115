"""The root of the site as the server has it: probes are told the truth, and what is no page is not found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from small import Small, TestClient, installed

from db import runs


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


@pytest.fixture(scope="module")
def site(small: Small) -> Iterator[TestClient]:
    """The whole site: pages, API, and what is beside them."""
    from app import app

    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ready", "/readyz", "/api/health"])
def test_a_probe_is_told_how_it_is(site: TestClient, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["database"] == "ok"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert site.head(path).status_code in (200, 405)


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ready", "/readyz", "/api/health"])
def test_a_probe_is_red_without_a_database(site: TestClient, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    down = {
        "time": None,
        "database": "unreachable",
        "schema": None,
        "scheduler_last_success": None,
        "quotes_updated": None,
    }
    monkeypatch.setattr(runs, "health", lambda: down)
    answer = site.get(path)
    assert (answer.status_code, answer.json()["status"]) == (503, "down")


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/live", "/livez", "/status", "/ping", "/actuator/health", "/health/x", "/.env", "/wp-login.php", "/holdings/metrics",
     "/_main", "/Holdings"],
)  # fmt: skip
def test_what_is_no_page_is_not_found(site: TestClient, path: str) -> None:
    assert site.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/holdings",
        "/admin",
        "/securities",
        "/?portfolio=x",
        "/favicon.png",
        "/api/docs",
        "/_stcore/health",
        "/assets/icon.svg",
    ],
)
def test_what_is_there_is_found(site: TestClient, path: str) -> None:
    assert site.get(path).status_code == 200
