import pytest
import torch
from torch import nn

from training.starter.autoencoder import edge_loss
from training.starter.text_encoder import (
    TOKENS,
    Heads,
    TextLoss,
    TextSize,
    end_positions,
    fit_heads,
    new_text_encoder,
    principal_components,
    regions,
    without_placement,
)
from training.starter.unet import UNetLoss, UNetSize, choose, new_scheduler, new_unet

SIZE = TextSize(hidden=16, layers=1, heads=2, intermediate=16)
END = 49


def tokens(*lengths: int) -> torch.Tensor:
    """Rows of start token, `length` words and end tokens to the last position."""
    rows = [[END - 1, *range(1, length + 1), *[END] * (TOKENS - 1 - length)] for length in lengths]
    return torch.tensor(rows)


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(12, 4, 16, 16)


def test_regions_are_cells_in_reading_order(latents: torch.Tensor):
    found = regions(latents)
    assert found.shape == (12, 16, 64)
    assert torch.equal(found[0, 5].view(4, 4, 4), latents[0, :, 4:8, 4:8])


def test_pictures_on_white_are_told_without_their_placement(latents: torch.Tensor):
    told = without_placement(latents, 4)
    assert torch.equal(told[4], told[6])
    assert torch.allclose(told[4], (latents[4] + latents[6]) / 2)
    assert torch.equal(told[1::2], latents[1::2])


def test_three_in_four_pictures_stand_on_white():
    chosen = choose(100, 4000, torch.Generator().manual_seed(0))
    assert 0.7 < (chosen % 2 == 0).float().mean().item() < 0.8
    assert chosen.unique().tolist() == list(range(100))


def test_principal_components_rebuild_what_has_few_of_them():
    torch.manual_seed(0)
    factors, basis = torch.randn(50, 3), torch.randn(3, 1024)
    flat = factors @ basis
    mean, found = principal_components(flat.view(50, 4, 16, 16), 3)
    scores = (flat - mean) @ found
    rebuilt = torch.linalg.lstsq(scores, flat - mean).solution
    assert torch.allclose(scores @ rebuilt, flat - mean, atol=1e-2)
    assert scores[:, 0].var().item() == pytest.approx(1.0, rel=0.1)


def test_only_tokens_behind_the_caption_carry_regions(latents: torch.Tensor):
    encoder, heads = new_text_encoder(END + 1, SIZE), Heads(16, 4, 64)
    loss = TextLoss(encoder, heads, *principal_components(latents, 4))
    told = nn.Parameter(torch.randn(2, TOKENS, 16))
    loss.region_loss(told, tokens(3, 20), latents[:2]).backward()
    assert told.grad is not None
    used = told.grad.abs().sum(2) > 0
    assert end_positions(tokens(3, 20)).tolist() == [4, 21]
    assert used[0].nonzero().flatten().tolist() == list(range(16, 32))
    assert used[1].nonzero().flatten().tolist() == list(range(21, 32))


def test_text_encoder_learns_which_caption_goes_with_which_latents(latents: torch.Tensor):
    torch.manual_seed(0)
    encoder, heads = new_text_encoder(END + 1, SIZE), Heads(16, 8, 64)
    loss = TextLoss(encoder, heads, *principal_components(latents, 8))
    words = torch.stack([tokens(1)[0].where(torch.arange(TOKENS) != 1, torch.tensor(index)) for index in range(12)])
    optimizer = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], lr=1e-2)
    before = loss(words, latents).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(words, latents).backward()
        optimizer.step()
    assert loss(words, latents).item() < before / 2


def test_fitted_heads_read_a_finished_encoder_better_than_new_ones(latents: torch.Tensor):
    torch.manual_seed(0)
    loss = TextLoss(new_text_encoder(END + 1, SIZE), Heads(16, 4, 64), *principal_components(latents, 4))
    words = torch.stack([tokens(1)[0].where(torch.arange(TOKENS) != 1, torch.tensor(index)) for index in range(12)])
    states = loss.encoder(words).last_hidden_state
    before = loss.region_loss(states, words, latents).item()
    fit_heads(loss, words, latents)
    assert loss.region_loss(states, words, latents).item() < before / 2


@pytest.fixture(scope="module")
def unet_loss(latents: torch.Tensor) -> UNetLoss:
    unet = new_unet(UNetSize((8, 16), heads=2, groups=4), latent_channels=4, latent_px=16, text_width=16)
    words = tokens(*range(1, 13))[:, None].repeat(1, 2, 1)
    text = TextLoss(new_text_encoder(END + 1, SIZE), Heads(16, 4, 64), *principal_components(latents, 4))
    return UNetLoss(unet, text, new_scheduler(), latents, words, tokens(0)[0], 8)


def test_times_are_stratified_and_lean_towards_noise(unet_loss: UNetLoss):
    times = unet_loss.stratified_times(torch.Generator().manual_seed(0))
    assert torch.equal(times, times.sort().values)
    assert (times >= 500).sum() >= 5
    assert times.max() < 1000


def test_unet_loss_is_the_same_for_the_same_draw_and_reaches_both_nets(unet_loss: UNetLoss):
    first = unet_loss(torch.Generator().manual_seed(4))
    assert first.item() == unet_loss(torch.Generator().manual_seed(4)).item()
    first.backward()
    assert unet_loss.text.encoder.final_layer_norm.weight.grad.abs().sum() > 0
    assert unet_loss.unet.conv_in.weight.grad.abs().sum() > 0


def test_a_tenth_of_the_captions_is_emptied(unet_loss: UNetLoss):
    chosen = torch.arange(12).repeat(100)
    found, told = unet_loss.draw_captions(chosen, torch.Generator().manual_seed(0))
    assert torch.equal(found[~told], unet_loss.empty.expand(int((~told).sum()), -1))
    assert torch.equal(found[told], unet_loss.tokens[chosen[told], 0])
    assert 0.05 < (~told).float().mean().item() < 0.15


def test_edges_cost_where_outlines_differ_and_not_where_only_the_level_does():
    step = torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 1
    assert edge_loss(step + 0.5, step).item() == 0
    assert edge_loss(torch.full_like(step, 0.5), step).item() > 0
