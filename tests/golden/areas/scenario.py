"""Whole ledgers of Portfolio Performance, valued to the cent: all of it, account by account, and one security of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from areas import Answers, Inputs, Refused, handles
from areas.books import NOW, book, security, whole_book
from areas.datasets import dated, day, exactly
from core.book import Book
from core.fx import Rates, day_number
from core.ledger import Draft, Security
from core.money import posted
from core.valuation import cash_of, value

# cash entries: (kind, sign of the amount); an amount is what moved, after fees and taxes
CASH_ENTRIES = {
    "DEPOSIT": ("deposit", 1), "REMOVAL": ("withdrawal", 1), "INTEREST": ("interest", 1), "INTEREST_CHARGE": ("interest", -1),
    "DIVIDENDS": ("dividend", 1), "TAXES": ("tax", 1), "TAX_REFUND": ("tax", -1), "FEES": ("fee", 1), "FEES_REFUND": ("fee", -1),
    "TRANSFER_IN": ("fx_in", 1), "TRANSFER_OUT": ("fx_out", 1),
}  # fmt: skip
UNIT_ENTRIES = {"BUY": "buy", "SELL": "sell", "DELIVERY_INBOUND": "transfer_in", "DELIVERY_OUTBOUND": "transfer_out"}


def exported(t: Answers, base: str, held: dict[str, Security]) -> list[Draft]:
    """One entry of a Portfolio Performance file as drafts. The cash side of a trade comes with its units and is left out.

    Units that were paid in another currency than their own: in the base currency with the rate of the entry, else after a
    conversion at that rate.
    """
    on, amount, security = day(t["date"]), exactly(t["amount"]), held.get(t["security"])
    cost = {
        kind: sum((exactly(u["amount"]) for u in t["units"] if u["type"] == kind), Decimal(0))
        for kind in ("FEE", "TAX")
    }
    forex = next((u for u in t["units"] if u["type"] == "GROSS_VALUE"), None)
    if t["book"] == "cash":
        if t["type"] not in CASH_ENTRIES:
            return []
        kind, sign = CASH_ENTRIES[t["type"]]
        gross = sign * amount
        if kind in ("interest", "dividend", "deposit", "fx_in"):
            gross += cost["FEE"] + cost["TAX"]
        elif kind != "tax" and kind != "fee":
            gross -= cost["FEE"] + cost["TAX"]
        own = security if kind == "dividend" else None
        return [Draft(kind, on, t["currency"], own, gross=gross, fees=cost["FEE"], taxes=cost["TAX"])]
    assert security is not None
    kind, before, fx = UNIT_ENTRIES[t["type"]], [], None
    if kind in ("transfer_in", "transfer_out"):  # the cost of a delivery is in its value, no cash moves
        cost = dict.fromkeys(cost, Decimal(0))
    if t["currency"] != security.currency:
        assert forex is not None
        own = exactly(forex["forex"])
        if t["currency"] == base:
            cost = {name: value * own / amount for name, value in cost.items()}
            fx, amount = round(amount / own, 10), own
        else:
            ways = (("fx_out", t["currency"], amount), ("fx_in", security.currency, own))
            before = [Draft(way, on, currency, gross=moved) for way, currency, moved in ways]
            amount, cost = own, {name: value * own / amount for name, value in cost.items()}
    paid = cost["FEE"] + cost["TAX"]
    gross = amount + (paid if kind == "sell" else -paid if kind == "buy" else 0)
    return [
        *before,
        Draft(
            kind,
            on,
            security.currency,
            security,
            exactly(t["shares"]),
            gross=gross,
            fees=cost["FEE"],
            taxes=cost["TAX"],
            fx=fx,
        ),
    ]


@handles("ledger_valuation")
def ledger_valuation(i: Inputs) -> Answers:
    """The whole file up to the day as one portfolio; with `breakdown` every cash account as a portfolio of its own, too."""
    listed = i["ledger"]["securities"]
    held = {
        s["name"]: Security(n, s["ticker"] or s["name"], s["name"], "XNYS", s["currency"], "Equity")
        for n, s in enumerate(listed, 1)
    }
    end, base, rates = day_number(day(i["date"])), i["base"], Rates({"USD": dated(i["eurusd"])})
    entries = sorted(
        (t for t in i["ledger"]["transactions"] if day_number(day(t["date"])) <= end), key=lambda t: t["date"]
    )
    prices = {
        held[s["name"]].security_id: dated([*s["prices"], *([s["latest"]] if s["latest"] else [])])
        for s in listed
        if s["prices"] or s["latest"]
    }

    def valued(drafts: list[Draft]) -> tuple[Book, Any]:
        full = whole_book(drafts, base, {s.security_id: s for s in held.values()}, prices, rates)
        found = value(full, end, {}, NOW)
        if found.missing:  # a later price or rate does not stand in for one
            raise Refused("something that is held has no price or no rate on the day")
        return full, found.total

    answers: Answers = {"value": valued([d for t in entries for d in exported(t, base, held)])[1]}
    if i.get("breakdown"):
        native, in_base = {}, {}
        for account in dict.fromkeys(t["account"] for t in entries if t["book"] == "cash"):
            moves = [
                d for t in entries if t["book"] == "cash" and t["account"] == account for d in cash_side(t, base, held)
            ]
            full, in_base[account] = valued(moves)
            native[account] = sum(cash_of(full, end).values(), Decimal(0))
        answers |= {"accounts_native": native, "accounts_eur": in_base}
    return answers


def cash_side(t: Answers, base: str, held: dict[str, Security]) -> list[Draft]:
    """One entry as its cash account sees it: what a trade took or brought leaves or comes in."""
    if t["type"] in CASH_ENTRIES:
        return exported(t, base, held)
    kind = "withdrawal" if t["type"] == "BUY" else "deposit"
    return [Draft(kind, day(t["date"]), t["currency"], None, gross=exactly(t["amount"]))]


@handles("security_fx_cost")
def security_fx_cost(i: Inputs) -> Answers:
    """A USD security bought from several accounts: what was paid in euros is its cost there, dollars count at their day's rate."""
    of = security("USD")
    rates = dated([[on, rate] for on, _, _, rate in i["purchases"] if rate])
    units = exactly(i["shares"]) / len(i["purchases"])
    drafts = [
        Draft(
            "buy",
            day(on),
            "USD",
            of,
            round(units, 10),
            gross=exactly(paid),
            fx=Decimal(1) if currency == "EUR" else None,
        )
        for on, currency, paid, _ in i["purchases"]
    ]
    last = max(d.traded_on for d in drafts)
    held = sum((d.quantity for d in drafts if d.quantity), Decimal(0))
    price = exactly(i["market_value_eur"]) * exactly(rates.values[-1]) / held
    full = book(drafts, "EUR", dated([[last.isoformat(), price]]), Rates({"USD": rates}))
    (position,) = value(full, day_number(last), {}, NOW).positions
    assert position.cost_base is not None
    assert position.value_base is not None
    gained = posted(position.value_base, "EUR") - position.cost_base
    return {"cost_eur": position.cost_base, "gain_eur": gained, "gain_pct": gained / position.cost_base}
