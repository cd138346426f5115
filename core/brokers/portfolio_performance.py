"""Portfolio Performance, client file as XML: deposits, trades, deliveries, income, costs, transfers between its accounts.

The file is a graph of objects written as a tree (XStream): what was written before is referred to by a path or an id.
A purchase or sale is one event with a side in an account and a side in a securities account; a transfer has two sides
as well. Amounts are hundredths in every currency, units have the decimals that the version of the file says.
Splits stand in the file as events of a security: the units of earlier entries are already those after it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

from core.brokers.columns import NothingToBook, currency_cell, filled, in_cash, isin_cell, symbol_cell, text_cell
from core.brokers.elements import Element, tree
from core.brokers.registry import Format, Record, Statement, register
from core.brokers.sheet import moment
from core.importing import NotReadable
from core.ledger import LedgerError

TITLE = "Portfolio Performance file (XML)"
ACCOUNT_SIDES = frozenset({"account-transaction", "accountTransaction"})
UNITS_SIDES = frozenset({"portfolio-transaction", "portfolioTransaction"})
SIDES = ("portfolioTransaction", "accountTransaction", "transactionFrom", "transactionTo")
OWNER = re.compile(r"(account|portfolio)(From|To)?|referenceAccount")
FIRST_WITH_SIDES = 10  # the version from which both sides of an event know of each other
# type → (our kind, whether money comes in, sign of our amount)
CASH_KINDS = {
    "DEPOSIT": ("deposit", True, 1), "REMOVAL": ("withdrawal", False, 1), "INTEREST": ("interest", True, 1),
    "INTEREST_CHARGE": ("interest", False, -1), "DIVIDENDS": ("dividend", True, 1), "FEES": ("fee", False, 1),
    "FEES_REFUND": ("fee", True, -1), "TAXES": ("tax", False, 1), "TAX_REFUND": ("tax", True, -1),
    "TRANSFER_IN": ("transfer_in", True, 1), "TRANSFER_OUT": ("transfer_out", False, 1),
}  # fmt: skip
UNITS_KINDS = {
    "BUY": "buy", "SELL": "sell", "DELIVERY_INBOUND": "transfer_in", "DELIVERY_OUTBOUND": "transfer_out",
    "TRANSFER_IN": "transfer_in", "TRANSFER_OUT": "transfer_out",
}  # fmt: skip


def decimals(version: int) -> int:
    """Decimals of a number of units: five up to version 25, six up to 48, eight since."""
    return 5 if version <= 25 else 6 if version <= 48 else 8


class Graph:
    """The elements of a file and what they refer to."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self._named: dict[int, dict[str, list[Element]]] = {}
        self._ids = {e.attributes["id"]: e for e in self.every() if "id" in e.attributes}

    def every(self) -> Iterator[Element]:
        """Every element, in the order of the file."""
        stack = [self.root]
        while stack:
            element = stack.pop()
            yield element
            stack += reversed(element.inside)

    def meant(self, e: Element) -> Element:
        """The element itself, or the one that it refers to. Raises LedgerError where there is none."""
        for _ in range(20):
            if (path := e.attributes.get("reference")) is None:
                return e
            found = self._ids.get(path) if path.isdecimal() else self._at(e, path)
            if found is None:
                break
            e = found
        raise LedgerError("reference", e.attributes["reference"][-60:], "the file holds nothing in this place")

    def part(self, e: Element, tag: str) -> Element | None:
        """The element of this name inside, or what it refers to. Raises LedgerError."""
        found = e.child(tag)
        return None if found is None else self.meant(found)

    def _at(self, e: Element, path: str) -> Element | None:
        at: Element | None = None if path.startswith("/") else e
        for step in path.strip("/").split("/"):
            if step == ".." and at is not None:
                at = at.around
            elif found := re.fullmatch(r"([\w.:-]+)(?:\[(\d{1,9})\])?", step, re.ASCII):
                row = [self.root] if at is None and found[1] == self.root.tag else self._children(at, found[1])
                place = int(found[2] or 1)
                at = row[place - 1] if 0 < place <= len(row) else None
            else:
                return None
            if at is None:
                return None
        return at

    def _children(self, e: Element | None, tag: str) -> list[Element]:
        if e is None:
            return []
        if id(e) not in self._named:
            named: dict[str, list[Element]] = defaultdict(list)
            for child in e.inside:
                named[child.tag].append(child)
            self._named[id(e)] = named
        return self._named[id(e)].get(tag, [])


