"""The ledger: what may be booked, what it does to cash, and the columns in which it travels.

A new kind of transaction is a line in CASH (what it does to cash) and, where it moves units, a branch in `core.lots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.fx import day_number
from core.money import posted

UNITS = 10**10  # quantities and ratios travel as integers of 1e-10, as NUMERIC(28,10) stores them
MICRO = 10**6  # posted money travels as integers of 1e-6, as NUMERIC(28,6) stores it

KINDS = (
    "buy",
    "sell",
    "dividend",
    "interest",
    "fee",
    "tax",
    "deposit",
    "withdrawal",
    "split",
    "short",
    "cover",
    "transfer_in",
    "transfer_out",
    "return_of_capital",
    "spin_off",
    "merger",
    "symbol_change",
    "reversal",
)
CODE = {kind: i for i, kind in enumerate(KINDS)}
BOOKABLE = ("buy", "sell", "dividend", "interest", "fee", "tax", "deposit", "withdrawal", "split")
WITH_SECURITY = frozenset({"buy", "sell", "dividend", "split"})
WITH_UNITS = frozenset({"buy", "sell"})
FLOWS = frozenset({"deposit", "withdrawal"})
# sign of (gross, fees, taxes) in the cash that moves
CASH = {
    "buy": (-1, -1, -1),
    "sell": (1, -1, -1),
    "dividend": (1, -1, -1),
    "interest": (1, -1, -1),
    "fee": (-1, -1, -1),
    "tax": (-1, -1, -1),
    "deposit": (1, -1, -1),
    "withdrawal": (-1, -1, -1),
    "split": (0, 0, 0),
}


class LedgerError(ValueError):
    """A transaction that cannot be booked: names the field, the value and what would be right."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        shown = "missing" if value in (None, "") else f"{value}"
        super().__init__(f"{field} {shown}: {expected}")
        self.field, self.value, self.expected = field, value, expected


class OverSold(LedgerError):
    """A sale of more units than are held on that day."""


