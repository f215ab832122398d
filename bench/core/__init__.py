"""Types and helpers that all other packages use: vocabulary, System protocol, store, meters and files.

Holds the frozen values that travel between the stages (`vocabulary`), what a kind of system must offer (`system`),
content-addressed artefacts (`store`), time and memory (`meters`), errors, digests, redaction and display of numbers.
It takes and returns plain values. May import the standard library, pydantic and small third-party helpers; never
another package of `bench`, and never torch or transformers.
"""
