"""What a statement adds up to, to hold against the broker's own page before anything is booked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from core.brokers.columns import amount_of, filled, ratio_of
from core.brokers.registry import Record, Statement
from core.ledger import ACTIONS, CASH, TRADES, TRANSFERS
from core.money import posted
from core.ratio import times

IN_ITS_OWN = TRADES | ACTIONS  # without a currency in the file, the security's


@dataclass(frozen=True, slots=True)
class Balances:
    """Cash by currency, units by symbol (ISIN or name where there is none), gross dividends and tax withheld by symbol.

    Of the records that book; nothing is converted and nothing rounded. "" is the currency that a file does not say.
    """

    cash: Mapping[str, Decimal]
    units: Mapping[str, Decimal]
    dividends: Mapping[str, Decimal]
    withheld: Mapping[str, Decimal]


def security_of(cells: Mapping[str, str]) -> str:
    """What names the security of a record: its symbol, else its ISIN, else its name."""
    return cells.get("symbol") or cells.get("isin") or cells.get("name", "")


def cash_of(record: Record) -> tuple[str, Decimal]:
    """(currency, amount) of the cash that a record moves, negative where it leaves the account."""
    cells, kind = record.cells, record.cells.get("kind", "")
    if not record.books or (kind in TRANSFERS and cells.get("quantity")):
        return cells.get("currency", ""), Decimal(0)
    plus, fee, tax = CASH.get(kind, (0, 0, 0))
    currency = cells.get("currency", "")
    gross = amount_of(record, "gross")
    if not cells.get("gross"):
        gross = amount_of(record, "quantity") * amount_of(record, "price")
    parts = [gross, amount_of(record, "fees"), amount_of(record, "taxes")]
    if fx := cells.get("fx"):
        parts = [posted(p, currency) for p in parts]
        currency = cells.get("cash_currency", "")
        return currency, sum(p * s for p, s in zip(parts, (plus, fee, tax), strict=True)) * Decimal(fx)
    return currency, sum((p * s for p, s in zip(parts, (plus, fee, tax), strict=True)), Decimal(0))


def balances(statement: Statement) -> Balances:
    """The sums of a statement that begins at the account's beginning (of any other: what it changed)."""
    cash: dict[str, Decimal] = defaultdict(Decimal)
    units: dict[str, Decimal] = defaultdict(Decimal)
    dividends: dict[str, Decimal] = defaultdict(Decimal)
    withheld: dict[str, Decimal] = defaultdict(Decimal)
    for record in statement.records:
        if not record.books:
            continue
        cells, kind, of = record.cells, record.cells["kind"], security_of(record.cells)
        currency, amount = cash_of(record)
        cash[currency] += amount
        quantity, ratio = amount_of(record, "quantity"), ratio_of(record) or Fraction(kind == "symbol_change")
        if kind in ("buy", "cover", "transfer_in"):
            units[of] += quantity
        elif kind in ("sell", "short", "transfer_out"):
            units[of] -= quantity
        elif kind == "split":
            units[of] = times(units[of], ratio)
        elif kind in ("merger", "symbol_change"):
            units[cells.get("into", "")] += times(units.pop(of, Decimal(0)), ratio)
        elif kind == "spin_off":
            units[cells.get("into", "")] += times(units[of], ratio)
        if kind == "dividend":
            dividends[of] += amount_of(record, "gross")
        if of and kind in ("dividend", "tax"):
            withheld[of] += amount_of(record, "gross" if kind == "tax" else "taxes")
    return Balances(*(_moved(sums) for sums in (cash, units, dividends, withheld)))


def _moved(sums: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: value for name, value in sorted(sums.items()) if value and name is not None}


def settled_in(statement: Statement, base_currency: str) -> Statement:
    """The statement for a portfolio in `base_currency`: a rate of its own is kept where cash moved in that currency.

    Elsewhere the ledger has no such rate: the trade is booked in the price's currency, and what the account paid for
    it as a conversion, `fx_out` and `fx_in` of the same day. The cash in both currencies is the statement's.
    Cash of which the file does not say the currency is taken to be in `base_currency`.
    """
    out: list[Record] = []
    for record in statement.records:
        if record.books and not record.cells.get("currency") and record.cells["kind"] not in IN_ITS_OWN:
            record = replace(record, cells=filled(record.cells, currency=base_currency))
        cash = record.cells.get("cash_currency", "")
        if not record.books or not record.cells.get("fx") or cash in ("", base_currency):
            out.append(record)
            continue
        own = replace(record, cells=filled(record.cells, fx="", cash_currency=""))
        currency, moved = cash_of(own)
        paid = posted(posted(moved, currency) * Decimal(record.cells["fx"]), cash)
        keep = {n: record.cells[n] for n in ("date", "time", "account", "reference") if n in record.cells}
        keep["note"] = f"conversion for {record.cells['kind']} {security_of(record.cells)}".strip()
        legs = [(currency, posted(abs(moved), currency)), (cash, abs(paid))]
        (sold, sum_sold), (bought, sum_bought) = legs if moved > 0 else legs[::-1]
        pair = [
            Record(record.line, (), filled(keep, kind="fx_out", currency=sold, gross=sum_sold)),
            Record(record.line, (), filled(keep, kind="fx_in", currency=bought, gross=sum_bought)),
        ]
        out += [own, *pair] if moved > 0 else [*pair, own]
    return replace(statement, records=tuple(out))


def duplicates(statement: Statement) -> list[tuple[Record, Record]]:
    """Pairs (first, again) of records that say the same but for note, time and reference: perhaps one event twice.

    Records that the broker gave different ids are two events, and so are the bookings of one line.
    """
    seen: dict[tuple[tuple[str, str], ...], Record] = {}
    found = []
    for record in statement.records:
        if not record.books or not record.lines:
            continue
        same = tuple((n, v) for n, v in record.cells.items() if n not in ("note", "time"))
        if same in seen:
            found.append((seen[same], record))
        else:
            seen[same] = record
    return found
