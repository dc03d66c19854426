"""Sequence classification: one label for each text, from the masked mean of the last hidden states, one linear layer.

Sentence encoders such as MiniLM were trained with mean pooling (Reimers and Gurevych 2019,
https://arxiv.org/abs/1908.10084); their first-token pooler is far worse as a feature. Binary and multi-class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar  # tokenizers are untyped

from common.metrics.classes import INFOS as INFOS
from common.metrics.classes import ClassMeasure
from common.metrics.measure import Labels
from common.tasks import Architecture, Example, _snippets
from common.tasks._classes import check_labels, class_columns, class_groups, class_index, stack_classes
from common.tasks._losses import Loss
from common.tasks._text import in_full_precision, masked_mean, text_batch, text_states, token_ids
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

SNIPPET = _snippets.of_classes("softmax(dim=-1)")


@dataclass(frozen=True)
class SequenceClassification:
    """labels: the target's values in class order, at least two; with two, the second is the positive one."""

    labels: tuple[str, ...] = ()
    criterion: Loss = field(default_factory=Loss)
    architecture: ClassVar[Architecture] = "encoder"

    def __post_init__(self) -> None:
        """Check the labels."""
        check_labels(self.labels)
        self.criterion.check_classes(len(self.labels))

    @property
    def measure(self) -> ClassMeasure:
        """Probabilities against classes."""
        return ClassMeasure(len(self.labels))

    @property
    def expected(self) -> str:
        """One of the labels."""
        return f"task.labels are {', '.join(self.labels)}"

    def read_label(self, text: str) -> int | None:
        """Return the class index."""
        return class_index(text, self.labels)

    def stack(self, labels: Sequence[object]) -> NDArray[np.int64]:
        """Return class indices (n,)."""
        return stack_classes(labels)

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:
        """Return the rows of each class."""
        return class_groups(labels, self.labels)

    def open_reader(self, base_folder: Path) -> Any:
        """Return the tokenizer."""
        from common.models import load_tokenizer

        return load_tokenizer(base_folder)

    def build_head(self, *, hidden_size: int) -> nn.Module:
        """Return Linear(hidden_size, classes): `head.weight` (classes, hidden_size), `head.bias` (classes,)."""
        from torch import nn

        return nn.Linear(hidden_size, len(self.labels))

    def encode(self, reader: Any, inputs: Sequence[str], labels: Labels | None, *, max_length: int) -> list[Example]:
        """Tokenise with special tokens, cut at `max_length`."""
        targets = [0] * len(inputs) if labels is None else [int(label) for label in labels]
        found = token_ids(reader, inputs, max_length=max_length)
        return [Example(ids, target) for ids, target in zip(found, targets, strict=True)]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        """Return `input_ids` and `attention_mask` (batch, longest), `targets` (batch,), all int64."""
        import torch

        targets = torch.tensor([e.target for e in examples], dtype=torch.int64)
        return {**text_batch(examples, pad_id=pad_id), "targets": targets}

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return head(masked mean) (batch, classes), pooled and classified in float32."""
        return in_full_precision(head, masked_mean(text_states(model, batch), batch["attention_mask"]))

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of the criterion."""
        return self.criterion.of(logits, batch["targets"])

    def scores(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002 # the seam's argument
        """Return the softmax over classes, (batch, classes)."""
        return logits.double().softmax(dim=-1)

    def predict(
        self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor], reader: Any
    ) -> list[dict[str, object]]:  # the reader is of use to tasks that write text
        """Return the most probable label, and every label's probability."""
        del reader
        return class_columns(self.scores(self.logits(model, head, batch), batch), self.labels)


build = SequenceClassification
usage = Usage(pooling="masked mean of the last hidden states", pipeline_tag="text-classification", snippet=SNIPPET)
