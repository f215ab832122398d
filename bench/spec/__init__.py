"""The spec: from YAML to the cells of a run.

Holds the spec as a value (`model`), its reading with errors that name file and line (`load`, `yaml_lines`,
`validation_errors`), its paths, the kinds of system by name (`kinds`), its scenarios, and its expansion into cells:
one system with one seed each (`cells`). A YAML file comes in; a `Spec` and its cells go out. May import `bench.data`,
`bench.metrics` and `bench.core`. `kinds` is the one module of `bench` that loads a system, by its name.
"""
