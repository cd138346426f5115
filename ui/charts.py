"""Charts: one function per picture, from a report's table to a plotly figure; `show` draws it with its table and CSV.

    charts.show(charts.growth(table), table, here=here, key="growth", alt="…")
To add one, write a function `(table, …) -> go.Figure` with `@kept`. At most `POINTS` points reach the browser, thinned by
shape; the table and the CSV have all. Colours are named here alone: each is told from its neighbours by colour-blind eyes and
stands out on light and on dark, so that no chart needs to know the theme; text and grid take the theme's colours.
"""

from __future__ import annotations

import html
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from functools import wraps
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec
from zoneinfo import ZoneInfo

import numpy as np
import streamlit as st

from core.table import Kind, Table
from ui import explain
from ui import show as texts
from ui.scope import Here

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 2000
FEWEST_DAYS = 3  # rows of a daily series that make a picture: the day it starts from and two more
KEPT = 128
PORTFOLIO, BENCHMARK, DEPOSITS, GAIN, LOSS = "#3B82F6", "#7C8798", "#A3863B", "#3B82F6", "#D97706"
PALETTE = ("#3B82F6", "#D97706", "#0D9488", "#C0579A", "#7C8798", "#8B6FD6", "#B45309", "#4D9D3A", "#0891B2", "#A3863B")  # fmt: skip
FIXED = {
    **{"Equity": PALETTE[0], "Fixed Income": PALETTE[2], "Commodity": PALETTE[9], "Currency": PALETTE[8], "Cash": PALETTE[4], "cash": PALETTE[4]},
    **{"Fund": PALETTE[5], "Real Estate": PALETTE[3], "Crypto": PALETTE[1], "Other": PALETTE[6], "Unclassified": PALETTE[4]},
    **{"low": "#0D9488", "medium": "#3B82F6", "high": "#D97706", "very high": "#B4430F", "unknown": "#A9B2BF"},
}  # fmt: skip
# blue up, orange down, grey at zero; white text is read on all of it. `FAINT` lets the theme's own text be read on it
DIVERGING = ((180, 80, 12), (100, 116, 139), (37, 99, 235))
FAINT = ((0.0, "rgba(217,103,6,.62)"), (0.5, "rgba(124,135,152,.10)"), (1.0, "rgba(59,130,246,.62)"))
TICKS = "#717D8E"
CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": False}

P = ParamSpec("P")
_figures: OrderedDict[Any, Any] = OrderedDict()
_numbers = count()
_lock = Lock()


def kept(make: Callable[P, go.Figure | None]) -> Callable[P, go.Figure | None]:
    """Keep the figure of a table while somebody looks at it. The key is the table itself, cell by cell, so that nobody can be
    given a picture of anything but the table they were allowed to see."""

    @wraps(make)
    def answer(*args: P.args, **named: P.kwargs) -> go.Figure | None:
        key = (make.__name__, args, tuple(sorted(named.items())))
        with _lock:
            if key in _figures:
                _figures.move_to_end(key)
                return _figures[key]  # type: ignore[no-any-return]
        figure = make(*args, **named)
        if figure is not None:
            figure._number = next(_numbers)
        with _lock:
            _figures[key] = figure
            while len(_figures) > KEPT:
                _figures.popitem(last=False)
        return figure

    return answer


