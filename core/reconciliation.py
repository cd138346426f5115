"""Reconciliation: our positions and cash on a day beside a custodian's statement, row by row, with what may explain a difference.

Ours is counted by settlement date, as custodians do, or by trade date; the other count stands beside it.
Verdicts: matched; quantity (units, or the balance of cash, differ); price; missing (we have it, they do not); extra (they do, we do not).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID

import numpy as np

from core import causes
from core.book import Action as KnownAction
from core.book import Book
from core.causes import Action, Cause, Entry, Gap
from core.fx import Rates, Series, day_number, day_of, exact
from core.ledger import KINDS, MICRO, UNITS, Ledger, LedgerError, Security
from core.money import posted
from core.ratio import times
from core.reasons import NoRate
from core.split_matching import ratio_of
from core.statement import Line
from core.unbooked import Unbooked, unbooked_splits, unpaid
from core.unbooked import completed as completed_by_splits
from core.valuation import lots_of

Basis = Literal["settlement", "trade"]
Verdict = Literal["matched", "quantity", "price", "missing", "extra"]
Decision = Literal["accepted", "open", "fixed"]
VERDICTS: tuple[Verdict, ...] = ("missing", "extra", "quantity", "price", "matched")
DECISIONS: tuple[Decision, ...] = ("accepted", "open", "fixed")
BASES: tuple[Basis, ...] = ("settlement", "trade")  # the date by which ours is counted
WHOLE = "*"  # the row key of a decision about the whole reconciliation


def checked_custodian(text: str) -> str:
    """Whose statement it is, without the spaces around the name. Raises LedgerError."""
    name = text.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise LedgerError("custodian", text, "the name of the custodian, 1 to 80 characters, is needed")
    return name


def checked_basis(basis: str) -> str:
    """One of BASES. Raises LedgerError."""
    if basis not in BASES:
        raise LedgerError("basis", basis, "settlement or trade is needed")
    return basis


def checked_decision(decision: str) -> str:
    """One of DECISIONS. Raises LedgerError."""
    if decision not in DECISIONS:
        raise LedgerError("decision", decision, "expected one of " + ", ".join(DECISIONS))
    return decision


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Differences up to these are none: units and cash as amounts, prices as a fraction of ours."""

    units: Decimal = Decimal("0.0001")
    price: Decimal = Decimal("0.005")
    cash: Decimal = Decimal("0.01")

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
                raise LedgerError(f"{f.name} tolerance", value, "a number of 0 or more is needed")
        if self.price >= 1:
            raise LedgerError("price tolerance", self.price, "a fraction below 1 is needed: 0.005 is half a per cent")


@dataclass(frozen=True, slots=True)
class Ours:
    """What the ledger says on a day, by both counts, and what is near enough to explain a difference."""

    on: date
    base: str
    securities: Mapping[int, Security]  # every one that a row may name
    settled: Mapping[int, Decimal]
    traded: Mapping[int, Decimal]
    settled_cash: Mapping[str, Decimal]
    traded_cash: Mapping[str, Decimal]
    prices: Mapping[int, Series]
    rates: Rates
    entries: tuple[Entry, ...]
    actions: tuple[Action, ...]
    unbooked: Sequence[Unbooked] = ()  # splits up to the day that are known and not booked, dividends that were not paid
    completed: Mapping[int, tuple[Decimal, Decimal]] = field(default_factory=dict)  # (settled, traded), had the splits been booked


