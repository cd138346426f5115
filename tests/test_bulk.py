"""Many securities by CSV: verdicts row by row, one task in one transaction, the backup before it and the way back."""

from __future__ import annotations

import csv
import gzip
import io
import random
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from small import WORDS, Small, bar_days, installed, row

from core import bulk as files
from core.bulk import NothingLoaded
from core.bulk_rows import rows_of
from core.importing import NotReadable
from core.importing import draft as draft_of
from core.master import FIELDS, Known
from core.plans import Plan
from core.restoring import KEYS, NothingToRestore
from db import access, backups, bulk, ledger, market, master, snapshots, tasks, upkeep
from db.access import AccessDenied
from db.backups import BackupDamaged, NoSuchBackup
from jobs.run import Worker
from jobs.tasks import work_one


@pytest.fixture
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def table(*rows: dict[str, str], columns: str = "", delimiter: str = ",") -> bytes:
    """A file of these rows; its columns are those that any row has."""
    names = columns.split() or list(dict.fromkeys(k for r in rows for k in r))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def shares(count: int) -> list[dict[str, str]]:
    return [
        {
            "symbol": f"N{i:04}",
            "exchange": "XNYS",
            "name": f"Number {i}",
            "asset_class": "Equity",
            "price": "12.5" if i % 2 else "",
        }
        for i in range(count)
    ]


def worked(limit: int = 20) -> int:
    """Carry out everything that is queued."""
    worker, n = Worker(Event()), 0
    while n < limit and work_one(worker):
        n += 1
    return n


def loaded(small: Small, raw: bytes, who: str = "ben", existing: str = "refuse", partial: bool = False) -> UUID:
    """A file that is asked for and carried out."""
    user = small.user(who)
    task = bulk.load(user, bulk.judged(user, raw, "new.csv", existing), partial)
    assert worked() == 1
    done = tasks.task_of(user, task)
    assert done.status == "completed", done.error
    return task


def renamed(small: Small, symbol: str, to: str, on: date) -> None:
    """A symbol change that is done."""
    ben = small.user("ben")
    task = tasks.request(ben, master.plan_rename(ben, small.securities[symbol], to, None, on), {})
    worked()
    assert tasks.task_of(ben, task).status == "completed"


def rows(small: Small, query: str, *parameters: Any) -> list[Any]:
    with small.database.owner() as c:
        return c.execute(query, parameters).fetchall()


def whole_master(small: Small) -> dict[str, list[str]]:
    """Every column of every row that a backup holds, as text."""
    return {t: [r[0] for r in rows(small, f"SELECT t::text FROM {t} t ORDER BY 1")] for t in KEYS}


def verdicts(small: Small, raw: bytes, existing: str = "refuse") -> list[files.Verdict]:
    return list(bulk.judged(small.user("ben"), raw, "new.csv", existing).verdicts)


def faults(small: Small, **cells: str) -> dict[tuple[str, str], str]:
    """What is said about one row: by class and field."""
    (one,) = verdicts(small, table({"symbol": "NOVA", "exchange": "XNYS", "asset_class": "Equity", **cells}))
    assert (one.outcome == "refused") is bool(one.faults)
    return {(type(f).__name__, f.field): str(f) for f in one.faults}


# ── verdicts ────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_class_of_errors_says_its_own_in_the_dry_run(small: Small) -> None:
    """The eight classes of S0 that a row can have; the ninth is a task that fails, below."""
    expected = {
        ("DuplicateSymbol", "symbol"): ({"symbol": "ACME", "name": "Another"}, "lists it already"),
        ("InvalidAssetClass", "asset_class"): ({"asset_class": "Equities"}, "did you mean Equity"),
        ("AssetClassInconsistent", "sector"): ({"asset_class": "Crypto", "sector": "Energy"}, "Crypto has no sector"),
        ("AssetClassInconsistent", "asset_class"): ({"asset_class": "Fund", "isin": "US0378331005"}, "XNYS:ACME is the same security"),
        ("InvalidSector", "sector"): ({"sector": "Enregy"}, "did you mean Energy"),
        ("InvalidPrice", "price"): ({"price": "-3"}, "above zero"),
        ("InvalidDividendFrequency", "dividend_frequency"): ({"dividend_frequency": "dayly"}, "monthly"),
        ("UnknownReference", "exchange"): ({"exchange": "XXXX"}, "there is none"),
        ("UnknownReference", "currency"): ({"currency": "USX"}, "there is none"),
        ("InvalidDividend", "dividend_ex_on"): ({"dividend": "1", "dividend_frequency": "annual"}, "ex date"),
        ("InvalidField", "isin"): ({"isin": "US0378331006"}, "check digit"),
    }  # fmt: skip
    for key, (cells, words) in expected.items():
        found = faults(small, **cells)
        assert list(found) == [key], cells
        assert words in found[key]
    assert faults(small) == {}


def test_every_fault_of_a_row_is_said_at_once(small: Small) -> None:
    found = faults(small, symbol="ACME", name="X", asset_class="Stock", currency="QQQ", price="cheap", sector="Moon")
    assert {c for c, _ in found} == {
        "DuplicateSymbol",
        "InvalidAssetClass",
        "UnknownReference",
        "InvalidSector",
    }, "a first price of what is there is not read"
    assert {c for c, _ in faults(small, asset_class="Stock", currency="QQQ", price="cheap")} == {
        "InvalidAssetClass",
        "UnknownReference",
        "InvalidPrice",
    }


def test_a_file_is_judged_against_itself(small: Small) -> None:
    base = {"exchange": "XNYS", "asset_class": "Equity", "isin": ""}
    found = verdicts(
        small,
        table(
            {**base, "symbol": "ONE", "isin": "US5949181045"},
            {**base, "symbol": "one"},
            {**base, "symbol": "TWO", "isin": "US 594918 1045", "asset_class": "fund"},
            {**base, "symbol": "ONE", "exchange": "XETR", "isin": "US5949181045"},
        ),
    )
    assert [v.outcome for v in found] == ["add", "refused", "refused", "add"]
    assert "duplicate symbol: line 2 of this file" in found[1].why
    assert found[1].faults[0].__class__.__name__ == "DuplicateSymbol"
    assert "line 2 of this file is the same security by its ISIN and is Equity" in found[2].why
    assert found[2].faults[0].__class__.__name__ == "AssetClassInconsistent"


