"""A stranger at every table and every endpoint: Ben, signed in, with Anna's ids; and somebody who is not signed in at all.

Tables come from the catalogue and endpoints from the OpenAPI description, so what is added later is tried too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from small import MARK, ODD, Small, bar_days, installed

from core.book import Action
from core.brokers import ColumnMap
from core.reports import REPORTS
from db import access, backups, bulk, import_maps, imports, lookups, market, master, notices, tasks, unbooked

SECRETS = (MARK, ODD, "4242.42")
OPEN = {("post", "/v1/auth/login"), ("get", "/health")}


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        anna = made.user("anna")
        with made.database.jobs() as c:
            market.upsert_actions(c, [Action(made.securities["BOLT"], "split", bar_days(made.now)[250], ratio=Fraction(3))], "csv")
        tasks.cancel(anna, tasks.request(anna, unbooked.plan_book(anna, made.now.date()), {}))  # its entries stay
        yield made


# --- the database ---------------------------------------------------------------------------------------------


def tenants(small: Small) -> list[str]:
    with small.database.owner() as c:
        rows = c.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'p', 'v', 'm') "
            "AND c.relnamespace = 'public'::regnamespace AND a.attname = 'portfolio_id' AND NOT a.attisdropped ORDER BY 1"
        ).fetchall()
    return [r[0] for r in rows]


def annas(small: Small) -> list[Any]:
    return [small.portfolios[name] for name in small.portfolios if name.startswith(MARK)]


def test_there_is_something_to_see_in_every_table(small: Small) -> None:
    """Else the tests below would prove nothing: give a new table a row in tests/small.py, or above."""
    with small.database.owner() as c:
        counts = {
            t: c.execute(
                sql.SQL("SELECT count(*) FROM {} WHERE portfolio_id = ANY (%s)").format(sql.Identifier(t)),
                (annas(small),),
            ).fetchone()
            for t in tenants(small)
        }
    assert not [t for t, n in counts.items() if n == (0,)]


@pytest.mark.parametrize("who", ["ben", None])
def test_a_stranger_reads_no_row(small: Small, who: str | None) -> None:
    c = small.database.web(small.ben if who else None)
    for table in tenants(small):
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
            sql.Identifier(table), sql.SQL("portfolio_id = ANY (%s)") if who else sql.SQL("%s::uuid[] IS NOT NULL")
        )
        try:
            with c.transaction():
                found = c.execute(query, (annas(small),)).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            continue
        assert found == (0,), table


def test_ben_sees_his_own(small: Small) -> None:
    c = small.database.web(small.ben)
    assert c.execute("SELECT name FROM portfolios").fetchall() == [("Ben's own",)]
    assert c.execute("SELECT count(*) FROM transactions").fetchone() == (2,)


@pytest.mark.parametrize("who", ["ben", None])
def test_a_stranger_writes_no_row(small: Small, who: str | None) -> None:
    """Every column that may be written at all, every row of Anna's copied, every delete."""
    c = small.database.web(small.ben if who else None)
    for table in tenants(small):
        name = sql.Identifier(table)
        with small.database.owner() as o:
            columns = [
                r[0]
                for r in o.execute(
                    "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
                    (table,),
                ).fetchall()
            ]
            row = o.execute(
                sql.SQL("SELECT row_to_json(t) FROM {} t WHERE portfolio_id = ANY (%s) LIMIT 1").format(name),
                (annas(small),),
            ).fetchone()
        assert row is not None
        for column in columns:
            _refused_or_nothing(
                c,
                sql.SQL("UPDATE {0} SET {1} = {1} WHERE portfolio_id = ANY (%s)").format(name, sql.Identifier(column)),
                annas(small),
            )
        _refused_or_nothing(c, sql.SQL("DELETE FROM {} WHERE portfolio_id = ANY (%s)").format(name), annas(small))
        for user in (str(small.ben), str(small.anna)):
            copied = {
                k: (user if k in ("user_id", "recorded_by", "by", "created_by") else v) for k, v in row[0].items()
            }
            insert = sql.SQL(
                "INSERT INTO {0} OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_record(NULL::{0}, %s::json)"
            ).format(name)
            with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
                c.execute(insert, (json.dumps(copied),))


