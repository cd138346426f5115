"""What each kind of transaction asks for, and what was entered read back: as text cells, then checked, field by field.

A kind is a line in FIELDS, in a group of GROUPS. A field is a line in ASKED: its label, an example and what to know of it.
Three names are forms and no kinds: `exchange` books both halves of a currency exchange, `…_kind` moves units instead of cash,
`between` moves from one portfolio to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import streamlit as st

from core import importing
from core.book import Book
from core.income import reinvested
from core.ledger import INTO, Draft, LedgerError, Posting, Security, check_day, named, post, spoken
from core.listings import Listings
from core.ratio import read_ratio
from core.settlement import settlement_of
from core.table import Kind
from ui import clock, show

GROUPS = {
    "Trade": ("buy", "sell", "short", "cover"),
    "Income": ("dividend", "interest", "return_of_capital"),
    "Cash": ("deposit", "withdrawal", "fee", "tax", "exchange"),
    "Transfer": ("transfer_in", "transfer_out", "between"),
    "Corporate action": ("split", "spin_off", "merger", "symbol_change"),
}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
TITLES = {"exchange": "Currency exchange", "transfer_in": "In", "transfer_out": "Out", "between": "Between own portfolios", "spin_off": "Spin-off"}  # fmt: skip
_TRADE = ("symbol", "date", "quantity", "price", "fees", "taxes", "fx", "settlement", "counterparty", "note")
_CASH = ("date", "gross", "currency", "fx", "note")
FIELDS = {
    **dict.fromkeys(("buy", "sell", "short", "cover"), _TRADE),
    "dividend": ("symbol", "date", "gross", "taxes", "fees", "currency", "fx", "note"),
    "interest": ("date", "gross", "taxes", "currency", "fx", "note"),
    "return_of_capital": ("symbol", "date", "gross", "taxes", "fx", "note"),
    **dict.fromkeys(("deposit", "withdrawal", "fee", "tax", "transfer_in", "transfer_out"), _CASH),
    "exchange": ("date", "gross", "currency", "received", "receivedin", "fees", "note"),
    "transfer_in_kind": ("symbol", "date", "quantity", "price", "basis", "acquired", "note"),
    "transfer_out_kind": ("symbol", "date", "quantity", "price", "note"),
    "between": ("target", "date", "gross", "currency", "note"),
    "between_kind": ("symbol", "target", "date", "quantity", "note"),
    "split": ("symbol", "date", "ratio", "note"),
    "spin_off": ("symbol", "into", "date", "ratio", "fraction", "note"),
    "merger": ("symbol", "into", "date", "ratio", "gross", "price", "taxes", "fx", "note"),
    "symbol_change": ("symbol", "into", "date", "note"),
}
ASKED = {
    "symbol": ("Security", "Type a symbol or a name", "Any security of the master; indices cannot be traded."),
    "into": ("Becomes", "Type a symbol or a name", "The security that it ends in, of the same currency."),
    "target": ("To portfolio", "Choose one of yours", "Another portfolio in which you may book."),
    "date": ("Date", "", "Not after today."),
    "quantity": ("Quantity", "10", "Units, always positive: the kind gives the direction. Up to 10 decimals."),
    "price": ("Price", "185.50", "For one unit, in the security's currency, with a decimal point."),
    "gross": ("Amount", "10000.00", "Before fees and taxes, with a decimal point."),
    "received": ("Amount received", "9250.00", "What came in for it, with a decimal point."),
    "receivedin": ("Received in", "", "The currency of what came in."),
    "fees": ("Fees (optional)", "1.00", "Commission and charges, as a positive amount."),
    "taxes": ("Taxes (optional)", "0.30", "Withheld or paid, as a positive amount."),
    "currency": ("Currency", "", "The currency of the amount."),
    "fx": ("FX rate (optional)", "1.0843", "Leave empty where cash moves in the amount's own currency."),
    "ratio": ("New units for old ones", "4:1", "4:1 for a split in four, 1:10 for a consolidation; 4 and 0.1 are read as these."),
    "fraction": ("Share of the cost", "0.25", "How much of the cost moves to the new security, from 0 to 1."),
    "basis": ("Cost carried in (optional)", "1500.00", "What these units cost; empty: their market value."),
    "acquired": ("Bought on (optional)", "", "When these units were bought; empty: on the trade date."),
    "settlement": ("Settles on (optional)", "", "Empty: by the settlement cycle and days of its market; two weekdays later where the exchange is none that is known here."),
    "counterparty": (
        "Counterparty (optional)",
        "Type a name",
        "Whom it went through, such as the broker: what has not settled is exposure to them.",
    ),
    "note": ("Note (optional)", "Rebalancing", "Up to 500 characters."),
    "reinvest_price": (
        "Price of a new unit",
        "21.25",
        "What the dividend was reinvested at, in the security's currency.",
    ),
    "reinvest_units": (
        "New units (optional)",
        "4",
        "Empty: all that is left after taxes and fees, in fractions of a unit.",
    ),
}
REINVESTMENT = {"reinvest_price": "price", "reinvest_units": "quantity"}  # and the field of the purchase that it fills
# where a field is called otherwise in one kind
ALSO = {
    ("price", "transfer_in_kind"): "Market price",
    ("price", "transfer_out_kind"): "Market price",
    ("ratio", "spin_off"): "New units for those held",
    ("ratio", "merger"): "New units for old ones (optional)",
    ("into", "merger"): "Becomes (optional)",
    ("into", "spin_off"): "Spun off",
    ("gross", "merger"): "Cash received (optional)",
    ("price", "merger"): "Price of the new unit (optional)",
    ("gross", "exchange"): "Amount given",
    ("currency", "exchange"): "Given in",
    **{("date", kind): "Trade date" for kind in ("buy", "sell", "short", "cover")},
    **{("date", kind): "Effective date" for kind in ("split", "spin_off", "merger", "symbol_change")},
}
USUAL = ("USD", "EUR")  # offered first as the other side of an exchange
NUMBERS = ("quantity", "price", "gross", "received", "fees", "taxes", "fx", "ratio", "fraction", "basis")
DATES = ("date", "settlement", "acquired")
OPTIONAL = ("fees", "taxes", "fx", "settlement", "counterparty", "note", "basis", "acquired")
LEFT_OPEN = {"merger": ("into", "ratio", "gross", "price")}  # of these core says which are needed together


@dataclass(frozen=True, slots=True)
class Checked:
    """What was entered: the postings that it makes, or the error of each field that keeps it from making them."""

    entries: tuple[tuple[Draft, Posting], ...]
    errors: dict[str, LedgerError]

    @property
    def draft(self) -> Draft | None:
        """The first of them."""
        return self.entries[0][0] if self.entries else None

    @property
    def drafts(self) -> list[Draft]:
        """What is to be booked, all or none."""
        return [d for d, _ in self.entries]


def title(form: str) -> str:
    """The name of a kind as the form offers it."""
    return TITLES.get(form, spoken(form).capitalize())


def kind_of(form: str) -> str:
    """The kind that a form books; of a currency exchange that of its first half."""
    return {"exchange": "fx_out", "between": "transfer_out"}.get(form.removesuffix("_kind"), form.removesuffix("_kind"))


def called(field: str, form: str) -> str:
    """The label of a field."""
    return ALSO.get((field, form), ASKED[field][0])


def posting_of(draft: Draft, book: Book) -> Posting:
    """A draft checked and completed against a Book. Raises LedgerError."""
    check_day(draft.traded_on, clock.latest())
    return post(draft, book.base, settlement_of(draft, book.sessions), clock.latest())


def check(cells: dict[str, str], known: Listings, currencies: frozenset[str], book: Book) -> Checked:
    """Read text cells field by field, then as a whole. Every field that is missing or wrong is named, not only the first.
    `kind` in the cells names the form."""
    form = cells["kind"]
    wrong: dict[str, LedgerError] = {}
    for name in FIELDS[form]:
        try:
            if name == "ratio":
                read_ratio(cells.get(name, ""))
            elif name in NUMBERS:
                importing.number(name, cells.get(name, ""))
            if name not in (*OPTIONAL, *LEFT_OPEN.get(form, ())) and not cells.get(name):
                wrong[name] = LedgerError(name, None, _missing(name, form))
        except LedgerError as e:
            wrong[name] = e
    if wrong:
        return Checked((), wrong)
    try:
        drafts = [importing.draft(row, known, currencies, book.base) for row in _rows(form, cells)]
        entries = tuple((d, posting_of(d, book)) for d in drafts)
    except LedgerError as e:
        return Checked((), {_place(e.field, form): e})
    return _with_purchase(cells, entries[0], book) if "reinvest_price" in cells else Checked(entries, {})


def _with_purchase(cells: Mapping[str, str], entry: tuple[Draft, Posting], book: Book) -> Checked:
    """A reinvested dividend and the purchase that it pays for; an error stands beside the field that it is of."""
    try:
        price = importing.number("price", cells["reinvest_price"])
        if price is None:
            raise LedgerError("price", None, f"a reinvestment needs it, such as {ASKED['reinvest_price'][1]}")
        dividend, bought = reinvested(entry[0], price, importing.number("quantity", cells.get("reinvest_units", "")))
        return Checked(((dividend, entry[1]), (bought, posting_of(bought, book))), {})
    except LedgerError as e:
        place = next((name for name, field in REINVESTMENT.items() if field == e.field), e.field)
        return Checked((), {place: e})


def _missing(name: str, form: str) -> str:
    if name in ("symbol", "into"):
        return "choose a security: type its symbol or its name"
    if name == "target":
        return "choose the portfolio that it goes to"
    example = f", such as {ASKED[name][1]}" if name in NUMBERS else ""
    return f"{'a transfer' if form.startswith('between') else named(kind_of(form))} needs it{example}"


def _rows(form: str, cells: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows of cells that a form makes: one, of a currency exchange two."""
    row = {
        name: value for name, value in cells.items() if name not in ("received", "receivedin", "target", *REINVESTMENT)
    }
    row["kind"] = kind_of(form)
    if form == "between_kind":
        row["gross"] = "0"  # what it is worth is asked of the prices when it is booked
    if form != "exchange":
        return [row]
    if cells.get("currency") == cells.get("receivedin"):
        raise LedgerError("receivedin", cells.get("receivedin"), "another currency than the one given is needed")
    other = {"date": row["date"], "kind": "fx_in", "gross": cells["received"], "currency": cells["receivedin"], "note": row.get("note", "")}  # fmt: skip
    return [row, other]