class Client:
    """The entries of a file: which account each is in, and which other side it has."""

    def __init__(self, root: Element) -> None:
        said = root.said("version")
        if not re.fullmatch(r"\d{1,4}", said, re.ASCII):
            raise NotReadable("the Portfolio Performance file does not say its version")
        if int(said) < FIRST_WITH_SIDES:
            raise NotReadable(
                "the file is of a very old Portfolio Performance: open it in a newer one and save it there"
            )
        self.one = Decimal(1).scaleb(-decimals(int(said)))
        self.graph = Graph(root)
        self.entries: list[Element] = []
        self.owners: dict[int, Element] = {}
        self.names: dict[str, None] = {}
        self.split = False
        for e in self.graph.every():
            if e.tag == "event" and e.said("type") == "STOCK_SPLIT":
                self.split = True
            if "reference" in e.attributes:
                continue
            if e.tag in ACCOUNT_SIDES | UNITS_SIDES or (e.tag in SIDES and e.around and e.around.tag == "crossEntry"):
                self.entries.append(e)
            elif OWNER.fullmatch(e.tag) and (held := e.child("transactions")) is not None:
                self.names[e.said("name")] = None
                for entry in held.inside:
                    with suppress(LedgerError):
                        self.owners[id(self.graph.meant(entry))] = e

    def sides(self, e: Element) -> dict[str, Element]:
        """The sides of the event that an entry belongs to, by their names in SIDES; nothing where it stands alone."""
        with suppress(LedgerError):
            cross = self.graph.part(e, "crossEntry")
            if cross is None:
                return {}
            found = {tag: side for tag in SIDES if (side := self.graph.part(cross, tag)) is not None}
            if any(side is e for side in found.values()):
                return found
        return {}

    def in_units(self, e: Element) -> bool:
        """Whether an entry is of a securities account."""
        if e.tag in SIDES[2:]:
            return e.around is not None and e.around.child("portfolioFrom") is not None
        return e.tag in UNITS_SIDES


def hundredths(field: str, text: str) -> Decimal:
    """An amount of the file. Raises LedgerError."""
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise LedgerError(field, text[:60], "a whole number of hundredths is needed")
    return Decimal(text).scaleb(-2)