def _refused_or_nothing(c: psycopg.Connection[Any], statement: sql.Composable, portfolios: list[Any]) -> None:
    try:
        with c.transaction():
            assert c.execute(statement, (portfolios,)).rowcount == 0, statement.as_string(c)
    except psycopg.errors.InsufficientPrivilege:
        pass


def test_nobody_books_in_somebody_elses_name(small: Small) -> None:
    c = small.database.web(small.ben)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
        c.execute(
            "INSERT INTO transactions (portfolio_id, kind, currency, net, cash_currency, traded_on, settles_on, idempotency_key, source, recorded_by) "
            "VALUES (%s, 'deposit', 'USD', 1, 'USD', '2026-01-05', '2026-01-05', 'x', 'test', %s)",
            (small.portfolios["Ben's own"], small.anna),
        )


@pytest.mark.parametrize("role", ["ballast_web", "ballast_jobs"])
@pytest.mark.parametrize("table", ["credentials", "sessions"])
def test_no_working_role_reads_secrets(small: Small, role: str, table: str) -> None:
    c = small.database.connect(role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
        c.execute(f"SELECT * FROM {table}")


def test_the_jobs_role_does_not_sign_in(small: Small) -> None:
    c = small.database.jobs()
    for call in (
        "credentials_of('anna')",
        "session_user_of('x')",
        "end_session('x')",
        f"open_session('{small.anna}', 'x', now())",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
            c.execute(f"SELECT * FROM {call}")


# --- the API --------------------------------------------------------------------------------------------------


def operations(small: Small) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of everything the API offers."""
    for path, methods in small.client().get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def call(
    client: Any, small: Small, method: str, path: str, operation: dict[str, Any], portfolio: str, **path_values: str
) -> Any:
    """Call an operation with Anna's ids wherever it takes one, and a body that would do."""
    values = {"portfolio": portfolio, "name": "holdings", "security": str(small.securities["ACME"]),
              "transaction_id": str(small.booked["dollars"][1]), "reconciliation_id": str(small.reconciled["dollars"]),
              "number": "1"} | path_values  # fmt: skip
    if "{import_id}" in path:
        (made, *_) = imports.done(small.anna, small.portfolios[f"{MARK} dollars"])
        values["import_id"] = str(made.import_id)
    if "{map_id}" in path:
        values["map_id"] = str(import_maps.keep_map(small.anna, "Anna's", ColumnMap({"date": "Day"}), ["Day"]))
    if "{lookup_id}" in path:
        values["lookup_id"] = str(lookups.ask(small.anna, MARK))
    if "{task_id}" in path:
        anna = small.user("anna")
        values["task_id"] = str(tasks.request(anna, master.plan_edit(anna, "BOLT", {"rating": "A"}), {}))
    if "{proposal_id}" in path:
        with small.database.owner() as c:
            row = c.execute(
                "INSERT INTO proposals (kind, security_id, found_by, field, before, after, why) VALUES ('reclassify', %s, 'test', 'sector', '\"Energy\"', '\"Utilities\"', 'x') "
                "ON CONFLICT DO NOTHING RETURNING proposal_id", (small.securities["BOLT"],)).fetchone()  # fmt: skip
            row = row or c.execute("SELECT proposal_id FROM proposals").fetchone()
        assert row is not None
        values["proposal_id"] = str(row[0])
    if "{channel_id}" in path:
        values["channel_id"] = str(_channel(small))
    if "{notice_id}" in path:
        made = [n.notice_id for n in notices.notices(small.user("anna"), number=_channel(small))]
        values["notice_id"] = str((made or [notices.test(small.user("anna"), _channel(small))])[0])
    if "{backup_id}" in path:
        with small.database.jobs() as c:
            values["backup_id"] = str(backups.take(c, "a test")[0])
    if path.endswith("/refused.csv"):
        judged = bulk.judged(small.user("anna"), b"symbol,asset_class\nNOVA,Equity\nACME,Bond\n", "anna.csv")
        values["task_id"] = str(bulk.load(small.user("anna"), judged, partial=True))
    query = {}
    for p in operation.get("parameters", []):
        if p["in"] == "path":
            assert p["name"] in values, f"{path}: say in this test what {p['name']} is"
            path = path.replace(f"{{{p['name']}}}", values[p["name"]])
        elif p["in"] == "query" and (p["name"] == "portfolio" or p.get("required")):
            query[p["name"]] = portfolio if p["name"] == "portfolio" else "1"
    media = list(operation.get("requestBody", {}).get("content", {}))
    body: dict[str, Any] = {}
    if "text/csv" in media:
        body = {"content": b"date,kind,gross\n2026-01-05,deposit,1\n", "headers": {"Content-Type": "text/csv"}}
        query["dry_run"] = "false"
    elif media:
        bodies = {
            "/v1/auth/login": {"username": "anna", "password": "wrong"},
            "/v1/transactions": {"date": "2026-01-05", "kind": "deposit", "gross": "1"},
            "/v1/transactions/preview": {"date": "2026-01-05", "kind": "deposit", "gross": "1"},
            "/v1/transactions/transfer": {"date": "2026-01-05", "to": portfolio, "amount": "1"},
            f"/v1/transactions/{values['transaction_id']}": {"date": "2026-01-05", "kind": "deposit", "gross": "1"},
            f"/v1/portfolios/{portfolio}/methods": {"valid_from": "2026-01-05", "method": "lifo"},
            f"/v1/portfolios/{portfolio}": {"version": 1, "name": "taken over"},
            "/v1/securities/lookup": {"text": "ACME"},
            "/v1/securities": {"symbol": "NEW", "asset_class": "Equity"},
            "/securities": {"symbol": "NEW", "exchange": "XNYS", "asset_class": "Equity"},
            "/v1/sectors": {"sector": "Stranger"},
            f"/v1/securities/{values['security']}": {"rating": "A"},
            f"/v1/securities/{values['security']}/symbol-change": {"symbol": "OTHER", "valid_from": "2026-01-05"},
            f"/v1/securities/{values['security']}/delist": {"on": "2026-01-05"},
            f"/v1/securities/tasks/{values.get('task_id')}/approve": {"note": "mine now"},
            f"/v1/securities/tasks/{values.get('task_id')}/reject": {"note": "mine now"},
            "/v1/policy": {"approve": "analyst"},
            "/v1/counterparties": {"name": "New Bank"},
            f"/v1/counterparties/{values['number']}": {"rating": "A"},
            "/v1/proposals/accept": {"ids": [values.get("proposal_id", str(UUID(int=7)))]},
            "/v1/proposals/looks": {"job": "listings"},
            "/v1/corporate-actions/unbooked/book": {"splits": [{"security": "BOLT", "ex_on": "2026-01-05"}]},
            f"/v1/proposals/{values.get('proposal_id')}/dismiss": {"why": "mine now"},
            "/v1/notification-channels": {"kind": "webhook", "target": "https://example.org/his", "events": ["failed"]},
            f"/v1/notification-channels/{values.get('channel_id')}": {"active": False},
            f"/v1/notification-channels/{values.get('channel_id')}/confirm": {"code": "00000000"},
            "/v1/import-maps": {"name": "his", "columns": ["Day"], "map": {"columns": {"date": "Day"}}},
            "/v1/portfolios": {"name": "one more", "base_currency": "USD"},
            f"/v1/portfolios/{portfolio}/reconciliations/{values['reconciliation_id']}/signoffs": {
                "rows": ["*"],
                "decision": "fixed",
            },
        }
        assert path in bodies, f"say in this test what {method} {path} is sent"
        body = {"json": bodies[path]}
    return client.request(method, path, params=query, **body)


def _channel(small: Small) -> UUID:
    """Anna's notification channel; its address is marked."""
    anna = small.user("anna")
    for found in notices.channels(anna):
        return found.channel_id
    return notices.add(anna, "webhook", f"https://example.org/{MARK}", ["completed"])[0]


def test_a_stranger_gets_nothing_from_any_endpoint(small: Small) -> None:
    client, tried = small.client("ben"), 0
    before = _ledger_rows(small)
    for portfolio in (str(small.portfolios[f"{MARK} dollars"]), f"{MARK} dollars"):
        for method, path, operation in operations(small):
            if path in ("/v1/auth/login", "/v1/auth/logout"):
                continue
            names = sorted(REPORTS) if "{name}" in path else [""]
            for name in names:
                answer = call(client, small, method, path, operation, portfolio, **({"name": name} if name else {}))
                about = f"{method} {path} {name}: {answer.status_code} {answer.text[:300]}"
                asks = any(p["name"] == "portfolio" for p in operation.get("parameters", []))
                assert answer.status_code in (403, 404) if asks else answer.status_code < 500, about
                tried += asks
                said = answer.text.replace(portfolio, "")
                assert not [s for s in SECRETS if s in said], about
                assert not [b for b in small.booked["dollars"] if str(b) in said], about
    assert tried > 2 * (len(REPORTS) + 15)
    assert _ledger_rows(small) == before


def _ledger_rows(small: Small) -> Any:
    with small.database.owner() as c:
        return c.execute(
            "SELECT count(*), max(recorded_at) FROM transactions WHERE portfolio_id = ANY (%s)", (annas(small),)
        ).fetchone()


def test_admin_reports_are_for_admins(small: Small) -> None:
    for name, report in REPORTS.items():
        if {"runs", "jobs", "feeds", "letters"} & set(report.inputs):
            assert small.client("ben").get(f"/v1/reports/{name}").status_code == 403
            assert small.client("anna").get(f"/v1/reports/{name}").status_code == 200


@pytest.mark.parametrize("token", [None, "", "not-a-token"])
def test_without_a_session_there_is_401_everywhere(small: Small, token: str | None) -> None:
    client = small.client()
    if token is not None:
        client.headers["Authorization"] = f"Bearer {token}"
    for method, path, operation in operations(small):
        if (method, path) in OPEN:
            continue
        answer = call(client, small, method, path, operation, str(small.portfolios[f"{MARK} dollars"]))
        assert answer.status_code == 401, f"{method} {path}"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert not [s for s in SECRETS if s in answer.text]
    assert client.get("/health").status_code == 200
    assert client.get("/docs").status_code == 200


def test_a_viewer_reads_and_books_nothing_and_loses_sight_at_once(small: Small) -> None:
    """Access is asked before any cache: Anna's figures are warm when the grant goes."""
    anna, ben, portfolio = small.user("anna"), small.client("ben"), small.portfolios[f"{MARK} euros"]
    path, query = "/v1/reports/overview", {"portfolio": str(portfolio)}
    assert small.client("anna").get(path, params=query).status_code == 200
    assert ben.get(path, params=query).status_code == 404
    access.share(anna, portfolio, "ben", "read")
    try:
        assert ben.get(path, params=query).status_code == 200
        new = {"date": "2026-01-05", "kind": "deposit", "gross": "1"}
        assert ben.post("/v1/transactions", params=query, json=new).status_code == 403
        gone = f"/v1/transactions/{small.booked['euros'][0]}"
        assert ben.delete(gone, params=query).status_code == 403
        assert ben.put(f"/v1/portfolios/{portfolio}", json={"version": 1, "name": "mine"}).status_code == 403
        file = b"date,kind,gross\n2026-01-05,deposit,1\n"
        answer = ben.post("/v1/transactions/import", params=query, content=file, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 403
    finally:
        access.share(anna, portfolio, "ben", None)
    assert ben.get(path, params=query).status_code == 404
