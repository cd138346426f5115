"""Column maps: what a table of transactions calls our columns, how it writes dates and amounts, what its words mean.

A broker's format is a map plus small functions for what a map cannot say: `prepare` changes the texts of one row
before they are read (an action hidden in a description), `group` puts records together (a dividend and its tax).
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from core.brokers import words
from core.brokers.registry import CELLS, Format, Record, Statement, register
from core.brokers.sheet import (
    DELIMITERS,
    LOOK_AHEAD,
    Row,
    Sheet,
    first_rows,
    has_header,
    moment,
    number,
    plain,
    sheet,
)
from core.importing import NotReadable
from core.ledger import BOOKABLE, INTO, TRADES, LedgerError, sides
from core.money import MINOR_QUOTES, posted
from core.ratio import LONGEST, PAIR, read_ratio, times

# beside the ledger's kinds, what a map may answer for a word: the sign decides
RULES = {
    "trade": "buy or sell, by the sign of the quantity or of the amount",
    "transfer": "deposit or withdrawal, by the sign of the amount",
    "move": "transfer_in or transfer_out of cash, by the sign of the amount",
    "units": "transfer_in or transfer_out of units, by the sign of the quantity",
    "fx": "fx_out and fx_in, of a pair such as EURUSD",
    "conversion": "fx_out or fx_in, by the sign of the amount",
    "reinvest": "a dividend and a purchase of the same amount",
}
SKIP = "skip: "
MEANINGS = frozenset({*BOOKABLE, *RULES})
INCOME = frozenset({"dividend", "interest", "return_of_capital"})
COSTS = frozenset({"fee", "tax"})
# cells of free text: how many characters of each are kept
TEXTS = {"name": 120, "note": 500, "reference": 120, "account": 60, "lots": 500, "counterparty": 120}
SIDES = INTO
FLIPPED = {"deposit": "withdrawal", "withdrawal": "deposit", "transfer_in": "transfer_out", "fx_in": "fx_out"}
FLIPPED |= {"transfer_out": "transfer_in", "fx_out": "fx_in"}
MAPPED = tuple(c for c in CELLS if c not in ("time", "units_added"))

Values = dict[str, str]
WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)  # for the quantities of hostile files


class NothingToBook(Exception):
    """A row that is read and books nothing, with the reason in words."""


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """How to read a table. `columns` maps our column to the header in the file; the rest says how cells are written.

    `kinds`: the file's word for a transaction → a kind of ours, one of RULES, or "skip: reason"; a word that ends in
    * stands for all that begin so. Without a column for the kind, the signs decide. `dates` "dmy" or "mdy", `decimal`
    "." or ",": asked where a cell has two meanings, so a thousands separator needs no entry of its own. `zone`: where
    the trade date of a timestamp with an offset is taken. `signed`: a negative amount is money that went out.
    `net`: the amount is after fees and taxes. `implied_fees`: what the amount has beyond quantity × price is a fee.
    `currency` for tables without such a column. `sided`: fills that only say bought or sold, of an account that goes
    short: what is held by then in this file, from nothing, tells a sale from a short and a purchase from a cover.
    """

    columns: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    dates: str = "dmy"
    decimal: str = "."
    zone: str = ""
    delimiter: str = ","
    header_line: int = 1
    signed: bool = True
    net: bool = False
    implied_fees: bool = False
    currency: str = ""
    sided: bool = False

    def __post_init__(self) -> None:
        """Raises LedgerError naming what is wrong, so that a map from a form or a file is checked in one place."""
        for ours in self.columns:
            if ours not in MAPPED:
                raise LedgerError("columns", ours, f"expected one of {', '.join(MAPPED)}")
        if "date" not in self.columns:
            raise LedgerError("columns", None, "the date's column is needed")
        for word, meaning in self.kinds.items():
            if meaning not in MEANINGS and not meaning.startswith(SKIP):
                expected = f"expected one of {', '.join(sorted(MEANINGS))}, or skip: and a reason"
                raise LedgerError("kinds", f"{word}: {meaning}", expected)
        for name, allowed in (("dates", ("dmy", "mdy")), ("decimal", (".", ",")), ("delimiter", tuple(DELIMITERS))):
            if getattr(self, name) not in allowed:
                raise LedgerError(name, repr(getattr(self, name)), f"expected one of {' '.join(map(repr, allowed))}")
        if not isinstance(self.header_line, int) or self.header_line < 1:
            raise LedgerError("header_line", self.header_line, "the number of a line, from 1, is needed")

    def as_json(self) -> dict[str, Any]:
        """The map as JSON carries it; `from_json` reads it back."""
        stored = {name: getattr(self, name) for name in self.__slots__}
        return stored | {"columns": dict(self.columns), "kinds": dict(self.kinds)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ColumnMap:
        """A map from JSON. Raises LedgerError naming what is wrong."""
        if not isinstance(stored, Mapping) or not isinstance(stored.get("columns"), Mapping):
            raise LedgerError("columns", None, "a map of our columns to the headers of the file is needed")
        for name, value in stored.items():
            if name not in cls.__slots__:
                raise LedgerError("map", name, f"expected only {', '.join(cls.__slots__)}")
            wanted: type = {"columns": Mapping, "kinds": Mapping, "header_line": int}.get(name, str)
            wanted = bool if name in ("signed", "net", "implied_fees", "sided") else wanted
            if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
                raise LedgerError(name, value, f"a {wanted.__name__.lower()} is needed")
            if isinstance(value, Mapping) and not all(
                isinstance(k, str) and isinstance(v, str) for k, v in value.items()
            ):
                raise LedgerError(name, value, "texts are needed on both sides")
        return cls(**stored)

    def meaning(self, word: str) -> str:
        """What a word for a transaction means under this map. Raises LedgerError on an unknown one."""
        key = " ".join(word.split()).casefold()
        best = ""
        for known, meaning in self.kinds.items():
            known = known.casefold()
            if known == key:
                return meaning
            if known.endswith("*") and key.startswith(known[:-1]) and len(known) > len(best):
                best, found = known, meaning
        if best:
            return found
        ours = words.bare(word).replace(" ", "_")
        if ours in MEANINGS - RULES.keys():
            return ours
        if not word:
            raise LedgerError("kind", None, "the row does not say what it is (a buy, a dividend, …)")
        raise LedgerError("kind", word[:80], "no kind of transaction is known under this word; map it to one")


Prepare = Callable[[Values, Row], None]
Group = Callable[[list[Record]], list[Record]]


def read(text: str, column_map: ColumnMap) -> Statement:
    """A table under a map of the user's own. Raises NotReadable where the header is missing."""
    table = sheet(text, column_map.delimiter, column_map.header_line)
    missing = [theirs for theirs in column_map.columns.values() if theirs not in table.columns]
    if missing:
        raise NotReadable(
            f"line {column_map.header_line} has no column {missing[0]!r}; it has {', '.join(table.columns[:20])}"
        )
    return statement(table, column_map, "", "Own column map")