def test_what_is_exported_is_unchanged_when_it_is_imported(small: Small) -> None:
    with small.database.owner() as c:  # whatever may stand there, a formula of a spreadsheet too
        c.execute("UPDATE securities SET name = '=1+1', issuer = '''-quoted', rating = '+A' WHERE symbol = 'BOLT'")
        c.execute("UPDATE securities SET name = 'A, \"b\";  c' || chr(10) || 'd', status = 'retired', ended_on = '2026-01-05' WHERE symbol = 'LATE'")  # fmt: skip
        c.execute("UPDATE securities SET asset_class = 'Fixed Income', par_value = 100.5, issued_on = '2020-01-31', matures_on = '2030-01-31' WHERE symbol = 'NEVER'")  # fmt: skip
    text = bulk.export_csv(small.user("ben"))
    assert text.splitlines()[0].split(",") == list(FIELDS)
    found = verdicts(small, text.encode())
    assert len(found) == len(rows(small, "SELECT FROM securities"))
    assert {v.outcome for v in found} == {"unchanged"}
    assert {v.outcome for v in verdicts(small, text.encode(), "update")} == {"unchanged"}
    assert "'=1+1" in text
    only = list(csv.DictReader(io.StringIO(bulk.export_csv(small.user("ben"), ["retired"]))))
    assert [(r["symbol"], r["par_value"], r["price"]) for r in only] == [("LATE", "", "")]
    with pytest.raises(NothingLoaded, match="nothing to load"):
        bulk.load(small.user("ben"), bulk.judged(small.user("ben"), text.encode(), "x.csv"))


def test_without_an_exchange_a_row_means_the_only_one_of_its_symbol(small: Small) -> None:
    known = {"symbol": "acme", "asset_class": "equity"}
    assert [v.outcome for v in verdicts(small, table(known))] == ["unchanged"]
    assert verdicts(small, table(known))[0].listing == "XNYS:ACME"
    loaded(small, table({"symbol": "ACME", "exchange": "XETR", "asset_class": "Equity"}))
    (several,) = verdicts(small, table(known))
    assert several.outcome == "refused"
    assert "two exchanges list ACME: XETR, XNYS; give exchange" in several.why


def test_the_template_loads_as_it_is(small: Small) -> None:
    found = verdicts(small, files.TEMPLATE.encode())
    assert [(v.outcome, v.why) for v in found] == [("add", ""), ("add", "")]
    assert [v.listing for v in found] == ["XNYS:EXMPL", "XOFF:EXMPL-30"]


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_titles_and_delimiters(delimiter: str) -> None:
    text = f"Asset Class{delimiter} SYMBOL {delimiter}Name{delimiter}\r\n\r\nEquity{delimiter}abc{delimiter}Å{delimiter}\r\n"
    (one,) = rows_of(b"\xef\xbb\xbf" + text.encode())
    assert (one.line, dict(one.cells), one.faults) == (3, {"asset_class": "Equity", "symbol": "abc", "name": "Å"}, ())


@pytest.mark.parametrize(
    ("numbers", "read"),
    [
        (["12,50", "1.234,56"], ["12.50", "1234.56"]),
        (["12,50", "1.234"], ["12.50", "1234"]),
        (["1,5", ""], ["1.5", ""]),
        (["12.50", "1.234"], ["12.50", "1.234"]),
        (["12.50", "12,5"], ["12.50", "12.5"]),
        (["1,234"], ["1.234"]),
    ],
)
def test_decimal_commas(numbers: list[str], read: list[str]) -> None:
    raw = table(*({"symbol": f"A{i}", "asset_class": "Fund", "price": n} for i, n in enumerate(numbers)), delimiter=";")
    assert [r.cells["price"] for r in rows_of(raw)] == read


