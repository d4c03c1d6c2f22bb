"""Finds the parameters in a ComfyUI graph: the sampler first, then along its links what feeds it."""

from typing import Any

from gallery.metadata.graph import Graph, Node, api_graph, linked, upstream, value_of
from gallery.metadata.parameters import LORA_LIMIT, GenerationParameters, LoraUse
from gallery.metadata.samplers import from_comfyui
from gallery.metadata.values import as_float, as_int, as_text, load_object, stem
from gallery.metadata.workflow import workflow_graph

_NUMBER = (int, float, str)
_SEED = ("seed", "noise_seed")
_MODEL = ("ckpt_name", "base_ckpt_name", "unet_name", "model_name", "checkpoint", "ckpt")
_TEXT = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "string", "value", "wildcard_text", "Text")
# Which inputs a walk follows from the sampler to …
_TO_MODEL = ("model", "guider", "base_model", "model1", "model_opt", "pipe", "basic_pipe", "sdxl_tuple",
             "lora_stack", "optional_lora_stack", "ckpt_name", "unet_name")  # fmt: skip
_TO_LATENT = ("latent_image", "latent", "samples", "pixels", "image", "images", "optional_latent", "pipe")
_TO_SETTINGS = ("noise", "guider", "sampler", "sigmas", "scheduler", "model", "pipe", "basic_pipe")
_CONDITIONING = ("conditioning", "conditioning_1", "conditioning_2", "conditioning_to", "conditioning_from",
                 "guider", "pipe", "basic_pipe", "base_positive")  # fmt: skip
_STACK_WEIGHTS = ("model_str", "lora_wt", "model_weight", "strength_model")
_OUTPUTS = ("saveimage", "previewimage", "imagesave", "save image", "image save", "saveanimated")


def parse_comfyui(prompt: str, workflow: str = "") -> GenerationParameters | None:
    """`prompt` is the executed graph, `workflow` the editor's; None when neither has a sampler."""
    for text, form in ((prompt, api_graph), (workflow, workflow_graph)):
        document = load_object(text)
        graph = form(document) if document else {}
        sampler = _sampler_node(graph)
        if sampler:
            return _parameters(graph, sampler)
    return None


def _parameters(graph: Graph, sampler: Node) -> GenerationParameters:
    positive, negative = _prompts(graph, sampler)
    width, height = _size(graph, sampler)
    return GenerationParameters(
        prompt=positive,
        negative_prompt=negative,
        seed=as_int(_setting(graph, sampler, _SEED, _NUMBER)),
        steps=as_int(_setting(graph, sampler, ("steps",), _NUMBER), 0, 100_000),
        sampler=_sampler_name(graph, sampler),
        guidance=as_float(_setting(graph, sampler, ("cfg", "cfg_scale", "guidance"), _NUMBER)),
        width=width,
        height=height,
        model_name=_model_name(graph, sampler),
        loras=_loras(graph, sampler),
        strength=_strength(graph, sampler),
        clip_skip=_clip_skip(graph, sampler),
        source="comfyui",
    )


def _sampler_node(graph: Graph) -> Node | None:
    """Of several samplers the one that begins from an empty picture; others refine its result."""
    outputs = [node for node in graph.values() if node.kind.lower().startswith(_OUTPUTS)]
    candidates: dict[str, Node] = {}
    for start in outputs[:8] or list(graph.values())[:8]:
        candidates |= {node.id: node for node in upstream(graph, start) if _is_sampler(node)}
    if not candidates:
        candidates = {node.id: node for node in graph.values() if _is_sampler(node)}
    for node in list(candidates.values())[:32]:
        if _empty_latent(graph, node):
            return node
    return next(iter(candidates.values()), None)


def _is_sampler(node: Node) -> bool:
    """Custom samplers have other names than ComfyUI's own, but the same inputs."""
    inputs = node.inputs.keys()
    seeded, guided = inputs & {"seed", "noise_seed"}, inputs & {"cfg", "cfg_scale"}
    in_parts = {"sampler", "sigmas"} <= inputs and inputs & {"guider", "positive"}
    return bool((seeded and guided and "steps" in inputs) or in_parts)


def _setting(graph: Graph, sampler: Node, names: tuple[str, ...], kinds: tuple[type, ...]) -> Any:
    """In the sampler itself or, for SamplerCustom and its kin, in the noise, guider or sigmas node."""
    for node in upstream(graph, sampler, _TO_SETTINGS):
        value = value_of(graph, node, names, kinds)
        if value is not None:
            return value
    return None


