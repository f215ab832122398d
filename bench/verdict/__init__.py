"""The verdict: from graded systems to a recommendation.

Holds the evidence that everything is read from (`evidence`), the scenario tables, the ledger of claims, the
recommendation, the questions on which systems disagree, the stage that writes scores.json (`score`), and the
comparison of two runs (`compare_runs`). Graded records come in; `Scores` go out. May import `bench.scoring` and what
stands below it.
"""
