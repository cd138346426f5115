"""Random ledgers of every kind and method, for the laws. What is held is counted here by itself, beside the product: in fractions,
rounded to 1e-10 units where a statement would say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from math import floor
from uuid import UUID, uuid4

import numpy as np
from hypothesis import strategies as st

from core.book import Book, Portfolio
from core.booking import derive
from core.fx import Rates, Series, day_number
from core.ledger import ACTIONS, UNITS, Draft, Ledger, Posting, Security, from_postings, post
from core.methods import METHODS, method_on

FIRST, DAYS = date(2024, 1, 1), 40
BASE = "EUR"
# AAA can become CCC, BBB can become DDD; YYY has no cents
SECURITIES = {
    s.security_id: s
    for s in (
        Security(1, "AAA", "A", "XNYS", "USD", "Equity", "Energy", None, "US"),
        Security(2, "BBB", "B", "XETR", "EUR", "Equity"),
        Security(3, "CCC", "C", "XNYS", "USD", "Equity", "Utilities", None, "US"),
        Security(4, "DDD", "D", "XETR", "EUR", "Fund"),
        Security(5, "YYY", "Y", "XTKS", "JPY", "Equity", "Energy", None, "JP"),
    )
}
BECOMES = {1: SECURITIES[3], 2: SECURITIES[4]}
_days = np.array([day_number(FIRST) + i for i in range(DAYS)], np.int32)
RATES = Rates(
    {
        "USD": Series(_days, np.linspace(1.05, 1.15, DAYS).round(4)),
        "JPY": Series(_days, np.linspace(160, 150, DAYS).round(2)),
    }
)
_wave = 100 + 10 * np.sin(np.arange(DAYS) / 5)
PRICES = {n: Series(_days, (_wave[:: 1 if n % 2 else -1] * n / 3).round(2)) for n in SECURITIES}
KINDS = (
    *("buy",) * 5,
    *("sell",) * 4,
    *(
        "short",
        "cover",
        "dividend",
        "interest",
        "fee",
        "tax",
        "deposit",
        "withdrawal",
        "split",
        "transfer_in",
        "transfer_out",
    ),
    *("return_of_capital", "spin_off", "merger", "symbol_change", "fx"),
)
cents = st.integers(1, 500_00).map(lambda n: Decimal(n) / 100)
RATIOS = [Fraction(n, m) for n, m in ((2, 1), (3, 1), (1, 2), (3, 2), (1, 3), (2, 3), (1, 12), (7, 3), (12, 1))]
STEP = Decimal(1).scaleb(-10)
fractions = st.sampled_from([Decimal(1), Decimal("0.5"), Decimal("0.25"), Decimal("0.125"), Decimal("0.375")])


@dataclass(frozen=True)
class Told:
    """A ledger that can be booked: its postings in booking order, the methods it was made under, and what is held at the end."""

    postings: tuple[Posting, ...]
    methods: tuple[tuple[int, str], ...]
    held: dict[int, Decimal]

    @property
    def ledger(self) -> Ledger:
        return from_postings(self.postings)

    def book(self, methods: tuple[tuple[int, str], ...] | None = None) -> Book:
        return book_of(self.postings, methods or self.methods)


def book_of(
    postings: tuple[Posting, ...] | list[Posting], methods: tuple[tuple[int, str], ...] = ((0, "fifo"),)
) -> Book:
    return Book(Portfolio(uuid4(), "law", BASE, None, methods[-1][1], methods=methods), from_postings(postings), SECURITIES, PRICES, RATES,
                {}, "1")  # fmt: skip


def counted(exact: Fraction) -> Decimal:
    """Units as a holding has them: rounded to 1e-10, halves away from zero; of something at least that much."""
    size = max(floor(abs(exact) / Fraction(STEP) + Fraction(1, 2)), 1) if exact else 0
    return (size if exact > 0 else -size) * STEP


@st.composite
def methods(draw: st.DrawFn) -> tuple[tuple[int, str], ...]:
    """One cost method, or two, the second from some day on."""
    first = (0, draw(st.sampled_from(METHODS)))
    if draw(st.booleans()):
        return (first,)
    return first, (day_number(FIRST) + draw(st.integers(1, DAYS - 1)), draw(st.sampled_from(METHODS)))


@st.composite
def ledgers(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS, choosing: bool = True, most: int = 25) -> Told:
    """A funded ledger that the holdings of every day allow. `choosing`: some sales choose their lots."""
    dated = draw(methods())
    held = dict.fromkeys(SECURITIES, Fraction(0))
    out = [post(Draft("deposit", FIRST, BASE, gross=Decimal(100_000)), BASE, FIRST, FIRST)]
    for day in sorted(draw(st.lists(st.integers(1, DAYS - 1), max_size=most))):
        on = FIRST + timedelta(days=day)
        for draft in _drafts(draw, draw(st.sampled_from(kinds)), on, held, out, dated if choosing else None):
            out.append(post(draft, BASE, on, FIRST + timedelta(days=DAYS)))
    return Told(tuple(out), dated, {number: counted(exact) for number, exact in held.items()})


def _drafts(
    draw: st.DrawFn,
    kind: str,
    on: date,
    held: dict[int, Fraction],
    out: list[Posting],
    dated: tuple[tuple[int, str], ...] | None,
) -> list[Draft]:
    """What one event books, the count of what is held moved along; nothing where it could not be booked."""
    security = SECURITIES[draw(st.sampled_from(sorted(SECURITIES)))]
    number, units = security.security_id, counted(held[security.security_id])
    fees = draw(st.sampled_from([Decimal(0), Decimal("1.37"), Decimal(2)]))
    fx = draw(st.sampled_from([None, Decimal("0.93")])) if security.currency == "USD" else None
    if kind in ("interest", "fee", "tax", "deposit", "withdrawal"):
        return [Draft(kind, on, draw(st.sampled_from(["EUR", "USD"])), gross=draw(cents))]
    if kind == "fx":
        amount = draw(cents)
        return [Draft("fx_out", on, "EUR", gross=amount), Draft("fx_in", on, "USD", gross=amount * 2)]
    if kind == "dividend":
        return [Draft(kind, on, security.currency, security, gross=draw(cents) + 1, fx=fx)]
    if kind == "return_of_capital":
        return [Draft(kind, on, security.currency, security, gross=draw(cents) * 3 + 1, fx=fx)] if units > 0 else []
    if kind in ACTIONS:
        return _action(draw, kind, on, security, held, out)
    if kind in ("buy", "short", "transfer_in"):
        if (units > 0 and kind == "short") or (units < 0 and kind != "short"):
            return []
        quantity = Decimal(draw(st.integers(1, 90_000))) / 1000
        held[number] += Fraction(-quantity if kind == "short" else quantity)
        brings = {}
        if kind == "transfer_in":
            acquired = on - timedelta(days=draw(st.integers(0, 60)))
            brings = {
                "basis": draw(st.none() | st.integers(0, 500).map(Decimal)),
                "acquired_on": draw(st.sampled_from([None, acquired])),
            }
            fx = None
        return [Draft(kind, on, security.currency, security, quantity, draw(cents), fees=fees, fx=fx, **brings)]
    if (units <= 0) if kind != "cover" else (units >= 0):
        return []
    quantity = (abs(units) * draw(fractions)).quantize(STEP, ROUND_DOWN) or abs(units)
    lots = _chosen(draw, number, quantity, on, out, dated) if dated is not None and draw(st.integers(0, 3)) == 0 else ()
    held[number] += Fraction(quantity if kind == "cover" else -quantity)
    if quantity == abs(units):
        held[number] = Fraction(0)  # all of it: nothing stays of what was rounded
    return [
        Draft(
            kind,
            on,
            security.currency,
            security,
            quantity,
            draw(cents),
            fees=fees,
            fx=None if kind == "transfer_out" else fx,
            lots=lots,
        )
    ]


def _action(
    draw: st.DrawFn, kind: str, on: date, security: Security, held: dict[int, Fraction], out: list[Posting]
) -> list[Draft]:
    """A corporate action: it comes first on its day, so it needs a day without earlier entries."""
    number, units = security.security_id, held[security.security_id]
    ratio = draw(st.sampled_from(RATIOS))
    if any(p.traded_on == on for p in out):
        return []
    if kind == "split":
        held[number] *= ratio
        return [Draft(kind, on, security.currency, security, ratio=ratio)]
    into = BECOMES.get(number)
    if into is None or units == 0 or held[into.security_id] * units < 0:
        return []
    if kind == "spin_off":
        held[into.security_id] += units * ratio
        share = Decimal(draw(st.integers(0, 1000))) / 1000
        return [Draft(kind, on, security.currency, security, into=into, ratio=ratio, fraction=share)]
    held[number] = Fraction(0)
    if kind == "symbol_change":
        held[into.security_id] += units
        return [Draft(kind, on, security.currency, security, into=into)]
    form = draw(st.sampled_from(["stock", "cash", "mixed"])) if units > 0 else "stock"
    gross = None if form == "stock" else draw(cents) * 5
    if form == "cash":
        return [Draft(kind, on, security.currency, security, gross=gross)]
    held[into.security_id] += units * ratio
    return [Draft(kind, on, security.currency, security, into=into, ratio=ratio, gross=gross, price=draw(cents))]


def _chosen(
    draw: st.DrawFn, number: int, quantity: Decimal, on: date, out: list[Posting], dated: tuple[tuple[int, str], ...]
) -> tuple[tuple[UUID, Decimal], ...]:
    """Lots to choose for a sale, last ones first: those that are open then."""
    if method_on(dated, day_number(on)) == "average" or any(method == "average" for _, method in dated):
        return ()
    ledger = from_postings(out)
    left, picked = quantity, []
    for lot in reversed(derive(ledger, [dated], [BASE], RATES).open):
        if lot.security == number and left:
            units = min(abs(Decimal(lot.units)) / UNITS, left)
            picked.append((UUID(bytes=bytes(ledger.ids[lot.row])), units))
            left -= units
    return tuple(picked) if len({n for n, _ in picked}) == len(picked) and not left else ()