def show(
    figure: go.Figure | None, table: Table, *, here: Here, key: str, alt: str, title: str = "", only: Sequence[str] = (),
    changes: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """A chart with its table and its CSV behind a second tab; the tab does no work until it is opened. The cells explain themselves;
    `changes`: what the table was asked with beside the page's scope."""
    if title:
        st.subheader(texts.plain(title), anchor=False)
    if figure is None or not table.rows:
        said = table.empty if not table.rows else "One day has no daily series to draw: choose a longer period."
        st.info(texts.plain(said), icon=":material/inbox:")
        return
    picture, rows = st.tabs(["Chart", "Table and CSV"], key=f"{key}_tabs", on_change="rerun")
    if rows.open:
        with rows:
            explain.table(here, table, key=f"{key}_table", only=only, changes=changes)
    else:
        with picture:
            _drawn(figure._number, figure, key, alt)


@st.cache_data(show_spinner=False, max_entries=96)
def _drawn(number: int, _figure: go.Figure, key: str, alt: str) -> None:
    """The message to the browser, kept: making it costs more than all the rest of a rerun. The number stands for one figure of
    `kept`, so for one table, cell by cell."""
    st.plotly_chart(_figure, key=key, config=CONFIG, alt=alt)


# --- the pictures ------------------------------------------------------------------------------


@kept
def value(table: Table, zone: str, narrow: bool = False) -> go.Figure | None:
    """The recorded value over the period beside the net deposits; moments of an open market only, in the exchange's time."""
    if not table.rows:
        return None
    at, worth, deposits = table.column("at"), table.column("value"), table.column("net_flow")
    daily = (at[-1] - at[0]).days > 120
    place = ZoneInfo(zone)
    labels = [
        (t.astimezone(place).strftime("%a %-d %b %Y") if daily else t.astimezone(place).strftime("%a %-d %b %H:%M"))
        for t in at
    ]
    take = thinned(worth)
    x = [labels[i] for i in take]
    go = _plotly()
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=[float(worth[i]) for i in take], name="Value", mode="lines" if len(x) > 1 else "markers", line={"color": PORTFOLIO, "width": 2},
        customdata=[texts.text(worth[i], Kind.MONEY, table.context.currency) for i in take], hovertemplate="%{customdata}<extra>Value</extra>",
    )  # fmt: skip
    if len(set(deposits)) > 1:
        figure.add_scatter(
            x=x, y=[float(worth[0] + deposits[i] - deposits[0]) for i in take], name="Start value + net deposits", mode="lines",
            line={"color": BENCHMARK, "width": 1.5, "dash": "dot", "shape": "hv"},
            customdata=[texts.text(deposits[i] - deposits[0], Kind.MONEY, table.context.currency, signed=True) for i in take],
            hovertemplate="%{customdata}<extra>Net deposits</extra>",
        )  # fmt: skip
    _base(figure, 320)
    _categories(figure, x, f"{zone.replace('_', ' ')} time", 3 if narrow else 6)
    shown = [float(worth[i]) for i in take]
    narrow_range = max(shown) - min(shown) < max(map(abs, shown)) / 100  # 788k on every tick says nothing
    figure.update_yaxes(tickformat=",.2f" if narrow_range and max(shown) < 1000 else ",.0f" if narrow_range else ",.3~s",
                        title=table.context.currency)  # fmt: skip
    return figure


@kept
def growth(table: Table) -> go.Figure | None:
    """Time-weighted growth against the benchmark; the drawdown as an area below. Broken where prices were missing."""
    if len(table.rows) < FEWEST_DAYS:
        return None
    from plotly.subplots import make_subplots

    on, mine, bench, fall = (table.column(k) for k in ("on", "growth", "benchmark", "drawdown"))
    take = thinned(mine)
    x = [on[i] for i in take]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.05)
    for name, values, colour, width in (("Portfolio", mine, PORTFOLIO, 2), ("Benchmark", bench, BENCHMARK, 1.5)):
        if any(v is not None for v in values):
            figure.add_scatter(
                x=x, y=[None if values[i] is None else values[i] - 1 for i in take], name=name, mode="lines", line={"color": colour, "width": width},
                hovertemplate="%{y:+.2%}", row=1, col=1,
            )  # fmt: skip
    figure.add_scatter(
        x=x, y=[fall[i] for i in take], name="Drawdown", mode="lines", fill="tozeroy", line={"color": LOSS, "width": 1}, fillcolor="rgba(217,119,6,.28)",
        hovertemplate="%{y:.2%}", showlegend=False, row=2, col=1,
    )  # fmt: skip
    _base(figure, 420)
    figure.update_xaxes(type="date", hoverformat="%a %-d %b %Y", showgrid=False)
    figure.update_yaxes(tickformat="+.0%", row=1, col=1)
    figure.update_yaxes(tickformat=".0%", nticks=4, row=2, col=1, title="Drawdown", title_font_size=11)
    return figure


@kept
def drawdown(table: Table) -> go.Figure | None:
    """How far below its highest so far, as an area."""
    if len(table.rows) < FEWEST_DAYS:
        return None
    on, fall = table.column("on"), table.column("drawdown")
    take = thinned(fall)
    figure = _plotly().Figure()
    figure.add_scatter(
        x=[on[i] for i in take], y=[fall[i] for i in take], name="Drawdown", mode="lines", fill="tozeroy", line={"color": LOSS, "width": 1.2},
        fillcolor="rgba(217,119,6,.28)", hovertemplate="%{y:.2%}<extra></extra>", showlegend=False,
    )  # fmt: skip
    _base(figure, 220)
    figure.update_layout(margin={"l": 0, "r": 8, "t": 8, "b": 0})
    figure.update_xaxes(type="date", hoverformat="%a %-d %b %Y", showgrid=False)
    figure.update_yaxes(tickformat=".0%", nticks=5)
    return figure


