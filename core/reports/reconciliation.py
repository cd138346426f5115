"""Reconciliations with custodians: the list of them, and the rows of one."""

from __future__ import annotations

from collections.abc import Sequence

from core import VERSION
from core.reconciliation import VERDICTS, WHOLE, Reconciliation
from core.reports import REPORTS, Made, report
from core.table import Column, Context, Figure, Kind, Table

TITLES = {
    "missing": "Missing there",
    "extra": "Extra there",
    "quantity": "Quantity differs",
    "price": "Price differs",
    "matched": "Matched",
}


def table(r: Reconciliation, currency: str) -> Table:
    """One reconciliation as a table, whichever it is; `currency` is the portfolio's."""
    context = Context(r.statement_on, currency, VERSION, known_at=r.known_at)
    return REPORTS["reconciliation"].table(context, reconciliation=r)


@report(
    "Reconciliations",
    Column("statement_on", "Statement of", Kind.DATE),
    Column("custodian", "Custodian"),
    Column("state", "State", note="open: differences that nobody has settled; settled: none; signed off: the whole is"),
    Column("open", "Open", Kind.COUNT, "differences that are neither accepted nor fixed"),
    Column("matched", "Matched", Kind.COUNT),
    Column("quantity", "Quantity", Kind.COUNT, "units or a cash balance differ"),
    Column("price", "Price", Kind.COUNT),
    Column("missing", "Missing", Kind.COUNT, "we have it, the statement does not"),
    Column("extra", "Extra", Kind.COUNT, "the statement has it, we do not"),
    Column("basis", "Counted by", note="settlement or trade date", wide_only=True),
    Column("file", "File", wide_only=True),
    Column("made_by", "By", wide_only=True),
    Column("made_at", "Made", Kind.TIME, wide_only=True),
    Column("reconciliation_id", "Id", wide_only=True),
    empty="No statement has been reconciled yet.",
)
def reconciliations(reconciliations: Sequence[Reconciliation]) -> Made:
    """Every statement of a custodian that was compared with the ledger and kept, the newest first."""
    rows = [
        (r.statement_on, r.custodian, r.state, r.open_rows, *(r.result.count(v) for v in ("matched", "quantity", "price", "missing", "extra")),
         r.basis, r.file_name, r.made_by, r.made_at, str(r.reconciliation_id))
        for r in reconciliations
    ]  # fmt: skip
    return Made(rows)


@report(
    "Reconciliation",
    Column("symbol", "Symbol"),
    Column("verdict", "Verdict", note="matched, quantity, price, missing (we have it, they do not), extra (they do, we do not)"),
    Column("our_units", "Ours", Kind.UNITS, "units, or the balance of cash, by the date that is compared"),
    Column("their_units", "Theirs", Kind.UNITS),
    Column("unit_difference", "Difference", Kind.UNITS, "theirs − ours"),
    Column("our_price", "Our price", Kind.PRICE, "last close at the date of the statement", wide_only=True),
    Column("their_price", "Their price", Kind.PRICE, wide_only=True),
    Column("price_difference", "Price difference", Kind.PERCENT, "of our price", wide_only=True),
    Column("value_difference", "Value difference", Kind.MONEY, "theirs − ours, in the currency of the row"),
    Column("currency", "Currency"),
    Column("cause", "Likely cause", note="the strongest first"),
    Column("decision", "Decision", note="accepted, open or fixed: the last one"),
    Column("comment", "Comment", wide_only=True),
    Column("signed_by", "Signed by", wide_only=True),
    Column("signed_at", "Signed", Kind.TIME, wide_only=True),
    Column("name", "Name", wide_only=True),
    Column("our_other", "Ours by the other date", Kind.UNITS, "by trade date where the comparison counts by settlement date", wide_only=True),
    Column("our_value", "Our value", Kind.MONEY, wide_only=True),
    Column("their_value", "Their value", Kind.MONEY, wide_only=True),
    Column("priced_on", "Our price of", Kind.DATE, wide_only=True),
    Column("transactions", "Transactions", note="ids of our entries that show the cause", wide_only=True),
    Column("lines", "Lines", note="of the statement", wide_only=True),
    Column("row_key", "Row", note="for a decision", wide_only=True),
    empty="No statement has been reconciled yet.",
)  # fmt: skip
def reconciliation(reconciliation: Reconciliation | None) -> Made:
    """One statement beside the ledger, a row a security or currency, differences first. As a report: the newest statement at or before
    the date looked at; any other one by its own address."""
    if reconciliation is None:
        return Made([])
    r = reconciliation
    rows = []
    for x in r.result.rows:
        last = r.decision(x.key)
        rows.append((
            x.symbol, x.verdict, x.our_units, x.their_units, x.unit_difference, x.our_price, x.their_price,
            None if x.price_difference is None else float(x.price_difference), x.value_difference, x.currency or None,
            " ".join(c.text if c.strong else f"Possibly: {c.text}" for c in x.causes),
            last.decision if last else None, last.comment if last else None, last.signed_by if last else None, last.signed_at if last else None,
            x.name, x.our_other, x.our_value, x.their_value, x.priced_on, " ".join(dict.fromkeys(t for c in x.causes for t in c.transactions)),
            " ".join(str(n) for n in x.lines), x.key,
        ))  # fmt: skip
    figures = (
        Figure("open", "Open", r.open_rows, Kind.COUNT, note="differences that are neither accepted nor fixed"),
        *(Figure(v, TITLES[v], r.result.count(v), Kind.COUNT) for v in reversed(VERDICTS)),
    )
    whole = r.decision(WHOLE)
    notes = [f"{r.custodian}, statement of {r.statement_on}, compared with the ledger by {r.basis} date, as it was known on "
             f"{r.known_at:%Y-%m-%d %H:%M} UTC.", *r.result.notes]  # fmt: skip
    if whole is not None:
        notes.append(
            f"The whole is {whole.decision}: {whole.signed_by}, {whole.signed_at:%Y-%m-%d %H:%M} UTC{': ' + whole.comment if whole.comment else ''}."
        )
    return Made(rows, figures, None, tuple(notes))
