"""A BERT of 2 layers and 64 hidden units, whose WordPiece vocabulary has the words and names of `quick-clinical`."""

from pathlib import Path

from simulations.builtin_rows import quick_clinical
from simulations.tiny_models import tiny_bert

SHAPE = {**tiny_bert.MODEL, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}


def vocabulary() -> list[str]:
    """Return the vocabulary of `tiny-bert`, and all names that a patient could have."""
    known = [*tiny_bert.vocabulary(), "record"]
    return [*known, *sorted({*quick_clinical.given_names(), *quick_clinical.surnames()} - set(known))]


def write(folder: Path) -> None:
    """Write the model with its tokenizer; the bytes are always the same."""
    tiny_bert.write(folder, SHAPE, words=vocabulary())
