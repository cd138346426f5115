"""Statement of a period: realised + unrealised + income − costs = gain = end − start − flows, to the cent, by position and as a whole.

Every entry counts with its amounts in the base currency as they are posted, every position with its value; the rounded value of the
portfolio is spread over positions and cash. So all of it adds up without a rest, and periods that follow each other do too.
The lines are those of Portfolio Performance's calculation panel (`ClientPerformanceSnapshot`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_FLOOR, Decimal
from typing import TypeVar

import numpy as np

from core.book import Book
from core.entry_amounts import EntryAmounts, entry_amounts
from core.fx import day_of
from core.ledger import KINDS, MICRO, TRANSFERS, connected
from core.lots import totals
from core.money import minor_units, posted
from core.period_lots import Counted, period_lots
from core.reasons import NoPrice, NoRate
from core.stretch import Stretch, currency_part
from core.valuation import Position, Valuation, lots_of

K = TypeVar("K")
Why = NoPrice | NoRate
ZERO = Decimal(0)
# of what has nothing else in a period, what is still held is counted from its value at the start and what was added
ADDING = frozenset({"buy", "short", "transfer_in", "split", "dividend", "interest", "fee", "tax"})
EARNED = ("unrealised", "realised", "dividends", "interest", "fees", "taxes", "cash_currency", "exchange")
FLOWS = ("deposits", "withdrawals", "transfers_in", "transfers_out")
LINE_OF = {"dividend": "dividends", "interest": "interest", "fee": "fees", "tax": "taxes", "fx_in": "exchange", "fx_out": "exchange",
           "deposit": "deposits", "withdrawal": "withdrawals", "transfer_in": "transfers_in", "transfer_out": "transfers_out",
           "buy": "purchases", "cover": "purchases", "sell": "sales", "short": "sales", "return_of_capital": "sales",
           "merger": "sales"}  # fmt: skip
OF_CASH = frozenset({"deposit", "withdrawal", "fx_in", "fx_out"})  # they belong to no security


@dataclass(frozen=True, slots=True)
class Item:
    """One amount of one entry on one line of the statement, in the base currency, with the sign with which it adds up. `security` is
    0 of what belongs to none. The line "moved" is the value that a corporate action took from one security to another."""

    row: int
    security: int
    line: str
    amount: Decimal
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Amounts:
    """The lines of one position, of the cash, of a group or of all, in the base currency, each with its sign.

    end = start + purchases + sales + transfers + unrealised + realised of a position; end = start + transfers + gain of the whole,
    where `transfers` are deposits, withdrawals and transfers. `unrounded` is the gain before any amount was posted.
    """

    start: Decimal = ZERO
    end: Decimal = ZERO
    purchases: Decimal = ZERO
    sales: Decimal = ZERO
    transfers: Decimal = ZERO
    unrealised: Decimal = ZERO
    unrealised_currency: Decimal = ZERO
    realised: Decimal = ZERO
    realised_currency: Decimal = ZERO
    dividends: Decimal = ZERO
    interest: Decimal = ZERO
    fees: Decimal = ZERO
    taxes: Decimal = ZERO
    cash_currency: Decimal = ZERO
    exchange: Decimal = ZERO
    since_purchase: Decimal = ZERO
    unrounded: Decimal = ZERO

    @property
    def gain(self) -> Decimal:
        """unrealised + realised + dividends + interest + fees + taxes + currency gains of the cash + margin of exchanges."""
        return sum((getattr(self, name) for name in EARNED), ZERO)

    @property
    def currency_gain(self) -> Decimal:
        """The currency part of the gain: of what is held, of what was sold, and of the cash."""
        return self.unrealised_currency + self.realised_currency + self.cash_currency

    @property
    def local_gain(self) -> Decimal:
        """gain − currency part."""
        return self.gain - self.currency_gain

    @property
    def seen(self) -> bool:
        """Whether anything was held or moved."""
        return any(getattr(self, f.name) for f in fields(self))


def added(parts: Iterable[Amounts]) -> Amounts:
    """Several as one."""
    found = list(parts)
    return Amounts(**{f.name: sum((getattr(p, f.name) for p in found), ZERO) for f in fields(Amounts)})


@dataclass(frozen=True, slots=True)
class PeriodStatement:
    """A period taken apart. Law: opening.total + flows + left_out + total.gain = closing.total, to the cent.

    `start` is the day whose close it starts from, `end` its last day (day numbers). `flows` are deposits, withdrawals, transfers in
    and out, by line. `left_out` holds the securities and currencies that cannot be valued, with the reason: what went in and out of
    them, `left_out_amount`, is no gain. `marks` are the values at both ends as they add up, by security (an int) and currency.
    """

    start: int
    end: int
    opening: Valuation
    closing: Valuation
    positions: Mapping[int, Amounts]
    cash: Amounts
    total: Amounts
    flows: Mapping[str, Decimal]
    left_out: Mapping[int | str, Why]
    left_out_amount: Decimal
    items: tuple[Item, ...]
    stretches: tuple[Stretch, ...]
    marks: tuple[Mapping[int | str, Decimal], Mapping[int | str, Decimal]]

    @property
    def flow(self) -> Decimal:
        """Deposits and what was transferred in less withdrawals and what was transferred out."""
        return sum(self.flows.values(), ZERO)


def apportioned(total: Decimal, parts: Mapping[K, Decimal], currency: str) -> dict[K, Decimal]:
    """The parts rounded to the currency's minor unit so that they add up to the total, which is their rounded sum.

    All are rounded down; the steps that are left go to those with the largest remainder, equal ones in their order. What is a whole
    number of steps stays as it is.
    """
    step = Decimal(1).scaleb(-minor_units(currency))
    low = {key: (amount / step).to_integral_value(ROUND_FLOOR) for key, amount in parts.items()}
    order = sorted(parts, key=lambda key: low[key] - parts[key] / step)  # a stable sort: the largest remainder first
    left = int(total / step - sum(low.values(), ZERO))
    for i in range(abs(left)):
        low[order[i % len(order)] if left > 0 else order[-1 - i % len(order)]] += 1 if left > 0 else -1
    return {key: posted(steps * step, currency) for key, steps in low.items()}


def period_statement(book: Book, start: int, end: int, opening: Valuation, closing: Valuation) -> PeriodStatement:
    """The statement of the days after `start` up to `end` (day numbers), between the valuations of both.

    A position counts from its value at the start or from its purchase, by the cost method of the portfolio; fees and taxes, those of
    trades too, are lines of their own. What came or left in kind counts at its market value of that day, what one security became by
    a corporate action leaves it at the value that the other one begins with. A security without a price or rate at either end, or
    with an entry on a day without a rate, is left out, and so is cash in a currency without one.
    """
    return _Period(book, start, end, opening, closing).statement()


class _Period:
    """The working of one statement."""

    def __init__(self, book: Book, start: int, end: int, opening: Valuation, closing: Valuation) -> None:
        self.book, self.start, self.end, self.opening, self.closing = book, start, end, opening, closing
        self.ledger = book.ledger.upto(end)
        self.rows = np.flatnonzero(self.ledger.traded_on > start).tolist()
        self.kind = [KINDS[k] for k in self.ledger.kind.tolist()]
        self.marks = tuple(_marks(v, book, day) for v, day in ((opening, start), (closing, end)))
        self.left_out: dict[int | str, Why] = {}
        for valuation, day in ((opening, start), (closing, end)):
            self._unvalued(valuation, day)
        self.amounts = self._amounts()
        self.items: list[Item] = []
        for row, found in self.amounts.items():
            if isinstance(found, EntryAmounts):
                self.items += self._items(row, found)

    def _unvalued(self, valuation: Valuation, day: int) -> None:
        for p in valuation.positions:
            if p.value_base is None and p.reason is not None:
                self.left_out.setdefault(p.security.security_id, p.reason)
        for currency, amount in valuation.cash.items():
            rate = self.book.rates.rate(currency, self.book.base, day)
            if amount and isinstance(rate, NoRate):
                self.left_out.setdefault(currency, rate)

    def _amounts(self) -> dict[int, EntryAmounts | NoRate]:
        """Of every entry of the period that has any; without a rate its security and its cash are left out."""
        out: dict[int, EntryAmounts | NoRate] = {}
        for row in self.rows:
            ledger = self.ledger
            if not (ledger.gross[row] or ledger.fees[row] or ledger.taxes[row]):
                continue
            found = out[row] = entry_amounts(ledger, row, self.book.rates, self.book.base)
            if isinstance(found, NoRate):
                if security := self._security(row):
                    self.left_out.setdefault(security, found)
                if ledger.net[row]:
                    self.left_out.setdefault(ledger.currencies[int(ledger.cash_currency[row])], found)
        return out

    def _security(self, row: int) -> int:
        return 0 if self.kind[row] in OF_CASH else int(self.ledger.security[row])

    def _items(self, row: int, found: EntryAmounts) -> list[Item]:
        """The amounts of one entry by line."""
        kind, security = self.kind[row], self._security(row)
        line = LINE_OF[kind]
        if kind in TRANSFERS and security:
            parts = ((line, found.worth), ("fees", found.fees), ("taxes", found.taxes))
        elif line in FLOWS:
            parts = ((line, found.net),)  # type: ignore[assignment]
        else:
            gross = -found.gross if line in ("purchases", "sales") else found.gross
            parts = ((line, gross), ("fees", found.fees), ("taxes", found.taxes))
        return [Item(row, security, name, amount, found.rate) for name, amount in parts if amount]

    # --- positions ---

    def _counted(self) -> dict[int, Counted]:
        """What each position is counted at when the period begins: 1e-6 of its currency, and of the base currency."""
        out: dict[int, Counted] = {}
        for p in self.opening.positions:
            number = p.security.security_id
            mark = self.marks[0].get(number)
            local = mark if p.security.currency == self.book.base else p.value
            out[number] = (int((local or ZERO) * MICRO), None if mark is None else int(mark * MICRO))
        return out

    def _stretches(self) -> tuple[list[Stretch], list[Item], Mapping[int, Decimal]]:
        """(what the units of every position were counted from and ended as, what corporate actions moved, the same not rounded)."""
        ledger, counted = self.ledger, self._counted()
        busy = {int(ledger.security[row]) for row in self.rows if self.kind[row] not in ADDING and ledger.security[row]}
        out: list[Stretch] = []
        moved: list[Item] = []
        exact: dict[int, Decimal] = {}
        if busy := connected(busy, ledger):
            lots = period_lots(self.book, self.start, self.end, busy, counted, self.amounts)
            for number in busy:
                counted.pop(number, None)
            counted.update(lots.counted)
            out += lots.ended
            for row, old, new, value, unrounded in lots.moved:
                rate = value / unrounded if unrounded else ZERO
                moved += [Item(row, old, "moved", -value, rate), Item(row, new, "moved", value, rate)]
                for number, sign in ((old, -1), (new, 1)):
                    exact[number] = exact.get(number, ZERO) + sign * unrounded
            self._began_unknown(lots.unknown, busy)
        for row in self.rows:
            number = self._security(row)
            found = self.amounts.get(row)
            if number and number not in busy and LINE_OF.get(self.kind[row]) in ("purchases", "sales", "transfers_in"):
                sign = -1 if self.kind[row] == "short" else 1
                base = ZERO if found is None else None if isinstance(found, NoRate) else found.worth or -found.gross
                at = counted.get(number, (0, 0))
                known = None if at[1] is None or base is None else at[1] + int(base * MICRO)
                counted[number] = (at[0] + sign * int(ledger.gross[row]), known)
        return [*out, *(one for p in self.closing.positions if (one := self._still_held(p, counted)) is not None)], moved, exact

    def _began_unknown(self, numbers: Iterable[int], busy: Iterable[int]) -> None:
        """Securities that began from one whose value is not known."""
        for number in numbers:
            why = next((self.left_out[n] for n in sorted(busy) if n in self.left_out), None)
            self.left_out.setdefault(number, why or NoPrice(self.book.securities[number].symbol, day_of(self.start)))

    def _still_held(self, p: Position, counted: Mapping[int, Counted]) -> Stretch | None:
        number, base = p.security.security_id, self.book.base
        mark, (start, start_base) = self.marks[1].get(number), counted.get(number, (0, 0))
        if mark is None or start_base is None or p.rate is None or p.value is None:
            return None
        at, at_base = Decimal(start) / MICRO, Decimal(start_base) / MICRO
        local = mark if p.security.currency == base else p.value
        return Stretch(number, "held", p.units, at, at_base, local, mark, p.rate, currency_part(at, at_base, p.rate, base))

    # --- together ---

    def statement(self) -> PeriodStatement:
        """All of it."""
        stretches, moved, moved_exact = self._stretches()
        self.items += moved
        by_line: dict[tuple[int, str], Decimal] = {}
        for item in self.items:
            key = (item.security, item.line)
            by_line[key] = by_line.get(key, ZERO) + item.amount
        ends: dict[tuple[int, bool], tuple[Decimal, Decimal]] = {}
        for one in stretches:
            place = (one.security, one.how == "sold")
            gain, currency = ends.get(place, (ZERO, ZERO))
            ends[place] = (gain + one.gain, currency + one.currency_gain)
        since, exact = self._since_purchase(), self._unrounded(moved_exact)
        numbers = {n for n, _ in by_line if n} | {n for n, _ in ends} | {n for m in self.marks for n in m if isinstance(n, int)} | {
            n for n in self.left_out if isinstance(n, int)} | since.keys()  # fmt: skip
        positions = {n: self._position(n, by_line, ends, since.get(n, ZERO), exact.get(n, ZERO)) for n in sorted(numbers)}
        positions = {n: amounts for n, amounts in positions.items() if amounts.seen or n in self.left_out}
        cash = self._cash(by_line, exact[0])
        flows = {name: sum((i.amount for i in self.items if i.line == name), ZERO) for name in FLOWS}
        total = added([*positions.values(), cash])
        rest = self.closing.total - self.opening.total - total.transfers - total.gain
        return PeriodStatement(self.start, self.end, self.opening, self.closing, positions, cash, total, flows, self.left_out, rest,
                               tuple(self.items), tuple(stretches), (self.marks[0], self.marks[1]))  # fmt: skip

    def _position(
        self,
        number: int,
        by_line: Mapping[tuple[int, str], Decimal],
        ends: Mapping[tuple[int, bool], tuple[Decimal, Decimal]],
        since: Decimal,
        exact: Decimal,
    ) -> Amounts:
        line = {name: by_line.get((number, name), ZERO) for name in (*EARNED, *FLOWS, "purchases", "sales", "moved")}
        worth = (self.marks[0].get(number, ZERO), self.marks[1].get(number, ZERO))
        transfers = line["transfers_in"] + line["transfers_out"] + line["moved"]
        facts = Amounts(*worth, line["purchases"], line["sales"], transfers, since_purchase=since)
        if number in self.left_out:
            return facts
        held, sold = ends.get((number, False), (ZERO, ZERO)), ends.get((number, True), (ZERO, ZERO))
        return Amounts(*worth, line["purchases"], line["sales"], transfers, *held, *sold, line["dividends"], line["interest"], line["fees"],
                       line["taxes"], since_purchase=since, unrounded=exact)  # fmt: skip

    def _cash(self, by_line: Mapping[tuple[int, str], Decimal], exact: Decimal) -> Amounts:
        """Interest, fees and taxes that belong to no security, the margin of exchanges, and what exchange rates did to balances."""
        line = {name: by_line.get((0, name), ZERO) for name in (*EARNED, *FLOWS)}
        moved: dict[str, Decimal] = {}
        for row, found in self.amounts.items():
            if isinstance(found, EntryAmounts):
                currency = self.ledger.currencies[int(self.ledger.cash_currency[row])]
                moved[currency] = moved.get(currency, ZERO) + found.net
        worth = tuple(sum((v for k, v in m.items() if isinstance(k, str)), ZERO) for m in self.marks)
        turned = ZERO
        for currency in {k for m in self.marks for k in m if isinstance(k, str)} | moved.keys():
            if currency not in self.left_out:
                before, now = (m.get(currency, ZERO) for m in self.marks)
                turned += now - before - moved.get(currency, ZERO)
        return Amounts(worth[0], worth[1], transfers=sum((line[name] for name in FLOWS), ZERO), interest=line["interest"], fees=line["fees"],
                       taxes=line["taxes"], cash_currency=turned, exchange=line["exchange"], unrounded=exact)  # fmt: skip

    def _since_purchase(self) -> dict[int, Decimal]:
        """By security: what was realised in the period against the cost of the purchase, as booked."""
        closed = lots_of(self.book, self.end).closed
        gains, known = closed.gains()
        inside = known & (closed.closed_on > self.start)
        return {n: Decimal(gain) / MICRO for n, gain in totals(closed.security[inside], gains[inside]).items()}

    def _unrounded(self, moved: Mapping[int, Decimal]) -> dict[int, Decimal]:
        """The gain of each position, and of the cash under 0, before anything is rounded: end − start − put in + taken out."""
        out: dict[int, Decimal] = {0: ZERO}
        for valuation, day, sign in ((self.opening, self.start, -1), (self.closing, self.end, 1)):
            for p in valuation.positions:
                number = p.security.security_id
                out[number] = out.get(number, ZERO) + sign * (p.value_base or ZERO)
            for currency, amount in valuation.cash.items():
                rate = self.book.rates.rate(currency, self.book.base, day)
                out[0] += ZERO if isinstance(rate, NoRate) else sign * amount * rate
        for number, amount in moved.items():
            out[number] = out.get(number, ZERO) - amount
        for row, found in self.amounts.items():
            if not isinstance(found, EntryAmounts):
                continue
            if number := self._security(row):
                out[number] = out.get(number, ZERO) + found.exact - found.exact_worth
                out[0] -= found.exact
            elif LINE_OF[self.kind[row]] in FLOWS:
                out[0] -= found.exact
        return out


def _marks(valuation: Valuation, book: Book, day: int) -> dict[int | str, Decimal]:
    """The value of a portfolio spread over its positions and its cash, by security and currency; without those that have none."""
    parts: dict[int | str, Decimal] = {p.security.security_id: p.value_base for p in valuation.positions if p.value_base is not None}
    for currency, amount in valuation.cash.items():
        rate = book.rates.rate(currency, book.base, day)
        if amount and not isinstance(rate, NoRate):
            parts[currency] = amount * rate
    return apportioned(valuation.total, parts, book.base)
