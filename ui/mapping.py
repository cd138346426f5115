"""The mapping screen: a table of unknown format, which column is which, how it writes, what its words mean, and what comes of it.

What is proposed is filled in; the first records are read again after every change. A map that is kept is found by the header
of the next file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core import VERSION
from core.book import Portfolio
from core.brokers import ColumnMap
from core.brokers.columns import MEANINGS, RULES, SKIP
from core.brokers.sheet import DELIMITERS, Sheet, sheet, text_of
from core.importing import NotReadable
from core.ledger import BOOKABLE, LedgerError, spoken
from core.recognition import UnknownFormat, words_of_kind
from core.table import Column, Context, Kind, Table
from db import import_maps, imports
from db.access import User
from ui import clock, errors, session, show

NONE = ""
FIRST = ("date", "kind", "symbol", "isin", "quantity", "price", "gross", "fees", "taxes", "currency", "name", "note")
MORE = (
    "settlement",
    "exchange",
    "fx",
    "cash_currency",
    "reference",
    "account",
    "counterparty",
    "ratio",
    "into",
    "fraction",
    "basis",
    "acquired",
)
TITLES = {
    "date": "Date (needed)",
    "kind": "Kind of transaction",
    "isin": "ISIN",
    "gross": "Amount",
    "fx": "FX rate",
    "cash_currency": "Currency of the cash",
    "reference": "The broker's own id",
    "basis": "Cost carried in",
    "counterparty": "Traded through",
}
ORDERS = {"dmy": "day first: 31.3.2026", "mdy": "month first: 3/31/2026"}
MARKS = {".": "point: 1,234.56", ",": "comma: 1.234,56"}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
LEAVE = f"{SKIP}as the map says"
READ = (
    Column("line", "Line", Kind.COUNT),
    Column("verdict", "Verdict"),
    Column("date", "Date"),
    Column("kind", "Kind"),
    Column("security", "Security"),
    Column("quantity", "Quantity"),
    Column("price", "Price"),
    Column("gross", "Amount"),
    Column("currency", "Currency"),
    Column("reason", "Why"),
)
PHONE = ("line", "verdict", "kind", "gross", "reason")
WORDS = {"book": "✓ reads", "duplicate": "= already booked", "skipped": "– left out", "refused": "✕ not yet"}


def screen(user: User, portfolio: Portfolio, raw: bytes, name: str, of: UnknownFormat, key: str) -> ColumnMap | None:
    """Draw it. The map once somebody says to go on with it, None until then."""
    st.info(
        f"**{show.plain(name)} has a format that is not known yet.** Say which column is which; below you see what comes of it.",
        icon=":material/table_edit:",
    )
    text = text_of(raw)
    table = _where(text, of, key)
    if table is None:
        return None
    proposed = of.proposed if of.proposed and of.proposed.header_line == table.header_line else None
    with st.expander("The first rows of the file", expanded=proposed is None):
        st.dataframe(
            [{c: row.cells.get(c, "") for c in table.columns} for row in table.rows[:8]], hide_index=True, key=f"map_raw_{key}_{table.header_line}"
        )  # fmt: skip
    try:
        column_map = _asked(table, proposed, text, key)
    except LedgerError as e:
        st.warning(f"{e.field.capitalize()}: {show.plain(e.expected)}.", icon=":material/edit:")
        return None
    _preview(user, portfolio, raw, name, column_map, key)
    return _keep(user, table, column_map, name, key)


def _where(text: str, of: UnknownFormat, key: str) -> Sheet | None:
    """The table: its header's line and what stands between cells."""
    line, delimiter = of.header_line, of.delimiter
    with st.expander("Where the table begins", expanded=of.proposed is None):
        left, right = st.columns(2)
        line = left.number_input("Line with the names of the columns", 1, 1000, line, key=f"map_line_{key}")
        delimiter = right.selectbox("Between cells", list(DELIMITERS), index=DELIMITERS.index(delimiter), format_func=SEPARATORS.__getitem__,
                                    key=f"map_delimiter_{key}")  # fmt: skip
    try:
        table = sheet(text, delimiter, int(line))
    except NotReadable as e:
        st.warning(f"{show.plain(e)}.", icon=":material/edit:")
        return None
    if len(table.columns) < 2 or not table.rows:
        st.warning("There is no table below this line. Try another line or separator.", icon=":material/edit:")
        return None
    return table


