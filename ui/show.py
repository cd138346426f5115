"""Numbers as text, tables and cards: the only place where a value becomes what the reader sees.

    show.text(value, Kind.MONEY, "USD")        # "1,234.50", "–" where it is missing
    show.cards(table.figures[:6])              # at most six figures in a grid; the formula on hover
    row = show.table(table, key="holdings", select=True)   # the place of the chosen row, or None
    rows = show.choices(table, key="proposals")            # the places of the chosen rows
    show.csv(table)                            # the download alone
    show.facts({"Note": note})                 # a few texts under their names
    st.caption(show.plain(name))               # what somebody typed, a file or a feed brought: as it is written
A table shows its title only where `title=True`; `only=("symbol", …)` names the columns and their order.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any, Literal

import streamlit as st

from core import VERSION
from core.ledger import CODE, spoken
from core.money import minor_units
from core.reasons import Reason
from core.reports import REPORTS
from core.table import Column, Figure, Kind, Table
from ui import session

MISSING = "–"
MINUS, THIN = "\u2212", "\u202f"  # a real minus sign; the narrow space before a percent sign
HIDDEN = frozenset({"security_id", "counterparty_id"})  # for links and the API, never for eyes
CHANGES = frozenset({"day_change", "contribution"})  # with an arrow
SIGNED = CHANGES | {
    *("unrealised", "unrealised_percent", "realised", "gain", "gain_percent", "twr", "annualised", "benchmark", "active"),
    *("return", "price_return", "net", "net_flow", "value_change", "mwr", "mwr_annualised", "dietz", "local_twr", "share"),
    *("local_gain", "currency_gain", "unrealised_local", "unrealised_currency", "realised_local", "realised_currency"),
}  # fmt: skip
SIGNED_FIGURES = frozenset(
    {"day", "ytd", "change", "unrealised", "realised", "active", "gain", "net_flow", "value_change", "short_gain", "long_gain"}
)  # fmt: skip
REMARKS = frozenset({"reason", "note", "error", "beyond", "detail", "cause"})  # empty where there is nothing to say
STYLED_ROWS = 1500  # above, the browser formats the numbers: exact text for each cell costs too much
ROW, SHOWN_ROWS = 31, 14
STAYS = frozenset({"line"})  # kept narrow at the left, where all other columns share the room that is left
FEW, ROOM = 4, 1000  # columns of a table that has room for long text; pixels that it gets at most
LETTER, DIGIT, PADDING, AUTO = 6.6, 7.2, 20, 500  # pixels; the width up to which a browser fits a column by itself
FITTED = 10  # rows by which a browser fits a column; of them it leaves out what is twice as wide as they are on average
MARKED = 86  # height of a card that has a mark under it
JOINER = "\u2060"  # takes no room and lets no line break
# what Streamlit finds in a text after its Markdown is read, escaped or not: addresses, :icons:, arrows. A joiner inside keeps them text
FOUND = re.compile(
    r"(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=@)(?=\w)|(?<=:)(?!\d\d:)(?=(?:[a-z0-9_+-]+|material[_/]\w+):)|(?<=[<>~-])(?=[=-])|(?<=-)(?=>)"
)
_numbers = itertools.count()
NUMERIC = frozenset({Kind.MONEY, Kind.PRICE, Kind.UNITS, Kind.PERCENT, Kind.NUMBER, Kind.BPS, Kind.COUNT})


# --- one value ---------------------------------------------------------------------------------


def text(value: Any, kind: Kind = Kind.TEXT, currency: str | None = None, signed: bool = False) -> str:
    """One value as the reader sees it. `signed` puts a + before gains; the minus sign is always there."""
    if value is None or isinstance(value, Reason) or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return value or MISSING
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if kind is Kind.PERCENT:
        return _sign(number, signed, f"{_places(abs(number) * 100, 2)}{THIN}%")
    if kind is Kind.BPS:
        return _sign(number, signed, f"{_places(abs(number) * 10000, 1)}{THIN}bp")
    if kind is Kind.MONEY:
        return _sign(number, signed, _places(abs(number), minor_units(currency) if currency else 2))
    if kind is Kind.PRICE:
        return _sign(number, signed, _up_to(abs(number), 4 if abs(number) >= 1 else 6, 2))
    if kind is Kind.UNITS:
        return _sign(number, signed, _up_to(abs(number), 10, 0))
    if kind is Kind.COUNT or isinstance(value, int):
        return _sign(number, signed, _places(abs(number), 0))
    return _sign(number, signed, _places(abs(number), 2))


def words(cell: Any, key: str) -> str:
    """A cell of text; a kind of transaction as one says it, where files and the API write return_of_capital."""
    if key == "definition":
        return _unmarked(str(cell))
    return spoken(cell) if key == "kind" and cell in CODE else str(cell)


def change(value: float | None, kind: Kind = Kind.PERCENT, currency: str | None = None) -> str:
    """A change: arrow, sign, number."""
    if value is None:
        return MISSING
    said = text(value, kind, currency, signed=True)
    return ("▲ " if said.startswith("+") else "▼ " if said.startswith(MINUS) else "") + said


def money(value: Decimal | None, currency: str, signed: bool = False) -> str:
    """An amount with its currency, for a sentence."""
    said = text(value, Kind.MONEY, currency, signed)
    return said if said == MISSING else f"{said}\u00a0{currency}"


def percent(value: float | None, signed: bool = False) -> str:
    """A fraction in percent, for a sentence."""
    return text(value, Kind.PERCENT, signed=signed)


def day(on: date) -> str:
    """A date for a sentence: 3 March 2026."""
    return f"{on.day} {on.strftime('%B %Y')}"


def moment(at: datetime) -> str:
    """A time for a sentence: 5 March 2026 18:00 UTC."""
    at = at.astimezone(UTC)
    return f"{day(at.date())} {at:%H:%M} UTC"


def _places(number: Decimal, places: int) -> str:
    return format(number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN), ",f")


def _up_to(number: Decimal, most: int, least: int) -> str:
    whole, _, decimals = _places(number, most).partition(".")
    decimals = decimals.rstrip("0").ljust(least, "0")
    return f"{whole}.{decimals}" if decimals else whole


def _sign(number: Decimal, signed: bool, said: str) -> str:
    """The sign of what is shown: what rounds to zero has none."""
    if not any("1" <= c <= "9" for c in said):
        return said
    return f"{MINUS}{said}" if number < 0 else f"+{said}" if signed else said


# --- figures -----------------------------------------------------------------------------------


def cards(figures: Sequence[Figure], most: int = 6, mark: Callable[[Figure], None] | None = None) -> None:
    """Figures as cards in a row that wraps: value, change beside it, formula or reason on hover; under each its mark."""
    grid = st.grid("auto", min_column_width=148, gap="xsmall")
    for f in figures[:most]:
        with grid.cell() if mark is not None else grid:
            card(f, height="stretch" if mark is None else MARKED)
            if mark is not None:
                mark(f)


def card(f: Figure, height: Literal["stretch"] | int = "stretch") -> None:
    """One figure; on hover its formula, and why it is missing where it is. The currency stands in the head of the page."""
    share = f.key in ("cash",)
    said = text(f.value, f.kind, f.currency, signed=f.key in SIGNED_FIGURES)
    beside = (
        None if f.change is None else text(f.change, Kind.PERCENT, signed=not share) + (" of value" if share else "")
    )
    falls = beside is not None and beside.startswith(MINUS)
    rises = beside is not None and beside.startswith("+")
    told = [line for line in (_unmarked(f.formula or ""), f.note, f"Missing: {f.reason}" if f.reason else "") if line]
    st.metric(
        plain(f.title),
        plain(said) if isinstance(f.value, str) else said,
        beside,
        delta_color="red" if falls else "green" if rises else "gray",
        delta_arrow="down" if falls else "up" if rises else "off",
        height=height,
        help="  \n".join(map(plain, told)) or None,
        border=True,
    )


# --- tables ------------------------------------------------------------------------------------


def table(
    shown: Table,
    *,
    key: str,
    select: bool = False,
    title: bool = False,
    only: Sequence[str] = (),
    rows: int | None = None,
    height: int | None = None,
    foot: bool = True,
    widths: Mapping[str, int] | None = None,
) -> int | None:
    """A report as a table with its total and its CSV. The place of the chosen row with `select`, else None.

    `only` names the columns shown, `rows` shows the first so many; the CSV always has everything. `widths`: how many pixels the
    texts of a column may take at most; without it what a browser allows, and more where there are few columns.
    """
    named: dict[str, Any] = {
        "title": title,
        "only": only,
        "rows": rows,
        "height": height,
        "foot": foot,
        "widths": widths,
    }
    return _table(shown, key, ("single-row",) if select else (), **named)[0]


def choosable(
    shown: Table, *, key: str, select: bool = False, **named: Any
) -> tuple[int | None, tuple[int, str] | None]:
    """The same, its cells to be chosen: (the place of the chosen row, the chosen cell as place and column key)."""
    return _table(shown, key, ("single-row", "single-cell") if select else ("single-cell",), **named)


def choices(shown: Table, *, key: str, **named: Any) -> list[int]:
    """The same, several rows to be chosen: their places."""
    picked: list[int] = []
    _table(shown, key, ("multi-row",), picked=picked, **named)
    return picked


def _table(
    shown: Table,
    key: str,
    modes: tuple[str, ...],
    title: bool = False,
    only: Sequence[str] = (),
    rows: int | None = None,
    height: int | None = None,
    foot: bool = True,
    widths: Mapping[str, int] | None = None,
    picked: list[int] | None = None,
) -> tuple[int | None, tuple[int, str] | None]:
    if title:
        st.subheader(plain(shown.title), anchor=False)
    if not shown.rows:
        st.info(plain(shown.empty), icon=":material/inbox:")
        return None, None
    columns = _columns(shown, only)
    if only:
        columns.sort(key=lambda c: list(only).index(c.key))
    count = len(shown.rows) if rows is None else min(rows, len(shown.rows))
    most = tuple(sorted((widths or {}).items()))
    number, data, config = _data(shown, tuple(c.key for c in columns), count, session.on_phone(), most)
    named: dict[str, Any] = {
        "key": key,
        "height": height or (ROW * (count + 1) + 3 if count <= SHOWN_ROWS else ROW * (SHOWN_ROWS + 1) + 14),
        "alt": f"{shown.title}: {len(shown.rows)} rows",
    }
    row, cell = None, None
    if modes:
        chosen = _draw(data, config, on_select="rerun", selection_mode=list(modes), **named)["selection"]
        row = chosen["rows"][0] if chosen.get("rows") else None
        if picked is not None:
            picked += [i for i in chosen.get("rows", []) if i < count]
        cell = (int(chosen["cells"][0][0]), str(chosen["cells"][0][1])) if chosen.get("cells") else None
        row = None if row is not None and row >= count else row
        cell = None if cell is not None and (cell[0] >= count or cell[1] not in {c.key for c in columns}) else cell
    else:
        _drawn(number, data, config, **named)
    if foot:
        _foot(shown, columns, key)
    return row, cell


def _draw(data: Any, config: dict[str, Any], **named: Any) -> Any:
    return st.dataframe(data, hide_index=True, column_config=config, row_height=ROW, placeholder=MISSING, **named)


@st.cache_data(show_spinner=False, max_entries=96)
def _drawn(number: int, _data: Any, _config: dict[str, Any], key: str, height: int, alt: str) -> None:
    """The message to the browser, kept: making it costs more than all the rest of a rerun. The number stands for one answer of
    `_data`, so for one table, cell by cell."""
    _draw(_data, _config, key=key, height=height, alt=alt)


def csv(shown: Table, key: str, label: str = "CSV") -> None:
    """The whole report as a CSV file, made when it is asked for."""
    of = shown.context
    known = "" if of.known_at is None else f"known-{of.known_at:%Y-%m-%dT%H-%M}"
    name = "-".join(part for part in (shown.name, of.as_of.isoformat(), known, of.currency or "") if part)
    st.download_button(
        label,
        lambda: shown.as_csv().encode(),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"{key}_csv",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
        help=f"{plain(shown.title)}: {len(shown.rows):,} rows, all columns, unrounded",
    )


def explain(*names: str) -> None:
    """How these reports are computed: their definitions and what each column means, behind one small mark."""
    with st.popover("How this is computed", icon=":material/help:", type="tertiary"):
        for name in names:
            report = REPORTS[name]
            st.markdown(f"**{report.title}.** {plain(_unmarked(report.definition))}")
            st.markdown("\n".join(f"- **{plain(c.title)}**: {plain(c.note)}" for c in report.columns if c.note))
        st.caption(
            f"Calculation version {VERSION}. The CSV carries it with every row; the API answers the same figures."
        )


def plain(said: object) -> str:
    """Text for Markdown that must not be read as Markdown: no markup, lists, links, icons, emoji or arrows come of it."""
    written = re.sub(r"(?m)^[ \t]+", "", FOUND.sub(JOINER, str(said)))
    written = re.sub(r"([\\`*_{}\[\]<>#|$~&]|:(?!\s))", r"\\\1", written)
    return re.sub(r"(?m)^(\d+(?=[.)](?:\s|$))|(?=[-+=]))", r"\1\\", written)


def _unmarked(ours: str) -> str:
    return ours.replace("`", "")


def facts(cells: Mapping[str, str | Sequence[str]]) -> None:
    """Texts as they are written, in a table whose cells wrap: a row for each name, or a column for each title where they are lists."""
    lists = any(not isinstance(said, str) for said in cells.values())
    shown = {plain(k): plain(said) if isinstance(said, str) else [*map(plain, said)] for k, said in cells.items()}
    st.table(shown, border="horizontal", hide_index=True if lists else None)


def notes(shown: Table) -> None:
    """What the report says about itself."""
    for note in shown.notes:
        st.caption(plain(note))


def _columns(shown: Table, only: Sequence[str]) -> list[Column]:
    """What is worth a column here: on a phone without the wide ones, and nothing that says nothing all the way down."""
    phone = session.on_phone()
    out = []
    for i, c in enumerate(shown.columns):
        if c.key in HIDDEN or (phone and c.wide_only) or (only and c.key not in only):
            continue
        if c.wide_only and all(row[i] in (None, "") for row in shown.rows):
            continue
        if c.key == "currency" and c.wide_only and all(row[i] == shown.context.currency for row in shown.rows):
            continue
        out.append(c)
    return out


def _foot(shown: Table, columns: Sequence[Column], key: str) -> None:
    """The total, the currency of the amounts, the CSV."""
    parts = []
    if shown.total is not None:
        cells = dict(zip((c.key for c in shown.columns), shown.total, strict=True))
        said = [
            f"{plain(c.title)} **{text(cells[c.key], c.kind, shown.context.currency, signed=c.key in SIGNED)}**"
            for c in columns
            if c.kind in NUMERIC and cells[c.key] is not None
        ]
        parts.append("**Total** · " + " · ".join(said))
    if shown.context.currency and any(c.kind is Kind.MONEY for c in columns):
        parts.append(f"Amounts in {shown.context.currency} unless a column says otherwise")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            " · ".join(parts) or f"{len(shown.rows):,} {'row' if len(shown.rows) == 1 else 'rows'}", width="stretch"
        )
        csv(shown, key)


@lru_cache(maxsize=96)
def _data(
    shown: Table, keys: tuple[str, ...], count: int, phone: bool, most: tuple[tuple[str, int], ...] = ()
) -> tuple[int, Any, dict[str, Any]]:
    """A number of its own, the frame (numbers for sorting, exact text for reading) and the column settings. Kept while the table is the same:
    it holds nothing but the table's own cells."""
    import pandas as pd

    places = {c.key: i for i, c in enumerate(shown.columns)}
    columns = [shown.columns[places[k]] for k in keys]
    rows = shown.rows[:count]
    kinds = _kinds(shown, rows)
    frame, said, config = {}, {}, {}
    for number, c in enumerate(columns):
        cells = [row[places[c.key]] for row in rows]
        mixed = c.kind is Kind.TEXT and any(isinstance(v, int | float | Decimal) for v in cells)
        if c.kind in NUMERIC:
            frame[c.key] = pd.array([None if v is None else float(v) for v in cells], dtype="Float64").to_numpy(
                "float64", na_value=math.nan
            )
            one: Callable[..., str] = change if c.key in CHANGES else text
            extra = {} if c.key in CHANGES else {"signed": c.key in SIGNED}
            said[c.key] = [
                one(v, c.kind, shown.context.currency if c.kind is Kind.MONEY else None, **extra) for v in cells
            ]
        elif mixed:
            frame[c.key] = [text(v, kinds[i], shown.context.currency) for i, v in enumerate(cells)]
        elif c.kind is Kind.DATE:
            frame[c.key] = cells
        elif c.kind is Kind.TIME:
            frame[c.key] = pd.to_datetime(pd.Series(cells, dtype="object"), utc=True)
        elif c.kind is Kind.FLAG:
            frame[c.key] = [None if v is None else bool(v) for v in cells]
        else:
            absent = "" if c.key in REMARKS else MISSING
            frame[c.key] = [absent if v in (None, "") else words(v, c.key) for v in cells]
        pinned = number == 0 and len(columns) > 2 and (phone or c.key in STAYS)
        room = dict(most).get(c.key, ROOM if len(columns) <= FEW else AUTO)
        width = None if phone or c.kind is not Kind.TEXT else _width(frame[c.key], room)
        if c.kind in NUMERIC:
            width = _digits(said[c.key], c.title)
        config[c.key] = _config(c, mixed, pinned, exact=count <= STYLED_ROWS, width=width)
    data = pd.DataFrame(frame)
    if count > STYLED_ROWS or not said:
        return next(_numbers), data, config
    styler = data.style
    for name, cells_said in said.items():  # one formatter a column, handing out its texts in the order of the rows
        styler = styler.format(_in_order(cells_said), subset=[name])
    return next(_numbers), styler, config


