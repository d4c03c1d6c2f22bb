"""Turns prompts into what the UNet listens to: weighted, of any length, cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from gallery.engine.models import LoadedModel
from gallery.engine.prompts import Segment, parse_prompt

COMMA_REACH = 20 / 75  # of a chunk: how far back a too long chunk may be cut at a comma
CACHE_SIZE = 64

Token = tuple[int, float]


@dataclass(frozen=True)
class Embedding:
    """`hidden` is (1, tokens, width), `pooled` (1, width) for SDXL and None otherwise."""

    hidden: torch.Tensor
    pooled: torch.Tensor | None

    @property
    def length(self) -> int:
        return int(self.hidden.shape[1])


class PromptEncoder:
    """Encodes prompts for one loaded model.

    `state` names the LoRAs in its text encoders: it is part of the key.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._cache: OrderedDict[Hashable, Embedding] = OrderedDict()

    def encode(self, prompt: str, state: Hashable) -> Embedding:
        return self._cached((prompt, state), parse_prompt(prompt))

    def pair(self, prompt: str, negative: str, state: Hashable) -> tuple[Embedding, Embedding]:
        """Prompt and negative prompt at one length: the shorter is followed by empty chunks."""
        positive = self.encode(prompt, state)
        unwanted = self.encode(negative, state)
        if self.model.zero_empty_negative and not negative.strip() and unwanted.pooled is not None:
            unwanted = Embedding(torch.zeros_like(unwanted.hidden), torch.zeros_like(unwanted.pooled))
        length = max(positive.length, unwanted.length)
        return self._lengthen(positive, length, state), self._lengthen(unwanted, length, state)

    def _lengthen(self, embedding: Embedding, length: int, state: Hashable) -> Embedding:
        if embedding.length == length:
            return embedding
        empty = self.encode("", state).hidden
        missing = (length - embedding.length) // empty.shape[1]
        return Embedding(torch.cat([embedding.hidden, *[empty] * missing], dim=1), embedding.pooled)

    def _cached(self, key: Hashable, segments: list[Segment]) -> Embedding:
        if key not in self._cache:
            self._cache[key] = self._compute(segments)
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _compute(self, segments: list[Segment]) -> Embedding:
        model = self.model
        texts = [chunk_tokens(tokenizer, segments) for tokenizer in model.tokenizers]
        count = max(len(chunks) for chunks in texts)
        hidden: list[torch.Tensor] = []
        pooled: torch.Tensor | None = None
        for encoder, tokenizer, chunks in zip(model.text_encoders, model.tokenizers, texts, strict=True):
            padded = chunks + [[]] * (count - len(chunks))
            states = [self._encode_chunk(encoder, tokenizer, chunk) for chunk in padded]
            hidden.append(torch.cat([state for state, _ in states], dim=1))
            pooled = states[0][1]
        return Embedding(torch.cat(hidden, dim=-1), pooled)

    def _encode_chunk(
        self, encoder: Any, tokenizer: Any, chunk: list[Token]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        ids, weights = window(tokenizer, chunk)
        tokens = torch.tensor([ids], device=self.model.device.torch_device)
        if not self.model.is_sdxl:
            return emphasise(encoder(tokens)[0], weights), None
        output = encoder(tokens, output_hidden_states=True)
        # Both of SDXL's encoders are read at their last layer but one.
        return emphasise(output.hidden_states[-2], weights), getattr(output, "text_embeds", None)


def window(tokenizer: Any, chunk: list[Token]) -> tuple[list[int], list[float]]:
    """A chunk between its end marks, padded to the tokenizer's window."""
    ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id]
    weights = [1.0, *(weight for _, weight in chunk), 1.0]
    missing = tokenizer.model_max_length - len(ids)
    return ids + [tokenizer.pad_token_id] * missing, weights + [1.0] * missing


def chunk_tokens(tokenizer: Any, segments: list[Segment]) -> list[list[Token]]:
    """The prompt's tokens in chunks that fit the window.

    A full chunk is cut at its last comma if that is near.
    """
    room = tokenizer.model_max_length - 2
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    chunks: list[list[Token]] = []
    for number in range(segments[-1].chunk + 1):
        tokens = [token for segment in segments if segment.chunk == number for token in _tokens(tokenizer, segment)]
        chunks.extend(_cut(tokens, room, comma))
    return chunks


def _tokens(tokenizer: Any, segment: Segment) -> list[Token]:
    ids = tokenizer(segment.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    return [(token, segment.weight) for token in ids]


def _cut(tokens: list[Token], room: int, comma: int) -> list[list[Token]]:
    chunks: list[list[Token]] = []
    reach = round(room * COMMA_REACH)
    while len(tokens) > room:
        commas = [i for i in range(room - reach, room) if tokens[i][0] == comma]
        end = commas[-1] + 1 if commas else room
        chunks.append(tokens[:end])
        tokens = tokens[end:]
    return [*chunks, tokens]


def emphasise(hidden: torch.Tensor, weights: list[float]) -> torch.Tensor:
    """Scales each token's state by its weight, then restores the mean of all, as AUTOMATIC1111 does.

    Where the mean is so near zero that restoring it would double or halve the states, it is left as it
    came out.
    """
    if all(weight == 1.0 for weight in weights):
        return hidden
    scaled = hidden * torch.tensor(weights, device=hidden.device, dtype=hidden.dtype)[None, :, None]
    before, after = hidden.float().mean(), scaled.float().mean()
    ratio = float(before / after) if after else 0.0
    return scaled * ratio if 0.5 <= ratio <= 2.0 else scaled
