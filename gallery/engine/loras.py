"""Applies LoRAs to a loaded model and takes them off again.

The change is added to the weights themselves, so a step costs what it costs without LoRAs. The original
of each changed weight is kept, and every set of LoRAs is computed from the originals: nothing of an
earlier set can remain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import torch

from gallery.engine.errors import EngineError
from gallery.engine.lora_files import PARTS, UNET, LoraFile, LowRank, plain_name, read_lora
from gallery.engine.models import LoadedModel
from gallery.engine.protocol import LoraSpec
from gallery.engine.unet_names import ldm_name, ldm_prefixes

CACHE_FILES = 8
CACHE_BYTES = 1 << 30

Place = tuple[str, str]  # part and plain name of a module
Change = tuple[LowRank, float]


class LoraCache:
    """The files used lately, read and checked. A file that was replaced is read again."""

    def __init__(self) -> None:
        self._files: OrderedDict[Hashable, LoraFile] = OrderedDict()

    def get(self, spec: LoraSpec) -> tuple[Hashable, LoraFile]:
        try:
            stat = spec.path.stat()
        except OSError as error:
            raise EngineError("lora", f"The file of the LoRA {spec.name} is missing; add the LoRA again.") from error
        key = (str(spec.path), stat.st_size, stat.st_mtime_ns, spec.sha256)
        if key not in self._files:
            self._files[key] = read_lora(spec)
        self._files.move_to_end(key)
        self._trim()
        return key, self._files[key]

    def _trim(self) -> None:
        while len(self._files) > 1 and (len(self._files) > CACHE_FILES or self._bytes() > CACHE_BYTES):
            self._files.popitem(last=False)

    def _bytes(self) -> int:
        return sum(file.bytes for file in self._files.values())


class LoraBench:
    """The LoRAs of one loaded model."""

    def __init__(self, model: LoadedModel, cache: LoraCache) -> None:
        self.model = model
        self.cache = cache
        self._layers, self._aliases = _module_places(model)
        self._originals: dict[Place, torch.Tensor] = {}
        self._applied: dict[Place, Hashable] = {}

    def apply(self, specs: tuple[LoraSpec, ...]) -> Hashable:
        """Makes the model carry exactly these LoRAs; answers with what names its text encoders' state.

        Raises EngineError ("lora") before anything is changed when one does not fit.
        """
        found = [(*self.cache.get(spec), spec.weight) for spec in specs if spec.weight]
        wanted: dict[Place, list[Change]] = {}
        names: dict[Place, list[Hashable]] = {}
        for key, file, weight in found:
            for place, module in self._match(file):
                wanted.setdefault(place, []).append((module, weight))
                names.setdefault(place, []).append((key, weight))
        self._change(wanted, {place: tuple(parts) for place, parts in names.items()})
        return tuple((key, weight) for key, file, weight in found if any(m.part != UNET for m in file.modules))

    def digests(self, specs: tuple[LoraSpec, ...]) -> dict[str, str]:
        return {spec.name: self.cache.get(spec)[1].digest for spec in specs}

    def _change(self, wanted: dict[Place, list[Change]], names: dict[Place, Hashable]) -> None:
        for place in self._originals.keys() - wanted.keys():
            self._restore(place)
        for place, changes in wanted.items():
            if self._applied.get(place) != names[place]:
                self._write(place, changes)
                self._applied[place] = names[place]

    def _write(self, place: Place, changes: list[Change]) -> None:
        weight = self._layers[place].weight
        if place not in self._originals:
            self._originals[place] = weight.detach().to("cpu", copy=True)
        self._applied.pop(place, None)
        total = self._originals[place].to(weight.device, torch.float32, copy=True)
        for module, strength in changes:
            total.add_(module.delta(weight.shape, weight.device), alpha=strength)
        weight.copy_(total)

    def _restore(self, place: Place) -> None:
        self._layers[place].weight.copy_(self._originals.pop(place))
        self._applied.pop(place, None)

    def _place(self, module: LowRank) -> Place | None:
        # PEFT's own files don't say which part of the pipeline they are for.
        encoder = ("text_encoder", plain_name("text_encoder", module.name))
        return self._aliases.get((module.part, module.name)) or self._aliases.get(encoder)

    def _match(self, file: LoraFile) -> list[tuple[Place, LowRank]]:
        matched = [(place, module) for module in file.modules if (place := self._place(module))]
        does_not_fit = f"The LoRA {file.name} does not fit the model {self.model.spec.slug}"
        if missing := [m for m in file.modules if not self._place(m)]:
            raise EngineError(
                "lora",
                f"{does_not_fit}: {len(missing)} of its {len(file.modules)} modules are not in it, "
                f"{missing[0].name[:80]} for one; choose another LoRA or model.",
            )
        for place, module in matched:
            shape = self._layers[place].weight.shape
            if not module.fits(shape):
                raise EngineError(
                    "lora",
                    f"{does_not_fit}: {module.name[:80]} is {module.size[0]}x{module.size[1]} in the one and "
                    f"{shape[0]}x{shape[1:].numel()} in the other; choose a LoRA made for this family of models.",
                )
        return matched


def _module_places(model: LoadedModel) -> tuple[dict[Place, Any], dict[Place, Place]]:
    """Every layer that a LoRA can change, and all the names it goes by."""
    layers: dict[Place, Any] = {}
    aliases: dict[Place, Place] = {}
    prefixes = ldm_prefixes(model.unet.config)
    for part, root in ((UNET, model.unet), *zip(PARTS[1:], model.text_encoders, strict=False)):
        for name, layer in _low_rank_layers(root):
            place = (part, plain_name(part, name))
            layers[place], aliases[place] = layer, place
            if part == UNET and (old := ldm_name(name, prefixes)):
                aliases[UNET, plain_name(UNET, old)] = place
    return layers, aliases


def _low_rank_layers(root: Any) -> list[tuple[str, Any]]:
    kinds = torch.nn.Linear | torch.nn.Conv2d
    return [(name, layer) for name, layer in root.named_modules() if isinstance(layer, kinds)]