@dataclass(frozen=True, slots=True)
class Security:
    """What the ledger and the reports need to know of a security."""

    security_id: int
    symbol: str
    name: str
    exchange: str
    currency: str
    asset_class: str
    sector: str | None = None
    industry: str | None = None
    country: str | None = None
    status: str = "active"
    tradable: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction as somebody entered it, not yet checked. Money and quantities positive; the kind gives the sign."""

    kind: str
    traded_on: date
    currency: str
    security: Security | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    gross: Decimal | None = None
    fees: Decimal = Decimal(0)
    taxes: Decimal = Decimal(0)
    fx: Decimal | None = None
    ratio: Decimal | None = None
    settles_on: date | None = None
    note: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Posting:
    """A checked transaction, complete as the ledger stores it."""

    kind: str
    traded_on: date
    settles_on: date
    security_id: int | None
    quantity: Decimal | None
    price: Decimal | None
    ratio: Decimal | None
    gross: Decimal
    fees: Decimal
    taxes: Decimal
    currency: str
    fx: Decimal | None
    net: Decimal
    cash_currency: str
    note: str
    reference: str


# decimals that the ledger's columns hold, each of 28 digits in all
_DECIMALS = (("quantity", 10), ("price", 10), ("ratio", 10), ("fx", 10), ("gross", 6), ("fees", 6), ("taxes", 6))


def _fits(field: str, value: Decimal, decimals: int) -> None:
    if not value.is_finite():
        raise LedgerError(field, value, "a finite number is needed")
    if abs(value) >= 10 ** (28 - decimals):
        raise LedgerError(field, value, f"at most {28 - decimals} digits before the decimal point")
    if -decimals <= value.as_tuple().exponent:  # type: ignore[operator]
        return
    if -decimals > value.normalize().as_tuple().exponent:  # type: ignore[operator]
        raise LedgerError(field, value, f"at most {decimals} decimals")


def post(draft: Draft, base_currency: str, settles_on: date, today: date) -> Posting:
    """Check one draft and complete it: gross, net cash and its currency, settlement date.

    Raises LedgerError naming the field. Whether the units are there is asked of the whole ledger: `oversold`.
    """
    d = draft
    if d.kind not in KINDS or d.kind == "reversal":
        raise LedgerError("kind", d.kind, "expected one of " + ", ".join(BOOKABLE))
    if d.kind not in BOOKABLE:
        raise LedgerError("kind", d.kind, "this kind is not offered yet; expected one of " + ", ".join(BOOKABLE))
    if d.traded_on > today:
        raise LedgerError("date", d.traded_on, f"a trade date may not lie after today, {today}")
    if d.traded_on < date(1900, 1, 1):
        raise LedgerError("date", d.traded_on, "a trade date after 1900 is needed")
    if d.settles_on is not None and d.settles_on < d.traded_on:
        raise LedgerError("settlement", d.settles_on, f"it may not lie before the trade date, {d.traded_on}")
    if d.kind in WITH_SECURITY and d.security is None:
        raise LedgerError("symbol", None, f"a {d.kind} needs a security")
    if d.security is not None and not d.security.tradable:
        raise LedgerError("symbol", d.security.symbol, "an index cannot be traded")
    if d.security is not None and d.kind in WITH_UNITS and d.currency != d.security.currency:
        raise LedgerError(
            "currency",
            d.currency,
            f"{d.security.symbol} trades in {d.security.currency}; give fx for the "
            f"rate at which cash moved in {base_currency}",
        )
    for field, decimals in _DECIMALS:
        value = getattr(d, field)
        if value:
            _fits(field, value, decimals)
    if d.fees < 0:
        raise LedgerError("fees", d.fees, "fees are given as a positive amount")
    if d.fx is not None and d.fx <= 0:
        raise LedgerError("fx", d.fx, "a positive rate is needed")
    if d.fx is not None and d.currency == base_currency and d.fx != 1:
        raise LedgerError(
            "fx", d.fx, f"the transaction is in the portfolio's own currency, {base_currency}: leave fx empty"
        )
    gross = _gross(d)
    plus, fee_sign, tax_sign = CASH[d.kind]
    fees, taxes = posted(d.fees, d.currency), posted(d.taxes, d.currency)
    net = gross * plus + fees * fee_sign + taxes * tax_sign
    cash_currency = d.currency
    if d.fx is not None:
        net, cash_currency = posted(net * d.fx, base_currency), base_currency
    return Posting(
        d.kind,
        d.traded_on,
        d.settles_on or settles_on,
        d.security.security_id if d.security else None,
        d.quantity,
        d.price,
        d.ratio,
        gross,
        fees,
        taxes,
        d.currency,
        d.fx,
        net,
        cash_currency,
        d.note,
        d.reference,
    )


def _gross(d: Draft) -> Decimal:
    """The posted gross amount of a draft; checks what the kind needs."""
    if d.kind == "split":
        if d.ratio is None or d.ratio <= 0:
            raise LedgerError("ratio", d.ratio, "a split needs its ratio: new units for one old, 4 for 4:1")
        if d.quantity is not None or d.gross or d.fees or d.taxes:
            raise LedgerError("quantity", d.quantity, "a split moves no cash: give its ratio alone")
        return Decimal(0)
    if d.ratio is not None:
        raise LedgerError("ratio", d.ratio, f"only a split has a ratio, not a {d.kind}")
    if d.kind in WITH_UNITS:
        if d.quantity is None or d.quantity <= 0:
            raise LedgerError("quantity", d.quantity, f"a {d.kind} needs a positive number of units")
        if d.price is None and d.gross is None:
            raise LedgerError("price", None, f"a {d.kind} needs a price or a gross amount")
        if d.price is not None and d.price < 0:
            raise LedgerError("price", d.price, "a price may not be negative")
        if d.gross is not None and d.gross < 0:
            raise LedgerError("gross", d.gross, "the gross amount is given as a positive amount")
        if d.price is not None:
            product = posted(d.quantity * d.price, d.currency)
            if d.gross is None:
                return product
            if abs(d.gross - product) > max(Decimal("0.05"), product / 200):
                raise LedgerError("gross", d.gross, f"it does not agree with quantity × price = {product}")
        assert d.gross is not None
        return posted(d.gross, d.currency)
    amount = d.gross
    if amount is None and d.quantity is not None and d.price is not None:
        amount = d.quantity * d.price
    if amount is None:
        raise LedgerError("gross", None, f"a {d.kind} needs its amount")
    if amount == 0 or (amount < 0 and d.kind != "interest"):
        raise LedgerError("gross", amount, f"the amount of a {d.kind} is given as a positive number")
    return posted(amount, d.currency)


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """The effective transactions (reversed ones and reversals left out), one array per column, in booking order.

    Quantities and ratios are integers of 1e-10, money integers of 1e-6: int64, or Python ints (dtype object) where a
    value does not fit. Ordered by trade date, splits first, then as recorded.
    """

    portfolio: NDArray[np.int16]
    kind: NDArray[np.int8]
    security: NDArray[np.int32]  # 0: none
    quantity: NDArray[np.int64]
    ratio: NDArray[np.int64]
    gross: NDArray[np.int64]
    fees: NDArray[np.int64]
    taxes: NDArray[np.int64]
    net: NDArray[np.int64]
    currency: NDArray[np.int16]
    cash_currency: NDArray[np.int16]
    with_fx: NDArray[np.bool_]  # cash moved in the base currency at the transaction's own rate
    traded_on: NDArray[np.int32]
    settles_on: NDArray[np.int32]
    ids: NDArray[np.void]  # 16 bytes each
    currencies: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kind)

    def upto(self, day: int) -> Ledger:
        """The transactions traded at or before `day`."""
        n = int(np.searchsorted(self.traded_on, day, side="right"))
        if n == len(self):
            return self
        return Ledger(**{name: getattr(self, name)[:n] for name in COLUMNS}, currencies=self.currencies)


COLUMNS = (
    "portfolio",
    "kind",
    "security",
    "quantity",
    "ratio",
    "gross",
    "fees",
    "taxes",
    "net",
    "currency",
    "cash_currency",
    "with_fx",
    "traded_on",
    "settles_on",
    "ids",
)
_DTYPES: dict[str, Any] = {
    "portfolio": np.int16,
    "kind": np.int8,
    "security": np.int32,
    "currency": np.int16,
    "cash_currency": np.int16,
    "with_fx": np.bool_,
    "traded_on": np.int32,
    "settles_on": np.int32,
    "ids": np.dtype("V16"),
}


def whole(value: Decimal | None, scale: int) -> int:
    """A decimal as the integer in which it travels; raises ValueError where it has more decimals than the scale."""
    if value is None:
        return 0
    scaled = value * scale
    number = int(scaled)
    if number != scaled:
        raise ValueError(f"{value} has more decimals than {scale} holds")
    return number


def fitting(values: Sequence[int]) -> NDArray[np.int64]:
    """int64 where every value fits, Python ints otherwise."""
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        return np.array(values, dtype=object)


def from_postings(postings: Iterable[Posting], portfolio: int = 0) -> Ledger:
    """A Ledger of checked postings, ordered as the database orders them. For scenarios, tests and notebooks."""
    rows = sorted(postings, key=lambda p: (p.traded_on, p.kind != "split"))
    currencies = tuple(sorted({p.currency for p in rows} | {p.cash_currency for p in rows}))
    index = {c: i for i, c in enumerate(currencies)}
    columns: dict[str, list[Any]] = {
        "portfolio": [portfolio] * len(rows),
        "kind": [CODE[p.kind] for p in rows],
        "security": [p.security_id or 0 for p in rows],
        "currency": [index[p.currency] for p in rows],
        "cash_currency": [index[p.cash_currency] for p in rows],
        "with_fx": [p.fx is not None for p in rows],
        "traded_on": [day_number(p.traded_on) for p in rows],
        "settles_on": [day_number(p.settles_on) for p in rows],
        "ids": [i.to_bytes(16, "big") for i in range(len(rows))],
    }
    arrays: dict[str, Any] = {name: np.array(values, dtype=_DTYPES[name]) for name, values in columns.items()}
    arrays["quantity"] = fitting([whole(p.quantity, UNITS) for p in rows])
    arrays["ratio"] = fitting([whole(p.ratio, UNITS) for p in rows])
    for name in ("gross", "fees", "taxes", "net"):
        arrays[name] = fitting([whole(getattr(p, name), MICRO) for p in rows])
    return Ledger(**arrays, currencies=currencies)


def oversold(moves: Sequence[tuple[int, int, int, int]]) -> dict[int, tuple[int, int]]:
    """Which new sales exceed what is held: {row: (held, wanted)} in units of 1e-10.

    `moves` are (day, order, row, units) of one security: order 0 a split (units = its ratio), 1 anything else; row -1
    is already booked, other rows are new ones. A refused sale is left out before the next is asked. A new row that
    would make a later, already booked sale exceed the holding is refused too.
    """
    refused: dict[int, tuple[int, int]] = {}
    ordered = sorted(moves, key=lambda m: (m[0], m[1]))
    again = True
    while again:
        held, earlier_sale, again = 0, None, False
        for _, order, row, units in ordered:
            if row in refused:
                continue
            if order == 0:
                held = held * units // UNITS
                continue
            if units < 0 and held + units < 0:
                if row >= 0:  # a new sale of more than is held: leave it out and go on
                    refused[row] = (held, -units)
                    continue
                if (
                    earlier_sale is not None
                ):  # a new sale took what a booked one needs: leave the new one out, look again
                    refused[earlier_sale] = (held, -units)
                    again = True
                    break
            if units < 0 and row >= 0:
                earlier_sale = row
            held += units
    return refused
