"""The entry form: one transaction of any kind, what it will do before it is booked, and undo after.

A kind is a line in FIELDS: what it asks for. A field is a line in ASKED: its label, an example and what to know of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import streamlit as st

from core import importing
from core.book import Book, Portfolio
from core.calendar import settlement_date
from core.income import reinvested
from core.ledger import TRADES, Draft, LedgerError, Posting, Security, post
from core.table import Column, Kind
from db import engine, installation, ledger, market, tax
from db.access import User
from ui import errors, show

KINDS = ("buy", "sell", "dividend", "interest", "fee", "tax", "deposit", "withdrawal", "split")
FIELDS = {
    "buy": ("symbol", "date", "quantity", "price", "fees", "taxes", "fx", "settlement", "note"),
    "sell": ("symbol", "date", "quantity", "price", "fees", "taxes", "fx", "settlement", "note"),
    "dividend": ("symbol", "date", "gross", "taxes", "fees", "currency", "fx", "note"),
    "interest": ("date", "gross", "taxes", "currency", "fx", "note"),
    "fee": ("date", "gross", "currency", "fx", "note"),
    "tax": ("date", "gross", "currency", "fx", "note"),
    "deposit": ("date", "gross", "currency", "fx", "note"),
    "withdrawal": ("date", "gross", "currency", "fx", "note"),
    "split": ("symbol", "date", "ratio", "note"),
}
ASKED = {
    "symbol": ("Security", "Type a symbol or a name", "Any security of the master; indices cannot be traded."),
    "date": ("Trade date", "", "Not after today."),
    "quantity": ("Quantity", "10", "Units, always positive: the kind gives the direction. Up to 10 decimals."),
    "price": ("Price", "185.50", "For one unit, in the security's currency, with a decimal point."),
    "gross": ("Amount", "10000.00", "Before fees and taxes, with a decimal point."),
    "fees": ("Fees (optional)", "1.00", "Commission and charges, as a positive amount."),
    "taxes": ("Taxes (optional)", "0.30", "Withheld or paid, as a positive amount."),
    "currency": ("Currency", "", "The currency of the amount."),
    "fx": ("FX rate (optional)", "1.0843", "Leave empty where cash moves in the amount's own currency."),
    "ratio": ("New units for one old", "4", "4 for a 4:1 split, 0.1 for a 1:10 consolidation."),
    "settlement": ("Settles on (optional)", "", "Empty: by the market's settlement cycle."),
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
NUMBERS = ("quantity", "price", "gross", "fees", "taxes", "fx", "ratio")
SHOWN = 1_500  # rows of the ledger that travel to the browser; the CSV has all
OPTIONAL = ("fees", "taxes", "fx", "settlement", "note")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was entered: the posting that it makes, or the error of each field that keeps it from making one."""

    draft: Draft | None
    posting: Posting | None
    errors: dict[str, LedgerError]
    purchase: tuple[Draft, Posting] | None = None  # what a reinvested dividend buys

    @property
    def drafts(self) -> list[Draft]:
        """What is to be booked, all or none."""
        return [d for d in (self.draft, self.purchase[0] if self.purchase else None) if d is not None]


def may_book(user: User, portfolio: Portfolio) -> bool:
    """Whether this person books in this portfolio; the database asks again."""
    return portfolio.access in ("write", "manage") and user.role != "viewer"


def why_not(user: User, portfolio: Portfolio) -> str:
    """The line for whom `may_book` refuses."""
    if user.role == "viewer":
        return (
            "You are signed in as a viewer: you see this ledger and cannot book in it. An admin can change your role."
        )
    return f"You may look at {portfolio.name}, not book in it. Whoever manages it can give you write access under Portfolios."


