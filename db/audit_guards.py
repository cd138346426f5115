"""What writes and protects the audit trail: whether it still stands as the migrations made it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

BODIES = re.compile(r"CREATE (?:OR REPLACE )?FUNCTION (\w+)\(.*?AS\s+\$\$(.*?)\$\$", re.DOTALL)
TRIGGERS = re.compile(r"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER (\w+) [^;%]*? ON (\w+)")
JOINS = re.compile(r"audited(_by_people)?\('(\w+)'((?:, *'\w+')*)\)")
FUNCTIONS = ("refuse_audit", "netstring", "audit_canonical", "audit_link", "audit_seal", "audit_kept", "audit_told", "audit_rows", "audit_truncation",
             "audit_booked", "audit_readable", "audit_chains", "audit_links", "audit_head", "app_user", "refuse_change")  # fmt: skip
# of tables that do not join by audited(): as pg_get_triggerdef has them, without the name of the table
_GUARD = "BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit()"
OWN = {
    **{(t, "append_only"): f"CREATE TRIGGER append_only {_GUARD}" for t in ("audit_log", "audit_heads", "audit_pending")},
    ("audit_pending", "seal"): "CREATE CONSTRAINT TRIGGER seal AFTER INSERT ON {} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.opens) "
    "EXECUTE FUNCTION audit_seal()",
    ("transactions", "append_only"): "CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    ("transactions", "append_only_truncate"): "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION "
    "refuse_change()",
    ("transactions", "audit_insert"): "CREATE TRIGGER audit_insert AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE "
    "FUNCTION audit_booked()",
}  # fmt: skip
_ROWS = {
    "audit_insert": "AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows",
    "audit_update": "AFTER UPDATE ON {} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "audit_delete": "AFTER DELETE ON {} REFERENCING OLD TABLE AS old_rows",
}
_JOINED = """SELECT t.relname::text, t.columns, t.key,
    CASE WHEN 'portfolio_id' = ANY (t.columns) THEN 'portfolio' WHEN 'user_id' = ANY (t.columns) OR t.relname = 'installation' THEN 'people' ELSE 'master' END
  FROM (SELECT c.relname, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) AS columns,
               ARRAY(SELECT a.attname::text FROM pg_index x CROSS JOIN unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE x.indrelid = c.oid AND x.indisprimary ORDER BY k.place) AS key
          FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)) AS t"""

_THERE = """SELECT t.relname::text, g.tgname::text, pg_get_triggerdef(g.oid, true), g.tgenabled IN ('O', 'A'), p.proname::text, p.prosrc
    FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
   WHERE t.relnamespace = 'public'::regnamespace AND NOT g.tgisinternal AND t.relname = ANY (%s)
  UNION ALL SELECT t.relname, r.rulename, pg_get_ruledef(r.oid), true, NULL, NULL FROM pg_rewrite r JOIN pg_class t ON t.oid = r.ev_class
   WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY (%s)"""


def fallen(c: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """(table or function, what is wrong with what should write or protect the trail), in the order of their names."""
    wanted = _wanted(c)
    bodies, ours = _bodies(), _triggers()
    there, out = {}, []
    for table, name, definition, enabled, function, source in c.execute(_THERE, ([table for table, _ in wanted],) * 2).fetchall():  # fmt: skip
        there[table, name] = definition, enabled
        if (table, name) not in wanted and ((table, name) not in ours or source not in bodies.get(function, ())):
            out.append((table, f"its {'trigger' if function else 'rule'} {name} is not one that was installed: changes may have left no row"))  # fmt: skip
    for (table, name), definition in wanted.items():
        if (state := _state(definition, there.get((table, name)))) is not None:
            out.append((table, f"its trigger {name} {state}: changes may have left no row"))
    sources: dict[str, list[str]] = {}
    for name, source in c.execute(
        "SELECT proname::text, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = ANY (%s)", (list(FUNCTIONS),)
    ).fetchall():  # fmt: skip
        sources.setdefault(name, []).append(source)
    for name in FUNCTIONS:
        if not sources.get(name) or not set(sources[name]) <= bodies[name]:
            out.append((name, "this function is not the one that was installed: the trail may not say what happened"))
    return sorted(out)


def _state(definition: str, found: tuple[str, bool] | None) -> str | None:
    """What is wrong with a trigger, in words; None: it is there, on, and as it is defined."""
    if found is None:
        return "is missing"
    if not found[1]:
        return "is disabled"
    return "was replaced" if found[0] != definition else None


def _wanted(c: psycopg.Connection[Any]) -> dict[tuple[str, str], str]:
    """The definition of every trigger that is needed, by table and name."""
    joins = {table: (who, ignored) for who, table, ignored in _joins()}
    wanted = {key: definition.format(key[0]) for key, definition in OWN.items()}
    for table, columns, key, chain in c.execute(_JOINED, (list(joins),)).fetchall():
        who, ignored = joins[table]
        hidden = [
            x for x in columns
            if re.search("password|secret|token", x) or (x in ("address", "request_id") and "request_id" in columns)
        ]  # fmt: skip
        lists = ", ".join(f"'{{{','.join(x)}}}'" for x in (key, hidden, ignored))
        for name, when in _ROWS.items():
            wanted[table, name] = (
                f"CREATE TRIGGER {name} {when.format(table)} FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('{chain}', '{who}', {lists})"
            )
        wanted[table, "audit_truncate"] = (
            f"CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_truncation('{chain}')"
        )
    return wanted


def _joins() -> list[tuple[str, str, list[str]]]:
    """(whose changes are kept, table, ignored columns) as the migrations ask for it; what is asked last counts."""
    said = re.sub(r"--.*", "", _migrations())
    return [
        ("people" if by else "all", table, re.findall(r"\w+", ignored)) for by, table, ignored in JOINS.findall(said)
    ]


def _triggers() -> set[tuple[str, str]]:
    """(table, name) of every trigger that the migrations name."""
    return {(table, name) for name, table in TRIGGERS.findall(re.sub(r"--.*", "", _migrations()))}


def _bodies() -> dict[str, set[str]]:
    """What stands in each function, by its name; of one that was made anew, any of them."""
    found: dict[str, set[str]] = {}
    for name, body in BODIES.findall(_migrations()):
        found.setdefault(name, set()).add(body)
    return found


@cache
def _migrations() -> str:
    folder = Path(__file__).parent / "migrations" / "versions"
    return "\n".join(file.read_text("utf-8") for file in sorted(folder.glob("*.sql")))