def table_format(
    name: str,
    title: str,
    needed: tuple[str, ...],
    column_map: ColumnMap,
    prepare: Prepare | None = None,
    group: Group | None = None,
    notes: tuple[str, ...] = (),
    *,
    without: tuple[str, ...] = (),
) -> Format:
    """Register a broker's table: recognised by a header line with all of `needed` and none of `without`.

    The map's own columns need not all be there: an older or newer export of the same broker has fewer or more.
    """

    def matches(text: str) -> bool:
        return has_header(text, *needed) is not None and not (without and has_header(text, *without))

    def read_table(text: str) -> Statement:
        line, delimiter = has_header(text, *needed) or (0, ",")
        table = sheet(text, delimiter, line)
        return statement(
            table, replace(column_map, header_line=line, delimiter=delimiter), name, title, prepare, group, notes
        )

    return register(Format(name, title, "a header with " + ", ".join(needed), matches, read_table))


def statement(
    table: Sheet,
    column_map: ColumnMap,
    broker: str,
    title: str,
    prepare: Prepare | None = None,
    group: Group | None = None,
    notes: tuple[str, ...] = (),
) -> Statement:
    """The rows of a table as records, grouped and oldest first."""
    records = [r for row in table.rows for r in row_records(table, row, column_map, prepare)]
    records = in_order(records)
    if column_map.sided:
        records = with_sides(records)
    accounts = dict.fromkeys(a for r in records if (a := r.cells.get("account")))
    if len(accounts) > 1:
        notes = (*notes, f"The file holds {len(accounts)} accounts: {', '.join(accounts)}.")
    return Statement(broker, title, tuple(group(records) if group else records), notes)


