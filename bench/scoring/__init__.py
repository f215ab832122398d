"""Scoring: from records to the scores of each system.

Holds the grades of each answer (`grade`), the stage of judge and entailment model (`judge_stage`), time, memory and
training (`resources`), money (`money`), one system over its seeds (`graded`), and the typed shape of scores.json
(`schema`). run.json and records.jsonl come in; typed scores go out. May import `bench.execution.run_file`,
`bench.metrics`, and what stands below them.
"""