class Entry:
    """What one entry says, read: currency, total, costs, security. Raises LedgerError on what cannot be read."""

    def __init__(self, client: Client, e: Element) -> None:
        graph = client.graph
        self.kind = e.said("type")
        when = graph.part(e, "date")
        day, time = moment("date", when.text.strip() if when else "")
        self.currency, factor = currency_cell(e.said("currencyCode"))
        self.total = hundredths("gross", e.said("amount")) * factor
        shares = e.said("shares") or "0"
        if not re.fullmatch(r"-?\d{1,18}", shares, re.ASCII):
            raise LedgerError("quantity", shares[:60], "a whole number is needed, of the smallest part of a unit")
        self.quantity = Decimal(shares) * client.one
        security = graph.part(e, "security")
        owner = client.owners.get(id(e))
        of = owner.said("name") if owner is not None and len(client.names) > 2 else ""
        self.cells = {"date": day.isoformat(), "time": "" if time == "00:00:00" else time, "currency": self.currency,
                      "note": text_cell(" · ".join(filter(None, (e.said("note"), of)))),
                      "reference": text_cell(e.said("uuid"), 120)}  # fmt: skip
        self.trades_in = ""
        if security is not None:
            self.cells |= {"symbol": symbol_cell(security.said("tickerSymbol")), "isin": isin_cell(security.said("isin")),
                           "name": text_cell(security.said("name"), 120)}  # fmt: skip
            self.trades_in = currency_cell(security.said("currencyCode"))[0]
        self.costs = {"FEE": Decimal(0), "TAX": Decimal(0)}  # in the entry's currency
        self.own = {"FEE": Decimal(0), "TAX": Decimal(0)}  # and those that the file gives in the security's
        self.value: tuple[Decimal, Decimal] | None = None  # the gross value in both
        units = graph.part(e, "units")
        for unit in units.inside if units is not None else ():
            self._unit(graph, graph.meant(unit), factor)
        for name, kind in (("fees", "FEE"), ("taxes", "TAX")):  # up to version 28
            if text := e.said(name):
                self.costs[kind] += hundredths(name, text) * factor
        self.converted = bool(self.currency and self.trades_in and self.currency != self.trades_in)

    def _unit(self, graph: Graph, unit: Element, factor: Decimal) -> None:
        kind, amount, forex = unit.attributes.get("type", ""), graph.part(unit, "amount"), graph.part(unit, "forex")
        if amount is None or kind not in ("FEE", "TAX", "GROSS_VALUE"):
            raise LedgerError("fees", kind, "a part of the amount is a FEE, a TAX or the GROSS_VALUE")
        here = hundredths("gross", amount.attributes.get("amount", "")) * factor
        there = None
        if forex is not None:
            code, of = currency_cell(forex.attributes.get("currency", ""))
            if code == self.trades_in:
                there = hundredths("gross", forex.attributes.get("amount", "")) * of
        if kind == "GROSS_VALUE":
            self.value = (here, there) if there is not None else None
        else:
            self.costs[kind] += here
            if there is not None:
                self.own[kind] += there
                self.costs[f"{kind} told"] = self.costs.get(f"{kind} told", Decimal(0)) + here

    def parts(self, comes_in: bool) -> tuple[Decimal, Decimal, Decimal]:
        """(gross, fees, taxes) in the entry's currency; the file's amount is what moved after them."""
        fees, taxes = self.costs["FEE"], self.costs["TAX"]
        return self.total + (fees + taxes if comes_in else -fees - taxes), fees, taxes

    def abroad(self) -> tuple[Decimal, Decimal, Decimal]:
        """(gross, fees, taxes) in the security's currency, of an entry in another. Raises LedgerError without its value."""
        if self.value is None or self.value[0] <= 0:
            expected = f"the amount is in {self.currency}, the security in {self.trades_in}: its value there is needed"
            raise LedgerError("fx", None, expected)
        here, there = self.value
        costs = []
        for kind in ("FEE", "TAX"):
            rest = self.costs[kind] - self.costs.get(f"{kind} told", Decimal(0))
            costs.append(self.own[kind] + (rest * there / here).quantize(Decimal("0.01")))
        return there, costs[0], costs[1]


def traded(entry: Entry) -> dict[str, str]:
    """A purchase, a sale, or units that come in or go out."""
    kind = UNITS_KINDS.get(entry.kind)
    if kind is None:
        raise LedgerError("kind", entry.kind, "no kind of entry of a securities account is known under this word")
    if entry.quantity <= 0:
        raise LedgerError("quantity", entry.quantity, f"a {kind.replace('_', ' ')} needs a positive number of units")
    gross, fees, taxes = entry.abroad() if entry.converted else entry.parts(kind in ("sell", "transfer_out"))
    cells = filled(entry.cells, kind=kind, quantity=entry.quantity, gross=gross or "", price="" if gross else "0",
                   currency=entry.trades_in if entry.converted else entry.currency)  # fmt: skip
    if kind in ("buy", "sell"):
        cells = filled(cells, fees=fees or "", taxes=taxes or "")
        return in_cash(cells, entry.total, entry.currency) if entry.converted else cells
    if fees or taxes:  # no account paid them: they are part of what the units cost
        cells = filled(cells, basis=gross + fees + taxes if kind == "transfer_in" else "")
    return cells


def moved(entry: Entry) -> dict[str, str]:
    """An entry of an account that stands by itself: cash in or out, income, costs and their refunds."""
    if entry.kind not in CASH_KINDS:
        raise LedgerError("kind", entry.kind, "no kind of entry of an account is known under this word")
    kind, comes_in, sign = CASH_KINDS[entry.kind]
    gross, fees, taxes = entry.parts(comes_in)
    if not gross and not fees and not taxes:
        raise NothingToBook("the amount is zero")
    cells = filled(entry.cells, kind=kind, gross=gross * sign, fees=fees or "", taxes=taxes or "")
    if kind in ("deposit", "withdrawal", "transfer_in", "transfer_out"):
        return filled(cells, symbol="", isin="", name="")
    if kind == "dividend" and entry.converted and entry.value is not None:
        gross, fees, taxes = entry.abroad()
        cells = filled(cells, gross=gross, fees=fees or "", taxes=taxes or "", currency=entry.trades_in)
        return in_cash(cells, entry.total, entry.currency)
    return cells