def row_records(table: Sheet, row: Row, m: ColumnMap, prepare: Prepare | None = None) -> list[Record]:
    """What one row says: one record, two for a conversion or a reinvestment."""
    line = row.lines[0]
    if row.broken:
        return [Record(line, row.lines, {}, "", LedgerError("row", f"line {line}", row.broken))]
    values = {ours: row.cells.get(theirs, "") for ours, theirs in m.columns.items()}
    if table.is_text(row):
        return [Record(line, row.lines, {"note": text_cell(row.filled[0])}, "a line of text, not a transaction")]
    if any(row.beyond):
        expected = f"the header has {len(table.columns)} columns; text with a {m.delimiter} in it must be quoted"
        error = LedgerError("row", f"with {len(table.columns) + len(row.beyond)} cells", expected)
        return [Record(line, row.lines, raw(values, m), "", error)]
    try:
        if prepare:
            prepare(values, row)
        every = normal(values, m)
    except NothingToBook as reason:
        return [Record(line, row.lines, raw(values, m), str(reason))]
    except LedgerError as e:
        return [Record(line, row.lines, raw(values, m), "", e)]
    except ArithmeticError:
        expected = "its numbers are too large or too small to be of one transaction"
        return [Record(line, row.lines, raw(values, m), "", LedgerError("row", f"line {line}", expected))]
    first = [Record(line, row.lines, every[0])]
    return first + [Record(line, (), cells) for cells in every[1:]]


def raw(values: Mapping[str, str], m: ColumnMap) -> dict[str, str]:
    """The cells of a row that books nothing: as in the file, the date as ours where it can be read."""
    cells = {name: text for name in CELLS if (text := values.get(name, ""))}
    try:
        day, time = moment("date", cells.get("date", ""), m.dates, m.zone)
        cells["date"] = day.isoformat()
        if time:
            cells["time"] = time
    except LedgerError:
        pass
    return cells


def text_cell(text: str, size: int = 500) -> str:
    """Free text as one line, without what a spreadsheet would run as a formula."""
    line = " ".join(text.split()).lstrip("=+@|")[:size].strip()
    return "" if line == "-" else line


_SYMBOL = re.compile(r"[\w^][\w .:/^&$*#+'-]{0,59}")


def symbol_cell(text: str, name: str = "symbol") -> str:
    """A symbol in capitals. Raises LedgerError on what cannot be one."""
    if text and not _SYMBOL.fullmatch(text):
        raise LedgerError(name, text[:60], "a symbol such as MSFT is needed")
    return text.upper()


def isin_cell(text: str) -> str:
    """An ISIN in capitals, "" where the text is none (a CUSIP, a national number)."""
    return text.upper() if ISIN.fullmatch(text.upper()) else ""


def currency_cell(text: str, name: str = "currency") -> tuple[str, Decimal]:
    """(ISO code, factor): pence and the like are hundredths of their currency. Raises LedgerError."""
    if text in MINOR_QUOTES:
        return MINOR_QUOTES[text], Decimal("0.01")
    if text and not re.fullmatch(r"[A-Za-z]{3}", text, re.ASCII):
        raise LedgerError(name, text[:60], "an ISO code such as USD or EUR is needed")
    code = text.upper()
    return (MINOR_QUOTES[code], Decimal("0.01")) if code in MINOR_QUOTES else (code, Decimal(1))


NUMBERS = ("quantity", "price", "gross", "fees", "taxes", "fx", "fraction", "basis", "units_added")


def normal(values: Mapping[str, str], m: ColumnMap) -> list[dict[str, str]]:
    """The texts of one row as our cells. Raises LedgerError, or NothingToBook with the reason.

    `prepare` may leave texts for any of our columns in `values`, and `fees_currency` and `rebate` (see `apart`).
    """
    word = values.get("kind", "")
    meaning = m.meaning(word) if "kind" in m.columns or word else ""
    if meaning.startswith(SKIP):
        raise NothingToBook(meaning.removeprefix(SKIP))
    day, time = moment("date", values.get("date", ""), m.dates, m.zone)
    currency, factor = currency_cell(values.get("currency", "") or m.currency)
    split_text = next((values[c] for c in ("ratio", "gross", "quantity", "note") if split_ratio(values.get(c, ""))), "")
    found = {
        name: number(name, values.get(name, ""), m.decimal)
        for name in NUMBERS
        if not (meaning == "split" and split_text and values.get(name, "") == split_text)
    }
    for name in ("price", "gross", "fees", "taxes"):
        if (value := found.get(name)) is not None:
            found[name] = value * factor
    meaning = meaning or ("trade" if found["quantity"] else "transfer")
    kind = by_sign(meaning, found, m.signed)
    cells: dict[str, str] = {"date": day.isoformat(), "time": time, "kind": kind}
    cells["symbol"] = symbol_cell(values.get("symbol", ""))
    cells["into"] = symbol_cell(values.get("into", ""), "into")
    cells["exchange"] = symbol_cell(values.get("exchange", ""), "exchange") if values.get("exchange") else ""
    cells["isin"] = isin_cell(values.get("isin", ""))
    cells["currency"] = currency
    cells["cash_currency"] = currency_cell(values.get("cash_currency", ""), "cash_currency")[0]
    for name, size in TEXTS.items():
        cells[name] = text_cell(values.get(name, ""), size)
    for name in ("settlement", "acquired"):
        if values.get(name, "").strip() not in ("", "-"):
            cells[name] = moment(name, values[name], m.dates, "")[0].isoformat()
    if cells.get("settlement", cells["date"]) < cells["date"]:
        cells["settlement"] = ""  # a value date of the bank, not the day of settlement
    costs = apart(cells, values, found, m)
    if kind == "fx":
        return [*conversion(cells, found), *costs]
    if kind == "split":
        ratio = split_ratio(split_text) or ratio_cell(values, m)
        return [filled(cells, ratio=ratio, units_added=found.get("units_added"))]
    money(kind, found, m, currency)
    cells["ratio"] = ratio_cell(values, m)
    if kind == "reinvest":
        found["gross"] = abs(found["gross"] or Decimal(0)) or None
        income = filled(cells, kind="dividend", gross=found["gross"])
        return [income, filled(cells, kind="buy", **found), *costs]
    if kind in TRADES and found["quantity"] is None:
        raise LedgerError("quantity", None, f"a {kind} needs its number of units")
    if kind in TRADES and not found["quantity"]:
        raise LedgerError("quantity", 0, f"a {kind} of no units moves nothing")
    if kind not in TRADES and not found["quantity"] and not found["gross"] and kind in (*INCOME, *COSTS, *FLIPPED):
        if found["gross"] is None and not (found["quantity"] and found["price"]):
            raise LedgerError("gross", None, f"a {kind} needs its amount")
        raise NothingToBook("the amount is zero")
    if kind in INCOME and found["gross"] is not None:
        found["quantity"] = found["price"] = None  # the amount is what was paid; a price per unit is rounded
    return [filled(cells, **found), *costs]


