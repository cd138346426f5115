"""What goes wrong, as the API says it: every error is one `application/problem+json` (RFC 9457), mapped here and nowhere else.

To add a domain error, add its line to PROBLEMS; the class nearest to the error raised decides. Of a security with several
faults the first decides, and `errors` lists them all.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.exact import ONE, SEVERAL
from core.bulk import NothingLoaded
from core.counterparties import DuplicateName
from core.explain import NotExplained
from core.importing import NotReadable, cells_of
from core.ledger import Impossible, LedgerError, OverSold
from core.master import (
    AssetClassInconsistent,
    DuplicateSymbol,
    InvalidAssetClass,
    InvalidDividend,
    InvalidDividendFrequency,
    InvalidField,
    InvalidPrice,
    InvalidSector,
    MasterError,
    PlanOutdated,
    StillReferenced,
    UnknownReference,
)
from core.recognition import UnknownFormat
from core.restoring import NothingToRestore
from core.scope import BadScope
from core.sectors import DuplicateSector
from db.access import AccessDenied, SignInRefused
from db.backups import BackupDamaged, NoSuchBackup
from db.books import NoSuchPortfolio
from db.corrections import Conflict
from db.counterparties import CounterpartyUsed, NoSuchCounterparty
from db.edits import StaleEdit
from db.engine import Unreachable
from db.import_maps import NoSuchMap
from db.imports import NoSuchImport, NothingBooked
from db.lookups import NoSuchLookup
from db.master import BadSecurity, NoSuchSecurity
from db.notices import NoSuchChannel, NoSuchNotice, TooMany
from db.reconciliation import NoSuchReconciliation
from db.reports import NoSuchReport
from db.request_keys import KeyReused
from db.tasks import NoSuchTask, TaskFailed, TaskOver
from db.unbooked import NothingToBook
from db.upkeep import NoSuchProposal, ProposalDecided

log = logging.getLogger("ballast.api")


class NotSignedIn(PermissionError):
    """The request carries no token, or one that is unknown, ended or expired."""


class CrossSite(PermissionError):
    """A browser sent the session cookie with a change that another site asked for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: status, slug (the end of its `type`), title, and what to do about it."""

    status: int
    slug: str
    title: str
    meaning: str


PROBLEMS: dict[type[Exception], Kind] = {
    NotSignedIn: Kind(401, "not-signed-in", "Not signed in", "Sign in at POST /v1/auth/login and send the token."),
    SignInRefused: Kind(401, "sign-in-refused", "Sign-in refused", "User name or password is wrong."),
    AccessDenied: Kind(403, "access-denied", "Access denied", "You may see this, but not do that."),
    CrossSite: Kind(403, "cross-site", "Cross-site request", "Send changes from our own pages, or with a Bearer token."),
    NoSuchPortfolio: Kind(404, "no-such-portfolio", "No such portfolio", "It does not exist, or is not yours to see."),
    NoSuchReport: Kind(404, "no-such-report", "No such report", "GET /v1/reports lists them."),
    NotExplained: Kind(404, "not-explained", "No such number", "detail says which rows, columns and figures there are."),
    NoSuchReconciliation: Kind(404, "no-such-reconciliation", "No such reconciliation", "GET …/reconciliations lists them."),
    NoSuchSecurity: Kind(404, "no-such-security", "No such security", "GET /v1/securities lists them."),
    NoSuchLookup: Kind(404, "no-such-lookup", "No such lookup", "It is somebody else's, or more than a day old: ask again."),
    DuplicateSymbol: Kind(409, "duplicate-symbol", "Duplicate symbol", "The exchange lists it already: choose another, reinstate that one or give it another symbol first, or say the exchange."),
    InvalidAssetClass: Kind(422, "invalid-asset-class", "Invalid asset class", "GET /v1/asset-classes lists them."),
    AssetClassInconsistent: Kind(422, "asset-class-inconsistent", "Asset class inconsistent", "It contradicts another field, or another listing of the same ISIN."),
    InvalidSector: Kind(422, "invalid-sector", "Invalid sector", "GET /v1/sectors lists sectors, industries and subsectors."),
    DuplicateSector: Kind(409, "duplicate-sector", "Duplicate sector", "It is in the taxonomy already, or somebody else's name for what is."),
    InvalidPrice: Kind(422, "invalid-price", "Invalid price", "A price is a number above zero, of a day up to today."),
    InvalidDividendFrequency: Kind(422, "invalid-dividend-frequency", "Invalid dividend frequency", "expected lists what there is."),
    UnknownReference: Kind(422, "unknown-reference", "It does not exist", "GET /v1/exchanges, /v1/currencies and /v1/countries list what may be named."),
    InvalidDividend: Kind(422, "invalid-dividend", "Invalid dividend", "Amount, frequency and ex date go together."),
    InvalidField: Kind(422, "invalid-field", "Invalid field", "field, value and expected say what is wrong."),
    StillReferenced: Kind(409, "still-referenced", "Still referenced", "`obstacles` says what to do first; GET /v1/securities/{security}/references too."),
    PlanOutdated: Kind(409, "plan-outdated", "Changed in the meantime", "Somebody changed it in between: ask again to see the new plan."),
    TaskFailed: Kind(500, "task-failed", "Task failed", "In the `error` of a task: everything was rolled back; ask for it again, or tell whoever runs this installation."),
    NoSuchTask: Kind(404, "no-such-task", "No such task", "GET /v1/securities/tasks lists them; old ones are cleaned up."),
    TaskOver: Kind(409, "task-over", "Too late for that", "GET /v1/securities/tasks/{task_id} says how the task stands."),
    KeyReused: Kind(422, "key-reused", "Idempotency key used before", "Choose a new Idempotency-Key for every new request."),
    NothingToBook: Kind(409, "nothing-to-book", "Nothing to book", "detail says why; GET /v1/corporate-actions/unbooked lists what there is."),
    NoSuchProposal: Kind(404, "no-such-proposal", "No such proposal", "GET /v1/proposals lists them."),
    ProposalDecided: Kind(409, "proposal-decided", "Decided already", "GET /v1/proposals says how it stands; what upkeep no longer finds is superseded."),
    DuplicateName: Kind(422, "duplicate-name", "Duplicate name", "Another counterparty is called so, whatever the case: choose another name."),
    NoSuchCounterparty: Kind(404, "no-such-counterparty", "No such counterparty", "GET /v1/counterparties lists them."),
    CounterpartyUsed: Kind(409, "counterparty-used", "Entries name it", "Set it inactive instead: PATCH /v1/counterparties/{number}."),
    OverSold: Kind(409, "over-sold", "More than is held", "The sale exceeds what is held on that day; nothing was booked."),
    Impossible: Kind(409, "impossible", "Not possible on that day", "What is held on that day does not allow it; nothing was booked."),
    NothingBooked: Kind(409, "nothing-booked", "Nothing was booked", "Correct the refused rows, or ask with take_good=true."),
    NoSuchImport: Kind(404, "no-such-import", "No such import", "GET /v1/transactions/imports lists them; an undone one has nothing left."),
    NothingLoaded: Kind(409, "nothing-loaded", "Nothing was loaded", "Correct the refused rows, or ask with partial=true."),
    NoSuchBackup: Kind(404, "no-such-backup", "No such backup", "GET /v1/backups lists them."),
    BackupDamaged: Kind(409, "backup-damaged", "Backup damaged", "What is kept is not what was taken: choose another one."),
    NothingToRestore: Kind(409, "nothing-to-restore", "Nothing to restore", "The security master is as it was when the backup was taken."),
    NoSuchMap: Kind(404, "no-such-map", "No such column map", "GET /v1/import-maps lists them."),
    NoSuchChannel: Kind(404, "no-such-channel", "No such channel", "GET /v1/notification-channels lists yours."),
    NoSuchNotice: Kind(404, "no-such-notice", "No such notice", "It does not exist, or is not yours to see."),
    TooMany: Kind(429, "too-many", "Too many", "detail says of what."),
    StaleEdit: Kind(409, "stale-edit", "Changed in the meantime", "Read it again, then repeat your change."),
    Conflict: Kind(409, "changed-meanwhile", "Changed in the meantime", "`mine` and `theirs` hold both versions: correct the id of theirs, or leave it."),
    LedgerError: Kind(422, "not-bookable", "Cannot be booked", "field, value and expected say what is wrong."),
    BadScope: Kind(422, "bad-parameter", "Parameter not valid", "field, value and expected say what is wrong."),
    UnknownFormat: Kind(422, "unknown-format", "Format not known", "Say which column is which: send `map`, or keep one at POST /v1/import-maps."),
    NotReadable: Kind(422, "not-readable", "File not readable", "The file as a whole makes no sense; detail says why."),
    RequestValidationError: Kind(422, "bad-request", "Request not valid", "`errors` lists every field that does not fit."),
    Unreachable: Kind(503, "database-unreachable", "Database not reachable", "Try again in a moment; nothing was changed."),
}  # fmt: skip
TOO_MANY = Kind(429, "too-many-tries", "Too many tries", "Wait five minutes, then try again.")
UNEXPECTED = Kind(500, "unexpected", "Unexpected error", "Tell whoever runs this installation the request_id.")
HTTP = Kind(0, "http", "Request not possible", "The path, the method or the size of the request; detail says which.")


class Wrong(BaseModel):
    """One field of a request that does not fit."""

    field: str
    expected: str
    value: str | None = None
    class_: str | None = Field(None, alias="class", description="of a security's field: such as InvalidSector")


class Problem(BaseModel):
    """An error (RFC 9457). `field`, `value` and `expected` are there where one field is to blame."""

    type: str = Field(description="a path of the reference that explains this kind of problem")
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | None = None
    expected: str | None = None
    errors: list[Wrong] | None = None
    obstacles: list[str] | None = Field(None, description="what stands in the way of removing a security")
    mine: dict[str, str] | None = Field(
        None, description="in a conflict over an entry: what you sent, as cells of the CSV"
    )
    theirs: dict[str, str] | None = Field(
        None, description="what stands there now, with its transaction_id; absent where it was taken away"
    )
    request_id: str


def is_locked(error: SignInRefused) -> bool:
    """Whether a sign-in was refused for too many failed tries, not for a wrong password."""
    return str(error).startswith("too many")


def kind_of(error: Exception) -> Kind:
    """What kind of problem an error is; UNEXPECTED where it is none of ours."""
    if isinstance(error, SignInRefused) and is_locked(error):
        return TOO_MANY
    if isinstance(error, BadSecurity):
        return kind_of(error.faults[0])
    return next((PROBLEMS[c] for c in type(error).__mro__ if c in PROBLEMS), UNEXPECTED)


def type_of(request: Request, class_name: str) -> str:
    """The `type` of a problem by the name of its class: of a task's error, which is kept as text."""
    slugs = {known.__name__: kind.slug for known, kind in PROBLEMS.items()}
    return f"{request.scope.get('root_path', '')}/docs#{slugs.get(class_name, UNEXPECTED.slug)}"


