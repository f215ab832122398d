"""Fictional worlds: a corpus whose truth is known and that no model can have read.

Holds the language (`language`), the entities and their pages (`world`), the questions about them (`questions`), and
both written as a dataset (`dataset`). A seed and a size come in; a native dataset goes out. May import `bench.data` and
`bench.core`.
"""