def test_a_number_with_two_meanings_is_refused(small: Small) -> None:
    (one,) = verdicts(small, table({"symbol": "A", "asset_class": "Fund", "price": "1.234"}, delimiter=";"))
    assert "InvalidPrice: price '1.234': it can mean two numbers: write 1234 or 1,234" in one.why
    (two,) = verdicts(small, table({"symbol": "A", "asset_class": "Fund", "price": "1,234.50"}))
    assert "InvalidPrice" in two.why
    assert "no thousands separators" in two.why


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the file is empty"),
        (b" \r\n\n", "the file is empty"),
        (b"symbol,asset_class\n", "a header but no rows"),
        ("symbol,asset_class,name\nA,Equity,Grün\nB,Equity,".encode() + b"Gr\xfcn\n", "byte 0xfc in line 3 is none.*Save it as CSV UTF-8"),
        (b"symbol,asset_class,name\nA,Equity,\x81\n", "neither UTF-8 nor Windows-1252: byte 0x81 in line 2"),
        ("symbol,asset_class\n".encode("utf-16"), "a header but no rows"),
        ("symbol,asset_class\nA,Equity\n".encode("utf-16")[:-1], "not UTF-16: byte"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "this is a PDF: a CSV file is needed"),
        (b"PK\x03\x04\x14\x00\x06\x00", "this is a spreadsheet or another packed file: a CSV file is needed"),
        (gzip.compress(b"symbol,asset_class\nA,Equity\n")[:-9], "broken or cut off"),
        (gzip.compress(bytes(2**26 + 1), 1), "more than 64 MB"),
        (gzip.compress(b"\n" * 2**26, 1), "has 67,108,865 lines"),
        (b"symbol,,asset_class\nA,,Equity\n", "column 2 has no name"),
        (b"name,price\nA,1\n", "no column 'symbol' and none 'asset_class'"),
        (b"symbol,asset_clas,tickr\nA,Equity,B\n", r"unknown columns 'asset_clas' \(did you mean 'asset_class'\?\), 'tickr'\. There are symbol, exchange"),
        (b"symbol,asset_class,Symbol\nA,Equity,B\n", "names the column 'symbol' twice"),
        (b"\x00" * 10_000_000, "not a text file"),
        (b"x" * 10_000_000, "line 1 has 10,000,000 characters"),
        (b"symbol,asset_class\nA," + b"," * 9_000_000, "line 2 has 9,000,002 characters"),
        (b"a,b\n" * 2_500, "unknown columns 'a', 'b'"),
        (b"symbol,asset_class\n" + b"a,b\n" * 2_500_000, "up to 50,000 rows"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_in_words(raw: bytes, words: str) -> None:
    with pytest.raises(NotReadable, match=words) as e:
        rows_of(raw)
    assert len(str(e.value)) < 600


def test_random_bytes_end_in_words() -> None:
    made = random.Random(3)
    for size in (10, 1_000, 10_000_000):
        with pytest.raises(NotReadable):
            rows_of(made.randbytes(size))


def test_a_row_with_more_cells_than_columns_is_refused_alone(small: Small) -> None:
    found = verdicts(small, b'symbol,asset_class,\nA,Equity\nB,Equity,,\nC,Equity,x\nD,Equity,,y\n"E,Equity\n')
    assert [v.outcome for v in found] == ["add", "add", "refused", "refused", "refused"]
    assert "with 3 cells" in found[2].why
    assert "the header has 2 columns" in found[3].why


@pytest.mark.parametrize(
    "raw",
    [
        "symbol;asset_class;name\nGR;Equity;Grün\n".encode("cp1252"),
        "symbol\tasset_class\tname\r\nGR\tEquity\tGrün\r\n".encode("utf-16"),  # "Unicode text" of a spreadsheet
        "symbol,asset_class,name\rGR,Equity,Grün\r\r,,,,\r".encode(),
        gzip.compress("symbol,asset_class,name\nGR,Equity,Grün\n".encode()),
        "\ufeffsep=;\r\nsymbol;asset_class;name\r\nGR;Equity;Grün\r\n".encode(),
        '"SEP=,",,\nsymbol,asset_class,name\nGR,Equity,Grün\n'.encode(),
    ],
)
def test_files_as_spreadsheets_write_them(raw: bytes) -> None:
    (one,) = rows_of(raw)
    assert dict(one.cells) == {"symbol": "GR", "asset_class": "Equity", "name": "Grün"}


def test_a_lost_quotation_mark_swallows_no_rows(small: Small) -> None:
    """One cell would hold the rows that follow, and they would be gone without a word."""
    rows = 'A,Equity,"Foo\nB,Equity,Bar\nC,Equity,Baz\n'
    (never,) = verdicts(small, f"symbol,asset_class,name\n{rows}".encode())
    assert (never.outcome, never.why) == ("refused", "InvalidField: row 'lines 2 to 4': a quotation mark is opened and not closed where the cell ends: correct it")  # fmt: skip
    late, good = verdicts(small, b'symbol,asset_class,name\nA,Equity,"Foo\nB,Equity,"Bar"\nC,Equity,Baz\n')
    assert ("lines 2 to 3" in late.why, late.outcome, good.outcome) == (True, "refused", "add")
    (cell,) = verdicts(small, b'symbol,asset_class,name\nA,Equity,"' + b"x\n" * 99_000 + b"B,Equity,Bar\n")
    assert "row 'lines 2 to 99002': it cannot be read as CSV: field larger" in cell.why
    several = b'symbol,asset_class,name\nA,Equity,"Foo\n""and"" Bar"\nB,Equity,5" disks\n'
    assert [v.outcome for v in verdicts(small, several)] == ["add", "add"]


@pytest.mark.parametrize(
    "price", ["1e5", "1E+05", "\u0661\u0662", "\uff11\uff12", "1_000", "NaN", "Infinity", "12 EUR", "$12", "0x10"]
)
def test_only_plain_numbers_are_numbers(small: Small, price: str) -> None:
    """A spreadsheet keeps three digits of a large number; other scripts and underscores Decimal would take."""
    assert list(faults(small, price=price)) == [("InvalidPrice", "price")]


def test_dates_with_points_are_read_and_others_refused(small: Small) -> None:
    bond = {"symbol": "BOND", "asset_class": "Fixed Income", "matures_on": "31.3.2030"}
    (one,) = verdicts(small, table(bond, delimiter=";"))
    assert one.draft is not None
    assert (one.outcome, one.draft.matures_on) == ("add", date(2030, 3, 31))
    for text in ("03/31/2030", "31/03/2030", "2030/03/31", "31.13.2030", "2030-02-30", "20300331"):
        (wrong,) = verdicts(small, table(bond | {"matures_on": text}))
        assert (wrong.outcome, wrong.faults[0].field, "a date such as 2026-03-31" in wrong.why) == ("refused", "matures_on", True)  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("1-Mar", "a spreadsheet made a date of it"),
        ("Mar-01", "a spreadsheet made a date of it"),
        ("2026-03-01", "a spreadsheet made a date of it"),
        ("1.00E+10", "a spreadsheet made a number of it"),
        ("#N/A", "a formula of the spreadsheet failed here"),
        ("7", "XNYS lists 0007: a spreadsheet took its zeros away"),
    ],
)
def test_symbols_that_a_spreadsheet_changed_are_refused(small: Small, symbol: str, words: str) -> None:
    with small.database.owner() as c:
        c.execute("UPDATE securities SET symbol = '0007' WHERE symbol = 'BOLT'")
    found = faults(small, symbol=symbol)
    assert list(found) == [("InvalidField", "symbol")]
    assert words in found["InvalidField", "symbol"]
    assert faults(small, symbol="TRUE") == faults(small, symbol="8") == {}


def test_a_cell_in_which_a_formula_failed_is_no_value(small: Small) -> None:
    (fault,) = faults(small, name="#NAME?").values()
    assert fault == "name '#NAME?': a formula of the spreadsheet failed here: write the value"


# ── loading ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bad_row_in_the_middle_books_nothing_unless_it_may_be_left_out(small: Small) -> None:
    ben, many = small.user("ben"), shares(41)
    many[20] |= {"asset_class": "Stonk", "name": "=cmd"}
    found = bulk.judged(ben, table(*many), "many.csv")
    assert found.counts == {"add": 40, "update": 0, "unchanged": 0, "refused": 1}
    with pytest.raises(
        NothingLoaded, match=r"1 row is refused, the first is line 22: InvalidAssetClass: asset_class 'Stonk'"
    ):
        bulk.load(ben, found)
    assert (worked(), rows(small, "SELECT count(*) FROM tasks")) == (0, [(0,)])
    task = bulk.load(ben, found, partial=True)
    worked()
    assert rows(small, "SELECT count(*), bool_or(symbol = 'N0020') FROM securities WHERE symbol LIKE 'N0%%'") == [
        (40, False)
    ]
    left = bulk.refused_csv(ben, task)
    (kept,) = csv.DictReader(io.StringIO(left))
    assert (kept["symbol"], kept["name"], kept["why"][:17]) == ("N0020", "'=cmd", "InvalidAssetClass")
    loaded(small, left.replace("Stonk", "Equity").encode())  # corrected, it is read as it is
    assert rows(small, "SELECT name FROM securities WHERE symbol = 'N0020'") == [("=cmd",)]
    assert tasks.plan_of(ben, task).notes[1] == "1 refused rows are left out; they are kept with the task."


