"""Pictures and texts as each program writes them, made here from the documented formats."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from gallery.metadata import FoundMetadata, read_metadata

PNG = b"\x89PNG\r\n\x1a\n"


def found_in(source: bytes | str | Path) -> FoundMetadata:
    """For tests of what is found, where nothing found is a failure of its own."""
    found = read_metadata(source)
    assert found is not None, "no metadata found"
    return found


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, after: tuple[bytes, ...] = ()) -> bytes:
    """A one-pixel PNG with `chunks` before its pixels and `after` behind them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return PNG + head + b"".join(chunks) + pixels + b"".join(after) + chunk(b"IEND", b"")


def text(key: str, value: str) -> bytes:
    return chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"))


def ztext(key: str, value: str) -> bytes:
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(value.encode("latin-1")))


def itext(key: str, value: str, *, compressed: bool = False) -> bytes:
    data = zlib.compress(value.encode()) if compressed else value.encode()
    return chunk(b"iTXt", key.encode() + b"\0" + bytes([compressed, 0]) + b"en\0\0" + data)


def exif(
    order: str = ">", *, main: tuple[tuple[int, bytes], ...] = (), inner: tuple[tuple[int, bytes], ...] = ()
) -> bytes:
    """A TIFF structure whose `main` values are ASCII and whose `inner` (Exif IFD) ones are undefined."""
    start = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "I", 8)
    entries = [(tag, 2, value) for tag, value in main]
    size = 2 + 12 * (len(entries) + bool(inner)) + 4
    data, rows = b"", b""
    for tag, kind, value in entries:
        rows += struct.pack(order + "HHI", tag, kind, len(value)) + _place(order, value, 8 + size + len(data))
        data += value if len(value) > 4 else b""
    if inner:
        rows += struct.pack(order + "HHII", 0x8769, 4, 1, 8 + size + len(data))
    ifd = struct.pack(order + "H", len(entries) + bool(inner)) + rows + bytes(4)
    return start + ifd + data + (_ifd(order, inner, 8 + size + len(data)) if inner else b"")


def _ifd(order: str, values: tuple[tuple[int, bytes], ...], at: int) -> bytes:
    table, data = struct.pack(order + "H", len(values)), b""
    place = at + 2 + 12 * len(values) + 4
    for tag, value in values:
        table += struct.pack(order + "HHI", tag, 7, len(value)) + _place(order, value, place + len(data))
        data += value if len(value) > 4 else b""
    return table + bytes(4) + data


def _place(order: str, value: bytes, at: int) -> bytes:
    return struct.pack(order + "I", at) if len(value) > 4 else value.ljust(4, b"\0")


def picture(form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, form, **options)
    return file.getvalue()


def with_exif(form: str, data: bytes) -> bytes:
    return picture(form, exif=b"Exif\0\0" + data)


A1111 = """masterpiece, (cat:1.2), a sign: "hello"
second line <lora:toy:0.8> <lora:ink style:-0.5>
Negative prompt: blurry, low quality
more of it
Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 0, Size: 832x1216, \
Model hash: 31e35c80fc, Model: sd_xl_base_1.0, Denoising strength: 0.4, Clip skip: 2, \
ENSD: 31337, RNG: CPU, Hires upscale: 2, Lora hashes: "toy: 0123456789ab, ink style: ba9876543210", \
Hashes: {"model": "31e35c80fc", "x": [1, {"y": "a, b"}]}, \
TI hashes: "a: 1, b: 2", Version: v1.10.1"""


