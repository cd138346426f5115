"""Importing on the real database: every sample to its last line, nothing twice, nothing half, and a ledger out and in again."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from ledgers import BASE, FIRST, SECURITIES, Told, ledgers
from test_brokers import (
    CLIENTS,
    COUNTS,
    EXPORTS,
    FILLED,
    FILLS_MAP,
    FLEX,
    SAMPLES,
    absent,
    client_count,
    data_lines,
    fills,
    without_nothing,
)

from core import exporting, importing
from core.brokers import ColumnMap
from core.exporting import Entry
from core.importing import NotReadable
from core.ledger import Draft, LedgerError, Security
from core.listings import Listings
from core.master import SecurityDraft
from core.matching import Listed, Master, Named, proposed
from core.recognition import UnknownFormat, fingerprint
from db import (
    access,
    books,
    corrections,
    counterparties,
    engine,
    exports,
    import_maps,
    import_securities,
    imports,
    ledger,
    market,
    portfolios,
    tasks,
)
from db.access import AccessDenied, User
from db.import_maps import NoSuchMap
from db.import_securities import Choice
from db.imports import NoSuchImport, NothingBooked

TODAY = date(2026, 6, 1)
# the currency of the account where a file does not say it
BASES = {"xtb": "EUR", "trading212": "EUR", "freetrade": "GBP", "ibkr_history": "GBP", "parqet": "EUR", "degiro": "EUR"}
BASES |= {path.stem: "EUR" for path in CLIENTS} | {"portfolio_performance": "EUR"}


class Desk:
    """Two analysts and a viewer; portfolios are made as they are needed."""

    def __init__(self) -> None:
        self.anna = access.create_user("anna", "anna's long password", "analyst")
        self.ben = access.create_user("ben", "ben's long password", "analyst")
        self.vera = access.create_user("vera", "vera's long password", "viewer")
        with engine.jobs() as c:
            new = [market.NewSecurity(s, s, "XNYS", "USD", "Equity") for s in ("ACME", "DULL", "ZETA")]
            self.ids = market.add_securities(c, new)

    def fresh(self, base: str = "USD", name: str = "Desk", method: str = "fifo") -> UUID:
        return portfolios.create_portfolio(self.anna, name, base, None, method, "")

    def put(
        self, portfolio: UUID, raw: bytes, name: str = "a.csv", user: UUID | None = None, **options: object
    ) -> imports.Import:
        return imports.import_file(user or self.anna, portfolio, raw, name, TODAY, **options)  # type: ignore[arg-type]

    def taken(self, portfolio: UUID, raw: bytes, **options: object) -> imports.Import:
        """Import with every unknown security created as proposed."""
        dry = self.put(portfolio, raw, **options)
        choices = {u.key: Choice(create=u.proposed) for u in dry.unknown}
        return self.put(portfolio, raw, choices=choices, dry_run=False, take_good=True, **options)

    def rows(self, portfolio: UUID) -> list[Mapping[str, str]]:
        """The ledger as its own export has it, oldest first."""
        return list(csv.DictReader(io.StringIO(exports.export(self.anna, portfolio), newline="")))


def user_of(number: UUID) -> User:
    with engine.session(number) as c:
        row = c.execute(
            "SELECT user_id, username, display_name, role FROM users WHERE user_id = %s", (number,)
        ).fetchone()
    assert row
    return User(*row)


@pytest.fixture
def desk(database: object) -> Desk:
    return Desk()


# --- every sample ----------------------------------------------------------------------------------------------------

# what may be refused, and why: a statement that begins after the account did, rows that somebody spoilt, what no file can tell
REASONS = (
    "are held", "is not named", "the file gives the units added", "one side of the split", "a date such as", "no kind of transaction",
    "the statement does not say", "the statement does not name", "none of it is held", "does not agree with", "it belongs to another booking", "spin-off", "the other side of this exchange",
    "it trades in", "would make a later entry impossible", "no units", "is held", "is open", "none is held", "nothing is held",
    "the file holds nothing in this place", "the other side of this purchase",
)  # fmt: skip


@pytest.mark.parametrize("path", [*SAMPLES, *EXPORTS, *FLEX, *CLIENTS], ids=lambda p: p.stem)
def test_no_line_of_a_sample_is_dropped_and_the_second_time_adds_nothing(desk: Desk, path: Path) -> None:
    raw = path.read_bytes()
    portfolio = desk.fresh(BASES.get(path.stem.replace("-export", ""), "USD"))
    done = desk.taken(portfolio, raw)
    lines = [n for v in done.verdicts for n in v.lines]
    assert len(lines) == len(set(lines))
    assert set(lines) == data_lines(raw)
    assert sum(done.count(o) for o in ("book", "duplicate", "refused", "skipped")) == len(done.verdicts)
    assert done.count("duplicate") == 0
    assert done.booked == done.count("book") == len(desk.rows(portfolio))
    for v in done.verdicts:
        assert v.outcome == "book" or v.reason, v
        if v.outcome == "refused":
            assert any(words in v.reason for words in REASONS), f"line {v.line}: {v.reason}"
    assert not [u for u in done.unknown if u.choice != "create"]
    again = desk.put(portfolio, raw, dry_run=False, take_good=True)
    assert (again.booked, again.count("duplicate")) == (0, done.booked)
    assert not again.unknown, "what was created is matched by itself"


# --- the ledger against the raw columns --------------------------------------------------------------------------------


def opening(desk: Desk, base: str) -> bytes:
    """A million units of every security there is, brought in before any statement: so that no sale wants for units."""
    with engine.session(desk.anna) as c:
        every = books.securities_of(c)
    lines = [
        f"1999-01-04,transfer_in,{s.symbol},{s.exchange},1000000,1,{s.currency},opening"
        for s in every
        if s.symbol not in desk.ids
    ]
    return ("date,kind,symbol,exchange,quantity,price,currency,note\n" + "\n".join(lines) + "\n").encode()


def counted(rows: list[Mapping[str, str]]) -> tuple[Counter[str], dict[str, Decimal]]:
    """Kinds, and units by symbol and by ISIN, of exported rows, the opening left out."""
    kinds, units = Counter[str](), defaultdict[str, Decimal](Decimal)
    for row in sorted((r for r in rows if r["note"] != "opening"), key=lambda r: r["date"]):
        kinds[row["kind"]] += 1
        sign = {"buy": 1, "transfer_in": 1, "cover": 1, "sell": -1, "transfer_out": -1, "short": -1}.get(row["kind"], 0)
        for name in {row["symbol"], row["isin"]} - {""}:
            units[name] += sign * Decimal(row["quantity"] or 0)
            if row["kind"] == "split":
                new, old = row["ratio"].split(":")
                units[name] *= Decimal(new) / Decimal(old)
    return kinds, units


@absent
@pytest.mark.shared
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_booked_is_what_the_raw_columns_say(desk: Desk, name: str) -> None:
    raw = (Path(EXPORTS[0]).parent / f"{name}-export.csv").read_bytes()
    base = BASES.get(name, "USD")
    desk.taken(desk.fresh(base), raw)  # creates the securities
    portfolio = desk.fresh(base, "Opened")
    desk.put(portfolio, opening(desk, base), dry_run=False)
    before = sum((Decimal(r[11]) for r in ledger.transactions(desk.anna, portfolio)), Decimal(0))
    assert before == 0, "units that come in move no cash"
    done = desk.put(portfolio, raw, dry_run=False, take_good=True)
    left = [v for v in done.verdicts if v.outcome == "refused"]
    allowed = {"degiro": 1, "saxo": 1, "xtb": 1, "schwab": 1, "revolut-invest": 1}.get(
        name, 0
    )  # spoilt amounts, a date that is none, a spin-off without its parent
    assert len(left) <= allowed, [v.reason for v in left]
    kinds, units, cash = COUNTS[name]()
    rows = desk.rows(portfolio)
    got, held = counted(rows)
    for v in left:  # what was refused was counted in the raw file all the same
        if v.cells.get("quantity"):
            got[v.cells["kind"]] += 1
            who = v.cells.get("isin", "") if name in ("degiro", "ibkr-trades", "parqet") else v.cells.get("symbol", "")
            held[who] += Decimal(v.cells["quantity"]) * (1 if v.cells["kind"] == "buy" else -1)
    assert got == +kinds
    for who, number in without_nothing(units).items():
        if (
            name == "trading212" and who == "PALAF"
        ):  # stands under the ISIN of UNP in the file, and so they are one security
            assert held["US9078181081"] == number + units.get("UNP", 0)
        elif (name != "schwab" or who in held) and not (name == "trading212" and who == "UNP"):
            assert held[who.upper()] == number, who
    booked: dict[str, Decimal] = defaultdict(Decimal)
    for r in ledger.transactions(desk.anna, portfolio):
        booked[r[12]] += r[11]
    for v in left:  # and so was its cash
        if v.cells.get("gross") and v.cells.get("quantity"):
            paid = Decimal(v.cells["gross"]) + Decimal(v.cells.get("fees", "0"))
            booked[v.cells["currency"]] -= paid
    for currency, amount in without_nothing(cash).items():
        assert abs(booked[currency or base] - amount) < Decimal("0.05"), currency


@absent
@pytest.mark.shared
@pytest.mark.parametrize("base", ["EUR", "USD"])
@pytest.mark.parametrize("path", CLIENTS, ids=lambda p: p.stem)
def test_what_is_booked_is_what_a_client_file_says(desk: Desk, path: Path, base: str) -> None:
    raw = path.read_bytes()
    (kinds, units, cash), dividends = client_count(path)
    desk.taken(desk.fresh(base), raw)  # creates the securities
    portfolio = desk.fresh(base, "Again")
    done = desk.put(portfolio, raw, dry_run=False)
    assert done.count("refused") == 0
    rows = desk.rows(portfolio)
    got, held = counted(rows)
    for _ in range(sum(r["note"].startswith("conversion for") and r["kind"] == "fx_out" for r in rows)):
        kinds.update(["fx_out", "fx_in"])  # what an account in another currency than the security's paid
    assert got == +kinds
    for symbol, number in without_nothing(units).items():
        assert held.get(symbol, held[symbol.split(".")[0]]) == number, symbol  # its place stands behind the point
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for r in rows:
        if r["kind"] == "dividend":
            paid[r["isin"] or r["symbol"]] += Decimal(r["gross"])
    assert sorted(paid.values()) == sorted(dividends.values())
    booked: dict[str, Decimal] = defaultdict(Decimal)
    for t in ledger.transactions(desk.anna, portfolio):
        booked[t[12]] += t[11]
    for currency, amount in without_nothing(cash).items():
        assert booked[currency or base] == amount, currency
    again = desk.put(portfolio, raw, dry_run=False)
    assert (again.booked, again.count("duplicate")) == (0, done.booked)


@absent
@pytest.mark.shared
def test_compressed_fills_are_booked_to_the_last_one_and_once(desk: Desk) -> None:
    kinds, units, cash = fills()
    portfolio = desk.fresh("USD")
    raw = FILLED.read_bytes()
    with pytest.raises(UnknownFormat) as e:
        desk.put(portfolio, raw, FILLED.name)
    assert e.value.proposed is not None
    assert e.value.proposed.columns.items() >= FILLS_MAP.items()
    column_map = ColumnMap(FILLS_MAP, currency="USD", sided=True)
    done = desk.taken(portfolio, raw, column_map=column_map)
    assert [n for v in done.verdicts for n in v.lines] == list(range(2, 9369))
    assert done.booked == len(done.verdicts) == sum(kinds.values())
    got, held = counted(desk.rows(portfolio))
    assert got == kinds
    assert {s: held[s] for s in units} == units
    booked = sum((t[11] for t in ledger.transactions(desk.anna, portfolio)), Decimal(0))
    assert abs(booked - cash) < Decimal("0.01") * sum(kinds.values())
    again = desk.put(portfolio, raw, column_map=column_map, dry_run=False)
    assert (again.booked, again.count("duplicate")) == (0, done.booked)


DAILY = (
    ",19001,19002,cash\n2016-01-04,1.0,1.0,0.0\n2016-01-05,1.0,,0.5\n",
    "2016-01-04,2.16\n2016-01-05,3.61\n",
)


@pytest.mark.parametrize("text", DAILY)
def test_a_table_of_numbers_by_day_is_refused_with_what_is_missing(desk: Desk, text: str) -> None:
    with pytest.raises(NotReadable, match=r"is missing|has no column 'date'") as e:
        desk.put(desk.fresh(), text.encode())
    assert not isinstance(e.value, UnknownFormat)


@absent
@pytest.mark.shared
def test_what_stands_beside_the_shared_fills_is_refused_as_a_whole(desk: Desk) -> None:
    portfolio = desk.fresh()
    for path in sorted(FILLED.parent.glob("*.csv*")):
        if path != FILLED:
            with pytest.raises(NotReadable, match=r"is missing|has no column 'date'") as e:
                desk.put(portfolio, path.read_bytes(), path.name)
            assert not isinstance(e.value, UnknownFormat), path.name
    assert not desk.rows(portfolio)


# --- once, however often it comes --------------------------------------------------------------------------------------

HEADER = "Action,Time,ISIN,Ticker,Name,No. of shares,Price / share,Currency (Price / share),Exchange rate,Result,Currency (Result),Total,Currency (Total)"


def statement(*days: str) -> bytes:
    """A Trading 212 export without ids: two equal purchases on each of these days."""
    line = "Market buy,{} 09:30:00,US0000000017,ACME,Acme,2,10.00,USD,1,,USD,20.00,USD"
    return "\n".join([HEADER, *(line.format(day) for day in days for _ in range(2)), ""]).encode()


def test_statements_that_overlap_add_only_what_is_new(desk: Desk) -> None:
    portfolio = desk.fresh()
    first = desk.put(portfolio, statement("2026-01-05", "2026-02-05", "2026-03-05"), dry_run=False)
    assert first.booked == 6, "two equal rows are two purchases"
    then = desk.put(portfolio, statement("2026-02-05", "2026-03-05", "2026-04-07"), dry_run=False)
    assert (then.booked, then.count("duplicate")) == (2, 4)
    assert len(desk.rows(portfolio)) == 8


def test_a_cost_that_is_told_later_is_neither_booked_twice_nor_lost(desk: Desk) -> None:
    portfolio = desk.fresh()
    plain = "\n".join([HEADER + ",Withholding tax,Currency (Withholding tax)",
                       "Dividend (Dividend),2026-02-05 09:30:00,US0000000017,ACME,Acme,10,1.00,USD,1,,USD,{},USD,{},USD", ""])  # fmt: skip
    assert desk.put(portfolio, plain.format("10.00", "").encode(), dry_run=False).booked == 1
    later = desk.put(portfolio, plain.format("8.50", "1.50").encode())
    (verdict,) = later.verdicts
    assert verdict.outcome == "refused"
    assert "with other fees or taxes" in verdict.reason


def test_an_import_is_undone_as_a_whole_and_may_come_again(desk: Desk) -> None:
    portfolio = desk.fresh()
    raw = statement("2026-01-05", "2026-02-05")
    done = desk.put(portfolio, raw, dry_run=False)
    assert done.import_id is not None
    [listed] = imports.done(desk.anna, portfolio)
    assert (listed.booked, listed.standing, listed.format) == (4, 4, "trading212")
    assert imports.undo(desk.anna, portfolio, done.import_id) == 4
    assert imports.done(desk.anna, portfolio)[0].standing == 0
    with pytest.raises(NoSuchImport):
        imports.undo(desk.anna, portfolio, done.import_id)
    again = desk.put(portfolio, raw, dry_run=False)
    assert (again.booked, again.count("duplicate")) == (4, 0)
    assert desk.put(portfolio, raw).count("duplicate") == 4
    assert again.import_id is not None
    imports.undo(desk.anna, portfolio, again.import_id)
    assert desk.put(portfolio, raw, dry_run=False).booked == 4
    one = ledger.transactions(desk.anna, portfolio)[0][0]
    ledger.reverse(desk.anna, portfolio, one)
    assert desk.put(portfolio, raw).count("book") == 0, (
        "what somebody reversed by hand does not come back with the next file"
    )


def test_what_later_entries_need_is_not_undone(desk: Desk) -> None:
    portfolio = desk.fresh()
    done = desk.put(portfolio, statement("2026-01-05"), dry_run=False)
    desk.put(portfolio, b"date,kind,symbol,quantity,price\n2026-02-02,sell,ACME,3,11\n", dry_run=False)
    with pytest.raises(LedgerError, match="later entries need its units"):
        imports.undo(desk.anna, portfolio, done.import_id)  # type: ignore[arg-type]
    assert imports.done(desk.anna, portfolio)[1].standing == 2


def test_bookings_of_one_line_go_together(desk: Desk) -> None:
    """A sale in dollars whose cash came in pounds is a sale and a conversion; without units to sell there is neither."""
    portfolio = desk.fresh("EUR")
    line = "Market sell,2026-01-05 09:30:00,US0000000017,ACME,Acme,2,10.00,USD,0.8,,GBP,16.00,GBP"
    found = desk.put(portfolio, "\n".join([HEADER, line, ""]).encode())
    assert [v.outcome for v in found.verdicts] == ["refused"] * 3
    assert "transfer in" in found.verdicts[0].reason
    assert "belongs to another booking of line 2" in found.verdicts[1].reason
    with pytest.raises(NothingBooked):
        desk.put(portfolio, "\n".join([HEADER, line, ""]).encode(), dry_run=False)
    desk.put(
        portfolio, b"date,kind,symbol,quantity,price,currency\n2026-01-02,transfer_in,ACME,2,9,USD\n", dry_run=False
    )
    assert desk.put(portfolio, "\n".join([HEADER, line, ""]).encode(), dry_run=False).booked == 3


def test_a_sale_that_stands_before_the_days_purchase_is_taken_after_it(desk: Desk) -> None:
    portfolio = desk.fresh()
    raw = b"date,kind,symbol,quantity,price\n2026-01-05,sell,ACME,2,10\n2026-01-05,buy,ACME,2,9\n"
    assert desk.put(portfolio, raw, dry_run=False).booked == 2
    assert desk.put(portfolio, raw).count("duplicate") == 2


# --- securities --------------------------------------------------------------------------------------------------------


def master() -> Master:
    rows = [("AAPL", "XNAS", "Apple Inc.", "USD", "US0378331005"), ("SAP", "XETR", "SAP SE", "EUR", "DE0007164600"),
            ("SAP", "XNYS", "SAP SE ADR", "USD", "US8030542042"), ("BRK.B", "XNYS", "Berkshire Hathaway Inc. Class B", "USD", None),
            ("VWCE", "XETR", "Vanguard FTSE All-World UCITS ETF", "EUR", "IE00BK5BQT80"),
            ("VWRA", "XLON", "Vanguard FTSE All-World UCITS ETF", "USD", "IE00BK5BQT80")]  # fmt: skip
    return Master(Listed(Security(i, s, n, e, c, "Equity"), isin) for i, (s, e, n, c, isin) in enumerate(rows, 1))


@pytest.mark.parametrize(
    ("named", "number"),
    [
        (Named(isin="US0378331005"), 1), (Named("AAPL.US"), 1), (Named("AAPL", "XNAS"), 1), (Named("XNAS:AAPL"), 1), (Named("AAPL:XNAS"), 1),
        (Named("SAP GY"), 2), (Named("SAP.DE"), 2), (Named("SAP", currency="USD"), 3), (Named("SAP"), None), (Named("BRK/B"), 4),
        (Named("BRK B"), 4), (Named(isin="IE00BK5BQT80"), None), (Named(isin="IE00BK5BQT80", currency="USD"), 6),
        (Named("VWCE", isin="IE00BK5BQT80"), 5), (Named("VWCE:XETR"), 5), (Named("AAPL", isin="DE0007164600", currency="USD"), None),
        (Named(name="Apple"), None), (Named("AAPL", currency="EUR"), None), (Named("AAPL", "XETR"), None),
    ],
)  # fmt: skip
def test_a_name_means_one_security_or_none(named: Named, number: int | None) -> None:
    found = master().find(named)
    assert (found.security_id if found else None) == number


def test_who_might_be_meant_is_proposed_by_likeliness() -> None:
    assert master().candidates(Named(name="APPLE INCORPORATED"))[0].security.symbol == "AAPL"
    listed = master().candidates(Named(isin="IE00BK5BQT80", currency="USD"))
    assert [c.security.symbol for c in listed] == ["VWRA", "VWCE"]
    assert listed[0].score > listed[1].score
    assert master().candidates(Named("NOPE", name="Quite Another")) == ()
    new = proposed(Named("SPYL", "XETR", "", "SPDR S&P 500 UCITS ETF"), "EUR", {"XETR": "EUR"})
    assert (new.symbol, new.exchange, new.currency, new.asset_class) == ("SPYL", "XETR", "EUR", "Fund")
    assert proposed(Named("TXT", "XWAR"), "PLN", {"XETR": "EUR"}).exchange == "XOFF"


def test_a_choice_is_kept_for_the_next_file_of_its_source(desk: Desk) -> None:
    portfolio = desk.fresh()
    raw = statement("2026-01-05").replace(b",ACME,", b",ACM1,")
    dry = desk.put(portfolio, raw)
    [unknown] = dry.unknown
    assert (unknown.named.symbol, unknown.rows, dry.count("refused")) == ("ACM1", 2, 2)
    assert unknown.candidates[0].security.symbol == "ACME", "by its name"
    left_out = desk.put(portfolio, raw, choices={unknown.key: Choice()})
    assert left_out.count("skipped") == 2
    chosen = {unknown.key: Choice(use=desk.ids["ACME"])}
    assert desk.put(portfolio, raw, choices=chosen).count("book") == 2
    assert desk.put(portfolio, raw).count("refused") == 2, "a dry run keeps nothing"
    assert desk.put(portfolio, raw, choices=chosen, dry_run=False).booked == 2
    more = raw.replace(b"2026-01-05", b"2026-02-05")
    assert not desk.put(portfolio, more).unknown
    own = portfolios.create_portfolio(desk.ben, "Ben's", "USD", None, "fifo", "")
    assert desk.put(own, more, user=desk.ben).unknown, "the choice is Anna's"
    with pytest.raises(LedgerError, match="no security of this number"):
        desk.put(portfolio, statement("2026-01-07").replace(b",ACME,", b",ACM2,").replace(b"0017", b"0025"),
                 choices={k.key: Choice(use=99999) for k in desk.put(portfolio, statement("2026-01-07").replace(b",ACME,", b",ACM2,").replace(b"0017", b"0025")).unknown})  # fmt: skip


def test_a_security_is_created_with_the_booking_or_not_at_all(desk: Desk) -> None:
    portfolio = desk.fresh()
    raw = statement("2026-01-05").replace(b",ACME,", b",NEWS,").replace(b",Acme,", b",Brand News,")
    [unknown] = desk.put(portfolio, raw).unknown
    choices = {unknown.key: Choice(create=unknown.proposed)}
    assert desk.put(portfolio, raw, choices=choices).count("book") == 2
    symbols = {s.symbol for s in market.securities(desk.anna)}
    assert "NEWS" not in symbols, "a dry run creates nothing"
    bad = raw + raw.splitlines()[1].replace(b"2026-01-05", b"2030-01-05") + b"\n"
    with pytest.raises(NothingBooked):
        desk.put(portfolio, bad, choices=choices, dry_run=False)
    assert "NEWS" not in {s.symbol for s in market.securities(desk.anna)}
    assert desk.put(portfolio, raw, choices=choices, dry_run=False).booked == 2
    [made] = [s for s in market.securities(desk.anna) if s.symbol == "NEWS"]
    assert (made.exchange, made.currency, made.name, made.status) == ("XNYS", "USD", "Brand News", "active")
    asker = user_of(desk.anna)
    [done] = tasks.tasks(asker, security=made.security_id)
    assert (done.kind, done.status, done.title, done.source) == ("add", "completed", "Add NEWS (Brand News)", "csv")
    assert done.message == "XNYS:NEWS was added with the import of a.csv"
    steps = [(s.name, s.status, s.rows, s.done) for s in tasks.task_of(asker, done.task_id).steps]
    assert [(s.name, "completed", 1, 1) for s in tasks.plan_of(asker, done.task_id).steps] == steps
    draft = SecurityDraft("OTHER", "XNYS", "Other", "Equity", "USD")
    with engine.session(desk.vera) as c, pytest.raises(AccessDenied):
        import_securities.propose_security(c, draft, "a.csv", TODAY)


def test_a_security_of_a_file_has_its_symbol_from_when_it_was_free(desk: Desk) -> None:
    with engine.jobs() as c:
        c.execute(
            "WITH old AS (INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('NEWS.OLD', 'XNYS', 'Old', 'Equity', 'USD') "
            "RETURNING security_id) INSERT INTO security_symbols (security_id, symbol, exchange, valid_from) "
            "SELECT security_id, s, 'XNYS', v::date FROM old, (VALUES ('NEWS', '1900-01-01'), ('NEWS.OLD', '2024-06-03')) x (s, v)"
        )
    raw = statement("2026-01-05").replace(b",ACME,", b",NEWS,").replace(b",Acme,", b",Brand News,")
    portfolio = desk.fresh()
    [unknown] = desk.put(portfolio, raw).unknown
    desk.put(portfolio, raw, choices={unknown.key: Choice(create=unknown.proposed)}, dry_run=False)
    [made] = [s for s in market.securities(desk.anna) if s.symbol == "NEWS"]
    asker = user_of(desk.anna)
    with engine.jobs() as c:
        since = c.execute("SELECT valid_from FROM security_symbols WHERE security_id = %s", (made.security_id,))
        assert since.fetchall() == [(date(2024, 6, 3),)]
    [done] = tasks.tasks(asker, security=made.security_id)
    plan = tasks.plan_of(asker, done.task_id)
    assert plan.steps[1].rows[0]["valid_from"] == "2024-06-03", "what is kept with the task is what was written"
    assert "XNYS:NEWS was XNYS:NEWS.OLD until 2024-06-03" in plan.notes[0]


@pytest.mark.parametrize(
    ("policy", "why"),
    [({"add": "admin"}, "your role may not add"), ({"four_eyes": ["add"]}, "a second person approves")],
)
def test_a_file_adds_no_security_that_its_reader_may_not_add(desk: Desk, policy: dict[str, object], why: str) -> None:
    root = user_of(access.create_user("root", "the long password", "admin"))
    tasks.set_policy(root, policy)
    portfolio = desk.fresh()
    raw = statement("2026-01-05").replace(b",ACME,", b",NEWS,").replace(b",Acme,", b",Brand News,")
    dry = desk.put(portfolio, raw)
    assert why in dry.closed
    choices = {u.key: Choice(create=u.proposed) for u in dry.unknown}
    for dry_run in (True, False):
        found = desk.put(portfolio, raw, choices=choices, dry_run=dry_run, take_good=True)
        assert {(v.outcome, why in v.reason) for v in found.verdicts} == {("refused", True)}
    assert "NEWS" not in {s.symbol for s in market.securities(desk.anna)}
    with engine.session(desk.anna) as c, pytest.raises(AccessDenied, match=why.removeprefix("your ")):
        import_securities.propose_security(c, SecurityDraft("NEWS", "XNYS", "News", "Equity", "USD"), "a.csv", TODAY)


def test_a_security_of_a_file_goes_by_the_rules_of_the_master(desk: Desk) -> None:
    portfolio = desk.fresh()
    raw = statement("2026-01-05").replace(b",ACME,", b",NEWS,").replace(b",Acme,", b",Brand News,")
    [unknown] = desk.put(portfolio, raw).unknown
    for change, words in (({"isin": "US0378331006"}, "check digit"), ({"symbol": "BRK B"}, "without spaces"),
                          ({"asset_class": "Equities"}, "did you mean Equity"), ({"symbol": "DULL"}, "XNYS lists it already"),
                          ({"currency": "XXQ"}, "there is none"), ({"exchange": "XNYX"}, "did you mean XNYS")):  # fmt: skip
        found = desk.put(portfolio, raw, choices={unknown.key: Choice(create=replace(unknown.proposed, **change))})
        assert words in found.unknown[0].fault
        assert {(v.outcome, words in v.reason) for v in found.verdicts} == {("refused", True)}


def test_a_security_that_cannot_be_created_refuses_its_own_rows_only(desk: Desk) -> None:
    portfolio, raw = desk.fresh(), statement("2026-01-05")
    one, two, three = (line.replace(b"US0000000017,ACME,Acme", cells) for line, cells in
                       zip(raw.splitlines()[1:2] * 3, (b",NEWS,Brand News", b",OLDS,Old News", b",BADS,Bad News"), strict=True))  # fmt: skip
    raw = b"\n".join([raw.splitlines()[0], one, two, three])
    choices = {
        u.key: Choice(create=replace(u.proposed, symbol="NEWS" if u.named.symbol == "OLDS" else u.proposed.symbol,
                                     isin="US0378331006" if u.named.symbol == "BADS" else ""))
        for u in desk.put(portfolio, raw).unknown
    }  # fmt: skip
    for dry_run in (True, False):
        found = desk.put(portfolio, raw, choices=choices, dry_run=dry_run, take_good=True)
        assert [v.outcome for v in found.verdicts] == ["book", "refused", "refused"]
        assert "this file creates it on XNYS already" in found.verdicts[1].reason
        assert "check digit" in found.verdicts[2].reason
    assert found.booked == 1
    assert {"NEWS", "OLDS", "BADS"} & {s.symbol for s in market.securities(desk.anna)} == {"NEWS"}


def test_a_verdict_says_which_security_is_meant_and_what_is_lost_of_a_new_one(desk: Desk) -> None:
    portfolio = desk.fresh()
    raw = statement("2026-01-05").replace(b",US0000000017,ACME,Acme", b",US0378331006,ZEBRA,Zebra Ltd")
    [unknown] = desk.put(portfolio, raw).unknown
    assert (unknown.proposed.isin, unknown.note) == (
        "",
        "the ISIN US0378331006 is left out: its check digit or form is wrong",
    )
    for symbol, exchange, shown in (("STRIPE", "XNYS", "STRIPE"), ("ACME", "XETR", "XETR:ACME")):
        made = replace(unknown.proposed, symbol=symbol, exchange=exchange)
        found = desk.put(portfolio, raw, choices={unknown.key: Choice(create=made)})
        assert {v.symbol for v in found.verdicts if v.posting and v.posting.security_id} == {shown}, found.verdicts
    chosen = desk.put(portfolio, raw, choices={unknown.key: Choice(use=desk.ids["DULL"])})
    assert {v.symbol for v in chosen.verdicts if v.posting and v.posting.security_id} == {"DULL"}
    made = replace(unknown.proposed, symbol="ACME", exchange="XETR", currency="USD")
    assert desk.put(portfolio, raw, choices={unknown.key: Choice(create=made)}, dry_run=False).booked
    own = f"date,kind,symbol,quantity,price,currency\n{TODAY},buy,ACME,1,10,USD\n".encode()
    (verdict,) = desk.put(portfolio, own).verdicts
    assert (
        "symbol ACME: two exchanges list ACME: XETR, XNYS; give exchange, or choose which one is meant"
        in verdict.reason
    )


def test_what_is_proposed_is_a_symbol_of_its_own(desk: Desk) -> None:
    one = statement("2026-01-05").splitlines()
    raw = b"\n".join([one[0], *(one[1].replace(b"US0000000017,ACME,Acme", cells) for cells in
                      (b",DULL X,Dull Exploration", b",DULL.X,Dull Xenon", b"US5949181045,DULL X,Dull Xylophones", b",,Brand News", b",,Brand-News", ",,株式会社".encode()))])  # fmt: skip
    portfolio = desk.fresh()
    unknown = desk.put(portfolio, raw).unknown
    symbols = [u.proposed.symbol for u in unknown]
    assert len(set(symbols)) == len(symbols) > 3, symbols
    choices = {u.key: Choice(create=u.proposed) for u in unknown}
    assert desk.put(portfolio, raw, choices=choices).count("book") == 6


def test_the_line_that_tells_excel_the_delimiter_is_passed_over(desk: Desk) -> None:
    raw = b"sep=;\r\ndate;kind;gross\r\n2026-01-05;deposit;1000\r\n2026-01-06;deposit;zero\r\n"
    assert [(v.line, v.outcome) for v in desk.put(desk.fresh(), raw).verdicts] == [(3, "book"), (4, "refused")]


# --- kept column maps --------------------------------------------------------------------------------------------------

POLISH = b"Dnia;Co;Papier;Ile;Po ile;Razem\n05.01.2026;zakup;ACME;2;10,50;21,00\n06.01.2026;wplata;;;;100,00\n"
MAP = ColumnMap({"date": "Dnia", "kind": "Co", "symbol": "Papier", "quantity": "Ile", "price": "Po ile", "gross": "Razem"},
                {"zakup": "buy", "wplata": "deposit"}, "dmy", ",", delimiter=";", signed=False)  # fmt: skip

COLUMNS = ("Dnia", "Co", "Papier", "Ile", "Po ile", "Razem")


def test_a_mapped_column_says_through_whom_it_went(desk: Desk) -> None:
    counterparties.add(user_of(desk.anna), {"name": "Quay Brokers", "type": "broker"})
    raw = b"Dnia;Co;Papier;Ile;Po ile;Przez\n05.01.2026;zakup;ACME;2;10,50;quay brokers\n05.01.2026;zakup;ACME;1;10,50;Quai Brokers\n"
    mapped = replace(MAP, columns={k: v for k, v in MAP.columns.items() if k != "gross"} | {"counterparty": "Przez"})
    good, bad = desk.put(desk.fresh(), raw, column_map=mapped).verdicts
    assert good.posting is not None
    assert good.posting.counterparty == "Quay Brokers"
    assert (bad.outcome, "did you mean Quay Brokers?" in bad.reason) == ("refused", True)


def test_an_unknown_table_is_mapped_and_its_map_found_again(desk: Desk) -> None:
    portfolio = desk.fresh()
    with pytest.raises(UnknownFormat) as unknown:
        desk.put(portfolio, POLISH)
    assert unknown.value.columns == COLUMNS
    assert unknown.value.rows[0] == ("05.01.2026", "zakup", "ACME", "2", "10,50", "21,00")
    found = desk.put(portfolio, POLISH, column_map=MAP)
    assert [(v.outcome, v.posting.kind if v.posting else "") for v in found.verdicts] == [
        ("book", "buy"),
        ("book", "deposit"),
    ]
    number = import_maps.keep_map(desk.anna, "From Poland", MAP, COLUMNS)
    moved = "Wyciąg konta\n\n".encode() + POLISH  # the table begins further down in the next file
    kept = desk.put(portfolio, moved, dry_run=False)
    assert (kept.format, kept.title, kept.booked) == ("map", "From Poland", 2)
    assert desk.put(portfolio, POLISH, column_map=number).count("duplicate") == 2
    assert fingerprint(reversed(COLUMNS)) == fingerprint(c.upper() + " " for c in COLUMNS)


def test_maps_are_ones_own_or_shared(desk: Desk) -> None:
    mine = import_maps.keep_map(desk.anna, "Mine", MAP, COLUMNS)
    portfolio = portfolios.create_portfolio(desk.ben, "Ben's", "USD", None, "fifo", "")
    with pytest.raises(UnknownFormat):
        desk.put(portfolio, POLISH, user=desk.ben)
    with pytest.raises(NoSuchMap):
        desk.put(portfolio, POLISH, user=desk.ben, column_map=mine)
    with pytest.raises(NoSuchMap):
        import_maps.drop_map(desk.ben, mine)
    shared = import_maps.keep_map(desk.anna, "For all", MAP, COLUMNS, shared=True)
    assert desk.put(portfolio, POLISH, user=desk.ben).title == "For all"
    assert [(m.name, m.mine, m.shared) for m in import_maps.maps(desk.ben)] == [("For all", False, True)]
    with pytest.raises(NoSuchMap):
        import_maps.drop_map(desk.ben, shared)
    with pytest.raises(AccessDenied, match="somebody else's"):
        import_maps.keep_map(desk.ben, "For all", MAP, COLUMNS, shared=True)
    assert import_maps.keep_map(desk.anna, "Mine", ColumnMap(dict(MAP.columns), delimiter=";"), COLUMNS) == mine, (
        "it takes the old one's place"
    )
    with pytest.raises(AccessDenied):
        import_maps.keep_map(desk.vera, "Hers", MAP, COLUMNS)
    with pytest.raises(LedgerError, match="Razem"):
        import_maps.keep_map(desk.anna, "Wrong", MAP, COLUMNS[:-1])
    import_maps.drop_map(desk.anna, shared)
    with pytest.raises(UnknownFormat):
        desk.put(portfolio, POLISH, user=desk.ben)


# --- who may, and what is thrown at it -----------------------------------------------------------------------------------


def test_a_viewer_imports_and_undoes_nothing(desk: Desk) -> None:
    portfolio = desk.fresh()
    done = desk.put(portfolio, statement("2026-01-05"), dry_run=False)
    access.share(User(desk.anna, "anna", "Anna", "analyst"), portfolio, "vera", "read")
    for attempt in (
        lambda: desk.put(portfolio, statement("2026-02-05"), user=desk.vera),
        lambda: imports.undo(desk.vera, portfolio, done.import_id),  # type: ignore[arg-type]
    ):
        with pytest.raises(AccessDenied):
            attempt()
    assert exports.export(desk.vera, portfolio) == exports.export(desk.anna, portfolio), (
        "she may read, so she may take it along"
    )
    for attempt in (lambda: exports.export(desk.ben, portfolio), lambda: desk.put(portfolio, b"", user=desk.ben)):
        with pytest.raises(books.NoSuchPortfolio):
            attempt()
    assert imports.done(desk.ben, portfolio) == []


def test_progress_rises_to_the_end(desk: Desk) -> None:
    said: list[float] = []
    desk.put(
        desk.fresh(),
        statement("2026-01-05"),
        dry_run=False,
        progress=lambda share, text: said.append(share) if text else None,
    )
    assert said == sorted(said)
    assert said[0] < 0.2
    assert said[-1] == 1.0


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00", b"date,kind\n2026-01-01,dep\x00osit\n", b"<html><body><table><tr><td>date,kind</td></tr></table></body></html>",
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><FlexQueryResponse>&a;</FlexQueryResponse>", b"PK\x03\x04" + b"\x00" * 50,
        b"\xff\xfe", b"hello", b"a,b\n1,2\n", b'"' * 10_000, b"\n" * 1000, b"date,kind,gross\n" + b"9" * (33 * 2**20),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(desk: Desk, raw: bytes) -> None:
    with pytest.raises(NotReadable) as e:
        desk.put(desk.fresh(), raw)
    assert len(str(e.value)) > 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_encoding_of_our_own_format_is_read(desk: Desk, encoding: str) -> None:
    portfolio = desk.fresh()
    raw = "date,kind,gross,note\r\n2026-01-05,deposit,10,Größe £\r\n".encode(encoding)
    desk.put(portfolio, raw, dry_run=False)
    assert desk.rows(portfolio)[0]["note"] == "Größe £"


# --- a ledger out and in again -------------------------------------------------------------------------------------------


@settings(max_examples=1000, deadline=None)
@given(ledgers())
def test_an_exported_ledger_reads_as_the_same_postings(told: Told) -> None:
    """A law, without a database: what `restored` makes of the exported cells are the postings."""
    names = {n: (s.symbol, s.exchange) for n, s in SECURITIES.items()}
    entries = [
        Entry(UUID(int=i), p, f"k{i}", *(names[p.security_id] if p.security_id else ("", "")),
              into=":".join(reversed(names[p.into_id])) if p.into_id else "")
        for i, p in enumerate(told.postings)
    ]  # fmt: skip
    text = exporting.ledger_csv(entries)
    listed = Listings(SECURITIES)
    again = []
    for line in importing.lines_of(text):
        symbol, into = line.cells["symbol"], line.cells["into"]
        again.append(
            exporting.restored(line.cells, listed.find(symbol) if symbol else None, listed.find(into) if into else None,
                               frozenset({"USD", "EUR", "JPY"}), BASE, date(2026, 1, 1))
        )  # fmt: skip
    assert again == list(told.postings)
    assert (
        exporting.ledger_csv(
            [Entry(e.id, p, e.key, e.symbol, e.exchange, into=e.into) for e, p in zip(entries, again, strict=True)]
        )
        == text
    )
    assert FIRST.isoformat() in text


NOTES = ["=1+1", "'=1+1", "''", " blank before and behind ", 'quotes "and, commas"', "two\r\nlines", "", "-", "Größe"]


def whole_ledger(desk: Desk, portfolio: UUID) -> None:
    """Every kind, chosen lots, a reversal, notes that CSV and spreadsheets trip over."""
    raw = (
        (
            "date,kind,symbol,quantity,price,gross,fees,taxes,currency,fx,ratio,into,fraction,basis,basis_base,acquired\n"
            "2025-01-02,deposit,,,,100000,,,EUR,,,,,,,\n"
            "2025-01-03,buy,ACME,100,10.123456,,1.5,,USD,0.93,,,,,,\n"
            "2025-01-06,buy,ACME,50,12,,1.5,,USD,,,,,,,\n"
            "2025-01-07,transfer_in,DULL,10,20,,,,USD,,,,,150,140.5,2024-05-05\n"
            "2025-02-03,dividend,ACME,,,15.5,,2.33,USD,,,,,,,\n"
            "2025-02-04,split,ACME,,,,,,USD,,2,,,,,\n"
            "2025-02-05,spin_off,ACME,,,,,,USD,,0.5,ZETA,0.25,,,\n"
            "2025-02-06,fx_out,,,,100,,,EUR,,,,,,,\n"
            "2025-02-06,fx_in,,,,108.2,,,USD,,,,,,,\n"
            "2025-03-03,sell,ZETA,20,8,,0.5,,USD,,,,,,,\n"
            "2025-03-04,return_of_capital,ACME,,,12,,,USD,,,,,,,\n"
            "2025-03-05,merger,DULL,,,130,,,USD,,0.5,ACME,,,,\n"
            "2025-03-06,interest,,,,-3.2,,,EUR,,,,,,,\n"
            "2025-03-07,short,DULL,5,30,,1,,USD,,,,,,,\n"
            "2025-03-10,cover,DULL,5,28,,1,,USD,,,,,,,\n"
            "2025-03-11,symbol_change,ZETA,,,,,,USD,,,DULL,,,,\n"
            "2025-03-12,transfer_out,DULL,1,9,,,,USD,,,,,,,\n"
            "2025-03-13,fee,,,,9.99,,,EUR,,,,,,,\n"
        )
        .replace(",130,,,USD,,0.5,", ",,,,USD,,0.5,")
        .encode()
    )
    assert desk.put(portfolio, raw, dry_run=False).booked == 18
    bought = next(r["id"] for r in desk.rows(portfolio) if r["kind"] == "buy")
    chosen = f"date,kind,symbol,quantity,price,lots\n2025-04-01,sell,ACME,30,15,{bought}:30\n".encode()
    desk.put(portfolio, chosen, dry_run=False)
    for i, note in enumerate(NOTES):
        [number] = ledger.append(
            desk.anna,
            portfolio,
            [Draft("deposit", date(2025, 5, 1 + i), "EUR", gross=Decimal(i + 1), note=note)],
            TODAY,
        )
        if i == 2:
            ledger.reverse(desk.anna, portfolio, number, "-was wrong")
    legs = [
        Draft("fx_out", date(2025, 6, 2), "EUR", gross=Decimal(10)),
        Draft("fx_in", date(2025, 6, 2), "USD", gross=Decimal(11)),
    ]
    ledger.append(desk.anna, portfolio, legs, TODAY, linked=True)
    days = [Draft("deposit", date(2025, 6, 3), "EUR", gross=Decimal(n)) for n in (1, 2, 3)]
    early, *_ = ledger.append(desk.anna, portfolio, days, TODAY)
    corrections.correct(
        desk.anna, portfolio, [(early, Draft("deposit", date(2025, 6, 3), "EUR", gross=Decimal(7)))], TODAY
    )


def test_a_whole_ledger_goes_out_and_in_again_byte_for_byte(desk: Desk) -> None:
    first, second = desk.fresh("EUR", method="fifo"), desk.fresh("EUR", "Copy", "fifo")
    whole_ledger(desk, first)
    text = exports.export(desk.anna, first)
    assert text.splitlines()[0] == ",".join((*importing.COLUMNS, "id", "reverses", "corrects", "place", "link", "key"))
    assert "\r\n" in text
    found = desk.put(second, text.encode(), dry_run=False)
    assert (found.format, found.count("refused"), found.count("duplicate")) == ("ledger", 0, 0)
    assert exports.export(desk.anna, second) == text
    one, two = (books.live(desk.anna, p).book.ledger for p in (first, second))
    for name in (
        "kind",
        "security",
        "quantity",
        "ratio_new",
        "ratio_old",
        "gross",
        "fees",
        "taxes",
        "net",
        "traded_on",
        "settles_on",
        "ids",
        "with_fx",
    ):
        assert getattr(one, name).tolist() == getattr(two, name).tolist(), name
    assert one.details == two.details
    rows = desk.rows(second)
    assert sum(bool(r["corrects"]) for r in rows) == sum(bool(r["place"]) for r in rows) == 1
    assert [r["link"] for r in rows if r["link"]] == [next(r["id"] for r in rows if r["link"])] * 2
    [leg] = [r for r in rows if r["link"] and r["kind"] == "fx_in"]
    ledger.reverse(desk.anna, second, UUID(leg["id"]))
    assert (
        sum(r["kind"] == "reversal" for r in desk.rows(second))
        == sum(r["kind"] == "reversal" for r in desk.rows(first)) + 2
    )
    assert text == exports.export(desk.anna, first), "a link of the copy does not reach into the first"
    text = exports.export(desk.anna, second)
    third = desk.fresh("EUR", "Third")
    found = desk.put(third, text.encode(), dry_run=False)
    assert exports.export(desk.anna, third) == text
    first, second = second, third
    here = desk.put(first, text.encode(), dry_run=False)
    assert (here.booked, here.count("duplicate")) == (0, len(found.verdicts))
    assert desk.put(second, text.encode()).count("duplicate") == len(found.verdicts)


def test_a_whole_ledger_meets_a_portfolio_that_has_a_part_of_it(desk: Desk) -> None:
    """The file was imported in both; then one of its entries was reversed in one of them, and another sold from a chosen lot."""
    first, second = desk.fresh(), desk.fresh(name="Copy")
    raw = statement("2026-01-05", "2026-02-05")
    for portfolio in (first, second):
        assert desk.put(portfolio, raw, dry_run=False).booked == 4
    rows = desk.rows(first)
    ledger.reverse(desk.anna, first, UUID(rows[0]["id"]))
    chosen = f"date,kind,symbol,quantity,price,lots\n2026-04-01,sell,ACME,1,15,{rows[1]['id']}:1\n".encode()
    desk.put(first, chosen, dry_run=False)
    found = desk.put(second, exports.export(desk.anna, first).encode(), dry_run=False)
    assert (found.booked, found.count("duplicate")) == (2, 4)
    theirs = desk.rows(second)
    assert theirs[4]["reverses"] == theirs[0]["id"] != rows[0]["id"]
    assert theirs[5]["lots"] == f"{theirs[1]['id']}:1"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("{id}", "{other}", "two entries of the file have this id"),
        ("{id}", "17", "an id as the export"),
        ("{id}", "", "every entry of a whole ledger has its id"),
        ("own:{id}", "own:{other}", "two entries of the file have this key"),
        ("deposit", "reversal", "names the entry that it reverses"),
    ],
)
def test_a_damaged_ledger_is_refused_by_the_row(desk: Desk, old: str, new: str, why: str) -> None:
    first, second = desk.fresh(), desk.fresh(name="Copy")
    drafts = [
        Draft("deposit", date(2025, 5, 1), "USD", gross=Decimal(5)),
        Draft("deposit", date(2025, 5, 2), "USD", gross=Decimal(5)),
    ]
    other, last = ledger.append(desk.anna, first, drafts, TODAY)
    lines = exports.export(desk.anna, first).splitlines()
    words = {"id": str(last), "other": str(other)}
    text, what = old.format(**words), new.format(**words)
    at = lines[2].rindex(text) if old.startswith("own") else lines[2].index(text)
    lines[2] = lines[2][:at] + what + lines[2][at + len(text) :]
    found = desk.put(second, "\r\n".join(lines).encode())
    assert [v.outcome for v in found.verdicts] == ["book", "refused"]
    assert why in found.verdicts[1].reason


def test_guarded_text_comes_back() -> None:
    for note in (*NOTES, "\t", "@x", "+1", "'", "'-"):
        assert importing.unguarded(importing.guarded(note)) == note
        assert importing.guarded(note)[:1] not in ("=", "+", "-", "@", "\t", "\r") or not note
