"""A BERT of 2 layers and 32 hidden units, whose WordPiece vocabulary has the words of the `quick` rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.files import write_bytes
from common.seeds import integer_seed
from simulations.builtin_rows import quick

POSITIONS = 128
MODEL: Mapping[str, int | float] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.15,  # BERT's 0.02 suits 768 units: at 32 all texts would look alike to the head
}


def vocabulary() -> list[str]:
    """Return the WordPiece vocabulary: BERT's special tokens, characters, and the words of the notes."""
    characters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    words = {word for row in quick.rows() for word in row["note"].replace(",", " ").split()} | {"age", "year", "old"}
    pieces = [*characters, *(f"##{character}" for character in characters), *".,;:-()/%?!'"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *sorted(words)]


def write(folder: Path, shape: Mapping[str, int | float] = MODEL, *, words: Sequence[str] | None = None) -> None:
    """Write a BERT with its tokenizer, of 2 layers and 32 hidden units unless told; the bytes are always the same.

    words: another WordPiece vocabulary than `vocabulary()`.

    `config.json` comes last: where it is, the model is whole.
    """
    import torch
    from safetensors.torch import save
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary() if words is None else words
    config = BertConfig(vocab_size=len(words), architectures=["BertModel"], **shape)
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator only
        torch.manual_seed(integer_seed(quick.SEED, purpose="quick model"))
        weights = BertModel(config).state_dict()
    # save_pretrained would do the same with a progress bar.
    write_bytes(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(words)}, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    write_bytes(folder / "config.json", config.to_json_string().encode())