def apart(
    cells: Mapping[str, str], values: Mapping[str, str], found: dict[str, Decimal | None], m: ColumnMap
) -> list[dict[str, str]]:
    """Costs that are no part of the trade, as fees of their own: in another currency (`fees_currency`), or a `rebate`."""
    own = {name: cells.get(name, "") for name in ("date", "time", "symbol", "exchange", "isin", "name", "account")}
    own |= {
        "kind": "fee",
        "currency": cells["currency"],
        "note": f"for {values.get('reference', '')}".removesuffix("for "),
    }
    made = []
    if cells["kind"] == "fx":
        own["symbol"] = ""
    charged = currency_cell(values.get("fees_currency", ""), "fees_currency")[0]
    if charged and charged != cells["currency"] and found["fees"]:
        made.append(filled(own, currency=charged, gross=abs(found["fees"])))
        found["fees"] = None
    if rebate := number("fees", values.get("rebate", ""), m.decimal):
        made.append(filled(own, currency=charged or cells["currency"], gross=-abs(rebate)))
    return made


ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")


def by_sign(meaning: str, found: Mapping[str, Decimal | None], signed: bool) -> str:
    """The kind that a meaning has for these numbers. Raises LedgerError where word and sign disagree."""
    quantity, amount = found.get("quantity"), found.get("gross")
    if meaning == "trade":
        if quantity is None:
            raise LedgerError("quantity", None, "a purchase or sale needs its number of units")
        sold = quantity < 0 or (quantity > 0 and amount is not None and amount > 0 and signed)
        return "sell" if sold else "buy"
    if meaning in ("transfer", "move", "conversion"):
        into, out = {"transfer": ("deposit", "withdrawal"), "move": ("transfer_in", "transfer_out")}.get(
            meaning, ("fx_in", "fx_out")
        )
        return out if amount is not None and amount < 0 else into
    if meaning == "units":
        return "transfer_out" if quantity is not None and quantity < 0 else "transfer_in"
    if signed and meaning in ("deposit", "withdrawal") and amount is not None:
        return meaning if (amount < 0) == (meaning == "withdrawal") or not amount else FLIPPED[meaning]
    if meaning in ("buy", "cover") and quantity is not None and quantity < 0:
        raise LedgerError("quantity", quantity, f"a {meaning} of a negative number of units: is it a cancellation?")
    return meaning


