"""ComfyUI's editor workflow, read as the graph it would execute, for files that lost the latter."""

from typing import Any

from gallery.metadata.graph import NODE_COUNT, Graph, Node
from gallery.metadata.values import as_text

LINK_COUNT = 20_000
_OFF = (2, 4)  # node modes "never" and "bypass"
# Values in a workflow have no names, only an order; these are the orders of the nodes that matter.
_SAMPLER = ("sampler_name", "scheduler")
_WIDGETS: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", "control", "steps", "cfg", *_SAMPLER, "denoise"),
    "KSamplerAdvanced": ("add_noise", "noise_seed", "control", "steps", "cfg", *_SAMPLER),
    "SamplerCustom": ("add_noise", "noise_seed", "control", "cfg"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KarrasScheduler": ("steps",),
    "CFGGuider": ("cfg",),
    "CLIPTextEncode": ("text",),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "UNETLoader": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "PrimitiveNode": ("value",),
}


def workflow_graph(document: dict[str, Any]) -> Graph:
    links = _links(document.get("links"))
    nodes = document.get("nodes")
    graph: Graph = {}
    for item in nodes[:NODE_COUNT] if isinstance(nodes, list) else ():
        if isinstance(item, dict) and item.get("mode") not in _OFF:
            key = as_text(item.get("id"), 40)
            kind = as_text(item.get("type"), 200)
            graph[key] = Node(key, kind, {**_values(kind, item), **_linked_inputs(item, links)})
    return graph


def _links(value: Any) -> dict[str, list[Any]]:
    """Link number to [node id, output number]."""
    links = {}
    for item in value[:LINK_COUNT] if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) >= 3:
            links[as_text(item[0], 40)] = [as_text(item[1], 40), item[2]]
        elif isinstance(item, dict):
            links[as_text(item.get("id"), 40)] = [as_text(item.get("origin_id"), 40), item.get("origin_slot")]
    return links


def _values(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    values = item.get("widgets_values")
    if isinstance(values, dict):
        return values
    if not isinstance(values, list):
        return {}
    return dict(zip(_WIDGETS.get(kind, ()), values, strict=False))


def _linked_inputs(item: dict[str, Any], links: dict[str, list[Any]]) -> dict[str, Any]:
    inputs = item.get("inputs")
    found = {}
    for entry in inputs if isinstance(inputs, list) else ():
        if isinstance(entry, dict) and (link := links.get(as_text(entry.get("link"), 40))):
            found[as_text(entry.get("name"), 100)] = link
    return found