def _sampler_name(graph: Graph, sampler: Node) -> str:
    name = as_text(_setting(graph, sampler, ("sampler_name", "sampler"), (str,)), 100)
    scheduler = as_text(_setting(graph, sampler, ("scheduler",), (str,)), 100)
    if not scheduler and (sigmas := linked(graph, sampler.inputs.get("sigmas"))):
        scheduler = sigmas.kind.removesuffix("Scheduler").lower()
    return from_comfyui(name, scheduler)


def _prompts(graph: Graph, sampler: Node) -> tuple[str, str]:
    """From the sampler itself or from its guider, whose only prompt is called "conditioning"."""
    for node in upstream(graph, sampler, _TO_SETTINGS):
        role = next((name for name in ("positive", "conditioning") if name in node.inputs), None)
        if role:
            return _texts(graph, node, role), _texts(graph, node, "negative")
    return "", ""


def _texts(graph: Graph, holder: Node, role: str) -> str:
    """All texts that flow into one side, as ConditioningCombine and Concat join them."""
    direct = holder.inputs.get(role)
    if isinstance(direct, str):
        return as_text(direct)
    start = linked(graph, direct)
    texts: list[str] = []
    for node in upstream(graph, start, (role, *_CONDITIONING)) if start else ():
        text = as_text(_text_in(graph, node, role))
        if text.strip() and text not in texts:
            texts.append(text)
    return as_text("\n".join(texts))


def _text_in(graph: Graph, node: Node, role: str) -> Any:
    """Loaders that hold both prompts have them under the roles' names."""
    if isinstance(node.inputs.get(role), str):
        return node.inputs[role]
    if node.inputs.keys() & {"positive", "negative"}:
        return None
    return value_of(graph, node, _TEXT, (str,))


def _size(graph: Graph, sampler: Node) -> tuple[int | None, int | None]:
    for node in upstream(graph, sampler, _TO_LATENT):
        width = as_int(value_of(graph, node, ("width", "empty_latent_width"), _NUMBER), 1, 1_000_000)
        height = as_int(value_of(graph, node, ("height", "empty_latent_height"), _NUMBER), 1, 1_000_000)
        if width and height:
            return width, height
    return None, None


def _empty_latent(graph: Graph, sampler: Node) -> bool:
    return any("empty" in node.kind.lower() for node in upstream(graph, sampler, _TO_LATENT)) and not any(
        other.id != sampler.id and _is_sampler(other) for other in upstream(graph, sampler, _TO_LATENT)
    )


def _strength(graph: Graph, sampler: Node) -> float | None:
    """Only pictures made from a picture have one."""
    encoded = any("vaeencode" in node.kind.lower() for node in upstream(graph, sampler, _TO_LATENT))
    return as_float(_setting(graph, sampler, ("denoise",), _NUMBER), 0, 1) if encoded else None


def _model_name(graph: Graph, sampler: Node) -> str:
    for node in upstream(graph, sampler, _TO_MODEL):
        for name in _MODEL:
            value = node.inputs.get(name)
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str) and text:
                return stem(text)
    return ""


def _loras(graph: Graph, sampler: Node) -> tuple[LoraUse, ...]:
    found: dict[str, LoraUse] = {}
    for node in upstream(graph, sampler, _TO_MODEL):
        for lora in _loras_in(graph, node):
            found.setdefault(lora.name, lora)
    # The walk goes from the sampler back to the checkpoint; people list LoRAs from the checkpoint on.
    return tuple(reversed(list(found.values())[:LORA_LIMIT]))


def _loras_in(graph: Graph, node: Node) -> list[LoraUse]:
    """LoraLoader, stacks with numbered inputs, and rgthree's loader with a table per LoRA."""
    weights = ("strength_model", "lora_strength", "lora_model_strength", "strength")
    loras = [_use(node.inputs.get("lora_name"), value_of(graph, node, weights, _NUMBER))]
    for name, value in list(node.inputs.items())[:200]:
        if isinstance(value, dict) and value.get("on", True) is True:
            loras.append(_use(value.get("lora"), value.get("strength")))
        number = name.removeprefix("lora_name_")
        if number != name:
            stack = tuple(f"{weight}_{number}" for weight in _STACK_WEIGHTS)
            loras.append(_use(value, value_of(graph, node, stack, _NUMBER)))
    return [lora for lora in loras if lora]


def _use(name: Any, weight: Any) -> LoraUse | None:
    text = stem(name.get("content") if isinstance(name, dict) else name)
    number = as_float(weight)
    if not text or text == "None":
        return None
    return LoraUse(text, 1.0 if number is None else number)


def _clip_skip(graph: Graph, sampler: Node) -> int | None:
    """ComfyUI counts layers from the end: -2 is clip skip 2."""
    for node in upstream(graph, sampler):
        layer = as_int(node.inputs.get("stop_at_clip_layer"), -100, -1)
        if layer is not None:
            return -layer
    return None
