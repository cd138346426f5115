"""Everything Ballast calculates, as pure functions: no clock, no file, no environment, no network; stored
results name this VERSION.
"""

VERSION = "3"