def check(cells: dict[str, str], known: dict[str, Security], currencies: frozenset[str], book: Book) -> Checked:
    """Read text cells field by field, then as a whole. Every field that is missing or wrong is named, not only the first."""
    wrong: dict[str, LedgerError] = {}
    for name in FIELDS[cells["kind"]]:
        try:
            if name in NUMBERS:
                importing.number(name, cells.get(name, ""))
            if name not in OPTIONAL and not cells.get(name):
                example = f", such as {ASKED[name][1]}" if name in NUMBERS else ""
                words = (
                    "choose a security: type its symbol or its name"
                    if name == "symbol"
                    else f"a {cells['kind']} needs it{example}"
                )
                raise LedgerError(name, None, words)
        except LedgerError as e:
            wrong[name] = e
    if wrong:
        return Checked(None, None, wrong)
    try:
        draft = importing.draft(cells, known, currencies, book.base)
        posting = _posting(draft, book)
    except LedgerError as e:
        return Checked(None, None, {e.field: e})
    if "reinvest_price" not in cells:
        return Checked(draft, posting, {})
    return _with_purchase(cells, draft, posting, book)


def _posting(draft: Draft, book: Book) -> Posting:
    exchange = draft.security.exchange if draft.security and draft.kind in TRADES else None
    settles = draft.settles_on or settlement_date(book.sessions.get(exchange or ""), exchange, draft.traded_on)
    return post(draft, book.base, settles, datetime.now(UTC).date())


def _with_purchase(cells: dict[str, str], draft: Draft, posting: Posting, book: Book) -> Checked:
    """A reinvested dividend and the purchase that it pays for; an error stands beside the field that it is of."""
    try:
        price = importing.number("price", cells["reinvest_price"])
        if price is None:
            raise LedgerError("price", None, f"a reinvestment needs it, such as {ASKED['reinvest_price'][1]}")
        dividend, bought = reinvested(draft, price, importing.number("quantity", cells.get("reinvest_units", "")))
        return Checked(dividend, posting, {}, (bought, _posting(bought, book)))
    except LedgerError as e:
        place = next((name for name, field in REINVESTMENT.items() if field == e.field), e.field)
        return Checked(None, None, {place: e})


def sentence(p: Posting, draft: Draft) -> str:
    """What a posting does, in one line: "buy 10 AAPL at 185.50 = 1,855.00 USD, fees 1.00, cash −1,856.00 USD, settles …"."""
    symbol = draft.security.symbol if draft.security else ""
    if p.kind == "split":
        return f"split of {symbol} on {show.day(p.traded_on)}: {show.text(p.ratio, Kind.UNITS)} new for one old, no cash moves"
    gross = show.money(p.gross, p.currency)
    parts = [f"{p.kind} of {symbol} {gross}" if symbol else f"{p.kind} of {gross}"]
    if p.quantity is not None and p.price is not None:
        parts = [f"{p.kind} {show.text(p.quantity, Kind.UNITS)} {symbol} at {show.text(p.price, Kind.PRICE)} = {gross}"]
    parts += [
        f"{name} {show.text(value, Kind.MONEY, p.currency)}"
        for name, value in (("fees", p.fees), ("taxes", p.taxes))
        if value
    ]
    parts.append(f"cash {show.money(p.net, p.cash_currency, signed=True)}")
    parts.append(f"traded {show.day(p.traded_on)}")
    if p.settles_on != p.traded_on:
        parts.append(f"settles {show.day(p.settles_on)}")
    return ", ".join(parts)


@st.fragment
def form(user: User, book: Book, held: dict[str, Any]) -> None:
    """The form. `held`: units by symbol, said beside the quantity of a sale.

    One form instance has one number: its widgets and its idempotency key carry it, so that a second click, or a rerun in
    the middle of a booking, finds the first booking and adds nothing. A booking opens the next instance.
    """
    with errors.told():
        _form(user, book, held)


