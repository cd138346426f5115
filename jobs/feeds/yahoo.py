"""The yahoo feed, through yfinance: off until FEEDS names it. Yahoo's terms allow personal use only.

yfinance (and the pandas it brings) is loaded at the first question. It does the signing on and the transport; the replies
are read here, so that no float passes through a frame on its way to a Decimal.

Yahoo's "raw" closes are adjusted for every split up to today (not for dividends; that is what `auto_adjust=False` means).
A bar here is the price of its own day: closes are multiplied, and volumes divided, by all splits after it. Adjusted closes
stay as Yahoo says them.
"""

from __future__ import annotations

import json
import re
import threading
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

import numpy as np
import structlog

from core.book import Action
from core.ledger import Security
from core.money import MINOR_QUOTES, major_quote
from core.profiles import TWO_YEARS, Profile, allowed, asked, asset_class_of, dividend_frequency, exchange_of
from core.ratio import times
from core.taxonomy import ASSET_CLASSES, country_of, sector_of
from db.market import Bar, QuoteRow
from jobs.feeds import FeedError, refusing
from settings import settings

CEILING = 5.0  # seconds for one request
BUDGET = 20.0  # seconds for a round of quotes
LONG_BUDGET = 120.0  # seconds for a round of bars: one request a security
SHORT_BUDGET = 8.0  # seconds for profiles: somebody is waiting
MOST = 3  # profiles of one search
IN_A_ROW = 5  # symbols without a sensible answer, after which Yahoo itself is taken to be unwell
HALVINGS = 24  # requests that may go wrong in one round of quotes while what spoils it is looked for
LEFT_OUT = 600.0  # seconds that a symbol which spoils a round of quotes is left out of it
MODULES = "assetProfile,price,quoteType,summaryDetail"
SUFFIXES = {
    "XNYS": "",
    "XNAS": "",
    "XLON": ".L",
    "XETR": ".DE",
    "XPAR": ".PA",
    "XAMS": ".AS",
    "XSWX": ".SW",
    "XTKS": ".T",
    "XTSE": ".TO",
}
PHASES = {"PRE": "pre", "REGULAR": "regular", "POST": "post"}  # everything else is closed
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACES = Decimal("1e-10")
_ENDS = frozenset(SUFFIXES.values()) - {""}
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.=/^-]{0,31}")
# what reading a reply of another shape than it should have raises
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
K = TypeVar("K")
R = TypeVar("R")
log = structlog.get_logger("yahoo")


class Refused(FeedError):
    """Yahoo says nothing sensible of one symbol; of others it may. `passing`: not because of the symbol, as far as one can tell."""

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


def symbol_of(security: Security) -> str | None:
    """What Yahoo calls a security; None where it does not list the exchange here."""
    suffix = SUFFIXES.get(security.exchange)
    return None if suffix is None else security.symbol.replace(".", "-").replace("/", "-") + suffix


class Clamp:
    """Mixed into a session: no request lasts longer than the ceiling, all since `begin` no longer than the budget.

    yfinance passes its own 30 seconds for cookies and crumbs whatever one asks for; without this, a network that
    swallows packets costs minutes.
    """

    ceiling = CEILING

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._batch = threading.local()  # each thread has its batch: a lookup does not cut the bars short

    def begin(self, budget: float) -> None:
        """A new batch of this thread starts now."""
        self._batch.deadline = time.monotonic() + budget

    def request(self, method: str, url: str, *arguments: Any, timeout: Any = None, **named: Any) -> Any:
        """The request, in the time that is left."""
        left = getattr(self._batch, "deadline", 0.0) - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this batch of market data is used up")
        asked = timeout if isinstance(timeout, int | float) else self.ceiling
        limit = min(self.ceiling, left, asked)
        return super().request(method, url, *arguments, timeout=limit, **named)  # type: ignore[misc]


def clamped(kind: type[Any], **named: Any) -> Any:
    """A session of this kind that keeps to the limits."""
    return type("ClampedSession", (Clamp, kind), {})(**named)


