"""Reads A1111's text, in one pass from left to right."""

import json
from collections.abc import Iterator
from typing import Any

from gallery.metadata.parameters import EXTRA_LIMIT, LORA_LIMIT, GenerationParameters, LoraUse, Source
from gallery.metadata.samplers import join_schedule
from gallery.metadata.values import as_float, as_int, as_text, load_object, stem

SETTING_COUNT = 256
LORA_TAG_LENGTH = 1_024
_NEGATIVE = "Negative prompt:"
_FEWEST_SETTINGS = 3  # A1111 takes a last line with fewer for a line of the prompt
_KNOWN = {
    "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model", "Clip skip",
    "Denoising strength", "Init image hash", "Postprocess upscale by", "Hires upscale", "Lora hashes",
    "Lora weights", "Version", "Hashes",
}  # fmt: skip


def parse_infotext(text: str) -> GenerationParameters | None:
    """None for just some text: one with neither a line of settings nor a negative prompt."""
    body, settings = _split_settings(text.replace("\r\n", "\n").strip())
    prompt, found_negative, negative = _split_negative(body)
    if not settings and not found_negative:
        return None
    prompt, tags = split_lora_tags(prompt)
    width, height = _size(settings.get("Size", ""))
    return GenerationParameters(
        prompt=as_text(prompt),
        negative_prompt=as_text(negative),
        seed=as_int(settings.get("Seed")),
        steps=as_int(settings.get("Steps"), 0, 100_000),
        sampler=as_text(_sampler(settings), 100),
        guidance=as_float(settings.get("CFG scale")),
        width=width,
        height=height,
        model_name=as_text(settings.get("Model", ""), 1024),
        model_hash=_model_hash(settings),
        loras=_loras(tags, settings),
        init_image_hash=as_text(settings.get("Init image hash", ""), 128),
        strength=as_float(settings.get("Denoising strength")),
        upscale=as_float(settings.get("Postprocess upscale by") or settings.get("Hires upscale")),
        clip_skip=as_int(settings.get("Clip skip"), 0, 100),
        source=_source(settings.get("Version", "")),
        extra=_extra(settings),
    )


def _split_settings(text: str) -> tuple[str, dict[str, str]]:
    """Usually the last line; some programs write further lines after the one that begins with "Steps:"."""
    body, _, last = text.rpartition("\n")
    settings = dict(_settings(last))
    if _are_settings(settings):
        return body, settings
    at = text.rfind("\nSteps: ")
    if at < 0 and not text.startswith("Steps: "):
        return text, {}
    start = at + 1
    settings = dict(_settings(text[start:].replace("\n", ", ")))
    return (text[: max(at, 0)], settings) if _are_settings(settings) else (text, {})


def _are_settings(found: dict[str, str]) -> bool:
    """A photographer's "Camera: …, Lens: …, ISO: …" has the same form but none of the names."""
    return len(found) >= _FEWEST_SETTINGS and bool(found.keys() & {"Steps", "Seed", "Sampler", "Model hash"})


def _settings(line: str) -> Iterator[tuple[str, str]]:
    at = 0
    for _ in range(SETTING_COUNT):
        colon = line.find(":", at)
        if colon < 0:
            return
        # A comma before the colon: the piece up to it has no value, and the name begins after it.
        key = line[line.rfind(",", at, colon) + 1 or at : colon].strip()
        value, at = _value(line, colon + 1)
        if _is_name(key):
            yield key, value
        if at >= len(line):
            return


def _is_name(key: str) -> bool:
    return 0 < len(key) <= 64 and key[0].isalnum() and all(char.isalnum() or char in "_ -/" for char in key)


