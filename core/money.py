"""Money: how many decimals a currency has, and the one place where amounts are rounded."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

# ISO 4217 minor units that are not 2
MINOR_UNITS = {"JPY": 0, "KRW": 0, "ISK": 0, "CLP": 0, "VND": 0, "KWD": 3, "BHD": 3, "OMR": 3, "JOD": 3, "TND": 3}
# Quotes in a hundredth of the currency, as exchanges print them
MINOR_QUOTES = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ZAC": "ZAR", "ILA": "ILS"}

_STEPS = [Decimal(1).scaleb(-n) for n in range(5)]
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)


def minor_units(currency: str) -> int:
    """Decimal places in which money of this currency is posted (USD 2, JPY 0, KWD 3)."""
    return MINOR_UNITS.get(currency, 2)


def posted(amount: Decimal, currency: str) -> Decimal:
    """The amount as it is posted: rounded half-even to the currency's minor unit. Raises TypeError on a float."""
    if not isinstance(amount, Decimal):
        raise TypeError(f"money is a Decimal, not {type(amount).__name__}: {amount!r}")
    return amount.quantize(_STEPS[MINOR_UNITS.get(currency, 2)], context=_WIDE)


def posted_float(amount: float, currency: str) -> Decimal:
    """A float of the statistical side as posted money: its first six decimals, rounded half-even to the minor unit."""
    return posted(Decimal(repr(round(float(amount), 6))), currency)


def major_quote(price: Decimal, currency: str) -> tuple[Decimal, str]:
    """A quote in its main currency: (1259.5, "GBp") → (12.595, "GBP"). Others come back as they are."""
    main = MINOR_QUOTES.get(currency)
    return (price / 100, main) if main else (price, currency)