def test_five_thousand_rows_are_one_transaction_whose_progress_others_see(small: Small) -> None:
    """The load is held up in its middle by somebody who is just adding one of its symbols, then cut off, then done."""
    ben = small.user("ben")
    task = bulk.load(ben, bulk.judged(ben, table(*shares(5_000)), "many.csv"))
    other = small.database.owner()
    add = "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('N2750', 'XNYS', 'x', 'Equity', 'USD')"
    for cut_off in (True, False):
        other.execute(add)
        errors: list[Exception] = []
        runner = Thread(target=_run, args=(errors,))
        runner.start()
        for _ in range(400):
            seen = tasks.task_of(ben, task)
            added = seen.steps[1]
            if added.done == 2_500 and _waiting(small):
                break
            time.sleep(0.05)
        assert (seen.status, added.name, added.done, added.rows) == ("running", "Add to securities", 2_500, 5_000)
        assert 1 / len(seen.steps) < seen.progress < 2 / len(seen.steps)
        assert rows(
            small,
            "SELECT count(*) FROM securities WHERE name LIKE 'Number%%'",
        ) == [(0,)]
        assert backups.backups(ben) == []
        if cut_off:
            assert _waiting(small, "pg_terminate_backend(pid)") == [(True,)]
        other.rollback()
        runner.join(60)
        assert [type(e) for e in errors] == [psycopg.errors.AdminShutdown] * cut_off
        if cut_off:
            assert rows(small, "SELECT count(*) FROM securities WHERE name LIKE 'Number%%'") == [(0,)]
    done = tasks.task_of(ben, task)
    assert (done.status, done.attempts, done.progress) == ("completed", 2, 1.0)
    assert [(s.done, s.status) for s in done.steps[1:]] == [(5_000, "completed")] * 3 + [(2_500, "completed")] * 2
    for query, count in (
        ("SELECT xmin::text, created_at FROM securities WHERE name LIKE 'Number%%'", 5_000),
        (
            "SELECT s.xmin::text, s.recorded_at FROM security_symbols s JOIN securities USING (security_id) WHERE name LIKE 'Number%%'",
            5_000,
        ),
        ("SELECT xmin::text, updated_at FROM asset_prices WHERE provider = 'manual'", 2_500),
        ("SELECT xmin::text FROM price_history WHERE provider = 'manual'", 2_500),
    ):
        found = rows(small, query)
        assert len(found) == count
        assert len(set(found)) == 1, query
    (kept,) = backups.backups(ben)
    assert rows(small, "SELECT b.xmin::text = s.xmin::text FROM backups b, securities s WHERE s.symbol = 'N0001'") == [
        (True,)
    ]
    assert (kept.task_id, kept.taken_by, kept.rows["securities"]) == (task, "ben", 8)
    assert backups.of_task(ben, task) == kept


def _run(errors: list[Exception]) -> None:
    try:
        work_one(Worker(Event()))
    except psycopg.OperationalError as e:
        errors.append(e)


def _waiting(small: Small, what: str = "pid") -> list[Any]:
    """The connection that waits to insert a security."""
    query = f"SELECT {what} FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO \"securities\"%'"
    return small.database.connect("postgres").execute(query).fetchall()


def test_a_symbol_that_somebody_adds_in_between_fails_the_task_as_a_whole(small: Small) -> None:
    """The ninth class of errors: the task says which step failed and why, and nothing is there."""
    ben, anna = small.user("ben"), small.user("anna")
    many = shares(1_200)
    task = bulk.load(ben, bulk.judged(ben, table(*many), "many.csv"))
    with small.database.owner() as c:
        c.execute("INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('N0700', 'XNYS', 'faster', 'Equity', 'USD')")  # fmt: skip
    before = whole_master(small)
    assert worked() == 1
    failed = tasks.task_of(anna, task)
    assert failed.status == "failed"
    assert failed.error is not None
    assert {k: failed.error[k] for k in ("class", "step", "field", "value")} == {"class": "DuplicateSymbol", "step": 1, "field": "symbol", "value": "XNYS:N0700"}  # fmt: skip
    assert "duplicate symbol: somebody added it in the meantime" in failed.message
    assert [s.status for s in failed.steps[:3]] == ["undone", "failed", "skipped"]
    assert whole_master(small) == before
    assert backups.backups(ben) == [], "the backup goes with the write that it was taken for"


def test_a_reference_that_goes_in_between_fails_the_task_too(small: Small) -> None:
    ben = small.user("ben")
    with small.database.owner() as c:
        c.execute("INSERT INTO exchanges VALUES ('XNEW', 'New', 'UTC', 'USD')")
    task = bulk.load(ben, bulk.judged(ben, table(*({**s, "exchange": "XNEW"} for s in shares(3))), "many.csv"))
    with small.database.owner() as c:
        c.execute("DELETE FROM exchanges WHERE exchange = 'XNEW'")
    worked()
    failed = tasks.task_of(ben, task)
    assert (failed.status, failed.error and failed.error["class"]) == ("failed", "UnknownReference")
    assert "XNEW" in failed.message


def test_an_update_changes_what_the_file_says_and_nothing_else(small: Small) -> None:
    ben, number = small.user("ben"), small.securities["ACME"]
    first = {
        "symbol": "ACME",
        "exchange": "XNYS",
        "asset_class": "Equity",
        "rating": "AA",
        "issuer": "Acme Inc.",
        "name": "",
        "currency": "",
    }
    (refused,) = verdicts(small, table(first))
    assert "lists it already (security" in refused.why
    assert "differs in issuer, rating: choose update to change it" in refused.why
    loaded(small, table(first), existing="update")
    assert rows(small, "SELECT rating, issuer, name, currency, country FROM securities WHERE security_id = %s", number) == [("AA", "Acme Inc.", 'Acme, "the" works', "USD", "US")]  # fmt: skip
    second = {
        "symbol": "ACME",
        "exchange": "XNYS",
        "asset_class": "Equity",
        "rating": "",
        "sector": "Financials",
        "price": "3",
        "industry": "",
    }
    (one,) = verdicts(small, table(second), "update")
    assert (one.outcome, one.changes) == ("update", ("sector", "rating"))
    assert "price: not written" in one.why
    plan = bulk.plan_load(ben, bulk.judged(ben, table(second), "x.csv", "update"))
    assert [(s.table, s.action, s.size) for s in plan.steps] == [("", "backup", 1), ("securities", "update", 1), ("security_classifications", "insert", 1)]  # fmt: skip
    loaded(small, table(second), existing="update")
    found = rows(
        small,
        "SELECT s.rating, s.issuer, d.sector, d.industry FROM securities s JOIN sectors d USING (sector_id) WHERE security_id = %s",
        number,
    )
    assert found == [(None, "Acme Inc.", "Financials", "")]
    (same,) = verdicts(small, table(second))
    assert same.outcome == "unchanged"
    assert "price: not written" in same.note


