"""How the value is spread: by asset class, sector, country or currency."""

from __future__ import annotations

from decimal import Decimal

from core.ledger import Security
from core.money import posted
from core.reasons import NoRate
from core.reports import Made, report
from core.table import Column, Kind
from core.view import View

UNCLASSIFIED = "Unclassified"


def group_of(view: View, security: Security, by: str) -> str:
    """The name of the group that a security belonged to on the view's day; by `security` it is its own, under a name that no other has."""
    number = security.security_id
    return str((view.names[number] if by == "security" else getattr(view.book.security_on(number, view.as_of), by)) or UNCLASSIFIED)


@report(
    "Allocation",
    Column("group", "Group"),
    Column("value", "Value", Kind.MONEY, "in the base currency"),
    Column("weight", "Weight", Kind.PERCENT, "share of the total value, cash included"),
    Column("count", "Securities", Kind.COUNT),
    Column("day_change", "Day", Kind.PERCENT, "value-weighted price change against the close before, adjusted for splits"),
    empty="Nothing is held at this date.",
)
def allocation(view: View) -> Made:
    """Value, weight and number of securities per group; `by` chooses asset_class, sector, country, currency or security.

    Cash stands as its own group (under its currency when grouped by currency). Weights sum to 1.
    """
    by, v = view.scope.by, view.valuation
    value: dict[str, Decimal] = {}
    before: dict[str, Decimal] = {}
    count: dict[str, int] = {}
    for p in v.positions:
        if p.value_base is None:
            continue
        name = group_of(view, p.security, by)
        value[name] = value.get(name, Decimal(0)) + p.value_base
        count[name] = count.get(name, 0) + 1
        assert p.rate is not None
        before[name] = before.get(name, Decimal(0)) + (p.units * p.previous * p.rate if p.previous else p.value_base)
    for currency, amount in v.cash.items():
        rate = view.book.rates.rate(currency, view.base, view.as_of)
        if isinstance(rate, NoRate) or not amount:
            continue
        name = currency if by == "currency" else "Cash"
        value[name] = value.get(name, Decimal(0)) + amount * rate
        before[name] = before.get(name, Decimal(0)) + amount * rate
        count.setdefault(name, 0)
    rows = [
        (name, posted(worth, view.base), view.share(worth), count[name],
         float(worth / before[name] - 1) if before[name] > 0 else None)
        for name, worth in sorted(value.items(), key=lambda kv: (-kv[1], kv[0]))
    ]  # fmt: skip
    total = ("Total", v.total, None if view.no_share else sum(r[2] or 0.0 for r in rows), sum(count.values()), None)
    return Made(rows, total=total if rows else None, notes=view.value_notes)


@report(
    "Positions by group",
    Column("group", "Group"),
    Column("symbol", "Symbol"),
    Column("name", "Name"),
    Column("value", "Value", Kind.MONEY, "in the base currency"),
    Column("weight", "Weight", Kind.PERCENT),
    Column("day_change", "Day", Kind.PERCENT, "price against the close before, adjusted for splits"),
    empty="Nothing is held at this date.",
)
def allocation_positions(view: View) -> Made:
    """Each position under its group (`by`): what the treemap shows."""
    v = view.valuation
    rows = [
        (group_of(view, p.security, view.scope.by), p.security.symbol, p.security.name, posted(p.value_base, view.base),
         view.share(p.value_base), float(p.price / p.previous - 1) if p.price is not None and p.previous else None)
        for p in v.positions if p.value_base is not None
    ]  # fmt: skip
    return Made(sorted(rows, key=lambda r: (r[0], -r[3])))
