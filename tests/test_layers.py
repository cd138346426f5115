"""The house rules that a machine can check: which way imports point, what core may touch, where SQL lives."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

# What each layer may import of our own; every layer may import itself.
MAY_IMPORT = {
    "core": set(),
    "db": {"core", "settings"},
    "ui": {"core", "db", "settings"},
    "pages": {"core", "db", "ui", "settings"},
    "api": {"core", "db", "settings"},
    "jobs": {"core", "db", "settings"},
    "app": {"pages", "api", "ui", "core", "db", "settings"},
    "run": {"db", "settings"},
    "settings": set(),
}
LIGHT = {"run": "db.embedded"}  # the launcher waits for nobody's imports
CORE_LIBRARIES = {"numpy", "pyxirr", "scipy", "skfolio", "pandas", "exchange_calendars", "rapidfuzz", "dateutil"}
CORE_MAY_NOT_USE = {
    *("os", "sys", "socket", "ssl", "subprocess", "shutil", "tempfile", "pathlib", "glob", "threading"),
    *("asyncio", "multiprocessing", "http", "urllib", "logging", "random", "secrets", "time", "sqlite3", "pickle"),
}
CORE_MAY_NOT_CALL = {"open", "input", "print", "exec", "eval", "breakpoint", "__import__"}
CLOCK = {"now", "today", "utcnow"}
FILES = {"open", "read_text", "write_text", "read_bytes", "write_bytes", "read_csv", "read_parquet", "loadtxt"}
NO_NAMES = re.compile(r"(utils?|helpers?|common|misc|manager|factory|service|handlers?|repository)", re.IGNORECASE)
SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\(|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|VIEW|INDEX|ROLE|DATABASE|SCHEMA|FUNCTION|POLICY|TRIGGER)\b)",
    re.IGNORECASE | re.DOTALL,
)


def files() -> list[Path]:
    """Every module of the product: the layers' folders and the files at the top, without the tests."""
    found = [ROOT / f"{name}.py" for name in MAY_IMPORT]
    for name in MAY_IMPORT:
        found += sorted((ROOT / name).rglob("*.py"))
    return [path for path in found if path.exists() and "__pycache__" not in path.parts]


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, relative imports resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) + "." if node.level else ""
            module = (base + (node.module or "")).strip(".")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def told(path: Path, line: int, what: str) -> str:
    return f"{label(path)}:{line}: {what}"


@pytest.fixture(scope="module")
def modules() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(), str(path)) for path in files()}


def test_imports_point_one_way(modules: dict[Path, ast.Module]) -> None:
    wrong = []
    for path, tree in modules.items():
        here = layer(path)
        for line, name in imports(tree, path):
            there = name.split(".")[0]
            if there in MAY_IMPORT and there != here and there not in MAY_IMPORT[here]:
                wrong.append(told(path, line, f"{here} may not import {name}"))
            light = there not in MAY_IMPORT or there == "settings" or name.startswith(LIGHT.get(here, ""))
            if not light:
                wrong.append(told(path, line, f"{here} stays light and may not import {name}"))
            if there in ("tests", "bench"):
                wrong.append(told(path, line, f"{here} may not import {name}"))
    assert not wrong, "\n".join(wrong)


