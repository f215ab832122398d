"""What every other package speaks: the vocabulary, the System protocol, the store, the meters and the files.

Holds the frozen values that travel between the stages (`vocabulary`), what a kind of system must offer (`system`),
content-addressed artefacts (`store`), time and memory (`meters`), errors, digests, redaction and display of numbers.
Nothing comes in but plain values; nothing goes out but those. May import the standard library, pydantic, numpy-free
helpers of third parties, and `bench.stats`; never another package of `bench`, and never torch or transformers.
"""