def _place(field: str, form: str) -> str:
    """The field of the form that an error of core belongs to."""
    if field in FIELDS[form]:
        return field
    return {"price": "gross", "gross": "price"}.get(field, field)


def draw(
    form: str,
    n: str,
    options: dict[str, Security],
    said: Mapping[int, str],
    currencies: Sequence[str],
    targets: dict[UUID, str],
    book: Book,
    held: dict[int, Any],
    through: Sequence[str] = (),
) -> tuple[dict[str, str], dict[str, Any]]:
    """Draw the fields of a form; what was entered as text cells, and the place beside each field for its error.
    `said`: how a security is shown; `through`: the counterparties that are offered."""
    cells: dict[str, str] = {"kind": form}
    slots: dict[str, Any] = {}
    grid = st.grid(3, min_column_width=210)
    currency = book.base
    for field in FIELDS[form]:
        if (field == "fx" and currency == book.base) or (field == "counterparty" and not through):
            continue
        _, example, note = ASKED[field]
        label, key = called(field, form), f"{n}_{field}"
        with grid.cell():
            if field in ("symbol", "into"):
                chosen = st.selectbox(label, list(options), index=None, placeholder=example, help=note, key=key, persist_state="session",
                                      format_func=lambda o: said[options[o].security_id])  # fmt: skip
                if chosen in options and field == "symbol":
                    cells |= {"symbol": options[chosen].symbol, "exchange": options[chosen].exchange}
                    currency = options[chosen].currency
                elif chosen in options:
                    cells["into"] = str(chosen)
                if field == "symbol" and chosen in options and kind_of(form) in ("sell", "cover", "transfer_out"):
                    st.caption(f"Held now: {show.text(held.get(options[chosen].security_id, 0), Kind.UNITS)}")
            elif field == "target":
                to = st.selectbox(label, list(targets), index=None, placeholder=example, help=note, key=key, format_func=targets.__getitem__,
                                  persist_state="session")  # fmt: skip
                cells[field] = str(to) if to else ""
            elif field == "counterparty":
                cells[field] = st.selectbox(label, through, index=None, placeholder=example, help=note, key=key, persist_state="session") or ""  # fmt: skip
            elif field in DATES:
                on = st.date_input(label, value=clock.today() if field == "date" else None, format="YYYY-MM-DD", help=note, key=key,
                                   min_value=clock.MARKETS, max_value=clock.FAR if field == "settlement" else clock.latest(),
                                   persist_state="session")  # fmt: skip
                cells[field] = on.isoformat() if isinstance(on, date) else ""
            elif field in ("currency", "receivedin"):
                first = currencies.index(currency) if currency in currencies else 0
                if field == "receivedin":
                    first = currencies.index(
                        next(c for c in (book.base, *USUAL, *currencies) if c != currency and c in currencies)
                    )
                cells[field] = st.selectbox(label, currencies, index=first, help=note, key=f"{key}_{currency}",
                                            persist_state="session")  # fmt: skip
                currency = cells[field] if field == "currency" else currency
            else:
                if field == "price":
                    label = f"{label.removesuffix(' (optional)')} in {currency}" + (" (optional)" if "(optional)" in label else "")  # fmt: skip
                if field == "fx":
                    note = f"{book.base} for one {currency}. {note}"
                cells[field] = st.text_input(label, placeholder=f"e.g. {example}", help=note, key=key, persist_state="session",
                                             max_chars=500 if field == "note" else 40).strip()  # fmt: skip
            slots[field] = st.empty()
    return cells, slots


