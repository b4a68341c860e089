"""Apply a function to every leaf of nested tuples, lists, dicts and dataclasses.

A leaf is a tensor, or any object that is none of those containers (a cache brings its own methods).
``None`` and plain numbers stay as they are.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

Tree = Any
"""Nested tuples, lists, dicts and dataclasses whose leaves are tensors or row containers."""


def is_leaf(node: Tree) -> bool:
    """True for what :func:`map_leaves` hands to its function: tensors, and objects with a ``select`` method."""
    return isinstance(node, Tensor) or hasattr(node, "select")


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """The same structure, with ``function`` applied to every leaf."""
    if is_leaf(tree):
        return function(tree)
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, tuple):
        items = [map_leaves(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list):
        return [map_leaves(function, item) for item in tree]
    if isinstance(tree, dict):
        return {key: map_leaves(function, item) for key, item in tree.items()}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {f.name: map_leaves(function, getattr(tree, f.name)) for f in dataclasses.fields(tree) if f.init}
        return type(tree)(**fields)
    raise TypeError(f"a tree holds tensors, tuples, lists, dicts and dataclasses, not {type(tree).__name__}")


def leaves(tree: Tree) -> Iterator[Any]:
    """Every leaf, in the order in which :func:`map_leaves` visits them."""
    found: list[Any] = []
    map_leaves(lambda leaf: found.append(leaf), tree)
    return iter(found)