def _asked(table: Sheet, proposed: ColumnMap | None, text: str, key: str) -> ColumnMap:
    """The fields of the map. Raises LedgerError where they make none."""
    n = f"map_{key}_{table.header_line}_{DELIMITERS.index(table.delimiter)}"
    given = proposed.columns if proposed else {}
    st.subheader("Which column is which", anchor=False)
    options = [NONE, *table.columns]
    columns: dict[str, str] = {}

    def choose(names: tuple[str, ...]) -> None:
        grid = st.columns(1 if session.on_phone() else 4)
        for i, ours in enumerate(names):
            now = given.get(ours, NONE)
            at = options.index(now) if now in options else 0
            theirs = grid[i % len(grid)].selectbox(TITLES.get(ours, spoken(ours).capitalize()), options, index=at, key=f"{n}_{ours}",
                                                   format_func=lambda x: x or "— none —")  # fmt: skip
            if theirs:
                columns[ours] = theirs

    choose(FIRST)
    with st.expander("More columns"):
        choose(MORE)
    st.subheader("How it is written", anchor=False)
    one, two, three = st.columns(3)
    base = proposed or ColumnMap(
        {"date": "date"}, delimiter=table.delimiter, decimal="," if table.delimiter == ";" else "."
    )
    dates = one.selectbox(
        "Dates",
        list(ORDERS),
        index=list(ORDERS).index(base.dates),
        format_func=ORDERS.__getitem__,
        key=f"{n}_its_dates",
    )
    decimal = two.selectbox(
        "Decimal sign",
        list(MARKS),
        index=list(MARKS).index(base.decimal),
        format_func=MARKS.__getitem__,
        key=f"{n}_its_decimal",
    )
    currency = (
        three.text_input("Currency, where no column says it", base.currency, max_chars=3, key=f"{n}_its_currency")
        .strip()
        .upper()
    )
    signed = one.toggle("A minus means money that went out", base.signed, key=f"{n}_its_signed")
    net = two.toggle("The amount is after fees and taxes", base.net, key=f"{n}_its_net")
    sided = one.toggle(
        "Sold beyond what is held is a short",
        base.sided,
        key=f"{n}_its_sided",
        help="For fills that only say bought or sold, in a file that begins with nothing held.",
    )
    zone = three.text_input(
        "Time zone of timestamps with an offset",
        base.zone,
        placeholder="Europe/Berlin",
        max_chars=40,
        key=f"{n}_its_zone",
    ).strip()
    if "date" not in columns:
        raise LedgerError("columns", None, "choose the column of the date")
    kinds = _meanings(text, table, columns, dict(base.kinds) if proposed else {}, n)
    return ColumnMap(
        columns,
        kinds,
        dates,
        decimal,
        zone,
        table.delimiter,
        table.header_line,
        signed,
        net,
        base.implied_fees,
        currency,
        sided,
    )


def _meanings(text: str, table: Sheet, columns: dict[str, str], known: dict[str, str], n: str) -> dict[str, str]:
    """What the words in the column of the kind mean."""
    if "kind" not in columns:
        st.caption(
            "Without a column for the kind the signs decide: a number of units is a purchase or sale, an amount alone a deposit or withdrawal."
        )
        return known
    found = words_of_kind(text, {"delimiter": table.delimiter, "header_line": table.header_line, "columns": columns})
    choices = [NONE, *BOOKABLE, *sorted(RULES), LEAVE]
    said = {w: m if m in MEANINGS else LEAVE for w, m in known.items()}
    own = {w: w.lower().replace(" ", "_") for w in found}
    rows = [
        {"word": w, "rows": count, "meaning": said.get(w) or (own[w] if own[w] in BOOKABLE else NONE)}
        for w, count in list(found.items())[:200]
    ]
    st.subheader("What its words mean", anchor=False)
    edited: Any = st.data_editor(
        rows, hide_index=True, disabled=["word", "rows"], key=f"{n}_kinds_{columns['kind']}",
        column_config={
            "word": st.column_config.TextColumn("In the file"),
            "rows": st.column_config.NumberColumn("Rows"),
            "meaning": st.column_config.SelectboxColumn("Means", options=choices, help="; ".join(f"{k}: {v}" for k, v in RULES.items())),
        },
    )  # fmt: skip
    kinds = {w: m for w, m in known.items() if w not in found}
    kinds |= {row["word"]: row["meaning"] for row in edited if row["meaning"]}
    open_ = [row["word"] for row in edited if not row["meaning"]]
    if open_:
        st.caption(f"Without a meaning yet: {show.plain(', '.join(open_[:10]))}. Their rows are refused.")
    return kinds


def _preview(user: User, portfolio: Portfolio, raw: bytes, name: str, column_map: ColumnMap, key: str) -> None:
    """The first ten records under this map, with their verdicts."""
    today = clock.latest()
    st.subheader("What comes of it", anchor=False)
    try:
        found = imports.import_file(user.user_id, portfolio.portfolio_id, raw, name, today, column_map=column_map)
    except (NotReadable, LedgerError) as e:
        st.warning(f"{show.plain(e)}.", icon=":material/edit:")
        return
    unknown = f", {len(found.unknown)} unknown securities (asked about in the next step)" if found.unknown else ""
    st.caption(
        f"{len(found.verdicts):,} records: {found.count('book'):,} can be booked, {found.count('refused'):,} not yet, "
        f"{found.count('skipped'):,} left out{unknown}. The first ten:"
    )
    rows = []
    for v in found.verdicts[:10]:
        c = v.cells
        security = c.get("symbol") or c.get("isin") or c.get("name")
        rows.append((v.line, WORDS[v.outcome], c.get("date"), c.get("kind"), security, c.get("quantity"), c.get("price"), c.get("gross"),
                     c.get("currency"), v.reason))  # fmt: skip
    table = Table(
        "import_preview", "The first ten records", READ, tuple(rows), Context(today, portfolio.base_currency, VERSION)
    )
    digest = abs(hash(repr(column_map)))
    show.table(table, key=f"map_read_{key}_{digest}", foot=False, only=PHONE if session.on_phone() else ())


def _keep(user: User, table: Sheet, column_map: ColumnMap, name: str, key: str) -> ColumnMap | None:
    """Name the map and keep it, or use it once."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    called = left.text_input(
        "Name of this map", name.rpartition(".")[0][:80] or name[:80], max_chars=80, key=f"map_name_{key}"
    ).strip()
    shared = right.toggle("Everybody may use it", key=f"map_shared_{key}")
    with st.container(horizontal=True):
        if st.button(
            "Keep this map and go on",
            type="primary",
            icon=":material/save:",
            disabled=not called,
            key=f"map_keep_{key}",
        ):
            with errors.told():
                import_maps.keep_map(user.user_id, called, column_map, table.columns, shared)
                return replace(column_map)
        if st.button("Use it this once", key=f"map_once_{key}"):
            return column_map
    return None