def test_a_sector_by_anothers_name_keeps_its_industry(small: Small) -> None:
    with small.database.owner() as c:
        c.execute("UPDATE securities SET sector_id = (SELECT min(sector_id) FROM sectors WHERE sector = 'Information Technology' AND industry <> '') WHERE symbol = 'ACME'")  # fmt: skip
    known = {"symbol": "ACME", "exchange": "XNYS", "asset_class": "Equity", "sector": "Technology"}
    assert [v.outcome for v in verdicts(small, table(known), "update")] == ["unchanged"]
    (other,) = verdicts(small, table(known | {"rating": "A"}), "update")
    assert (other.outcome, other.changes) == ("update", ("rating",))


def test_a_retired_security_stays_retired_and_the_row_says_so(small: Small) -> None:
    with small.database.owner() as c:
        c.execute("UPDATE securities SET status = 'retired', ended_on = '2026-01-05' WHERE symbol = 'LATE'")
    late = {"symbol": "LATE", "exchange": "XNYS", "asset_class": "Equity"}
    for cells, outcome in ((late, "unchanged"), (late | {"rating": "A"}, "update")):
        (one,) = verdicts(small, table(cells), "update")
        assert one.outcome == outcome
        assert "it is retired and stays so: reinstate it" in one.why
        assert "if another company has the symbol now, first give the old one another symbol" in one.why
    (refused,) = verdicts(small, table(late | {"name": "Another"}))
    assert "is retired and differs in name" in refused.why
    assert "if another company has the symbol now, first give the old one another symbol" in refused.why


def test_a_symbol_that_another_security_had_is_the_new_ones_from_then_on(small: Small) -> None:
    renamed(small, "LATE", "LATE.OLD", date(2026, 1, 5))
    raw = table({"symbol": "LATE", "exchange": "XNYS", "asset_class": "Equity"})
    (one,) = verdicts(small, raw)
    assert (one.outcome, one.why) == ("add", "XNYS:LATE was XNYS:LATE.OLD until 2026-01-05 and is this security from that day")  # fmt: skip
    loaded(small, raw)
    found = rows(small, "SELECT security_id = %s, valid_from FROM security_symbols WHERE symbol = 'LATE' ORDER BY 2", small.securities["LATE"])  # fmt: skip
    assert found == [(True, date(1900, 1, 1)), (False, date(2026, 1, 5))]


def test_what_keeps_its_new_symbol_through_a_restore_keeps_its_history(small: Small) -> None:
    ben = small.user("ben")
    kept = backups.of_task(ben, loaded(small, table(*shares(1))))
    assert kept is not None
    renamed(small, "NEVER", "NEVER.OLD", date(2026, 1, 5))
    loaded(small, table({"symbol": "NEVER", "exchange": "XNYS", "asset_class": "Equity"}))
    with small.database.owner() as c:  # it is used, and stays
        c.execute("UPDATE portfolios SET benchmark_id = (SELECT security_id FROM securities WHERE symbol = 'NEVER')")
    plan = restored(small, kept.backup_id)
    assert any(note.startswith("XNYS:NEVER.OLD keeps this symbol") for note in plan.notes)
    found = rows(small, "SELECT symbol, valid_from FROM security_symbols WHERE security_id = %s ORDER BY 2", small.securities["NEVER"])  # fmt: skip
    assert found == [("NEVER", date(1900, 1, 1)), ("NEVER.OLD", date(2026, 1, 5))]


def test_a_new_symbol_for_an_isin_that_is_there_is_told(small: Small) -> None:
    (one,) = verdicts(
        small, table({"symbol": "ACNE", "exchange": "XNYS", "asset_class": "Equity", "isin": "US0378331005"})
    )
    assert (one.outcome, one.why) == ("add", "XNYS lists this ISIN as ACME: if that was renamed, book a symbol change instead")  # fmt: skip
    (far,) = verdicts(
        small, table({"symbol": "ACNE", "exchange": "XETR", "asset_class": "Equity", "isin": "US0378331005"})
    )
    assert (far.outcome, far.why) == ("add", "")


def test_a_broken_row_of_what_is_there_says_what_is_wrong_alone(small: Small) -> None:
    (one,) = verdicts(small, b"symbol,exchange,asset_class\nACME,XNYS,Equity,x\n")
    assert one.why == "InvalidField: row 'with 4 cells': the header has 3 columns"


def test_a_currency_stays_where_there_are_prices_or_entries(small: Small) -> None:
    change = [{"symbol": s, "exchange": "XNYS", "asset_class": "Equity", "currency": "EUR"} for s in ("BOLT", "NEVER")]
    bolt, never = verdicts(small, table(*change), "update")
    assert "its prices and entries are in USD" in bolt.why
    assert (bolt.outcome, never.outcome, never.changes) == ("refused", "update", ("currency",))


def test_an_update_of_what_somebody_changes_in_between_fails_as_a_whole(small: Small) -> None:
    ben = small.user("ben")
    raw = table(*({"symbol": s, "exchange": "XNYS", "asset_class": "Equity", "rating": "B"} for s in ("ACME", "BOLT")))
    task = bulk.load(ben, bulk.judged(ben, raw, "x.csv", "update"))
    with small.database.owner() as c:
        c.execute("UPDATE securities SET rating = 'C' WHERE symbol = 'BOLT'")
    worked()
    failed = tasks.task_of(ben, task)
    assert (failed.status, failed.error and failed.error["class"]) == ("failed", "PlanOutdated")
    assert rows(small, "SELECT rating FROM securities WHERE symbol = 'ACME'") == [(None,)]


