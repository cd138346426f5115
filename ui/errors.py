"""Errors as messages: what failed, what it means, what to do. To add one, add a line to `MESSAGES`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import streamlit as st

from core.bulk import NothingLoaded
from core.explain import NotExplained
from core.importing import NotReadable
from core.ledger import LedgerError, OverSold
from core.master import DuplicateSymbol, MasterError, PlanOutdated, StillReferenced
from core.restoring import NothingToRestore
from core.scope import BadScope
from db.access import AccessDenied
from db.backups import BackupDamaged, NoSuchBackup
from db.books import NoSuchPortfolio
from db.corrections import Conflict
from db.edits import StaleEdit
from db.import_maps import NoSuchMap
from db.imports import NoSuchImport, NothingBooked
from db.master import BadSecurity, NoSuchSecurity
from db.reconciliation import NoSuchReconciliation
from db.reports import NoSuchReport
from db.tasks import NoSuchTask, TaskFailed, TaskOver
from db.unbooked import NothingToBook
from db.upkeep import NoSuchProposal, ProposalDecided
from ui.show import plain

log = logging.getLogger("ballast.web")

# the first that fits is taken
MESSAGES: tuple[tuple[type[Exception], str, str], ...] = (
    (NoSuchPortfolio, "This portfolio cannot be opened", "It does not exist, or nobody has given you access to it. Nothing of it is shown. Choose one of yours in the sidebar, or ask its owner to share it."),
    (AccessDenied, "You may not do this", "{error}. Nothing was changed. An owner of the portfolio, or an admin, can give you the right."),
    (BadScope, "The address of this page cannot be read", "{error}. Correct it in the address line, or choose again in the sidebar."),
    (OverSold, "This cannot be booked", "{error}. Nothing was changed."),
    (LedgerError, "This cannot be booked", "{error}. Nothing was changed."),
    (NotReadable, "The file cannot be read", "{error}. Nothing was changed."),
    (NothingBooked, "Nothing was booked", "{error}."),
    (Conflict, "Somebody was faster", "{error}."),
    (NoSuchImport, "There is nothing to undo", "{error}."),
    (NoSuchMap, "There is no such column map", "{error}."),
    (StaleEdit, "Somebody was faster", "{error}."),
    (NotExplained, "This number cannot be explained", "{error}."),
    (NoSuchReconciliation, "There is no such reconciliation", "{error}. Choose one from the list."),
    (StillReferenced, "This security cannot be removed yet", "{error}. Nothing was changed."),
    (PlanOutdated, "Somebody was faster", "{error}. Nothing was changed. Ask again: the new plan is made from what stands now."),
    (DuplicateSymbol, "This symbol is taken", "{error}. Nothing was changed."),
    (MasterError, "A field of this security is wrong", "{error}. Nothing was changed."),
    (BadSecurity, "This security cannot be written so", "{error}. Nothing was changed."),
    (NoSuchSecurity, "There is no such security", "{error}. Choose one from the list."),
    (NothingToBook, "There is nothing to book", "{error}. Nothing was changed."),
    (NoSuchTask, "There is no such task", "{error}. It may have been cleaned up since; the audit trail keeps what it changed."),
    (TaskOver, "It is too late for that", "{error}."),
    (TaskFailed, "The task failed", "{error}. Nothing was changed."),
    (ProposalDecided, "This is decided already", "{error}. Nothing was changed."),
    (NoSuchProposal, "There is no such proposal", "{error}."),
    (NothingLoaded, "Nothing was loaded", "{error}."),
    (NothingToRestore, "There is nothing to restore", "{error}."),
    (NoSuchBackup, "There is no such backup", "{error}. Old ones are cleaned up."),
    (BackupDamaged, "This backup cannot be used", "{error}. Nothing was changed."),
    (NoSuchReport, "There is no such report", "{error}."),
)  # fmt: skip
KNOWN = tuple(each[0] for each in MESSAGES)


def message(error: Exception) -> tuple[str, str]:
    """(title, text) of a known error, as Markdown: what the error quotes is not read as such."""
    for kind, title, text in MESSAGES:
        if isinstance(error, kind):
            return title, text.format(error=plain(str(error).rstrip(".")))
    raise error


def show(error: Exception) -> None:
    """Draw a known error; raises any other."""
    title, text = message(error)
    st.error(f"**{title}.** {text}", icon=":material/error:")


@contextmanager
def told() -> Iterator[None]:
    """Draw known errors of the block instead of raising them: around a page, a fragment, a form's writing."""
    try:
        yield
    except KNOWN as error:
        show(error)


def unexpected(error: Exception) -> bool:
    """For the server: log an error nobody foresaw under a number, and show the number. True: it has been shown."""
    number = token_hex(4)
    log.error("page failed [%s]", number, exc_info=error)
    st.error(
        f"**This part of the page failed.** The figures shown elsewhere are not affected; what is missing here is not shown at all. "
        f"Reload to try again; if it stays, give your administrator the number **{number}**: the log explains it.",
        icon=":material/report:",
    )
    return True
