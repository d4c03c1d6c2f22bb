"""The text encoder, trained before the UNet and alone: it learns to say what each caption's picture looks like.

A caption takes at most the first 16 of 32 positions. The 16 positions after them hold padding, and in CLIP's causal
attention padding sees the whole caption: each of these tokens is trained to carry one 4 × 4 cell of the picture's
latents, so that the UNet's cross-attention finds the picture's layout and not only its name.
The end token regresses the latents' principal components and is contrasted with those of the other pictures.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from training.starter.render import is_plain

TOKENS = 32
REGION_TOKENS = 16
COMPONENTS = 192
CONTRAST_WEIGHT = 0.1
FIT_BATCH = 128
RIDGE = 1e-4


@dataclass(frozen=True)
class TextSize:
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    intermediate: int = 1536


def new_text_encoder(vocabulary: int, size: TextSize) -> CLIPTextModel:
    """Ids: the start token is the last but one of the vocabulary, the end (and padding) token the last."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        projection_dim=size.hidden,
        max_position_embeddings=77,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return CLIPTextModel(config)


def principal_components(latents: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean (D) and basis (D, count) of flattened latents (N, D); the first component has variance 1."""
    flat = latents.flatten(1).float()
    mean = flat.mean(0)
    variances, directions = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    basis = directions.flip(1)[:, :count]
    basis = basis * basis.sum(0).sign()
    return mean, basis / variances[-1].sqrt()


def regions(latents: Tensor) -> Tensor:
    """(B, 4, 16, 16) to (B, 16, 64): one row per 4 × 4 cell, in reading order."""
    side = int(REGION_TOKENS**0.5)
    cell = latents.shape[-1] // side
    cells = latents.unfold(2, cell, cell).unfold(3, cell, cell)
    return cells.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def without_placement(latents: Tensor, copies: int) -> Tensor:
    """(N, …) with the pictures on white of each thing and style replaced by their mean.

    A caption doesn't say how a thing is placed: the mean is what it could know, and a calmer thing to learn.
    """
    groups = latents.unflatten(0, (-1, copies)).clone()
    plain = [copy for copy in range(copies) if is_plain(copy)]
    groups[:, plain] = groups[:, plain].mean(1, keepdim=True)
    return groups.flatten(0, 1)


class Heads(nn.Module):
    """What the encoder is trained against; thrown away afterwards."""

    def __init__(self, hidden: int, components: int, cell_numbers: int) -> None:
        super().__init__()
        self.end = nn.Linear(hidden, components)
        self.cells = nn.Parameter(torch.randn(REGION_TOKENS, hidden, cell_numbers) * hidden**-0.5)
        self.temperature = nn.Parameter(torch.tensor(2.0))


@dataclass(frozen=True)
class TextLoss:
    encoder: CLIPTextModel
    heads: Heads
    mean: Tensor
    basis: Tensor

    def __call__(self, tokens: Tensor, latents: Tensor) -> Tensor:
        """tokens (B, 32) and the latents (B, 4, 16, 16) of their pictures to one number."""
        return self.of_states(self.encoder(tokens).last_hidden_state, tokens, latents)

    def of_states(self, states: Tensor, tokens: Tensor, latents: Tensor) -> Tensor:
        """The same for states (B, 32, hidden) that are there already."""
        end = states[torch.arange(len(tokens)), end_positions(tokens)]
        wanted = (latents.flatten(1) - self.mean) @ self.basis
        said = self.heads.end(end)
        return (
            self.region_loss(states, tokens, latents)
            + F.mse_loss(said, wanted)
            + CONTRAST_WEIGHT * self.contrast(said, wanted)
        )

    def region_loss(self, states: Tensor, tokens: Tensor, latents: Tensor) -> Tensor:
        """Mean square over the cells whose token stands behind the end of the caption."""
        told = torch.einsum("bkh,khd->bkd", states[:, -REGION_TOKENS:], self.heads.cells)
        free = torch.arange(TOKENS - REGION_TOKENS, TOKENS) >= end_positions(tokens)[:, None]
        errors = (told - regions(latents)).square().mean(2)
        return (errors * free).sum() / free.sum().clamp(min=1)

    def contrast(self, said: Tensor, wanted: Tensor) -> Tensor:
        scores = F.normalize(said, dim=1) @ F.normalize(wanted, dim=1).T * self.heads.temperature.exp().clamp(max=50)
        right = torch.arange(len(said))
        return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


@torch.no_grad()
def fit_heads(loss: TextLoss, tokens: Tensor, latents: Tensor) -> None:
    """Sets the heads to the best linear reading of an encoder that is trained already.

    Random ones would first tear down what its tokens mean to a UNet.
    """
    states = torch.cat([loss.encoder(part).last_hidden_state for part in tokens.split(FIT_BATCH)])
    end = states[torch.arange(len(tokens)), end_positions(tokens)]
    biased = torch.cat([end, torch.ones(len(end), 1)], dim=1)
    line = ridge(biased, (latents.flatten(1) - loss.mean) @ loss.basis)
    loss.heads.end.weight.copy_(line[:-1].T)
    loss.heads.end.bias.copy_(line[-1])
    wanted = regions(latents)
    for cell in range(REGION_TOKENS):
        position = TOKENS - REGION_TOKENS + cell
        free = end_positions(tokens) <= position
        loss.heads.cells[cell] = ridge(states[free, position], wanted[free, cell])


def ridge(inputs: Tensor, outputs: Tensor) -> Tensor:
    """The least-squares map (inputs' width, outputs' width), shrunk a little where the inputs say nothing."""
    gram = inputs.T @ inputs / len(inputs)
    strength = RIDGE * gram.diagonal().mean()
    return torch.linalg.solve(gram + strength * torch.eye(len(gram)), inputs.T @ outputs / len(inputs))


def end_positions(tokens: Tensor) -> Tensor:
    """Position of the first end token of each row; the end token has the highest id."""
    return tokens.argmax(1)
