"""US tax: holding periods, wash sales, a line of Form 8949."""

from __future__ import annotations

import re
from decimal import Decimal

from areas import Answers, Inputs, handles
from areas.datasets import day, exactly
from core.fx import day_number, day_of
from core.ledger import MICRO, UNITS
from core.tax import Parcel, Piece, holding_term, wash_sales


@handles("wash_sale")
def wash_sale(i: Inputs) -> Answers:
    """Lots of one security, in the order given. `holding_start` is told where a replacement carries the days of what it replaces."""
    names = [str(lot["lot"]) for lot in i["lots"]]
    parcels = [
        Parcel(
            purchase=name,
            security=1,
            opened_on=day_number(day(lot["buy_date"])),
            units=int(exactly(lot["qty"]) * UNITS),
            cost=int(exactly(lot["cost"]) * MICRO),
            proceeds=int(exactly(lot.get("proceeds") or 0) * MICRO),
            closed_on=day_number(day(lot["sell_date"])) if lot.get("sell_date") else None,
        )
        for name, lot in zip(names, i["lots"], strict=True)
    ]
    pieces = wash_sales(parcels)
    name_of = {id(p): name for p, name in zip(parcels, names, strict=True)}
    basis: dict[str, int] = {}
    starts: dict[str, str] = {}
    for name in dict.fromkeys(name_of[id(p.parcel)] for p in pieces if p.added):
        mine = [p for p in pieces if name_of[id(p.parcel)] == name]
        basis[name] = sum(p.cost + p.added for p in mine)
        starts[name] = day_of(min(p.since for p in mine)).isoformat()
    return {
        "disallowed": Decimal(sum(p.disallowed for p in pieces)) / MICRO,
        "deductible_loss": Decimal(-sum(p.gain for p in pieces if p.gain < 0)) / MICRO,
        "recognised_gains": Decimal(sum(p.gain for p in pieces if p.gain > 0)) / MICRO,
        "adjusted_basis": {name: Decimal(cost) / MICRO for name, cost in basis.items()},
        "holding_start": starts,
    }


@handles("wash_window")
def wash_window(i: Inputs) -> Answers:
    """A purchase is in the window where it takes over the loss of one share that was bought long before."""
    sold = day_number(day(i["sell_date"]))
    old = Parcel("old", 1, sold - 400, UNITS, 2 * MICRO, MICRO, sold)

    def replaces(bought: str) -> bool:
        pieces = wash_sales([old, Parcel("new", 1, day_number(day(bought)), UNITS, MICRO)])
        return any(piece.disallowed for piece in pieces)

    return {"in_window": [replaces(bought) for bought in i["buys"]]}


@handles("holding_term")
def term(i: Inputs) -> Answers:
    return {"term": holding_term(day(i["acquired"]), day(i["sold"]))}


SHARES = re.compile(r"([\d,.]*\d) sh")


@handles("form_8949")
def form_8949(i: Inputs) -> Answers:
    """One sale as a line of the form: the disallowed loss is its adjustment, W the code for it."""
    said = SHARES.search(i["description"])
    units = int(Decimal(said[1].replace(",", "")) * UNITS) if said else UNITS
    cost, proceeds, disallowed = (int(exactly(i[key]) * MICRO) for key in ("basis", "proceeds", "wash_disallowed"))
    bought, sold = day_number(day(i["acquired"])), day_number(day(i["sold"]))
    parcel = Parcel("1", 1, bought, units, cost, proceeds, sold)
    piece = Piece(parcel, units, cost, proceeds, bought, disallowed=disallowed)
    return {
        "adjustment": Decimal(piece.disallowed) / MICRO,
        "code": "W" if piece.disallowed else "",
        "gain": Decimal(piece.gain) / MICRO,
        "term": piece.term,
    }
