"""Makes the demo's three ledgers: `python -m demo.make_ledgers` writes us-core.csv, europe-base.csv, active-income.csv.

Real dates and prices of 2018–2022; the loader moves the dates. The same program makes the same files. To change the
character of a portfolio, change its function below; to add one, write a function and its line in `main`.
"""

from __future__ import annotations

import csv
import random
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import numpy as np

from core.fx import day_number, day_of
from jobs.feeds.replay import real, real_rates

FIRST, LAST = date(2018, 1, 2), date(2022, 12, 28)
COLUMNS = (
    "date",
    "kind",
    "symbol",
    "quantity",
    "price",
    "gross",
    "fees",
    "taxes",
    "currency",
    "fx",
    "note",
    "reference",
)
CENT = Decimal("0.01")
SAMPLE = "sample amount: the prices shown are adjusted for dividends already"


class Desk:
    """Books rows and keeps cash and units, so that nothing is sold or spent that is not there."""

    def __init__(self, name: str, base: str, seed: int) -> None:
        self.name, self.base, self.random = name, base, random.Random(seed)
        self.rows: list[dict[str, str]] = []
        self.cash: dict[str, Decimal] = {}
        self.units: dict[str, Decimal] = {}

    def close(self, on: date, symbol: str) -> float:
        data = real()
        return float(data.closes[np.searchsorted(data.days, day_number(on)), data.symbols.index(symbol)])

    def price(self, on: date, symbol: str) -> Decimal:
        """What a trade got: the close, give or take four hundredths of a per cent."""
        close = self.close(on, symbol) * (1 + self.random.uniform(-4e-4, 4e-4))
        return Decimal(str(close)).quantize(CENT if close > 20 else Decimal("0.0001"))

    def fx(self, on: date) -> Decimal:
        """Euros for one dollar, at the ECB's rate of the day."""
        ecb = real_rates()
        row = int(np.searchsorted(ecb.days, day_number(on), side="right")) - 1
        return Decimal(str(1 / ecb.closes[row, ecb.symbols.index("USD")])).quantize(Decimal("0.000001"))

    def value(self, on: date) -> dict[str, float]:
        return {s: float(u) * self.close(on, s) for s, u in self.units.items() if u}

    def money(self, on: date, kind: str, amount: str | Decimal, currency: str, note: str, **more: str) -> None:
        """Deposit, withdrawal, interest, fee, tax, dividend: moves cash by its gross, less taxes."""
        gross = Decimal(amount).quantize(CENT)
        out = kind in ("withdrawal", "fee", "tax")
        self._move(currency, (-gross if out else gross) - Decimal(more.get("taxes", "0")), on)
        self._row(on, kind, gross=str(gross), currency=currency, note=note, **more)

    def buy(
        self, on: date, symbol: str, units: Decimal, fees: Decimal, fx: Decimal | None = None, note: str = ""
    ) -> None:
        price = self.price(on, symbol)
        self.units[symbol] = self.units.get(symbol, Decimal(0)) + units
        self._trade(on, "buy", symbol, units, price, fees, fx, note, -((units * price).quantize(CENT) + fees))

    def sell(
        self, on: date, symbol: str, units: Decimal, fees: Decimal, fx: Decimal | None = None, note: str = ""
    ) -> None:
        price = self.price(on, symbol)
        self.units[symbol] -= units
        assert self.units[symbol] >= 0, (on, symbol)
        self._trade(on, "sell", symbol, units, price, fees, fx, note, (units * price).quantize(CENT) - fees)

    def mistake(self, on: date, symbol: str, units: Decimal, reference: str, note: str) -> None:
        """A row that the loader books and then reverses: it moves nothing here."""
        self._row(on, "buy", symbol=symbol, quantity=str(units), price=str(self.price(on, symbol)), fees="4.95",
                  currency="USD", note=note, reference=reference)  # fmt: skip

    def _trade(self, on: date, kind: str, symbol: str, units: Decimal, price: Decimal, fees: Decimal,
               fx: Decimal | None, note: str, net: Decimal) -> None:  # fmt: skip
        if fx is None:
            self._move("USD", net, on)
        else:
            self._move(self.base, (net * fx).quantize(CENT, ROUND_HALF_EVEN), on)
        self._row(on, kind, symbol=symbol, quantity=format(units.normalize(), "f"), price=str(price), fees=str(fees),
                  currency="USD", fx=str(fx or ""), note=note)  # fmt: skip

    def _move(self, currency: str, amount: Decimal, on: date) -> None:
        self.cash[currency] = self.cash.get(currency, Decimal(0)) + amount
        assert self.cash[currency] >= 0, f"{self.name}: {currency} {self.cash[currency]} on {on}"

    def _row(self, on: date, kind: str, **cells: str) -> None:
        assert not self.rows or str(on) >= self.rows[-1]["date"], f"{self.name}: {on} is booked too late"
        cells.setdefault("reference", f"{self.name}-{len(self.rows) + 1:04d}")
        self.rows.append({"date": str(on), "kind": kind, **cells})

    def write(self) -> None:
        with (Path(__file__).parent / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


def months() -> list[list[date]]:
    """The trading days of each month."""
    days = [day_of(d) for d in real().days.tolist() if day_number(FIRST) <= d <= day_number(LAST)]
    return [[d for d in days if (d.year, d.month) == m] for m in sorted({(d.year, d.month) for d in days})]


def whole(amount: float, price: float) -> Decimal:
    """How many whole shares an amount buys."""
    return Decimal(int(amount / price))


def us_core() -> Desk:
    """US shares across ten sectors, a saving plan of 3,000 a month in fractions, winners left to run."""
    desk = Desk("us-core", "USD", 2018)
    target = {"AAPL": 13, "MSFT": 12.5, "AMD": 3.5, "JNJ": 6, "UNH": 6, "LLY": 2.5, "PFE": 3, "JPM": 7.5, "BAC": 5, "HD": 6.5,
              "BBY": 2, "PG": 5, "KO": 4, "PEP": 4.5, "WMT": 6.5, "XOM": 4.5, "CVX": 4, "GE": 4}  # fmt: skip
    for n, days in enumerate(months()):
        first, trade = days[0], days[2]
        if n == 0:
            desk.money(first, "deposit", "250000", "USD", "opening deposit")
            for symbol, weight in target.items():
                desk.buy(trade, symbol, whole(246000 * weight / 100, desk.close(trade, symbol)), Decimal("1.00"))
            continue
        desk.money(first, "deposit", "3000" if n < 36 else "4000", "USD", "monthly contribution")
        held = desk.value(trade)
        total = sum(held.values())
        short = sorted(target, key=lambda s: held.get(s, 0) / total - target[s] / 100)
        spend = float(desk.cash["USD"]) - 2500
        for symbol, share in zip(short[:3], (0.45, 0.3, 0.25), strict=True):
            if spend > 300:
                units = Decimal(str(spend * share / desk.close(trade, symbol))).quantize(Decimal("0.0001"))
                desk.buy(trade, symbol, units, Decimal("0.00"), note="saving plan")
        if days[0].month == 11:  # trim what has outgrown its place, Apple excepted
            over = [s for s in target if s != "AAPL" and held[s] / total > 1.5 * target[s] / 100][:3]
            for symbol in over:
                units = (desk.units[symbol] * Decimal("0.2")).quantize(Decimal(1))
                desk.sell(days[10], symbol, units, Decimal("1.00"), note="trimmed back towards its target")
        if days[0].month in (3, 6, 9, 12):
            desk.money(days[-1], "interest", Decimal(desk.cash["USD"]) * Decimal("0.0025"), "USD", "interest on cash")
            desk.money(days[-1], "fee", "45", "USD", "custody, quarterly")
    return desk


def europe_base() -> Desk:
    """US shares held from Europe: most are paid in euros at the day's rate, some from a dollar account."""
    desk = Desk("europe-base", "EUR", 2019)
    plan = ("MSFT", "JNJ", "PG", "KO", "AAPL", "UNH", "PEP", "JPM", "HD", "MRK", "WMT", "XOM")
    fee = Decimal("4.90")
    for n, days in enumerate(months()):
        first, trade, late = days[0], days[3], days[-3]
        fx = desk.fx(trade)
        if n == 0:
            desk.money(first, "deposit", "120000", "EUR", "opening deposit")
            desk.money(first, "deposit", "20000", "USD", "dollar account brought over from the former bank")
            for symbol in plan:
                desk.buy(trade, symbol, whole(8700 / float(fx), desk.close(trade, symbol)), fee, fx)
            continue
        desk.money(first, "deposit", "1500", "EUR", "monthly savings")
        symbol = plan[n % len(plan)]
        budget = min(float(desk.cash["EUR"]) - 4000, 3200) / float(fx)
        if (units := whole(budget, desk.close(trade, symbol))) > 0:
            desk.buy(trade, symbol, units, fee, fx, "paid in euros")
        if days[0].month == 1:
            desk.money(days[5], "tax", str(380 + 45 * n // 12), "EUR", "advance tax for the past year")
            if n >= 24:
                desk.money(days[6], "withdrawal", "2500", "EUR", "private use")
        if n % 2 == 0:
            symbol = plan[(n // 2 + 5) % len(plan)]
            if (units := whole(min(float(desk.cash["USD"]) - 2000, 2600), desk.close(late, symbol))) > 0:
                desk.buy(late, symbol, units, fee, note="from the dollar account")
        if n % 3 == 1:
            held = desk.value(late)
            symbol = max(held, key=lambda s: held[s])
            units = whole(max(held[symbol] * 0.10, 2500), desk.close(late, symbol))
            euro = n % 12 == 10
            desk.sell(
                late,
                symbol,
                units,
                fee,
                desk.fx(late) if euro else None,
                "taken in euros" if euro else "to the dollar account",
            )
        if days[0].month in (3, 6, 9, 12):
            desk.money(days[-1], "fee", "32.50", "EUR", "custody, quarterly")
            desk.money(
                days[-1], "interest", desk.cash["USD"] * Decimal("0.002"), "USD", "interest on the dollar account"
            )
    return desk


def active_income() -> Desk:
    """Traded often: positions are built, cut and left with the half-year's trend; income is withdrawn each quarter."""
    desk = Desk("active-income", "USD", 2020)
    core = ("JNJ", "KO", "PFE", "CVX", "XOM", "MRK", "PEP", "PG", "JPM")
    yields = {"JNJ": 27, "KO": 32, "PFE": 36, "CVX": 40, "XOM": 45, "MRK": 29, "PEP": 29, "PG": 25, "JPM": 27, "WMT": 17,
              "BAC": 22, "HD": 24, "BBY": 30, "LLY": 16, "MSFT": 10, "AAPL": 8, "UNH": 14, "GE": 20, "RRC": 5}  # fmt: skip
    swing = ("AMD", "AAPL", "MSFT", "LLY", "UNH", "HD", "BBY", "BAC", "WMT", "GE", "RRC")
    data, fee = real(), Decimal("4.95")
    for n, days in enumerate(months()):
        first, trade, second = days[0], days[1], days[-4]
        if n == 0:
            desk.money(first, "deposit", "400000", "USD", "opening deposit")
            for symbol in core:
                desk.buy(trade, symbol, whole(29000, desk.close(trade, symbol)), fee, note="income holding")
        row = int(np.searchsorted(data.days, day_number(trade)))
        trend = {
            s: data.closes[row, data.symbols.index(s)] / data.closes[row - 126, data.symbols.index(s)] for s in swing
        }
        ranked = sorted(swing, key=lambda s: -trend[s])
        for symbol in [s for s in ranked[6:] if desk.units.get(s)][:2]:
            desk.sell(trade, symbol, desk.units[symbol], fee, note="trend lost: closed")
        held = desk.value(trade)
        total = sum(held.values()) + float(desk.cash["USD"])
        for symbol in ranked[:3]:
            room = min(total * 0.07 - held.get(symbol, 0), float(desk.cash["USD"]) - 22000)
            if room > 3000:
                desk.buy(trade, symbol, whole(room, desk.close(trade, symbol)), fee, note="trend")
        if (days[0].year, days[0].month) == (2022, 6):
            desk.mistake(
                days[7], "KO", Decimal(1000), "active-income-mistake", "typing error: 1000 instead of 10, reversed"
            )
            desk.buy(days[7], "KO", Decimal(10), fee, note="the order as it was meant")
        if days[0].month in (3, 6, 9, 12):
            for symbol in sorted(s for s, units in desk.units.items() if units and s in yields):
                gross = (
                    desk.units[symbol] * Decimal(str(desk.close(days[8], symbol))) * yields[symbol] / 4000
                ).quantize(CENT)
                desk.money(
                    days[8],
                    "dividend",
                    gross,
                    "USD",
                    SAMPLE,
                    symbol=symbol,
                    taxes=str((gross * Decimal("0.15")).quantize(CENT)),
                )
        if days[0].month == 4:
            desk.money(days[9], "tax", str(900 + 350 * (n // 12)), "USD", "tax on the past year's gains")
        held = desk.value(second)
        big = max(held, key=lambda s: held[s])
        if n and held[big] > total * 0.085:
            part = Decimal("0.35") if n % 2 else Decimal("0.2")
            units = (desk.units[big] * part).quantize(Decimal(1))
            desk.sell(second, big, units, fee, note="part of the gain taken")
        elif n % 3 == 2:
            symbol = min(core, key=lambda s: held.get(s, 0))
            room = min(6000.0, float(desk.cash["USD"]) - 16000)
            if room > 1500:
                desk.buy(second, symbol, whole(room, desk.close(second, symbol)), fee, note="income holding added to")
        if days[0].month in (3, 6, 9, 12):
            desk.money(days[-2], "withdrawal", "3000" if n < 30 else "4000", "USD", "income paid out")
            desk.money(days[-1], "fee", "60", "USD", "trading platform, quarterly")
        rate = Decimal("0.0012") if n < 26 or n > 52 else Decimal("0.0003")
        desk.money(days[-1], "interest", desk.cash["USD"] * rate, "USD", "interest on cash")
    return desk


def main() -> None:
    """Write the three files."""
    for desk in (us_core(), europe_base(), active_income()):
        desk.write()


if __name__ == "__main__":
    main()