@dataclass
class _Round:
    """One round of quotes: what is asked, what was found, which symbols spoil an answer and which have an unreadable row."""

    named: Mapping[str, Security]
    now: datetime
    found: list[QuoteRow] = field(default_factory=list)
    spoiling: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    left: int = HALVINGS


class YahooFeed:
    """Quotes, bars, FX and profiles from Yahoo Finance. `session`: a clamped session to use instead of its own (tests)."""

    name = "yahoo"

    def __init__(self, session: Any = None) -> None:
        self._session = session
        self._ready = False
        self._last: set[str] = set()  # symbols without an answer the last time: asked after all others, whatever becomes of them
        self._left_out: dict[str, tuple[float, str]] = {}  # of rounds of quotes, until when and why

    def quotes(self, securities: Sequence[Security], now: datetime) -> list[QuoteRow]:
        """The regular session's last price of each, all in one request; in smaller ones where one of them spoils it.

        What spoiled a round is left out of the next ones for ten minutes, and then asked for alone.
        """
        named = {symbol: s for s in securities if (symbol := symbol_of(s))}
        if not named:
            return []
        self._begin(BUDGET)
        round_ = _Round(named, now)
        moment = time.monotonic()
        alone = [symbol for symbol in named if symbol in self._left_out and self._left_out[symbol][0] <= moment]
        wrong: FeedError | None = None
        try:
            self._quotes([symbol for symbol in named if symbol not in self._left_out], round_)
            for symbol in alone:
                self._quotes([symbol], round_)
                self._left_out.pop(symbol)
        except FeedError as error:
            wrong = error
        self._left_out |= {symbol: (moment + LEFT_OUT, said) for symbol, said in round_.spoiling.items()}
        refused: dict[Hashable, str] = {
            s.security_id: self._left_out[symbol][1] if symbol in self._left_out else round_.unreadable[symbol]
            for symbol, s in named.items()
            if symbol in self._left_out or symbol in round_.unreadable
        }
        if wrong is not None:
            raise FeedError(str(wrong), round_.found, refused, whole=True) from wrong
        if refused:
            raise refusing(refused, round_.found)
        return round_.found

    def _quotes(self, symbols: Sequence[str], round_: _Round) -> None:
        """Ask for the quotes of these symbols; in halves where the answer is unusable, until those that spoil it are found.

        Raises FeedError where nobody answers, or nothing sensible whatever is asked.
        """
        if not symbols:
            return
        parameters = {"symbols": ",".join(symbols), "formatted": "false", "lang": "en-US", "region": "US"}
        what = f"quotes of {symbols[0]}" if len(symbols) == 1 else "quotes"
        try:
            reply = self._ask("https://query1.finance.yahoo.com/v7/finance/quote", parameters, what)
            with _reading("an answer", what):
                rows, unreadable = quotes_and_unreadable(reply, {s: round_.named[s] for s in symbols}, round_.now)
        except Refused as error:
            round_.left -= 2 if error.passing and not round_.found else 1
            if round_.left <= 0 or (error.passing and len(round_.named) == 1):
                raise
            if len(symbols) == 1:
                round_.spoiling[symbols[0]] = str(error)
                return
            middle = len(symbols) // 2
            self._quotes(symbols[:middle], round_)
            self._quotes(symbols[middle:], round_)
            return
        round_.found += rows
        round_.unreadable |= unreadable

    def bars(self, securities: Sequence[Security], first: date, last: date) -> list[Bar]:
        """One request a security, from `first` to today: splits after `last` matter, too."""

        def read(security: Security, reply: Any) -> list[Bar]:
            refuse_currency(reply, security)
            return bars_in(reply, security, first, last)

        return self._each(securities, symbol_of, lambda s: s.security_id, first, read)

    def rates(self, currencies: Sequence[str], first: date, last: date) -> list[tuple[str, date, Decimal]]:
        """The closes of the pairs with the euro."""

        def read(currency: str, reply: Any) -> list[tuple[str, date, Decimal]]:
            return [(currency, on, row["close"]) for on, row in _rows(reply) if first <= on <= last]

        return self._each(currencies, lambda c: None if c == "EUR" else f"EUR{c}=X", lambda c: c, first, read)

    def actions(self, securities: Sequence[Security], first: date, last: date) -> list[Action]:
        """Dividends and splits that have been: Yahoo's charts announce nothing. One request a security."""

        def read(security: Security, reply: Any) -> list[Action]:
            refuse_currency(reply, security)
            return [a for a in actions_in(reply, security) if first <= a.ex_on <= last]

        return self._each(securities, symbol_of, lambda s: s.security_id, first, read)

    def _each(
        self,
        wanted: Sequence[K],
        symbol: Callable[[K], str | None],
        key: Callable[[K], Hashable],
        first: date,
        read: Callable[[K, Any], list[R]],
    ) -> list[R]:
        """What is read out of the chart of each. Raises FeedError: for those that Yahoo says nothing sensible of, with the others as its
        partial; as a whole where it says nothing of any, of too many in a row, or where nobody is there."""
        self._begin(LONG_BUDGET)
        named = [(each, name) for each in wanted if (name := symbol(each))]
        named.sort(key=lambda both: both[1] in self._last)
        found: list[R] = []
        refused: dict[Hashable, str] = {}  # because of the symbol
        unanswered: dict[Hashable, str] = {}  # perhaps for another reason
        in_a_row = 0
        for each, name in named:
            try:
                reply = self._chart(name, first)
                with _reading("a chart", name):
                    found += [] if reply is None else read(each, reply)
            except Refused as error:
                self._last.add(name)
                (unanswered if error.passing else refused)[key(each)] = str(error)
                in_a_row = in_a_row + 1 if error.passing else 0
                if in_a_row == min(IN_A_ROW, len(named)):
                    raise FeedError(str(error), found, refused, whole=True) from error
            except FeedError as error:
                self._last.add(name)
                raise FeedError(str(error), found, refused, whole=True) from error
            else:
                self._last.discard(name)
                in_a_row = 0
        if refused or unanswered:
            raise refusing(refused | unanswered, found)
        return found

    def profiles(self, names: Sequence[str], now: datetime) -> list[Profile]:
        """A symbol (ours or Yahoo's) as Yahoo knows it; an ISIN or a name by its search, the first few that it finds."""
        found: dict[str, Profile] = {}
        refused: dict[Hashable, str] = {}
        if names:
            self._begin(SHORT_BUDGET)
        for name in names:
            what = asked(name)
            try:
                symbol = yahoo_symbol(what.symbol, what.exchange)
                one = self._profile(symbol, now) if symbol and symbol not in found else None
                if one is not None and symbol:
                    found[symbol] = one
                elif symbol not in found and not what.exchange:
                    for each in self._search(what.isin or what.text):
                        one = self._profile(each, now)
                        if one is not None:
                            found[each] = replace(one, isin=what.isin or None)
            except Refused as error:
                refused[name] = str(error)
            except FeedError as error:
                raise refusing({**refused, name: str(error)}, list(found.values()), whole=True) from error
        if refused:
            raise refusing(refused, list(found.values()))
        return list(found.values())

    def _search(self, text: str) -> list[str]:
        parameters = {"q": text, "quotesCount": "6", "newsCount": "0", "lang": "en-US", "region": "US"}
        reply = self._ask("https://query2.finance.yahoo.com/v1/finance/search", parameters, repr(text))
        with _reading("a search", repr(text)):
            return symbols_in(reply)[:MOST]

    def _profile(self, symbol: str, now: datetime) -> Profile | None:
        address = f"https://query2.finance.yahoo.com/v10/finance/quoteSummary/{quote(symbol, safe='=^')}"
        reply = self._ask(address, {"modules": MODULES, "formatted": "false", "lang": "en-US", "region": "US"}, symbol)
        with _reading("a profile", symbol):
            profile = None if reply is None else profile_in(reply, now)
        if profile is None or not ASSET_CLASSES.get(profile.asset_class or "Other", ASSET_CLASSES["Other"]).dividends:
            return profile
        today = now.astimezone(UTC).date()
        try:
            chart = self._chart(quote(symbol, safe="=^"), today - TWO_YEARS)
            with _reading("a chart", symbol):
                paid = None if chart is None else paid_in(chart)
        except FeedError as error:  # what is known without it is worth more than nothing
            log.warning("no dividends", symbol=symbol, error=str(error))
            return profile
        return profile if paid is None else replace(profile, dividend_frequency=dividend_frequency(paid, today))

    def _chart(self, symbol: str, first: date) -> Any:
        start = int((datetime(first.year, first.month, first.day, tzinfo=UTC) - EPOCH).total_seconds())
        parameters = {
            "period1": start - 86400,  # the exchange's midnight is not ours
            "period2": int(time.time()) + 86400,
            "interval": "1d",
            "includePrePost": "false",
            "events": "div,splits",
        }
        return self._ask(f"https://query2.finance.yahoo.com/v8/finance/chart/{symbol}", parameters, symbol)

    def _begin(self, budget: float) -> None:
        if not self._ready:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import yfinance
            warnings.filterwarnings("ignore", module="yfinance")
            folder = settings.data_dir / "yahoo"
            folder.mkdir(parents=True, exist_ok=True)
            yfinance.set_tz_cache_location(str(folder))
            if self._session is None:
                from curl_cffi.requests import Session

                self._session = clamped(Session, impersonate="chrome")
            self._ready = True
        self._session.begin(budget)

    def _ask(self, url: str, parameters: Mapping[str, Any], what: str) -> Any:
        """The reply as JSON, None where Yahoo does not know the symbol. Raises Refused where it answers, but not with that; else FeedError."""
        from yfinance.data import YfData
        from yfinance.exceptions import YFException, YFRateLimitError

        try:
            response = YfData(session=self._session).get(url, params=dict(parameters), timeout=CEILING)
            status, text = response.status_code, response.text
        except YFRateLimitError as error:
            raise FeedError(f"yahoo: asked for {what}, answered 429: too many requests") from error
        except (YFException, OSError) as error:  # what curl_cffi and requests raise are OSErrors
            raise FeedError(f"yahoo: asked for {what}, no answer: {type(error).__name__}: {error}") from error
        if status == 404 and ("/chart/" in url or "/quoteSummary/" in url):
            return None
        if status in (401, 403):
            raise FeedError(f"yahoo: asked for {what}, answered {status}: {text[:200]!r}")
        if status != 200:
            raise Refused(f"yahoo: asked for {what}, answered {status}: {text[:200]!r}", passing=status >= 500)
        try:
            return json.loads(text)
        except ValueError as error:
            raise Refused(f"yahoo: asked for {what}, the answer is not JSON: {text[:200]!r}", passing=True) from error


