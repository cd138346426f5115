"""How the lines of a statement come about: entries by line, what units were counted from and ended as, the values at both ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from core.entry_amounts import EntryAmounts, entry_amounts
from core.explain import Evidence, Explained, Given, evidence, explains
from core.explain.evidence import SALES
from core.fx import day_of
from core.money import posted
from core.period_statement import EARNED, FLOWS, PeriodStatement
from core.reports.allocation import group_of
from core.reports.contributions import CASH
from core.reports.statement import statement_of
from core.table import Column, Kind
from core.view import View

Row = Mapping[str, Any]
ITEMS, HELD, ENDS, TURNED = "Entries by line", "What units were counted from and ended as", "Values at both ends", "Cash by currency"
SUMS = {
    "start": "Σ values at the close that the period starts from, rounded so that they add up to the value of the portfolio",
    "end": "Σ values at its end, rounded so that they add up to the value of the portfolio",
    "unrealised": "Σ (end − start) of units that are still held, went in kind or became another security",
    "realised": "Σ (end − start) of units that were sold or covered",
    "unrealised_currency": "Σ (start in its own currency × the rate of the end − start) of units that are still held, went in kind or became another security",
    "realised_currency": "Σ (start in its own currency × the rate of the end − start) of units that were sold or covered",
    "cash_currency": "Σ end − start − what moved, of the cash in each currency",
    "gain": "unrealised + realised + dividends + interest + fees + taxes + currency gains and margin of the cash",
    "currency_gain": "currency parts of unrealised and realised + currency gains of the cash",
    "local_gain": "gain − currency part",
    "transfers": "Σ deposits, withdrawals and transfers at market value, and what corporate actions moved to another security",
    "since_purchase": "Σ proceeds − cost of what was sold in the period, where both are known",
    "income": "Σ dividends + Σ interest, before costs",
    "costs": "Σ fees + Σ taxes",
    "currency": "currency gains of the cash + margin of exchanges",
    "net_flow": "Σ deposits, withdrawals and transfers",
    "left_out": "value at the end − value at the start − flows − gain: what went in and out of what cannot be valued",
}


def _behind(view: View, found: PeriodStatement, numbers: Collection[int], cash: bool) -> tuple[Evidence, ...]:
    """What the lines of some securities, and of the cash, are added up from. What is left out has no gain."""
    names = {n: view.book.securities[n].symbol for n in found.positions}
    wanted = {*numbers, *((0,) if cash else ())}
    items = tuple(
        (day_of(int(view.book.ledger.traded_on[i.row])), names.get(i.security, ""), i.line, i.amount, i.security not in found.left_out,
         evidence.entry_id(view, i.row))
        for i in found.items if i.security in wanted
    )  # fmt: skip
    held = tuple(
        (names.get(s.security, ""), s.how, s.units, s.start, s.start_base, s.end, s.end_base, s.rate)
        for s in found.stretches if s.security in numbers and s.security not in found.left_out
    )  # fmt: skip
    keys = [k for m in found.marks for k in m if (k in numbers if isinstance(k, int) else cash)]
    ends = tuple((names.get(k, str(k)) if isinstance(k, int) else k, *(m.get(k, Decimal(0)) for m in found.marks)) for k in dict.fromkeys(keys))
    return (
        Evidence(ITEMS, (Column("on", "Date", Kind.DATE), Column("symbol", "Symbol"), Column("line", "Line"), Column("amount", "Amount", Kind.MONEY),
                         Column("counts", "Counts", Kind.FLAG), Column("entry", "Entry")), items, "In the base currency, each posted to the cent."),
        Evidence(HELD, (Column("symbol", "Symbol"), Column("how", "How it ended"), Column("units", "Units", Kind.UNITS), Column("start", "Start", Kind.MONEY),
                        Column("start_base", "Start in base currency", Kind.MONEY), Column("end", "End", Kind.MONEY),
                        Column("end_base", "End in base currency", Kind.MONEY), Column("rate", "FX rate of the end", Kind.PRICE)), held),
        Evidence(ENDS, (Column("what", "Of"), Column("start", "At the start", Kind.MONEY), Column("end", "At the end", Kind.MONEY)), ends),
        _turned(view, found, cash),
        evidence.disposals(view, [d for d in view.lots.disposals if d.security in numbers and d.closed_on > found.start]),
    )  # fmt: skip


def _turned(view: View, found: PeriodStatement, cash: bool) -> Evidence:
    """Cash by currency: at both ends, and what moved at the rate of its day."""
    moved: dict[str, Decimal] = {}
    ledger = view.book.ledger.upto(found.end)
    for row in range(len(ledger)):
        if cash and ledger.traded_on[row] > found.start and ledger.net[row]:
            amounts = entry_amounts(ledger, row, view.book.rates, view.base)
            if isinstance(amounts, EntryAmounts):
                currency = ledger.currencies[int(ledger.cash_currency[row])]
                moved[currency] = moved.get(currency, Decimal(0)) + amounts.net
    known = {k for m in found.marks for k in m if isinstance(k, str)} | moved.keys() if cash else set()
    rows = tuple((c, *(m.get(c, Decimal(0)) for m in found.marks), moved.get(c, Decimal(0))) for c in sorted(known - set(map(str, found.left_out))))
    return Evidence(TURNED, (Column("currency", "Currency"), Column("start", "At the start", Kind.MONEY), Column("end", "At the end", Kind.MONEY),
                             Column("moved", "Moved", Kind.MONEY, "at the rate of each day")), rows)  # fmt: skip


def amounts(g: Given, base: str) -> dict[str, Decimal]:
    """Every line out of the evidence."""
    out = dict.fromkeys((*EARNED, *FLOWS, "purchases", "sales", "moved", "unrealised_currency", "realised_currency"), Decimal(0))
    for line, amount, counts in zip(*(g.column(ITEMS, k) for k in ("line", "amount", "counts")), strict=True):
        if counts or line not in EARNED:
            out[line] += amount
    for how, start, start_base, end_base, rate in zip(*(g.column(HELD, k) for k in ("how", "start", "start_base", "end_base", "rate")), strict=True):
        line = "realised" if how == "sold" else "unrealised"
        out[line] += end_base - start_base
        out[f"{line}_currency"] += posted(start * rate, base) - start_base
    for start, end, moved in zip(*(g.column(TURNED, k) for k in ("start", "end", "moved")), strict=True):
        out["cash_currency"] += end - start - moved
    out |= {"start": g.total(ENDS, "start"), "end": g.total(ENDS, "end")}
    out["gain"] = sum((out[line] for line in EARNED), Decimal(0))
    out["currency_gain"] = out["unrealised_currency"] + out["realised_currency"] + out["cash_currency"]
    out["local_gain"] = out["gain"] - out["currency_gain"]
    out["net_flow"] = sum((out[line] for line in FLOWS), Decimal(0))
    out["transfers"] = out["net_flow"] + out["moved"]
    out |= {"income": out["dividends"] + out["interest"], "costs": out["fees"] + out["taxes"], "currency": out["cash_currency"] + out["exchange"]}
    out["left_out"] = out["end"] - out["start"] - out["transfers"] - out["gain"]
    sales = zip(g.column(SALES, "proceeds_base"), g.column(SALES, "cost_base"), strict=True)
    out["since_purchase"] = sum((p - c for p, c in sales if p is not None and c is not None), Decimal(0))
    return out


def _explained(view: View, name: str, numbers: Collection[int], cash: bool) -> Explained:
    found, _ = statement_of(view)
    assert found is not None
    said = SUMS.get(name, f"Σ {name.replace('_', ' ')}, each in the base currency as it was posted")
    return Explained(said, lambda g: amounts(g, view.base)[name], (), _behind(view, found, numbers, cash))


def _all(view: View) -> Collection[int]:
    found, _ = statement_of(view)
    return () if found is None else found.positions.keys()


@explains("statement", "amount", "local_gain", "currency_gain")
def line(view: View, row: Row) -> Explained | None:
    shown, name = row["_column"], row["line"]
    if row[shown] is None:
        return None
    if shown == "amount" or name == "gain":
        return _explained(view, name if shown == "amount" else shown, _all(view), True)
    part = {"unrealised": "unrealised_currency", "realised": "realised_currency", "cash_currency": "cash_currency"}.get(name)
    found, _ = statement_of(view)
    assert found is not None

    def of(g: Given) -> Decimal:
        every = amounts(g, view.base)
        moved = every[part] if part else Decimal(0)
        return moved if shown == "currency_gain" else every[name] - moved

    return Explained("start in its own currency × the rate of the end − start; of cash all of it" if shown == "currency_gain" else "amount − currency part",
                     of, (), _behind(view, found, _all(view), True))  # fmt: skip


@explains("statement", "gain", "realised", "unrealised", "income", "costs", "currency", "currency_gain", "net_flow", "since_purchase", figure=True)
def card(view: View, row: Row) -> Explained:
    return _explained(view, row["_figure"].key, _all(view), True)


COLUMNS = ("start_value", "purchases", "sales", "transfers", "end_value", "unrealised", "unrealised_currency", "realised", "realised_currency", "dividends",
           "interest", "fees", "taxes", "cash_currency", "exchange", "gain", "local_gain", "currency_gain", "since_purchase")  # fmt: skip
NAMED = {"start_value": "start", "end_value": "end"}


@explains("statement_positions", *COLUMNS)
def of_position(view: View, row: Row) -> Explained | None:
    if row[row["_column"]] is None:
        return None
    by, name = view.scope.by, str(NAMED.get(row["_column"], row["_column"]))
    if row["group"] == CASH and row["security_id"] is None and row["_row"] == len(row["_table"].rows) - 1:
        return _explained(view, name, (), True)
    mine = [n for n in _all(view) if group_of(view, view.book.securities[n], by) == row["group"] and (by != "security" or n == row["security_id"])]
    return _explained(view, name, mine, False)


@explains("statement_positions", *COLUMNS, total=True)
def of_all(view: View, row: Row) -> Explained | None:
    return _explained(view, str(NAMED.get(row["_column"], row["_column"])), _all(view), True)
