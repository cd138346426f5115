"""Worked examples of the metrics, at least one for each, with the arithmetic that gives the expected value.

The expected values come from outside the code: by hand from the numbers below, or from a published figure
that is named. `R` and `B` are four returns and a benchmark, so that every sum can be checked on paper;
periods=4 makes them a year:

    R      +10 %   -5 %   +2 %   -3 %    mean  1 %     product 1.033923
    R - 1 %  +9     -6     +1     -4     squares   81 + 36 + 1 + 16         = 134       (e-4)
                                         cubes     729 - 216 + 1 - 64       = 450       (e-6)
                                         4th       6561 + 1296 + 1 + 256    = 8114      (e-8)
    B       +6 %   -4 %   +2 %   -2 %    mean  0.5 %   product 1.01719296
    B - ½ % +5.5   -4.5   +1.5   -2.5    squares   30.25 + 20.25 + 2.25 + 6.25 = 59     (e-4)
    products of both                     49.5 + 27 + 1.5 + 10               = 88        (e-4)
    R - B   +4     -1      0     -1      mean 0.5, squares about it 12.25 + 2.25 + 0.25 + 2.25 = 17 (e-4)
    curve of R  1.1, 1.045, 1.0659, 1.033923; below its high of 1.1 by 0, 5 %, 3.1 %, 6.007 %
"""

import math
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from core.reasons import NoDrawdown, NoLosses, NotRecovered, TooFewObservations, ZeroVariance

R = (0.10, -0.05, 0.02, -0.03)
B = (0.06, -0.04, 0.02, -0.02)
VAR_R = 134e-4 / 3
VAR_B = 59e-4 / 3
BETA = 88 / 59
ANNUAL_R = 0.033923
ANNUAL_B = 0.01719296
ALPHA = (0.01 - BETA * 0.005) * 4
RESIDUAL = 134e-4 - 88e-4**2 / 59e-4
DD_R = math.sqrt(25e-4 + 9e-4)  # sqrt(34e-4 / 4) × sqrt(4)
DD_B = math.sqrt(16e-4 + 4e-4)

# equity 100, 90, 100, 80, 95 on these days: one drawdown of 2 days, one of 17 that is still open
FALLS = (-0.1, 100 / 90 - 1, -0.2, 95 / 80 - 1)
DAYS = tuple(date(2024, 1, d) for d in (1, 2, 3, 8, 20))
# equity 100, 80, 100, 99, 100
BACK = (-0.2, 0.25, -0.01, 100 / 99 - 1)

# -50 %, -49 % … +50 %, 101 returns in no particular order: the k-th lowest is -0.51 + k / 100
FAN = tuple(((37 * k) % 101 - 50) / 100 for k in range(101))
# sum of squares 2 × 50 × 51 × 101 / 6 = 85850 (e-4), n - 1 = 100
SD_FAN = math.sqrt(858.50e-4)
# 101 evenly spaced numbers: population variance (101² - 1) / 12 = 850, excess kurtosis -6/5 (101² + 1) / (101² - 1)
FAN_KURTOSIS = -1.2 * 10_202 / 10_200


def corrected(z: float) -> float:
    """The modified VaR of FAN: `sqrt(850) % × (z + (z³ - 3z) K / 24)`; its mean and skewness are 0."""
    return math.sqrt(850e-4) * (z + (z**3 - 3 * z) * FAN_KURTOSIS / 24)


# 252 quiet days, then 20 of which two lose 1 %: VaR stays 0, so both exceed it
QUIET = (0.0,) * 252 + (0.0, -0.01, 0.0, 0.0, -0.01) + (0.0,) * 15
# Kupiec: 2 (18 ln(0.90 / 0.95) + 2 ln(0.10 / 0.05)) and the same against 0.99 and 0.01
LR_95 = 2 * (18 * math.log(0.90 / 0.95) + 2 * math.log(2))
LR_99 = 2 * (18 * math.log(0.90 / 0.99) + 2 * math.log(10))

# Portfolio Performance, RiskTest.testVolatility: six returns and the figures that its authors worked out in Excel
SHORT = (0.005, -1 / 300, -0.005, 0.01, 0.01, -0.005)
PORTFOLIO_PERFORMANCE = "Portfolio Performance, RiskTest: worked out in Excel"

# Quantopian empyrical, tests/test_stats.py (Apache-2.0): its "mixed" returns and the figures it asserts
MIXED = (math.nan, 0.01, 0.10, -0.04, 0.02, 0.03, 0.02, 0.01, -0.10)
EMPYRICAL = "empyrical, tests/test_stats.py, mixed_returns"


