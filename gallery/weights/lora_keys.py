"""Takes the tensor names of LoRA files apart, in every spelling the field has had."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gallery.weights.header import Tensor
from gallery.weights.info import LoraFormat
from gallery.weights.names import text_encoder_name, unet_name

_KOHYA = (
    ("lora_unet_", "unet"),
    ("lora_te2_", "te2"),
    ("lora_te1_", "te"),
    ("lora_te_", "te"),
)
_DIFFUSERS = (("unet.", "unet"), ("text_encoder_2.", "te2"), ("text_encoder.", "te"))
_PEFT = "base_model.model."
_BARE = (("down_blocks.", "unet"), ("up_blocks.", "unet"), ("mid_block.", "unet"), ("text_model.", "te"))
# Longest endings first: ".lora_linear_layer.down.weight" must not pass for another one.
_ROLES = (
    (".lora_linear_layer.down.weight", "down"),
    (".lora_linear_layer.up.weight", "up"),
    (".lora_down.weight", "down"),
    (".lora_up.weight", "up"),
    (".lora_mid.weight", "mid"),
    (".lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    (".lora_A.default.weight", "down"),
    (".lora_B.default.weight", "up"),
    (".lora_A.weight", "down"),
    (".lora_B.weight", "up"),
    ("_lora.down.weight", "down"),
    ("_lora.up.weight", "up"),
    (".alpha", "alpha"),
)
# The first diffusers versions put LoRAs into attention processors, named without the layer's full path.
_PROCESSOR_LAYERS = {"to_out": "to_out.0"}
_OLD_TEXT_LAYERS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@dataclass(slots=True)
class LoraModule:
    """`down` is (rank, inputs …), `up` is (outputs, rank …)."""

    down: Tensor | None = None
    up: Tensor | None = None
    mid: Tensor | None = None
    alpha: Tensor | None = None


@dataclass(slots=True)
class LoraKeys:
    """`modules` is keyed "unet.down_blocks_0_…", "te.text_model_…", "te2.…"; `strange` are other tensors."""

    format: LoraFormat = "unknown"
    modules: dict[str, LoraModule] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)


def split_keys(tensors: Mapping[str, Tensor]) -> LoraKeys:
    keys = LoraKeys()
    for key, tensor in tensors.items():
        path, role = _role(key)
        place = _component(path)
        if role is None or place is None:
            keys.strange.append(key)
            continue
        component, module, form = place
        if keys.format == "unknown":
            keys.format = form
        setattr(keys.modules.setdefault(f"{component}.{module}", LoraModule()), role, tensor)
    return keys


def _role(key: str) -> tuple[str, str | None]:
    for ending, role in _ROLES:
        if key.endswith(ending):
            return key[: -len(ending)], role
    return key, None


def _component(path: str) -> tuple[str, str, LoraFormat] | None:
    for prefix, component in _KOHYA:
        if path.startswith(prefix):
            return component, _normal(component, path[len(prefix) :]), "kohya"
    form: LoraFormat = "peft" if path.startswith(_PEFT) else "diffusers"
    path = path.removeprefix(_PEFT)
    for prefix, component in _DIFFUSERS:
        if path.startswith(prefix):
            return component, _normal(component, path[len(prefix) :]), form
    for prefix, component in _BARE:
        if path.startswith(prefix):
            return component, _normal(component, path), "diffusers" if ".processor." in path else "peft"
    return None


def _normal(component: str, module: str) -> str:
    head, _, last = module.rpartition(".")
    if head.endswith(".processor"):
        module = f"{head.removesuffix('.processor')}.{_PROCESSOR_LAYERS.get(last, last)}"
    elif component != "unet" and last in _OLD_TEXT_LAYERS:
        module = f"{head}.{_OLD_TEXT_LAYERS[last]}"
    return unet_name(module) if component == "unet" else text_encoder_name(module)