@dataclass(frozen=True, slots=True)
class Row:
    """One security or one currency on both sides. Of cash only amounts: they stand as `units`. Differences are theirs − ours."""

    key: str  # "security:17", "cash:USD", "line:4" for a security that is not ours
    kind: Literal["position", "cash"]
    verdict: Verdict
    symbol: str
    name: str
    currency: str
    security: int | None
    our_units: Decimal | None
    our_other: Decimal | None  # by the other date
    their_units: Decimal | None
    unit_difference: Decimal | None
    our_price: Decimal | None
    priced_on: date | None
    their_price: Decimal | None  # in our currency of the security
    price_difference: Decimal | None  # a fraction of ours
    our_value: Decimal | None
    their_value: Decimal | None
    value_difference: Decimal | None
    causes: tuple[Cause, ...] = ()
    lines: tuple[int, ...] = ()  # of the statement

    def as_json(self) -> dict[str, Any]:
        """The row as it is kept: decimals and dates as text."""
        out = asdict(self)
        return {
            k: format(v, "f") if isinstance(v, Decimal) else v.isoformat() if isinstance(v, date) else v
            for k, v in out.items()
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Row:
        """The row that `as_json` gave."""
        out = dict(kept)
        for name in _DECIMALS:
            out[name] = None if out[name] is None else Decimal(out[name])
        out["priced_on"] = date.fromisoformat(out["priced_on"]) if out["priced_on"] else None
        out["causes"] = tuple(Cause(c["code"], c["text"], c["strong"], tuple(c["transactions"])) for c in out["causes"])
        out["lines"] = tuple(out["lines"])
        return cls(**out)


_DECIMALS = ("our_units", "our_other", "their_units", "unit_difference", "our_price", "their_price", "price_difference", "our_value", "their_value",
             "value_difference")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """Every row, differences first, and what was not compared."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def count(self, verdict: str) -> int:
        """Rows of one verdict."""
        return sum(r.verdict == verdict for r in self.rows)


@dataclass(frozen=True, slots=True)
class SignOff:
    """A decision about a row (or the whole: WHOLE), with who and when."""

    row_key: str
    decision: Decision
    comment: str
    signed_by: str
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A reconciliation as it was kept: what was uploaded, what was found, what was decided since."""

    reconciliation_id: UUID | None  # None: a dry run
    custodian: str
    statement_on: date
    basis: Basis
    file_name: str
    tolerances: Tolerances
    result: Result
    lines: tuple[Line, ...]
    made_at: datetime
    made_by: str
    known_at: datetime
    signoffs: tuple[SignOff, ...] = ()  # oldest first

    def decision(self, key: str) -> SignOff | None:
        """The last decision about a row; None where there is none."""
        return next((s for s in reversed(self.signoffs) if s.row_key == key), None)

    def is_settled(self, row: Row) -> bool:
        """Whether nothing is left to do about a row: it matched, or was accepted or fixed."""
        last = self.decision(row.key)
        return last.decision != "open" if last else row.verdict == "matched"

    @property
    def open_rows(self) -> int:
        """Differences that nobody has settled."""
        return sum(not self.is_settled(r) for r in self.result.rows)

    @property
    def state(self) -> str:
        """ "signed off" (the whole), "settled" (nothing open), "open"."""
        whole = self.decision(WHOLE)
        if whole is not None and whole.decision != "open":
            return "signed off"
        return "open" if self.open_rows else "settled"


@dataclass(frozen=True, slots=True)
class Change:
    """A row then and now. `state`: fixed, changed, unchanged, new (it matched then, or was not there)."""

    state: Literal["fixed", "changed", "unchanged", "new"]
    then: Row | None
    now: Row | None


# --- our side ----------------------------------------------------------------------------------


def ours(book: Book, on: date, securities: Mapping[int, Security], actions: Sequence[Action] = ()) -> Ours:
    """Our side of a comparison at the end of a day. `book` holds the whole ledger, later bookings included: they explain too.

    By settlement date: what is held by trade date less what had not settled, scaled by splits since its trade.
    """
    ledger, day = book.ledger, day_number(on)
    known = {**securities, **book.securities}
    moves = lots_of(book, int(ledger.traded_on[-1]) if len(ledger) else day).moves
    moved: dict[int, list[tuple[date, Decimal]]] = {}
    of_row: dict[int, list[tuple[int, Decimal]]] = {}
    for row, security, moved_on, delta in zip(
        moves.row.tolist(), moves.security.tolist(), moves.day.tolist(), moves.delta.tolist(), strict=True
    ):
        units = Decimal(delta) / UNITS
        moved.setdefault(security, []).append((day_of(moved_on), units))
        of_row.setdefault(row, []).append((security, units))
    traded: dict[int, Decimal] = {s: sum((u for d, u in its if d <= on), Decimal(0)) for s, its in moved.items()}
    told = book.with_other(actions=_by_security(actions))
    lacking = [f for f in unbooked_splits(told, day) if f.is_bookable]
    splits = [(int(ledger.security[i]), int(ledger.traded_on[i]), ledger.ratio_at(i) or Fraction(1))
              for i in np.flatnonzero(ledger.kind == KINDS.index("split")).tolist()]  # fmt: skip
    more = [(f.security.security_id, day_number(f.action.ex_on), f.action.ratio or Fraction(1)) for f in lacking]
    settled, completed = dict(traded), dict[int, tuple[Decimal, Decimal]]()
    for security, units in _unsettled(ledger, of_row, day, splits).items():
        settled[security] -= units
    later = _unsettled(ledger, of_row, day, [*splits, *more])
    for security in {f.security.security_id for f in lacking}:
        whole = completed_by_splits(told, day)[security].units.overnight(day + 1)
        completed[security] = (whole - later.get(security, Decimal(0)), whole)
    cash: dict[str, dict[str, Decimal]] = {"traded_on": {}, "settles_on": {}}
    for name, by in cash.items():
        done = getattr(ledger, name) <= day
        for i, currency in enumerate(ledger.currencies):
            mine = ledger.net[done & (ledger.cash_currency == i)]
            if len(mine):
                by[currency] = Decimal(int(mine.sum())) / MICRO
    entries: list[Entry] = []
    near = (ledger.traded_on >= day - causes.LOOKBACK.days) & (ledger.traded_on <= day + causes.PAY_NEAR.days)
    near |= (ledger.kind == KINDS.index("split")) & (ledger.traded_on <= day)  # a split is a cause whatever its age
    for row in np.flatnonzero(near).tolist():
        entries += _entries(book, known, row, of_row.get(row, ()))
    return Ours(on, book.base, known, settled, traded, cash["settles_on"], cash["traded_on"], book.prices, book.rates, tuple(entries),
                tuple(actions), (*lacking, *unpaid(told, day, ("announced", "awaited", "not booked"))), completed)  # fmt: skip


def _by_security(actions: Sequence[Action]) -> dict[int, tuple[KnownAction, ...]]:
    out: dict[int, tuple[KnownAction, ...]] = {}
    for a in sorted(actions, key=lambda a: a.ex_on):
        known = KnownAction(a.security, a.kind, a.ex_on, a.pay_on, a.amount, a.currency, a.ratio)
        out[a.security] = (*out.get(a.security, ()), known)
    return out


def _unsettled(
    ledger: Ledger,
    of_row: Mapping[int, Sequence[tuple[int, Decimal]]],
    day: int,
    splits: Sequence[tuple[int, int, Fraction]],
) -> dict[int, Decimal]:
    """By security: units traded up to a day and not settled then, scaled by the splits (security, day, ratio) since their trade."""
    out: dict[int, Decimal] = {}
    for row in np.flatnonzero((ledger.traded_on <= day) & (ledger.settles_on > day)).tolist():
        for security, units in of_row.get(row, ()):
            since = Fraction(1)
            for s, split_on, ratio in splits:
                if s == security and int(ledger.traded_on[row]) < split_on <= day:
                    since *= ratio
            out[security] = out.get(security, Decimal(0)) + times(units, since).quantize(Decimal(1) / UNITS)
    return out


def _entries(
    book: Book, known: Mapping[int, Security], row: int, moved: Sequence[tuple[int, Decimal]]
) -> Iterator[Entry]:
    """A ledger row as bookings: one for each security that it moves, the cash with the first."""
    ledger = book.ledger
    kind, own = KINDS[int(ledger.kind[row])], int(ledger.security[row])
    number = str(UUID(bytes=bytes(ledger.ids[row])))
    ratio = ledger.ratio_at(row) if kind == "split" else None
    money = {n: Decimal(int(getattr(ledger, n)[row])) / MICRO for n in ("net", "gross", "fees", "taxes")}
    for i, (security, units) in enumerate(moved or [(own, Decimal(0))]):
        symbol = known[security].symbol if security in known else ""
        yield Entry(
            number, kind, security, symbol, day_of(int(ledger.traded_on[row])), day_of(int(ledger.settles_on[row])), units,
            money["net"] if i == 0 else Decimal(0), ledger.currencies[int(ledger.cash_currency[row])], money["gross"], money["fees"],
            money["taxes"], bool(ledger.with_fx[row]), ratio,
        )  # fmt: skip


# --- the comparison ----------------------------------------------------------------------------


@dataclass
class _Comparison:
    """One comparison under way."""

    ours: Ours
    tolerances: Tolerances
    basis: Basis
    rows: list[Row] = field(default_factory=list)

    def units(self, security: int) -> tuple[Decimal, Decimal]:
        """Ours by the count that is compared, and by the other."""
        both = self.ours.settled.get(security, Decimal(0)), self.ours.traded.get(security, Decimal(0))
        return both if self.basis == "settlement" else both[::-1]

    def balance(self, currency: str) -> tuple[Decimal, Decimal]:
        """The same of cash."""
        both = self.ours.settled_cash.get(currency, Decimal(0)), self.ours.traded_cash.get(currency, Decimal(0))
        return both if self.basis == "settlement" else both[::-1]

    def position(self, security: int, lines: Sequence[Line]) -> None:
        """The row of one of our securities."""
        o, t = self.ours, self.tolerances
        s = o.securities[security]
        mine, other = self.units(security)
        theirs = sum((x.quantity for x in lines if x.quantity is not None), Decimal(0))
        if abs(mine) <= t.units and abs(theirs) <= t.units:
            return
        price, priced_on = self.price(security)
        their_price, their_value = self.their_price(s, lines)
        difference = theirs - mine
        off = None if not price or their_price is None else their_price / price - 1
        verdict: Verdict = "matched"
        if not lines or (abs(theirs) <= t.units < abs(mine)):
            verdict = "missing"
        elif abs(mine) <= t.units:
            verdict = "extra"
        elif abs(difference) > t.units:
            verdict = "quantity"
        elif off is not None and abs(off) > t.price:
            verdict = "price"
        our_value = None if price is None else posted(mine * price, s.currency)
        closes = self.closes(security)
        mine_entries = [e for e in o.entries if e.security == security]
        gap = Gap(
            o.on, self.basis, mine, theirs, t.units, mine_entries, [e.units for e in mine_entries],
            [a for a in o.actions if a.security == security], price, their_price, t.price, closes,
            currency=s.currency, base=o.base, rates=o.rates,
            unbooked=[(f.action.ex_on, ratio_of(f.action)) for f in o.unbooked if f.is_split and f.security.security_id == security],
            completed=None if security not in o.completed else o.completed[security][self.basis == "trade"],
        )  # fmt: skip
        why: tuple[Cause, ...] = ()
        if verdict in ("missing", "extra", "quantity"):
            why = causes.of_position(gap)
        elif verdict == "price":
            why = causes.of_price(gap, priced_on)
        self.rows.append(Row(
            f"security:{security}", "position", verdict, s.symbol, s.name, s.currency, security, mine, other, theirs if lines else None, difference,
            price, priced_on, their_price, off, our_value, their_value,
            _difference(our_value, their_value, missing=not lines, extra=not mine), why, tuple(x.line for x in lines),
        ))  # fmt: skip

    def price(self, security: int) -> tuple[Decimal | None, date | None]:
        """Our close at the day of the statement, and its day."""
        series = self.ours.prices.get(security)
        found = series.at(day_number(self.ours.on)) if series is not None else None
        return (None, None) if found is None else (exact(found[1]), day_of(found[0]))

    def closes(self, security: int) -> list[tuple[date, Decimal]]:
        """Our closes around the statement."""
        series = self.ours.prices.get(security)
        if series is None:
            return []
        day, span = day_number(self.ours.on), causes.STALE.days
        inside = (series.days >= day - span) & (series.days <= day + span)
        return [
            (day_of(d), exact(v))
            for d, v in zip(series.days[inside].tolist(), series.values[inside].tolist(), strict=True)
        ]

    def their_price(self, s: Security, lines: Sequence[Line]) -> tuple[Decimal | None, Decimal | None]:
        """Their price and value in the security's currency: of several lines the first price and the sum."""
        day = day_number(self.ours.on)
        rate: Decimal | NoRate = Decimal(1)
        currency = next((x.currency for x in lines if x.currency), s.currency)
        if currency != s.currency:
            rate = self.ours.rates.rate(currency, s.currency, day)
        if isinstance(rate, NoRate):
            return None, None
        price = next((x.price for x in lines if x.price is not None), None)
        values = [
            x.value if x.value is not None else None if x.price is None or x.quantity is None else x.quantity * x.price
            for x in lines
        ]
        value = (
            None
            if not values or None in values
            else posted(sum((v for v in values if v is not None), Decimal(0)) * rate, s.currency)
        )
        return None if price is None else (price * rate).quantize(Decimal("1e-10")), value

    def unknown(self, line: Line) -> None:
        """The row of a line whose security is not ours."""
        if line.quantity is None or abs(line.quantity) <= self.tolerances.units:
            return
        named = line.symbol or line.isin or line.name
        cause = Cause(
            "unknown",
            f"Line {line.line}: no security here has {_names(line)}; add it under Securities, or correct the line.",
            False,
        )
        value = line.value if line.value is not None else None if line.price is None else line.quantity * line.price
        self.rows.append(Row(f"line:{line.line}", "position", "extra", named, line.name, line.currency, None, None, None, line.quantity, line.quantity,
                             None, None, line.price, None, None, value, value, (cause,), (line.line,)))  # fmt: skip

    def cash(self, currency: str, lines: Sequence[Line]) -> None:
        """The row of one currency."""
        o, t = self.ours, self.tolerances
        mine, other = self.balance(currency)
        theirs = sum((x.value for x in lines if x.value is not None), Decimal(0))
        if abs(mine) <= t.cash and abs(theirs) <= t.cash:
            return
        difference = theirs - mine
        verdict: Verdict = "matched" if abs(difference) <= t.cash else "quantity"
        if verdict != "matched" and not lines:
            verdict = "missing"
        elif verdict != "matched" and abs(mine) <= t.cash:
            verdict = "extra"
        why: tuple[Cause, ...] = ()
        if verdict != "matched":
            its = [e for e in o.entries if e.cash_currency == currency]
            gap = Gap(
                o.on,
                self.basis,
                mine,
                theirs,
                t.cash,
                its,
                [e.cash for e in its],
                dividends=self.unbooked(currency),
                currency=currency,
            )
            why = causes.of_cash(gap)
        self.rows.append(Row(f"cash:{currency}", "cash", verdict, f"Cash {currency}", f"Cash in {currency}", currency, None, mine, other,
                             theirs if lines else None, difference, None, None, None, None, mine, theirs if lines else None, difference, why,
                             tuple(x.line for x in lines)))  # fmt: skip

    def unbooked(self, currency: str) -> list[tuple[Action, Decimal, str]]:
        """Dividends that are known, fell on what was held, and are not booked: (which, its cash before tax, symbol)."""
        found = [f for f in self.ours.unbooked if not f.is_split and f.units > 0 and f.currency == currency]
        return [
            (
                Action(f.security.security_id, "dividend", f.action.ex_on, None, f.action.amount, currency),
                f.due or Decimal(0),
                f.security.symbol,
            )
            for f in found
        ]


def _difference(our_value: Decimal | None, their_value: Decimal | None, missing: bool, extra: bool) -> Decimal | None:
    """Theirs − ours; a side that has nothing counts as nothing, one that has no price makes it unknown."""
    mine, theirs = Decimal(0) if extra else our_value, Decimal(0) if missing else their_value
    return None if mine is None or theirs is None else theirs - mine


def _names(line: Line) -> str:
    parts = [
        f"{what} {value}"
        for what, value in (("ISIN", line.isin), ("symbol", line.symbol), ("name", line.name))
        if value
    ]
    return " or ".join(parts[:2])


def compare(ours: Ours, lines: Sequence[Line], tolerances: Tolerances, basis: Basis = "settlement") -> Result:
    """Ours beside theirs. `lines` are identified (`core.statement.identified`); pure in everything that is given.

    A statement without any cash line says nothing about cash, one without any position nothing about positions: noted, not missing.
    """
    c = _Comparison(ours, tolerances, basis)
    positions = [x for x in lines if x.kind == "position"]
    cash = [x for x in lines if x.kind == "cash"]
    notes = []
    if positions:
        theirs: dict[int, list[Line]] = {}
        for x in positions:
            if x.security is None or x.security not in ours.securities:
                c.unknown(x)
            else:
                theirs.setdefault(x.security, []).append(x)
        for security in sorted({*theirs, *ours.settled, *ours.traded}):
            if security in ours.securities:
                c.position(security, theirs.get(security, ()))
        c.rows = _with_renamed(c.rows, tolerances.units)
    else:
        notes.append("The statement has no positions: only cash was compared.")
    if cash:
        balances: dict[str, list[Line]] = {}
        for x in cash:
            balances.setdefault(x.currency, []).append(x)
        for currency in sorted({*balances, *ours.settled_cash, *ours.traded_cash}):
            c.cash(currency, balances.get(currency, ()))
    else:
        notes.append("The statement has no cash: only positions were compared.")
    rows = sorted(c.rows, key=lambda r: (VERDICTS.index(r.verdict), r.kind == "cash", r.symbol))
    return Result(tuple(rows), tuple(notes))


def _with_renamed(rows: Sequence[Row], tolerance: Decimal) -> list[Row]:
    """The rows, with a cause where a missing and an extra one have equal units."""
    missing = {r.symbol: r.our_units or Decimal(0) for r in rows if r.verdict == "missing"}
    extra = {r.symbol: r.their_units or Decimal(0) for r in rows if r.verdict == "extra"}
    out = []
    for r in rows:
        if r.verdict == "missing":
            found = tuple(causes.renamed(extra, r.our_units or Decimal(0), tolerance, "is on the statement"))
        elif r.verdict == "extra":
            found = tuple(
                causes.renamed(missing, r.their_units or Decimal(0), tolerance, "is held here and not there,")
            )
        else:
            found = ()
        out.append(replace(r, causes=(r.causes + found)[: causes.MOST]) if found else r)
    return out


def since(then: Result, now: Result) -> list[Change]:
    """What became of each difference: `then` was kept, `now` is the same statement beside today's ledger. Matched then and now: left out."""
    before, after = {r.key: r for r in then.rows}, {r.key: r for r in now.rows}
    out = []
    for key in dict.fromkeys([*before, *after]):
        a, b = before.get(key), after.get(key)
        differed = a is not None and a.verdict != "matched"
        differs = b is not None and b.verdict != "matched"
        if not differed and not differs:
            continue
        if differed and not differs:
            out.append(Change("fixed", a, b))
        elif not differed:
            out.append(Change("new", a, b))
        else:
            assert a is not None
            assert b is not None
            same = (a.verdict, a.unit_difference, a.price_difference) == (
                b.verdict,
                b.unit_difference,
                b.price_difference,
            )
            out.append(Change("unchanged" if same else "changed", a, b))
    return out