class _in_order:
    """Hands out prepared texts for the cells of one column, which pandas asks for from top to bottom, again and again."""

    def __init__(self, said: list[str]) -> None:
        self.said, self.next = said, 0

    def __call__(self, value: Any) -> str:
        answer = self.said[self.next % len(self.said)]
        self.next += 1
        return answer


def _kinds(shown: Table, rows: Sequence[tuple[Any, ...]]) -> list[Kind]:
    """The kind of each row, where a report puts different kinds under each other and names them in a column."""
    names = [c.key for c in shown.columns]
    place = next((names.index(n) for n in ("kind", "unit") if n in names), None)
    known = {k.value: k for k in Kind}
    return [
        Kind.NUMBER
        if place is None
        else known.get(str(row[place]), Kind.MONEY if place is not None and names[place] == "unit" else Kind.NUMBER)
        for row in rows
    ]


def _width(said: Sequence[str], room: int) -> int | None:
    """What the longest text needs, in pixels, as far as there is room; None where a browser finds that out by itself."""
    needed = round(max((len(text) for text in said), default=0) * LETTER) + PADDING
    return None if needed <= min(room, AUTO) or room == AUTO else min(needed, room)


def _digits(said: Sequence[str], title: str) -> int | None:
    """What the longest number needs, in pixels, where a browser would cut it off: 149.39 among empty cells read as 49.39."""
    first = [len(t) for t in said[:FITTED]]
    fitted = max((n for n in first if n * len(first) < 2 * sum(first)), default=0)
    longest = max((len(t) for t in said), default=0)
    return None if longest <= max(fitted, len(title)) else round(longest * DIGIT) + PADDING


def _config(c: Column, mixed: bool, pinned: bool, exact: bool, width: int | None = None) -> Any:
    named: dict[str, Any] = {"label": c.title, "help": c.note or None, "pinned": pinned or None, "width": width}
    config = st.column_config
    if c.kind in NUMERIC:
        return config.NumberColumn(
            **named, format=None if exact else "percent" if c.kind is Kind.PERCENT else "localized"
        )
    if c.kind is Kind.DATE:
        return config.DateColumn(**named, format="YYYY-MM-DD")
    if c.kind is Kind.TIME:
        return config.DatetimeColumn(**named, format="YYYY-MM-DD HH:mm", timezone="UTC")
    if c.kind is Kind.FLAG:
        return config.CheckboxColumn(**named)
    return config.TextColumn(**named, alignment="right" if mixed else None)
