"""Which device and number type to compute with, and what of the machine decides the pixels."""

from __future__ import annotations

import ctypes
import gc
import platform
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Device:
    """`vae_dtype` is wider than `dtype` where the autoencoder would overflow or show bands."""

    kind: str
    dtype: torch.dtype
    name: str

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def vae_dtype(self, *, force_upcast: bool) -> torch.dtype:
        """SDXL's own VAE overflows in fp16 (it says so by `force_upcast`).

        Bf16's 8 bits show in flat areas.
        """
        upcast = self.dtype == torch.bfloat16 or (self.dtype == torch.float16 and force_upcast)
        return torch.float32 if upcast else self.dtype

    def batch_size(self, width: int, height: int) -> int:
        """Pictures computed together.

        On a CPU four at once took a fifth less time each at 64 px: not worth that a picture alone would then
        differ in its last bits.
        """
        if self.kind != "cuda":
            return 1
        return max(1, min(4, (1024 * 1024) // (width * height)))


def choose_device() -> Device:
    if torch.cuda.is_available():
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        return Device("cuda", dtype, torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Device("mps", torch.float16, "Apple GPU")
    return Device("cpu", torch.float32, platform.processor() or platform.machine())


def prepare_torch(threads: int | None) -> None:
    """The same request must give the same bits, in every process: fixed kernels, fixed number of threads."""
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.set_grad_enabled(False)


def quieten_libraries() -> None:
    """Their advice is for programmers, and their progress bars for terminals."""
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)


def environment(device: Device) -> dict[str, Any]:
    """What can change the pixels of the same request; compared when a picture is made again."""
    return {
        **versions(),
        "device": device.kind,
        "device_name": device.name,
        "dtype": device.dtype_name,
        "attention": "sdpa",
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    import diffusers
    import transformers

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
