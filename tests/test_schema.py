"""What the database promises, read from its catalogue: keys that hold their tenant and their time, row-level security, roles."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from db import books, migrate
from db.embedded import Embedded

WEB, JOBS, OWNER = "ballast_web", "ballast_jobs", "ballast_owner"
Connection = psycopg.Connection[Any]


def column(c: Connection, sql: str, *parameters: object) -> list[Any]:
    return [r[0] for r in c.execute(sql, parameters).fetchall()]


@pytest.fixture
def tenants(owner: Connection) -> list[str]:
    """Every table that names a portfolio."""
    found = column(
        owner,
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'p') "
        "AND c.relnamespace = 'public'::regnamespace AND a.attname = 'portfolio_id' AND NOT a.attisdropped ORDER BY 1",
    )
    assert {"portfolios", "grants", "transactions", "imports", "limits", "portfolio_snapshots", "holdings"} <= set(
        found
    )
    return found


def unique_keys(c: Connection) -> list[tuple[str, str, list[str]]]:
    """(table, index, columns) of every primary key, unique constraint and unique index."""
    return c.execute(
        """SELECT t.relname, i.relname, array(SELECT a.attname::text FROM unnest(x.indkey) k JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k)
             FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
            WHERE x.indisunique AND t.relnamespace = 'public'::regnamespace ORDER BY 1, 2"""
    ).fetchall()


def test_every_unique_key_of_a_tenant_table_holds_its_portfolio(owner: Connection, tenants: list[str]) -> None:
    keys = unique_keys(owner)
    assert {t for t, _, _ in keys} >= set(tenants), "a tenant table without any key"
    assert not [(t, i, k) for t, i, k in keys if t in tenants and "portfolio_id" not in k]


def test_every_key_of_a_series_holds_its_time(owner: Connection) -> None:
    times = {"on", "bucket", "valid_from"}
    series = dict(
        owner.execute(
            "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'r' "
            "AND c.relnamespace = 'public'::regnamespace AND a.attname = ANY (%s) GROUP BY 1",
            (list(times),),
        ).fetchall()
    )
    assert {"price_history", "fx_rates", "trading_sessions", "portfolio_snapshots", "position_snapshots"} <= set(series)
    assert not [(t, i, k) for t, i, k in unique_keys(owner) if t in series and not times & set(k)]


def test_references_between_tenant_tables_hold_the_portfolio(owner: Connection, tenants: list[str]) -> None:
    references = owner.execute(
        """SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
                  array(SELECT a.attname::text FROM unnest(c.conkey) k JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k)
             FROM pg_constraint c WHERE c.contype = 'f'"""
    ).fetchall()
    between = [r for r in references if r[0] in tenants and r[1] in tenants]
    assert between
    assert not [r for r in between if "portfolio_id" not in r[2]]


def test_every_tenant_table_forces_row_level_security(owner: Connection, tenants: list[str]) -> None:
    states = owner.execute(
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = ANY (%s)", (tenants,)
    ).fetchall()
    assert not [s for s in states if not (s[1] and s[2])]


def test_every_right_of_the_web_role_on_a_tenant_table_has_its_policy(owner: Connection, tenants: list[str]) -> None:
    commands = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}
    policies = owner.execute(
        "SELECT polrelid::regclass::text, polcmd::text, coalesce(pg_get_expr(polqual, polrelid), '') || coalesce(pg_get_expr(polwithcheck, polrelid), ''), "
        "polpermissive FROM pg_policy WHERE (SELECT oid FROM pg_roles WHERE rolname = %s) = ANY (polroles) OR polroles = '{0}'",
        (WEB,),
    ).fetchall()
    for table in tenants:
        for command, letter in commands.items():
            mine = [p for p in policies if p[0] == table and p[1] in (letter, "*")]
            for policy in mine:
                words = ("readable()", "writable()", "managed()", "app_user()")
                assert any(word in policy[2] for word in words), f"{table} {command}: {policy[2]} asks for nobody"
            allowed = owner.execute("SELECT has_any_column_privilege(%s, %s, %s)", (WEB, table, command)).fetchone() if command != "DELETE" \
                else owner.execute("SELECT has_table_privilege(%s, %s, %s)", (WEB, table, command)).fetchone()  # fmt: skip
            assert allowed is not None
            assert not allowed[0] or mine, f"the web role may {command} {table}, and no policy says which rows"


def test_no_view_goes_around_the_policies(owner: Connection) -> None:
    views = owner.execute(
        "SELECT relname, coalesce(reloptions::text, '') FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    assert not [v for v in views if "security_invoker=true" not in v[1]]


@pytest.mark.parametrize("role", [WEB, JOBS])
def test_the_working_roles_own_nothing_and_pass_nothing_by(owner: Connection, role: str) -> None:
    flags = owner.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = %s",
        (role,),
    ).fetchone()
    assert flags == (False,) * 5
    owned = column(
        owner,
        "SELECT relname FROM pg_class WHERE relowner = %s::regrole UNION ALL SELECT proname FROM pg_proc WHERE proowner = %s::regrole "
        "UNION ALL SELECT nspname FROM pg_namespace WHERE nspowner = %s::regrole",
        role, role, role,
    )  # fmt: skip
    assert owned == []
    assert (
        column(
            owner,
            "SELECT b.rolname FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid WHERE m.member = %s::regrole",
            role,
        )
        == []
    )
    assert column(owner, "SELECT has_schema_privilege(%s, 'public', 'CREATE')", role) == [False]
    for right in ("UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
        assert column(owner, "SELECT has_table_privilege(%s, 'transactions', %s)", role, right) == [False], right
    assert column(owner, "SELECT has_any_column_privilege(%s, 'transactions', 'UPDATE')", role) == [False]
    truncatable = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND has_table_privilege(%s, oid, 'TRUNCATE')"
    assert column(owner, truncatable, role) == []


@pytest.mark.parametrize("table", ["credentials", "sessions", "sign_in_failures"])
def test_the_web_role_cannot_read_secrets(owner: Connection, table: str) -> None:
    assert column(owner, "SELECT has_any_column_privilege(%s, %s, 'SELECT, INSERT, UPDATE')", WEB, table) == [False]
    assert column(owner, "SELECT has_table_privilege(%s, %s, 'DELETE')", WEB, table) == [False]


def test_the_jobs_role_cannot_read_secrets(owner: Connection) -> None:
    readable = owner.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname IN ('credentials', 'sessions') "
        "AND c.relkind = 'r' AND a.attnum > 0 AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')",
        (JOBS,),
    ).fetchall()
    assert readable == [("sessions", "expires_at")]  # enough to drop those that ran out


def test_the_web_role_does_not_write_market_data(owner: Connection) -> None:
    writable = column(
        owner,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND (has_any_column_privilege(%s, oid, 'INSERT, UPDATE') "
        "OR has_table_privilege(%s, oid, 'DELETE')) ORDER BY 1",
        WEB, WEB,
    )  # fmt: skip
    assert writable == [
        "cost_methods",
        "grants",
        "import_maps",
        "imports",
        "limits",
        "lookups",
        "notice_channels",
        "portfolios",
        "reconciliation_signoffs",
        "reconciliations",
        "request_keys",
        "security_matches",
        "transactions",
    ]


def test_functions_with_the_owners_rights_are_closed(owner: Connection) -> None:
    found = owner.execute(
        "SELECT proname, coalesce(proconfig::text, ''), has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc "
        "WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert found
    assert not [f for f in found if "search_path=" not in f[1] or f[2]]


def test_money_is_never_a_float_and_time_never_naive(owner: Connection) -> None:
    wrong = owner.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type IN ('real', 'double precision', 'money', 'timestamp without time zone', 'character varying')"
        "AND table_name <> 'alembic_version'"
    ).fetchall()
    assert wrong == []


def booked(c: Connection) -> UUID:
    """A portfolio with one transaction."""
    user = column(c, "INSERT INTO users (username, display_name) VALUES ('ann', 'Ann') RETURNING user_id")[0]
    portfolio = column(
        c,
        "INSERT INTO portfolios (name, base_currency, created_by) VALUES ('P', 'USD', %s) RETURNING portfolio_id",
        user,
    )[0]
    c.execute(
        "INSERT INTO transactions (portfolio_id, kind, gross, currency, net, cash_currency, traded_on, settles_on, idempotency_key, source, recorded_by) "
        "VALUES (%s, 'deposit', 1, 'USD', 1, 'USD', '2026-01-05', '2026-01-05', 'k', 'test', %s)",
        (portfolio, user),
    )
    return portfolio


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transactions SET net = 2",
        "UPDATE transactions SET note = 'x'",
        "DELETE FROM transactions",
        "TRUNCATE transactions CASCADE",
    ],
)
def test_the_ledger_is_append_only_even_for_its_owner(owner: Connection, change: str) -> None:
    booked(owner)
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        owner.execute(change)


def test_corrected_prices_stay_known(owner: Connection) -> None:
    number = column(
        owner,
        "INSERT INTO securities (symbol, exchange, name, asset_class, currency) VALUES ('A', 'XNYS', 'A', 'Equity', 'USD') RETURNING security_id",
    )[0]
    owner.execute(
        "INSERT INTO price_history (security_id, \"on\", close, provider) VALUES (%s, '2026-01-05', 10, 'csv')",
        (number,),
    )
    owner.execute("UPDATE price_history SET close = 11")
    assert column(owner, "SELECT close FROM price_corrections") == [10]
    with pytest.raises(psycopg.errors.RestrictViolation), owner.transaction():
        owner.execute("DELETE FROM price_corrections")
    with pytest.raises(psycopg.errors.RestrictViolation), owner.transaction():
        owner.execute("UPDATE price_corrections SET close = 9")


def test_a_booking_counts_once(owner: Connection) -> None:
    portfolio = booked(owner)
    again = "INSERT INTO transactions (portfolio_id, kind, currency, net, cash_currency, traded_on, settles_on, idempotency_key, source, recorded_by, reverses) "
    again += "SELECT portfolio_id, {kind}, currency, net, cash_currency, traded_on, settles_on, {key}, source, recorded_by, {reverses} FROM transactions LIMIT 1"
    with pytest.raises(psycopg.errors.UniqueViolation), owner.transaction():
        owner.execute(again.format(kind="kind", key="idempotency_key", reverses="NULL"))
    owner.execute(again.format(kind="'reversal'", key="'r1'", reverses="transaction_id"))
    with pytest.raises(psycopg.errors.UniqueViolation), owner.transaction():
        owner.execute(again.format(kind="'reversal'", key="'r2'", reverses="transaction_id"))
    assert column(owner, "SELECT count(*) FROM transactions WHERE portfolio_id = %s", portfolio) == [2]


def test_an_installation_of_the_first_schema_comes_along(server: Embedded) -> None:
    """What stood in a database of revision 0001 is there after the upgrade, and reads as it did."""
    name = "older"
    migrate.ensure_database(server.conninfo(dbname="postgres"), name)
    try:
        assert migrate.migrate(server.conninfo(dbname=name), to="0001")
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            portfolio = booked(c)
            c.execute("INSERT INTO cost_methods VALUES (%s, '1900-01-01', 'average')", (portfolio,))
            c.execute("INSERT INTO limits VALUES (%s, 'issuer', '2020-01-01', 0.2, 'hard')", (portfolio,))
            c.execute("INSERT INTO fx_rates VALUES ('EUR', 'USD', '2026-01-05', 1.1, 'ecb')")
            user = column(c, "SELECT user_id FROM users")[0]
            c.execute("INSERT INTO grants VALUES (%s, %s, 'manage')", (user, portfolio))
        assert migrate.migrate(server.conninfo(dbname=name))
        assert not migrate.migrate(server.conninfo(dbname=name)), "nothing is left to do"
        with psycopg.connect(server.conninfo("ballast_owner", name)) as c:
            found = books.load(c, portfolio).book
            assert (len(found.ledger), found.portfolio.dated_methods) == (1, ((-25567, "average"),))
            assert found.limit_on("issuer", 20_000) == (Decimal("0.2"), "hard")
            early = books.load(c, portfolio, datetime(2020, 1, 1, tzinfo=UTC)).book
            assert len(early.ledger) == 0, "nothing of it was known before it was recorded"
    finally:
        books.forget()
        with psycopg.connect(server.conninfo(dbname="postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE {name} WITH (FORCE)")