@dataclass(frozen=True)
class Example:
    """One metric on given inputs, what it must be, and why."""

    metric: str
    inputs: dict[str, Any]
    expected: Any
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-12


def of_r(metric: str, expected: Any, why: str, **options: Any) -> Example:
    return Example(metric, {"returns": R}, expected, why, options)


def of_both(metric: str, expected: Any, why: str, **options: Any) -> Example:
    return Example(metric, {"returns": R, "benchmark": B}, expected, why, options)


def published(metric: str, expected: float, why: str, **options: Any) -> Example:
    """A figure that the source asserts, for the function itself: the registry asks for a year where it
    annualises.
    """
    return Example(metric, {"returns": MIXED}, expected, why, options, 1e-8)


WORKED = [
    # volatility
    of_r("volatility", math.sqrt(VAR_R * 4), "sqrt(134e-4 / 3) × sqrt(4)", periods=4),
    of_r("variance", VAR_R * 4, "134e-4 / 3 × 4", periods=4),
    of_r("downside_deviation", DD_R, "losses 5 and 3 %: sqrt((25 + 9)e-4 / 4) × sqrt(4)", periods=4),
    of_r("upside_deviation", math.sqrt(104e-4), "gains 10 and 2 %: sqrt((100 + 4)e-4 / 4) × sqrt(4)", periods=4),
    of_r("semideviation", math.sqrt(52e-4), "6 and 4 % below the mean: sqrt((36 + 16)e-4 / 4) × sqrt(4)", periods=4),
    Example("period_volatility", {"returns": SHORT}, 0.017736692475, PORTFOLIO_PERFORMANCE, {}, 1e-12),
    Example("period_semideviation", {"returns": SHORT}, 0.012188677034, PORTFOLIO_PERFORMANCE, {}, 1e-12),
    of_r("mean_absolute_deviation", 0.05, "(9 + 6 + 1 + 4) % / 4"),
    of_r("downside_potential", 0.02, "losses 5 and 3 %: 8 % / 4"),
    of_r("upside_potential", 0.03, "gains 10 and 2 %: 12 % / 4"),
    of_r("loss_rate", 0.5, "two of four are losses"),
    of_r("volatility_skewness", 104 / 34, "(100 + 4) / (25 + 9)"),
    Example("volatility_skewness", {"returns": (0.01, 0.02)}, NoLosses(), "no return below the target"),
    # ratios
    of_r("annual_return", ANNUAL_R, "1.1 × 0.95 × 1.02 × 0.97 - 1, over one year", periods=4),
    of_r("annual_return", TooFewObservations(4, 252), "four days are not annualised"),
    of_r("mean_annual_return", 1.01**4 - 1, "mean 1 %, four periods a year", periods=4),
    of_r("total_return", ANNUAL_R, "1.1 × 0.95 × 1.02 × 0.97 - 1"),
    of_r("sharpe", 0.01 / math.sqrt(VAR_R) * 2, "1 % / sqrt(134e-4 / 3) × sqrt(4)", periods=4),
    Example("sharpe", {"returns": (0.01,) * 9}, ZeroVariance(), "a constant series has no deviation"),
    of_r(
        "adjusted_sharpe",
        (sr := ANNUAL_R / math.sqrt(VAR_R * 4))
        * (1 + 450e-6 / 4 / 33.5e-4**1.5 / 6 * sr - (8114e-8 / 4 / 33.5e-4**2 - 3) / 24 * sr**2),
        "SR (1 + S / 6 SR - (K - 3) / 24 SR²), moments over the population variance 134e-4 / 4",
        periods=4,
    ),
    of_r("sortino", 0.04 / DD_R, "1 % × 4 / sqrt(34e-4)", periods=4),
    Example("sortino", {"returns": (0.01, 0.02, 0.01)}, NoLosses(), "no return below the target"),
    of_r("omega", 1.5, "gains 12 % / losses 8 %"),
    of_r("kappa", 0.01 / (152e-6 / 4) ** (1 / 3), "1 % / cube root of (125 + 27)e-6 / 4"),
    of_r("d_ratio", 2 / 3, "(2 × 8 %) / (2 × 12 %)"),
    of_r("hit_rate", 0.5, "two of four are gains"),
    of_r("skewness", 4 / (3 * 2) * 450e-6 / VAR_R**1.5, "n / ((n - 1)(n - 2)) × sum of cubes / s³"),
    of_r(
        "excess_kurtosis",
        4 * 5 / (3 * 2 * 1) * 8114e-8 / VAR_R**2 - 3 * 9 / 2,
        "n(n + 1) / ((n - 1)(n - 2)(n - 3)) × sum of 4th / s⁴ - 3(n - 1)² / ((n - 2)(n - 3))",
    ),
    of_r("best", 0.10, "the first return"),
    of_r("worst", -0.05, "the second return"),
    Example(
        "stability",
        {"returns": (0.0, math.e - 1, 0.0)},
        0.75,
        "cumulative logs 0, 1, 1 over 0, 1, 2: Sxy = 1, Sxx = 2, Syy = 2/3, R² = 1 / (4/3)",
    ),
    # drawdown
    of_r("max_drawdown", -0.06007, "1.033923 / 1.1 - 1"),
    Example("max_drawdown_peak", {"returns": FALLS, "dates": DAYS}, date(2024, 1, 3), "back at 100 before 80"),
    Example("max_drawdown_trough", {"returns": FALLS, "dates": DAYS}, date(2024, 1, 8), "the day of 80"),
    Example("max_drawdown_recovery", {"returns": FALLS, "dates": DAYS}, NotRecovered(date(2024, 1, 3)), "95 < 100"),
    Example("max_drawdown_recovery", {"returns": BACK, "dates": DAYS}, date(2024, 1, 3), "80 → 100 at once"),
    Example("max_drawdown_days", {"returns": FALLS, "dates": DAYS}, 17.0, "3 January to the last day, the 20th"),
    Example(
        "longest_drawdown_days", {"returns": BACK, "dates": DAYS}, 17.0, "99 from the 3rd to the 20th, not 100 → 80"
    ),
    Example("longest_recovery_days", {"returns": FALLS, "dates": DAYS}, 2.0, "90 and back; the open one counts 0"),
    Example("average_drawdown", {"returns": FALLS}, -0.15, "10 % and 20 %"),
    of_r("pain_index", (0.05 + 0.031 + 0.06007) / 4, "mean distance below the high"),
    of_r("ulcer_index", math.sqrt((0.05**2 + 0.031**2 + 0.06007**2) / 4), "root mean square distance below it"),
    of_r("calmar", ANNUAL_R / 0.06007, "3.3923 % / 6.007 %", periods=4),
    Example("calmar", {"returns": (0.01,) * 4, "periods": 4}, NoDrawdown(), "it never fell"),
    of_r("sterling", ANNUAL_R / 0.16007, "3.3923 % / (6.007 % + 10 %)", periods=4),
    Example(
        "burke",
        {"returns": FALLS, "periods": 4},
        -0.05 / math.sqrt(0.05),
        "95 / 100 - 1 over sqrt(0.1² + 0.2²)",
    ),
    of_r("pain_ratio", ANNUAL_R / (0.14107 / 4), "3.3923 % / pain index", periods=4),
    of_r("martin", ANNUAL_R / math.sqrt(0.0070694049 / 4), "3.3923 % / ulcer index", periods=4),
    # tail: position (n - 1)(1 - confidence) is 5 and 1, the 6th and the 2nd lowest
    Example("var_95", {"returns": FAN}, 0.45, "the 6th lowest of 101"),
    Example("var_99", {"returns": FAN}, 0.49, "the 2nd lowest of 101"),
    Example("var_95", {"returns": R}, TooFewObservations(4, 100), "four days have no tail"),
    Example("es_95", {"returns": FAN}, 0.475, "mean of 50, 49, 48, 47, 46, 45 %"),
    Example("es_99", {"returns": FAN}, 0.495, "mean of 50 and 49 %"),
    Example("parametric_var_95", {"returns": FAN}, 1.6448536269514722 * SD_FAN, "mean 0; normal table 1.644854"),
    Example("parametric_var_99", {"returns": FAN}, 2.3263478740408408 * SD_FAN, "mean 0; normal table 2.326348"),
    Example("parametric_es_95", {"returns": FAN}, 2.0627128075074257 * SD_FAN, "mean 0; 0.1031356 / 0.05"),
    Example("parametric_es_99", {"returns": FAN}, 2.6652142203457764 * SD_FAN, "mean 0; 0.0266521 / 0.01"),
    Example("modified_var_95", {"returns": FAN}, corrected(1.6448536269514722), "no skewness; see FAN_KURTOSIS"),
    Example("modified_var_99", {"returns": FAN}, corrected(2.3263478740408408), "no skewness; see FAN_KURTOSIS"),
    Example("modified_var_95", {"returns": (0.01,) * 100}, ZeroVariance(), "a constant series has no deviation"),
    # A resampled k-th lowest is at most the j-th lowest with probability P(Bin(101, j / 101) ≥ k); binomial table
    Example("var_95_low", {"returns": FAN}, 0.40, "k = 6: 0.942 at j = 10, 0.970 at j = 11", {}, 0.0100001),
    Example("var_95_high", {"returns": FAN}, 0.48, "k = 6: 0.016 at j = 2, 0.081 at j = 3", {}, 1e-9),
    Example("var_99_low", {"returns": FAN}, 0.46, "k = 2: 0.913 at j = 4, 0.963 at j = 5", {}, 1e-9),
    Example("var_99_high", {"returns": FAN}, 0.50, "k = 2: already 0.264 at j = 1, the lowest of all", {}, 1e-9),
    Example("var_95_exceptions", {"returns": QUIET}, 2.0, "two exceptions in 20 days, one promised"),
    Example("var_99_exceptions", {"returns": QUIET}, 10.0, "two exceptions in 20 days, 0.2 promised"),
    Example("var_95_p_value", {"returns": QUIET}, math.erfc(math.sqrt(LR_95 / 2)), "chi-square 0.8262: 0.3634"),
    Example("var_99_p_value", {"returns": QUIET}, math.erfc(math.sqrt(LR_99 / 2)), "chi-square 5.7792: 0.0162"),
    Example("tail_ratio", {"returns": FAN}, 1.0, "45 % on both sides"),
    # relative
    of_both("beta", BETA, "88 / 59"),
    Example("beta", {"returns": R, "benchmark": (0.01,) * 4}, ZeroVariance(), "the benchmark does not move"),
    of_both("alpha", ALPHA, "(1 % - 88 / 59 × 0.5 %) × 4", periods=4),
    of_both("tracking_error", math.sqrt(17e-4 / 3 * 4), "sqrt(17e-4 / 3) × sqrt(4)", periods=4),
    of_both("information_ratio", 0.005 / math.sqrt(17e-4 / 3) * 2, "0.5 % / sqrt(17e-4 / 3) × sqrt(4)", periods=4),
    of_both("active_return", ANNUAL_R - ANNUAL_B, "3.3923 % - 1.719296 %", periods=4),
    of_both("correlation", 88 / math.sqrt(134 * 59), "88 / sqrt(134 × 59)"),
    of_both("r_squared", 88**2 / (134 * 59), "88² / (134 × 59)"),
    of_both("capture", ANNUAL_R / ANNUAL_B, "3.3923 % / 1.719296 %", periods=4),
    of_both("up_capture", (1.122**2 - 1) / (1.0812**2 - 1), "days 1 and 3, two of four a year", periods=4),
    of_both("down_capture", (0.9215**2 - 1) / (0.9408**2 - 1), "days 2 and 4, two of four a year", periods=4),
    of_both(
        "capture_ratio",
        (1.122**2 - 1) / (1.0812**2 - 1) / ((0.9215**2 - 1) / (0.9408**2 - 1)),
        "one over the other",
        periods=4,
    ),
    of_both("batting_average", 0.25, "only the first day is above, the third is a tie"),
    of_both("systematic_risk", BETA * math.sqrt(VAR_B * 4), "88 / 59 × sqrt(59e-4 / 3) × sqrt(4)", periods=4),
    of_both("specific_risk", math.sqrt(RESIDUAL / 3 * 4), "134 - 88² / 59 left (e-4), over n - 1", periods=4),
    of_both("appraisal_ratio", ALPHA / math.sqrt(RESIDUAL / 3 * 4), "alpha / specific risk", periods=4),
    of_both("treynor", ANNUAL_R / BETA, "3.3923 % / (88 / 59)", periods=4),
    of_both("m_squared", ANNUAL_R * math.sqrt(59 / 134), "3.3923 % × sqrt(59 / 134)", periods=4),
    of_both("omega_excess_return", ANNUAL_R - 3 * DD_R * DD_B, "3.3923 % - 3 sqrt(34e-4 × 20e-4)", periods=4),
    of_both("fama_beta", math.sqrt(134 / 59), "sqrt(134 / 59)"),
]

PUBLISHED = [
    published("volatility", 0.9136465399704637, EMPYRICAL),
    published("sharpe", 1.7238613961706866, EMPYRICAL),
    published("sortino", 2.605531251673693, EMPYRICAL),
    published("max_drawdown", -0.1, EMPYRICAL),
    published("annual_return", 1.9135925373194231, EMPYRICAL, count_missing=True),
    published("calmar", 19.135925373194233, EMPYRICAL, count_missing=True),
]
