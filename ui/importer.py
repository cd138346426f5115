"""The import wizard: file, what it is, unknown securities, a verdict per record without booking anything, booking, undoing.

The dry run happens once per file, map, choices and state of the ledger: what it said is kept in the session. Only what is shown
is kept (the verdicts as CSV and the first rows of each outcome). A table of unknown format goes through ui.mapping first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import streamlit as st

from core import VERSION, importing
from core.book import Portfolio
from core.brokers import ColumnMap
from core.importing import NotReadable
from core.ledger import LedgerError
from core.matching import NewSecurity
from core.recognition import LEDGER, MAPPED, OWN, UnknownFormat
from core.table import Column, Context, Kind, Table
from db import engine, exports, imports, installation
from db.access import AccessDenied, User
from db.import_securities import Choice, Unknown
from ui import clock, errors, mapping, show, verdicts
from ui.verdicts import Checked

ASKED = 25  # unknown securities that are asked about one by one
WORDS = {"book": "✓ to book", "duplicate": "= already booked", "skipped": "– left out", "refused": "✕ refused"}
TITLES = {"refused": "Refused", "book": "To book", "skipped": "Left out", "duplicate": "Already booked"}
CLASSES = ("Equity", "Fund", "Fixed Income", "Commodity", "Real Estate", "Crypto", "Other")
COLUMNS = (
    Column("line", "Line", Kind.COUNT, "in the file, the first one is 1"),
    Column("verdict", "Verdict"),
    Column("reason", "Why", note="what is wrong and what would be right, why it is left out, or what is odd about one to book"),
    Column("kind", "Kind"),
    Column("symbol", "Symbol"),
    Column("traded_on", "Date", Kind.DATE),
    Column("quantity", "Quantity", Kind.UNITS),
    Column("price", "Price", Kind.PRICE, wide_only=True),
    Column("net", "Net cash", Kind.MONEY, "posted, with its sign, in the cash currency"),
    Column("cash_currency", "Cash in", wide_only=True),
    Column("settles_on", "Settles", Kind.DATE, wide_only=True),
    Column("row", "As it was read", wide_only=True),
)


@dataclass(frozen=True, slots=True)
class Read(Checked):
    """A dry run with what the file is, and the securities in it that are not known."""

    unknown_format: UnknownFormat | None = None
    format: str = ""
    title: str = ""
    notes: tuple[str, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    closed: str = ""  # why no securities may be created
    warned: int = 0  # rows to book with a warning


def said(user: User, portfolio: UUID) -> None:
    """What the last import into this portfolio booked, with its undoing."""
    state = _state(portfolio)
    if not state["done"]:
        return
    st.success(show.plain(state["done"]), icon=":material/check_circle:")
    if state["undo"]:
        number, count = state["undo"]
        _undo(user, portfolio, number, count, "last")


def _undo(user: User, portfolio: UUID, number: UUID, count: int, where: str) -> None:
    """The button that takes an import back, after a second word."""
    with st.popover("Undo this import", icon=":material/undo:", key=f"undo_{where}_{number}"):
        st.markdown(
            f"This books {_count(count)} reversal{'' if count == 1 else 's'}. Nothing is deleted; the file may be imported again."
        )
        if st.button("Reverse all of it", type="primary", key=f"undo_sure_{where}_{number}"):
            with errors.told():
                done = imports.undo(user.user_id, portfolio, number)
                _finish(portfolio, f"The import was undone: {_count(done)} entries are reversed.")


def _finish(portfolio: UUID, done: str, undo: tuple[UUID, int] | None = None) -> None:
    """Say what was done on a clean page."""
    every: dict[UUID, Any] = st.session_state["imports"]
    every[portfolio] = _fresh() | {"done": done, "undo": undo}
    st.rerun()


def _fresh() -> dict[str, Any]:
    return {"key": uuid4().hex[:12], "done": "", "undo": None, "checked": {}, "map": None}


def _state(portfolio: UUID) -> dict[str, Any]:
    """The open import of this portfolio: its number, what the last one said, the verdicts on the file at hand and its map."""
    found: dict[str, Any] = st.session_state.setdefault("imports", {}).setdefault(portfolio, _fresh())
    return found


def wizard(user: User, portfolio: Portfolio) -> None:
    """Draw the whole way from the file to the result, for somebody who may book."""
    state = _state(portfolio.portfolio_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button("Template", importing.TEMPLATE, "transactions-template.csv", "text/csv", on_click="ignore",
                           icon=":material/download:", key="import_template")  # fmt: skip
        export(user, portfolio, "import")
    file = st.file_uploader("CSV or XML file of transactions", key=f"import_{state['key']}",
                            help="A broker's export as it was downloaded, our own CSV, a whole ledger exported here, or any table: then you say which column "
                            "is which. A .gz file is read as what is in it. Up to 100,000 rows go smoothly.")  # fmt: skip
    if file is None:
        state["map"] = None
        st.caption(
            "Exports of Schwab, Fidelity, Interactive Brokers, DEGIRO, Trading 212, eToro, Revolut, Parqet, Saxo, XTB and Freetrade are recognised by "
            "what is in them. The file is checked first; nothing is booked before you say so. The same file twice adds nothing."
        )
        _earlier(user, portfolio)
        return
    raw, today = file.getvalue(), clock.latest()
    digest = hashlib.sha256(raw).hexdigest()
    if state["map"] is not None and state["map"][0] != digest:
        state["map"] = None  # another file
    column_map: ColumnMap | None = state["map"][1] if state["map"] else None
    checked = _checked(user, portfolio, state, raw, file.name, today, column_map, {})
    if checked.unknown_format is not None:
        chosen = mapping.screen(user, portfolio, raw, file.name, checked.unknown_format, state["key"])
        if chosen is not None:
            state["map"] = (digest, chosen)
            st.rerun()
        return
    if checked.unreadable:
        st.error(f"{show.plain(file.name)} cannot be read: {show.plain(checked.unreadable)}.", icon=":material/error:")
        return
    _recognised(checked, state, digest)
    choices = _unknown(checked.unknown, checked.closed, state["key"]) if checked.unknown else {}
    if choices is None:
        return
    if choices:
        checked = _checked(user, portfolio, state, raw, file.name, today, column_map, choices)
        if checked.unreadable:
            st.warning(
                f"{show.plain(checked.unreadable[:1].upper() + checked.unreadable[1:])}.", icon=":material/edit:"
            )
            return
        for u in (u for u in checked.unknown if u.fault):
            st.warning(f"{show.plain(_called(u))} cannot be created so: {show.plain(u.fault)}.", icon=":material/edit:")
    if checked.warned:
        rows = "row to book has an odd date" if checked.warned == 1 else "rows to book have odd dates"
        st.warning(f"{_count(checked.warned)} {rows}: see Why. You can book all the same.", icon=":material/warning:")
    titles = {o: title for o, title in TITLES.items() if o != "skipped" or checked.counts[o]}
    verdicts.show(checked, titles, "book", _table((), portfolio, today), f"import_{state['key']}")
    _book(user, portfolio, raw, file.name, today, checked, state, column_map, choices)


def export(user: User, portfolio: Portfolio, where: str) -> None:
    """The whole ledger as a file that can be imported again."""
    st.download_button("Export this ledger", lambda: exports.export(user.user_id, portfolio.portfolio_id).encode(),
                       f"ledger-{portfolio.portfolio_id}.csv", "text/csv", on_click="ignore", icon=":material/upload_file:", key=f"export_{where}",
                       help="Every entry with its id, reversals and corrections too: imported into an empty portfolio it is the same ledger.")  # fmt: skip


def _earlier(user: User, portfolio: Portfolio) -> None:
    """The imports that were made, each with its undoing."""
    made = imports.done(user.user_id, portfolio.portfolio_id, 10)
    if not made:
        return
    with st.expander("Earlier imports", icon=":material/history:"):
        for d in made:
            left, right = st.columns([4, 1], vertical_alignment="center")
            stands = "nothing of it still counts" if not d.standing else f"{_count(d.standing)} entries count"
            left.markdown(
                f"**{show.plain(d.file_name)}** · {d.at:%Y-%m-%d %H:%M} UTC · {show.plain(d.by)} · booked {_count(d.booked)}, "
                f"left out {_count(d.skipped)}, refused {_count(d.refused)}, already there {_count(d.duplicates)} · {stands}"
            )
            if d.standing:
                with right:
                    _undo(user, portfolio.portfolio_id, d.import_id, d.standing, "list")


def _checked(
    user: User,
    portfolio: Portfolio,
    state: dict[str, Any],
    raw: bytes,
    name: str,
    today: date,
    column_map: ColumnMap | None,
    choices: Mapping[str, Choice],
) -> Read:
    """The dry run of this file under this map and these choices, made once."""
    asked = json.dumps([column_map.as_json() if column_map else None, sorted((k, repr(c)) for k, c in choices.items())])
    key = (hashlib.sha256(raw).hexdigest(), portfolio.version, today, asked)
    found: Read | None = state["checked"].get(key)
    if found is None:
        found = _dry_run(user, portfolio, raw, name, today, column_map, choices)
        kept = [(k, v) for k, v in state["checked"].items() if k[:3] == key[:3]][-3:]
        state["checked"] = {**dict(kept), key: found}
    return found


def _dry_run(
    user: User,
    portfolio: Portfolio,
    raw: bytes,
    name: str,
    today: date,
    column_map: ColumnMap | None,
    choices: Mapping[str, Choice],
) -> Read:
    """Ask for the verdicts, with a progress bar."""
    bar = st.progress(0.0, f"Reading {show.plain(name)}")
    try:
        found = imports.import_file(user.user_id, portfolio.portfolio_id, raw, name, today, column_map=column_map, choices=choices,
                                    progress=bar.progress)  # fmt: skip
    except UnknownFormat as e:
        bar.empty()
        return Read({}, {}, "", str(e), e)
    except (NotReadable, LedgerError) as e:
        bar.empty()
        return Read({}, {}, "", str(e))
    bar.progress(1.0, "Writing the verdicts")
    rows = [_row(v) for v in found.verdicts]
    bar.empty()
    first = verdicts.first(found.verdicts, TITLES, _row)
    return Read({o: found.count(o) for o in WORDS}, first, _table(tuple(rows), portfolio, today).as_csv(), format=found.format,
                   title=found.title, notes=found.notes, unknown=found.unknown, closed=found.closed,
                   warned=found.warned)  # fmt: skip


def _row(v: imports.Verdict) -> verdicts.Row:
    p = v.posting
    line = verdicts.as_read(v.cells)
    if p is None:
        return (v.line, WORDS[v.outcome], v.reason, None, None, None, None, None, None, None, None, line)
    symbol = v.symbol or v.cells.get("symbol") or v.cells.get("isin") or None
    return (v.line, WORDS[v.outcome], v.reason or " ".join(v.warnings), p.kind, symbol, p.traded_on, p.quantity, p.price, p.net, p.cash_currency,
            p.settles_on, line)  # fmt: skip


def _recognised(checked: Read, state: dict[str, Any], digest: str) -> None:
    """What the file is, and the way to the mapping screen where it was read under a map."""
    named = {OWN: "our own format", LEDGER: "a whole ledger exported here: its entries keep their ids"}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/task_alt: Recognised: **{show.plain(named.get(checked.format, checked.title))}**")
        if (
            checked.format == MAPPED
            and state["map"]
            and st.button("Change the map", type="tertiary", key=f"import_remap_{state['key']}")
        ):
            state["map"] = None
            st.rerun()
    for note in checked.notes:
        st.caption(show.plain(note))


# --- unknown securities ------------------------------------------------------------------------------------------------


def _unknown(unknown: tuple[Unknown, ...], closed: str, key: str) -> dict[str, Choice]:
    """What is decided about the securities that are not known; those that are not decided are refused with their rows."""
    choices: dict[str, Choice] = {}
    count = len(unknown)
    st.subheader("Securities that are not known yet", anchor=False)
    st.caption(
        f"The file names {_count(count)} {'security' if count == 1 else 'securities'} that cannot be matched for certain. Say what is meant; the "
        "next file of this source then matches by itself. Rows of one that is left open are refused."
    )
    if closed:
        st.caption(f":material/lock: None can be created here: {show.plain(closed)}.")
    ways = ["one by one", *([] if closed else ["create as proposed"]), "leave out"]
    every = st.segmented_control(
        "For all of them", ways, default=ways[0], required=True, key=f"unknown_all_{key}", label_visibility="collapsed"
    )
    if every == "leave out":
        return {u.key: Choice() for u in unknown}
    if every == "create as proposed":
        listed = ", ".join(f"{u.proposed.symbol} ({u.proposed.exchange}, {u.proposed.currency})" for u in unknown[:40])
        st.caption(f"To be created: {show.plain(listed)}{' …' if count > 40 else ''}")
        if lost := [f"{_called(u)}: {u.note}" for u in unknown if u.note]:
            st.caption(f":material/info: {show.plain('; '.join(lost[:10]))}{' …' if len(lost) > 10 else ''}")
        return {u.key: Choice(create=u.proposed) for u in unknown}
    for u in unknown[:ASKED]:
        with st.container(border=True):
            if (choice := _asked(u, closed, key)) is not None:
                choices[u.key] = choice
    if count > ASKED:
        st.caption(f"{_count(count - ASKED)} more: decide about these first, or about all at once.")
    return choices


def _called(u: Unknown) -> str:
    return u.named.symbol or u.named.isin or u.named.name


def _asked(u: Unknown, closed: str, key: str) -> Choice | None:
    """One unknown security: the choice, None while it is open."""
    n, slot = u.named, f"unknown_{key}_{hashlib.sha256(u.key.encode()).hexdigest()[:10]}"
    title = _called(u)
    more = " · ".join(
        x for x in (n.name if n.name != title else "", n.isin if n.isin != title else "", n.exchange, n.currency) if x
    )
    rows = f"{_count(u.rows)} row{'' if u.rows == 1 else 's'}"
    words = {"": "Decide …"}
    for c in u.candidates:
        s = c.security
        words[f"use:{s.security_id}"] = (
            f"It is {s.symbol} · {s.exchange} · {s.name} · {s.currency} ({c.score:.0%} alike)"
        )
    if not closed:
        words["create"] = f"Create {u.proposed.symbol} on {u.proposed.exchange} in {u.proposed.currency}"
    words["skip"] = f"Leave its {rows} out"
    said = st.selectbox(
        f"**{show.plain(title)}** {show.plain(more)} · {rows}", list(words), format_func=words.__getitem__, key=slot
    )
    if u.note:
        st.caption(f":material/info: {show.plain(u.note)}.")
    if said == "skip":
        return Choice()
    if said.startswith("use:"):
        return Choice(use=int(said[4:]))
    if said != "create":
        return None
    return Choice(create=_new(u.proposed, slot))


def _new(p: NewSecurity, slot: str) -> NewSecurity:
    """The fields of a security to create."""
    with engine.session(None) as c:
        currencies, exchanges = list(installation.currencies(c)), installation.exchanges(c)
    one, two, three, four = st.columns(4)
    symbol = one.text_input("Symbol", p.symbol, max_chars=32, key=f"{slot}_symbol")
    places = [p.exchange, *(e for e in exchanges if e != p.exchange)]
    exchange = two.selectbox(
        "Exchange", places, format_func=lambda e: f"{e} · {exchanges.get(e, '')}", key=f"{slot}_exchange"
    )
    coins = [p.currency, *(c for c in currencies if c != p.currency)]
    currency = three.selectbox("Currency", coins, key=f"{slot}_currency")
    kind = four.selectbox("Class", CLASSES, index=CLASSES.index(p.asset_class), key=f"{slot}_class")
    left, right = st.columns([3, 1])
    name = left.text_input("Name", p.name, max_chars=200, key=f"{slot}_name")
    isin = right.text_input("ISIN", p.isin, max_chars=12, key=f"{slot}_isin")
    return replace(p, symbol=symbol, exchange=exchange, currency=currency, asset_class=kind, name=name, isin=isin)


def _count(number: int) -> str:
    return show.text(number, Kind.COUNT)


def _table(rows: tuple[verdicts.Row, ...], portfolio: Portfolio, today: date) -> Table:
    context = Context(today, portfolio.base_currency, VERSION)
    return Table("import_verdicts", "Verdict per row", COLUMNS, rows, context, empty="No row has this verdict.")


def _book(
    user: User,
    portfolio: Portfolio,
    raw: bytes,
    name: str,
    today: date,
    checked: Read,
    state: dict[str, Any],
    column_map: ColumnMap | None,
    choices: Mapping[str, Choice],
) -> None:
    """The button that books, and what came of it. A second click finds every row booked and adds nothing."""
    good, refused = checked.counts["book"], checked.counts["refused"]
    take_good = False
    if not good:
        st.info("There is nothing to book in this file." if refused else "Every row of this file is in the ledger already, or left out: nothing to book.",
                icon=":material/info:")  # fmt: skip
        return
    if refused:
        take_good = st.checkbox(
            f"Book the good rows only; leave the {_count(refused)} refused out", key=f"import_good_{state['key']}"
        )
    label = f"Book {_count(good)} transaction{'' if good == 1 else 's'}"
    if st.button(
        label,
        type="primary",
        icon=":material/check:",
        disabled=bool(refused) and not take_good,
        key=f"import_book_{state['key']}",
    ):
        bar = st.progress(0.0, "Checking once more")
        try:
            done = imports.import_file(user.user_id, portfolio.portfolio_id, raw, name, today, dry_run=False, take_good=take_good,
                                       column_map=column_map, choices=choices, progress=bar.progress)  # fmt: skip
        except (imports.NothingBooked, NotReadable, AccessDenied, LedgerError) as e:
            bar.empty()
            st.error(f"Nothing was booked: {show.plain(e)}.", icon=":material/error:")
            return
        left = [f"{_count(done.count(o))} {words}" for o, words in (("duplicate", "were in the ledger already"), ("skipped", "were left out"),
                                                                        ("refused", "were refused")) if done.count(o)]  # fmt: skip
        said = f"Booked {_count(done.booked)} transactions from {name}" + "".join(f"; {each}" for each in left) + "."
        undo = (done.import_id, done.booked) if done.import_id and done.booked else None
        _finish(portfolio.portfolio_id, said, undo)