@kept
def rolling(table: Table) -> go.Figure | None:
    """Volatility over the days before each day: of a quarter, of a year, and the benchmark's."""
    lines = (("volatility", "252 days", PORTFOLIO, 2.0), ("volatility_quarter", "63 days", LOSS, 1.2), ("benchmark_volatility", "Benchmark, 252 days", BENCHMARK, 1.5))  # fmt: skip
    on, columns = table.column("on"), {key: table.column(key) for key, *_ in lines}
    if not any(v is not None for column in columns.values() for v in column):
        return None
    take = thinned(columns["volatility_quarter"])
    figure = _plotly().Figure()
    for key, name, colour, width in lines:
        if any(v is not None for v in columns[key]):
            figure.add_scatter(
                x=[on[i] for i in take], y=[columns[key][i] for i in take], name=name, mode="lines", line={"color": colour, "width": width},
                hovertemplate="%{y:.1%}",
            )  # fmt: skip
    _base(figure, 260)
    figure.update_xaxes(type="date", hoverformat="%a %-d %b %Y", showgrid=False)
    figure.update_yaxes(tickformat=".0%", nticks=5, rangemode="tozero")
    return figure


@kept
def treemap(groups: Table, positions: Table) -> go.Figure | None:
    """Positions under their groups: size is value, colour the day's change, blue up and orange down from grey at zero."""
    if not groups.rows:
        return None
    children: dict[str, list[dict[str, Any]]] = {}
    for p in positions.records():
        if p["value"] is not None and p["value"] > 0:
            children.setdefault(p["group"], []).append(p)
    tiles: list[tuple[str, str, str, Decimal, float | None, str]] = []  # id, parent, label, value, change, text
    for g in groups.records():
        inside = children.get(g["group"], [])
        whole = max(g["value"], sum((p["value"] for p in inside), Decimal(0)))
        if whole <= 0:
            continue
        tiles.append((g["group"], "all", g["group"], whole, g["day_change"], _tile(g)))
        tiles += [
            (f"{g['group']}/{p['symbol']}", g["group"], p["symbol"], p["value"], p["day_change"], _tile(p))
            for p in inside
        ]
    most = max(0.01, max((abs(tile[4] or 0.0) for tile in tiles), default=0.01))
    everything = sum((tile[3] for tile in tiles if tile[1] == "all"), Decimal(0))
    go = _plotly()
    figure = go.Figure(
        go.Treemap(
            ids=["all", *(tile[0] for tile in tiles)], parents=["", *(tile[1] for tile in tiles)], labels=[" ", *(_plain(tile[2]) for tile in tiles)],
            values=[float(everything), *(float(tile[3]) for tile in tiles)], branchvalues="total",
            text=["", *(tile[5] for tile in tiles)], texttemplate="%{label}<br>%{text}",
            customdata=["", *(texts.text(tile[3], Kind.MONEY, groups.context.currency) for tile in tiles)],
            hovertemplate="<b>%{label}</b><br>%{customdata}<br>%{text}<extra></extra>", tiling={"pad": 2},
            marker={"colors": ["rgba(0,0,0,0)", *(_diverging((tile[4] or 0.0) / most) for tile in tiles)], "cornerradius": 3, "pad": {"t": 22, "l": 2, "r": 2, "b": 2},
                    "line": {"width": [0, *(1 for _ in tiles)], "color": "rgba(255,255,255,.35)"}},
            textfont={"color": "#FFFFFF"}, pathbar={"visible": False},
        )
    )  # fmt: skip
    _base(figure, 440)
    figure.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0}, hovermode="closest")
    return figure


def _tile(record: dict[str, Any]) -> str:
    return f"{texts.percent(record['weight'])} · {texts.change(record['day_change'])}"


def _diverging(share: float) -> str:
    """The colour of a share from −1 to 1 on the diverging scale."""
    end = DIVERGING[2] if share > 0 else DIVERGING[0]
    mixed = (round(a + (b - a) * min(1.0, abs(share))) for a, b in zip(DIVERGING[1], end, strict=True))
    return f"rgb({','.join(map(str, mixed))})"


