"""Vega-Lite to SVG in a process of its own, a line of JSON in and one out: what it does to memory ends no report.

Run as a file, so that it starts with the one import that it needs.
"""

from __future__ import annotations

import json
import sys

import vl_convert


def main() -> None:
    """Draw until the pipe closes."""
    for line in sys.stdin:
        print(json.dumps(vl_convert.vegalite_to_svg(line)), flush=True)


if __name__ == "__main__":
    main()
