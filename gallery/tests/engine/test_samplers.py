import dataclasses

import pytest
import torch

from gallery.engine.denoise import BrownianNoise, Denoiser, Plan
from gallery.engine.embeddings import PromptEncoder
from gallery.engine.samplers import SAMPLERS, build_scheduler

STOCHASTIC = [name for name, spec in SAMPLERS.items() if spec.stochastic]
PROMISED = {
    "Euler",
    "Euler a",
    "DPM++ 2M",
    "DPM++ 2M Karras",
    "DPM++ SDE",
    "DPM++ SDE Karras",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Karras",
    "Heun",
    "LMS",
    "DDIM",
    "DDPM",
    "UniPC",
    "PNDM",
    "DEIS",
    "LCM",
    "TCD",
}


def run(model, plan, seeds, start=None, calls=None):
    guided = plan.guided(model)
    prompts = PromptEncoder(model)
    pair = prompts.pair("red heart, 3d style", "", ()) if guided else (prompts.encode("red heart", ()), None)
    denoiser = Denoiser(model, plan, *pair, len(seeds))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    tell = (lambda done, estimate: calls.append((done, estimate()))) if calls is not None else lambda d, e: None
    return denoiser.run(generators, start, tell)


def test_offers_what_was_promised():
    assert SAMPLERS.keys() >= PROMISED
    assert all(name == spec.name for name, spec in SAMPLERS.items())


@pytest.mark.parametrize("name", SAMPLERS)
def test_runs_on_every_family(tiny_models, name):
    for family, model in tiny_models.items():
        calls: list = []
        latents = run(model, Plan(64, 64, 4, 3, name), [0], calls=calls)
        assert torch.isfinite(latents).all(), family
        steps = [done for done, _ in calls]
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (1, 4)
        assert all(torch.isfinite(estimate).all() for _, estimate in calls)


@pytest.fixture(scope="module")
def reference(starter):
    return run(starter, Plan(64, 64, 30, 4, "DDIM"), [0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_the_thing(starter, reference, name):
    """On the starter model, whose cosine schedule ends in pure noise, every sampler makes the same red heart."""
    latents = run(starter, Plan(64, 64, 20, 4, name), [0])
    limit = 0.6 if SAMPLERS[name].stochastic else 0.2
    assert (latents - reference).pow(2).mean().sqrt() < limit
    assert 0.7 < latents.std() < 1.5


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_is_the_pictures_own(tiny_models, name):
    model = tiny_models["sd2"]
    plan = Plan(64, 64, 4, 3, name)
    both = run(model, plan, [5, 6])
    torch.testing.assert_close(run(model, plan, [6]), both[1:], atol=1e-4, rtol=1e-4)
    assert torch.equal(run(model, plan, [6]), run(model, plan, [6]))
    assert not torch.allclose(both[0], both[1])


def test_noise_is_drawn_freshly_each_step(tiny_models):
    """A sampler that is called stochastic uses more of the generator than the start; another does not."""
    model = tiny_models["sd1"]
    for name, spec in SAMPLERS.items():
        generator = torch.Generator().manual_seed(1)
        prompts = PromptEncoder(model)
        Denoiser(model, Plan(64, 64, 3, 1, name), prompts.encode("", ()), None, 1).run(
            [generator], None, lambda done, estimate: None
        )
        start = torch.Generator().manual_seed(1)
        torch.randn((1, 4, 8, 8), generator=start)
        unused = torch.equal(generator.get_state(), start.get_state())
        assert unused is not spec.stochastic or name == "TCD", name


def test_brownian_noise_adds_up():
    """Over a whole step the noise is the sum of its halves, each of unit variance when scaled by its width."""
    generator = torch.Generator().manual_seed(0)
    noise = BrownianNoise([generator], torch.zeros(1, 4, 64, 64))
    half = noise(4.0, 2.0) * 2**0.5
    whole = noise(4.0, 1.0) * 3**0.5
    rest = whole - half
    assert half.var() == pytest.approx(2, rel=0.05)
    assert rest.var() == pytest.approx(1, rel=0.05)
    assert abs((half * rest).mean()) < 0.05
    assert noise(1.0, 0.5).var() == pytest.approx(1, rel=0.05)


def test_keeps_the_models_own_schedule():
    config = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.001,
        "beta_end": 0.02,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": True,
        "skip_prk_steps": False,
        "foreign": 1,
    }
    for name in SAMPLERS:
        scheduler = build_scheduler(name, config)
        assert scheduler.config.prediction_type == "v_prediction"
        assert scheduler.config.beta_start == 0.001
        assert scheduler.config.get("timestep_spacing", "trailing") == "trailing"
        assert scheduler.config.get("clip_sample", False) is False
    with pytest.raises(KeyError):
        build_scheduler("Euler b", config)


@pytest.mark.parametrize("name", ["DDIM", "Euler a", "Heun", "DPM++ 2M Karras", "DPM++ SDE", "PNDM", "UniPC"])
def test_starts_from_a_picture(starter, name):
    """The weaker, the nearer to the picture; at 0 it is the picture, at 1 nothing of it is left."""
    start = run(starter, Plan(64, 64, 10, 4, "DDIM"), [1])
    plan = Plan(64, 64, 8, 1, name, strength=0.25)
    distances = []
    for strength in (0.0, 0.25, 0.75):
        calls: list = []
        latents = run(starter, dataclasses.replace(plan, strength=strength), [2], start, calls)
        assert calls[-1][0] == 8 * strength if strength else not calls
        distances.append((latents - start).pow(2).mean().sqrt())
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]
    whole = run(starter, dataclasses.replace(plan, strength=1.0), [2], start)
    assert torch.equal(whole, run(starter, plan, [2]))


def test_weak_strengths_still_take_a_step():
    assert Plan(64, 64, 20, 4, "DDIM", 0.01).steps_done(from_picture=True) == 1
    assert Plan(64, 64, 20, 4, "DDIM", 0.0).steps_done(from_picture=True) == 0
    assert Plan(64, 64, 20, 4, "DDIM", 0.01).steps_done(from_picture=False) == 20