def _form(user: User, book: Book, held: dict[str, Any]) -> None:
    portfolio = book.portfolio.portfolio_id
    state = _instance(portfolio)
    n = f"entry_{state['key']}"
    every = market.securities(user.user_id)
    options = {f"{s.exchange}:{s.symbol}": s for s in every if s.tradable and s.status == "active"}
    with engine.session(user.user_id) as c:
        currencies = installation.currencies(c)
    kind = str(st.pills("What happened", KINDS, default=state["kind"], required=True, format_func=str.capitalize, key=f"{n}_kind",
                        persist_state="session"))  # fmt: skip
    cells, slots = _fields(kind, n, options, currencies, book, held)
    if kind == "dividend":
        _reinvestment(n, cells, slots)
    checked = check(cells, importing.by_symbol(every), frozenset(currencies), book)
    wrong = dict(checked.errors)
    said = sentence(checked.posting, checked.draft) if checked.posting and checked.draft else ""
    if checked.purchase:
        said += f"; and {sentence(checked.purchase[1], checked.purchase[0])}"
    told = st.empty()
    if checked.draft is not None:
        for warning in tax.warnings(user.user_id, portfolio, checked.draft, datetime.now(UTC).date()):
            st.warning(f"{warning} You can book it all the same.", icon=":material/warning:")
    if st.button("Book it", type="primary", icon=":material/check:", key=f"{n}_book"):
        state["tried"] = True
        if checked.draft is not None:
            try:
                ids = ledger.append(user.user_id, portfolio, checked.drafts, datetime.now(UTC).date(), "form", n)
            except LedgerError as e:
                wrong, said = {e.field: e}, ""
            else:
                _open_next(portfolio, kind, "Booked", said, ids)
                st.rerun()
    _tell(wrong, slots, told, state["tried"])
    if said:
        told.info(f"This will book: {said}.", icon=":material/edit_note:")


