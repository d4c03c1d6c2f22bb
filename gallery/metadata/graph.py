"""A ComfyUI graph as nodes with inputs, and walks along its links that always end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gallery.metadata.values import as_text

NODE_COUNT = 5_000
WALK_LIMIT = 500
PRIMITIVE_LIMIT = 16
_GENERAL = ("value", "seed", "noise_seed", "int", "float", "number", "text", "string", "prompt", "Text")


@dataclass(frozen=True, slots=True)
class Node:
    """`inputs` holds values and links; a link is [node id, output number]."""

    id: str
    kind: str
    inputs: dict[str, Any]


Graph = dict[str, Node]


def api_graph(document: dict[str, Any]) -> Graph:
    """The form that ComfyUI executes: {"3": {"class_type": "KSampler", "inputs": {…}}, …}."""
    graph: Graph = {}
    for key, value in list(document.items())[:NODE_COUNT]:
        if isinstance(value, dict) and isinstance(value.get("inputs"), dict):
            graph[key] = Node(key, as_text(value.get("class_type"), 200), value["inputs"])
    return graph


def linked(graph: Graph, value: Any) -> Node | None:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str | int):
        return None
    return graph.get(str(value[0]))


def upstream(
    graph: Graph, start: Node, names: tuple[str, ...] | None = None, limit: int = WALK_LIMIT
) -> Iterator[Node]:
    """`start`, then the nodes it draws on, nearest first, each once; only along inputs called `names`."""
    waiting, seen = [start], {start.id}
    for node in waiting:
        yield node
        values = node.inputs.values() if names is None else map(node.inputs.get, names)
        for source in (linked(graph, value) for value in values):
            if source and source.id not in seen and len(seen) < limit:
                seen.add(source.id)
                waiting.append(source)


def value_of(graph: Graph, node: Node, names: tuple[str, ...], kinds: tuple[type, ...]) -> Any:
    """The first input called one of `names` with a value of `kinds`, there or in the node it is linked to."""
    for name in names:
        value = node.inputs.get(name)
        source = linked(graph, value)
        if source:
            value = _primitive(graph, source, name, kinds)
        if isinstance(value, kinds) and not isinstance(value, bool):
            return value
    return None


def _primitive(graph: Graph, source: Node, name: str, kinds: tuple[type, ...]) -> Any:
    """Primitive, seed and text nodes hold their value under its own name or a general one."""
    names = (name, *_GENERAL)
    for node in upstream(graph, source, names, PRIMITIVE_LIMIT):
        for key in names:
            value = node.inputs.get(key)
            if isinstance(value, kinds) and not isinstance(value, bool | list):
                return value
    return None
