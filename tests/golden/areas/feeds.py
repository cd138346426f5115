"""Recorded answers of Yahoo, read as the feed reads them."""

from __future__ import annotations

import functools
import json
import zipfile
from datetime import date
from decimal import Decimal
from typing import Any

from areas import Answers, Inputs, Refused, handles
from areas.datasets import path_of
from core.ledger import Security
from core.money import MINOR_QUOTES, major_quote
from jobs.feeds.yahoo import bars_in

RECORDINGS = "market/yahoo_recorded/node_yahoo_finance2_fixtures.zip"


@functools.cache
def recorded(name: str) -> tuple[int, Any]:
    """(HTTP status, body) of a recording."""
    with zipfile.ZipFile(path_of(RECORDINGS)) as archive:
        if name not in archive.namelist():
            raise Refused(f"no recording {name}")
        response = json.loads(archive.read(name))["response"]
    body = response.get("bodyJson")
    return int(response["status"]), json.loads(response["body"]) if body is None else body


@handles("yahoo_contract")
def chart(i: Inputs) -> Answers:
    """The bars of a chart; `close` is the last one as Yahoo quotes it. What words it finds for an error is not kept: the feed
    only tells a symbol that Yahoo does not know from an answer that cannot be read."""
    status, body = recorded(i["recording"])
    results = (body.get("chart") or {}).get("result") if isinstance(body, dict) else None
    meta = results[0]["meta"] if results else {}
    quoted = meta.get("currency", "")
    held = Security(1, str(meta.get("symbol", "")), "", "XLON", MINOR_QUOTES.get(quoted, quoted), "Equity")
    bars = bars_in(body, held, date.min, date.max) if results else []
    answers: Answers = {"http_status": status, "rows": len(bars)}
    if bars:
        last, per_unit = bars[-1].close, major_quote(Decimal(1), quoted)[0]
        answers |= {"currency": quoted, "close": last / per_unit}
        if held.currency == "GBP":
            answers["value_of_100_shares_gbp"] = 100 * last
    return answers