def transferred(client: Client, source: Element, target: Element) -> list[dict[str, str]]:
    """A transfer between two accounts of the file: a conversion, or nothing to book in one currency."""
    if client.in_units(source):
        raise NothingToBook("units move between two securities accounts of the file")
    out, into = Entry(client, source), Entry(client, target)
    if out.currency == into.currency:
        if out.total != into.total:
            raise LedgerError("gross", into.total, f"both sides of a transfer move the same amount, {out.total}")
        raise NothingToBook("cash moves between two accounts of the file")
    if not out.currency or not into.currency:
        raise LedgerError("currency", None, "both sides of a conversion need their currency")
    return [filled(out.cells, kind="fx_out", gross=out.total), filled(into.cells, kind="fx_in", gross=into.total)]


def booked(client: Client, e: Element, sides: dict[str, Element]) -> list[dict[str, str]]:
    """The bookings of an event, told by the first of its entries. Raises LedgerError, or NothingToBook."""
    if "transactionFrom" in sides and "transactionTo" in sides:
        return transferred(client, sides["transactionFrom"], sides["transactionTo"])
    if "portfolioTransaction" in sides and "accountTransaction" in sides:
        entry, paid = Entry(client, sides["portfolioTransaction"]), Entry(client, sides["accountTransaction"])
        if (paid.total, paid.currency) != (entry.total, entry.currency):
            expected = f"the account's side says {paid.total} {paid.currency}, both must say the same"
            raise LedgerError("gross", f"{entry.total} {entry.currency}", expected)
        return [traded(entry)]
    entry = Entry(client, e)
    if entry.kind in ("BUY", "SELL"):
        raise LedgerError("kind", entry.kind, "the other side of this purchase or sale was not found in the file")
    return [traded(entry) if client.in_units(e) else moved(entry)]


def read(text: str) -> Statement:
    client = Client(tree(text, without=frozenset({"prices", "latest"})))
    places = [e.line for e in client.entries]
    if len(set(places)) < len(places):  # several elements in one line: count elements instead
        places = list(range(1, len(places) + 1))
    line_of = {id(e): place for e, place in zip(client.entries, places, strict=True)}
    done: set[int] = set()
    records: list[Record] = []
    for e in client.entries:
        if id(e) in done:
            continue
        sides = {tag: side for tag, side in client.sides(e).items() if id(side) in line_of and id(side) not in done}
        whole = {id(side) for side in sides.values()} | {id(e)}
        done |= whole
        line, lines = line_of[id(e)], tuple(sorted(line_of[number] for number in whole))
        try:
            every = booked(client, e, sides)
            records.append(Record(line, lines, every[0]))
            records += [Record(line, (), cells) for cells in every[1:]]
        except NothingToBook as reason:
            records.append(Record(line, lines, told(client, e), str(reason)))
        except ArithmeticError:
            expected = "its numbers are too large or too small to be of one transaction"
            records.append(Record(line, lines, told(client, e), "", LedgerError("row", f"line {line}", expected)))
        except LedgerError as wrong:
            records.append(Record(line, lines, told(client, e), "", wrong))
    records.sort(key=lambda r: (r.cells.get("date", ""), r.cells.get("time", "")))
    notes = []
    if len(client.names) > 2:
        notes.append(f"The file holds {len(client.names)} accounts: {', '.join(client.names)}.")
    if client.split:
        notes.append("Splits are not booked: the units of entries before a split are those after it.")
    return Statement("portfolio_performance", TITLE, tuple(records), tuple(notes))


def told(client: Client, e: Element) -> dict[str, str]:
    """What an entry that books nothing says, under our names, as far as it can be read."""
    with suppress(LedgerError, ArithmeticError):
        entry = Entry(client, e)
        return filled(entry.cells, gross=entry.total, quantity=entry.quantity or "")
    cells = {"currency": text_cell(e.said("currencyCode"), 10), "note": text_cell(e.said("note"))}
    with suppress(LedgerError):
        when = client.graph.part(e, "date")
        cells["date"] = moment("date", when.text.strip() if when else "")[0].isoformat()
    return filled(cells)


register(
    Format(
        "portfolio_performance",
        TITLE,
        "an XML file whose root is client, with its version",
        lambda text: re.match(r"\s*(<\?xml[^>]*>\s*)?<client( id=\"\d+\")?>\s*<version>", text[:400]) is not None,
        read,
    )
)
