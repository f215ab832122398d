"""The gate: a run against an accepted baseline, rule by rule.

Holds the rules (`rules`), what is compared (`snapshot`), the decision on each rule (`decisions`), the noise of repeats
(`noise`), the outputs for CI systems (`outputs`) and the pytest plugin. Two snapshots and rules come in; pass, fail or
inconclusive goes out. May import `bench.verdict` and what stands below it.
"""