def answer(request: Request, kind: Kind, detail: str, status: int | None = None, **more: Any) -> Response:
    """The problem as a response."""
    status = status or kind.status
    number = request_id(request)
    content = {
        "type": f"{request.scope.get('root_path', '')}/docs#{kind.slug}",
        "title": kind.title,
        "status": status,
        "detail": detail,
        **{name: value for name, value in more.items() if value is not None},
        "request_id": number,
    }
    headers = {"X-Request-Id": number, "Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 429:
        headers["Retry-After"] = "300"
    # escaped to ASCII: what a client sent may hold characters that no encoding takes
    return Response(json.dumps(content), status, headers, "application/problem+json")


def request_id(request: Request) -> str:
    """The number that this request goes by in the answer and in the log."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def shown(value: object) -> str:
    """A value as it may be repeated in an answer: short, and text whatever it was."""
    if value is None:
        return ""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 120 else text[:117] + "…"


async def domain(request: Request, error: Exception) -> Response:
    """A domain error: the nearest line of PROBLEMS."""
    more: dict[str, Any] = {}
    if isinstance(error, LedgerError):
        more = {"field": error.field, "value": shown(error.value), "expected": error.expected}
    elif isinstance(error, MasterError | BadSecurity):
        faults = error.faults if isinstance(error, BadSecurity) else [error]
        error = faults[0]
        more = {
            "field": error.field,
            "value": shown("" if error.value is None else error.value),
            "expected": error.expected,
            "errors": [
                {"field": f.field, "value": shown("" if f.value is None else f.value), "expected": f.expected, "class": type(f).__name__}
                for f in faults
            ],
            "obstacles": list(error.obstacles) if isinstance(error, StillReferenced) else None,
        }  # fmt: skip
    elif isinstance(error, Conflict):
        clash = error.clashes[0]
        more = {
            "mine": None if clash.mine is None else cells_of(clash.mine),
            "theirs": None
            if clash.theirs is None
            else {**cells_of(clash.theirs.draft), "transaction_id": str(clash.theirs.transaction_id),
                  "recorded_by": clash.theirs.recorded_by, "recorded_at": clash.theirs.recorded_at.isoformat()},
        }  # fmt: skip
    elif isinstance(error, BadScope):
        more = {"field": error.parameter, "value": shown(error.value), "expected": error.expected}
    kind = kind_of(error)
    # what the database says of itself is for the log
    if isinstance(error, Unreachable):
        log.error("database unreachable, request %s: %s", request_id(request), error)
        return answer(request, kind, kind.meaning)
    return answer(request, kind, shown(error) if len(str(error)) > 2000 else str(error), **more)


async def not_valid(request: Request, error: Exception) -> Response:
    """A request that does not fit its declaration; values of password fields are not repeated."""
    assert isinstance(error, RequestValidationError)
    found = [_spoken(e) for e in error.errors()]
    field, given, expected = found[0]
    secret = any("password" in name for name, _, _ in found) or request.url.path.endswith("/auth/login")
    return answer(
        request,
        PROBLEMS[RequestValidationError],
        f"{field}: {expected}",
        field=field,
        value=None if secret else given,
        expected=expected,
        errors=[{"field": n, "expected": e} | ({} if secret else {"value": v}) for n, v, e in found],
    )


def _spoken(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """(field, value, what would be right) of what the declaration of a request does not allow."""
    if error["type"] == "json_invalid" and "ctx" in error:
        return "body", "", f"JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    place = ".".join(str(x) for x in error["loc"][1:] if x not in (ONE.tag, SEVERAL.tag)) or str(error["loc"][0])
    given = "" if error["type"] == "missing" else error.get("input", "")  # the input is the whole that lacks it
    return place, shown(given), error["msg"].removeprefix("Value error, ")


async def http(request: Request, error: Exception) -> Response:
    """What the router or the parser refuses: 404, 405, 413."""
    assert isinstance(error, HTTPException)
    return answer(request, HTTP, str(error.detail), error.status_code)


async def unexpected(request: Request, error: Exception) -> Response:
    """Anything else is ours to mend: logged with its number, answered without internals."""
    log.error("%s %s failed, request %s", request.method, request.url.path, request_id(request), exc_info=error)
    return answer(request, UNEXPECTED, "Something went wrong on our side; it has been logged under this request_id.")


def install(app: FastAPI) -> None:
    """Give an app these answers."""
    for known in (*PROBLEMS, BadSecurity):
        app.add_exception_handler(known, domain)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
