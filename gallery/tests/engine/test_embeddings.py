import pytest
import torch

from gallery.engine.embeddings import CACHE_SIZE, PromptEncoder, chunk_tokens, emphasise
from gallery.engine.prompts import parse_prompt


def plain(model, prompt):
    """One prompt that fits the window, as the text encoder gives it."""
    tokenizer = model.tokenizers[0]
    ids = tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return model.text_encoders[0](ids)[0]


@pytest.mark.parametrize("prompt", ["", "red heart, 3d style", "Straße, ćevapi 🍕"])
def test_a_plain_prompt_is_encoded_plainly(starter, prompt):
    assert torch.equal(PromptEncoder(starter).encode(prompt, ()).hidden, plain(starter, prompt))


def test_weights_scale_their_tokens(starter):
    weighted = PromptEncoder(starter).encode("red (heart:1.5)", ()).hidden
    base = plain(starter, "red heart")
    ratio = (weighted / base).median(dim=2).values[0]
    assert ratio[2] / ratio[1] == pytest.approx(1.5, rel=1e-3)
    assert ratio[3] == pytest.approx(float(ratio[1]), rel=1e-3)


def test_emphasis_keeps_the_mean():
    hidden = torch.rand(1, 5, 8) + 1
    changed = emphasise(hidden, [1.0, 1.4, 1.0, 0.5, 1.0])
    assert changed.mean() == pytest.approx(float(hidden.mean()), rel=1e-5)
    assert torch.equal(emphasise(hidden, [1.0] * 5), hidden)


def test_emphasis_survives_a_mean_of_nothing():
    hidden = torch.tensor([[[1.0, -1.0], [2.0, -2.0 + 1e-7]]])
    assert emphasise(hidden, [1.0, 1.5]).abs().max() <= 3.0


def test_long_prompts_go_on_in_chunks(starter):
    window = starter.tokenizers[0].model_max_length
    room = (window - 2) // 2
    embedding = PromptEncoder(starter).encode("red heart " * (room + 4), ())
    assert embedding.length == 2 * window
    assert torch.equal(embedding.hidden[:, :window], plain(starter, "red heart " * room))
    assert torch.equal(embedding.hidden[:, window:], plain(starter, "red heart " * 4))


def test_a_full_chunk_is_cut_at_a_near_comma(starter):
    tokenizer = starter.tokenizers[0]
    room = tokenizer.model_max_length - 2
    chunks = chunk_tokens(tokenizer, parse_prompt("red " * (room - 3) + ", blue heart cat dog"))
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    assert chunks[0][-1][0] == comma
    assert len(chunks[0]) == room - 2
    far = chunk_tokens(tokenizer, parse_prompt("red, " + "red " * room))
    assert len(far[0]) == room


def test_break_and_the_shorter_negative(starter):
    prompts = PromptEncoder(starter)
    window = starter.tokenizers[0].model_max_length
    positive, negative = prompts.pair("red BREAK heart", "blue", ())
    assert positive.length == negative.length == 2 * window
    assert torch.equal(positive.hidden[:, window:], plain(starter, "heart"))
    assert torch.equal(negative.hidden[:, window:], plain(starter, ""))


def test_sdxl_has_both_encoders_and_the_pooled_state(tiny_models):
    model = tiny_models["sdxl"]
    positive, negative = PromptEncoder(model).pair("a cat " * 60, "dog", ())
    assert positive.hidden.shape == (1, 2 * 77, 32 + 48)
    assert negative.hidden.shape == positive.hidden.shape
    assert positive.pooled.shape == (1, 48)
    _, empty = PromptEncoder(model).pair("a cat", " ", ())
    assert not empty.hidden.any()
    assert not empty.pooled.any()


def test_prompts_are_encoded_once(starter):
    prompts = PromptEncoder(starter)
    first = prompts.encode("red heart", ())
    assert prompts.encode("red heart", ()) is first
    assert prompts.encode("red heart", ("a LoRA",)) is not first
    for number in range(CACHE_SIZE):
        prompts.encode(str(number), ())
    assert prompts.encode("red heart", ()) is not first
