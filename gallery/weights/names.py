"""One spelling for the modules of a UNet: diffusers' path with underscores, as kohya's LoRA keys have it."""

from collections.abc import Mapping

from gallery.weights.header import Tensor
from gallery.weights.info import Shapes

# Single files name blocks as the original code did, counting two residual layers and a resampler per level.
_RESNET = {"in_layers_2": "conv1", "out_layers_3": "conv2", "emb_layers_1": "time_emb_proj",
           "skip_connection": "conv_shortcut"}  # fmt: skip
_FIXED = {
    "input_blocks_0_0": "conv_in",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}
_MIDDLE = {"0": "resnets_0", "1": "attentions_0", "2": "resnets_1"}


def unet_name(name: str) -> str:
    """`input_blocks.4.1.proj_in` or `input_blocks_4_1_proj_in` is `down_blocks_1_attentions_0_proj_in`."""
    flat = name.replace(".", "_")
    if flat in _FIXED:
        return _FIXED[flat]
    parts = flat.split("_")
    if parts[:2] == ["middle", "block"] and len(parts) > 3 and parts[2] in _MIDDLE:
        return f"mid_block_{_MIDDLE[parts[2]]}_{_inner(parts[3:])}"
    if parts[1:2] == ["blocks"] and len(parts) > 4 and _is_index(parts[2]) and _is_index(parts[3]):
        return _block(parts[0], int(parts[2]), parts[3], _inner(parts[4:])) or flat
    return flat


def _block(side: str, index: int, branch: str, inner: str) -> str | None:
    if side == "input":
        level, layer = divmod(index - 1, 3)
        if inner == "op":
            return f"down_blocks_{level}_downsamplers_0_conv"
        return f"down_blocks_{level}_{_kind(branch)}_{layer}_{inner}"
    if side == "output":
        level, layer = divmod(index, 3)
        if inner == "conv":
            return f"up_blocks_{level}_upsamplers_0_conv"
        return f"up_blocks_{level}_{_kind(branch)}_{layer}_{inner}"
    return None


def _kind(branch: str) -> str:
    return "attentions" if branch == "1" else "resnets"


def _inner(parts: list[str]) -> str:
    name = "_".join(parts)
    return _RESNET.get(name, name)


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def text_encoder_name(name: str) -> str:
    """transformers 5 leaves out the `text_model` that earlier versions and all LoRA files write."""
    flat = name.replace(".", "_")
    return flat if flat.startswith("text_model_") else f"text_model_{flat}"


def modules_of(tensors: Mapping[str, Tensor], prefix: str, component: str) -> Shapes:
    """(outputs, inputs) of each linear and convolution under `prefix`, keyed "component.module"."""
    rename = unet_name if component == "unet" else text_encoder_name
    return {
        f"{component}.{rename(key[len(prefix) : -len('.weight')])}": (tensor.shape[0], tensor.shape[1])
        for key, tensor in tensors.items()
        if key.startswith(prefix) and key.endswith(".weight") and len(tensor.shape) >= 2
    }
