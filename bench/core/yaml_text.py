"""YAML of people: checked for its size before it is built, because a few lines of aliases can stand for gigabytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from bench.core.errors import UserError

MOST_CHARACTERS = 1_000_000
DEEPEST = 60  # levels
MOST_NODES = 100_000  # once every alias is written out


class Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: `true` and `false` alone. A label `no` stays a word, and so does Norway."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def value(text: str) -> Any:
    """A YAML text as a value. Raises yaml.YAMLError."""
    return yaml.load(text, Loader)


def composed(text: str, where: str, see: Callable[[yaml.Node], None] = lambda node: None) -> Any:
    """The value of a YAML text. `see` is given its node, with the line of each key, as it is written: before what is
    merged (`<<`) is put in. Raises UserError for what is malformed or too large."""
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"{len(text):,} characters are too many; {MOST_CHARACTERS:,} are allowed.", where=where)
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, set(), where) > MOST_NODES:
            raise UserError(
                f"with its aliases written out it has more than {MOST_NODES:,} values.",
                where=where,
                remedy="Write out what is meant, without `*aliases` of aliases.",
            )
        see(node)
        return loader.construct_document(node)
    except RecursionError:
        raise _too_deep(where) from None
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise UserError(f"malformed YAML: {e.problem}.", where=f"{where}:{line}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as e:
        raise UserError(f"malformed YAML: {e}.", where=where) from None


def _too_deep(where: str) -> UserError:
    return UserError(f"nested deeper than {DEEPEST} levels.", where=where)


def _size(node: yaml.Node, known: dict[int, int], above: set[int], where: str) -> int:
    """Values in a node with its aliases written out; more than allowed where one stands inside itself. Raises UserError
    for what is nested too deep."""
    if id(node) in above:
        return MOST_NODES + 1
    if len(above) > DEEPEST:
        raise _too_deep(f"{where}:{node.start_mark.line + 1}" if node.start_mark else where)
    if id(node) not in known:
        above.add(id(node))
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        known[id(node)] = 1 + sum(_size(part, known, above, where) for part in inner)
        above.discard(id(node))
    return known[id(node)]
