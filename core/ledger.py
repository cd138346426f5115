"""The ledger: what may be booked, what it does to cash, and the columns in which it travels.

A new kind of transaction is a line in CASH (what it does to cash), its needs in `_gross` and, where it moves units, a method
of `core.lots.Booking`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from core.fx import day_number
from core.money import posted

UNITS = 10**10  # quantities travel as integers of 1e-10, as NUMERIC(28,10) stores them
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
    "fx_in",
    "fx_out",
    "reversal",
)
CODE = {kind: i for i, kind in enumerate(KINDS)}
BOOKABLE = KINDS[:-1]
# of kinds that underscores do not make words of
WORDS = {"spin_off": "spin-off", "fx_in": "currency bought", "fx_out": "currency sold"}
NAMED = {"sell": "a sale", "short": "a short sale", "interest": "an interest payment", "tax": "a tax payment", "fx_in": "a currency exchange",
         "fx_out": "a currency exchange"}  # fmt: skip
TRADES = frozenset({"buy", "sell", "short", "cover"})
TRANSFERS = frozenset({"transfer_in", "transfer_out"})  # of cash, or in kind where a security is named
ACTIONS = frozenset({"split", "spin_off", "merger", "symbol_change"})  # corporate actions: before the day's trades
INTO = frozenset({"spin_off", "merger", "symbol_change"})  # those that end in another security
WITH_SECURITY = TRADES | ACTIONS | {"dividend", "return_of_capital"}
DISPOSING = frozenset({"sell", "cover", "transfer_out"})  # may choose the lots that they take
FLOWS = (
    frozenset({"deposit", "withdrawal"}) | TRANSFERS
)  # what comes into and leaves the portfolio; fx_in and fx_out stay within
REFUNDABLE = frozenset({"dividend", "interest", "fee", "tax"})  # a negative amount takes one back
# sign of (gross, fees, taxes) in the cash that moves
CASH = {
    "buy": (-1, -1, -1),
    "sell": (1, -1, -1),
    "short": (1, -1, -1),
    "cover": (-1, -1, -1),
    "dividend": (1, -1, -1),
    "interest": (1, -1, -1),
    "fee": (-1, -1, -1),
    "tax": (-1, -1, -1),
    "deposit": (1, -1, -1),
    "withdrawal": (-1, -1, -1),
    "transfer_in": (1, -1, -1),  # in kind: (0, −1, −1), its gross is the market value that comes in
    "transfer_out": (-1, -1, -1),
    "fx_in": (1, -1, -1),
    "fx_out": (-1, -1, -1),
    "return_of_capital": (1, -1, -1),
    "merger": (1, -1, -1),
    "split": (0, 0, 0),
    "spin_off": (0, 0, 0),
    "symbol_change": (0, 0, 0),
}


class LedgerError(ValueError):
    """A transaction that cannot be booked: names the field, the value and what would be right."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        shown = "missing" if value in (None, "") else f"{value}"
        super().__init__(f"{field} {shown}: {expected}")
        self.field, self.value, self.expected = field, value, expected


class Impossible(LedgerError):
    """An entry that what is held on its day does not allow. `row` is its place in the ledger that was asked."""

    def __init__(self, field: str, value: object, expected: str, row: int = -1) -> None:
        super().__init__(field, value, expected)
        self.row = row


class OverSold(Impossible):
    """More units taken than are held on that day."""


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
    ratio: Fraction | None = None  # new units for one old
    settles_on: date | None = None
    into: Security | None = None  # what a spin-off, merger or symbol change ends in
    fraction: Decimal | None = None  # spin-off: the share of the cost that moves, 0 to 1
    basis: Decimal | None = None  # transfer in kind: the cost that comes along, in the security's currency
    basis_base: Decimal | None = None  # the same in the base currency
    acquired_on: date | None = None  # transfer in kind: when these units were bought
    lots: tuple[tuple[UUID, Decimal], ...] = ()  # chosen lots: (the transaction that opened it, units)
    note: str = ""
    reference: str = ""
    counterparty: str = ""  # the name of whom it went through