def test_thousands_of_wrong_rows_are_judged_in_a_moment(small: Small) -> None:
    """Each with six names that nobody has: what may have been meant is looked for in an index."""
    made = random.Random(1)

    def word(length: int) -> str:
        return "".join(made.choices("abcdefghijklmnopqrstuvwxyz", k=length))

    raw = table(*({"symbol": f"W{i}", "exchange": word(4), "asset_class": word(8), "sector": word(8), "currency": word(3),
                   "country": word(2), "dividend_frequency": word(8), "price": word(8)} for i in range(5_000)))  # fmt: skip
    start = time.process_time()
    found = bulk.judged(small.user("ben"), raw, "x.csv")
    assert time.process_time() - start < 2  # half a second by itself, 5 when each was compared with each
    assert found.counts["refused"] == 5_000


def test_fast_lookups_say_the_same_as_the_dimensions(small: Small) -> None:
    known = master.known(small.user("ben"))
    assert isinstance(known, Known)
    for sector, industry, subsector in known.sectors:
        found = faults(small, sector=sector.upper(), industry=industry.upper(), subsector=subsector.lower())
        assert found == {}, (sector, industry, subsector)


# ── backups and the way back ────────────────────────────────────────────────────────────────────────────────


def restored(small: Small, backup: UUID, who: str = "ben") -> Plan:
    """A restore that is asked for and carried out."""
    user = small.user(who)
    plan = backups.plan_restore(user, backup)
    task = backups.request(user, backup, plan)
    assert worked() == 1
    done = tasks.task_of(user, task)
    assert done.status == "completed", done.error
    return plan


def mixed(small: Small) -> bytes:
    """A file that adds, with first prices and dividends, and changes, also classes."""
    coming = date(small.now.year + 1, 1, 15).isoformat()
    return table(
        {"symbol": "NOVA", "exchange": "XNYS", "asset_class": "Equity", "sector": "Energy", "price": "12.50", "dividend_frequency": "annual",
         "dividend": "0.5", "dividend_ex_on": coming},
        {"symbol": "NEVA", "exchange": "XETR", "asset_class": "Fund", "price": "9.75"},
        {"symbol": "ACME", "exchange": "XNYS", "asset_class": "Equity", "sector": "Financials", "dividend_frequency": "annual"},
        {"symbol": "RHEIN", "exchange": "XETR", "asset_class": "Fund", "sector": "Industrials", "dividend_frequency": "none"},
    )  # fmt: skip


def test_a_restore_brings_the_master_back_byte_for_byte(small: Small) -> None:
    ben, before = small.user("ben"), whole_master(small)
    task = loaded(small, mixed(small), existing="update")
    after = whole_master(small)
    assert all(after[t] != before[t] for t in KEYS if t not in ("sectors", "counterparties"))
    kept = backups.of_task(ben, task)
    assert kept is not None
    plan = restored(small, kept.backup_id)
    assert whole_master(small) == before
    assert plan.notes == ()
    assert rows(
        small,
        "SELECT count(*) FROM price_arrays a WHERE NOT EXISTS (SELECT FROM securities s WHERE s.security_id = a.security_id)",
    ) == [(0,)]
    undo = tasks.tasks(ben, kind="restore")[0]
    assert (undo.undoes, undo.source, undo.requester) == (task, "page", "ben")
    assert undo.label.startswith(f"security_restore_master-{kept.taken_at:%Y%m%d}T")
    with pytest.raises(NothingToRestore):
        backups.plan_restore(ben, kept.backup_id)
    (newest, _) = backups.backups(ben)
    assert newest.what.startswith("Before: Restore the security master of 2")
    restored(small, newest.backup_id)  # a restore is taken back like any other write
    assert whole_master(small) == after


@pytest.mark.parametrize("held", [True, False])
def test_a_security_that_was_used_in_between_is_retired_or_stays_while_it_is_held(small: Small, held: bool) -> None:
    before, anna = whole_master(small), small.user("anna")
    task = loaded(small, mixed(small), existing="update")
    base = {"USD", "EUR"}
    known = market.listings(small.ben)
    day = bar_days(small.now)[-10]
    booked = [
        draft_of(row(day, kind, "NOVA", quantity="3", price="12"), known, frozenset(base), "USD")
        for kind in ("buy", "sell")
    ]
    ledger.append(small.ben, small.portfolios["Ben's own"], booked[: 1 if held else 2], small.now.date())
    with small.database.jobs() as c:
        snapshots.refresh_holdings(c, small.now.date())
    kept = backups.of_task(anna, task)
    assert kept is not None
    for user in (small.user("ben"), anna):  # in words for everybody: notes are kept with the task
        (note,) = backups.plan_restore(user, kept.backup_id).notes
        assert note.startswith(f"XNYS:NOVA came since and {'stays active' if held else 'is retired, not deleted'}: ")
        assert "there are entries of it in a portfolio" in note
        assert ("held by a portfolio" in note) is held
        assert "Ben's own" not in note
    restored(small, kept.backup_id, "anna")
    after = whole_master(small)
    nova = rows(small, "SELECT security_id FROM securities WHERE symbol = 'NOVA'")[0][0]
    for name in KEYS:
        others = [r for r in after[name] if name == "sectors" or not r.startswith(f"({nova},")]
        assert others == before[name], name
    stands = ("active", None) if held else ("retired", datetime.now(UTC).date())
    assert rows(small, "SELECT status, ended_on FROM securities WHERE symbol IN ('NOVA', 'NEVA')") == [stands]
    with pytest.raises(NothingToRestore):
        backups.plan_restore(small.user("ben"), kept.backup_id)


@pytest.mark.parametrize("change", ["edit", "use", "add"])
def test_a_restore_that_would_write_something_else_now_is_refused(small: Small, change: str) -> None:
    ben = small.user("ben")
    task = loaded(small, mixed(small), existing="update")
    kept = backups.of_task(ben, task)
    assert kept is not None
    asked = backups.request(ben, kept.backup_id, backups.plan_restore(ben, kept.backup_id))
    with small.database.owner() as c:
        if change == "edit":
            c.execute("UPDATE securities SET rating = 'D' WHERE symbol = 'ACME'")
        elif change == "use":
            c.execute(
                "UPDATE portfolios SET benchmark_id = (SELECT security_id FROM securities WHERE symbol = 'NOVA') WHERE name = 'Ben''s own'"
            )
        else:
            c.execute(
                "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('NEU', 'XETR', 'x', 'Equity', 'EUR')"
            )
    before = whole_master(small)
    worked()
    failed = tasks.task_of(ben, asked)
    assert (failed.status, failed.error and failed.error["class"]) == ("failed", "PlanOutdated")
    assert "ask again to see the new plan" in failed.message
    assert whole_master(small) == before