def _fields(
    kind: str, n: str, options: dict[str, Security], currencies: list[str], book: Book, held: dict[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Draw the fields of a kind; what was entered as text cells, and the place beside each field for its error."""
    cells: dict[str, str] = {"kind": kind}
    slots: dict[str, Any] = {}
    grid = st.grid(3, min_column_width=210)
    currency = book.base
    for field in FIELDS[kind]:
        if field == "fx" and currency == book.base:
            continue
        label, example, note = ASKED[field]
        key = f"{n}_{field}"
        with grid.cell():
            if field == "symbol":
                chosen = st.selectbox(label, list(options), index=None, placeholder=example, help=note, key=key, persist_state="session",
                                      format_func=lambda o: f"{options[o].symbol} · {options[o].name}")  # fmt: skip
                if chosen in options:
                    cells |= {"symbol": options[chosen].symbol, "exchange": options[chosen].exchange}
                    currency = options[chosen].currency
            elif field in ("date", "settlement"):
                on = st.date_input(label, value="today" if field == "date" else None, format="YYYY-MM-DD", help=note, key=key,
                                   min_value=date(1900, 1, 1), persist_state="session")  # fmt: skip
                cells[field] = on.isoformat() if isinstance(on, date) else ""
            elif field == "currency":
                first = currencies.index(currency) if currency in currencies else 0
                currency = st.selectbox(label, currencies, index=first, help=note, key=f"{key}_{currency}",
                                        persist_state="session")  # fmt: skip
                cells[field] = currency
            else:
                if field == "price":
                    label = f"Price in {currency}"
                if field == "fx":
                    note = f"{book.base} for one {currency}. {note}"
                cells[field] = st.text_input(label, placeholder=f"e.g. {example}", help=note, key=key, persist_state="session",
                                             max_chars=500 if field == "note" else 40).strip()  # fmt: skip
            if field == "quantity" and kind == "sell" and chosen in options:
                st.caption(f"Held now: {show.text(held.get(options[chosen].symbol, 0), Kind.UNITS)}")
            slots[field] = st.empty()
    return cells, slots


def _reinvestment(n: str, cells: dict[str, str], slots: dict[str, Any]) -> None:
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


def _tell(wrong: dict[str, LedgerError], slots: dict[str, Any], told: Any, tried: bool) -> None:
    """Each error beside its field, in words; what is only missing is said once the form was sent."""
    for field, e in wrong.items():
        if e.value in (None, "") and not tried:
            continue
        words = e.expected[:1].upper() + e.expected[1:]
        if field in slots:
            slots[field].markdown(f":red[:material/error: {words}.]")
        else:
            told.error(f"{e}.", icon=":material/error:")
    if tried and wrong and all(field in slots for field in wrong):
        told.error(f"Nothing was booked yet: {_named(wrong)} above.", icon=":material/error:")


def _named(wrong: dict[str, LedgerError]) -> str:
    labels = [ASKED[f][0].removesuffix(" (optional)").lower() if f in ASKED else f for f in wrong]
    return f"correct {', '.join(labels)}"


def _instance(portfolio: UUID) -> dict[str, Any]:
    """The open form of this portfolio: its key, whether it was sent, and what was booked last."""
    forms = st.session_state.setdefault("entry_forms", {})
    fresh = {"key": uuid4().hex[:12], "kind": "buy", "tried": False, "done": None}
    found: dict[str, Any] = forms.setdefault(portfolio, fresh)
    return found


def _open_next(portfolio: UUID, kind: str, did: str, what: str, ids: list[UUID]) -> None:
    """Close this instance and open an empty one that says what happened."""
    st.session_state["entry_forms"][portfolio] = {
        "key": uuid4().hex[:12],
        "kind": kind,
        "tried": False,
        "done": (did, what, ids),
    }


def said(user: User, portfolio: UUID) -> None:
    """What was booked last in this portfolio, with its undo."""
    state = _instance(portfolio)
    if state["done"] is None:
        return
    did, what, ids = state["done"]
    told, undo = st.columns([8, 1], vertical_alignment="center")
    told.success(f"{did}: {what}.", icon=":material/check_circle:")
    with undo:
        if ids and st.button(
            "Undo", icon=":material/undo:", key=f"undo_{ids[0]}", help="Books a reversal; both entries stay."
        ):
            _reverse(user, portfolio, ids, "undone right after booking", "Undone by a reversal", what)


def details(user: User, portfolio: Portfolio, entry: dict[str, Any], columns: tuple[Column, ...]) -> None:
    """One entry of the ledger in full, and its reversal for whom may book."""
    currencies = {"net": entry["cash_currency"]}
    shown = {
        c.title: show.text(entry[c.key], c.kind, currencies.get(c.key, entry["currency"]), signed=c.key == "net")
        for c in columns
        if entry[c.key] not in (None, "")
    }
    with st.container(border=True):
        st.subheader(_name(entry), anchor=False)
        st.table(shown, border="horizontal")
        if entry["state"] != "booked":
            st.caption("It has been reversed: both entries stay in the ledger." if entry["state"] == "reversed"
                       else "A reversal cannot be reversed: book the transaction again instead.")  # fmt: skip
        elif may_book(user, portfolio) and st.button(
            "Reverse this entry…", icon=":material/undo:", key=f"reverse_{entry['transaction_id']}"
        ):
            _confirm(user, portfolio.portfolio_id, entry)


@st.dialog("Reverse this entry?", icon=":material/undo:")
def _confirm(user: User, portfolio: UUID, entry: dict[str, Any]) -> None:
    st.markdown(
        f"**{_name(entry)}** will no longer count: units, cash and every figure from that day on are computed without it. "
        "Nothing is deleted; the ledger shows the entry and its reversal. A reversal cannot itself be reversed."
    )
    note = st.text_input("Why (optional)", placeholder="e.g. booked twice", max_chars=500, key="reverse_note")
    if st.button("Reverse it", type="primary", icon=":material/undo:", key="reverse_yes"):
        _reverse(user, portfolio, [UUID(entry["transaction_id"])], note.strip(), "Reversed", _name(entry))


def _name(entry: dict[str, Any]) -> str:
    """An entry in a few words: "Buy 10 AAPL, 5 January 2026"."""
    words = (entry["kind"].capitalize(), show.text(entry["quantity"], Kind.UNITS) if entry["quantity"] else "", entry["symbol"] or "",
             "" if entry["quantity"] or not entry["gross"] else show.money(entry["gross"], entry["currency"]))  # fmt: skip
    return " ".join(w for w in words if w) + f", {show.day(entry['traded_on'])}"


def _reverse(user: User, portfolio: UUID, ids: list[UUID], note: str, did: str, what: str) -> None:
    """Book reversals and say so; an error is said instead."""
    try:
        for each in ids:
            ledger.reverse(user.user_id, portfolio, each, note)
    except LedgerError as e:
        st.error(f"Nothing was reversed: {e.expected}.", icon=":material/error:")
        return
    _open_next(portfolio, _instance(portfolio)["kind"], did, what, [])
    st.rerun()
