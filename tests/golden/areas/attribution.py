"""Brinson attribution of one period and of several, from segments and from holdings; weights that drift."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from areas import Answers, Inputs, Refused, handles
from areas.datasets import numbers, table, table_of
from core.attribution.brinson import Effects, Model, brinson, by_segment, drifted
from core.attribution.linking import Method, linked

# a model of a source: ours, and whether it counts the interaction in the selection
MODELS: dict[str, tuple[Model, bool]] = {
    "brinson_fachler": ("fachler", False),
    "brinson_fachler_three_factor": ("fachler", False),
    "brinson_fachler_two_factor": ("fachler", True),
    "bhb": ("hood-beebower", False),
    "brinson_hood_beebower": ("hood-beebower", False),
    "brinson_hood_beebower_three_factor": ("hood-beebower", False),
    "brinson_hood_beebower_two_factor": ("hood-beebower", True),
}
METHODS: dict[str, Method] = {"carino": "carino", "menchero": "menchero"}


@handles("brinson")
def one_period(i: Inputs) -> Answers:
    model, two = i.word("model", MODELS)
    found = brinson(i["sectors"], *(numbers(i[key]) for key in ("wp", "wb", "rp", "rb")), model=model)
    if two:
        found = found.without_interaction()
    return {
        "allocation": found.allocation,
        "selection": found.selection,
        "interaction": found.interaction,
        "portfolio_return": found.portfolio_return,
        "benchmark_return": found.benchmark_return,
        "total_excess": found.total.sum(),
    }


@handles("brinson_link")
def several_periods(i: Inputs) -> Answers:
    """The sum of the linked effects, said by the name of what it equals."""
    method = i.word("linking", METHODS)
    tables = [table_of(i[key]) for key in ("wp", "wb", "rp", "rb")]
    periods = [brinson(i["sectors"], *rows) for rows in zip(*tables, strict=True)]
    whole = linked(periods, method)
    if not isinstance(whole, Effects):
        return {"linked_total_equals": whole}
    mine, theirs = (math.prod(1 + getattr(p, f"{side}_return") for p in periods) for side in ("portfolio", "benchmark"))
    if abs(float(whole.total.sum()) - (mine - theirs)) > 1e-12:
        return {"linked_total_equals": float(whole.total.sum())}
    return {"linked_total_equals": "prod(1+Rp)-prod(1+Rb)"}


@handles("weights_drift")
def drift(i: Inputs) -> Answers:
    weights, earned = numbers(i["weights"]), []
    for row in table_of(i["returns"]):
        whole, weights = drifted(weights, row)
        earned.append(whole)
    return {"portfolio_return": earned, "next_weights": weights}


# --- from holdings: a file with a row per security and month, its weights in both and its return --------------------


def months(dataset: str, by: str) -> dict[str, tuple[tuple[str, ...], list[np.ndarray[Any, Any]]]]:
    """(segments, their weights and returns: wp, rp, wb, rb) of each month of the file."""
    rows = table(dataset)
    if lacking := {by, "date", "return", "portfolio", "benchmark"} - set(rows[0]):
        raise Refused(f"{dataset} has no column {', '.join(sorted(lacking))}")
    segments = tuple(sorted({row[by] for row in rows}))
    found = {}
    for month in sorted({row["date"] for row in rows}):
        mine = [row for row in rows if row["date"] == month]
        labels, returns = [row[by] for row in mine], numbers([row["return"] for row in mine])
        found[month] = (
            segments,
            [a for side in ("portfolio", "benchmark") for a in by_segment(labels, numbers([row[side] for row in mine]), returns, segments)],
        )  # fmt: skip
    return found


def of_month(segments: tuple[str, ...], numbers_: list[np.ndarray[Any, Any]]) -> Answers:
    wp, rp, wb, rb = numbers_
    found = brinson(segments, wp / wp.sum(), wb / wb.sum(), rp, rb, "hood-beebower")
    effects = {name: float(getattr(found, name).sum()) for name in ("allocation", "selection", "interaction")}
    return effects | {"active": found.active}


@handles("brinson_holdings")
def holdings(i: Inputs) -> Answers:
    found = months(i["dataset"], i["by"])
    if len(found) != 1:
        raise Refused(f"{len(found)} months in the file, one is needed")
    return of_month(*next(iter(found.values())))


@handles("brinson_holdings_multi")
def holdings_by_month(i: Inputs) -> Answers:
    found = months(i["dataset"], i["by"])
    effects = [of_month(*month) for month in found.values()]
    return {"months": list(found), **{name: [e[name] for e in effects] for name in effects[0]}}


@handles("sector_weights")
def sector_weights(i: Inputs) -> Answers:
    ((segments, (wp, _, wb, _)),) = months(i["dataset"], i["by"]).values()
    return {
        name: dict(zip(segments, weights.tolist(), strict=True))
        for name, weights in (("portfolio", wp), ("benchmark", wb))
    }
