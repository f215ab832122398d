"""Spreads of several systems as one, but for those that vary more than the others."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from scipy import special

Known = tuple[float, int]  # a standard deviation, and its degrees of freedom
LEVEL = 0.01  # of the test


def pooled(of: Collection[Known]) -> Known:
    """One standard deviation of several."""
    df = sum(each for _, each in of)
    return math.sqrt(sum(sd**2 * each for sd, each in of) / df), df


def restless(of: Mapping[str, Known]) -> set[str]:
    """The systems that vary more than the others together do, by an F test of the two variances at the 1% level."""
    found = set()
    for name, (sd, df) in of.items():
        others = [known for other, known in of.items() if other != name]
        if not others or not df or not sd:
            continue
        rest, rest_df = pooled(others) if sum(each for _, each in others) else (0.0, 0)
        if rest_df and float(special.fdtrc(df, rest_df, sd**2 / max(rest**2, 1e-12))) < LEVEL:
            found.add(name)
    return found