@contextmanager
def _reading(what: str, symbol: str) -> Iterator[None]:
    """Whatever is wrong with a reply is wrong with what it is about, and with nothing else."""
    try:
        yield
    except Refused:
        raise
    except FeedError as error:
        raise Refused(f"yahoo: asked for {symbol}, {str(error).removeprefix('yahoo: ')}") from error
    except UNREADABLE as error:
        raise Refused(f"yahoo: asked for {symbol}, {what} that cannot be read: {type(error).__name__}: {error}") from error


def refuse_currency(reply: Any, security: Security) -> None:
    """Raises Refused where a chart is in another currency than the security."""
    result = _result(reply)
    currency = result["meta"].get("currency") if result else None
    if currency and major_quote(Decimal(1), currency)[1] != security.currency:
        raise Refused(f"yahoo: asked for {symbol_of(security)}, its prices are in {currency} and not in {security.currency}")


def quotes_in(reply: Any, named: Mapping[str, Security], now: datetime) -> list[QuoteRow]:
    """The usable quotes in a reply of /v7/finance/quote: priced, timed, in the security's currency."""
    return quotes_and_unreadable(reply, named, now)[0]


def quotes_and_unreadable(
    reply: Any, named: Mapping[str, Security], now: datetime
) -> tuple[list[QuoteRow], dict[str, str]]:
    """(the usable quotes in a reply of /v7/finance/quote, why those of other symbols are not)."""
    found: dict[int, QuoteRow] = {}
    unreadable: dict[str, str] = {}
    for row in _part(reply, "quoteResponse").get("result") or []:
        symbol = row.get("symbol") if isinstance(row, dict) else None
        security = named.get(symbol) if isinstance(symbol, str) else None
        if security is None or not isinstance(symbol, str):
            continue
        try:
            with _reading("a quote", symbol):
                one = _quote_in(row, security, now)
        except Refused as error:
            unreadable[symbol] = str(error)
            continue
        if one is not None:
            found[security.security_id] = one
    return list(found.values()), unreadable


