"""A Llama of 2 layers and 32 hidden units, whose tokenizer has the words of the `quick-notes` rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any  # tokenizers are untyped

from common.files import write_bytes
from common.seeds import integer_seed
from simulations.builtin_rows import quick, quick_notes

POSITIONS = 128
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
MODEL: Mapping[str, int | float | bool] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.15,  # Llama's 0.02 suits thousands of units: at 32 all texts would look alike
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def vocabulary() -> list[str]:
    """Return the tokenizer's words: special ones, digits, punctuation, and the words of notes and replies."""
    texts = [text for row in quick_notes.rows() for text in (row["note"], row["reply"])]
    words = {word for text in texts for word in text.replace(",", " ").split()} | {"age"}
    return [*SPECIAL, *(str(digit) for digit in range(10)), *".,;:-()/%?!'", "=>", *sorted(words)]


def write(folder: Path, shape: Mapping[str, int | float | bool] = MODEL) -> None:
    """Write a Llama with its tokenizer, of 2 layers and 32 hidden units unless told; the bytes are always the same.

    `config.json` comes last: where it is, the model is whole.
    """
    import torch
    from safetensors.torch import save
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    config = LlamaConfig(vocab_size=len(vocabulary()), architectures=["LlamaForCausalLM"], **shape)
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator only
        torch.manual_seed(integer_seed(quick.SEED, purpose="quick decoder"))
        weights = LlamaForCausalLM(config).state_dict()
    if config.tie_word_embeddings:
        del weights["lm_head.weight"]  # it is the embedding, once more
    write_bytes(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))
    _tokenizer().save_pretrained(folder)
    write_bytes(folder / "config.json", config.to_json_string().encode())


def _tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad, begin, end, unknown = SPECIAL
    vocab = {word: index for index, word in enumerate(vocabulary())}
    words = Tokenizer(models.WordLevel(vocab, unk_token=unknown))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Split(Regex("[0-9]"), "isolated")]
    )
    words.decoder = decoders.WordPiece()  # no piece is ever joined: it puts commas where they belong
    words.post_processor = processors.TemplateProcessing(f"{begin} $A", special_tokens=[(begin, vocab[begin])])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        model_max_length=POSITIONS,
        pad_token=pad,
        bos_token=begin,
        eos_token=end,
        unk_token=unknown,
    )
