"""Spreads of several systems as one, but for those that vary more than the others."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from scipy import special

Known = tuple[float, int]  # a standard deviation, and its degrees of freedom
LEVEL = 0.01  # of the test, unless another is given


def pooled(of: Collection[Known]) -> Known:
    """One standard deviation of several."""
    df = sum(each for _, each in of)
    return math.sqrt(sum(sd**2 * each for sd, each in of) / df), df


def restless(of: Mapping[str, Known], level: float = LEVEL) -> set[str]:
    """The systems that vary more than is usual, by an F test at such a level against the quieter half of all, whose
    variance is brought to what it is of all where they vary alike: several restless ones do not hide each other."""
    known = {name: each for name, each in of.items() if each[1]}
    if len(known) < 2:
        return set()
    quiet = sorted(known.values())[: math.ceil(len(known) / 2)]
    share, df = len(quiet) / len(known), min(each for _, each in quiet)
    lower = float(special.chdtr(df + 2, special.chdtri(df, 1 - share))) / share if share < 1 else 1.0
    usual, usual_df = pooled(quiet)
    variance = max(usual**2 / lower, 1e-12)
    return {name for name, (sd, own) in known.items() if special.fdtrc(own, usual_df, sd**2 / variance) < level}
