"""A dataset, from whatever source, as one `Task`.

Holds the task (`task`), one module per format (`formats`), what splits, limits and checks a task (`prepare`), what
finds test questions that training has seen (`leakage`), and the task after its documents changed (`after_update`).
The dataset block of a spec comes in; a `Task` in the store goes out. May import `bench.core`.
"""