def _quote_in(row: Mapping[str, Any], security: Security, now: datetime) -> QuoteRow | None:
    """One quote, None where it has no price or no time. Raises Refused where it is in another currency."""
    price, currency = _price(row.get("regularMarketPrice")), row.get("currency")
    second = row.get("regularMarketTime")
    if price is None or not currency or not second:
        return None
    price, main = major_quote(price, currency)
    if main != security.currency:
        raise Refused(f"yahoo: asked for quotes of {row['symbol']}, it is quoted in {currency} and not in {security.currency}")
    previous = _price(row.get("regularMarketPreviousClose"))
    return QuoteRow(
        security.security_id,
        price,
        None if previous is None else major_quote(previous, currency)[0],
        PHASES.get(row.get("marketState", ""), "closed"),
        "yahoo",
        min(EPOCH + timedelta(seconds=int(second)), now.astimezone(UTC)),
        currency in MINOR_QUOTES,
    )


def bars_in(reply: Any, security: Security, first: date, last: date) -> list[Bar]:
    """The bars in a reply of /v8/finance/chart, as they were on their day: splits undone, in the main currency."""
    result = _result(reply)
    if result is None:
        return []
    currency = result["meta"].get("currency")
    if not currency or major_quote(Decimal(1), currency)[1] != security.currency:
        return []
    splits = splits_in(result)
    found = []
    for on, row in _rows(reply):
        if not first <= on <= last:
            continue
        since = Fraction(1)
        for day, each in splits:
            if day > on:
                since *= each
        volume = row.pop("volume", None)
        adjusted = row.pop("adjusted", None)
        prices = {k: times(major_quote(v, currency)[0], since).quantize(PLACES, ROUND_HALF_EVEN) for k, v in row.items()}
        if prices["close"] > 0:
            shares = None if volume is None else times(volume, 1 / since).quantize(Decimal("0.01"))
            theirs = None if adjusted is None else major_quote(adjusted, currency)[0].quantize(PLACES) or None
            found.append(Bar(security.security_id, on, volume=shares, adjusted=theirs, minor=currency in MINOR_QUOTES, **prices))
    return found


