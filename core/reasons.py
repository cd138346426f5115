"""Why a figure is undefined, in types. To add one: a frozen dataclass with a plain `str()`, in `Reason`.

A function that cannot answer returns one of these instead of a number: `float | Reason`. Callers ask
`isinstance(answer, Reason)`; pages, API and CSV show `str(reason)` and the class name as its code.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class TooFewObservations:
    """The series is shorter than the statistic needs."""

    n: int
    needed: int

    def __str__(self) -> str:
        return f"too few observations: {self.n}, at least {self.needed} are needed"


@dataclass(frozen=True, slots=True)
class NoSignChange:
    """A rate of return needs money that goes in and money that comes out."""

    def __str__(self) -> str:
        return "the cash flows all have one sign, so no rate of return balances them"


@dataclass(frozen=True, slots=True)
class NoTimeBetween:
    """A rate per year needs time between the first and the last flow."""

    def __str__(self) -> str:
        return "all cash flows fall on one day, so there is no rate per year"


@dataclass(frozen=True, slots=True)
class NoSolution:
    """The equation has no root in the range a rate can take."""

    def __str__(self) -> str:
        return "no rate of return balances these cash flows"


@dataclass(frozen=True, slots=True)
class NegativeBase:
    """The capital that the return is measured on is zero or negative."""

    def __str__(self) -> str:
        return "the capital invested is zero or negative, so a return on it has no meaning"


@dataclass(frozen=True, slots=True)
class NoShare:
    """A share of a value that is zero or negative."""

    total: str  # as it is shown

    def __str__(self) -> str:
        return f"no shares: the value of the portfolio, {self.total}, is not above zero"


@dataclass(frozen=True, slots=True)
class NoPrice:
    """A security has no usable price."""

    symbol: str
    since: date | None = None

    def __str__(self) -> str:
        return f"no price for {self.symbol}" + (f" since {self.since}" if self.since else "")


@dataclass(frozen=True, slots=True)
class NoRate:
    """No exchange rate is known for a currency on a day."""

    currency: str
    on: date | None = None

    def __str__(self) -> str:
        return f"no exchange rate for {self.currency}" + (f" on {self.on}" if self.on else "")


@dataclass(frozen=True, slots=True)
class NoBenchmark:
    """A relative figure was asked without a benchmark."""

    def __str__(self) -> str:
        return "no benchmark is set"


@dataclass(frozen=True, slots=True)
class NoInput:
    """Something that the figure is made of was not given."""

    name: str

    def __str__(self) -> str:
        return f"no {self.name.replace('_', ' ')} given"


@dataclass(frozen=True, slots=True)
class ShorterThanAYear:
    """Annualising would extrapolate."""

    days: int

    def __str__(self) -> str:
        return f"not annualised: {self.days} days are less than a year"


@dataclass(frozen=True, slots=True)
class ShorterHistory:
    """The history begins after the period that was asked for."""

    first: date
    start: date

    def __str__(self) -> str:
        return f"the history begins on {self.first}, after the start of the period on {self.start}"


@dataclass(frozen=True, slots=True)
class ZeroVariance:
    """The series does not move, so a ratio to its movement is undefined."""

    def __str__(self) -> str:
        return "the series does not vary, so the ratio has no denominator"


@dataclass(frozen=True, slots=True)
class NoLosses:
    """No observation lies below the target, so a ratio to the losses is undefined."""

    def __str__(self) -> str:
        return "there is no loss in the period, so the ratio has no denominator"


@dataclass(frozen=True, slots=True)
class NoDrawdown:
    """The curve never fell below an earlier high."""

    def __str__(self) -> str:
        return "there is no drawdown in the period"


@dataclass(frozen=True, slots=True)
class NotRecovered:
    """The drawdown is still open."""

    since: date | None = None

    def __str__(self) -> str:
        return "not recovered yet" + (f", below the high of {self.since}" if self.since else "")


@dataclass(frozen=True, slots=True)
class IncompleteValuation:
    """Too small a share of the portfolio is priced (both are fractions)."""

    coverage: float
    needed: float

    def __str__(self) -> str:
        return f"only {self.coverage:.1%} of the portfolio is priced, {self.needed:.1%} are needed"


@dataclass(frozen=True, slots=True)
class UnbookedSplit:
    """The feeds know a split of what was held, and the ledger does not have it: units, value and returns are those of before."""

    symbol: str
    ratio: str
    ex_on: date

    def __str__(self) -> str:
        return f"{self.symbol}: {self.ratio} split of {spelled(self.ex_on)} known, not booked: value and returns are wrong until it is"


@dataclass(frozen=True, slots=True)
class MisbookedSplit:
    """The ledger has a split otherwise than the feeds know it. `booked`: what it has instead, in words."""

    symbol: str
    ratio: str
    ex_on: date
    booked: str

    def __str__(self) -> str:
        return (
            f"{self.symbol}: {self.ratio} split of {spelled(self.ex_on)} known, booked {self.booked}: value and returns are wrong "
            "until ledger and feed agree"
        )


def spelled(on: date) -> str:
    """A day for a sentence: 2 March 2026."""
    return f"{on.day} {on.strftime('%B %Y')}"


@dataclass(frozen=True, slots=True)
class SpansHole:
    """The close before is missing for too large a share: the change is not that of one day."""

    sessions: int

    def __str__(self) -> str:
        return f"no move of one day: prices were missing, the change spans {self.sessions} sessions"


@dataclass(frozen=True, slots=True)
class Undefined:
    """The formula has no value on these numbers, and no narrower reason applies."""

    why: str = "the formula has no value on these numbers"

    def __str__(self) -> str:
        return self.why


Reason = (
    TooFewObservations
    | NoSignChange
    | NoTimeBetween
    | NoSolution
    | NegativeBase
    | NoShare
    | NoPrice
    | NoRate
    | NoBenchmark
    | NoInput
    | ShorterThanAYear
    | ShorterHistory
    | ZeroVariance
    | NoLosses
    | NoDrawdown
    | NotRecovered
    | IncompleteValuation
    | UnbookedSplit
    | MisbookedSplit
    | SpansHole
    | Undefined
)