def test_what_was_removed_renamed_and_typed_since_comes_back(small: Small) -> None:
    """Symbols that two securities exchanged, one that a newer security took, a deleted security with its own rows."""
    loaded(small, mixed(small), existing="update")
    ben, before = small.user("ben"), whole_master(small)
    task = loaded(small, table(*shares(1)))
    kept = backups.of_task(ben, task)
    assert kept is not None
    nova = rows(small, "SELECT security_id FROM securities WHERE symbol = 'NEVA'")[0][0]
    tasks.request(ben, master.plan_remove(ben, "NEVA"), {})
    assert worked() == 1
    with small.database.owner() as c:
        for symbol, new in (("ACME", "TEMP"), ("BOLT", "ACME"), ("TEMP", "BOLT"), ("LATE", "LATER"), ("FUND", "LATE")):
            c.execute("UPDATE securities SET symbol = %s WHERE symbol = %s", (new, symbol))
        c.execute("INSERT INTO sectors (sector) VALUES ('Mirrors')")
        c.execute("UPDATE sectors SET subsector = 'Sunny' WHERE sector = 'Energy' AND industry = ''")
        c.execute("DELETE FROM security_classifications WHERE security_id = %s", (small.securities["EDO"],))
        c.execute("UPDATE security_symbols SET symbol = 'OLD' WHERE security_id = %s", (small.securities["EDO"],))
    plan = restored(small, kept.backup_id)
    assert "1 come back that were removed" in plan.notes[0]
    after = whole_master(small)
    for name in KEYS:
        assert after[name] == before[name], name
    assert rows(small, "SELECT count(*) FROM price_arrays WHERE security_id = %s", nova) == [(1,)]
    assert rows(small, "SELECT symbol FROM securities WHERE security_id IN (%s, %s) ORDER BY security_id", small.securities["ACME"], small.securities["BOLT"]) == [("ACME",), ("BOLT",)]  # fmt: skip


def test_a_symbol_that_a_newer_security_keeps_is_not_taken_away(small: Small) -> None:
    ben = small.user("ben")
    kept = backups.of_task(ben, loaded(small, table(*shares(1))))
    assert kept is not None
    with small.database.owner() as c:
        c.execute("UPDATE securities SET symbol = 'WAS' WHERE symbol = 'NEVER'")
        c.execute("UPDATE securities SET symbol = 'NEVER', name = 'Now' WHERE symbol = 'N0000'")
        c.execute(
            "UPDATE portfolios SET archived_at = now(), benchmark_id = (SELECT security_id FROM securities WHERE symbol = 'NEVER') WHERE name = 'Ben''s own'"
        )
    plan = restored(small, kept.backup_id)
    assert any("XNYS:WAS keeps this symbol" in n for n in plan.notes)
    assert rows(small, "SELECT symbol, status FROM securities WHERE symbol IN ('WAS', 'NEVER') ORDER BY 1") == [
        ("NEVER", "retired"),
        ("WAS", "active"),
    ]


def test_a_feeds_price_is_not_replaced_by_an_older_typed_one(small: Small) -> None:
    ben = small.user("ben")
    loaded(small, mixed(small), existing="update")
    kept = backups.of_task(ben, loaded(small, table(*shares(2))))
    assert kept is not None
    with small.database.owner() as c:
        c.execute("UPDATE asset_prices SET price = 99, provider = 'csv' WHERE provider = 'manual'")
        c.execute(
            "UPDATE price_history SET close = 98, provider = 'csv' WHERE provider = 'manual' AND security_id IN (SELECT security_id FROM securities WHERE symbol = 'NOVA')"
        )
        c.execute(
            "UPDATE price_history SET close = 97 WHERE provider = 'manual' AND security_id IN (SELECT security_id FROM securities WHERE symbol = 'NEVA')"
        )
    restored(small, kept.backup_id)
    found = rows(
        small,
        "SELECT s.symbol, a.price::int, h.close::float FROM securities s JOIN asset_prices a USING (security_id) JOIN price_history h USING (security_id) WHERE s.symbol IN ('NOVA', 'NEVA') ORDER BY 1",
    )
    assert found == [("NEVA", 99, 9.75), ("NOVA", 99, 98.0)]
    with pytest.raises(NothingToRestore):
        backups.plan_restore(ben, kept.backup_id)


def test_a_damaged_backup_is_not_restored(small: Small) -> None:
    ben = small.user("ben")
    kept = backups.of_task(ben, loaded(small, table(*shares(1))))
    assert kept is not None
    with small.database.owner() as c:
        c.execute("UPDATE backups SET content = overlay(content placing 'x' from 30)")
    with pytest.raises(BackupDamaged, match="damaged"):
        backups.plan_restore(ben, kept.backup_id)
    for raw in (b"x", gzip.compress(b"x"), gzip.compress(b'{"table": "users", "row": {}}'), gzip.compress(b"[]")):
        with small.database.owner() as c:  # whoever wrote it wrote its digest, too
            c.execute("UPDATE backups SET content = %(x)s, sha256 = encode(sha256(%(x)s), 'hex')", {"x": raw})
        with pytest.raises(BackupDamaged, match="cannot be read"):
            backups.plan_restore(ben, kept.backup_id)
    with pytest.raises(NoSuchBackup):
        backups.plan_restore(ben, UUID(int=5))