def actions_in(reply: Any, security: Security) -> list[Action]:
    """The dividends and splits in a reply of /v8/finance/chart, oldest first; amounts as they were on their day, in the main
    currency: Yahoo divides them by every split up to today."""
    result = _result(reply)
    currency = result["meta"].get("currency") if result else None
    if result is None or not currency or major_quote(Decimal(1), currency)[1] != security.currency:
        return []
    splits, number = splits_in(result), security.security_id
    found = [Action(number, "split", on, ratio=ratio) for on, ratio in splits]
    paid: dict[date, Decimal] = {}
    for event in ((result.get("events") or {}).get("dividends") or {}).values():
        amount, on = _price(event.get("amount")), _day_at(result["meta"], event["date"])
        if amount is not None:
            paid[on] = paid.get(on, Decimal(0)) + major_quote(amount, currency)[0]
    for on, amount in paid.items():
        for day, ratio in splits:
            if day > on:
                amount = times(amount, ratio)
        found.append(Action(number, "dividend", on, None, amount.quantize(PLACES), security.currency))
    return sorted(found, key=lambda a: (a.ex_on, a.kind))


def yahoo_symbol(symbol: str, exchange: str = "") -> str | None:
    """What Yahoo may call what somebody typed: with an exchange as ours, without as it stands; None for what is no symbol."""
    if not _SYMBOL.fullmatch(symbol):
        return None
    if exchange:
        return symbol_of(Security(0, symbol, "", exchange, "", ""))
    _, dot, suffix = symbol.rpartition(".")
    return symbol if dot + suffix in _ENDS else symbol.replace(".", "-").replace("/", "-")