@dataclass(frozen=True, slots=True)
class Posting:
    """A checked transaction, complete as the ledger stores it."""

    kind: str
    traded_on: date
    settles_on: date
    security_id: int | None
    quantity: Decimal | None
    price: Decimal | None
    ratio: Fraction | None
    gross: Decimal
    fees: Decimal
    taxes: Decimal
    currency: str
    fx: Decimal | None
    net: Decimal
    cash_currency: str
    note: str
    reference: str
    into_id: int | None = None
    fraction: Decimal | None = None
    basis: Decimal | None = None
    basis_base: Decimal | None = None
    acquired_on: date | None = None
    lots: tuple[tuple[UUID, Decimal], ...] = ()
    counterparty: str = ""

    @property
    def ratio_new(self) -> int | None:
        """The new units of its ratio."""
        return None if self.ratio is None else self.ratio.numerator

    @property
    def ratio_old(self) -> int | None:
        """The old units that they are for."""
        return None if self.ratio is None else self.ratio.denominator

    @property
    def detail(self) -> Detail | None:
        """What the columns of a Ledger do not hold; None for most transactions."""
        if not (self.into_id or self.basis is not None or self.acquired_on or self.lots or self.kind == "merger"):
            return None
        return Detail(self.into_id, self.fraction, self.price, self.basis, self.basis_base, self.acquired_on, self.lots)


@dataclass(frozen=True, slots=True)
class Detail:
    """What only a few transactions have: the fields of a Draft by the same names."""

    into: int | None = None
    fraction: Decimal | None = None
    price: Decimal | None = None
    basis: Decimal | None = None
    basis_base: Decimal | None = None
    acquired_on: date | None = None
    lots: tuple[tuple[UUID, Decimal], ...] = ()


# decimals that the ledger's columns hold, each of 28 digits in all
_DECIMALS = (
    ("quantity", 10),
    ("price", 10),
    ("fx", 10),
    ("fraction", 10),
    ("gross", 6),
    ("fees", 6),
    ("taxes", 6),
    ("basis", 6),
    ("basis_base", 6),
)


def fits(field: str, value: Decimal, decimals: int) -> None:
    """Whether a column of 28 digits, `decimals` of them behind the point, holds a number as it is. Raises LedgerError."""
    if not value.is_finite():
        raise LedgerError(field, value, "a finite number is needed")
    if abs(value) >= 10 ** (28 - decimals):
        raise LedgerError(field, value, f"at most {28 - decimals} digits before the decimal point")
    if -decimals <= value.as_tuple().exponent:  # type: ignore[operator]
        return
    if -decimals > value.normalize().as_tuple().exponent:  # type: ignore[operator]
        raise LedgerError(field, value, f"at most {decimals} decimals")


def check_day(on: date, today: date) -> None:
    """Whether something can have been traded on a day. Raises LedgerError. Asked before a settlement date is counted from it."""
    if on > today:
        raise LedgerError("date", on, f"a trade date may not lie after today, {today}")
    if on < date(1900, 1, 1):
        raise LedgerError("date", on, "a trade date after 1900 is needed")