def test_core_is_pure(modules: dict[Path, ast.Module]) -> None:
    """No clock, no file, no environment, no network in core: the same question gives the same answer."""
    wrong = []
    for path, tree in modules.items():
        if layer(path) != "core":
            continue
        for line, name in imports(tree, path):
            top = name.split(".")[0]
            allowed = top in ("core", "__future__") or top in CORE_LIBRARIES or top in sys.stdlib_module_names
            if not allowed or top in CORE_MAY_NOT_USE:
                wrong.append(told(path, line, f"core may not import {name}"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Name(id=name) if name in CORE_MAY_NOT_CALL:
                    wrong.append(told(path, node.lineno, f"core may not call {name}()"))
                case ast.Attribute(attr=name) if name in FILES:
                    wrong.append(told(path, node.lineno, f"core has no files: {name}()"))
                case ast.Attribute(attr=name, value=ast.Name(id="datetime" | "date" | "dt")) if name in CLOCK:
                    wrong.append(told(path, node.lineno, f"core has no clock: {name}()"))
                case ast.Attribute(attr=name, value=ast.Attribute(attr="datetime" | "date")) if name in CLOCK:
                    wrong.append(told(path, node.lineno, f"core has no clock: {name}()"))
    assert not wrong, "\n".join(wrong)


def test_sql_lives_in_db(modules: dict[Path, ast.Module]) -> None:
    wrong = []
    for path, tree in modules.items():
        if layer(path) == "db":
            continue
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
            if isinstance(text, str) and SQL.match(text):
                wrong.append(told(path, node.lineno, f"SQL outside db/: {text.strip()[:60]!r}"))
        for line, name in imports(tree, path):
            driver = name.split(".")[0]
            if driver in ("psycopg_pool", "sqlalchemy", "alembic"):
                wrong.append(told(path, line, f"{name} is for db/ only"))
            if driver == "psycopg" and layer(path) != "jobs":  # jobs hand connections on, and know a lost one
                wrong.append(told(path, line, f"{name} is for db/ and jobs/ only"))
    assert not wrong, "\n".join(wrong)


def test_only_jobs_meet_the_outside_world(modules: dict[Path, ast.Module]) -> None:
    outside = {"yfinance", "requests", "httpx", "curl_cffi", "aiohttp", "urllib3", "smtplib"}
    wrong = [
        told(path, line, f"{name} is for jobs/ only")
        for path, tree in modules.items()
        for line, name in imports(tree, path)
        if layer(path) != "jobs" and name.split(".")[0] in outside
    ]
    assert not wrong, "\n".join(wrong)


# Where whatever is raised must be recorded instead of ending the process: each names its reason in the line.
BORDERS = {"jobs/run.py", "jobs/tasks.py"}


def test_no_bare_or_broad_except(modules: dict[Path, ast.Module]) -> None:
    """An error is caught by its name, or it is not ours to catch."""
    wrong = []
    for path, tree in modules.items():
        for node in ast.walk(tree):
            caught: list[ast.expr | None] = []
            if isinstance(node, ast.ExceptHandler):
                caught = list(node.type.elts) if isinstance(node.type, ast.Tuple) else [node.type]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                caught = list(node.args)
            for each in caught:
                if each is None or (ast.unparse(each) in ("Exception", "BaseException") and label(path) not in BORDERS):
                    line = getattr(node, "lineno", 0)
                    wrong.append(told(path, line, f"catches {ast.unparse(each) if each else 'everything'}"))
    assert not wrong, "\n".join(wrong)


def test_every_file_opens_with_what_it_holds(modules: dict[Path, ast.Module]) -> None:
    wrong = [label(path) for path, tree in modules.items() if not (ast.get_docstring(tree) or "").strip()]
    assert not wrong, "without an opening docstring: " + ", ".join(wrong)


def test_no_file_is_named_after_nothing() -> None:
    parts = {part for path in files() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not {part for part in parts if any(NO_NAMES.fullmatch(word) for word in part.split("_"))}


def test_pages_do_not_hide_the_standard_library() -> None:
    """The folder of the main script leads sys.path: a page called statistics.py would be what others import."""
    assert not {path.stem for path in (ROOT / "pages").glob("*.py")} & set(sys.stdlib_module_names)


def test_the_launcher_is_light() -> None:
    """What run.py loads before it starts anything: nothing that takes a second."""
    heavy = "streamlit fastapi sqlalchemy pandas numpy scipy psycopg starlette yfinance"
    code = f"import sys, run; print([n for n in {heavy.split()!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the checks check: each finds what it is there to find ----------------------------------------


@pytest.mark.parametrize(
    ("text", "is_sql"),
    [
        ("SELECT name FROM users", True),
        ("  insert into users values (1)", True),
        ("UPDATE users SET name = %s", True),
        ("with open_lots as (select 1)", True),
        ("Select a portfolio", False),
        ("Update the limit, then set it", False),
        ("With fees included", False),
        ("Drop files here", False),
    ],
)
def test_sql_is_told_from_prose(text: str, is_sql: bool) -> None:
    assert bool(SQL.match(text)) is is_sql


def test_relative_imports_are_resolved() -> None:
    path = ROOT / "core" / "metrics" / "tail.py"
    tree = ast.parse("from . import ratios\nfrom ..money import Money\nfrom ...db import engine")
    assert [name for _, name in imports(tree, path)] == ["core.metrics.ratios", "core.money.Money", "db.engine"]
