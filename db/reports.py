"""Answers reports: gives each the inputs that it asks for, on behalf of one person. Pages, API and CSV all call `answer`.

Access is asked on every call. Tables are kept while nothing they were made from has changed: the key holds the
portfolio as this person sees it, the scope, the Book's version and the quotes' version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from core import VERSION
from core import explain as core_explain
from core.explain import Explanation
from core.reports import REPORTS
from core.scope import BadScope, Scope
from core.table import Context, Table
from core.view import View
from db import (
    books,
    changes,
    counterparties,
    feeds,
    gaps,
    ledger,
    market,
    notices,
    reconciliation,
    runs,
    snapshots,
    tasks,
    tax,
    unbooked,
    upkeep,
)
from db.access import AccessDenied, User
from db.books import Live
from settings import settings

KEPT = 512
LOOK_BACK = timedelta(days=7)  # what moved: since when, where nobody says
_tables: OrderedDict[tuple[Any, ...], Table] = OrderedDict()
_lock = Lock()
_KEPT_INPUTS = frozenset({"view", "ledger"})  # what changes with the Book's version and the quotes alone
OF_A_PORTFOLIO = frozenset({"view", "chart", "ledger", "reconciliations", "reconciliation"})
# inputs that explanations work from, beside the View and the table
EXPLAINED_WITH = frozenset({"studied", "household", "actions", "bars", "reconciliations", "story", "counterparties"})
ADMIN_ONLY = frozenset({"runs", "jobs", "feeds", "letters", "notices"})
TASKS = 1000  # the newest, where nobody says which


class NoSuchReport(LookupError):
    """There is no report of this name: says which there are."""


def ask(user: User, scope: Scope) -> Live:
    """The Book and the quotes of a scope, with access asked now: hand it to `answer` and `view` within one run of a page.

    Raises NoSuchPortfolio.
    """
    return books.live(user.user_id, scope.portfolio, scope.known_at)


def view(user: User, scope: Scope, now: datetime | None = None, asked: Live | None = None) -> View:
    """The View of a scope for this person. Raises NoSuchPortfolio."""
    return _view(user, scope, now or datetime.now(UTC), asked)[0]


def _view(user: User, scope: Scope, now: datetime, asked: Live | None) -> tuple[View, tuple[Any, ...]]:
    found = asked if asked is not None else ask(user, scope)
    if (found.book.portfolio.portfolio_id, found.book.known_at) != (scope.portfolio, scope.known_at):
        raise ValueError("what was asked is not of this scope")
    key = ("view", found.book.portfolio, scope, found.book.version, found.quotes_version, _tick(now))
    cached = found.book.derived.get(key)
    if cached is None:
        cached = View(found.book, scope, found.quotes, now, settings.coverage_limit)
        stale = [k for k in found.book.derived if isinstance(k, tuple) and k[0] == "view" and k[4:] != key[4:]]
        for k in stale:
            found.book.derived.pop(k, None)
        found.book.derived[key] = cached
    return cached, key


def _tick(now: datetime) -> int:
    """Freshness and the open session depend on the clock: looked at anew every ten seconds."""
    return int(now.timestamp()) // 10


def answer(
    user: User,
    name: str,
    scope: Scope | None = None,
    now: datetime | None = None,
    asked: Live | None = None,
    given: Mapping[str, Any] | None = None,
) -> Table:
    """One report for one person; `given` holds inputs that the caller has chosen, such as filtered tasks. Raises NoSuchReport, NoSuchPortfolio, AccessDenied, BadScope."""
    report = REPORTS.get(name)
    if report is None:
        raise NoSuchReport(f"there is no report {name!r}; there are {', '.join(sorted(REPORTS))}")
    now = now or datetime.now(UTC)
    if ADMIN_ONLY & set(report.inputs) and user.role != "admin":
        raise AccessDenied("only admins see the runs of the installation")
    needs_portfolio = OF_A_PORTFOLIO & set(report.inputs)
    if needs_portfolio and scope is None:
        raise BadScope("portfolio", "", "the id of one of your portfolios")
    inputs: dict[str, Any] = {}
    context = Context(
        now.date() if scope is None else scope.as_of or now.date(),
        None,
        VERSION,
        known_at=scope.known_at if scope else None,
    )
    key: tuple[Any, ...] | None = None
    if needs_portfolio:
        assert scope is not None
        looked, key = _view(user, scope, now, asked)
        cached = _tables.get((name, *key)) if _KEPT_INPUTS.issuperset(report.inputs) else None
        if cached is not None:
            return cached
        inputs["view"] = looked
        context = Context(looked.on, looked.base, VERSION, looked.valuation.coverage, scope.known_at)
    for wanted in report.inputs:
        if given is not None and wanted in given:
            inputs[wanted] = given[wanted]
        elif wanted in _LOADERS:
            inputs[wanted] = _LOADERS[wanted](user, scope, inputs.get("view"), now)
    table = report.table(context, **inputs)
    if key is not None and _KEPT_INPUTS.issuperset(report.inputs):
        with _lock:
            _tables[name, *key] = table
            while len(_tables) > KEPT:
                _tables.popitem(last=False)
    return table


def explain(
    user: User,
    name: str,
    scope: Scope | None,
    column: str | None = None,
    row: int | None = None,
    figure: str | None = None,
    now: datetime | None = None,
    asked: Live | None = None,
) -> Explanation:
    """How one cell (`row` None: of the total) or one figure of a report comes about, for one person.

    Raises NotExplained and what `answer` raises.
    """
    now = now or datetime.now(UTC)
    table = answer(user, name, scope, now, asked)
    looked = None if scope is None or scope.portfolio.int == 0 else _view(user, scope, now, asked)[0]
    inputs = {n: _LOADERS[n](user, scope, looked, now) for n in REPORTS[name].inputs if n in EXPLAINED_WITH}
    if figure is not None:
        return core_explain.explain_figure(looked, table, figure, **inputs)
    return core_explain.explain(looked, table, column or "", row, **inputs)


def _chart(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    assert scope is not None
    if scope.known_at is not None:  # out of the Book: see the report
        return []
    at = now if looked.live else looked.now
    return snapshots.chart_for(user.user_id, scope.portfolio, scope.period, at, looked.book.main_exchange)


def _ledger(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    assert scope is not None
    return ledger.transactions(user.user_id, scope.portfolio, last=scope.as_of, known_at=scope.known_at)


def _reconciliations(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    assert scope is not None
    return reconciliation.kept(user.user_id, scope.portfolio, scope.as_of, scope.known_at)


def _reconciliation(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    assert scope is not None
    return next(iter(reconciliation.kept(user.user_id, scope.portfolio, scope.as_of, scope.known_at, limit=1)), None)


def _story(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    assert scope is not None
    until = now if scope.known_at is None else min(now, scope.known_at)
    since = scope.since or until - LOOK_BACK
    if since >= until:
        raise BadScope("since", since.isoformat(), f"a time before {until.isoformat(timespec='seconds')}")
    return changes.story_of(user.user_id, scope.portfolio, since, scope.known_at)


def _bars(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    if scope is None or scope.security is None:
        raise BadScope("security", "", "the number of a security")
    return market.bars_of(user.user_id, scope.security, last=scope.as_of, known_at=scope.known_at)


def _studied(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    if scope is None or scope.security is None:
        raise BadScope("security", "", "the number of a security")
    found = books.studied(user.user_id, scope.portfolio, scope.security, scope.known_at)
    return View(found.book, scope, found.quotes, now, settings.coverage_limit)


def _master(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    return market.master(user.user_id, *((scope.as_of, scope.known_at) if scope is not None else ()))


def _actions(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    if scope is None or scope.security is None:
        raise BadScope("security", "", "the number of a security")
    return market.actions_of(user.user_id, scope.security, scope.known_at)


def _gaps(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    """As they are now: nobody kept what was missing at a past time."""
    if scope is not None and scope.is_past:
        return []
    return gaps.all_of(user.user_id, scope.security if scope is not None else None)


def _household(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    return tax.household_of(user.user_id, looked.book)


def forget() -> None:
    """Empty the cache (tests)."""
    with _lock:
        _tables.clear()


def task_rows(found: Sequence[tasks.Task]) -> list[tuple[Any, ...]]:
    """Tasks as the report `tasks` takes them."""
    return [
        (str(t.task_id), t.label, t.kind, t.title, t.subject, t.status, t.requester, t.requested_at, t.source, t.decider, t.decided_at,
         t.decision_note, t.started_at, t.finished_at, t.message, (t.error or {}).get("class"), t.security_id)
        for t in found
    ]  # fmt: skip


def _notices(user: User, scope: Scope | None, looked: Any, now: datetime) -> Any:
    return [
        (n.created_at, n.owner, n.event, n.title, n.kind, n.target, n.attempts, n.last_error, str(n.notice_id))
        for n in notices.notices(user, "dead", tests=False)
    ]


_LOADERS: dict[str, Callable[[User, Scope | None, Any, datetime], Any]] = {
    "chart": _chart,
    "ledger": _ledger,
    "household": _household,
    "bars": _bars,
    "studied": _studied,
    "actions": _actions,
    "reconciliations": _reconciliations,
    "reconciliation": _reconciliation,
    "story": _story,
    "counterparties": lambda user, scope, looked, now: counterparties.of_view(user.user_id, looked),
    "adjusted": lambda user, scope, looked, now: upkeep.adjusted(user),
    "would_go": lambda user, scope, looked, now: upkeep.would_go(user),
    "master": _master,
    "runs": lambda user, scope, looked, now: runs.recent(user.user_id),
    "jobs": lambda user, scope, looked, now: runs.by_job(user.user_id),
    "feeds": lambda user, scope, looked, now: runs.feeds(user.user_id),
    "letters": lambda user, scope, looked, now: runs.dead_letters(user.user_id),
    "gaps": _gaps,
    "troubles": lambda user, scope, looked, now: feeds.troubles(user.user_id, scope.security if scope is not None else None),
    "tasks": lambda user, scope, looked, now: task_rows(tasks.tasks(user, limit=TASKS)),
    "notices": _notices,
    "unbooked": lambda user, scope, looked, now: unbooked.rows_of(user, now.date()),
}


def portfolios(user: User) -> list[Any]:
    """The portfolios this person may see."""
    return books.portfolios(user.user_id)