def money(kind: str, found: dict[str, Decimal | None], m: ColumnMap, currency: str) -> None:
    """Amounts as a Draft wants them, in place: positive, fees and taxes beside the gross amount."""
    quantity, price, amount = found["quantity"], found["price"], found["gross"]
    fees = abs(found["fees"] or Decimal(0))
    taxes = found["taxes"] or Decimal(0)
    out = kind in ("buy", "cover", "withdrawal", "transfer_out", "fx_out")
    if kind in SIDES:
        pass  # the sign says which side of the exchange this row is
    elif kind not in COSTS | INCOME:
        found["quantity"] = abs(quantity) if quantity is not None else None
        amount = abs(amount) if amount is not None else None
    elif kind in COSTS and amount is not None and m.signed:
        amount = -amount
    if amount is not None and m.net and (fees or taxes):
        amount = amount - fees - taxes if out else amount + fees + taxes
    if kind in TRADES and quantity and price is not None and amount is not None and m.implied_fees and not fees:
        product = posted(abs(quantity) * price, currency)
        over = (amount - product) if out else (product - amount)
        if over > abs(quantity) * unit_in_last_place(price) / 2 + Decimal("0.005"):
            fees, amount = over, product
    found["gross"], found["fees"], found["taxes"] = amount, fees or None, taxes or None
    if kind in TRADES and quantity and price == 0 and not amount:
        found["gross"] = None


def unit_in_last_place(price: Decimal) -> Decimal:
    """One unit of the last decimal that a price is written with, at most a cent."""
    return min(Decimal(1).scaleb(int(price.as_tuple().exponent)), Decimal("0.01"))


Cell = str | Decimal | Fraction | None


def filled(cells: Mapping[str, str], **changes: Cell) -> dict[str, str]:
    """The cells with these changes, in our order, without the empty ones."""
    every = {**cells, **{name: _written(name, value) for name, value in changes.items()}}
    return {name: every[name] for name in CELLS if every.get(name)}


def _written(name: str, value: Cell) -> str:
    if isinstance(value, Fraction):
        return str(value)
    return plain(fitted(name, value)) if isinstance(value, Decimal) else value or ""


def fitted(name: str, value: Decimal) -> Decimal:
    """A number with the decimals that the ledger keeps: six of money, ten of anything else, rounded half-even."""
    step = Decimal(1).scaleb(-6 if name in ("gross", "fees", "taxes", "basis") else -10)
    return value if value == value.to_integral_value() else value.quantize(step, context=WIDE)


def split_ratio(text: str) -> Fraction | None:
    """New units for old ones, of 4:1, 4/1 or 4-for-1; None where a text says none."""
    found = PAIR.search(text)
    if not found or len(found[0]) > LONGEST or not Decimal(found[2]) or not Decimal(found[1]):
        return None
    return as_ratio(Decimal(found[1]), Decimal(found[2]))


def ratio_cell(values: Mapping[str, str], m: ColumnMap) -> str:
    """The ratio in its own column: two numbers, or one, which stays as the file has it. Raises LedgerError."""
    text = values.get("ratio", "")
    if found := split_ratio(text):
        return str(found)
    value = number("ratio", text, m.decimal)
    return plain(value) if value else ""


def as_ratio(new: Decimal, old: Decimal) -> Fraction:
    """The ratio of what came in to what went out, as a file states the units: 10 for 30 are 1:3."""
    return Fraction(new) / Fraction(old)


def ratio_of(record: Record) -> Fraction | None:
    """The ratio in a record's cells; None where there is none that can be booked."""
    try:
        return read_ratio(record.cells.get("ratio", ""))
    except LedgerError:
        return None


def rate_of(what: Decimal, of: Decimal) -> Decimal:
    """what / of with ten decimals, as the ledger keeps rates."""
    return WIDE.divide(what, of).quantize(Decimal(1).scaleb(-10), context=WIDE)


def conversion(cells: Mapping[str, str], found: Mapping[str, Decimal | None]) -> list[dict[str, str]]:
    """A conversion of a pair such as EURUSD: the quantity is of the first currency, positive where it was bought."""
    pair = re.fullmatch(r"([A-Z]{3})[./ ]?([A-Z]{3})(=X)?", cells.get("symbol", ""))
    quantity, price, amount = found["quantity"], found["price"], found["gross"]
    if not pair:
        raise LedgerError("symbol", cells.get("symbol"), "a conversion needs its pair, such as EURUSD")
    if not quantity or not (price or amount):
        raise LedgerError("quantity", quantity, "a conversion needs the amount of the first currency and a rate")
    other = abs(amount) if amount else abs(quantity) * (price or Decimal(0))
    first = {**cells, "symbol": "", "currency": pair[1]}, abs(quantity)
    second = {**cells, "symbol": "", "currency": pair[2]}, other
    sold, bought = (second, first) if quantity > 0 else (first, second)
    legs = [
        filled(sold[0], kind="fx_out", gross=sold[1]),
        filled(bought[0], kind="fx_in", gross=bought[1]),
    ]
    if found.get("fees"):
        legs.append(filled({**cells, "symbol": ""}, kind="fee", gross=abs(found["fees"] or Decimal(0))))
    return legs


# --- what brokers' modules put records together with ----------------------------------------------------------------


