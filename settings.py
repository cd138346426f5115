"""Every environment variable the product reads, read once: name, default, meaning.

To add one, add a line to `_VARIABLES` and a field to `Settings`, and read it in `read`.
`python settings.py` (`make settings`) prints the table. Nothing else in the product reads the environment.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

ROOT: Final = Path(__file__).resolve().parent
KNOWN_FEEDS: Final = ("replay", "yahoo", "csv")
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS: Final = ("console", "json")

T = TypeVar("T")


class BadSetting(ValueError):
    """An environment variable holds something the product cannot use: which, what, what would be right."""

    def __init__(self, name: str, value: str, right: str) -> None:
        super().__init__(f"{name}={mask(name, value)!r} cannot be used: {right}.")
        self.name = name


@dataclass(frozen=True)
class Variable:
    """One environment variable as the table shows it."""

    name: str
    default: str
    meaning: str


_VARIABLES: Final = (
    Variable(
        "DATA_DIR",
        "<checkout>/.data",
        "folder for everything the product writes, the embedded database included",
    ),
    Variable(
        "DATABASE_URL",
        "",
        "your own PostgreSQL, as its owner: postgresql://user:password@host/database; empty = embedded",
    ),
    Variable(
        "WEB_DATABASE_URL",
        "",
        "separate login for the web process, held by row-level security; empty = DATABASE_URL",
    ),
    Variable("HOST", "127.0.0.1", "address the web process listens on; 0.0.0.0 = every network card"),
    Variable("PORT", "8501", "port the web process listens on"),
    Variable(
        "DEMO",
        "on without DATABASE_URL",
        "load the demo portfolios and the user demo/demo; refused with DATABASE_URL",
    ),
    Variable("FEEDS", "replay with DEMO, else csv", "market data feeds in order of preference: replay, yahoo, csv"),
    Variable("PRICE_CSV_DIR", "<DATA_DIR>/prices", "folder where the csv feed looks for price files"),
    Variable("QUOTES_EVERY_SECONDS", "10", "time between two rounds of quotes"),
    Variable("SNAPSHOT_EVERY_MINUTES", "5", "time between two portfolio snapshots"),
    Variable(
        "CURRENCY", "USD", "the installation's currency: of what is listed nowhere and names none, and first in forms"
    ),
    Variable("SESSION_HOURS", "12", "how long a sign-in lasts"),
    Variable(
        "COVERAGE_LIMIT",
        "0.98",
        "share of a portfolio's value that must be priced before a total counts as complete",
    ),
    Variable(
        "BOOK_SPLITS",
        "off",
        "whether the scheduled process books splits that a feed knows and a ledger lacks; off = people are told and book them",
    ),
    Variable(
        "RISK_FREE_RATES",
        "",
        "risk-free rate a year by currency, such as USD=4.25%,EUR=2%; dated ones: python -m db.admin load-risk-free; empty = 0",
    ),
    Variable(
        "FILLS_ARE_ONE_PURCHASE",
        "on",
        "for wash sales: purchases of one security on one day at one price in one portfolio are fills of one order and do not replace each other",
    ),
    Variable("SCHEDULER", "on", "whether run.py starts the scheduled process beside the web process"),
    Variable("LOG_LEVEL", "info", "least serious message that is logged: debug, info, warning, error, critical"),
    Variable("LOG_FORMAT", "console", "console = for people, json = one object a line"),
    Variable("BROWSER_OPEN", "on where there is a display", "whether run.py opens the address in a browser"),
    Variable("COOKIE_SECURE", "off", "send the session cookie over HTTPS only; turn on behind HTTPS"),
    Variable("PUBLIC_URL", "http://<HOST>:<PORT>", "how others reach the pages; links in notifications begin with it"),
    Variable("SMTP_URL", "", "server that sends mail: smtp://user:password@host:587 or smtps://…; empty = no mail"),
    Variable("MAIL_FROM", "the user of SMTP_URL", "sender of mail"),
    Variable("WEBHOOK_PRIVATE", "off", "whether webhooks may go to addresses of your own network and this machine"),
    Variable("TASK_RETENTION_DAYS", "365", "how long tasks that have ended are kept"),
)


@dataclass(frozen=True)
class Settings:
    """The product's settings, one field a variable; the meaning of each stands in the table above."""

    data_dir: Path
    database_url: str
    web_database_url: str
    host: str
    port: int
    demo: bool
    feeds: tuple[str, ...]
    price_csv_dir: Path
    quotes_every_seconds: int
    snapshot_every_minutes: int
    currency: str
    session_hours: int
    coverage_limit: float
    risk_free_rates: str
    fills_are_one_purchase: bool
    book_splits: bool
    scheduler: bool
    log_level: str
    log_format: str
    browser_open: bool
    cookie_secure: bool
    public_url: str
    smtp_url: str
    mail_from: str
    webhook_private: bool
    task_retention_days: int

    @property
    def embedded(self) -> bool:
        """Whether the product brings its own PostgreSQL."""
        return not self.database_url

    @property
    def address(self) -> str:
        """What to type into a browser on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def link(self) -> str:
        """What links in notifications begin with."""
        return self.public_url or self.address


def _switch(text: str) -> bool:
    if text.lower() not in ("on", "1", "true", "yes", "off", "0", "false", "no"):
        raise ValueError
    return text.lower() in ("on", "1", "true", "yes")


def _currency(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError
    return text.upper()


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise ValueError
    return share


def _postgres_url(text: str) -> str:
    if not re.match(r"postgres(ql)?(\+psycopg)?://[^\s]+$", text):
        raise ValueError
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql://", text)


def _web_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise ValueError
    return text.rstrip("/")


def _smtp_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.port == 0:
        raise ValueError
    if (parts.username is None) != (parts.password is None):
        raise ValueError
    return text


def _mail_address(text: str) -> str:
    if not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+|[^<>@\r\n]+<[^\s@<>]+@[^\s@<>]+>", text):
        raise ValueError
    return text


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def _feeds(text: str) -> tuple[str, ...]:
    feeds = tuple(word.strip().lower() for word in text.split(",") if word.strip())
    if not feeds or len(set(feeds)) != len(feeds) or not set(feeds) <= set(KNOWN_FEEDS):
        raise ValueError
    return feeds


def _host(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z.:_-]+", text):
        raise ValueError
    return text


def _rates(text: str) -> str:
    """Pairs of currency and rate, as `core.risk_free.by_currency` reads them."""
    if not re.fullmatch(r"[A-Za-z]{3}\s*=\s*(-?\d{1,2}(\.\d+)?\s*%|-?0?\.\d+|0)(\s*,\s*[A-Za-z]{3}\s*=\s*(-?\d{1,2}(\.\d+)?\s*%|-?0?\.\d+|0))*", text):
        raise ValueError
    return text


def _folder(text: str) -> Path:
    if "\0" in text or "\n" in text:
        raise ValueError
    return Path(text).expanduser().resolve()


def _has_display(environ: Mapping[str, str]) -> bool:
    if environ.get("CI") or environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def read(environ: Mapping[str, str]) -> Settings:
    """Settings out of an environment. Set but empty counts as unset. Raises `BadSetting`."""

    def get(name: str, default: T, parse: Callable[[str], T], right: str) -> T:
        text = environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except (ValueError, OverflowError) as error:
            raise BadSetting(name, text, right) from error

    switch = "use on or off"
    url = "use postgresql://user:password@host:5432/database"
    data_dir = get("DATA_DIR", ROOT / ".data", _folder, "use a folder that may be written to")
    if data_dir.exists() and not data_dir.is_dir():
        raise BadSetting("DATA_DIR", str(data_dir), "this is a file; use a folder")
    database_url = get("DATABASE_URL", "", _postgres_url, url)
    web_database_url = get("WEB_DATABASE_URL", "", _postgres_url, url)
    if web_database_url and not database_url:
        raise BadSetting("WEB_DATABASE_URL", web_database_url, "it goes with DATABASE_URL; set both or neither")
    demo = get("DEMO", not database_url, _switch, switch)
    if demo and database_url:
        raise BadSetting(
            "DEMO",
            environ.get("DEMO", ""),
            "the demo is loaded into the embedded database only; unset DEMO or DATABASE_URL",
        )
    smtp_url = get("SMTP_URL", "", _smtp_url, "use smtp://user:password@host:587 or smtps://user:password@host:465")
    sender = unquote(urlsplit(smtp_url).username or "")
    by_default: tuple[str, ...] = ("replay",) if demo else ("csv",)
    feeds = get("FEEDS", by_default, _feeds, f"use a comma list of {', '.join(KNOWN_FEEDS)}")
    return Settings(
        data_dir=data_dir,
        database_url=database_url,
        web_database_url=web_database_url,
        host=get("HOST", "127.0.0.1", _host, "use an address or a host name, such as 127.0.0.1"),
        port=get("PORT", 8501, _number(1, 65535), "use a whole number from 1 to 65535"),
        demo=demo,
        feeds=feeds,
        price_csv_dir=get("PRICE_CSV_DIR", data_dir / "prices", _folder, "use a folder"),
        quotes_every_seconds=get("QUOTES_EVERY_SECONDS", 10, _number(1, 86400), "use whole seconds from 1 to 86400"),
        snapshot_every_minutes=get("SNAPSHOT_EVERY_MINUTES", 5, _number(1, 1440), "use whole minutes from 1 to 1440"),
        currency=get("CURRENCY", "USD", _currency, "use an ISO code such as USD or EUR"),
        session_hours=get("SESSION_HOURS", 12, _number(1, 8760), "use whole hours from 1 to 8760"),
        coverage_limit=get("COVERAGE_LIMIT", 0.98, _share, "use a share above 0 and up to 1, such as 0.98"),
        book_splits=get("BOOK_SPLITS", False, _switch, switch),
        risk_free_rates=get("RISK_FREE_RATES", "", _rates, "use rates by currency, such as USD=4.25%,EUR=2%"),
        fills_are_one_purchase=get("FILLS_ARE_ONE_PURCHASE", True, _switch, switch),
        scheduler=get("SCHEDULER", True, _switch, switch),
        log_level=get("LOG_LEVEL", "info", _one_of(LOG_LEVELS), f"use one of {', '.join(LOG_LEVELS)}"),
        log_format=get("LOG_FORMAT", "console", _one_of(LOG_FORMATS), f"use one of {', '.join(LOG_FORMATS)}"),
        browser_open=get("BROWSER_OPEN", _has_display(environ), _switch, switch),
        cookie_secure=get("COOKIE_SECURE", False, _switch, switch),
        public_url=get(
            "PUBLIC_URL", "", _web_url, "use the address of the front page, such as https://ballast.example.org"
        ),
        smtp_url=smtp_url,
        mail_from=get(
            "MAIL_FROM", sender if "@" in sender else "ballast@localhost", _mail_address, "use one mail address"
        ),
        webhook_private=get("WEBHOOK_PRIVATE", False, _switch, switch),
        task_retention_days=get("TASK_RETENTION_DAYS", 365, _number(1, 36500), "use whole days from 1 to 36500"),
    )


def mask(name: str, value: str) -> str:
    """The value as it may be shown: the URL of a database or mail server without its password."""
    if not name.endswith(("DATABASE_URL", "SMTP_URL")):
        return value
    value = re.sub(r"(?<=://)([^:/@]*):.*@", r"\1:•••@", value)
    return re.sub(r"(password=)[^&\s]+", r"\1•••", value)


def table(environ: Mapping[str, str]) -> str:
    """Name, default, current value and meaning of every variable, as text."""
    now = read(environ)

    def shown(name: str) -> str:
        value = getattr(now, name.lower())
        if isinstance(value, bool):
            return "on" if value else "off"
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        return mask(name, text) or "(empty)"

    rows = [("variable", "default", "current", "meaning")]
    rows += [(each.name, each.default or "(empty)", shown(each.name), each.meaning) for each in _VARIABLES]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])) for row in rows
    )


def names() -> tuple[str, ...]:
    """The name of every variable, in the order of the table."""
    return tuple(each.name for each in _VARIABLES)


try:
    settings: Final = read(os.environ)
except BadSetting as error:
    sys.exit(f"error: {error}")

if __name__ == "__main__":
    print(table(os.environ))
