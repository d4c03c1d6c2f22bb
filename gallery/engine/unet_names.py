"""The UNet's module names in the original Stable Diffusion code ("LDM", "sgm") next to diffusers' names.

SDXL LoRAs of kohya's scripts are named the old way. The old names count blocks along the whole way down
and up; they follow from the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ENDS = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "middle_block.1": "mid_block.attentions.0",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def ldm_prefixes(config: Any) -> dict[str, str]:
    """Old prefix to diffusers prefix, for every module or group of modules of a
    UNet2DConditionModel's config.
    """
    pairs = dict(_ENDS)
    pairs.update(_resnet("middle_block.0", "mid_block.resnets.0"))
    pairs.update(_resnet("middle_block.2", "mid_block.resnets.1"))
    for old, new in (*_down(config), *_up(config)):
        pairs.update(_resnet(old, new) if ".resnets." in new else {old: new})
    return pairs


def ldm_name(name: str, prefixes: dict[str, str]) -> str | None:
    """The old name of diffusers' module `name`, or None where the old code has no such module."""
    for old, new in prefixes.items():
        if name == new or name.startswith(f"{new}."):
            return old + name[len(new) :]
    return None


def _resnet(old: str, new: str) -> dict[str, str]:
    return {f"{old}.{a}": f"{new}.{b}" for a, b in _RESNET.items()}


def _down(config: Any) -> Iterator[tuple[str, str]]:
    number, last = 1, len(config.down_block_types) - 1
    for i, kind in enumerate(config.down_block_types):
        for j in range(_layers(config, i)):
            yield f"input_blocks.{number}.0", f"down_blocks.{i}.resnets.{j}"
            if "CrossAttn" in kind:
                yield f"input_blocks.{number}.1", f"down_blocks.{i}.attentions.{j}"
            number += 1
        if i < last:
            yield f"input_blocks.{number}.0.op", f"down_blocks.{i}.downsamplers.0.conv"
            number += 1


def _up(config: Any) -> Iterator[tuple[str, str]]:
    number, last = 0, len(config.up_block_types) - 1
    for i, kind in enumerate(config.up_block_types):
        attention = "CrossAttn" in kind
        for j in range(_layers(config, last - i) + 1):
            yield f"output_blocks.{number}.0", f"up_blocks.{i}.resnets.{j}"
            if attention:
                yield f"output_blocks.{number}.1", f"up_blocks.{i}.attentions.{j}"
            number += 1
        if i < last:
            yield (
                f"output_blocks.{number - 1}.{2 if attention else 1}.conv",
                f"up_blocks.{i}.upsamplers.0.conv",
            )


def _layers(config: Any, level: int) -> int:
    layers = config.layers_per_block
    return int(layers if isinstance(layers, int) else layers[level])