def test_viewers_neither_load_nor_see_backups_and_the_web_role_writes_none(small: Small) -> None:
    loaded(small, table(*shares(1)))
    access.create_user("vera", WORDS, "viewer", "Vera")
    vera = access.sign_in("vera", WORDS)[1]
    with pytest.raises(AccessDenied):
        bulk.judged(vera, table(*shares(1)), "x.csv")
    assert backups.backups(vera) == []
    (kept,) = backups.backups(small.user("ben"))
    for what in (backups.content, backups.plan_restore):
        with pytest.raises(NoSuchBackup):
            what(vera, kept.backup_id)
    tasks.set_policy(small.user("anna"), {"bulk": "admin"})
    with pytest.raises(AccessDenied):
        bulk.judged(small.user("ben"), table(*shares(1)), "x.csv")
    with pytest.raises(AccessDenied):
        tasks.request(small.user("ben"), Plan("restore", "x", "x", ()), {})
    c = small.database.web(small.anna)
    for statement in (
        "DELETE FROM backups",
        "UPDATE backups SET what = 'x'",
        "INSERT INTO backups SELECT * FROM backups",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
            c.execute(statement)


def test_four_eyes_hold_a_restore(small: Small) -> None:
    ben, anna = small.user("ben"), small.user("anna")
    kept = backups.of_task(ben, loaded(small, table(*shares(1))))
    assert kept is not None
    tasks.set_policy(anna, {"four_eyes": ["bulk"]})
    task = backups.request(ben, kept.backup_id, backups.plan_restore(ben, kept.backup_id))
    assert (worked(), tasks.task_of(ben, task).status) == (0, "waiting")
    tasks.decide(anna, task, True)
    assert worked() == 1
    assert tasks.task_of(ben, task).status == "completed"


@pytest.mark.parametrize(
    ("right", "load"), [("add", "add"), ("edit", "update"), ("remove", "restore"), ("edit", "restore of an update")]
)
def test_a_load_and_a_restore_need_the_rights_of_what_they_write(small: Small, right: str, load: str) -> None:
    """Else a file of one row would go around who may add, and an old backup around who may remove."""
    ben, anna = small.user("ben"), small.user("anna")
    known = {"symbol": "ACME", "exchange": "XNYS", "asset_class": "Equity", "rating": "AA"}

    def request() -> UUID:
        if load.startswith("restore"):
            return backups.request(ben, kept.backup_id, backups.plan_restore(ben, kept.backup_id))
        raw = table(known) if load == "update" else table(*shares(1))
        return bulk.load(ben, bulk.judged(ben, raw, "new.csv", "update"), False)

    if load.startswith("restore"):
        found = backups.of_task(
            ben, loaded(small, table(known if "update" in load else shares(1)[0]), existing="update")
        )
        assert found is not None
        kept = found
    tasks.set_policy(anna, {right: "admin"})
    with pytest.raises(AccessDenied, match=f"your role may not {right}"):
        request()
    tasks.set_policy(anna, {right: "analyst", "four_eyes": [right]})
    task = request()
    assert (worked(), tasks.task_of(ben, task).status) == (0, "waiting")
    tasks.decide(anna, task, True)
    assert (worked(), tasks.task_of(ben, task).status) == (1, "completed")


def test_the_newest_backups_and_the_young_ones_are_kept(small: Small) -> None:
    with small.database.jobs() as c:
        for n in range(30):
            backups.take(c, str(n))
        c.commit()
        with small.database.owner() as o:
            o.execute(
                "UPDATE backups SET taken_at = now() - make_interval(days => %s) WHERE what::int < 15",
                (backups.DAYS + 1,),
            )
            o.execute(
                "UPDATE backups SET taken_at = now() - make_interval(days => %s) WHERE what = '3'", (backups.DAYS - 1,)
            )
        assert upkeep.clean_up(c, 365)["backups"] == 30 - backups.KEEP - 1
        left = sorted(int(r[0]) for r in c.execute("SELECT what FROM backups").fetchall())
    assert left == [3, *range(10, 30)]


# ── the API ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_whole_way_over_the_api(small: Small) -> None:
    ben = small.client("ben")
    template = ben.get("/v1/securities/template.csv")
    assert template.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(template.text.splitlines()) == 3
    dry = ben.post("/v1/securities/import", files={"file": ("new.csv", template.content)}).json()
    assert (dry["file"], dry["add"], dry["rows"], dry["more"]) == ("new.csv", 2, 2, 0)
    bad = template.text.replace("XNYS", "XXXX")
    headers = {"Content-Type": "text/csv"}
    dry = ben.post("/v1/securities/import", content=bad, headers=headers).json()
    (fault,) = dry["verdicts"][0]["faults"]
    assert (fault["class"], fault["field"], fault["value"]) == ("UnknownReference", "exchange", "XXXX")
    said = ben.post("/v1/securities/verdicts.csv", content=bad, headers=headers).text
    assert [r["verdict"] for r in csv.DictReader(io.StringIO(said))] == ["refused", "add"]
    refused = ben.post("/v1/securities/import", params={"dry_run": False}, content=bad, headers=headers)
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("#nothing-loaded")
    asked = ben.post("/v1/securities/import", params={"dry_run": False, "partial": True}, content=bad, headers=headers)
    assert asked.status_code == 202
    task = asked.json()["task_id"]
    assert asked.headers["Location"].endswith(f"/v1/securities/tasks/{task}")
    assert worked() == 1
    assert "UnknownReference" in ben.get(f"/v1/securities/tasks/{task}/refused.csv").text
    (kept,) = ben.get("/v1/backups").json()
    assert (kept["task_id"], kept["taken_by"]) == (task, "ben")
    raw = ben.get(f"/v1/backups/{kept['backup_id']}/content")
    assert len(raw.content) == kept["bytes"]
    where = f"/v1/backups/{kept['backup_id']}/restore"
    plan = ben.post(where).json()
    assert [s["action"] for s in plan["steps"]][-1] == "delete"
    again = ben.post(where, params={"dry_run": False})
    assert again.status_code == 202
    assert worked() == 1
    assert ben.post(where).status_code == 409
    exported = ben.get("/v1/securities/export.csv", params={"status": ["active", "retired"]})
    back = ben.post("/v1/securities/import", content=exported.content, headers=headers).json()
    assert back["unchanged"] == back["rows"] == len(small.securities)


def test_a_large_file_may_come_and_a_larger_one_may_not(small: Small) -> None:
    ben, headers = small.client("ben"), {"Content-Type": "text/csv"}
    for path in ("/v1/securities/import", "/v1/securities/verdicts.csv"):
        answer = ben.post(path, content=b"\x01" * 10_000_000, headers=headers)
        assert (answer.status_code, answer.json()["type"][-13:]) == (422, "#not-readable")
        assert ben.post(path, content=b"x" * (33 * 2**20), headers=headers).status_code == 413
    assert ben.get(f"/v1/securities/tasks/{UUID(int=4)}/refused.csv").status_code == 404
    assert ben.get(f"/v1/backups/{UUID(int=4)}/content").status_code == 404