@kept
def months(table: Table, narrow: bool = False) -> go.Figure | None:
    """Monthly returns as a heat map, a year a row, centred at zero; written into the cells where there is room."""
    if not table.rows:
        return None
    titles = [c.title for c in table.columns[1:]]
    cells = [[row[i + 1] for i in range(len(titles))] for row in table.rows]
    years = [row[0] for row in table.rows]
    most = max(0.01, max((abs(v) for row in cells for v in row[:-1] if v is not None), default=0.01))
    go = _plotly()
    figure = go.Figure(
        go.Heatmap(
            x=titles, y=years, z=cells, zmin=-most, zmid=0, zmax=most, colorscale=[list(step) for step in FAINT], showscale=False, xgap=2, ygap=2,
            customdata=[[texts.percent(v, signed=True) for v in row] for row in cells], hovertemplate="%{x} %{y}: %{customdata}<extra></extra>",
            hoverongaps=False,
        )
    )  # fmt: skip
    _base(figure, 40 + 30 * len(years))
    figure.update_layout(hovermode="closest", margin={"l": 0, "r": 0, "t": 24, "b": 0})
    if narrow:
        figure.update_xaxes(
            tickmode="array", tickvals=titles, ticktext=[*(name[0] for name in titles[:-1]), "Yr"], tickangle=0
        )
    else:  # annotations take the theme's text colour
        figure.update_layout(
            annotations=[
                {"x": titles[j], "y": i, "text": texts.text(v * 100, Kind.NUMBER, signed=True), "showarrow": False, "font": {"size": 11}}
                for i, row in enumerate(cells) for j, v in enumerate(row) if v is not None
            ]
        )  # fmt: skip
    figure.update_xaxes(side="top", showgrid=False, fixedrange=True)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, fixedrange=True)
    return figure


@kept
def shares(table: Table, label: str, weight: str = "weight") -> go.Figure | None:
    """Shares of the value as bars, largest on top, the same colour for the same group everywhere."""
    pairs = [(str(name), w) for name, w in zip(table.column(label), table.column(weight), strict=True) if w is not None]
    if not pairs:
        return None
    names = [name for name, _ in pairs]
    go = _plotly()
    figure = go.Figure(
        go.Bar(
            x=[w for _, w in pairs], y=[_plain(n) for n in names], orientation="h", marker_color=colours_of(names), text=[texts.percent(w) for _, w in pairs],
            textposition="outside", cliponaxis=False, hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )  # fmt: skip
    _base(figure, 44 + 30 * len(names))
    most = max(w for _, w in pairs)
    figure.update_layout(hovermode="closest", bargap=0.35, margin={"l": 0, "r": 40, "t": 4, "b": 4})
    figure.update_xaxes(visible=False, range=[min(0, *(w for _, w in pairs)), most * 1.22], fixedrange=True)
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, automargin=True, ticksuffix="  ")
    return figure


