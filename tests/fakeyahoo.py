"""Yahoo Finance without a network: a transport for `requests` that answers from memory. Nothing leaves the process.

`FakeYahoo(charts=…, quotes=…, summaries=…, searches=…)` answers what it was given, in the shapes Yahoo uses, and 404 for the
rest (a search that finds nothing is an empty list); `trouble` makes it fail instead: "429", "down", "slow", "500", "html".
`bad` says what becomes of single symbols: (status, body); a round of quotes with one of them in it fails as a whole.
A chart is cut to the time that is asked for, closes, splits and dividends alike, as Yahoo does it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from jobs.feeds.yahoo import clamped

NOT_FOUND = {"code": "Not Found", "description": "No data found, symbol may be delisted"}

UNKNOWN = {
    "quoteSummary": {"result": None, "error": {"code": "Not Found", "description": "Quote not found for symbol"}}
}


class FakeYahoo(BaseAdapter):
    """Answers for `https://`; `asked` keeps (address, time-out) of every request."""

    def __init__(
        self,
        charts: dict[str, Any] | None = None,
        quotes: list[dict[str, Any]] | None = None,
        summaries: dict[str, Any] | None = None,
        searches: dict[str, list[dict[str, Any]]] | None = None,
    ) -> None:
        super().__init__()
        self.summaries, self.searches = summaries or {}, searches or {}
        self.charts, self.rows = charts or {}, quotes or []
        self.bad: dict[str, tuple[int, Any]] = {}
        self.windows: list[tuple[int, int]] = []  # the seconds that each chart was asked for
        self.trouble = ""
        self.trouble_after = 0  # charts that are answered before it begins
        self.asked: list[tuple[str, Any]] = []

    def session(self) -> Any:
        """A clamped session whose requests all come here."""
        session = clamped(requests.Session)
        session.trust_env = False
        for scheme in ("https://", "http://"):
            session.mount(scheme, self)
        return session

    def close(self) -> None:
        """Nothing to close."""

    def send(self, request: Any, timeout: Any = None, **_: Any) -> requests.Response:  # type: ignore[override]
        """The answer to one request."""
        address = urlsplit(request.url)
        data = "/chart/" in address.path or address.path.startswith(("/v7/", "/v10/", "/v1/finance/"))
        answered = len([where for where, _ in self.asked if "/chart/" in where])
        self.asked.append((address.netloc + address.path, timeout))
        trouble = self.trouble if answered >= self.trouble_after else ""
        if trouble == "down":
            raise requests.ConnectionError("no route to host")
        if trouble == "slow":
            raise requests.ReadTimeout("timed out")
        status, body = 404, b""
        if trouble == "429":
            status, body = 429, b"Too Many Requests"
        elif trouble == "500" and data:
            status, body = 500, b"oops"
        elif trouble == "html" and data:
            status, body = 200, b"<html>Will be right back</html>"
        elif address.path.endswith("/getcrumb"):
            status, body = 200, b"crumb"
        elif "/v8/finance/chart/" in address.path:
            status, reply = self._chart(address.path.rsplit("/", 1)[1], parse_qs(address.query))
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        elif "/v10/finance/quoteSummary/" in address.path:
            symbol = unquote(address.path.rsplit("/", 1)[1])
            status = 200 if symbol in self.summaries else 404
            body = json.dumps(self.summaries.get(symbol, UNKNOWN)).encode()
        elif address.path == "/v1/finance/search":
            found = self.searches.get(parse_qs(address.query)["q"][0], [])
            status, body = 200, json.dumps({"explains": [], "count": len(found), "quotes": found, "news": []}).encode()
        elif address.path == "/v7/finance/quote":
            wanted = parse_qs(address.query)["symbols"][0].split(",")
            rows = [row for row in self.rows if row["symbol"] in wanted]
            status, reply = next(
                (self.bad[s] for s in wanted if s in self.bad),
                (200, {"quoteResponse": {"result": rows, "error": None}}),
            )
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        answer = requests.Response()
        answer.status_code, answer.url, answer.request, answer.encoding = status, request.url, request, "utf-8"
        answer.raw, answer._content = io.BytesIO(body), body
        return answer

    def _chart(self, symbol: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        first, last = int(query["period1"][0]), int(query["period2"][0])
        self.windows.append((first, last))
        if symbol in self.bad:
            return self.bad[symbol]
        if symbol in self.charts:
            return 200, cut(self.charts[symbol], first, last)
        return 404, {"chart": {"result": None, "error": NOT_FOUND}}


def cut(reply: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    """A chart's reply with what lies between two seconds."""
    if not reply["chart"]["result"]:
        return reply
    (result,) = reply["chart"]["result"]
    kept = [i for i, at in enumerate(result["timestamp"]) if first <= at <= last]
    events = {
        kind: {k: e for k, e in some.items() if first <= e["date"] <= last} for kind, some in result["events"].items()
    }
    columns = {k: [v[i] for i in kept] for k, v in result["indicators"]["quote"][0].items()}
    inside = result | {
        "timestamp": [result["timestamp"][i] for i in kept],
        "events": events,
        "indicators": {"quote": [columns]},
    }
    return {"chart": {"result": [inside], "error": None}}


