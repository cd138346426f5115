"""Labels of what a list offers: as short as they may be, and never two alike, since a browser tells a choice by its label.

names = labels.distinct({p.portfolio_id: (p.name, p.base_currency, str(p.portfolio_id)[-6:]) for p in mine})
st.selectbox("Portfolio", list(names), format_func=names.__getitem__)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import TypeVar
from uuid import UUID

from core.book import Portfolio
from core.ledger import Security
from core.listings import Listings

K = TypeVar("K")


def distinct(options: Mapping[K, Sequence[str]]) -> dict[K, str]:
    """The label of each option: the first of its words, and behind it the first of the others that tells it from its namesakes.

    Where all words of two are the same, their place among the namesakes is counted.
    """
    out = {key: words[0] for key, words in options.items()}
    for at in range(1, max(map(len, options.values()), default=0)):
        alike = Counter(out.values())
        of: dict[str, set[str]] = {}
        for key, words in options.items():
            of.setdefault(out[key], set()).add(words[at] if at < len(words) else "")
        out = {
            key: f"{said} · {options[key][at]}"
            if alike[said] > 1 and len(of[said]) > 1 and at < len(options[key]) and options[key][at]
            else said
            for key, said in out.items()
        }
    alike, taken = Counter(out.values()), set(out.values())
    first = set[str]()
    for key, said in out.items():
        if alike[said] > 1 and said in first:
            out[key] = next(label for n in count(2) if (label := f"{said} ({n})") not in taken)
            taken.add(out[key])
        first.add(said)
    return out


def portfolios(mine: Iterable[Portfolio]) -> dict[UUID, str]:
    """Portfolios by name; of namesakes the currency, what may be done there, or the end of the id."""
    return distinct({p.portfolio_id: (p.name, p.base_currency, p.access, str(p.portfolio_id)[-6:]) for p in mine})


def securities(every: Iterable[Security], listed: Listings | None = None) -> dict[int, str]:
    """Securities by symbol and name; of namesakes the exchange. `listed` tells the symbols that they had before."""
    options, before = {}, listed.formerly() if listed is not None else {}
    for s in every:
        was = f" (was {', '.join(before[s.security_id])})" if s.security_id in before else ""
        options[s.security_id] = (f"{s.symbol} · {s.name}{was}", s.exchange, str(s.security_id))
    return distinct(options)