def amount_of(record: Record, name: str) -> Decimal:
    """A number of a record's cells, 0 where there is none."""
    return Decimal(record.cells.get(name) or 0)


_ISO = re.compile(r"\d{4}-\d\d-\d\d")


def direction(texts: list[str]) -> int:
    """Above 0 where more steps go up than down, below 0 where more go down."""
    return sum((a < b) - (a > b) for a, b in pairwise(texts))


def in_order(records: Iterable[Record]) -> list[Record]:
    """Oldest first, stably: a file that runs newest first is turned round, so that a day's events come as they happened.

    A record without a date stays where it stands in the file. Times count only where every dated record has one.
    """
    every = list(records)
    dates = [d for r in every if _ISO.fullmatch(d := r.cells.get("date", ""))]
    timed = all(r.cells.get("time") for r in every if _ISO.fullmatch(r.cells.get("date", "")))
    drift = direction(dates)
    if timed and not drift:
        drift = direction([r.cells.get("date", "") + r.cells["time"] for r in every if r.cells.get("time")])
    if drift < 0:
        packs: list[list[Record]] = []
        for record in every:  # the bookings of one line stay together
            packs.append([record]) if record.lines or not packs else packs[-1].append(record)
        every = [r for pack in reversed(packs) for r in pack]
    keyed, last = [], ("", "")
    for record in every:
        date = record.cells.get("date", "")
        if _ISO.fullmatch(date):
            last = (date, record.cells.get("time", "") if timed else "")
        keyed.append((last, record))
    return [record for _, record in sorted(keyed, key=lambda pair: pair[0])]


def joined(record: Record, others: Iterable[Record], **changes: Cell) -> Record:
    """A record that takes the lines of others in, with these cells changed."""
    lines = sorted({*record.lines, *(n for other in others for n in other.lines)})
    return replace(record, lines=tuple(lines), cells=filled(record.cells, **changes))


def with_taxes(records: list[Record], key: Callable[[Record], Hashable | None], *, fees: bool = False) -> list[Record]:
    """Taxes (and with `fees` fees) put into the dividend with the same key and currency, the first to the first.

    Only what was taken from the dividend: a refund, or a tax larger than what is left of it, stays by itself.
    """
    out: list[Record | None] = list(records)
    for wanted, column in (("tax", "taxes"), ("fee", "fees")) if fees else (("tax", "taxes"),):
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for i, r in enumerate(out):
            if (
                r
                and r.books
                and r.cells.get("kind") == "dividend"
                and column not in r.cells
                and (k := key(r)) is not None
            ):
                waiting[k, r.cells.get("currency")].append(i)
        for i, r in enumerate(records):
            if not (r.books and r.cells.get("kind") == wanted and r.lines and (k := key(r)) is not None):
                continue
            taken, open_ = amount_of(r, "gross"), waiting[k, r.cells.get("currency")]
            for at in open_ if taken > 0 else ():
                into = out[at]
                if into is not None and taken <= amount_of(into, "gross"):
                    out[at], out[i] = joined(into, [r], **{column: taken}), None
                    open_.remove(at)
                    break
    return [r for r in out if r is not None]


def with_ratios(records: list[Record]) -> list[Record]:
    """Splits of which a file says only how many units were added: the ratio, where the file has the whole holding.

    A ratio that is no simple one (up to 1000:1, 1:1000, such as 3:2) shows that the file does not begin at the
    beginning: then the record keeps `units_added` and an error.
    """
    held: dict[str, Decimal] = defaultdict(Decimal)
    out = []
    for r in records:
        key = r.cells.get("isin") or r.cells.get("symbol", "")
        kind, quantity = r.cells.get("kind"), amount_of(r, "quantity") if r.books else Decimal(0)
        if kind == "split" and r.books and "ratio" not in r.cells:
            before, added = held[key], amount_of(r, "units_added")
            ratio = simple_ratio(before + added, before) if before > 0 else None
            if ratio is None:
                expected = "the file gives the units added by the split, not its ratio (4 for 4:1); give the ratio"
                r = replace(r, error=LedgerError("ratio", None, expected))
            else:
                held[key] = before + added
                r = replace(r, cells=filled(r.cells, ratio=ratio))
        elif kind == "split" and r.books:
            held[key] = times(held[key], ratio_of(r) or Fraction(1))
        elif kind in ("buy", "cover", "transfer_in"):
            held[key] += quantity
        elif kind in ("sell", "short", "transfer_out"):
            held[key] -= quantity
        out.append(r)
    return out


