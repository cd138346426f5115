"""Risk-free rates as people write them: a share of one or a percentage, by currency or by day."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal, InvalidOperation


class BadRate(ValueError):
    """A rate that cannot be read: names the field, the value and what would be right."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {value!r} {expected}")
        self.field, self.value, self.expected = field, value, expected


def rate_of(text: str, where: str) -> Decimal:
    """An effective annual rate as a fraction, from "4.25%" or "0.0425". Raises BadRate: a bare 4.25 may mean either."""
    said = text.strip()
    try:
        rate = Decimal(said.removesuffix("%").strip()) / (100 if said.endswith("%") else 1)
    except InvalidOperation:
        raise BadRate(where, text, "is no rate; write 4.25% or 0.0425") from None
    if not rate.is_finite() or not -1 < rate < 1:
        raise BadRate(where, text, "is not between -100 % and 100 % a year; write 4.25% or 0.0425")
    return rate


def rates_of(text: str) -> list[tuple[date, Decimal]]:
    """The dated rates of a CSV with the columns `date` and `rate`, oldest first. Raises BadRate, naming the line."""
    reader = csv.DictReader(io.StringIO(text))
    if reader.fieldnames is None or not {"date", "rate"} <= {name.strip().lower() for name in reader.fieldnames}:
        raise BadRate("first line", ", ".join(reader.fieldnames or ()), "must name the columns date and rate")
    found: dict[date, Decimal] = {}
    for line, row in enumerate(reader, 2):
        cells = {str(k).strip().lower(): (v or "").strip() for k, v in row.items()}
        if not cells["rate"]:
            continue
        try:
            on = date.fromisoformat(cells["date"][:10])
        except ValueError:
            raise BadRate(f"line {line}, date", cells["date"], "is no date such as 2026-03-31") from None
        found[on] = rate_of(cells["rate"], f"line {line}, rate")
    return sorted(found.items())


def by_currency(text: str) -> tuple[tuple[str, Decimal], ...]:
    """ "USD=4.25%, EUR=2%" as pairs; nothing is none. Raises BadRate."""
    out = []
    for part in filter(str.strip, text.split(",")):
        currency, is_there, rate = part.partition("=")
        if not is_there or len(currency.strip()) != 3 or not currency.strip().isalpha():
            raise BadRate("rates", part.strip(), "is no pair of currency and rate; write USD=4.25%")
        out.append((currency.strip().upper(), rate_of(rate, currency.strip().upper())))
    return tuple(out)
