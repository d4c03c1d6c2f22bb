"""Models from a hub: what to fetch, resumable, and verified against the hashes that the hub states.

The hub client is imported when it is needed, never by the web process. `HF_ENDPOINT`, `HF_HUB_OFFLINE` and
`HF_TOKEN` mean what they mean to every program of the field.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from imagineer.errors import FieldError, Invalid
from imagineer.storage import sha256_of

COMPONENTS = (
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "unet",
    "vae",
)
_WEIGHTS = ".safetensors"
_CONFIGURATION = (".json", ".txt", ".model")


@dataclass(frozen=True)
class HubModel:
    folder: Path
    revision: str
    licence: str


def download_model(hub_id: str, target: Path, *, revision: str | None = None) -> HubModel:
    """Fetches a diffusers model into `target`, going on where an earlier try stopped. Raises Invalid.

    The progress bar is the hub client's own.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        info = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
        wanted = choose_files(list(siblings))
        snapshot_download(hub_id, revision=info.sha, local_dir=target, allow_patterns=wanted)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise _refusal(hub_id, error) from error
    _verify(target, {name: siblings[name] for name in wanted})
    card: Any = info.card_data or {}
    return HubModel(target, info.sha or "", str(card.get("license") or ""))


def choose_files(names: list[str]) -> list[str]:
    """Of a repository's files those that the pipeline needs: configuration, and one set of weights per component.

    Full precision is preferred, then fp16. Single-file checkpoints, pickles, other frameworks' weights are left out.
    Raises Invalid when there are no safetensors.
    """
    if "model_index.json" not in names:
        raise Invalid(FieldError("location", "it has no model_index.json: only diffusers models can be downloaded."))
    chosen = ["model_index.json"]
    for component in COMPONENTS:
        inside = [name for name in names if PurePosixPath(name).parent == PurePosixPath(component)]
        chosen += [name for name in inside if name.endswith(_CONFIGURATION) and not _is_variant_index(name)]
        weights = [name for name in inside if name.endswith(_WEIGHTS)]
        chosen += _one_set(weights)
        if not weights and any(name.endswith((".bin", ".ckpt", ".pt")) for name in inside):
            raise Invalid(
                FieldError(
                    "location", f"its {component} comes only as a pickle; safetensors are needed, pickles run code."
                )
            )
    return chosen


def _one_set(weights: list[str]) -> list[str]:
    plain = [name for name in weights if PurePosixPath(name).name.count(".") == 1]
    fp16 = [name for name in weights if ".fp16." in name or name.endswith(".fp16.safetensors")]
    return plain or fp16


def _is_variant_index(name: str) -> bool:
    return name.endswith(".index.fp16.json") or ".non_ema." in name


def _verify(folder: Path, siblings: dict[str, Any]) -> None:
    for name, sibling in siblings.items():
        stated = getattr(sibling.lfs, "sha256", None) if sibling.lfs else None
        if stated and sha256_of(folder / name) != stated:
            (folder / name).unlink()
            raise Invalid(FieldError("location", f"{name} arrived damaged and was removed; run the command again."))


def _refusal(hub_id: str, error: Exception) -> Invalid:
    status = getattr(getattr(error, "response", None), "status_code", None)
    reasons = {
        401: "the hub wants a log-in for it: set HF_TOKEN.",
        403: "the hub refuses it: accept its licence on its page and set HF_TOKEN.",
        404: "there is no such model on the hub.",
    }
    reason = reasons.get(
        status or 0, f"the hub can't be reached ({type(error).__name__}); run the command again to resume."
    )
    return Invalid(FieldError("location", f"{hub_id}: {reason}"))