def chart(
    symbol: str,
    currency: str,
    closes: dict[int, float | None],
    zone: str = "America/New_York",
    splits: dict[int, tuple[float, float]] | None = None,
    dividends: dict[int, float] | None = None,
) -> dict[str, Any]:
    """A reply of /v8/finance/chart: closes by UTC second, splits as (new shares, old shares), dividends per share."""
    events: dict[str, Any] = {}
    if splits:
        events["splits"] = {str(at): {"date": at, "numerator": n, "denominator": d} for at, (n, d) in splits.items()}
    if dividends:
        events["dividends"] = {str(at): {"date": at, "amount": amount} for at, amount in dividends.items()}
    values = list(closes.values())
    result = {
        "meta": {"currency": currency, "symbol": symbol, "exchangeTimezoneName": zone, "instrumentType": "EQUITY"},
        "timestamp": list(closes),
        "events": events,
        "indicators": {"quote": [{"close": values, "open": values, "volume": [v and 1000 for v in values]}]},
    }
    return {"chart": {"result": [result], "error": None}}


def summary(
    symbol: str,
    exchange: str,
    kind: str,
    currency: str,
    price: float,
    at: int,
    name: str,
    sector: str = "",
    industry: str = "",
    country: str = "",
) -> dict[str, Any]:
    """A reply of /v10/finance/quoteSummary: made up, of the shape that Yahoo's have for the modules that are asked for."""
    about = {"address1": "1 Made-up Way", "country": country, "industry": industry, "sector": sector, "maxAge": 86400}
    parts = {
        "assetProfile": {k: v for k, v in about.items() if v},
        "quoteType": {"exchange": exchange, "quoteType": kind, "symbol": symbol, "longName": name, "maxAge": 1},
        "summaryDetail": {"currency": currency, "previousClose": price, "maxAge": 1},
        "price": {"exchange": exchange, "quoteType": kind, "symbol": symbol, "longName": name, "shortName": name[:12], "currency": currency,
                  "regularMarketPrice": price, "regularMarketPreviousClose": price, "regularMarketTime": at, "marketState": "REGULAR"},
    }  # fmt: skip
    return {"quoteSummary": {"result": [parts], "error": None}}


def hit(symbol: str, exchange: str, kind: str = "EQUITY") -> dict[str, Any]:
    """One row in a reply of /v1/finance/search: made up, of Yahoo's shape."""
    return {"symbol": symbol, "exchange": exchange, "quoteType": kind, "isYahooFinance": True, "index": "quotes"}


@pytest.fixture(autouse=True)
def fresh_yfinance() -> Iterator[None]:
    """yfinance keeps one connection for the whole process: every test gets a new one."""
    yield
    if "yfinance.data" in sys.modules:
        from yfinance.data import SingletonMeta, YfData

        SingletonMeta._instances.clear()
        YfData.cache_get.cache_clear()