def with_sides(records: list[Record]) -> list[Record]:
    """Purchases and sales as what they are to the units held by then: one that goes through nothing becomes two bookings.

    Nothing is held before the first record. Amount, fees and taxes are parted by the units.
    """
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    out = []
    for r in records:
        key = r.cells.get("account", ""), r.cells.get("isin") or r.cells.get("symbol", "")
        kind, quantity = r.cells.get("kind", ""), amount_of(r, "quantity") if r.books else Decimal(0)
        if not quantity or kind not in (*TRADES, "transfer_in", "transfer_out"):
            if kind == "split" and r.books:
                held[key] = times(held[key], ratio_of(r) or Fraction(1))
            out.append(r)
            continue
        units = quantity if kind in ("buy", "cover", "transfer_in") else -quantity
        before, held[key] = held[key], held[key] + units
        if kind not in ("buy", "sell"):
            out.append(r)
            continue
        rest = {n: amount_of(r, n) for n in ("gross", "fees", "taxes") if r.cells.get(n)}
        parts = sides(before, units)
        for i, (side, part) in enumerate(parts):
            last = i == len(parts) - 1
            own = {n: v if last else fitted(n, WIDE.divide(v * part, quantity)) for n, v in rest.items()}
            rest = {n: rest[n] - own[n] for n in rest}
            cells = filled(r.cells, kind=side, quantity=part, **own)
            out.append(replace(r, lines=r.lines if not i else (), cells=cells))
    return out


def simple_ratio(new: Decimal, old: Decimal) -> Fraction | None:
    """new / old where it is a ratio of small whole numbers (to the rounding of fractional units), else None.

    Small: one of them up to 10, the other up to 1000.
    """
    exact = as_ratio(new, old)
    for small in range(1, 11):
        for ratio in (Fraction(round(exact * small), small), Fraction(small, round(small / exact) or 1) if exact > 0 else None):
            if ratio and max(ratio.as_integer_ratio()) <= 1000 and abs(ratio - exact) * Fraction(old) <= Fraction(1, 100_000):
                return ratio
    return None


def in_cash(cells: Mapping[str, str], total: Decimal, cash_currency: str) -> dict[str, str]:
    """A trade or dividend whose cash, `total` (positive), moved in another currency than the price's: sets its `fx`.

    fx = total / (gross ± fees − taxes), each rounded as the ledger posts them, so that the posted cash is the total.
    """
    currency = cells.get("currency", "")
    if not cash_currency or currency == cash_currency:
        return filled(cells, cash_currency="")
    gross = Decimal(cells.get("gross") or 0) or Decimal(cells.get("quantity") or 0) * Decimal(cells.get("price") or 0)
    costs = [posted(Decimal(cells.get(name) or 0), currency) for name in ("fees", "taxes")]
    out = cells.get("kind") in ("buy", "cover")
    net = posted(gross, currency) + (sum(costs) if out else -sum(costs))
    if net <= 0 or total <= 0:
        raise LedgerError("fx", None, f"no rate between {currency} and {cash_currency} follows from the amounts")
    return filled(cells, fx=rate_of(total, net), cash_currency=cash_currency)


# --- guessing a map -------------------------------------------------------------------------------------------------


def proposed(text: str) -> ColumnMap:
    """A map for an unknown table, as far as headers and cells tell. Raises NotReadable where no header is found."""
    best: tuple[int, int, str, tuple[str, ...]] | None = None
    for delimiter in DELIMITERS:
        for line, cells in first_rows(text, delimiter):
            known = len({words.COLUMN_OF[w][0] for c in cells if (w := words.bare(c)) in words.COLUMN_OF})
            if known >= 2 and (best is None or known > best[0]):
                best = known, line, delimiter, tuple(cells)
    if best is None or "date" not in _guessed(sheet(text, best[2], best[1])):
        raise NotReadable(
            f"no header was found in the first {LOOK_AHEAD} lines: a line with the names of the columns is needed, "
            "with a date among them"
        )
    table = sheet(text, best[2], best[1])
    columns = _guessed(table)
    rows = [{ours: row.cells.get(theirs, "") for ours, theirs in columns.items()} for row in table.rows]
    rows = [r for r, row in zip(rows, table.rows, strict=True) if not table.is_text(row)]
    decimal = _decimal(rows, best[2])
    spoken = dict.fromkeys(r.get("kind", "") for r in rows)
    kinds = {word: kind for word in spoken if word and (kind := words.kind_of(word))}
    signed = any(r.get("gross", "").strip().lstrip("$€£ ").startswith(("-", "−", "(")) for r in rows)
    signed = signed and not any(
        kinds.get(r.get("kind", "")) == "buy" and _try(r.get("gross", ""), decimal) > 0 for r in rows
    )
    return ColumnMap(
        columns=columns,
        kinds=kinds,
        dates=_order(rows, text),
        decimal=decimal,
        delimiter=best[2],
        header_line=best[1],
        signed=signed,
        net=_is_net(rows, kinds, decimal, columns.get("gross", "")),
    )


