"""Multi-label classification: any number of labels for each row, each by its own yes or no.

As `sequence-classification`, with a sigmoid for each label in place of the softmax over all. The target's cell names
the row's labels, parted by `separator`; an empty cell is a row without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar  # tokenizers are untyped

import numpy as np

from common.metrics.measure import Labels
from common.metrics.multilabel import INFOS as INFOS
from common.metrics.multilabel import MultiLabelMeasure
from common.tasks import Architecture, Example, _snippets
from common.tasks._classes import check_labels, class_index
from common.tasks._text import in_full_precision, masked_mean, text_batch, text_states, token_ids
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True)
class MultiLabelClassification:
    """labels: what a row may have, at least one. separator: what parts them in a cell."""

    labels: tuple[str, ...] = ()
    separator: str = ";"
    architecture: ClassVar[Architecture] = "encoder"

    def __post_init__(self) -> None:
        """Check the labels."""
        check_labels(self.labels, least=1)
        torn = [label for label in self.labels if self.separator in label]
        if not self.separator.strip() or torn:
            raise ValueError(f"separator {self.separator!r} must be more than space, and in none of task.labels")

    @property
    def measure(self) -> MultiLabelMeasure:
        """Means over labels."""
        return MultiLabelMeasure(len(self.labels))

    @property
    def expected(self) -> str:
        """Some of the labels."""
        return f"expected none or some of task.labels, parted by {self.separator!r}: {', '.join(self.labels)}"

    def read_label(self, text: str) -> tuple[int, ...] | None:
        """Return 0 or 1 for each label."""
        named = [class_index(part, self.labels) for part in text.split(self.separator) if part.strip()]
        return None if None in named else tuple(int(index in named) for index in range(len(self.labels)))

    def stack(self, labels: Sequence[object]) -> NDArray[np.int64]:
        """Return (n, labels)."""
        return np.array(labels, dtype=np.int64).reshape(len(labels), len(self.labels))

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:
        """Return the rows with each label, and those without."""
        has = np.asarray(labels, dtype=bool)
        sides = [(f"{label}", f"no {label}", has[:, index]) for index, label in enumerate(self.labels)]
        return {name: rows for yes, no, found in sides for name, rows in ((yes, found), (no, ~found))}

    def open_reader(self, base_folder: Path) -> Any:
        """Return the tokenizer."""
        from common.models import load_tokenizer

        return load_tokenizer(base_folder)

    def build_head(self, *, hidden_size: int) -> nn.Module:
        """Return Linear(hidden_size, labels): `head.weight` (labels, hidden_size), `head.bias` (labels,)."""
        from torch import nn

        return nn.Linear(hidden_size, len(self.labels))

    def encode(self, reader: Any, inputs: Sequence[str], labels: Labels | None, *, max_length: int) -> list[Example]:
        """Tokenise with special tokens, cut at `max_length`."""
        targets = np.zeros((len(inputs), len(self.labels)), dtype=np.int64) if labels is None else labels
        found = token_ids(reader, inputs, max_length=max_length)
        return [Example(ids, tuple(row.tolist())) for ids, row in zip(found, targets, strict=True)]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        """Return `input_ids`, `attention_mask` (batch, longest), int64, and `targets` (batch, labels), float32."""
        import torch

        targets = torch.tensor([e.target for e in examples], dtype=torch.float32)
        return {**text_batch(examples, pad_id=pad_id), "targets": targets}

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return (batch, labels) in float32."""
        return in_full_precision(head, masked_mean(text_states(model, batch), batch["attention_mask"]))

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean binary cross-entropy over rows and labels."""
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(logits, batch["targets"])

    def scores(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002 # the seam's argument
        """Return each label's probability, (batch, labels)."""
        return logits.double().sigmoid()

    def predict(
        self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor], reader: Any
    ) -> list[dict[str, object]]:
        """Return the labels whose probability is above 1/2, and every label's probability."""
        del reader  # of use to tasks that write text
        chances = self.scores(self.logits(model, head, batch), batch).cpu().tolist()
        return [
            {
                "prediction": self.separator.join(
                    n for n, chance in zip(self.labels, row, strict=True) if chance > 0.5
                ),
                **{f"probability_{name}": chance for name, chance in zip(self.labels, row, strict=True)},
            }
            for row in chances
        ]


SNIPPET = _snippets.of_classes("sigmoid()")

build = MultiLabelClassification
usage = Usage(pooling="masked mean of the last hidden states", pipeline_tag="text-classification", snippet=SNIPPET)
