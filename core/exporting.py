"""A whole ledger as one CSV that can be imported again: the same entries, ids, reversals, corrections and chosen lots.

Columns are those of core.importing, then its LEDGER: id, reverses, corrects, place, link, key. Rows stand in booking order. Decimals
are plain (no exponent, no zeros behind), ratios two numbers (1:3), text is UTF-8, lines end with CR LF (RFC 4180). What is not in it: who recorded an
entry and when, which are facts of one installation, and links to entries of other portfolios.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from uuid import UUID

from core import importing
from core.ledger import TRADES, TRANSFERS, Draft, LedgerError, Posting, Security, fits, post
from core.ratio import ratio_text

COLUMNS = (*importing.COLUMNS, *importing.LEDGER)
_AMOUNTLESS = frozenset({"split", "spin_off", "symbol_change", "reversal"})
_NUMBERS = ("quantity", "price", "fx", "fraction", "basis", "basis_base")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a ledger with all that refers to it. `link` is the first entry of those that belong together here."""

    id: UUID
    posting: Posting
    key: str
    symbol: str = ""
    exchange: str = ""
    isin: str = ""
    name: str = ""
    into: str = ""  # EXCHANGE:SYMBOL
    reverses: UUID | None = None
    corrects: UUID | None = None
    place: UUID | None = None  # the entry whose place within the day it has
    link: UUID | None = None


def plain(value: Decimal) -> str:
    """A decimal in its one canonical form: 1855, 0.5."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def cells_of(entry: Entry) -> dict[str, str]:
    """An entry as cells by column; empty ones are left out."""
    p = entry.posting
    cells = {
        "date": p.traded_on.isoformat(),
        "kind": p.kind,
        "symbol": entry.symbol,
        "gross": "" if p.kind in _AMOUNTLESS or (p.kind == "merger" and not p.gross) else plain(p.gross),
        "fees": plain(p.fees) if p.fees else "",
        "taxes": plain(p.taxes) if p.taxes else "",
        "currency": p.currency,
        "settlement": p.settles_on.isoformat(),
        "exchange": entry.exchange,
        "isin": entry.isin,
        "name": importing.guarded(entry.name),
        "into": entry.into,
        "acquired": p.acquired_on.isoformat() if p.acquired_on else "",
        "lots": ";".join(f"{lot}:{plain(units)}" for lot, units in p.lots),
        "counterparty": importing.guarded(p.counterparty),
        "note": importing.guarded(p.note),
        "id": str(entry.id),
        "reverses": str(entry.reverses or ""),
        "corrects": str(entry.corrects or ""),
        "place": str(entry.place or ""),
        "link": str(entry.link or ""),
        "key": entry.key,
    }
    for name in _NUMBERS:
        if (value := getattr(p, name)) is not None:
            cells[name] = plain(value)
    if p.ratio is not None:
        cells["ratio"] = ratio_text(p.ratio)
    return {name: text for name, text in cells.items() if text}


def ledger_csv(entries: Iterable[Entry]) -> str:
    """The file. Entries in booking order."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        cells = cells_of(entry)
        writer.writerow([cells.get(name, "") for name in COLUMNS])
    return out.getvalue()


def within(links: Mapping[UUID, UUID | None]) -> dict[UUID, UUID]:
    """{entry: first entry of those with the same link}, of those that belong to another entry of this ledger; in booking order."""
    many = Counter(link for link in links.values() if link is not None)
    first: dict[UUID, UUID] = {}
    out = {}
    for number, link in links.items():
        if link is not None and many[link] > 1:
            out[number] = first.setdefault(link, number)
    return out


def identity(cells: Mapping[str, str], name: str) -> UUID | None:
    """An id in a cell, None where it is empty. Raises LedgerError."""
    text = cells.get(name, "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise LedgerError(name, text[:60], "an id as the export of a ledger has it is needed") from None


def restored(
    cells: Mapping[str, str],
    security: Security | None,
    into: Security | None,
    currencies: frozenset[str],
    base_currency: str,
    today: date,
) -> Posting:
    """The posting that an exported row was made from; of a reversal the cash currency is that of what it reverses.

    Everything is checked again but that gross = quantity × price, which was when it was booked. Raises LedgerError.
    """
    settles = importing.day("settlement", cells.get("settlement", "") or cells.get("date", ""))
    if cells.get("kind") == "reversal":
        on, currency = importing.day("date", cells.get("date", "")), cells.get("currency", "")
        if currency not in currencies:
            raise LedgerError("currency", currency, "an ISO code such as USD or EUR is needed")
        if settles < on:
            raise LedgerError("settlement", settles, f"it may not lie before the trade date, {on}")
        nothing = Decimal(0)
        return Posting("reversal", on, settles, security.security_id if security else None, None, None, None, nothing, nothing, nothing,
                       currency, None, nothing, currency, cells.get("note", ""), "")  # fmt: skip
    draft = importing.drafted(cells, security, into, currencies, base_currency)
    draft = replace(draft, note=cells.get("note", ""))
    if _priced(draft):
        fits("price", draft.price or Decimal(0), 10)
        posting = post(replace(draft, price=None), base_currency, settles, today)
        return replace(posting, price=draft.price)
    return post(draft, base_currency, settles, today)


def _priced(d: Draft) -> bool:
    """Whether the amount was given beside a price: it holds, however the price was rounded."""
    units = d.kind in TRADES or (d.kind in TRANSFERS and d.security is not None)
    return units and d.price is not None and d.price >= 0 and d.gross is not None