def _guessed(table: Sheet) -> dict[str, str]:
    """Our column → the header that is called so; of several the one with something in it, then the likelier word."""
    claims: dict[str, list[tuple[bool, int, str]]] = defaultdict(list)
    for name in table.columns:
        word = words.bare(re.sub(r"\([^)]*\)", "", name)) or words.bare(name)
        if word in words.COLUMN_OF:
            ours, rank = words.COLUMN_OF[word]
            if word == "valuta" and any(re.search(r"\d", row.cells.get(name, "")) for row in table.rows[:20]):
                ours = "settlement"  # a currency in Dutch, the value date in German
            claims[ours].append((not any(row.cells.get(name) for row in table.rows), rank, name))
    found = {ours: min(names)[2] for ours, names in claims.items()}
    if "date" not in found and table.columns[0] == "column 1" and _are_dates(table):
        found["date"] = "column 1"
    units = next((c for c in table.columns if words.bare(c) == "amount" and c != found.get("gross")), None)
    if units is not None and "quantity" not in found and _multiply(table, units, found):
        found["quantity"] = units
    if "kind" not in found and "note" in found:
        texts = [row.cells.get(found["note"], "") for row in table.rows]
        if texts and sum(words.kind_of(t) is not None for t in texts) * 2 > len(texts):
            found["kind"] = found["note"]
    return found


def _are_dates(table: Sheet) -> bool:
    """Whether the first column, which has no name, holds dates."""
    try:
        return all(moment("date", row.cells.get("column 1", ""))[0] for row in table.rows[:20])
    except LedgerError:
        return False


def _multiply(table: Sheet, units: str, found: Mapping[str, str]) -> bool:
    """Whether this column times the price is the amount."""
    for row in table.rows[:20]:
        number_of, price, amount = (
            _try(row.cells.get(c, ""), ".") for c in (units, found.get("price", ""), found.get("gross", ""))
        )
        if not price or abs(abs(number_of * price) - abs(amount)) > Decimal("0.01"):
            return False
    return True


def _try(text: str, decimal: str) -> Decimal:
    try:
        return number("", text, decimal) or Decimal(0)
    except LedgerError:
        return Decimal(0)


def _decimal(rows: list[Values], delimiter: str) -> str:
    """Which mark stands before decimals: what the cells with one meaning say, else the custom of the delimiter."""
    votes = {".": 0, ",": 0}
    for r in rows:
        for name in ("price", "gross", "fees", "taxes", "quantity"):
            if found := re.search(r"([.,])(\d+)\D*$", r.get(name, "")):
                mark, other = found[1], "," if found[1] == "." else "."
                if len(found[2]) != 3 or other in r[name] or re.match(r"\D*0[.,]", r[name]):
                    votes[mark] += 1
    if votes["."] == votes[","]:
        return "," if delimiter == ";" else "."
    return max(votes, key=lambda mark: votes[mark])


def _order(rows: list[Values], text: str) -> str:
    """Whether the day or the month stands first: what the dates with one meaning say, else dollars mean month first."""
    votes = {"dmy": 0, "mdy": 0}
    for r in rows:
        if found := re.match(r"(\d{1,2})[./-](\d{1,2})[./-]\d{4}", r.get("date", "")):
            votes["dmy"] += int(found[1]) > 12
            votes["mdy"] += int(found[2]) > 12
    if votes["dmy"] == votes["mdy"]:
        dotted = any(re.match(r"\d{1,2}[.-]", r.get("date", "")) for r in rows)
        dollars = "$" in text or any(r.get("currency") == "USD" for r in rows)
        return "mdy" if dollars and not dotted else "dmy"
    return max(votes, key=lambda order: votes[order])


def _is_net(rows: list[Values], kinds: Mapping[str, str], decimal: str, header: str) -> bool:
    """Whether amounts are after fees: what quantity × price says of trades with a fee, else the header's word."""
    net = gross = 0
    for r in rows:
        kind = kinds.get(r.get("kind", ""))
        quantity, price, amount, fees = (_try(r.get(n, ""), decimal) for n in ("quantity", "price", "gross", "fees"))
        if kind in ("buy", "sell") and quantity and price and amount and fees:
            product = abs(quantity * price)
            after = product + abs(fees) if kind == "buy" else product - abs(fees)
            net += abs(abs(amount) - after) < abs(abs(amount) - product)
            gross += abs(abs(amount) - after) > abs(abs(amount) - product)
    return net > gross if net != gross else "net" in words.bare(header).split()
