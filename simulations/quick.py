"""What the bundled studies find without a download: the heart rows, and a generated tiny model with generated rows.

The model and rows of `quick` are made from fixed seeds, so that every machine writes the same bytes. They are for
trying the system in seconds; the rows describe nobody, and what a model learns of them means nothing.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import DataError
from common.files import write_bytes
from common.seeds import generator, integer_seed

SEED = 2
PREFIX = "builtin:"
BUILTIN = ("heart", "quick")


@dataclass(frozen=True)
class Clinic:
    """A generated site: its number of rows and the share of them with the outcome `yes`."""

    name: str
    rows: int
    positives: float


CLINICS = (Clinic("east", 60, 0.5), Clinic("north", 45, 0.7), Clinic("west", 30, 0.35))
SIGNS: Mapping[str, Sequence[str]] = {
    "yes": ("fever", "cough", "breathless", "chills", "sputum", "crackles"),
    "no": ("rash", "itching", "sprain", "headache", "earache", "backache"),
}
FINDINGS = ("pulse", "pressure", "weight", "sleep", "appetite", "walking")
STATES = ("normal", "reduced", "unchanged", "better")
OPENINGS = ("seen today with", "returns with", "reports", "admitted with")
POSITIONS = 128
MODEL: Mapping[str, int | float] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.15,  # BERT's 0.02 suits 768 units: at 32 all texts would look alike to the head
}
NOISE = 0.1
"""Share of signs drawn from the other outcome's words: the rows can be learned, and not perfectly."""


def rows() -> list[dict[str, str]]:
    """Return the generated rows: site, patient, age, note, outcome. Every fifth patient has two rows."""
    return [row for clinic in CLINICS for row in _clinic_rows(clinic)]


def _clinic_rows(clinic: Clinic) -> list[dict[str, str]]:
    rng = generator(SEED, site=clinic.name, purpose="quick rows")
    ages = rng.integers(20, 90, size=clinic.rows)
    numbers = [number for number in range(clinic.rows) for _ in range(2 if number % 5 == 0 else 1)][: clinic.rows]
    return [
        {
            "site": clinic.name,
            "patient": f"{clinic.name}-{number + 1:02d}",
            "age": str(ages[number]),
            **_note(clinic.positives, rng),
        }
        for number in numbers
    ]


def _note(positives: float, rng: np.random.Generator) -> dict[str, str]:
    outcome, other = ("yes", "no") if rng.random() < positives else ("no", "yes")
    words = {kind: [str(word) for word in rng.permutation(SIGNS[kind])] for kind in SIGNS}
    signs = [words[other if rng.random() < NOISE else outcome].pop() for _ in range(3)]
    findings = [f"{rng.choice(FINDINGS)} {rng.choice(STATES)}" for _ in range(2)]
    return {"note": f"{rng.choice(OPENINGS)} {' and '.join(signs)}, {', '.join(findings)}", "outcome": outcome}


def write_rows(path: Path) -> None:
    """Write `rows()` as CSV."""
    text = io.StringIO()
    content = rows()
    writer = csv.DictWriter(text, list(content[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(content)
    write_bytes(path, text.getvalue().encode())


def vocabulary() -> list[str]:
    """Return the WordPiece vocabulary: BERT's special tokens, characters, and the words of the notes."""
    characters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    words = {word for row in rows() for word in row["note"].replace(",", " ").split()} | {"age", "year", "old"}
    pieces = [*characters, *(f"##{character}" for character in characters), *".,;:-()/%?!'"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *sorted(words)]


def write_model(folder: Path, shape: Mapping[str, int | float] = MODEL) -> None:
    """Write a BERT with its tokenizer, of 2 layers and 32 hidden units unless told; the bytes are always the same.

    `config.json` comes last: where it is, the model is whole.
    """
    import torch
    from safetensors.torch import save
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary()
    config = BertConfig(vocab_size=len(words), architectures=["BertModel"], **shape)
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator only
        torch.manual_seed(integer_seed(SEED, purpose="quick model"))
        weights = BertModel(config).state_dict()
    # save_pretrained would do the same with a progress bar.
    write_bytes(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(words)}, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    write_bytes(folder / "config.json", config.to_json_string().encode())


def resolve(name: str, folder: Path) -> Path:
    """Return the CSV of `builtin:heart` or `builtin:quick`; generated rows are written into `folder`.

    Raises:
        DataError: there is no such builtin.
    """
    kind = name.removeprefix(PREFIX)
    if kind == "heart":
        return Path(__file__).parent / "data" / "heart.csv"
    if kind == "quick":
        path = folder / "quick.csv"
        write_rows(path)
        return path
    raise DataError(f"simulation.data = {name!r} does not exist; there are: {', '.join(PREFIX + n for n in BUILTIN)}")