def reinvestment(n: str, cells: dict[str, str], slots: dict[str, Any]) -> None:
    """Whether a dividend was taken in units, and at what price: it books the purchase with the dividend, both or none."""
    words = "Books the purchase that the dividend pays for with it: both entries, or none."
    if not st.checkbox("Reinvested", help=words, key=f"{n}_reinvested", persist_state="session"):
        return
    grid = st.grid(3, min_column_width=210)
    for field in REINVESTMENT:
        label, example, note = ASKED[field]
        with grid.cell():
            cells[field] = st.text_input(label, placeholder=f"e.g. {example}", help=note, key=f"{n}_{field}", persist_state="session",
                                         max_chars=40).strip()  # fmt: skip
            slots[field] = st.empty()


def sentence(p: Posting, draft: Draft) -> str:
    """What a posting does, in one line: "buy 10 AAPL at 185.50 = 1,855.00 USD, fees 1.00, cash −1,856.00 USD, settles …"."""
    symbol = draft.security.symbol if draft.security else ""
    what = spoken(p.kind)
    if p.kind in INTO or p.kind == "split":
        return _action(p, draft)
    gross = show.money(p.gross, p.currency)
    parts = [f"{what} of {symbol} {gross}" if symbol else f"{what} of {gross}"]
    if p.quantity is not None and p.price is not None:
        parts = [f"{what} {show.text(p.quantity, Kind.UNITS)} {symbol} at {show.text(p.price, Kind.PRICE)} = {gross}"]
    if p.basis is not None:
        parts.append(f"cost {show.money(p.basis, p.currency)} carried in")
    if p.acquired_on is not None:
        parts.append(f"bought {show.day(p.acquired_on)}")
    return ", ".join([*parts, *_paid(p)])


