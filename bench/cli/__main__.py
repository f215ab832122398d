"""`python -m bench.cli`: the command without its entry point."""

from bench.cli.main import main

main()