def _value(line: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and the place after the comma that ends it."""
    while at < len(line) and line[at] == " ":
        at += 1
    end = at
    if line[at : at + 1] == '"':
        end = _string_end(line, at)
    elif line[at : at + 1] in ("{", "["):
        end = _bracket_end(line, at)
    comma = line.find(",", end)
    comma = len(line) if comma < 0 else comma
    return _unquoted(line[at:comma].strip()), comma + 1


def _string_end(line: str, at: int) -> int:
    """The place after the closing quote, or the line's end: going back would make the reader quadratic."""
    place = at + 1
    while place < len(line):
        if line[place] == "\\":
            place += 1
        elif line[place] == '"':
            return place + 1
        place += 1
    return len(line)


def _bracket_end(line: str, at: int) -> int:
    depth, place = 0, at
    while place < len(line):
        char = line[place]
        if char == '"':
            place = _string_end(line, place)
            continue
        depth += (char in "{[") - (char in "}]")
        place += 1
        if depth == 0:
            return place
    return len(line)


def _unquoted(value: str) -> str:
    if value[:1] != '"':
        return value
    try:
        text = json.loads(value)
    except ValueError:
        return value.strip('"')
    return text if isinstance(text, str) else value


def _split_negative(body: str) -> tuple[str, bool, str]:
    if body.startswith(_NEGATIVE):
        return "", True, body[len(_NEGATIVE) :].strip()
    prompt, mark, negative = body.partition("\n" + _NEGATIVE)
    return prompt.strip(), bool(mark), negative.strip()


def split_lora_tags(prompt: str) -> tuple[str, list[LoraUse]]:
    """The prompt without its `<lora:name:weight>` tags, and what they say."""
    kept: list[str] = []
    loras: list[LoraUse] = []
    at = 0
    while (start := prompt.find("<lora:", at)) >= 0:
        end = prompt.find(">", start, start + LORA_TAG_LENGTH)
        if end < 0:
            kept.append(prompt[at : start + 1])
            at = start + 1
            continue
        kept.append(prompt[at:start])
        if len(loras) < LORA_LIMIT and (lora := _tag(prompt[start + 6 : end])):
            loras.append(lora)
        at = end + 1
    kept.append(prompt[at:])
    return ("".join(kept).strip() if loras else prompt), loras


def _tag(inside: str) -> LoraUse | None:
    name, _, rest = inside.partition(":")
    weight = as_float(rest.partition(":")[0]) if rest else None
    return LoraUse(as_text(name.strip()), 1.0 if weight is None else weight) if name.strip() else None


def _sampler(settings: dict[str, str]) -> str:
    return join_schedule(settings.get("Sampler", ""), settings.get("Schedule type", ""))


def _size(text: str) -> tuple[int | None, int | None]:
    width, _, height = text.partition("x")
    return as_int(width, 1, 1_000_000), as_int(height, 1, 1_000_000)


def _model_hash(settings: dict[str, str]) -> str:
    hashes = load_object(settings.get("Hashes", "")) or {}
    return as_text(settings.get("Model hash") or hashes.get("model"), 128)


def _loras(tags: list[LoraUse], settings: dict[str, str]) -> tuple[LoraUse, ...]:
    """A1111 has the weights in the prompt, Fooocus in a list of their own."""
    hashes, weights = _pairs(settings.get("Lora hashes", "")), _pairs(settings.get("Lora weights", ""))
    hashes |= _civitai_hashes(settings.get("Hashes", "")) if not hashes else {}
    if not tags and weights:
        tags = [LoraUse(stem(name), as_float(weight) or 0.0) for name, weight in weights.items()]
    hashes = {stem(name): value for name, value in hashes.items()} | hashes  # as it stands goes first
    return tuple(LoraUse(lora.name, lora.weight, hashes.get(lora.name, "")) for lora in tags[:LORA_LIMIT])


def _civitai_hashes(text: str) -> dict[str, str]:
    hashes = load_object(text) or {}
    return {key[5:]: as_text(value, 128) for key, value in hashes.items() if key.lower().startswith("lora:")}


def _pairs(text: str) -> dict[str, str]:
    """ "name: value, name: value", where a name may hold a colon."""
    pieces = (piece.rpartition(":") for piece in text.split(",", LORA_LIMIT)[:LORA_LIMIT])
    return {name.strip(): as_text(value.strip(), 128) for name, colon, value in pieces if colon}


def _source(version: str) -> Source:
    program: dict[str, Source] = {"imagineer": "imagineer", "fooocus": "fooocus", "comfyui": "comfyui"}
    first: Any = version.lower().split(" ")[0]
    return program.get(first, "a1111")


def _extra(settings: dict[str, str]) -> dict[str, str]:
    others = [(key, value) for key, value in settings.items() if key not in _KNOWN]
    version = settings.get("Version", "")
    if not version.startswith("Imagineer "):
        others.insert(0, ("Version", version))
    return {as_text(key): as_text(value) for key, value in others[:EXTRA_LIMIT] if value}
