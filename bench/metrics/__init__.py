"""Measures of answers: pure functions, one file per family, and the registry that declares every measure once.

Holds answers against references (`text`), retrieval against gold passages (`retrieval`), answers against the passages
shown (`grounding`, `entailment`), the language model as a judge (`judge`), and `registry`: name, title, direction and
table of each. Texts and passages come in; numbers in 0..1, or None where a measure does not apply, go out. May import
`bench.core`.
"""
