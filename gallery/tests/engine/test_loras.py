import gc
import hashlib
import pickle
import weakref
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from gallery.engine.denoise import Denoiser, Plan
from gallery.engine.embeddings import PromptEncoder
from gallery.engine.errors import EngineError
from gallery.engine.loras import CACHE_FILES, LoraBench, LoraCache
from gallery.engine.protocol import LoraSpec
from gallery.engine.unet_names import ldm_name, ldm_prefixes
from gallery.tests.engine import lora_spellings as spell
from gallery.tests.engine.test_models import plain_pipeline


@pytest.fixture
def sd1(tiny, load):
    return load(tiny["sd1"])


def bench(model) -> LoraBench:
    return LoraBench(model, LoraCache())


def weights(model) -> dict[tuple[str, str], torch.Tensor]:
    return {
        (part, name): layer.weight.detach().clone()
        for part, root in spell._parts(model)
        for name, layer in root.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }


def changes(model, path, weight=1.0):
    """What applying the file changes, module by module."""
    before = weights(model)
    loras = bench(model)
    loras.apply((LoraSpec("it", path, weight),))
    after = weights(model)
    loras.apply(())
    assert all(torch.equal(before[key], value) for key, value in weights(model).items())
    return {key: (after[key] - before[key]) for key in before if not torch.equal(after[key], before[key])}


def assert_changes(found, expected):
    assert found.keys() == expected.keys()
    for key, delta in expected.items():
        torch.testing.assert_close(found[key].flatten(1), delta, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("write", [spell.kohya, spell.diffusers, spell.peft])
def test_every_spelling_is_the_same_lora(tiny, load, tmp_path, family, write):
    model = load(tiny[family])
    lora = spell.make_lora(model)
    prefixes = ({"text_encoder": "lora_te1"},) if family == "sdxl" and write is spell.kohya else ()
    assert_changes(changes(model, write(lora, tmp_path / "it.safetensors", *prefixes)), spell.deltas(lora))


@pytest.mark.parametrize("prefix", ["unet.", ""])
def test_old_attention_processors(sd1, tmp_path, prefix):
    lora = spell.make_lora(sd1)
    path = spell.old_processors(lora, tmp_path / "it.safetensors", prefix)
    assert_changes(changes(sd1, path), spell.deltas(spell.attention_only(lora), alpha=spell.RANK))


def test_pefts_own_files_have_their_rank_as_alpha(sd1, tmp_path):
    lora = {key: pair for key, pair in spell.make_lora(sd1).items() if key[0] == "unet"}
    found = changes(sd1, spell.peft_own(lora, tmp_path / "it.safetensors"))
    assert_changes(found, spell.deltas(lora, alpha=spell.RANK))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_kohyas_old_block_names(tiny, load, tmp_path, family):
    model = load(tiny[family])
    lora = {
        key: pair
        for key, pair in spell.make_lora(model, modules=r"\.(to_q|proj_in|conv1|conv)$").items()
        if key[0] == "unet"
    }
    prefixes = ldm_prefixes(model.unet.config)
    path = spell.kohya(lora, tmp_path / "it.safetensors", names=lambda part, name: ldm_name(name, prefixes))
    assert all("_blocks_" in key and "down_blocks" not in key for key in load_file(path) if "middle" not in key)
    assert_changes(changes(model, path), spell.deltas(lora))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("write", [spell.kohya, spell.peft])
def test_draws_what_diffusers_draws_with_it(tiny, load, tmp_path, family, write):
    model = load(tiny[family])
    lora = spell.attention_only(spell.make_lora(model))
    prefixes = ({"text_encoder": "lora_te1"},) if write is spell.kohya else ()
    path = write(lora, tmp_path / "it.safetensors", *prefixes)
    loras = bench(model)
    state = loras.apply((LoraSpec("it", path, 0.7),))
    mine = latents(model, state)
    loras.apply(())
    without = latents(model, ())
    pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline = plain_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="it")
    pipeline.set_adapters(["it"], [0.7])
    theirs = pipeline(
        "a cat",
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=0,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images
    torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=1e-3)
    assert (mine - without).abs().max() > 0.05


def latents(model, state):
    embedding = PromptEncoder(model).encode("a cat", state)
    denoiser = Denoiser(model, Plan(64, 64, 2, 0, "DDIM"), embedding, None, 1)
    return denoiser.run([torch.Generator().manual_seed(5)], None, lambda done, estimate: None)


@pytest.mark.parametrize("weight", [-2, -0.5, 0.8, 2])
def test_strength_is_linear(sd1, tmp_path, weight):
    lora = spell.make_lora(sd1)
    found = changes(sd1, spell.kohya(lora, tmp_path / "it.safetensors"), weight)
    assert_changes(found, {key: weight * delta for key, delta in spell.deltas(lora).items()})


def test_weight_zero_is_the_model_itself(sd1, tmp_path):
    path = spell.kohya(spell.make_lora(sd1), tmp_path / "it.safetensors")
    assert changes(sd1, path, 0) == {}


