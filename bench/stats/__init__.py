"""Statistics on arrays, without any knowledge of what the numbers mean.

Holds the cluster bootstrap (`bootstrap`), intervals and percentiles (`intervals`), paired comparisons of systems
(`comparisons`) and paired timing of two pieces of work (`paired_timing`). Arrays of values come in; estimates, pairs
and ratios go out. May import numpy and scipy only.
"""