def post(draft: Draft, base_currency: str, settles_on: date, today: date) -> Posting:
    """Check one draft and complete it: gross, net cash and its currency, settlement date.

    Raises LedgerError naming the field. Whether the units are there is asked of the whole ledger: `core.booking.impossible`.
    """
    d = draft
    if d.kind not in BOOKABLE:
        raise LedgerError("kind", d.kind, "expected one of " + ", ".join(BOOKABLE))
    check_day(d.traded_on, today)
    if d.settles_on is not None and d.settles_on < d.traded_on:
        raise LedgerError("settlement", d.settles_on, f"it may not lie before the trade date, {d.traded_on}")
    if d.kind in WITH_SECURITY and d.security is None:
        raise LedgerError("symbol", None, f"{named(d.kind)} needs a security")
    if d.security is not None and not d.security.tradable:
        raise LedgerError("symbol", d.security.symbol, "an index cannot be traded")
    in_kind = d.kind in TRANSFERS and d.security is not None
    if not (d.kind in TRADES or in_kind):
        d = _without_units(d)
    own = d.kind in TRADES or d.kind in ACTIONS or d.kind == "return_of_capital" or in_kind
    if d.security is not None and own and d.currency != d.security.currency:
        raise LedgerError(
            "currency",
            d.currency,
            f"{d.security.symbol} trades in {d.security.currency}; give fx for the "
            f"rate at which cash moved in {base_currency}",
        )
    _check_into(d)
    _check_lots(d, in_kind)
    for name, decimals in _DECIMALS:
        value = getattr(d, name)
        if value:
            fits(name, value, decimals)
    if d.fees < 0:
        raise LedgerError("fees", d.fees, "fees are given as a positive amount")
    if d.fx is not None and d.fx <= 0:
        raise LedgerError("fx", d.fx, "a positive rate is needed")
    if d.fx is not None and d.currency == base_currency and d.fx != 1:
        raise LedgerError(
            "fx", d.fx, f"the transaction is in the portfolio's own currency, {base_currency}: leave fx empty"
        )
    gross = _gross(d, in_kind)
    plus, fee_sign, tax_sign = CASH[d.kind]
    if in_kind:
        plus = 0
    fees, taxes = posted(d.fees, d.currency), posted(d.taxes, d.currency)
    net = gross * plus + fees * fee_sign + taxes * tax_sign
    cash_currency = d.currency
    if d.fx is not None:
        net, cash_currency = posted(net * d.fx, base_currency), base_currency
    fits("gross", gross, 6)
    if abs(net) >= 10**22:
        field, value = ("gross", gross) if d.fx is None else ("fx", d.fx)
        raise LedgerError(field, value, f"the cash that moves, {net}, has more than 22 digits before the decimal point")
    return Posting(
        d.kind,
        d.traded_on,
        d.settles_on or settles_on,
        d.security.security_id if d.security else None,
        d.quantity,
        d.price,
        None if d.ratio is None else Fraction(d.ratio),
        gross,
        fees,
        taxes,
        d.currency,
        d.fx,
        net,
        cash_currency,
        d.note,
        d.reference,
        d.into.security_id if d.into else None,
        d.fraction,
        None if d.basis is None else posted(d.basis, d.currency),
        None if d.basis_base is None else posted(d.basis_base, base_currency),
        d.acquired_on,
        d.lots,
        d.counterparty,
    )


def draft_of(p: Posting, security: Security | None, into: Security | None = None) -> Draft:
    """The draft that makes this posting again; `security` and `into` are those of its numbers."""
    return Draft(
        p.kind,
        p.traded_on,
        p.currency,
        security,
        p.quantity,
        p.price,
        p.gross or (p.gross if p.quantity is not None else None),
        p.fees,
        p.taxes,
        p.fx,
        p.ratio,
        p.settles_on,
        into,
        p.fraction,
        p.basis,
        p.basis_base,
        p.acquired_on,
        p.lots,
        p.note,
        p.reference,
        p.counterparty,
    )


def spoken(kind: str) -> str:
    """A kind in words: "return of capital", "spin-off"."""
    return WORDS.get(kind, kind.replace("_", " "))


def named(kind: str) -> str:
    """A kind with its article, as sentences about what it needs have it: "a return of capital", "an interest payment"."""
    return NAMED.get(kind, f"a {spoken(kind)}")


def _without_units(d: Draft) -> Draft:
    """A draft of a kind that moves no units of its own: 0 as quantity or price says that it has none, as exports write it."""
    for name in ("quantity", "price"):
        value = getattr(d, name)
        if value is not None and value < 0:
            raise LedgerError(
                name, value, f"{named(d.kind)} has no negative {name}: leave it empty; the kind gives the sign"
            )
    return replace(d, quantity=d.quantity or None, price=d.price or None)