def _action(p: Posting, draft: Draft) -> str:
    symbol, into = draft.security.symbol if draft.security else "", draft.into.symbol if draft.into else ""
    new, old = p.ratio.as_integer_ratio() if p.ratio is not None else (0, 0)
    on = show.day(p.traded_on)
    if p.kind == "split":
        return f"{new}:{old} split of {symbol} on {on}: {new} new for {old} old, no cash moves"
    if p.kind == "symbol_change":
        return f"{symbol} becomes {into} on {on}, one for one, no cash moves"
    if p.kind == "spin_off":
        moved = show.percent(float(p.fraction or 0))
        return f"spin-off of {into} from {symbol} on {on}: {new} {into} for {old} {symbol} held, {moved} of the cost moves, no cash moves"
    gets = [f"{new} {into} for {old} {symbol}"] if into else []
    gets += [show.money(p.gross, p.currency) + " in cash"] if p.gross else []
    return ", ".join([f"merger of {symbol}: {' and '.join(gets)}", *_paid(p)])


def _paid(p: Posting) -> list[str]:
    """Fees, taxes, cash and days of a posting."""
    parts = [
        f"{name} {show.text(value, Kind.MONEY, p.currency)}"
        for name, value in (("fees", p.fees), ("taxes", p.taxes))
        if value
    ]
    parts.append(f"cash {show.money(p.net, p.cash_currency, signed=True)}" if p.net else "no cash moves")
    parts.append(f"traded {show.day(p.traded_on)}")
    if p.settles_on != p.traded_on:
        parts.append(f"settles {show.day(p.settles_on)}")
    if p.counterparty:
        parts.append(f"through {p.counterparty}")
    return parts
