"""Expression trees."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """An operation and its operands (``parts``); nodes of kind ``number`` and ``name`` are leaves."""

    kind: str
    parts: tuple["Node", ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all its descendants, parents first."""
    yield node
    for part in node.parts:
        yield from walk(part)


def names_in(node: Node) -> frozenset[str]:
    """Names of the variables in a tree."""
    return frozenset(part.name for part in walk(node) if part.kind == "name")


def substituted(node: Node, name: str, value: Node) -> Node:
    """A copy of the tree with a variable replaced by a value."""
    if node.kind == "name" and node.name == name:
        return value
    return Node(node.kind, tuple(substituted(part, name, value) for part in node.parts), node.value, node.name)