@kept
def changes(table: Table, label: str, amount: str, most: int = 8) -> go.Figure | None:
    """Gains and losses as bars from zero: the largest of both."""
    pairs = [(str(n), v) for n, v in zip(table.column(label), table.column(amount), strict=True) if v is not None]
    if not pairs:
        return None
    pairs = sorted(sorted(pairs, key=lambda p: -abs(p[1]))[: 2 * most], key=lambda p: -p[1])
    kind = next(c.kind for c in table.columns if c.key == amount)
    go = _plotly()
    figure = go.Figure(
        go.Bar(
            x=[float(v) for _, v in pairs], y=[_plain(n) for n, _ in pairs], orientation="h", marker_color=[GAIN if v >= 0 else LOSS for _, v in pairs],
            text=[texts.text(v, kind, table.context.currency, signed=True) for _, v in pairs], textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )  # fmt: skip
    _base(figure, 44 + 24 * len(pairs))
    figure.update_layout(hovermode="closest", bargap=0.3, margin={"l": 0, "r": 8, "t": 4, "b": 4})
    low, high = min(0.0, *(float(v) for _, v in pairs)), max(0.0, *(float(v) for _, v in pairs))
    room = 0.3 * (high - low)  # for the words outside the bars
    figure.update_xaxes(
        visible=False,
        range=[low - room if low < 0 else 0, high + room if high > 0 else 0],
        fixedrange=True,
        zeroline=True,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, automargin=True, ticksuffix="  ")
    return figure


@kept
def income(table: Table, narrow: bool = False) -> go.Figure | None:
    """Dividends by month as bars, gross: received, announced and, paler, inferred."""
    if not table.rows:
        return None
    months = [date.fromisoformat(f"{m}-01") for m in table.column("month")]
    labels = [m.strftime("%b %Y") for m in months]
    go = _plotly()
    figure = go.Figure()
    for name, key, colour, pattern in (("Received", "gross", PORTFOLIO, ""), ("Announced", "announced", PALETTE[2], ""),
                                       ("Inferred", "inferred", BENCHMARK, "/")):  # fmt: skip
        amounts = table.column(key)
        if any(amounts):
            figure.add_bar(
                x=labels, y=[float(a) for a in amounts], name=name, marker={"color": colour, "pattern": {"shape": pattern}},
                customdata=[texts.text(a, Kind.MONEY, table.context.currency) for a in amounts],
                hovertemplate="%{customdata}<extra>" + name + "</extra>",
            )  # fmt: skip
    _base(figure, 300)
    figure.update_layout(barmode="stack", bargap=0.25, legend_traceorder="normal")
    ticks = labels[:: 6 if narrow else 3]
    figure.update_xaxes(
        type="category",
        tickmode="array",
        tickvals=ticks,
        ticktext=[t.replace(" ", "<br>") for t in ticks],
        tickangle=0,
        showgrid=False,
    )
    figure.update_yaxes(tickformat=",.3~s", title=table.context.currency, title_font_size=11)
    return figure


# --- what is seen, in words --------------------------------------------------------------------


def growth_title(table: Table) -> str:
    """What the growth chart shows: "Up 12.30 % …; down 4.20 % from its high of 3 March 2026"."""
    if not table.rows:
        return "Growth"
    figures = {f.key: f for f in table.figures}
    twr = figures["twr"].value
    if twr is None:
        return f"No return: {figures['twr'].reason}"
    said = f"{'Up' if twr >= 0 else 'Down'} {texts.percent(abs(twr))}"
    active = figures["active"].value if "active" in figures else None
    if active is not None:
        said += f", {texts.percent(abs(active))} {'ahead of' if active >= 0 else 'behind'} its benchmark"
    below = figures["now_drawdown"].value
    if below < -0.00005:
        high = next(
            (
                d
                for d, fall in reversed(list(zip(table.column("on"), table.column("drawdown"), strict=True)))
                if fall is not None and fall >= -1e-9
            ),
            None,
        )
        said += f"; {texts.percent(abs(below))} below its high" + (
            f" of {texts.day(high)}" if isinstance(high, date) else ""
        )
    else:
        said += "; at its high"
    return said


def drawdown_title(table: Table) -> str:
    """What the drawdown chart shows: the deepest fall and where it stands now."""
    figures = {f.key: f for f in table.figures}
    if "drawdown" not in figures or figures["drawdown"].value > -0.00005:
        return "No drawdown in the period"
    deepest, now = figures["drawdown"], figures["now_drawdown"].value
    said = f"Fell {texts.percent(abs(deepest.value))} at its deepest, {deepest.note}"
    return said + ("; at its high again" if now > -0.00005 else f"; {texts.percent(abs(now))} below its high now")


def rolling_title(table: Table) -> str:
    """What the chart of rolling risk shows: the volatility now, over a year or as long as there is."""
    last = next(iter(list(table.records())[-1:]), {})
    for key, words in (("volatility", "252 days"), ("volatility_quarter", "63 days")):
        if last.get(key) is not None:
            return f"Volatility of {texts.percent(last[key])} over the last {words}"
    return "Volatility of the days before each day"


def spread_title(table: Table, by: str) -> str:
    """What the allocation shows: the largest group and its share."""
    if not table.rows:
        return f"By {by}"
    first = next(table.records())
    if first["weight"] is None:
        return f"By {by}: the value is not above zero, so there are no shares"
    return f"{first['group']} is the largest {by} with {texts.percent(first['weight'])}"


def income_title(table: Table) -> str:
    """What the income chart shows: received in twelve months, expected in the next twelve."""
    if not table.rows:
        return "Dividends by month"
    got, due = table.figure("trailing"), table.figure("projected")
    currency = table.context.currency or ""
    said = f"{texts.money(got.value, currency)} received in twelve months"  # type: ignore[arg-type]
    if due.value is None:
        return f"{said}; nothing is announced or can be inferred for the next twelve"
    return f"{said}, {texts.money(due.value, currency)} expected in the next twelve"  # type: ignore[arg-type]


def value_title(table: Table) -> str:
    """What the value chart shows: the change, and what of it is gain and what was paid in."""
    if not table.figures:
        return "Value"
    change, flow, gain = (table.figure(k) for k in ("change", "net_flow", "gain"))
    currency = table.context.currency or ""
    said = f"Value {texts.money(change.value, currency, signed=True)}"  # type: ignore[arg-type]
    if gain.value is None:
        return f"{said}; gain not known: {gain.reason}"
    if flow.value:
        said += f" = gain {texts.money(gain.value, currency, signed=True)} and net deposits {texts.money(flow.value, currency, signed=True)}"  # type: ignore[arg-type]
    elif gain.change is not None:
        said += f", {texts.percent(gain.change, signed=True)}; no deposits or withdrawals"
    return said


# --- shared ------------------------------------------------------------------------------------


def colours_of(names: Sequence[str]) -> list[str]:
    """A colour per group: asset classes and risks always have theirs, others in turn."""
    return [FIXED.get(name) or PALETTE[i % len(PALETTE)] for i, name in enumerate(names)]


def thinned(values: Sequence[Any], most: int = POINTS) -> list[int]:
    """The places of at most `most` points that keep the shape: first, last, and of each stretch the one that makes the largest
    triangle with its neighbours (Steinarsson 2013, "LTTB")."""
    n = len(values)
    if n <= most:
        return list(range(n))
    y = np.array([np.nan if v is None else float(v) for v in values])
    y = np.nan_to_num(y, nan=float(np.nanmean(y)) if np.isfinite(y).any() else 0.0)
    edges = np.linspace(1, n - 1, most - 1).astype(int)
    taken, last = [0], 0
    for i in range(most - 2):
        start, end = edges[i], edges[i + 1]
        after = edges[i + 2] if i + 2 < len(edges) else n
        x2, y2 = (end + after - 1) / 2, float(y[end:after].mean()) if end < after else float(y[-1])
        here = np.arange(start, end)
        area = np.abs((last - x2) * (y[start:end] - y[last]) - (last - here) * (y2 - y[last]))
        last = int(start + np.argmax(area))
        taken.append(last)
    return [*taken, n - 1]


def _plotly() -> Any:
    import plotly.graph_objects

    return plotly.graph_objects


def _plain(said: str) -> str:
    """Text for a chart, which reads <b>, <a href> and &amp; in it."""
    return html.escape(said, quote=False)


def _base(figure: go.Figure, height: int) -> None:
    """The template: quiet axes, one hover line, numbers as in the tables."""
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 8, "t": 28, "b": 0},
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None},
        separators=".,",
        colorway=PALETTE,
        dragmode=False,
        font={"family": "Inter, system-ui, sans-serif", "size": 12},
        title=None,
    )
    figure.update_xaxes(showspikes=False, fixedrange=True, tickfont_color=TICKS)
    figure.update_yaxes(fixedrange=True, zeroline=False, tickfont_color=TICKS)


