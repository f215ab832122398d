"""Execution: from cells to records.

Holds the run (`run`), the cell in its own process (`cell`), the two ends of the pipe between them (`cell_server`,
`cell_client`), the pinning of models and data (`pinning`), the machine (`environment`, `doctor`), the forecast
(`plan`), and the typed shape of run.json (`run_file`). A `Spec` comes in; run.json and records.jsonl go out. May
import `bench.spec`, `bench.data` and `bench.core`.
"""
