"""A byte-level BPE tokenizer with CLIP's rules, learned from the captions."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")


def train_tokenizer(captions: Iterable[str], *, vocabulary: int, length: int, folder: Path) -> CLIPTokenizer:
    """Writes the tokenizer to `folder`; captions are cut at `length` tokens, start and end included."""
    tokenizer = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(WORDS, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(captions, _trainer(vocabulary))
    tokenizer.add_special_tokens([START, END])
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    assert start is not None
    assert end is not None
    tokenizer.post_processor = processors.RobertaProcessing((END, end), (START, start), add_prefix_space=False)
    return _save(tokenizer, length, folder)


def _trainer(vocabulary: int) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=vocabulary - 2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix="</w>",
        show_progress=False,
    )


def _save(tokenizer: Tokenizer, length: int, folder: Path) -> CLIPTokenizer:
    wrapped = CLIPTokenizer(
        tokenizer_object=tokenizer,
        model_max_length=length,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
    )
    wrapped.save_pretrained(folder)
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
