"""A generated study whose adapter is that of the deployment benchmark: 48 tensors of LoRA, and a head of 2.

The base model is a BERT of 4 layers that loads in no time: what is measured is what is around the training.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from common.bundle import Bundle
from common.files import write_bytes
from simulations.preview import prepare_bundle
from simulations.tiny_models import tiny_bert

SITES = ("east", "north")
TARGETS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
SMALL_RANK, LARGE_RANK = 48, 206
"""1.03 MB and 20.6 MB."""
_WIDTHS = {SMALL_RANK: 96, LARGE_RANK: 448}
"""Of the layers, so that more of the model stays frozen than is trained: else a site's policy forbids the study."""
_STUDY = """\
name = "bench"
base_model = { source = "dir:base" }

[peft]
method = "lora"
rank = RANK
targets = TARGETS

[task]
target = "outcome"
labels = ["no", "yes"]
max_length = 48

[data]
patient_id = "patient"
columns = { age = "number", note = "text" }

[training]
local_epochs = 1
batch_size = 16

[federation]
rounds = ROUNDS
sites = SITES

[simulation]
data = "builtin:quick"
site_column = "site"
"""


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to be submitted, and what its sites need: rows and base model."""

    bundle: Bundle
    folder: Path
    base: Path
    rows: Path


def prepare_study(folder: Path, *, rank: int, rounds: int) -> Prepared:
    """Write study, base model, bundle and each site's rows to a new folder; `rank` is one of the two."""
    width = _WIDTHS[rank]
    shape = {"hidden_size": width, "num_hidden_layers": 4, "intermediate_size": 2 * width}
    tiny_bert.write(folder / "base", {**tiny_bert.MODEL, **shape})
    values = {"RANK": rank, "ROUNDS": rounds, "TARGETS": json.dumps(TARGETS), "SITES": json.dumps(SITES)}
    text = _STUDY
    for word, value in values.items():
        text = text.replace(word, str(value))
    write_bytes(folder / "study.toml", text.encode())
    bundle = prepare_bundle(str(folder / "study.toml"), folder / "bundle", [], rows=folder / "rows")
    return Prepared(bundle, folder / "bundle", folder / "base", folder / "rows")
