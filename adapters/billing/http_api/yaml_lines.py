"""Where a key stands in a YAML text, counted from 1. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import yaml


def line_of(text: str, keys: Sequence[str | int]) -> int:
    """The line of the deepest key of `keys` that the text has."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for key in keys:
        found = _below(node, key)
        if found is None:
            break
        mark, node = found
        line = mark.start_mark.line + 1
    return line


def _below(node: yaml.Node | None, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that marks a key, and the node below it."""
    if isinstance(node, yaml.MappingNode):
        return next(((name, value) for name, value in node.value if str(name.value) == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
