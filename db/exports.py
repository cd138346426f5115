"""The whole ledger as a file that can be read back (core.exporting)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from uuid import UUID

from core import exporting, importing
from core.exporting import Entry
from core.ledger import (
    Posting,
)
from db import books, engine


def export(user: UUID, portfolio: UUID) -> str:
    """The whole ledger as CSV (core.exporting), in booking order. Raises NoSuchPortfolio."""
    with engine.session(user) as c:
        books.portfolio_of(c, portfolio)
        rows = c.execute(
            """SELECT t.kind, t.traded_on, t.settles_on, t.security_id, t.quantity, t.price, t.ratio_new || '/' || t.ratio_old, t.gross, t.fees, t.taxes, t.currency, t.fx,
                      t.net, t.cash_currency, t.note, '', t.into_id, t.fraction, t.basis, t.basis_base, t.acquired_on, t.lots,
                      t.transaction_id, t.idempotency_key, s.symbol, s.exchange, s.isin, s.name, i.exchange || ':' || i.symbol, t.reverses,
                      t.corrects, x.transaction_id, t.link, k.name
                 FROM transactions t LEFT JOIN transactions x ON x.portfolio_id = t.portfolio_id AND x.seq = t.place LEFT JOIN securities s ON s.security_id = t.security_id LEFT JOIN securities i ON i.security_id = t.into_id
                 LEFT JOIN counterparties k ON k.counterparty_id = t.counterparty_id
                WHERE t.portfolio_id = %s ORDER BY t.seq""",
            (portfolio,),
        ).fetchall()
    links = exporting.within({row[22]: row[32] for row in rows})
    return exporting.ledger_csv(_entry(row, links.get(row[22])) for row in rows)


def _entry(row: Sequence[Any], link: UUID | None) -> Entry:
    lots = tuple((UUID(lot), importing.number("lots", units)) for lot, units in row[21] or [])
    number, key, symbol, exchange, isin, name, into, reverses, corrects, place, _, through = row[22:]
    ratio = Fraction(row[6]) if row[6] else None
    posting = Posting(*row[:6], ratio, *row[7:21], lots, through or "")  # type: ignore[call-arg]
    return Entry(number, posting, key, symbol or "", exchange or "", isin or "", name or "", into or "", reverses, corrects, place, link)  # fmt: skip
