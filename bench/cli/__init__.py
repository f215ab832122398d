"""The command line: one command per stage.

Holds the verbs (`main`, `gate_verbs`), their common options, progress, and the terminal tables. Arguments come in;
exit codes and text go out. May import every package of `bench`, each when its verb is called.
"""
