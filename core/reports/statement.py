"""Statement of a period: what the gain is made of, as a panel for the portfolio and as a row for each group or position."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from core.fx import day_of
from core.period_statement import EARNED, FLOWS, Amounts, PeriodStatement, added, period_statement
from core.reasons import Reason
from core.reports import Made, report
from core.reports.allocation import group_of
from core.reports.contributions import CASH, span_of
from core.table import Column, Figure, Kind
from core.valuation import value
from core.view import View

ZERO = Decimal(0)
NAMES = {
    "unrealised": "Unrealised gains",
    "realised": "Realised gains",
    "dividends": "Dividends",
    "interest": "Interest",
    "fees": "Fees",
    "taxes": "Taxes",
    "cash_currency": "Currency gains of the cash",
    "exchange": "Margin of currency exchanges",
    "gain": "Gain",
    "deposits": "Deposits",
    "withdrawals": "Withdrawals",
    "transfers_in": "Transferred in",
    "transfers_out": "Transferred out",
    "left_out": "In and out of what cannot be valued",
}
_kept: WeakKeyDictionary[View, dict[int, PeriodStatement]] = WeakKeyDictionary()


def statement_of(view: View) -> tuple[PeriodStatement | None, tuple[str, ...]]:
    """The statement of the chosen period, or of all there is where the portfolio is younger; None before the first entry. Kept with
    the View. It starts at the close of the last day of the daily series that is not in the period."""
    span, notes = span_of(view)
    if isinstance(span, Reason):
        return None, ()
    start = int(view.days[span.first - 1]) if span.first else int(view.days[0]) - 1
    kept = _kept.setdefault(view, {})
    if start not in kept:
        midnight = datetime.combine(day_of(start) + timedelta(days=1), time(), UTC)
        opening = value(view.book, start, {}, midnight, view.coverage_limit)
        kept[start] = period_statement(view.book, start, view.as_of, opening, view.valuation)
    return kept[start], notes


def left_out(found: PeriodStatement, view: View, numbers: Iterable[int] | None = None) -> str:
    """Why what is left out is, in words; of some securities alone, or of all with the currencies."""
    wanted = found.left_out.keys() if numbers is None else [n for n in numbers if n in found.left_out]
    return "; ".join(dict.fromkeys(str(found.left_out[key]) for key in wanted))


def _notes(found: PeriodStatement, view: View) -> tuple[str, ...]:
    """What is left out, and what posting to the cent makes against returns that are not rounded."""
    out = []
    if why := left_out(found, view):
        out.append(f"Left out, because it cannot be valued: {why}. What went in and out of it is no gain here.")
    rounding = found.total.gain - found.total.unrounded
    if not found.left_out and abs(rounding) >= Decimal("0.01"):
        said = f"{abs(rounding):,.2f} {view.base} {'more' if rounding > 0 else 'less'}"
        out.append(f"Every entry counts as it was posted to the cent: the gain is {said} than the one that is not rounded.")
    return tuple(out)


@report(
    "Statement",
    Column("name", "Line"),
    Column("amount", "Amount", Kind.MONEY, "in the base currency, with the sign with which it adds up: costs and withdrawals are negative"),
    Column("local_gain", "Of which price", Kind.MONEY,
           "of a gain the part in its own currency, at the rate of its end; income and costs, at the rate of their day, are all of it"),
    Column("currency_gain", "Of which currency", Kind.MONEY,
           "what a position was counted from, in its own currency, × the change of the rate from then to the sale or the end; currency gains of the cash"),
    Column("line", "Key", wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="There is no entry yet.",
)  # fmt: skip
def statement(view: View) -> Made:
    """What the gain of the period is made of: start + unrealised + realised + income − costs + currency gains + net deposits = end.

    A position counts from its value at the start of the period, or from its purchase in it, before fees and taxes; which lots were
    sold the cost method says. All fees and taxes, those of trades too, stand under their own names. What came or left in kind counts
    at its market value. Every amount is posted to the cent, and all of them add up. Effect of exchange rates splits the same gain by
    the value of each day, this statement by what was sold and is held, so the parts differ where price and rate both moved.
    """
    found, notes = statement_of(view)
    if found is None:
        return Made([])
    t, base = found.total, view.base
    why = left_out(found, view)
    rows: list[tuple[Any, ...]] = [(f"Value at the close of {day_of(found.start)}", found.opening.total, None, None, "start", "")]
    for line in EARNED:
        amount = getattr(t, line)
        moved = {"unrealised": t.unrealised_currency, "realised": t.realised_currency, "cash_currency": amount}.get(line, ZERO)
        rows.append((NAMES[line], amount, amount - moved, moved, line, ""))
    rows.append((NAMES["gain"], t.gain, t.local_gain, t.currency_gain, "gain", ""))
    rows += [(NAMES[line], found.flows[line], None, None, line, "") for line in FLOWS]
    if found.left_out:
        rows.append((NAMES["left_out"], found.left_out_amount, None, None, "left_out", why))
    rows.append((f"Value on {day_of(found.end)}", found.closing.total, None, None, "end", ""))
    said = f"left out: {why}" if why else None
    cards = (
        ("gain", "Gain", t.gain, "realised + unrealised + income + costs + currency = end − start − net deposits"),
        ("realised", "Realised", t.realised, "proceeds − value at the start or purchase in the period, before fees and taxes"),
        ("unrealised", "Unrealised", t.unrealised, "value at the end − value at the start or purchase in the period"),
        ("income", "Income", t.dividends + t.interest, "dividends + interest, gross"),
        ("costs", "Costs", t.fees + t.taxes, "fees and taxes, those of trades too"),
        ("currency", "Currency, cash", t.cash_currency + t.exchange, "currency gains of the cash + margin of exchanges"),
        ("currency_gain", "Of which currency", t.currency_gain, "currency parts of unrealised, realised and cash"),
        ("net_flow", "Net deposits", found.flow, "deposits − withdrawals, transfers in kind at market value"),
        ("since_purchase", "Realised since purchase", t.since_purchase, "proceeds − cost of what was sold in the period, as in Realised gains"),
    )
    figures = tuple(Figure(key, title, amount, Kind.MONEY, base, said, formula=formula) for key, title, amount, formula in cards)
    return Made(rows, figures, notes=(*notes, *_notes(found, view)))


@report(
    "Statement by group and position",
    Column("group", "Group"),
    Column("name", "Name", wide_only=True),
    Column("start_value", "Start value", Kind.MONEY, "at the close that the period starts from"),
    Column("purchases", "Purchases", Kind.MONEY, "before fees and taxes; covers of shorts", wide_only=True),
    Column("sales", "Sales", Kind.MONEY, "negative, before fees and taxes; short sales, returns of capital, cash of mergers", wide_only=True),
    Column("transfers", "Transfers", Kind.MONEY,
           "in kind at market value, and what corporate actions took to another security; of the cash its deposits less withdrawals", wide_only=True),
    Column("end_value", "End value", Kind.MONEY),
    Column("unrealised", "Unrealised gain", Kind.MONEY, "value at the end − value at the start or purchase in the period, of what is still held"),
    Column("unrealised_currency", "Unrealised, currency", Kind.MONEY, "the part of it that the exchange rate made", wide_only=True),
    Column("realised", "Realised gain", Kind.MONEY, "proceeds − value at the start or purchase in the period, before fees and taxes"),
    Column("realised_currency", "Realised, currency", Kind.MONEY, "the part of it that the exchange rate made", wide_only=True),
    Column("dividends", "Dividends", Kind.MONEY, "gross"),
    Column("interest", "Interest", Kind.MONEY, "gross", wide_only=True),
    Column("fees", "Fees", Kind.MONEY, "negative; those of trades too"),
    Column("taxes", "Taxes", Kind.MONEY, "negative; withheld ones and those of trades too"),
    Column("cash_currency", "Currency gains of the cash", Kind.MONEY, "end − start − what moved, each at the rate of its day", wide_only=True),
    Column("exchange", "Margin of exchanges", Kind.MONEY, "currency bought less currency sold, each at the rate of the day", wide_only=True),
    Column("gain", "Gain", Kind.MONEY, "unrealised + realised + dividends + interest + fees + taxes + currency gains and margin of the cash"),
    Column("local_gain", "Of which price", Kind.MONEY, "gain − currency part", wide_only=True),
    Column("currency_gain", "Of which currency", Kind.MONEY, "currency parts of unrealised, realised and cash"),
    Column("since_purchase", "Realised since purchase", Kind.MONEY, "of what was sold in the period: proceeds − cost, as in Realised gains", wide_only=True),
    Column("currency", "Currency", wide_only=True),
    Column("security_id", "Security", Kind.COUNT, wide_only=True),
    Column("reason", "Remark", wide_only=True),
    empty="There is no entry yet.",
)  # fmt: skip
def statement_positions(view: View) -> Made:
    """The statement of the period for each group (`by`: sector, asset_class, country, currency) or each security, and for the cash.

    Of a position, end = start + purchases + sales + transfers + unrealised + realised, each with its sign; all rows add up to the
    total, whose end = start + transfers + gain. Values at both ends are rounded so that they add up to the value of the portfolio.
    What cannot be valued at either end has no gain, and its reason; the gains of its group are those of the others.
    """
    found, notes = statement_of(view)
    if found is None:
        return Made([])
    by = view.scope.by
    groups: dict[tuple[str, int | None], list[int]] = {}
    for n in found.positions:
        security = view.book.securities[n]
        groups.setdefault((group_of(view, security, by), n if by == "security" else None), []).append(n)
    rows: list[tuple[Any, ...]] = []
    for (group, number), members in groups.items():
        one = None if number is None else view.book.securities[number]
        currency = one.currency if one is not None else group if by == "currency" else None
        unvalued = [n for n in members if n in found.left_out]
        cells = list(_cells(added(found.positions[n] for n in members), known=len(unvalued) < len(members)))
        for place, valuation in ((0, found.opening), (4, found.closing)):
            if not cells[place] and any(p.value_base is None and p.security.security_id in unvalued for p in valuation.positions):
                cells[place] = None
        rows.append((group, "" if one is None else one.name, *cells, currency, number, left_out(found, view, members)))
    rows.sort(key=lambda r: (-(r[6] or ZERO), r[0]))
    why = "; ".join(str(reason) for key, reason in found.left_out.items() if isinstance(key, str))
    if found.cash.seen or why:
        rows.append((CASH, "", *_cells(found.cash), None, None, why))
    total = ("Total", "", *_cells(found.total), None, None, left_out(found, view))
    return Made(rows, total=total, notes=(*notes, *_notes(found, view)))


def _cells(a: Amounts, known: bool = True) -> tuple[Decimal | None, ...]:
    """The amounts of a row of `statement_positions`; without its gains where they are not known."""
    earned = (a.unrealised, a.unrealised_currency, a.realised, a.realised_currency, a.dividends, a.interest, a.fees, a.taxes,
              a.cash_currency, a.exchange, a.gain, a.local_gain, a.currency_gain)  # fmt: skip
    return (a.start, a.purchases, a.sales, a.transfers, a.end, *(earned if known else (None,) * len(earned)), a.since_purchase)