def our_symbol(symbol: str, exchange: str | None) -> str:
    """The symbol as it is here: without Yahoo's suffix, classes with a dot. Of an exchange that is not ours it stays as it is."""
    suffix = SUFFIXES.get(exchange or "")
    if suffix is None or not symbol.endswith(suffix):
        return symbol
    return symbol.removesuffix(suffix).replace("-", ".")


def symbols_in(reply: Any) -> list[str]:
    """The symbols in a reply of /v1/finance/search whose kind we know: those of our exchanges first, in Yahoo's order."""
    quotes = reply.get("quotes") if isinstance(reply, dict) else None
    if not isinstance(quotes, list):
        raise FeedError(f"yahoo: a search without quotes: {str(reply)[:200]!r}")
    rows = [q for q in quotes if q.get("isYahooFinance") and q.get("symbol") and asset_class_of(q.get("quoteType"))]
    return [q["symbol"] for q in sorted(rows, key=lambda q: exchange_of(q.get("exchange")) is None)]


def profile_in(reply: Any, now: datetime) -> Profile | None:
    """The profile in a reply of /v10/finance/quoteSummary; None where Yahoo does not know the symbol."""
    results = _part(reply, "quoteSummary").get("result")
    if not results:
        return None
    parts = {name: part for name, part in results[0].items() if isinstance(part, dict)}
    about, priced, kind = (parts.get(name, {}) for name in ("assetProfile", "price", "quoteType"))
    symbol = priced.get("symbol") or kind.get("symbol")
    if not symbol:
        raise FeedError(f"yahoo: a profile without a symbol: {str(reply)[:200]!r}")
    exchange = exchange_of(priced.get("exchange") or kind.get("exchange"))
    quoted = priced.get("currency") or parts.get("summaryDetail", {}).get("currency")
    second, currency = priced.get("regularMarketTime"), None
    price, previous = (_price(priced.get(name)) for name in ("regularMarketPrice", "regularMarketPreviousClose"))
    if quoted:
        currency = major_quote(Decimal(1), quoted)[1]
        price, previous = (None if p is None else major_quote(p, quoted)[0] for p in (price, previous))
    if not quoted or not isinstance(second, int):
        price = previous = second = None
    return allowed(
        Profile(
            symbol=our_symbol(symbol, exchange),
            exchange=exchange,
            name=" ".join((priced.get("longName") or priced.get("shortName") or kind.get("longName") or "").split())
            or None,
            currency=currency,
            asset_class=asset_class_of(priced.get("quoteType") or kind.get("quoteType")),
            sector=sector_of(about["sector"]) if about.get("sector") else None,
            industry=about.get("industry") or None,
            country=country_of(about.get("country") or ""),
            price=price,
            previous_close=previous if price is not None else None,
            quoted_at=min(EPOCH + timedelta(seconds=second), now.astimezone(UTC))
            if price is not None and second
            else None,
            provider="yahoo",
        )
    )


