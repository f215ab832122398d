"""Execution: from cells to records.

Holds the run (`run`), where its cells are seen through (`executors`, `ray_executor`), what it hands to a process
(`job`), the cell in its own process (`cell`) and the clock of what runs in it (`inside`), the rounds in which the
systems are timed again (`rounds`, `turn`), the two ends of the pipe between them (`cell_server`, `cell_client`), the
pinning of models and data (`pinning`), the machine (`environment`, `doctor`), the forecast (`plan`), and the typed
shape of run.json (`run_file`). A `Spec` comes in; run.json and records.jsonl go out. May import `bench.spec`,
`bench.data`, `bench.stats` and `bench.core`.
"""