def _check_into(d: Draft) -> None:
    """What a spin-off, merger or symbol change ends in."""
    if d.into is not None and d.kind not in INTO:
        raise LedgerError("into", d.into.symbol, f"{named(d.kind)} does not end in another security: leave it empty")
    if d.fraction is not None and d.kind != "spin_off":
        raise LedgerError("fraction", d.fraction, "only a spin-off moves a share of the cost")
    if d.kind not in INTO:
        return
    assert d.security is not None
    if d.into is None:
        if d.kind == "merger" and d.ratio is None:
            return  # for cash alone
        raise LedgerError("into", None, f"{named(d.kind)} needs the security that it ends in")
    if d.into.security_id == d.security.security_id:
        raise LedgerError("into", d.into.symbol, "another security than the one it starts from is needed")
    if not d.into.tradable:
        raise LedgerError("into", d.into.symbol, "an index cannot be held")
    if d.into.currency != d.security.currency:
        raise LedgerError(
            "into", d.into.symbol, f"it trades in {d.into.currency}, {d.security.symbol} in {d.security.currency}: book a sale "
            "and a purchase instead"
        )  # fmt: skip
    if d.kind == "spin_off" and (d.fraction is None or not 0 <= d.fraction <= 1):
        raise LedgerError("fraction", d.fraction, "the share of the cost that moves is needed, from 0 to 1")


def _check_lots(d: Draft, in_kind: bool) -> None:
    """Chosen lots, and what a transfer in kind brings along."""
    if d.lots:
        if d.kind not in DISPOSING or (d.kind == "transfer_out" and not in_kind):
            raise LedgerError("lots", len(d.lots), f"{named(d.kind)} takes no units: lots cannot be chosen")
        if any(units <= 0 for _, units in d.lots):
            raise LedgerError(
                "lots", min(units for _, units in d.lots), "a positive number of units of each lot is needed"
            )
        chosen = sum((units for _, units in d.lots), Decimal(0))
        if chosen != d.quantity:
            raise LedgerError("lots", chosen, f"the units of the chosen lots must add up to the quantity, {d.quantity}")
        for _, units in d.lots:
            fits("lots", units, 10)
    carries = d.kind == "transfer_in" and in_kind
    for name, value in (("basis", d.basis), ("basis_base", d.basis_base), ("acquired", d.acquired_on)):
        if value is not None and not carries:
            raise LedgerError(name, value, "only units that are transferred in bring their cost and date along")
    for name, amount in (("basis", d.basis), ("basis_base", d.basis_base)):
        if amount is not None and amount < 0:
            raise LedgerError(name, amount, "a cost may not be negative")
    if d.acquired_on is not None and d.acquired_on > d.traded_on:
        raise LedgerError("acquired", d.acquired_on, f"it may not lie after the transfer, {d.traded_on}")