def paid_in(reply: Any) -> list[date]:
    """The ex dates of the dividends in a reply of /v8/finance/chart."""
    result = _result(reply)
    events = ((result.get("events") or {}).get("dividends") or {}) if result else {}
    return [_day_at(result["meta"], event["date"]) for event in events.values()] if result else []


def _part(reply: Any, name: str) -> dict[str, Any]:
    """The named part of a reply; its error becomes a FeedError, but for symbols that Yahoo does not know."""
    part = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(part, dict):
        raise FeedError(f"yahoo: an answer without {name}: {str(reply)[:200]!r}")
    error = part.get("error")
    if error and error.get("code") not in ("Not Found", "Bad Request"):
        raise FeedError(f"yahoo: {error.get('code')}: {error.get('description')}")
    return part


def _result(reply: Any) -> dict[str, Any] | None:
    """The one result of a chart, None where there is none."""
    results = _part(reply, "chart").get("result")
    if not results:
        return None
    result = results[0]
    if not isinstance(result, dict) or "meta" not in result:
        raise FeedError(f"yahoo: a chart without meta: {str(reply)[:200]!r}")
    return result


def _rows(reply: Any) -> list[tuple[date, dict[str, Decimal]]]:
    """(day at the exchange, its prices and volume) of every bar that has a close; the last of a day counts."""
    result = _result(reply)
    stamps = result.get("timestamp") if result else None
    if result is None or not stamps:
        return []
    columns = (result.get("indicators", {}).get("quote") or [{}])[0]
    closes = columns.get("close")
    if not isinstance(closes, list) or any(isinstance(c, list) and len(c) != len(stamps) for c in columns.values()):
        raise FeedError(f"yahoo: a chart of {result['meta'].get('symbol')} with columns of different lengths")
    adjusted = ((result.get("indicators", {}).get("adjclose") or [{}])[0] or {}).get("adjclose")
    if not isinstance(adjusted, list) or len(adjusted) != len(stamps):
        adjusted = [None] * len(stamps)  # not every answer has them, and nothing is wrong with the bars for that
    zone = ZoneInfo(result["meta"].get("exchangeTimezoneName") or "UTC")
    rows = {}
    for i, stamp in enumerate(stamps):
        close = _price(closes[i])
        if close is None or not isinstance(stamp, int):
            continue
        row = {"close": close}
        for name in ("open", "high", "low"):
            price = _price(columns[name][i]) if columns.get(name) else None
            if price is not None:
                row[name] = price
        if columns.get("volume") and columns["volume"][i] is not None:
            row["volume"] = Decimal(columns["volume"][i])
        theirs = _price(adjusted[i])
        if theirs is not None:
            row["adjusted"] = theirs
        rows[(EPOCH + timedelta(seconds=stamp)).astimezone(zone).date()] = row
    return sorted(rows.items(), key=lambda each: each[0])


def splits_in(result: Mapping[str, Any]) -> list[tuple[date, Fraction]]:
    """(first day on the new basis, new shares for old ones) of every split event in a chart's result, oldest first."""
    found = []
    for event in ((result.get("events") or {}).get("splits") or {}).values():
        new, old = Fraction(str(event["numerator"])), Fraction(str(event["denominator"]))
        if new > 0 and old > 0:
            found.append((_day_at(result["meta"], event["date"]), new / old))
    return sorted(found)


def _day_at(meta: Mapping[str, Any], second: int) -> date:
    """The day at the exchange of a second since 1970: by the zone's name, else by its offset from UTC."""
    name = meta.get("exchangeTimezoneName")
    zone = ZoneInfo(name) if name else timezone(timedelta(seconds=meta.get("gmtoffset") or 0))
    return (EPOCH + timedelta(seconds=second)).astimezone(zone).date()


def _price(value: Any) -> Decimal | None:
    """A price as it was meant: charts carry float32 widened to float64 (134.38999938964844 is 134.39). None if unusable."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        return None
    narrow = np.float32(value)
    if len(repr(value)) > 11 and float(narrow) == value:
        return Decimal(str(narrow))
    return Decimal(repr(value))