def test_several_add_up_in_any_order_and_leave_nothing(sd1, tmp_path):
    first, second = spell.make_lora(sd1, 1), spell.make_lora(sd1, 2, modules=r"(to_q|ff\.net\.2)$")
    a = LoraSpec("a", spell.kohya(first, tmp_path / "a.safetensors"), 0.5)
    b = LoraSpec("b", spell.diffusers(second, tmp_path / "b.safetensors"), -1.5)
    before, loras = weights(sd1), bench(sd1)
    loras.apply((a, b))
    both = weights(sd1)
    for key, delta in spell.deltas(second).items():
        wanted = 0.5 * spell.deltas(first)[key] - 1.5 * delta
        torch.testing.assert_close((both[key] - before[key]).flatten(1), wanted, atol=1e-5, rtol=1e-4)
    for _ in range(20):
        loras.apply((b,))
        loras.apply((b, a))
        loras.apply((a,))
    loras.apply((a, b))
    assert all(torch.equal(both[key], value) for key, value in weights(sd1).items())
    loras.apply(())
    assert all(torch.equal(before[key], value) for key, value in weights(sd1).items())


def test_switching_holds_no_more_than_the_cache(sd1, tmp_path):
    loras = bench(sd1)
    specs = [
        LoraSpec(str(i), spell.kohya(spell.make_lora(sd1, i), tmp_path / f"{i}.safetensors"), 1.0)
        for i in range(CACHE_FILES + 4)
    ]
    held = []
    for spec in specs:
        loras.apply((spec,))
        held.append(weakref.ref(loras.cache.get(spec)[1]))
    gc.collect()
    assert sum(ref() is not None for ref in held) == CACHE_FILES
    loras.apply(())
    assert not loras._originals


def test_a_replaced_file_is_read_again(sd1, tmp_path):
    path = tmp_path / "it.safetensors"
    loras = bench(sd1)
    spell.kohya(spell.make_lora(sd1, 1), path)
    loras.apply((LoraSpec("it", path, 1.0),))
    first = weights(sd1)
    spell.kohya(spell.make_lora(sd1, 2), path)
    loras.apply((LoraSpec("it", path, 1.0),))
    assert any(not torch.equal(first[key], value) for key, value in weights(sd1).items())


def test_text_encoder_changes_reach_the_prompt(sd1, tmp_path):
    lora = {key: pair for key, pair in spell.make_lora(sd1).items() if key[0] == "text_encoder"}
    loras, prompts = bench(sd1), PromptEncoder(sd1)
    plain = prompts.encode("a cat", loras.apply(())).hidden
    spec = LoraSpec("it", spell.kohya(lora, tmp_path / "it.safetensors"), 1.0)
    changed = prompts.encode("a cat", loras.apply((spec,))).hidden
    assert not torch.equal(plain, changed)
    assert torch.equal(plain, prompts.encode("a cat", loras.apply(())).hidden)


def refuse(model, path, sha256=None):
    before = weights(model)
    with pytest.raises(EngineError) as caught:
        bench(model).apply((LoraSpec("mine", path, 1.0, sha256),))
    assert caught.value.kind == "lora"
    assert all(torch.equal(before[key], value) for key, value in weights(model).items())
    return str(caught.value)


def test_refuses_a_lora_of_another_family(tiny, load, sd1, tmp_path):
    sd2, sdxl = load(tiny["sd2"]), load(tiny["sdxl"])
    told = refuse(sd1, spell.kohya(spell.make_lora(sd2), tmp_path / "sd2.safetensors"))
    assert told.startswith("The LoRA mine does not fit the model tiny-sd1")
    told = refuse(sd1, spell.kohya(spell.make_lora(sdxl), tmp_path / "sdxl.safetensors"))
    assert "modules are not in it" in told


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("lora_unet_x.hada_w1_a", "LoHa"),
        ("lora_unet_x.lokr_w1", "LoKr"),
        ("lora_unet_x.dora_scale", "DoRA"),
        ("lora_unet_x.oft_blocks", "OFT"),
        ("lora_unet_x.lora_mid.weight", "Tucker"),
        ("bundle_emb.x.string_to_param", "embeddings"),
        ("lora_unet_x.strange", "no part of a LoRA"),
    ],
)
def test_refuses_what_it_cannot_apply(sd1, tmp_path, key, told):
    path = tmp_path / "it.safetensors"
    save_file({key: torch.ones(4, 4)}, path)
    assert told in refuse(sd1, path)


def test_refuses_damaged_files(sd1, tmp_path):
    path = tmp_path / "it.safetensors"
    stem = "lora_unet_conv_in"
    save_file({f"{stem}.lora_down.weight": torch.ones(4, 4, 3, 3)}, path)
    assert "incomplete" in refuse(sd1, path)
    broken = {f"{stem}.lora_down.weight": torch.full((4, 4, 3, 3), float("nan"))}
    save_file(broken | {f"{stem}.lora_up.weight": torch.ones(32, 4, 1, 1)}, path)
    assert "NaN" in refuse(sd1, path)
    path.write_bytes(path.read_bytes()[:-9])
    assert "cut short" in refuse(sd1, path)
    path.write_bytes(pickle.dumps({"a": 1}))
    assert "pickle" in refuse(sd1, path)
    assert "missing" in refuse(sd1, Path(tmp_path / "nowhere.safetensors"))


def test_refuses_a_file_other_than_the_registered_one(sd1, tmp_path):
    path = spell.kohya(spell.make_lora(sd1), tmp_path / "it.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    bench(sd1).apply((LoraSpec("mine", path, 0.1, digest),))
    assert "has changed" in refuse(sd1, path, "0" * 64)
