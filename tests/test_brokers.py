"""Broker exports: recognised by one format alone, read to the last line, and counted again here from the raw columns.

The samples in tests/brokers are made up; what they must give is written out below, by hand from the files. Of the
exports in ../shared the test counts kinds, cash and units itself, with csv and xml readers and no code of the product.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import re
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core import brokers, importing
from core.brokers.columns import ColumnMap, proposed, table_format
from core.brokers.columns import read as read_under
from core.brokers.registry import Format, register
from core.brokers.sheet import moment, number, sheet, text_of
from core.importing import NotReadable
from core.ledger import Draft, LedgerError, Security, post
from core.listings import Listings

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared" / "data" / "broker"
SAMPLES = sorted((HERE / "brokers").iterdir())
EXPORTS = sorted(SHARED.glob("exports/*.csv"))
FLEX = sorted(SHARED.glob("ibflex/*.xml"))
CLIENTS = sorted(SHARED.glob("portfolio_performance/*.xml"))
FILLED = SHARED / "pyfolio_portfolio" / "test_txn.csv.gz"
absent = pytest.mark.skipif(not EXPORTS, reason="the folder ../shared/data/broker is not beside the checkout")
NAMES = {"ibkr-dividends": "ibkr_flex_cash", "ibkr-trades": "ibkr_flex_trades", "revolut-invest": "revolut"}


# rows of the shared exports whose amounts somebody changed, so that they fit no price
SPOILT = {
    ("degiro-export", "JP3633400001"),
    ("saxo-export", "IE00B3XXRP09"),
    ("testIBFlexStatementFile15", "LU0090865873"),
}


def said(record: brokers.Record) -> str:
    """A record in one line: date, kind, security, its numbers by name, currency."""
    c = record.cells
    if record.error is not None:
        return f"! {record.error.field}"
    if record.skipped:
        return "-"
    names = ("quantity", "price", "gross", "fees", "taxes", "ratio", "fx", "cash_currency", "into")
    numbers = [f"{n}={c[n]}" for n in names if n in c]
    of = c.get("symbol") or c.get("isin", "")
    return " ".join(filter(None, [c["date"], c["kind"], of, *numbers, c.get("currency", "")]))


# --- made-up samples, one per format --------------------------------------------------------------------------------

EXPECTED: dict[str, list[tuple[int, str]]] = {
    "schwab": [
        (16, "-"),
        (15, "2024-01-08 deposit gross=1000 USD"),
        (14, "! kind"),
        (13, "2024-01-10 buy OAKS quantity=30 price=20 gross=600 fees=1 USD"),
        (12, "2024-02-05 dividend OAKS gross=50 USD"),
        (11, "2024-02-05 buy OAKS quantity=2 price=25 gross=50 USD"),
        (10, "2024-02-08 symbol_change 12345K200 into=ELMS USD"),
        (8, "2024-02-09 dividend OAKS gross=10 taxes=1.5 USD"),
        (6, "2024-02-12 sell OAKS quantity=2 price=30 gross=60 fees=0.1 USD"),
        (5, "2024-02-15 split OAKS ratio=4 USD"),  # 30 held and 90 more, on the day it was booked
        (4, "2024-02-16 return_of_capital OAKS gross=5.49 USD"),
        (3, "2024-02-20 withdrawal gross=30 USD"),
    ],
    "fidelity": [
        (11, "-"),
        (9, "2025-03-01 deposit gross=9000 USD"),
        (8, "! into"),
        (7, "2025-03-03 dividend SMPLX gross=25 USD"),
        (6, "2025-03-03 buy SMPLX quantity=2.5 price=10 gross=25 USD"),
        (5, "2025-03-04 buy 123456AB7 quantity=5000 gross=4937.5 USD"),
        (4, "2025-03-05 sell TOOL quantity=10 price=50 gross=500 fees=0.05 USD"),
    ],
    "degiro": [
        (15, "-"),
        (14, "2024-02-03 deposit gross=3200 EUR"),
        (13, "! kind"),
        (12, "2024-02-05 buy NL0000000018 quantity=1200 price=2.5 gross=3000 fees=1 EUR"),
        (10, "2024-02-06 buy US0000000017 quantity=2 price=55 gross=110 USD"),
        (9, "2024-02-06 fee US0000000017 gross=2 EUR"),
        (8, "2024-02-06 fx_out gross=100 EUR"),
        (6, "2024-02-06 fx_in gross=110 USD"),
        (5, "2024-02-08 dividend US0000000017 gross=10 taxes=1.5 USD"),
        (3, "-"),
        (2, "-"),
    ],
    "ibkr_flex_trades": [
        (2, "2024-01-05 buy US0000000017 quantity=10 price=20.5 gross=205 fees=1 USD"),
        (4, "2024-01-05 fx_out gross=200 CHF"),
        (4, "2024-01-05 fx_in gross=230 USD"),
        (4, "2024-01-05 fee gross=1.8 CHF"),
        (3, "2024-01-08 sell US0000000017 quantity=4 price=21 gross=84 USD"),
        (3, "2024-01-08 fee US0000000017 gross=0.9 CHF"),
    ],
    "ibkr_flex_cash": [
        (6, "2024-01-02 deposit gross=1000 USD"),
        (3, "2024-01-10 dividend OAK gross=5 taxes=0.75 USD"),
        (4, "2024-01-10 return_of_capital OAK gross=1 USD"),
        (5, "2024-01-31 interest gross=-3.21 USD"),
    ],
    "ibkr_history": [
        (11, "2025-01-02 deposit gross=1000 GBP"),
        (10, "2025-02-02 buy ELM quantity=2 price=50 gross=100 fees=3 GBP"),
        (9, "2025-02-03 buy OAK quantity=10 price=25 fees=1.25 fx=0.8 cash_currency=GBP"),  # (250 + 1.25) × 0.8 = 201
        (8, "2025-03-03 dividend OAK gross=4 taxes=0.6 GBP"),
        (6, "2025-03-04 fx_out gross=0.02 GBP"),
    ],
    "ibkr_flex_xml": [
        (10, "2024-01-04 fx_out gross=100 EUR"),
        (10, "2024-01-04 fx_in gross=110 USD"),
        (10, "2024-01-04 fee gross=2 EUR"),
        (6, "2024-01-05 buy OAK quantity=10 price=20.5 gross=205 fees=1 USD"),
        (7, "-"),
        (8, "-"),
        (9, "-"),
        (19, "2024-03-10 dividend OAK gross=5 taxes=0.75 USD"),
        (20, "2024-04-03 interest gross=1.23 EUR"),
        (13, "2024-06-01 split OAK ratio=4 USD"),
        (15, "2024-09-01 merger OAK gross=240 USD"),
    ],
    "trading212": [
        (2, "2024-01-02 deposit gross=500 EUR"),
        # 0.27 EUR of fees at 181.82 / 200 is 0.30 USD; 182.09 / 200.30
        (3, "2024-01-03 buy OAK quantity=4 price=50 fees=0.3 fx=0.9090863704 cash_currency=EUR USD"),
        (4, "2024-01-04 buy BRIT quantity=10 price=2.5 fx=1.1628 cash_currency=EUR GBP"),  # 29.07 / 25.00
        (5, "2024-02-01 dividend OAK gross=2 taxes=0.3 fx=0.9117647059 cash_currency=EUR USD"),  # 1.55 / 1.70
        (7, "2024-03-01 split OAK ratio=3 USD"),
        (8, "2024-03-02 interest gross=0.01 EUR"),
    ],
    "etoro": [
        (2, "2024-01-02 deposit gross=1000 USD"),
        (3, "2024-01-03 buy OAK quantity=4.5 gross=100 USD"),
        (4, "2024-01-04 dividend OAK gross=0.17 USD"),
        (5, "-"),
        (6, "2024-01-06 fee gross=0.31 USD"),
        (7, "2024-01-07 interest gross=-12.5 USD"),
        (8, "2024-01-08 sell OAK quantity=4.5 gross=110 USD"),
        (9, "-"),
        (10, "2024-01-09 withdrawal gross=100 USD"),
    ],
    "revolut": [
        (2, "2024-01-02 deposit gross=1500 USD"),
        (3, "2024-01-03 buy OAK quantity=2.5 price=100 gross=250 fees=0.4 USD"),
        (4, "2024-01-31 dividend OAK gross=2.5 taxes=0.38 USD"),  # 02:30 UTC of the first: the evening before
        (6, "2024-03-01 split OAK ratio=2 USD"),
        (7, "-"),
        (8, "2024-03-04 sell OAK quantity=0.5 price=60 gross=30 fees=0.01 USD"),
        (9, "! ratio"),
    ],
    "parqet": [
        (5, "2024-05-02 buy DE0000000011 quantity=17.83803 price=28.03 gross=500 EUR"),
        (4, "2024-05-15 dividend US0000000017 gross=9.6 taxes=2.51 EUR"),
        (3, "2024-05-16 sell IL0000000015 quantity=14 price=22.88 gross=320.32 fees=1 taxes=-12.64 EUR"),
        (2, "2024-06-04 sell DE0000000011 quantity=6 price=263 gross=1578 fees=1 taxes=14.83 EUR"),
    ],
    "saxo": [
        (7, "2024-12-30 deposit gross=500 USD"),
        (6, "2024-12-30 buy OAK quantity=3 price=134.85 gross=404.55 fees=1 USD"),
        (4, "2025-01-02 sell OAK quantity=1 price=140 gross=140 fees=1 USD"),
        (3, "2025-01-02 fee gross=3.91 USD"),
        (5, "2025-01-16 buy SWRL quantity=1.5 price=110 gross=165 fees=2 EUR"),
        (2, "2025-04-02 dividend SWRL gross=1.83 EUR"),
    ],
    "xtb": [
        (9, "! date"),
        (8, "2024-03-27 deposit gross=1400"),
        (7, "2024-03-27 buy OAK quantity=1 price=100 fx=0.925"),
        (6, "2024-04-02 buy MUST quantity=2 price=26.4 gross=52.8"),
        (5, "2024-04-02 sell MUST quantity=1 price=26.28 gross=26.28"),
        (4, "2024-07-22 interest gross=-0.13"),
        (3, "2024-09-26 dividend OAK gross=2.23 taxes=0.33"),
    ],
    "portfolio_performance": [
        (30, "2024-01-02 deposit gross=5000 EUR"),
        (39, "2024-01-03 buy MUST.DE quantity=40.5 gross=1000 fees=9.5 taxes=2.5 EUR"),
        # 1 EUR of fees at 200 / 180 is 1.11 USD; 181.00 / 201.11
        (65, "2024-01-04 buy OAK quantity=10 gross=200 fees=1.11 fx=0.9000049724 cash_currency=EUR USD"),
        (97, "2024-02-01 transfer_in MUST.DE quantity=2 gross=50 EUR"),
        (157, "2024-02-05 dividend OAK gross=10 taxes=1.5 fx=0.9 cash_currency=EUR USD"),  # 7.65 / 8.50
        (178, "2024-02-06 fx_out gross=100 EUR"),
        (178, "2024-02-06 fx_in gross=110 USD"),
        (200, "2024-02-07 interest gross=-3 USD"),
        (208, "2024-02-08 fee gross=-1.2 USD"),
        (109, "-"),
        (139, "! reference"),
        (223, "! kind"),
    ],
    "freetrade": [
        (7, "2021-12-13 transfer_in THRD quantity=1 price=14.6 USD"),
        (6, "2022-01-28 deposit gross=1000 GBP"),
        # 1.13 GBP of fees at 150 / 200 is 1.51 USD; 151.13 / 201.51
        (5, "2022-02-01 buy OAK quantity=1 price=200 gross=200 fees=1.51 fx=0.7499875937 cash_currency=GBP USD"),
        (4, "2022-02-01 buy S500 quantity=2 price=60 gross=120 fees=0.6 GBP"),
        (3, "2023-10-16 interest gross=9.02 GBP"),
        (2, "2023-12-22 dividend OAK gross=1.4 taxes=0.21 fx=0.781512605 cash_currency=GBP USD"),  # 0.93 / 1.19
    ],
}  # fmt: skip


def test_every_format_has_a_sample_and_every_sample_a_format() -> None:
    assert {path.stem for path in SAMPLES} == set(brokers.FORMATS) == set(EXPECTED)


@pytest.mark.parametrize("path", SAMPLES, ids=[p.stem for p in SAMPLES])
def test_a_sample_reads_as_written_out_by_hand(path: Path) -> None:
    found = brokers.read(path.read_bytes())
    assert found is not None
    assert found.broker == path.stem
    assert [(r.line, said(r)) for r in found.records] == EXPECTED[path.stem]


# --- what holds for every file --------------------------------------------------------------------------------------


def data_lines(raw: bytes) -> set[int]:
    """The lines of a file in which data stands, by plain means: below the header of a table, or the event elements."""
    text = raw.decode("utf-8-sig")
    lines = re.split(r"\r\n|\n|\r", text)
    if "<client>" in text[:200]:
        entries = re.finditer(
            r"<((account|portfolio)(-t|T)ransaction|transaction(From|To))(?![^>]*reference)[^>]*>", text
        )
        return {text.count("\n", 0, e.start()) + 1 for e in entries}
    if text.lstrip().startswith("<"):
        sections = [
            "Trades",
            "CashTransactions",
            "CorporateActions",
            "SalesTaxes",
            "FxTransactions",
            "Transfers",
            "TransactionTaxes",
        ]
        inside, found = False, set()
        for tag in re.finditer(r"<(/?)(\w+)[^<>]*?(/?)>", text):
            if tag[2] in sections:
                inside = not tag[1] and not tag[3]
            elif inside and not tag[1]:
                found.add(text.count("\n", 0, tag.start()) + 1)
        return found
    if "Transaction History,Header" in text:
        return {n for n, line in enumerate(lines, 1) if line.startswith("Transaction History,Data")}
    header = next(
        n for n, line in enumerate(lines, 1) if len(re.findall(r"[,;]", line)) > 4 and "Total" not in line[:5]
    )
    return {n for n, line in enumerate(lines, 1) if n > header and line.strip()}


CURRENCIES = frozenset({"USD", "EUR", "GBP", "CHF", "CAD", "JPY"})


def drafted(record: brokers.Record) -> Draft:
    """The record as the importer drafts it, with securities made for it in the currency it says."""
    cells = dict(record.cells)
    cells["symbol"] = cells.get("symbol") or cells.get("isin", "")
    currency = cells.get("currency") or ("USD" if "fx" in cells else "EUR")
    one = Security(1, cells["symbol"], "", cells.get("exchange") or "XNYS", currency, "Equity")
    other = Security(2, cells.get("into", ""), "", "XNYS", currency, "Equity")
    return importing.draft(cells, Listings([other, one]), CURRENCIES, "EUR")


@pytest.mark.parametrize("path", [*SAMPLES, *EXPORTS, *FLEX, *CLIENTS], ids=lambda p: p.stem)
def test_every_line_is_in_one_record_and_every_booked_one_makes_a_draft(path: Path) -> None:
    raw = path.read_bytes()
    text = text_of(raw)
    assert sum(f.matches(text) for f in brokers.FORMATS.values()) == 1
    found = brokers.read(raw)
    assert found is not None
    lines = [n for r in found.records for n in r.lines]
    assert len(lines) == len(set(lines))
    assert set(lines) == data_lines(raw)
    dates = [r.cells["date"] for r in found.records if r.books]
    assert dates == sorted(dates)
    for r in found.records:
        assert set(r.cells) <= set(brokers.CELLS)
        if r.books:
            drafted(r)
        else:
            assert r.lines
            assert r.skipped or (r.error and r.error.field and r.error.expected)


@pytest.mark.parametrize("path", [*SAMPLES, *EXPORTS, *FLEX, *CLIENTS], ids=lambda p: p.stem)
def test_what_books_passes_the_ledgers_own_check(path: Path) -> None:
    """But for what somebody blackened out in the shared exports, see SPOILT, and what a statement does not tell."""
    found = brokers.read(path.read_bytes())
    assert found is not None
    for r in brokers.settled_in(found, "EUR").records:
        if not r.books:
            continue
        base = r.cells.get("cash_currency") or ("EUR" if "fx" in r.cells else "PLN")
        if (path.stem, r.cells.get("isin")) in SPOILT and r.cells["kind"] == "buy":
            with pytest.raises(LedgerError, match="does not agree"):
                post(drafted(r), base, date(2026, 1, 1), date(2026, 1, 1))
        else:
            posting = post(drafted(r), base, date(2026, 1, 1), date(2026, 1, 1))
            assert posting.kind == r.cells["kind"]


# --- the shared exports, counted again ------------------------------------------------------------------------------

Count = tuple[Counter[str], dict[str, Decimal], dict[str, Decimal]]


def rows_of(name: str, delimiter: str = ",") -> list[dict[str, str]]:
    text = (SHARED / "exports" / f"{name}-export.csv").read_text(encoding="utf-8-sig")
    return [{k: (v or "").strip() for k, v in row.items() if isinstance(v, str)} for row in
            csv.DictReader(io.StringIO(text), delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == ";" and "ID;" in text[:9] else csv.QUOTE_MINIMAL)]  # fmt: skip


def d(text: str) -> Decimal:
    """A number as these exports write it: dollars, blanks, and a comma that is a decimal one unless a point follows."""
    text = re.sub(r"[$€\s]", "", text).strip('"')
    if text in ("", "-"):
        return Decimal(0)
    negative = text.startswith("(")
    text = text.strip("()")
    text = text.replace(",", "") if re.search(r",\d{3}(\.|$)", text) else text.replace(",", ".")
    return -Decimal(text) if negative else Decimal(text)


def schwab() -> Count:
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), Decimal(0)
    words = {"Buy": "buy", "Reinvest Shares": "buy", "Stock Div Dist": "buy", "Sell": "sell", "Advisor Fee": "fee",
             "ADR Mgmt Fee": "fee", "Credit Interest": "interest", "Foreign Tax Paid": "tax", "Wire Sent": "withdrawal",
             "MoneyLink Transfer": "withdrawal", "Internal Transfer": "transfer_in", "Journaled Shares": "transfer_out",
             "Cash In Lieu": "return_of_capital", "Stock Split": "split"}  # fmt: skip
    pairs = {"Reverse Split": "split", "Stock Merger": "merger", "Name Change": "symbol_change", "Conversion": "merger"}
    for row in rows_of("schwab"):
        action, quantity = row["Action"], d(row["Quantity"].replace(",", ""))
        if not action:
            continue
        cash += d(row["Amount"])
        if action in pairs:
            kinds[pairs[action]] += row["Symbol"].isalpha()  # the new side; the old one has a number
        elif action == "Non-Qualified Div" and not row["Symbol"]:
            kinds["interest"] += 1
        elif action != "Spin-off":
            kinds[words.get(action, "dividend")] += 1
        if words.get(action) in ("buy", "sell", "transfer_out"):
            units[row["Symbol"]] += -abs(quantity) if words[action] != "buy" else quantity
    units["AVGO"] *= 10
    return kinds, dict(units), {"USD": cash}


def degiro() -> Count:
    text = (SHARED / "exports" / "degiro-export.csv").read_text(encoding="utf-8")
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    rows = [r for r in csv.reader(io.StringIO(text)) if r[0] not in ("Datum", "")]
    orders = Counter((r[11], r[7]) for r in rows if "@" in r[5])
    for r in rows:
        what, isin, amount = r[5], r[4], d(r[8])
        if (
            "flatexDEGIRO" in what
            or "Sweep" in what
            or "Reservation" in what
            or "Processed" in what
            or "PRODUCT" in what
        ):
            continue
        cash[r[7]] += amount
        traded = re.match(r"(STOCK DIVIDEND: )?(Koop|Compra|Achat|Verkoop|Sell) ([\d.]+)", what)
        if traded:
            sold = traded[2] in ("Verkoop", "Sell")
            kinds["sell" if sold else "buy"] += 1
            units[isin] += -Decimal(traded[3]) if sold else Decimal(traded[3])
        elif "belasting" in what or "Impôts" in what:
            pass  # each stands beside its dividend
        elif what.startswith("Dividend"):
            kinds["dividend"] += 1
        elif re.search(r"divisa|Divisa|FX (C|D)|Valuta (C|D)", what):
            kinds["fx_in" if amount > 0 else "fx_out"] += 1
        elif "Monétaires" in what:
            kinds["interest"] += 1
        elif what in ("iDEAL Deposit", "Ingreso"):
            kinds["deposit"] += 1
        elif what == "flatex terugstorting":
            kinds["withdrawal"] += 1
        else:
            kinds["fee"] += not (r[11] and orders[r[11], r[7]])  # a fee of a trade in its currency is in the trade
    return kinds, dict(units), dict(cash)


def ibkr_trades() -> Count:
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    for row in rows_of("ibkr-trades"):
        cash[row["IBCommissionCurrency"]] += d(row["IBCommission"])
        cash[row["CurrencyPrimary"]] -= d(row["TradeMoney"])
        if row["ISIN"]:
            kinds["buy"] += row["Buy/Sell"] == "BUY"
            units[row["ISIN"]] += d(row["Quantity"])
        else:
            kinds.update(["fx_in", "fx_out", "fee"])
            cash["CHF"] += d(row["Quantity"])
    return kinds, dict(units), dict(cash)


def ibkr_dividends() -> Count:
    kinds, cash = Counter[str](), defaultdict[str, Decimal](Decimal)
    for row in rows_of("ibkr-dividends"):
        cash[row["CurrencyPrimary"]] += d(row["Amount"])
        if row["Type"] != "Withholding Tax":
            kinds["return_of_capital" if "Return of Capital" in row["Description"] else "dividend"] += 1
    return kinds, {}, dict(cash)


def trading212() -> Count:
    text = (SHARED / "exports" / "trading212-export.csv").read_text(encoding="utf-8")
    words = {"Deposit": "deposit", "Market buy": "buy", "Market sell": "sell", "Dividend (Dividend)": "dividend",
             "Interest on cash": "interest", "Stock distribution": "buy", "Transfer out": "transfer_out",
             "Stock split open": "split"}  # fmt: skip
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), Decimal(0)
    for r in list(csv.reader(io.StringIO(text)))[1:]:
        newer = len(r[6]) > 3 and r[6].startswith("EOF")
        shares, total = (r[7], r[13]) if newer else (r[5], r[11])
        if r[0] in words:
            kinds[words[r[0]]] += 1
        if r[0] in ("Market buy", "Stock distribution"):
            units[r[3]] += d(shares)
        if r[0] in ("Market sell", "Transfer out"):
            units[r[3]] -= d(shares)
        if not newer:
            cash += -d(total) if r[0] == "Market buy" else d(total)
    return kinds, dict(units), {"EUR": cash}


def etoro() -> Count:
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), Decimal(0)
    words = {"Dividend": "dividend", "Interest Payment": "interest", "Overnight fee": "fee", "Overnight refund": "fee",
             "SDRT": "tax", "Withdraw Request": "withdrawal"}  # fmt: skip
    for row in rows_of("etoro"):
        what, amount, of = row["Type"], d(row["Amount"]), row["Details"].split("/")[0]
        if what in words:
            kinds[words[what]] += 1
            cash += amount
        elif row["Asset type"] == "CFD":
            kinds["interest"] += what == "Position closed"
            cash += d(row["Realized Equity Change"])
        elif what in ("Open Position", "Position closed"):
            sign = 1 if what == "Open Position" else -1
            kinds["buy" if sign > 0 else "sell"] += 1
            units[of] += sign * d(row["Units"])
            cash -= sign * amount
    return kinds, dict(units), {"USD": cash}


def revolut() -> Count:
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    for row in rows_of("revolut-invest"):
        what = row["Type"]
        if what.startswith("TRANSFER") or what == "STOCK SPLIT":
            continue
        side = {"BUY": 1, "SELL": -1}.get(what.split(" - ")[0], 0)
        word = {"DIVIDEND": "dividend", "CUSTODY FEE": "fee", "CASH TOP-UP": "deposit", "CASH WITHDRAWAL": "withdrawal"}
        kinds[{1: "buy", -1: "sell"}.get(side) or word[what]] += 1
        if side:
            units[row["Ticker"]] += side * d(row["Quantity"])
        cash[row["Currency"]] += -d(row["Total Amount"]) if side > 0 else d(row["Total Amount"])
    return kinds, dict(units), dict(cash)


def parqet() -> Count:
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), Decimal(0)
    for row in rows_of("parqet", ";"):
        sign = {"Buy": -1, "Sell": 1, "Dividend": 1}[row["type"]]
        kinds[row["type"].lower()] += 1
        cash += sign * d(row["amount"]) - d(row["tax"]) - d(row["fee"])
        if row["type"] != "Dividend":
            units[row["identifier"]] -= sign * Decimal(row["shares"].replace(",", "."))
    return kinds, dict(units), {"EUR": cash}


def saxo() -> Count:
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    for row in rows_of("saxo"):
        cash[row["Instrument currency"]] += d(row["Amount"])
        what = row["Event"].split()[0].lower().replace("koop", "buy").replace("custody", "fee")
        kinds[what] += 1
        if what in ("buy", "sell"):
            units[row["Instrument Symbol"].split(":")[0]] += d(row["Event"].split()[1]) * (1 if what == "buy" else -1)
    return kinds, dict(units), dict(cash)


def xtb() -> Count:
    """The row with the date 010.09.2024 is refused, a WHT of +0.37 is a refund and stands alone."""
    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), Decimal(0)
    words = {"Deposit": "deposit", "Withdrawal": "withdrawal", "Transfer": "transfer_in", "Dividend": "dividend",
             "Free funds interests": "interest", "Free funds interests tax": "tax", "Spin off": "return_of_capital",
             "Profit/Loss (FX/CFD)": "interest"}  # fmt: skip
    for row in rows_of("xtb", ";"):
        if row["Time"].startswith("010.") or row["Type"] == "Swap":
            continue
        cash += d(row["Amount"])
        bought = re.match(r"(OPEN|CLOSE) BUY ([\d.]+)", row["Comment"])
        if bought:
            kinds["buy" if bought[1] == "OPEN" else "sell"] += 1
            units[row["Symbol"].split(".")[0]] += Decimal(bought[2]) * (1 if bought[1] == "OPEN" else -1)
        elif row["Symbol"] == "US30.cash":
            kinds["interest"] += 1
        elif row["Type"] == "Withholding tax":
            kinds["tax"] += d(row["Amount"]) > 0
        else:
            kinds[words[row["Type"]]] += 1
    return kinds, dict(units), {"": cash}


COUNTS: dict[str, Callable[[], Count]] = {
    "schwab": schwab, "degiro": degiro, "ibkr-trades": ibkr_trades, "ibkr-dividends": ibkr_dividends,
    "trading212": trading212, "etoro": etoro, "revolut-invest": revolut, "parqet": parqet, "saxo": saxo, "xtb": xtb,
}  # fmt: skip


def without_nothing(sums: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: value for name, value in sums.items() if value}


@absent
@pytest.mark.shared
@pytest.mark.parametrize("name", COUNTS)
def test_an_export_adds_up_to_what_its_raw_columns_say(name: str) -> None:
    kinds, units, cash = COUNTS[name]()
    found = brokers.read((SHARED / "exports" / f"{name}-export.csv").read_bytes())
    assert found is not None
    assert found.broker == NAMES.get(name, name)
    assert +Counter(r.cells["kind"] for r in found.records if r.books) == +kinds
    sums = brokers.balances(found)
    got = dict(sums.units)
    if name == "schwab":  # mergers, conversions and changes of name move what the file does not show being bought
        units = {s: n for s, n in units.items() if s in got}
        assert len(units) > 10
    assert got == without_nothing(units)
    for currency, amount in without_nothing(cash).items():
        assert abs(sums.cash[currency] - amount) < Decimal("0.000001"), currency


@absent
@pytest.mark.shared
@pytest.mark.parametrize("path", FLEX, ids=lambda p: p.stem)
def test_a_flex_query_adds_up_to_what_its_attributes_say(path: Path) -> None:
    cash, units, kinds = defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal), Counter[str]()
    for e in ET.parse(path).getroot().iter():
        a = e.attrib
        if e.tag == "Trade":
            cash[a["currency"]] += (
                d(a["proceeds"]) * (a["assetCategory"] != "CFD") + d(a["ibCommission"]) + d(a["taxes"])
            )
            if a["assetCategory"] != "CFD":
                units[a["symbol"]] += d(a["quantity"])
            kinds["trade"] += 1
        elif e.tag == "CashTransaction":
            cash[a["currency"]] += d(a["amount"])
            kinds["cash"] += 1
        elif e.tag == "CorporateAction":
            cash[a["currency"]] += d(a["proceeds"])
            units[a["symbol"]] += d(a["quantity"])
        elif e.tag == "SalesTax":
            cash[a["currency"]] += d(a["salesTax"])
    found = brokers.read(path.read_bytes())
    assert found is not None
    assert not [r for r in found.records if r.error]
    sums = brokers.balances(found)
    for currency in {*sums.cash, *without_nothing(cash)}:  # the ledger keeps six decimals of a commission
        assert abs(sums.cash.get(currency, 0) - cash[currency]) <= Decimal("0.000001"), currency
    # the old side of a split and what was tendered are gone, and the liquidated fund was never bought in the file
    gone = {"GCM.OLD", "UUU.TEN2", "UUU", "JMLP"}
    want = without_nothing({s: n for s, n in units.items() if s not in gone})
    want |= {"GCM": Decimal(480)} if "GCM.OLD" in units else {}
    assert {s: n for s, n in sums.units.items() if s not in gone} == {s.upper(): n for s, n in want.items()}


# --- Portfolio Performance: the two sides of every event, followed through the references -----------------------------

# decimals of a number of units, which the version decides
UNIT = {"client_performance_snapshot": 8, "currency_sample": 6, "kommer": 8, "trade_test_case": 6, "volatility": 5}
CONVERSIONS = {"client_performance_snapshot": 1, "trade_test_case": 1}  # transfers between accounts of two currencies
INTO_ACCOUNT = ("DEPOSIT", "INTEREST", "DIVIDENDS", "FEES_REFUND", "TAX_REFUND", "SELL", "TRANSFER_IN")
WORDS_OF_CLIENT = {
    "DEPOSIT": "deposit", "REMOVAL": "withdrawal", "INTEREST": "interest", "INTEREST_CHARGE": "interest",
    "DIVIDENDS": "dividend", "FEES": "fee", "FEES_REFUND": "fee", "TAXES": "tax", "TAX_REFUND": "tax", "BUY": "buy",
    "SELL": "sell", "DELIVERY_INBOUND": "transfer_in", "DELIVERY_OUTBOUND": "transfer_out",
}  # fmt: skip


def client_count(path: Path) -> tuple[Count, dict[str, Decimal]]:
    """(kinds, units by symbol, cash by currency), and gross dividends by symbol."""
    root = ET.parse(path).getroot()
    around = {child: e for e in root.iter() for child in e}

    def meant(e: ET.Element) -> ET.Element:
        while "reference" in e.attrib:
            at = e
            for step in e.attrib["reference"].split("/"):
                name, _, place = step.rstrip("]").partition("[")
                at = around[at] if step == ".." else at.findall(name)[int(place or 1) - 1]
            e = at
        return e

    kinds, units, cash = Counter[str](), defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    dividends = defaultdict[str, Decimal](Decimal)
    tags = ("account-transaction", "accountTransaction", "portfolio-transaction", "portfolioTransaction",
            "transactionFrom", "transactionTo")  # fmt: skip
    for e in root.iter():
        if e.tag not in tags or "reference" in e.attrib:
            continue
        what, amount, shares = e.findtext("type", ""), d(e.findtext("amount", "")) / 100, d(e.findtext("shares", ""))
        security = e.find("security")
        symbol = meant(security).findtext("tickerSymbol", "") if security is not None else ""
        in_units = e.tag.startswith("portfolio") or (e.tag.startswith("transaction") and bool(symbol))
        if in_units:
            sign = 1 if what in ("BUY", "DELIVERY_INBOUND", "TRANSFER_IN") else -1
            units[symbol] += sign * shares / 10 ** UNIT[path.stem]
        else:
            cash[e.findtext("currencyCode", "")] += amount if what in INTO_ACCOUNT else -amount
        if not what.startswith("TRANSFER") and (in_units or what not in ("BUY", "SELL")):
            kinds[WORDS_OF_CLIENT[what]] += 1
        if what == "DIVIDENDS":
            costs = sum((d(u.find("amount").attrib["amount"]) for u in e.iter("unit")), Decimal(0))  # type: ignore[union-attr]
            dividends[symbol] += amount + costs / 100
    for kind in ("fx_out", "fx_in"):
        kinds[kind] += CONVERSIONS.get(path.stem, 0)
    return (kinds, dict(units), dict(cash)), dict(dividends)


@absent
@pytest.mark.shared
@pytest.mark.parametrize("path", CLIENTS, ids=lambda p: p.stem)
def test_a_client_file_adds_up_to_what_both_sides_of_its_entries_say(path: Path) -> None:
    (kinds, units, cash), dividends = client_count(path)
    found = brokers.read(path.read_bytes())
    assert found is not None
    assert not [r for r in found.records if r.error]
    assert +Counter(r.cells["kind"] for r in found.records if r.books) == +kinds
    sums = brokers.balances(found)
    assert dict(sums.units) == without_nothing(units)
    assert dict(sums.dividends) == dividends
    for currency in {*sums.cash, *without_nothing(cash)}:
        assert abs(sums.cash.get(currency, 0) - cash[currency]) < Decimal("0.000001"), currency


def client(name: str = "") -> str:
    return (HERE / "brokers" / "portfolio_performance.xml").read_text(encoding="utf-8").replace("<version>60", f"<version>{name or 60}")  # fmt: skip


@pytest.mark.parametrize(
    ("version", "units"), [("25", "40500"), ("26", "4050"), ("48", "4050"), ("49", "40.5"), ("69", "40.5")]
)
def test_the_version_of_a_client_file_says_what_a_unit_is(version: str, units: str) -> None:
    found = brokers.read(client(version).encode())
    assert found is not None
    assert found.records[1].cells["quantity"] == units


def test_a_client_file_with_ids_reads_the_same_as_one_with_paths() -> None:
    text = client()
    root = ET.fromstring(text.encode())
    around = {child: e for e in root.iter() for child in e}
    for n, e in enumerate(root.iter()):
        if "reference" not in e.attrib and e.tag != "version":  # plain values have none
            e.attrib["id"] = str(n)
    for e in root.iter():
        if "reference" in e.attrib and "[9]" not in e.attrib["reference"]:
            at = e
            for step in e.attrib["reference"].split("/"):
                name, _, place = step.rstrip("]").partition("[")
                at = around[at] if step == ".." else at.findall(name)[int(place or 1) - 1]
            e.attrib["reference"] = at.attrib["id"]
    found = brokers.read(ET.tostring(root))
    assert found is not None
    assert [said(r) for r in found.records] == [text for _, text in EXPECTED["portfolio_performance"]]


def test_a_client_file_in_one_line_counts_its_entries() -> None:
    found = brokers.read(re.sub(r">\s+<", "><", client()).encode())
    assert found is not None
    assert sorted(n for r in found.records for n in r.lines) == list(range(1, 16))


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("<amount>500000<", "<amount>5000.00<", "gross"), ("<date>2024-01-02T00:00<", "<date>soon<", "date"),
        ("<type>DEPOSIT<", "<type>GIFT<", "kind"), ("<shares>4050000000<", "<shares>0<", "quantity"),
        ('<forex currency="USD" amount="20000"/>', "", "fx"),
        ("<amount>101200</amount>\n                  <security", "<amount>101300</amount>\n                  <security", "gross"),
    ],
)  # fmt: skip
def test_an_entry_of_a_client_file_says_what_is_wrong_with_it(old: str, new: str, field: str) -> None:
    text = client()
    assert old in text
    found = brokers.read(text.replace(old, new).encode())
    assert found is not None
    assert sorted(r.error.field for r in found.records if r.error) == sorted(["kind", "reference", field])


def test_a_client_file_that_is_too_old_or_says_no_version_is_refused() -> None:
    with pytest.raises(NotReadable, match="very old"):
        brokers.read(client("9").encode())
    with pytest.raises(NotReadable, match="version"):
        brokers.read(client("new").encode())


# --- fills that only say bought or sold -------------------------------------------------------------------------------

FILLS = (
    ",amount,price,sid,symbol,txn_dollars\n"
    "2024-01-02 00:00:00+00:00,100,10.5,0,OAK,-1050.0\n"
    "2024-01-03 00:00:00+00:00,-150,11.0,0,OAK,1650.0\n"
    "2024-01-03 00:00:00+00:00,-20,5.0,1,ELM,100.0\n"
    "2024-01-04 00:00:00+00:00,-10,11.5,0,OAK,115.0\n"
    "2024-01-05 00:00:00+00:00,90,12.0,0,OAK,-1080.0\n"
)
FILLS_READ = [
    (2, "2024-01-02 buy OAK quantity=100 price=10.5 gross=1050 USD"),
    (3, "2024-01-03 sell OAK quantity=100 price=11 gross=1100 USD"),
    (3, "2024-01-03 short OAK quantity=50 price=11 gross=550 USD"),
    (4, "2024-01-03 short ELM quantity=20 price=5 gross=100 USD"),
    (5, "2024-01-04 short OAK quantity=10 price=11.5 gross=115 USD"),
    (6, "2024-01-05 cover OAK quantity=60 price=12 gross=720 USD"),
    (6, "2024-01-05 buy OAK quantity=30 price=12 gross=360 USD"),
]
FILLS_MAP = {"date": "column 1", "quantity": "amount", "price": "price", "symbol": "symbol", "gross": "txn_dollars"}


def test_fills_are_told_apart_by_what_is_held() -> None:
    found = proposed(FILLS)
    assert found.columns == FILLS_MAP
    told = read_under(FILLS, ColumnMap(FILLS_MAP, currency="USD", sided=True))
    assert [(r.line, said(r)) for r in told.records] == FILLS_READ
    assert [r.lines for r in told.records] == [(2,), (3,), (), (4,), (5,), (6,), ()]
    assert {r.cells["kind"] for r in read_under(FILLS, found).records} == {"buy", "sell"}, "only where it is asked for"
    assert ColumnMap.from_json(ColumnMap(FILLS_MAP, sided=True).as_json()).sided


def test_fees_of_a_fill_that_goes_through_nothing_are_parted_to_the_last_cent() -> None:
    text = "Date,Ticker,Quantity,Price,Fees,Currency\n2024-01-02,OAK,1,10,0,USD\n2024-01-03,OAK,-3,10,1,USD\n"
    told = read_under(text, replace(proposed(text), sided=True))
    assert [said(r) for r in told.records[1:]] == [
        "2024-01-03 sell OAK quantity=1 price=10 fees=0.333333 USD",
        "2024-01-03 short OAK quantity=2 price=10 fees=0.666667 USD",
    ]


def fills() -> tuple[Counter[str], dict[str, Decimal], Decimal]:
    """Of the shared fills: kinds, units by symbol, and the dollars that moved."""
    kinds, held, cash = Counter[str](), defaultdict[str, Decimal](Decimal), Decimal(0)
    for row in csv.DictReader(io.StringIO(gzip.decompress(FILLED.read_bytes()).decode())):
        units, before = int(row["amount"]), int(held[row["symbol"]])
        after = before + units
        if units > 0:
            kinds["cover"] += before < 0
            kinds["buy"] += after > 0
        else:
            kinds["sell"] += before > 0
            kinds["short"] += after < 0
        held[row["symbol"]] += units
        cash += Decimal(row["txn_dollars"])
    return kinds, dict(held), cash


@absent
@pytest.mark.shared
def test_the_shared_fills_add_up() -> None:
    kinds, units, cash = fills()
    told = read_under(text_of(FILLED.read_bytes()), ColumnMap(FILLS_MAP, currency="USD", sided=True))
    assert Counter(r.cells["kind"] for r in told.records if r.books) == kinds
    assert [n for r in told.records for n in r.lines] == list(range(2, 9369))
    sums = brokers.balances(told)
    assert dict(sums.units) == units
    assert abs(sums.cash["USD"] - cash) < Decimal("0.01")


def test_a_compressed_file_is_read_as_what_is_in_it() -> None:
    raw = (HERE / "brokers" / "trading212.csv").read_bytes()
    found, packed = brokers.read(raw), brokers.read(gzip.compress(raw))
    assert packed == found
    for broken in (gzip.compress(raw)[:-20], b"\x1f\x8b\x08 no archive", gzip.compress(raw)[:12] + b"\xff" * 40):
        assert brokers.detect(broken) is None
        with pytest.raises(NotReadable, match="broken or cut off"):
            text_of(broken)
    with pytest.raises(NotReadable, match="holds more than 64 MB"):
        text_of(gzip.compress(b"a" * (64 * 2**20 + 1)))


# --- detection ------------------------------------------------------------------------------------------------------


def test_our_own_csv_and_unknown_files_are_no_brokers() -> None:
    own = importing.TEMPLATE.encode()
    assert brokers.detect(own) is None
    assert brokers.read(own) is None
    for raw in (b"", b"\x00\x01\x02", b"PK\x03\x04\x00\x00", b"<html><body>Sign in</body></html>", b"a,b,c\n1,2,3\n"):
        assert brokers.detect(raw) is None


def test_a_format_is_registered_once_and_the_list_is_closed() -> None:
    with pytest.raises(ValueError, match="too late"):
        register(Format("late", "", "", lambda _: False, lambda _: brokers.Statement("", "", ())))
    with pytest.raises(TypeError):
        brokers.FORMATS["x"] = brokers.FORMATS["schwab"]  # type: ignore[index]
    with pytest.raises(ValueError, match="too late"):
        table_format("late", "", ("Date",), ColumnMap({"date": "Date"}))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_the_same_file_in_every_encoding_reads_the_same(encoding: str) -> None:
    text = (HERE / "brokers" / "trading212.csv").read_text(encoding="utf-8").replace("Sample Oak", "Größe £ Oak")
    found = brokers.read(text.encode(encoding))
    assert found is not None
    assert [said(r) for r in found.records] == [text for _, text in EXPECTED["trading212"]]
    assert any(r.cells.get("name") == "Größe £ Oak" for r in found.records)


# --- numbers, dates, cells ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1,234.56", ",", "1234.56"), ("1.234,56", ".", "1234.56"), ("1,234", ".", "1234"), ("1,234", ",", "1.234"),
        ("0,039", ".", "0.039"), ("1 757,95", ".", "1757.95"), ("1'234.5", ".", "1234.5"), ("(6.97)", ".", "-6.97"),
        ("-$1,259.59", ".", "-1259.59"), ("$-0.88", ".", "-0.88"), ("USD -0.09", ".", "-0.09"), ("€50", ",", "50"),
        ("5.00-", ".", "-5"), ("1.234.567", ",", "1234567"), ("-2.5E-4", ".", "-0.00025"), ("−3,5", ",", "-3.5"),
        ("12 %", ".", "12"), ("- ", ".", None), ("", ".", None),
    ],
)  # fmt: skip
def test_a_number_is_read_as_brokers_write_it(text: str, decimal: str, value: str | None) -> None:
    assert number("gross", text, decimal) == (Decimal(value) if value else None)


@pytest.mark.parametrize("text", ["abc", "1,2,3", "12a", "=1+1", "1.2.3", "<invalid>", "1,23.4,5", "NaN", "1e999", "٣"])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(LedgerError, match=r"fees .*a number such as"):
        number("fees", text)


@pytest.mark.parametrize(
    ("text", "order", "zone", "day"),
    [
        ("2024-02-03", "mdy", "", "2024-02-03"), ("02/03/2024", "dmy", "", "2024-03-02"),
        ("02/03/2024", "mdy", "", "2024-02-03"), ("20240203", "dmy", "", "2024-02-03"),
        ("3-Feb-2024", "dmy", "", "2024-02-03"), ("16-jan-2025", "dmy", "", "2025-01-16"),
        ("5 März 2024", "dmy", "", "2024-03-05"), ("Feb 3, 2024", "dmy", "", "2024-02-03"),
        ("2024-02-03T23:30:00-05:00", "dmy", "Europe/London", "2024-02-04"),
        ("2024-02-03T02:30:00Z", "dmy", "America/New_York", "2024-02-02"),
        ("2024-02-03T02:30:00Z", "dmy", "", "2024-02-03"), ("20240203;093000", "dmy", "", "2024-02-03"),
        ("03.02.2024 09:30", "dmy", "America/New_York", "2024-02-03"),
    ],
)  # fmt: skip
def test_a_date_is_the_day_of_its_zone(text: str, order: str, zone: str, day: str) -> None:
    assert moment("date", text, order, zone)[0] == date.fromisoformat(day)


@pytest.mark.parametrize("text", ["16/09/21", "2024-02-30", "13/13/2024", "not-a-date", "", "010.09.2024", "1/2"])
def test_what_is_no_date_is_refused_by_name(text: str) -> None:
    with pytest.raises(LedgerError, match="date"):
        moment("date", text)


# --- a map of the user's own ----------------------------------------------------------------------------------------

HOSTILE = (
    "Statement of a made-up bank\n"
    "Period: 2024\n"
    "\n"
    "Date,Trade Date,Side,Symbol,Quantity,Unit Price,Net Amount,Fee,Currency,Notes\n"
    ',2024-01-15,Bought,OAK,"50","$172.50","$8,625.99","$0.99",USD,"two\nlines"\n'
    ",01/16/2024,Buy,ELM,100,89.20,8920.99,0.99,USD,\n"
    ",2024-02-20,Sell,OAK,25,$185.00,4623.75,1.25,USD,first\n"
    ",2024-02-20,SOLD,OAK,25,$185.00,4623.75,1.25,USD,again\n"
    ",2024-03-05,Cash Deposit,,,,\"5,000.00\",,USD,\n"
    ",2024-03-10,DRIP,OAK,0.5,$200.00,$100.00,,USD,\n"
    ",2024-03-20,,OAK,,,,,USD,no word\n"
    ",2024-03-25,Stock Split,OAK,,,10:1,,USD,\n"
    ",2024-04-01,Forex,EURUSD,1000,1.10,,,USD,\n"
    ",2024-04-02,Buy,=HYPERLINK(1),1,1,1,,USD,\n"
    ",2024-04-03,Buy,OAK,abc,1,1,,USD,\n"
    ",never,Buy,OAK,1,1,1,,USD,\n"
    ",2024-04-04,Buy,OAK,1,1,1,,<x>,\n"
    ",2024-04-05,Deposit,,,,1,,USD,=2+3\n"
    ",2024-04-06,Buy,OAK,1,1,1,,USD,,beyond\n"
    "Total: $21,369.09,,,,,,,,\n"
    "*** End of statement ***\n"
)  # fmt: skip


def test_a_hostile_table_is_mapped_and_every_bad_row_says_why() -> None:
    found = read_under(HOSTILE, proposed(HOSTILE))
    assert [(r.line, said(r)) for r in found.records] == [
        (5, "2024-01-15 buy OAK quantity=50 price=172.5 gross=8625 fees=0.99 USD"),
        (7, "2024-01-16 buy ELM quantity=100 price=89.2 gross=8920 fees=0.99 USD"),
        (8, "2024-02-20 sell OAK quantity=25 price=185 gross=4625 fees=1.25 USD"),
        (9, "2024-02-20 sell OAK quantity=25 price=185 gross=4625 fees=1.25 USD"),
        (10, "2024-03-05 deposit gross=5000 USD"),
        (11, "2024-03-10 dividend OAK gross=100 USD"),
        (11, "2024-03-10 buy OAK quantity=0.5 price=200 gross=100 USD"),
        (12, "! kind"),
        (13, "2024-03-25 split OAK ratio=10 USD"),
        (14, "2024-04-01 fx_out gross=1100 USD"),
        (14, "2024-04-01 fx_in gross=1000 EUR"),
        (15, "! symbol"),
        (16, "! quantity"),
        (17, "! date"),
        (18, "! currency"),
        (19, "2024-04-05 deposit gross=1 USD"),
        (20, "! row"),
        (21, "-"),
        (22, "-"),
    ]
    assert found.records[0].lines == (5, 6)
    assert found.records[0].cells["note"] == "two lines"
    assert found.records[15].cells["note"] == "2+3"  # nothing that a spreadsheet would run
    assert [[r.line for r in pair] for pair in brokers.duplicates(found)] == [[8, 9]]
    table = sheet(HOSTILE, ",", 4)
    assert (len(table.preamble), len(table.rows), len(table.footers)) == (2, 17, 2)


TABLES = {
    "german": (
        "Buchungstag;Art;Wertpapier;ISIN;Stück;Kurs;Betrag;Gebühren;Währung\n"
        "15.01.2024;Kauf;Muster AG;DE0000000011;10;12,50;-125,00;1,50;EUR\n"
        "20.02.2024;Verkauf;Muster AG;DE0000000011;1.000;13,00;13.000,00;2,00;EUR\n"
        "21.02.2024;Zinsen;;;;;3,21;;EUR\n"
        "22.02.2024;Depotgebühr;;;;;-4,00;;EUR\n",
        ["2024-01-15 buy DE0000000011 quantity=10 price=12.5 gross=125 fees=1.5 EUR",
         "2024-02-20 sell DE0000000011 quantity=1000 price=13 gross=13000 fees=2 EUR",
         "2024-02-21 interest gross=3.21 EUR", "2024-02-22 fee gross=4 EUR"],
    ),
    "dutch": (
        "Datum;Transactie;Naam;ISIN;Aantal;Koers;Bedrag;Kosten;Valuta\n"
        "16-02-2024;Verkoop;Voorbeeld NV;NL0000000018;4;25,10;100,40;1,00;EUR\n"
        "15-01-2024;Koop;Voorbeeld NV;NL0000000018;5;20,00;-100,00;1,00;EUR\n"
        "14-01-2024;Storting;;;;;500,00;;EUR\n",
        ["2024-01-14 deposit gross=500 EUR",
         "2024-01-15 buy NL0000000018 quantity=5 price=20 gross=100 fees=1 EUR",
         "2024-02-16 sell NL0000000018 quantity=4 price=25.1 gross=100.4 fees=1 EUR"],
    ),
    "french": (
        "Relevé de compte\n"
        "Date d'opération;Date de valeur;Opération;ISIN;Libellé;Quantité;Cours;Montant;Frais;Devise\n"
        '15/01/2024;17/01/2024;Achat;US0000000017;Exemple SA;25;172,50;"4.312,50";0,99;EUR\n'
        "05/03/2024;07/03/2024;Prélèvement;;;;;\"-1.200,00\";;EUR\n"
        'Total mouvements: "3.112,50"\n',
        ["2024-01-15 buy US0000000017 quantity=25 price=172.5 gross=4312.5 fees=0.99 EUR",
         "2024-03-05 withdrawal gross=1200 EUR", "-"],
    ),
    "signs only": (
        "Date\tTicker\tShares\tPrice\tAmount\tCurrency\n"
        "2024-01-15\tOAK\t10\t5.00\t-50.00\tUSD\n"
        "2024-01-16\tOAK\t-4\t6.00\t24.00\tUSD\n"
        "2024-01-17\t\t\t\t-9.00\tUSD\n",
        ["2024-01-15 buy OAK quantity=10 price=5 gross=50 USD",
         "2024-01-16 sell OAK quantity=4 price=6 gross=24 USD", "2024-01-17 withdrawal gross=9 USD"],
    ),
    "pence": (
        "Date,Type,Ticker,Quantity,Price,Currency\n2024-01-15,Buy,BRIT,10,250,GBX\n",
        ["2024-01-15 buy BRIT quantity=10 price=2.5 GBP"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_the_usual_languages_is_mapped_by_itself(name: str) -> None:
    text, expected = TABLES[name]
    found = read_under(text, proposed(text))
    assert [said(r) for r in found.records] == expected


def test_a_map_goes_to_json_and_back_and_says_what_is_wrong_with_it() -> None:
    text = TABLES["german"][0]
    used = proposed(text)
    assert ColumnMap.from_json(used.as_json()) == used
    mine = ColumnMap.from_json(used.as_json() | {"kinds": {"Kauf": "skip: tried out", "*": "interest"}})
    assert said(read_under(text, mine).records[0]) == "-"
    for wrong, field in (
        ({}, "columns"),
        ({"columns": {"price": "Kurs"}}, "columns"),
        ({"columns": {"date": "Datum", "colour": "x"}}, "columns"),
        ({"columns": {"date": 3}}, "columns"),
        ({"columns": {"date": "Datum"}, "dates": "ymd"}, "dates"),
        ({"columns": {"date": "Datum"}, "decimal": ";"}, "decimal"),
        ({"columns": {"date": "Datum"}, "header_line": 0}, "header_line"),
        ({"columns": {"date": "Datum"}, "kinds": {"Kauf": "purchase"}}, "kinds"),
        ({"columns": {"date": "Datum"}, "signed": "yes"}, "signed"),
        ({"columns": {"date": "Datum"}, "secret": 1}, "map"),
    ):
        with pytest.raises(LedgerError) as e:
            ColumnMap.from_json(wrong)
        assert e.value.field == field
    with pytest.raises(NotReadable, match="no column 'Betrag'"):
        read_under(
            "Buchungstag;Art\n15.01.2024;Kauf\n", ColumnMap({"date": "Buchungstag", "gross": "Betrag"}, delimiter=";")
        )
    for text in ("", "one line", "a,b\n1,2\n", "<html><table><tr><td>Date</td></tr></table></html>"):
        with pytest.raises(NotReadable, match="header"):
            proposed(text)


def test_a_rate_of_its_own_is_kept_only_for_a_portfolio_in_that_currency() -> None:
    found = brokers.read((HERE / "brokers" / "trading212.csv").read_bytes())
    assert found is not None
    same = brokers.settled_in(found, "EUR")
    assert [said(r) for r in same.records] == [text for _, text in EXPECTED["trading212"]]
    other = brokers.settled_in(found, "USD")
    assert [said(r) for r in other.records][:4] == [
        "2024-01-02 deposit gross=500 EUR",
        "2024-01-03 fx_out gross=182.09 EUR",
        "2024-01-03 fx_in gross=200.3 USD",
        "2024-01-03 buy OAK quantity=4 price=50 fees=0.3 USD",
    ]
    # in euros what the account's statement says, in every other currency nothing is left
    assert {c: round(v, 2) for c, v in brokers.balances(other).cash.items()} == {"EUR": Decimal("290.40")}
    unnamed = brokers.read((HERE / "brokers" / "xtb.csv").read_bytes())
    assert unnamed is not None
    booked = [r for r in brokers.settled_in(unnamed, "PLN").records if r.books]
    assert {r.cells.get("currency", "") for r in booked if r.cells["kind"] not in ("buy", "sell")} == {"PLN"}


# --- hostile bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inside",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    ],
)
def test_an_xml_file_with_a_document_type_is_refused(inside: str) -> None:
    raw = f"<?xml version='1.0'?>\n{inside}\n<FlexQueryResponse><FlexStatements/></FlexQueryResponse>".encode()
    with pytest.raises(NotReadable, match="document type"):
        brokers.read(raw)


def test_a_truncated_xml_file_says_where_it_ends() -> None:
    raw = (HERE / "brokers" / "ibkr_flex_xml.xml").read_bytes()[:2000]
    with pytest.raises(NotReadable, match=r"in line \d+"):
        brokers.read(raw)
    with pytest.raises(NotReadable, match="deep"):
        brokers.read(b"<FlexQueryResponse>" + b"<a>" * 5000)


def test_a_huge_cell_is_an_error_of_its_row_and_loses_no_line() -> None:
    text = TABLES["pence"][0] + f"2024-01-16,Buy,{'A' * 200_000},1,1,USD\n2024-01-17,Buy,OAK,1,1,USD\n"
    found = read_under(text, ColumnMap.from_json(proposed(TABLES["pence"][0]).as_json()))
    assert [(r.lines, said(r)[:6]) for r in found.records] == [((2,), "2024-0"), ((3, 4), "! row")]


def checked(raw: bytes) -> None:
    """Reading gives None, a file-wide reason, or a statement in which no line is twice: never anything else."""
    try:
        found = brokers.read(raw)
    except NotReadable:
        return
    for r in found.records if found else ():
        assert r.books or r.skipped or r.error
        if r.books:
            for name in ("quantity", "price", "gross", "fees", "taxes", "fx"):
                importing.number(name, r.cells.get(name, ""))
            importing.day("date", r.cells["date"])
    lines = [n for r in found.records for n in r.lines] if found else []
    assert len(lines) == len(set(lines))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
@example(b"\xff\xfe\x00")
@example(b"\xef\xbb\xbf")
def test_no_bytes_crash_it(raw: bytes) -> None:
    checked(raw)
    with contextlib.suppress(NotReadable):
        text = text_of(raw)
        read_under(text, proposed(text))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_damaged_export_crashes_it(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([p.read_text(encoding="utf-8") for p in SAMPLES] + [HOSTILE]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 30))
        new = data.draw(
            st.sampled_from(
                ['"', ",", ";", "\n", "\r", "=1+1", "9" * 40, "1e99", "-", "(", "<", "é", "\x0c", "\u2028", "0"]
            )
        )
        text = text[:at] + new + text[at + cut :]
    checked(text.encode(data.draw(st.sampled_from(["utf-8", "utf-16", "cp1252"])), errors="replace"))
    with contextlib.suppress(NotReadable):
        read_under(text, proposed(text))
