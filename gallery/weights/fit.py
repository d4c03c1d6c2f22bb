"""Whether a LoRA can be put on a model."""

from gallery.weights.info import FAMILY_NAMES, LoraInfo, ModelInfo


def lora_fits(lora: LoraInfo, model: ModelInfo) -> str | None:
    """None when it fits, else the reason as a sentence.

    With `modules` on both sides every layer is compared; without, family and cross-attention width only.
    """
    if lora.reason:
        return lora.reason
    if _differs(lora, model):
        return (
            f"This LoRA was made for {_described(lora)};"
            f" the model '{model.name}' is {_article(model)} model of width {model.cross_attention_dim}."
        )
    return _layer_fault(lora, model)


def _differs(lora: LoraInfo, model: ModelInfo) -> bool:
    if lora.family not in ("unknown", model.family):
        return True
    return lora.cross_attention_dim is not None and lora.cross_attention_dim != model.cross_attention_dim


def _described(lora: LoraInfo) -> str:
    if lora.cross_attention_dim is None:
        return FAMILY_NAMES[lora.family]
    return f"{FAMILY_NAMES[lora.family]} (cross-attention width {lora.cross_attention_dim})"


def _article(model: ModelInfo) -> str:
    return f"an {FAMILY_NAMES[model.family]}"


def _layer_fault(lora: LoraInfo, model: ModelInfo) -> str | None:
    known = {name.partition(".")[0] for name in model.modules}
    for name, shape in lora.modules.items():
        component, _, layer = name.partition(".")
        if component == "te2" and model.family != "sdxl":
            return f"This LoRA changes a second text encoder, which the model '{model.name}' doesn't have."
        if component not in known or model.modules.get(name) == shape:
            continue
        if name not in model.modules:
            return f"This LoRA changes the layer {layer[:80]}, which the model '{model.name}' doesn't have."
        return (
            f"This LoRA's layer {layer[:80]} maps {shape[1]} to {shape[0]} numbers; in the model"
            f" '{model.name}' it maps {model.modules[name][1]} to {model.modules[name][0]}."
        )
    return None
