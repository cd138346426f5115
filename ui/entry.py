"""The entry form: one transaction of any kind, what it will do before it is booked, and undo after.

What each kind asks for: `ui.entry_fields`. Which lots it takes and what it does to them: `ui.lot_picker`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import streamlit as st

from core.book import Book, Portfolio
from core.ledger import ACTIONS, DISPOSING, TRANSFERS, LedgerError, spoken
from core.listings import Listings
from core.preview import Effect, effect
from core.ratio import ratio_reading
from core.table import Column, Kind
from db import corrections, counterparties, engine, installation, ledger, market, reports, tax, trade_dates, transfers
from db.access import AccessDenied, User
from db.corrections import Conflict, Correction
from db.request_keys import KeyReused
from ui import clock, errors, labels, lot_picker, show
from ui.entry_fields import (
    ASKED,
    FIELDS,
    GROUPS,
    KINDS,
    Checked,
    called,
    check,
    draw,
    kind_of,
    reinvestment,
    sentence,
    title,
)

__all__ = ["FIELDS", "KINDS", "check", "details", "form", "may_book", "said", "why_not"]
SHOWN = 1_500  # rows of the ledger that travel to the browser; the CSV has all
IN_KIND = TRANSFERS | {"between"}  # forms of cash, or of units


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


@st.fragment
def form(user: User, book: Book, held: dict[int, Any]) -> None:
    """The form. `held`: units by security, said beside the quantity of a sale.

    One form instance has one number: its widgets and its idempotency key carry it, so that a second click, or a rerun in
    the middle of a booking, finds the first booking and adds nothing. A booking opens the next instance.
    """
    with errors.told():
        _form(user, book, held)


def _form(user: User, book: Book, held: dict[int, Any]) -> None:
    portfolio = book.portfolio.portfolio_id
    state = _instance(portfolio)
    n = f"entry_{state['key']}"
    listed = market.listings(user.user_id)
    options = {f"{s.exchange}:{s.symbol}": s for s in listed.every if s.tradable and s.status == "active"}
    said = labels.securities(options.values(), listed)
    with engine.session(user.user_id) as c:
        currencies = installation.currencies(c)
    targets = labels.portfolios(
        p for p in reports.portfolios(user) if p.portfolio_id != portfolio and may_book(user, p)
    )
    asked = _what(n, state["kind"])
    cells, slots = draw(
        asked, n, options, said, currencies, targets, book, held, counterparties.names(user, active=True)
    )
    if asked == "dividend":
        reinvestment(n, cells, slots)
    if kind_of(asked) in DISPOSING and cells.get("symbol"):
        chosen = options[f"{cells['exchange']}:{cells['symbol']}"]
        cells["lots"] = lot_picker.pick(n, cells, chosen, book)
        slots["lots"] = st.empty()
    checked = check(cells, Listings(listed.every), frozenset(currencies), book)  # chosen as it is called now
    wrong = dict(checked.errors)
    seen: Effect | None = None
    if checked.entries:
        try:
            seen = effect(book, checked.entries)
        except LedgerError as e:
            wrong, checked = {e.field: e}, Checked((), {})
    words = _words(asked, cells, checked, seen, book, targets)
    told = st.empty()
    if checked.draft is not None and not asked.startswith("between"):
        odd = trade_dates.warnings(user.user_id, checked.drafts)
        for warning in (*odd, *tax.warnings(user.user_id, portfolio, checked.draft, clock.latest())):
            st.warning(f"{show.plain(warning)} You can book it all the same.", icon=":material/warning:")
    if seen is not None and (seen.before or seen.after):
        loud = kind_of(asked) in ACTIONS | TRANSFERS | {"return_of_capital"}
        with st.expander("What it does to the lots", expanded=loud, icon=":material/stacks:"):
            lot_picker.before_and_after(n, seen, checked.entries[-1][1].traded_on)
    if st.button("Book it", type="primary", icon=":material/check:", key=f"{n}_book"):
        state["tried"] = True
        if checked.entries:
            try:
                ids = _book(user, portfolio, asked, cells, checked, n)
            except LedgerError as e:
                wrong, words = {e.field: e}, ""
            except KeyReused:  # it was sent before, and changed after that
                _open_next(
                    portfolio, asked, "Booked before, as it was sent first", "the newest entry of the ledger", []
                )
                st.rerun()
            else:
                _open_next(portfolio, asked, "Booked", words, ids)
                st.rerun()
    _tell(wrong, slots, told, state["tried"], asked)
    if words:
        told.info(f"This will book: {show.plain(words)}.", icon=":material/edit_note:")


def _what(n: str, last: str) -> str:
    """What happened: a group, a kind of it, and of a transfer whether cash or units moved. The name of the form."""
    kind = last.removesuffix("_kind")
    group = next(g for g, kinds in GROUPS.items() if kind in kinds)
    group = str(st.segmented_control("Group", list(GROUPS), default=group, required=True, key=f"{n}_group", label_visibility="collapsed",
                                     persist_state="session"))  # fmt: skip
    kinds = GROUPS[group]
    kind = str(st.pills("What happened", kinds, default=kind if kind in kinds else kinds[0], required=True, format_func=title,
                        key=f"{n}_kind_{group}", label_visibility="collapsed", persist_state="session"))  # fmt: skip
    if kind not in IN_KIND:
        return kind
    what = st.segmented_control("What moves", ["Units with their lots", "Cash"], default="Units with their lots", required=True,
                                key=f"{n}_moves", label_visibility="collapsed", persist_state="session")  # fmt: skip
    return kind if what == "Cash" else f"{kind}_kind"


def _words(
    asked: str, cells: dict[str, str], checked: Checked, seen: Effect | None, book: Book, targets: dict[UUID, str]
) -> str:
    """What will be booked, in one line; empty where something is wrong."""
    if not checked.entries:
        return ""
    draft, posting = checked.entries[0]
    if asked.startswith("between"):
        what = f"{show.text(draft.quantity, Kind.UNITS)} {draft.security.symbol}" if draft.security else show.money(posting.gross, posting.currency)  # fmt: skip
        words = f"{what} from {book.portfolio.name} to {targets[UUID(cells['target'])]}, {show.day(draft.traded_on)}"
        if seen is not None and seen.delivered:
            lots = f"{len(seen.delivered)} lot{'s' * (len(seen.delivered) > 1)}"
            words += f", with {lots} and their cost, {show.money(seen.cost_delivered, posting.currency)}"
        return words
    words = "; and ".join(sentence(p, d) for d, p in checked.entries)
    if said := ratio_reading(cells.get("ratio", "")):
        words += f" ({said})"
    gain = lot_picker.realised(seen, book.base) if seen is not None else ""
    return f"{words}, {gain}" if gain else words


def _book(user: User, portfolio: UUID, asked: str, cells: dict[str, str], checked: Checked, key: str) -> list[UUID]:
    """Book what was entered; the ids to undo it by. Raises LedgerError."""
    today = clock.latest()
    draft = checked.entries[0][0]
    if not asked.startswith("between"):
        return ledger.append(user.user_id, portfolio, checked.drafts, today, "form", key, linked=asked == "exchange")
    made = transfers.transfer(
        user.user_id, portfolio, UUID(cells["target"]), draft.traded_on, today, security=draft.security, quantity=draft.quantity,
        currency=draft.currency, amount=draft.gross, lots=draft.lots, note=draft.note, key=key,
    )  # fmt: skip
    return [made.out]


def _tell(wrong: dict[str, LedgerError], slots: dict[str, Any], told: Any, tried: bool, asked: str) -> None:
    """Each error beside its field, in words; what is only missing is said once the form was sent."""
    for field, e in wrong.items():
        if e.value in (None, "") and not tried:
            continue
        words = e.expected[:1].upper() + e.expected[1:]
        if field in slots:
            slots[field].markdown(f":red[:material/error: {show.plain(words)}.]")
        else:
            told.error(f"{show.plain(e)}.", icon=":material/error:")
    if tried and wrong and all(field in slots for field in wrong):
        told.error(f"Nothing was booked yet: {_named(wrong, asked)}.", icon=":material/error:")


def _named(wrong: dict[str, LedgerError], asked: str) -> str:
    """The fields that are missing or wrong, by the labels they have in this form."""
    return "complete " + ", ".join(
        f"**{called(f, asked).removesuffix(' (optional)')}**" if f in ASKED else f for f in wrong
    )


def _instance(portfolio: UUID) -> dict[str, Any]:
    """The open form of this portfolio: its key, whether it was sent, and what was booked last."""
    forms = st.session_state.setdefault("entry_forms", {})
    fresh = {"key": uuid4().hex[:12], "kind": "buy", "tried": False, "done": None}
    found: dict[str, Any] = forms.setdefault(portfolio, fresh)
    return found


def _open_next(portfolio: UUID, kind: str, did: str, what: str, undo: list[UUID] | Correction) -> None:
    """Close this instance and open an empty one that says what happened, and how it is undone."""
    st.session_state["entry_forms"][portfolio] = {
        "key": uuid4().hex[:12],
        "kind": kind,
        "tried": False,
        "done": (did, what, undo),
    }


def tell_done(portfolio: UUID, did: str, what: str, undo: list[UUID] | Correction) -> None:
    """Remember what was done, for `said` to tell and undo."""
    _open_next(portfolio, _instance(portfolio)["kind"], did, what, undo)


def said(user: User, portfolio: UUID) -> None:
    """What was booked last in this portfolio, with its undo."""
    state = _instance(portfolio)
    if state["done"] is None:
        return
    did, what, undoing = state["done"]
    told, undo = st.columns([8, 1], vertical_alignment="center")
    told.success(f"{did}: {show.plain(what)}.", icon=":material/check_circle:")
    with undo:
        if not undoing:
            return
        if isinstance(undoing, Correction):
            if st.button("Undo", icon=":material/undo:", key="undo_corrections", help="Books everything again as it was; all entries stay."):  # fmt: skip
                _take_back(user, portfolio, undoing, what)
        elif st.button("Undo", icon=":material/undo:", key=f"undo_{undoing[0]}", help="Books a reversal; both entries stay."):  # fmt: skip
            _reverse(user, portfolio, undoing, "undone right after booking", "Undone by a reversal", what)


def _take_back(user: User, portfolio: UUID, correction: Correction, what: str) -> None:
    """Undo a correction and say so; an error is said instead."""
    try:
        corrections.undo(user.user_id, portfolio, correction, clock.latest())
    except (LedgerError, Conflict) as e:
        st.error(f"Nothing was undone: {show.plain(e)}.", icon=":material/error:")
        return
    tell_done(portfolio, "Undone, everything is booked as it was", what, [])
    st.rerun()


def details(user: User, portfolio: Portfolio, entry: dict[str, Any], columns: tuple[Column, ...]) -> None:
    """One entry of the ledger in full, and its reversal for whom may book."""
    currencies = {"net": entry["cash_currency"]}
    shown = {
        c.title: spoken(entry[c.key])
        if c.key == "kind"
        else show.text(entry[c.key], c.kind, currencies.get(c.key, entry["currency"]), signed=c.key == "net")
        for c in columns
        if entry[c.key] not in (None, "")
    }
    with st.container(border=True):
        st.subheader(show.plain(_name(entry)), anchor=False)
        show.facts(shown)
        if not entry["state"].startswith("booked"):
            st.caption("A reversal cannot be reversed: book the transaction again instead." if entry["kind"] == "reversal"
                       else "It no longer counts: it was reversed, and all entries stay in the ledger.")  # fmt: skip
        elif may_book(user, portfolio) and st.button(
            "Reverse this entry…", icon=":material/undo:", key=f"reverse_{entry['transaction_id']}"
        ):
            _confirm(user, portfolio.portfolio_id, entry)


@st.dialog("Reverse this entry?", icon=":material/undo:")
def _confirm(user: User, portfolio: UUID, entry: dict[str, Any]) -> None:
    st.markdown(
        f"**{show.plain(_name(entry))}** will no longer count: units, cash and every figure from that day on are computed without it. "
        "Nothing is deleted; the ledger shows the entry and its reversal. A reversal cannot itself be reversed."
    )
    if "linked" in entry["state"]:
        st.markdown("It is linked with others, as both sides of a transfer are: **they are reversed with it**.")
    note = st.text_input("Why (optional)", placeholder="e.g. booked twice", max_chars=500, key="reverse_note")
    if st.button("Reverse it", type="primary", icon=":material/undo:", key="reverse_yes"):
        _reverse(user, portfolio, [UUID(entry["transaction_id"])], note.strip(), "Reversed", _name(entry))


def _name(entry: dict[str, Any]) -> str:
    """An entry in a few words: "Buy 10 AAPL, 5 January 2026"."""
    words = (title(entry["kind"]), show.text(entry["quantity"], Kind.UNITS) if entry["quantity"] else "", entry["symbol"] or "",
             "" if entry["quantity"] or not entry["gross"] else show.money(entry["gross"], entry["currency"]))  # fmt: skip
    return " ".join(w for w in words if w) + f", {show.day(entry['traded_on'])}"


def _reverse(user: User, portfolio: UUID, ids: list[UUID], note: str, did: str, what: str) -> None:
    """Book reversals and say so; an error is said instead."""
    try:
        ledger.reverse_all(user.user_id, portfolio, ids, note)
    except LedgerError as e:
        st.error(f"Nothing was reversed: {show.plain(e.expected)}.", icon=":material/error:")
        return
    except AccessDenied as e:
        st.error(f"Nothing was reversed: {show.plain(e)}.", icon=":material/error:")
        return
    _open_next(portfolio, _instance(portfolio)["kind"], did, what, [])
    st.rerun()