def _categories(figure: go.Figure, labels: Sequence[str], title: str, most: int) -> None:
    """A time axis of moments side by side: nights, weekends and holidays take no room."""
    n = len(labels)
    ticks = sorted({round(i * (n - 1) / (most - 1)) for i in range(most)}) if n > most else list(range(n))
    short = _short([labels[i] for i in ticks])
    figure.update_xaxes(
        type="category",
        tickmode="array",
        tickvals=[labels[i] for i in ticks],
        ticktext=short,
        title=title,
        title_font_size=11,
        showgrid=False,
        tickangle=0,
    )


def _short(labels: Sequence[str]) -> list[str]:
    """Ticks: the day; where several fall on one day the time too, and the day only where it changes."""
    words = [label.split(" ") for label in labels]
    days = [" ".join(w[1:-1] if ":" in w[-1] else w[1:]) for w in words]
    if len(set(days)) == len(days):
        return [" ".join(day.split(" ")[:2]) for day in days] if ":" in labels[-1] else days
    return [
        w[-1] if i and days[i] == days[i - 1] else f"{' '.join(days[i].split(' ')[:2])} {w[-1]}"
        for i, w in enumerate(words)
    ]


__all__ = [
    "changes",
    "drawdown",
    "drawdown_title",
    "growth",
    "growth_title",
    "income",
    "income_title",
    "months",
    "shares",
    "show",
    "spread_title",
    "treemap",
    "value",
    "value_title",
]