def _gross(d: Draft, in_kind: bool) -> Decimal:
    """The posted gross amount of a draft; checks what the kind needs."""
    if d.kind in ("split", "spin_off", "merger"):
        stock = d.kind != "merger" or d.into is not None
        what = "units received for those held" if d.kind == "spin_off" else "new units for old ones"
        if stock and (d.ratio is None or d.ratio <= 0):
            raise LedgerError("ratio", d.ratio, f"{named(d.kind)} needs its ratio: {what}, such as 4:1 or 1:3")
    elif d.ratio is not None:
        raise LedgerError("ratio", d.ratio, f"{named(d.kind)} has no ratio: leave it empty")
    if d.kind in ACTIONS and d.quantity is not None:
        raise LedgerError("quantity", d.quantity, f"{named(d.kind)} takes every unit that is held: leave it empty")
    if d.kind in ("split", "spin_off", "symbol_change"):
        for name in ("gross", "fees", "taxes", "price"):
            if getattr(d, name):
                raise LedgerError(
                    name,
                    getattr(d, name),
                    f"{named(d.kind)} moves no cash: book what was paid as a transaction of its own",
                )
        return Decimal(0)
    if d.kind == "merger":
        cash = d.gross or Decimal(0)
        if cash < 0 or (cash == 0 and d.into is None):
            raise LedgerError(
                "gross", d.gross, "the cash received, a positive amount, or the security that it ends in is needed"
            )
        if cash and d.into is not None and (d.price is None or d.price <= 0):
            raise LedgerError(
                "price", d.price, f"for cash and shares the price of one {d.into.symbol} on that day is needed"
            )
        return posted(cash, d.currency)
    if d.kind in TRADES or in_kind:
        if d.quantity is None or d.quantity <= 0:
            raise LedgerError("quantity", d.quantity, f"{named(d.kind)} needs a positive number of units")
        given = d.gross if d.gross is not None or not in_kind else d.basis if d.price is None else None
        if d.price is None and given is None:
            wanted = "its market value: a price or a gross amount" if in_kind else "a price or a gross amount"
            raise LedgerError("price", None, f"{named(d.kind)} needs {wanted}")
        if d.price is not None and d.price < 0:
            raise LedgerError("price", d.price, "a price may not be negative")
        if given is not None and given < 0:
            raise LedgerError("gross", given, "the gross amount is given as a positive amount")
        if d.price is not None:
            product = posted(d.quantity * d.price, d.currency)
            if given is None:
                return product
            if abs(given - product) > max(Decimal("0.05"), product / 200):
                raise LedgerError("gross", given, f"it does not agree with quantity × price = {product}")
        assert given is not None
        return posted(given, d.currency)
    amount = d.gross
    if amount is None and d.quantity is not None and d.price is not None:
        amount = d.quantity * d.price
    if amount is None:
        raise LedgerError("gross", None, f"{named(d.kind)} needs its amount")
    if amount == 0 or (amount < 0 and d.kind not in REFUNDABLE):
        raise LedgerError("gross", amount, f"the amount of {named(d.kind)} is given as a positive number")
    return posted(amount, d.currency)


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """The effective transactions (reversed ones and reversals left out), one array per column, in booking order.

    Quantities are integers of 1e-10, money integers of 1e-6: int64, or Python ints (dtype object) where a value does not
    fit. `ratio_new` units for `ratio_old` old ones, both 0 where there is no ratio. Ordered by trade date, corporate actions first, then as recorded. `details` has what few rows have.
    """

    portfolio: NDArray[np.int16]
    kind: NDArray[np.int8]
    security: NDArray[np.int32]  # 0: none
    quantity: NDArray[np.int64]
    ratio_new: NDArray[np.int64]
    ratio_old: NDArray[np.int64]
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
    details: Mapping[int, Detail] = field(default_factory=dict)  # by row

    def __len__(self) -> int:
        return len(self.kind)

    def upto(self, day: int) -> Ledger:
        """The transactions traded at or before `day`."""
        n = int(np.searchsorted(self.traded_on, day, side="right"))
        return self if n == len(self) else self.only(np.arange(n))

    def ratio_at(self, row: int) -> Fraction | None:
        """New units for one old of a row, None where it has none."""
        old = int(self.ratio_old[row])
        return Fraction(int(self.ratio_new[row]), old) if old else None

    def only(self, rows: NDArray[np.int64]) -> Ledger:
        """Some of its rows, in the order given."""
        details = self.details
        if details:
            place = {row: i for i, row in enumerate(rows.tolist()) if row in details}
            details = {i: details[row] for row, i in place.items()}
        return Ledger(
            **{name: getattr(self, name)[rows] for name in COLUMNS}, currencies=self.currencies, details=details
        )