def comfyui_graph() -> dict[str, Any]:
    """ComfyUI's own text-to-image example with two LoRAs, clip skip and a second pass at low denoise."""
    return {
        "3": node("KSampler", seed=42, steps=25, cfg=6.5, sampler_name="dpmpp_2m", scheduler="karras",
                  denoise=1.0, model=["11", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0]),
        "4": node("CheckpointLoaderSimple", ckpt_name="SDXL/sd_xl_base_1.0.safetensors"),
        "5": node("EmptyLatentImage", width=1024, height=768, batch_size=1),
        "6": node("CLIPTextEncode", text="a castle on a hill", clip=["12", 0]),
        "7": node("CLIPTextEncode", text="blurry", clip=["12", 0]),
        "8": node("VAEDecode", samples=["13", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        "10": node("LoraLoader", lora_name="style\\ink.safetensors", strength_model=0.7, strength_clip=0.7,
                   model=["4", 0], clip=["4", 1]),
        "11": node("LoraLoaderModelOnly", lora_name="toy.safetensors", strength_model=-0.3, model=["10", 0]),
        "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
        "13": node("KSampler", seed=7, steps=10, cfg=3.0, sampler_name="euler", scheduler="normal",
                   denoise=0.4, model=["11", 0], positive=["6", 0], negative=["7", 0],
                   latent_image=["14", 0]),
        "14": node("LatentUpscale", samples=["3", 0], width=2048, height=1536),
    }  # fmt: skip


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def custom_sampler_graph() -> dict[str, Any]:
    """The split sampling nodes, with the prompt and the seed coming from other nodes."""
    return {
        "1": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="fp8_e4m3fn"),
        "2": node("RandomNoise", noise_seed=["20", 0]),
        "3": node("BasicGuider", model=["1", 0], conditioning=["4", 0]),
        "4": node("FluxGuidance", guidance=3.5, conditioning=["5", 0]),
        "5": node("CLIPTextEncode", text=["21", 0], clip=["9", 0]),
        "6": node("KSamplerSelect", sampler_name="euler_ancestral"),
        "7": node("BasicScheduler", scheduler="simple", steps=20, denoise=1.0, model=["1", 0]),
        "8": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
        "10": node("SamplerCustomAdvanced", noise=["2", 0], guider=["3", 0], sampler=["6", 0],
                   sigmas=["7", 0], latent_image=["8", 0]),
        "11": node("VAEDecode", samples=["10", 0], vae=["12", 0]),
        "13": node("PreviewImage", images=["11", 0]),
        "20": node("Seed (rgthree)", seed=99),
        "21": node("PrimitiveString", value="a fox in snow"),
    }  # fmt: skip


def comfyui_workflow() -> dict[str, Any]:
    """The editor's form of a small graph: values by order, links by number."""
    return {
        "nodes": [
            {"id": 3, "type": "KSampler", "mode": 0,
             "widgets_values": [42, "randomize", 25, 6.5, "euler", "normal", 1],
             "inputs": [link("model", 1), link("positive", 4), link("negative", 6), link("latent_image", 2)]},
            {"id": 4, "type": "CheckpointLoaderSimple", "widgets_values": ["v1-5.ckpt"], "inputs": []},
            {"id": 5, "type": "EmptyLatentImage", "widgets_values": [512, 640, 1]},
            {"id": 6, "type": "CLIPTextEncode", "widgets_values": ["a boat"], "inputs": [link("clip", 3)]},
            {"id": 7, "type": "CLIPTextEncode", "widgets_values": ["ugly"], "inputs": [link("clip", 5)]},
            {"id": 8, "type": "KSampler", "mode": 4,
             "widgets_values": [1, "fixed", 9, 1, "euler", "normal", 1], "inputs": [link("latent_image", 7)]},
            {"id": 9, "type": "SaveImage", "widgets_values": ["x"], "inputs": [link("images", 8)]},
        ],
        "links": [
            [1, 4, 0, 3, 0, "MODEL"], [2, 5, 0, 3, 3, "LATENT"], [3, 4, 1, 6, 0, "CLIP"],
            [4, 6, 0, 3, 1, "C"], [5, 4, 1, 7, 0, "CLIP"], [6, 7, 0, 3, 2, "C"],
            [7, 3, 0, 8, 0, "LATENT"], [8, 3, 0, 9, 0, "IMAGE"],
        ],
        "version": 0.4,
    }  # fmt: skip


def link(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "type": "X", "link": number}


INVOKEAI = json.dumps(
    {
        "generation_mode": "sdxl_txt2img", "positive_prompt": "a red boat", "negative_prompt": "fog",
        "width": 1024, "height": 768, "seed": 123456, "rand_device": "cpu", "cfg_scale": 7.5, "steps": 30,
        "scheduler": "dpmpp_2m_k", "clip_skip": 0,
        "model": {"key": "k", "hash": "blake3:0a1b", "name": "Dreamshaper XL", "base": "sdxl",
                  "type": "main"},
        "loras": [{"model": {"key": "l", "hash": "blake3:ff", "name": "ink", "base": "sdxl", "type": "lora"},
                   "weight": 0.75}],
        "strength": None, "app_version": "5.0.0",
    }
)  # fmt: skip

INVOKEAI_2 = json.dumps(
    {
        "model": "stable diffusion", "model_weights": "stable-diffusion-1.5",
        "model_hash": "cc6cb27103417325", "app_version": "2.3.0",
        "image": {"prompt": [{"prompt": "a boat", "weight": 1.0}], "steps": 50, "cfg_scale": 7.5,
                  "threshold": 0, "width": 512, "height": 512, "seed": 7, "type": "txt2img",
                  "sampler": "k_euler_a"},
    }
)  # fmt: skip

SWARMUI = json.dumps(
    {
        "sui_image_params": {
            "prompt": "a cat", "negativeprompt": "dog", "model": "OfficialStableDiffusion/sd_xl_base_1.0",
            "seed": "77", "steps": "20", "cfgscale": "7", "width": "1024", "height": "576",
            "sampler": "dpmpp_2m", "scheduler": "karras", "loras": ["toy"], "loraweights": ["0.5"],
            "swarm_version": "0.9.3.1",
        },
        "sui_extra_data": {"date": "2025-01-01", "generation_time": "1.2 sec"},
        "sui_models": [
            {"name": "OfficialStableDiffusion/sd_xl_base_1.0.safetensors", "param": "model",
             "hash": "0x" + "ab" * 32},
            {"name": "toy.safetensors", "param": "loras", "hash": "0x" + "cd" * 32},
        ],
    }
)  # fmt: skip

FOOOCUS = json.dumps(
    {
        "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL_v8Rundiffusion.safetensors",
        "base_model_hash": "aeb7e9e689", "clip_skip": 2, "guidance_scale": 4.0,
        "lora_combined_1": "sd_xl_offset_example-lora_1.0.safetensors : 0.1",
        "loras": [["sd_xl_offset_example-lora_1.0.safetensors", 0.1, "4852686128"]],
        "metadata_scheme": "fooocus", "negative_prompt": "worst", "performance": "Speed", "prompt": "a lamp",
        "refiner_model": "None", "resolution": "(1152, 896)", "sampler": "dpmpp_2m_sde_gpu",
        "scheduler": "karras", "seed": "4242", "sharpness": 2.0, "steps": 30, "styles": "['Fooocus V2']",
        "version": "Fooocus v2.5.5",
    }
)  # fmt: skip

FOOOCUS_A1111 = (
    "a lamp\nNegative prompt: worst\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 4242, Size: 1152x896, "
    'CFG scale: 4.0, Sharpness: 2.0, ADM Guidance: "(1.5, 0.8, 0.3)", Base model: juggernautXL, '
    'Model hash: aeb7e9e689, Model: juggernautXL_v8, Lora hashes: "offset: 4852686128", '
    'Lora weights: "offset: 0.1", Version: Fooocus v2.5.5'
)
