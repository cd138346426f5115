"""The form of a security: every field of the master, checked as one types, each fault at its field; then the plan.

    security_form.add(user)                 # a new security
    security_form.edit(user, row)           # `row` of the report `securities`: only what differs is sent
What is half entered lives in the session state until the plan is confirmed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import uuid4

import streamlit as st

from core import master as rules
from core.master import FIELDS, FREQUENCIES, MASTER_FIELDS, WITH_TERMS, Known, Listed, MasterError
from core.plans import plain
from core.taxonomy import sector_of
from db import master
from db.access import User
from db.edits import StaleEdit
from ui import clock, errors, plan, proposals, session, show

LIVE = "400ms"
FIRST = date(1700, 1, 1)  # the first day that core.master takes: shares are older than the ledger


class Asked(NamedTuple):
    """How one field is asked for."""

    label: str
    kind: str = "text"  # text, date, or the name of a list
    example: str = ""
    help: str | None = None


ASKED: Mapping[str, Asked] = {
    "symbol": Asked("Symbol", example="e.g. NOVA", help="Ticker, unique on its exchange; 1 to 32 characters without spaces."),
    "exchange": Asked("Exchange", "exchange", "Not listed here (XOFF)"),
    "currency": Asked("Currency", "currency", help="Of its prices. Empty: that of the exchange."),
    "name": Asked("Name", example="empty: the symbol"),
    "isin": Asked("ISIN", example="e.g. US0378331005", help="Twelve characters, the last a check digit."),
    "issuer": Asked("Issuer", example="e.g. Nova Corporation"),
    "country": Asked("Country", "country", "None"),
    "asset_class": Asked("Asset class", "asset_class", "Choose one"),
    "sector": Asked("Sector", "sector", "None"),
    "industry": Asked("Industry", "industry", "None"),
    "subsector": Asked("Subsector", "subsector", "None"),
    "rating": Asked("Rating", example="e.g. AA-"),
    "issued_on": Asked("Issued on", "date"),
    "matures_on": Asked("Matures on", "date"),
    "par_value": Asked("Par value", example="e.g. 1000", help="Per unit, in its currency."),
    "price": Asked("First price", example="e.g. 150.25", help="In its currency, above zero. A feed that knows it quotes it later by itself."),
    "priced_on": Asked("Day of that price", "date", help="Empty: today."),
    "dividend_frequency": Asked("Dividend frequency", "dividend_frequency", "none"),
    "dividend": Asked("Dividend per share", example="e.g. 0.24", help="Of the next or last payment, in its currency."),
    "dividend_ex_on": Asked("Ex date", "date", help="The first day without the dividend."),
    "dividend_pay_on": Asked("Paid on", "date", help="Empty: not known yet."),
}  # fmt: skip
GROUPS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Identity": (("symbol", "exchange", "currency"), ("name", "isin"), ("issuer", "country", "rating")),
    "Classification": (("asset_class", "sector"), ("industry", "subsector")),
    "Terms": (("issued_on", "matures_on", "par_value"),),
    "First price": (("price", "priced_on"),),
    "Dividend": (("dividend_frequency", "dividend"), ("dividend_ex_on", "dividend_pay_on")),
}
TYPED = frozenset(
    {"asset_class", "sector", "industry", "subsector", "dividend_frequency"}
)  # lists that one may type into, too
NAMES = re.compile(rf"\b({'|'.join(f for f in ASKED if '_' in f)})\b")
# what the fault is, before what would be right
WORDS: tuple[tuple[type[MasterError], str], ...] = (
    (rules.DuplicateSymbol, "Duplicate symbol"),
    (rules.InvalidAssetClass, "No such asset class"),
    (rules.AssetClassInconsistent, "Inconsistent with the asset class"),
    (rules.InvalidSector, "No such sector or industry"),
    (rules.InvalidPrice, "Invalid price"),
    (rules.InvalidDividendFrequency, "No such dividend frequency"),
    (rules.UnknownReference, "Refers to nothing"),
    (rules.InvalidDividend, "Dividend"),
    (MasterError, ""),
)


def instance(name: str, was: Mapping[str, Any]) -> dict[str, Any]:
    """What one form remembers until its plan is confirmed; `was`: what its fields hold when it opens."""
    forms = st.session_state.setdefault("security_forms", {})
    if name not in forms:
        key = f"security_{uuid4().hex[:8]}"
        forms[name] = {"name": name, "key": key, "was": dict(was), "touched": set(), "all": False, "proposed": {}}
        for field, value in was.items():
            st.session_state[f"{key}_{field}"] = value
    found: dict[str, Any] = forms[name]
    return found


def begin(text: str) -> None:
    """Put what somebody looked for into a new security, where its form says nothing else: one word as the symbol, more as the name."""
    plan.withdraw()
    key = instance("add", dict.fromkeys(FIELDS))["key"]
    field = "symbol" if len(text.split()) == 1 else "name"
    if not any(st.session_state.get(f"{key}_{f}") for f in FIELDS):
        st.session_state[f"{key}_{field}"] = text.strip().upper() if field == "symbol" else text.strip()


def forget(name: str) -> None:
    """Close a form: the next run opens an empty one."""
    st.session_state.get("security_forms", {}).pop(name, None)


def add(user: User) -> None:
    """A new security: the form, or the plan that was made from it."""
    if plan.offered("security_add"):
        plan.confirm(user, "security_add", lambda: forget("add"))
        return
    known = master.known(user)
    state = instance("add", dict.fromkeys(FIELDS))
    st.fragment(lambda: _form(known, state, None, {}))()


def edit(user: User, row: Mapping[str, Any]) -> None:
    """The fields of a security that is there."""
    name = f"security_edit_{row['security_id']}"
    known = master.known(user)
    was = {f: _entered(f, row[f]) for f in MASTER_FIELDS}
    state = instance(name, was)
    st.fragment(lambda: _form(known, state, known.by_number.get(row["security_id"]), row))()


def _entered(field: str, value: Any) -> Any:
    """A value of the master as its widget holds it."""
    if value is None or ASKED[field].kind == "date":
        return value
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(plain(value))


def _form(known: Known, state: dict[str, Any], editing: Listed | None, row: Mapping[str, Any]) -> None:
    user = session.require_user()
    slots: dict[str, Any] = {}
    cells = _cells(state)
    for title, lines in GROUPS.items():
        lines = tuple(tuple(f for f in line if f in state["was"]) for line in lines)
        if not any(lines) or (title == "Terms" and not _has_terms(cells, lines)):
            continue
        st.markdown(f"**{title}**")
        for line in (x for x in lines if x):
            for field, column in zip(line, st.columns(max(len(line), 2)), strict=False):
                with column:
                    if field == "symbol" and editing is None:
                        with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
                            _widget(known, state, field, cells, editing)
                            proposals.button(user, state, cells)
                    else:
                        _widget(known, state, field, cells, editing)
                    slots[field] = st.empty()
            if "symbol" in line and editing is None:
                proposals.section(known, state)
    sent = {f: v for f, v in cells.items() if f in MASTER_FIELDS and v != state["was"][f]} if editing else cells
    faults = _faults(known, sent, editing, row)
    told = st.empty()
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = st.button("Show the plan", type="primary", icon=":material/list_alt:", key=f"{state['key']}_plan")
        if editing is None and st.button(
            "Clear", icon=":material/backspace:", type="tertiary", key=f"{state['key']}_clear"
        ):
            forget("add")
            st.rerun()  # the whole page: a fragment alone would go on with the form that it was given
        st.caption("Nothing is written before you have seen every row and confirmed.")
    if wanted:
        state["all"] = True
        if not faults:
            faults = _planned(user, state, sent, editing)
    _tell(state, faults, slots, told)


def _planned(user: User, state: dict[str, Any], sent: Mapping[str, Any], editing: Listed | None) -> list[MasterError]:
    """Make the plan and go on with it; else what is wrong now, though it was not when the form opened."""
    asked = {f: plain(v) for f, v in sent.items() if v is not None or editing}
    try:
        if editing is None:
            made = master.plan_add(user, asked)
        else:
            made = master.plan_edit(user, editing.security_id, asked, {f: state["was"][f] for f in sent})
    except master.BadSecurity as error:
        return error.faults
    except StaleEdit as error:
        # said once: asked again, it goes over what is there
        state["was"] |= {f: _entered(f, v) for f, v in error.now.items()}
        errors.show(error)
        return []
    except errors.KNOWN as error:
        errors.show(error)
        return []
    plan.offer("security_add" if editing is None else state["name"], made, asked)
    return []


def _cells(state: Mapping[str, Any]) -> dict[str, Any]:
    """What is entered now; what is empty is None."""
    found = {f: st.session_state.get(f"{state['key']}_{f}") for f in state["was"]}
    return {f: (v.strip() or None) if isinstance(v, str) else v for f, v in found.items()}


def _has_terms(cells: Mapping[str, Any], lines: tuple[tuple[str, ...], ...]) -> bool:
    """Whether its class has terms, or some are entered."""
    return cells.get("asset_class") in WITH_TERMS or any(cells.get(f) is not None for line in lines for f in line)


def _faults(known: Known, sent: Mapping[str, Any], editing: Listed | None, row: Mapping[str, Any]) -> list[MasterError]:
    if editing is None:
        return rules.checked(sent, known)[1]
    return rules.checked(master.edited_cells(row, sent), known, editing)[1] if sent else []


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────


def _widget(known: Known, state: dict[str, Any], field: str, cells: Mapping[str, Any], editing: Listed | None) -> None:
    """One field, its value kept under its key."""
    asked, key = ASKED[field], f"{state['key']}_{field}"
    named: dict[str, Any] = {
        "key": key,
        "help": asked.help,
        "on_change": _touch,
        "args": (known, state, field),
        "persist_state": "session",
    }
    if editing is not None and field in ("symbol", "exchange"):
        st.text_input(asked.label, getattr(editing, field), disabled=True, key=f"{key}_now", help="It changes by a symbol change.")  # fmt: skip
    elif asked.kind == "date":
        latest = known.today if field == "priced_on" else clock.FAR
        st.date_input(asked.label, value=None, format="YYYY-MM-DD", min_value=FIRST, max_value=latest, **named)
    elif asked.kind == "text":
        st.text_input(asked.label, value=None, placeholder=asked.example, live=LIVE, max_chars=200, **named)
    else:
        options = choices(known, asked.kind, cells)
        empty = asked.example
        if field == "currency":
            empty = known.exchanges.get(cells.get("exchange") or rules.ELSEWHERE) or "Choose one"
        disabled = (field == "industry" and not cells.get("sector")) or (
            field == "subsector" and not cells.get("industry")
        )
        st.selectbox(asked.label, list(options), index=None, placeholder=empty, format_func=lambda v: options.get(v, str(v)),
                     accept_new_options=field in TYPED, disabled=disabled and not cells.get(field), **named)  # fmt: skip
    if field in state["proposed"]:
        st.caption(f":material/auto_awesome: proposed by {show.plain(state['proposed'][field])}")


def choices(known: Known, kind: str, cells: Mapping[str, Any]) -> dict[str, str]:
    """What a list offers: the value, and how it is shown. Industries are those of the sector, subsectors those of the industry."""
    sector, industry = sector_of(cells.get("sector") or ""), cells.get("industry")
    if kind == "exchange":
        return {code: f"{code} · {currency}" for code, currency in known.exchanges.items()}
    if kind == "country":
        return {code: f"{name} ({code})" for code, name in sorted(known.countries.items(), key=lambda c: c[1])}
    every = {
        "currency": sorted(known.currencies),
        "asset_class": list(known.asset_classes),
        "sector": sorted({s for s, _, _ in known.sectors}),
        "industry": sorted({i for s, i, _ in known.sectors if s == sector and i}),
        "subsector": sorted({b for s, i, b in known.sectors if (s, i) == (sector, industry) and b}),
        "dividend_frequency": FREQUENCIES,
    }[kind]
    return {value: value for value in every}


def completed(options: Mapping[str, str], typed: str | None) -> str | None:
    """What somebody began to type into a list before Enter: the one option that begins so; anything else as it was typed."""
    begun = (typed or "").strip().casefold()
    fitting = [o for o in options if begun and o.casefold().startswith(begun)]
    return fitting[0] if len(fitting) == 1 else typed


def _touch(known: Known, state: dict[str, Any], field: str) -> None:
    """A field was changed by hand: its faults are told from now on; what belonged to another sector goes."""
    if field in TYPED:
        key = f"{state['key']}_{field}"
        st.session_state[key] = completed(choices(known, ASKED[field].kind, _cells(state)), st.session_state.get(key))
    state["touched"].add(field)
    state["proposed"].pop(field, None)
    below = {"sector": ("industry", "subsector"), "industry": ("subsector",)}.get(field, ())
    for other in below:
        st.session_state[f"{state['key']}_{other}"] = None
        state["proposed"].pop(other, None)


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────


def said(fault: MasterError) -> str:
    """A fault under its field: what it is, what would be right."""
    kind = next(words for of, words in WORDS if isinstance(fault, of))
    expected = NAMES.sub(lambda m: f"“{ASKED[m[0]].label}”", fault.expected)  # the form has labels, the API names
    return f"{kind}: {expected}" if kind and fault.value else expected[:1].upper() + expected[1:]


def _tell(state: Mapping[str, Any], faults: list[MasterError], slots: Mapping[str, Any], told: Any) -> None:
    """Each fault at its field: at once where something is entered, what is only missing once it was touched or the plan asked for."""
    elsewhere = []
    for fault in faults:
        if not (state["all"] or fault.field in state["touched"] or (fault.value and state["touched"])):
            continue
        if fault.field in slots:
            slots[fault.field].markdown(f":red[:material/error: {show.plain(said(fault)).rstrip('.')}.]")
        else:
            elsewhere.append(f"{ASKED[fault.field].label}: {said(fault)}" if fault.field in ASKED else said(fault))
    if state["all"] and faults:
        names = ", ".join(dict.fromkeys(f"**{ASKED[f.field].label}**" for f in faults if f.field in slots))
        words = "; ".join(show.plain(e) for e in elsewhere)
        told.error("No plan yet: " + "; ".join(p for p in (f"look at {names}" if names else "", words) if p) + ".", icon=":material/error:")  # fmt: skip
    elif elsewhere:
        told.error("; ".join(show.plain(e) for e in elsewhere) + ".", icon=":material/error:")