COLUMNS = (
    "portfolio",
    "kind",
    "security",
    "quantity",
    "ratio_new",
    "ratio_old",
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
EXACT = ("quantity", "ratio_new", "ratio_old", "gross", "fees", "taxes", "net")  # int64, or Python ints
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


def sides(held: Decimal, units: Decimal) -> tuple[tuple[str, Decimal], ...]:
    """A plain fill (units bought positive, sold negative) against what is held (short negative): the trades that it is.

    What closes comes first: selling 150 of 100 held is a sell of 100 and a short of 50. For sources that know only B and S.
    """
    if units == 0:
        return ()
    closes = min(abs(units), abs(held)) if held * units < 0 else Decimal(0)
    closing, opening = ("cover", "buy") if units > 0 else ("sell", "short")
    parts = ((closing, closes), (opening, abs(units) - closes))
    return tuple((kind, part) for kind, part in parts if part)


def order_of(kind: str) -> int:
    """Corporate actions come before what else happens on their day."""
    return 0 if kind in ACTIONS else 1


def from_postings(postings: Iterable[Posting], portfolio: int = 0, ids: Sequence[UUID] | None = None) -> Ledger:
    """A Ledger of checked postings, ordered as the database orders them; `ids` in the order of the postings (default: 0, 1, 2 …).

    For the check before booking, scenarios, tests and notebooks.
    """
    given = list(postings)
    order = sorted(range(len(given)), key=lambda i: (given[i].traded_on, order_of(given[i].kind)))
    rows = [given[i] for i in order]
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
        "ids": [ids[i].bytes if ids is not None else i.to_bytes(16, "big") for i in order],
    }
    arrays: dict[str, Any] = {name: np.array(values, dtype=_DTYPES[name]) for name, values in columns.items()}
    arrays["quantity"] = fitting([whole(p.quantity, UNITS) for p in rows])
    for name in ("ratio_new", "ratio_old"):
        arrays[name] = fitting([getattr(p, name) or 0 for p in rows])
    for name in ("gross", "fees", "taxes", "net"):
        arrays[name] = fitting([whole(getattr(p, name), MICRO) for p in rows])
    details = {i: p.detail for i, p in enumerate(rows) if p.detail is not None}
    return Ledger(**arrays, currencies=currencies, details=details)


def around(ledger: Ledger, securities: set[int]) -> NDArray[np.int64]:
    """The rows of some securities, and of those that they came from or became."""
    return np.flatnonzero(np.isin(ledger.security, sorted(connected(securities, ledger))))


def joined(ledger: Ledger, more: Ledger) -> tuple[Ledger, NDArray[np.bool_]]:
    """Two ledgers in one, in booking order, and which rows came from `more`; its rows come last on their day."""
    currencies = tuple(sorted(set(ledger.currencies) | set(more.currencies)))
    place = {c: i for i, c in enumerate(currencies)}
    both: dict[str, Any] = {}
    for name in COLUMNS:
        parts = [getattr(x, name) for x in (ledger, more)]
        if name in ("currency", "cash_currency"):
            maps = [np.array([place[c] for c in x.currencies], np.int16) for x in (ledger, more)]
            parts = [m[p] if len(p) else p for m, p in zip(maps, parts, strict=True)]
        both[name] = np.concatenate(parts)
    after = np.array([order_of(k) for k in KINDS])[both["kind"]]
    order = np.lexsort((np.arange(len(after)), after, both["traded_on"]))
    details = {**ledger.details, **{i + len(ledger): d for i, d in more.details.items()}}
    merged = Ledger(**both, currencies=currencies, details=details).only(order)
    return merged, order >= len(ledger)


def renewed(ledger: Ledger, more: Ledger, gone: Collection[bytes]) -> tuple[Ledger, NDArray[np.int64]]:
    """A ledger with entries that were recorded later and without those of some ids, and the new place of each of its rows (−1: gone)."""
    stays = np.ones(len(ledger), np.bool_)
    if gone:
        wanted = set(gone)
        stays = np.array([number not in wanted for number in ledger.ids.tolist()], np.bool_)
    both, new = joined(ledger if stays.all() else ledger.only(np.flatnonzero(stays)), more)
    place = np.full(len(ledger), -1, np.int64)
    place[stays] = np.flatnonzero(~new)
    used = np.union1d(both.currency, both.cash_currency).astype(np.int64)
    changed: dict[str, Any] = {}
    if len(used) < len(both.currencies):
        for name in ("currency", "cash_currency"):
            changed[name] = np.searchsorted(used, getattr(both, name)).astype(np.int16)
        changed["currencies"] = tuple(both.currencies[i] for i in used.tolist())
    for name in EXACT:
        if getattr(both, name).dtype == object:
            changed[name] = fitting(getattr(both, name).tolist())
    return replace(both, **changed), place


def connected(securities: Collection[int], *ledgers: Ledger) -> set[int]:
    """Some securities, and those that they came from or became, however far."""
    links = [
        (int(ledger.security[row]), d.into)
        for ledger in ledgers
        for row, d in ledger.details.items()
        if d.into and row < len(ledger)
    ]
    found = set(securities)
    while more := {number for link in links if found & set(link) for number in link} - found:
        found |= more
    return found
