"""DEGIRO, account statement as CSV ("Account.csv"), in Dutch, English, French, German, Italian, Portuguese or Spanish.

Newest first. One trade is several rows with one order id: the trade, its costs, a conversion. Costs in the trade's own
currency go into it; costs in another currency and both legs of a conversion are bookings of their own, so that cash is
right in every currency. A long id may run on in the next row. Transfers to and from the flatex account and the
reservation of an iDEAL payment move money inside the broker: skipped, with the deposit or withdrawal they stand beside
booked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

from core.brokers.columns import (
    ColumnMap,
    NothingToBook,
    Values,
    amount_of,
    as_ratio,
    filled,
    in_order,
    joined,
    row_records,
    with_taxes,
)
from core.brokers.registry import Format, Record, Statement, register
from core.brokers.sheet import DELIMITERS, Cells, Row, first_rows, number, sheet
from core.ledger import LedgerError
from core.money import MINOR_QUOTES

BUY = r"Koop|Buy|Compra|Achat|Kauf|Acquisto"
SELL = r"Verkoop|Sell|Venta|Venda|Vente|Verkauf|Vendita"
TRADE = re.compile(
    rf"(?P<before>.*?)\b(?P<side>{BUY}|{SELL}) (?P<quantity>[\d][\d.,\s\u00a0]*?)(?: (?P<name>[^@]*?))?\s?@\s?"
    r"(?P<price>[\d][\d.,\s\u00a0]*?) (?P<currency>[A-Z]{3})(?: \([A-Z0-9]{12}\))?",
    re.IGNORECASE,
)
SWEEP = re.compile(r"cash sweep|geldrekening bij|flatexDEGIRO Bank|flatex Interest sweep", re.IGNORECASE)
RESERVED = re.compile(r"^(Reservation|Reservering|Réservation) |^Processed Flatex Withdrawal", re.IGNORECASE)
CHANGE = re.compile(
    r"^(PRODUCTWIJZIGING|PRODUCT CHANGE|CAMBIO DE PRODUCTO|CHANGEMENT DE PRODUIT|PRODUKTWECHSEL|ISIN CHANGE|"
    r"WIJZIGING ISIN)\b",
    re.IGNORECASE,
)
MONEY_FUND = re.compile(r"Fonds Monétaires|Geldmarktfonds|Money Market Fund|Fondos del Mercado", re.IGNORECASE)
KINDS = (
    ("conversion", r"^(Valuta (Credit|Debit)ering|FX (Credit|Debit)|(Ingreso|Retirada) Cambio de Divisa"
                   r"|Levantamento de divisa|Cr\S{1,3}dito de divisa|Opération de change.*|Währungswechsel.*)"),
    ("tax", r"dividendbelasting|imp[oô]ts? sur|dividend tax|dividendensteuer|retenci[oó]n|imposto|ritenuta|stamp duty"
            r"|transaction tax|beurstaks|taxe sur"),
    ("fee", r"transactiekosten|kosten van derden|aansluitingskosten|exchange connection fee|corporate action kosten"
            r"|frais|comiss|courtesy|transaction and/or third|gebühr|fee\b|costes|pass-?through"),
    ("dividend", r"^(dividend|dividende|dividendo|distribution|uitkering|ausschüttung|coupon)\b"),
    ("return_of_capital", r"return of capital|kapitaalteruggave|kapitalrückzahlung"),
    ("interest", r"rente|interest|zinsen|intér[eê]ts?|interes|juros|Variation Fonds"),
    ("transfer", r"^(iDEAL Deposit|deposit|ingreso|storting|einzahlung|versement|dep[oó]sito|SOFORT Deposit"
                 r"|flatex (deposit|terugstorting|withdrawal|storting)|withdrawal|terugstorting|retirada|retrait"
                 r"|auszahlung|levantamento)"),
)  # fmt: skip

POSITIONS = ("date", "time", "value date", "name", "isin", "kind", "fx", "currency", "gross", "", "", "reference")
MAP = ColumnMap(
    columns={"date": "date", "kind": "kind", "name": "name", "isin": "isin", "currency": "currency", "gross": "gross",
             "reference": "reference"},
    kinds={k: k for k in ("buy", "sell", "dividend", "interest", "fee", "tax", "transfer", "conversion",
                          "return_of_capital", "symbol_change", "merger")},
    dates="dmy", decimal=",", signed=True,
)  # fmt: skip


def header(text: str) -> int | None:
    """The line of the header: twelve columns, a nameless one behind the amount's and the balance's, ISIN the fifth."""
    for delimiter in DELIMITERS[:1]:
        for line, cells in first_rows(text, delimiter):
            names = [c.strip() for c in cells]
            if len(names) == 12 and names[4] == "ISIN" and names[8] == "" and names[10] == "" and names[7]:
                return line
    return None


def prepare(values: Values, row: Row) -> None:
    said = values["kind"]
    values["note"] = said
    values["date"] = f"{values['date']} {row.cells['time']}".strip()
    if SWEEP.search(said):
        raise NothingToBook("money moved between the account and its own bank account at the broker")
    if RESERVED.search(said):
        raise NothingToBook("the counter entry of a deposit or withdrawal that is booked by its own row")
    found = TRADE.search(said)
    if found and not MONEY_FUND.search(said):
        trade(values, found, number("gross", values["gross"], ","))
        return
    if MONEY_FUND.search(said):
        values["kind"], values["isin"], values["name"] = "interest", "", ""
        return
    for kind, pattern in KINDS:
        if re.search(pattern, said, re.IGNORECASE):
            values["kind"] = kind
            if kind in ("conversion", "transfer", "interest"):
                values["name"] = values["isin"] = ""
            return
    raise LedgerError("kind", said[:80], "no kind of transaction is known under this description")


def trade(values: Values, found: re.Match[str], amount: Decimal | None) -> None:
    """Quantity and price of "Koop 1 @ 33,9 USD": of the two ways to read their points and commas the one that fits."""
    currency, factor = found["currency"], Decimal(1)
    if currency in MINOR_QUOTES:
        currency, factor = MINOR_QUOTES[currency], Decimal("0.01")
    readings = []
    for mark in (",", "."):
        try:
            pair = [number(n, found[n], mark) for n in ("quantity", "price")]
        except LedgerError:
            continue
        if pair[0] is not None and pair[1] is not None:
            off = abs(abs(amount or Decimal(0)) - pair[0] * pair[1] * factor)
            readings.append((off, mark, pair[0], pair[1] * factor))
    if not readings:
        raise LedgerError("quantity", found["quantity"], "a number such as 1.234 or 0,5 is needed")
    _, _, quantity, price = min(readings, key=lambda r: r[0]) if amount else readings[0]
    values["kind"] = "buy" if re.fullmatch(BUY, found["side"], re.IGNORECASE) else "sell"
    values["quantity"], values["price"] = str(quantity).replace(".", ","), str(price).replace(".", ",")
    if not amount:
        values["gross"] = ""
    if CHANGE.match(values["note"]):
        values["kind"] = "merger"
        values["quantity"] = ("-" if re.fullmatch(SELL, found["side"], re.IGNORECASE) else "") + values["quantity"]
        values["price"] = ""


def grouped(records: list[Record]) -> list[Record]:
    """Costs into their trade, taxes into their dividend, the two rows of a product change into one record."""
    trades: dict[tuple[str, str], int] = {}
    for i, r in enumerate(records):
        if r.books and r.cells["kind"] in ("buy", "sell") and (order := r.cells.get("reference")):
            trades[order, r.cells.get("currency", "")] = i
    out: list[Record | None] = list(records)
    for i, r in enumerate(records):
        at = trades.get((r.cells.get("reference", ""), r.cells.get("currency", "")))
        if at is None or not r.books or r.cells["kind"] not in ("fee", "tax") or amount_of(r, "gross") < 0:
            continue
        into, column = out[at], "fees" if r.cells["kind"] == "fee" else "taxes"
        if into is not None:
            out[at] = joined(into, [r], **{column: amount_of(into, column) + amount_of(r, "gross")})
            out[i] = None
    kept = product_changes([r for r in out if r is not None])
    return with_taxes(kept, lambda r: (r.cells["date"], isin) if (isin := r.cells.get("isin")) else None)


def product_changes(records: list[Record]) -> list[Record]:
    """A product change takes all units out and puts them in again: under the same ISIN nothing changed."""
    days: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        if r.books and r.cells["kind"] == "merger":
            days[r.cells["date"]].append(r)
    made: dict[int, Record | None] = {}
    for sides in days.values():
        gone = [r for r in sides if amount_of(r, "quantity") < 0]
        for old in gone:
            new = next((r for r in sides if amount_of(r, "quantity") > 0 and id(r) not in made
                        and (len(gone) == 1 or r.cells.get("isin") == old.cells.get("isin"))), None)  # fmt: skip
            if new is None:
                continue
            made[id(new)] = None
            ratio = as_ratio(amount_of(new, "quantity"), -amount_of(old, "quantity"))
            if old.cells.get("isin") == new.cells.get("isin"):
                one = joined(old, [new], quantity="", gross="")
                why = "a product change under the same ISIN: the holding is the same before and after"
                if ratio == 1:
                    made[id(old)] = replace(one, skipped=why)
                else:
                    made[id(old)] = replace(one, cells=filled(one.cells, kind="split", ratio=ratio))
            else:
                kind = "symbol_change" if ratio == 1 else "merger"
                made[id(old)] = joined(old, [new], kind=kind, quantity="", gross="", into=new.cells.get("isin", ""),
                                       ratio="" if kind == "symbol_change" else ratio)  # fmt: skip
        for r in sides:
            if id(r) not in made:
                expected = "the other side of this product change is not in the file"
                made[id(r)] = replace(r, error=LedgerError("into", None, expected))
    return [found for r in records if (found := made.get(id(r), r)) is not None]


def read(text: str) -> Statement:
    line = header(text) or 1
    table = sheet(text, ",", line)
    names = dict(zip(table.columns, POSITIONS, strict=False))
    rows: list[Row] = []
    for row in table.rows:
        cells = {ours: row.cells.get(theirs, "") for theirs, ours in names.items() if ours}
        only_reference = [name for name, text in row.cells.items() if text] == [table.columns[11]]
        if only_reference and rows:  # the end of an order id that was broken in two
            last = rows[-1]
            cells = Cells(last.cells) | {"reference": last.cells["reference"] + cells["reference"]}
            rows[-1] = replace(last, lines=(*last.lines, *row.lines), cells=Cells(cells))
        else:
            rows.append(replace(row, cells=Cells(cells)))
    table = replace(table, rows=tuple(rows))
    m = replace(MAP, header_line=line)
    records = in_order(r for row in rows for r in row_records(table, row, m, prepare))
    return Statement("degiro", "DEGIRO", tuple(grouped(records)))


register(
    Format(
        "degiro",
        "DEGIRO account statement",
        "twelve columns with ISIN the fifth and two nameless ones, for the amount and the balance",
        lambda text: header(text) is not None,
        read,
    )
)
