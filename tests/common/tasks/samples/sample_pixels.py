"""Classes of pictures that are the bytes of a text: what a convolutional model needs, over rows that any test has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from common.metrics.classes import INFOS as INFOS
from common.tasks import Architecture, Example
from common.tasks.sequence_classification import SequenceClassification
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from common.metrics.measure import Labels

SIDE = 32


@dataclass(frozen=True)
class SamplePixels:
    labels: tuple[str, ...] = ()
    architecture: ClassVar[Architecture] = "image"

    def __getattr__(self, name: str) -> Any:
        """Labels, head, loss and scores are those of the task over texts."""
        return getattr(SequenceClassification(self.labels), name)

    def open_reader(self, base_folder: Path) -> None:
        """Bytes need no reader."""

    def encode(self, reader: None, inputs: Sequence[str], labels: Labels | None, *, max_length: int) -> list[Example]:
        targets = [0] * len(inputs) if labels is None else [int(label) for label in labels]
        return [Example(tuple(text.encode()), target) for text, target in zip(inputs, targets, strict=True)]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        import torch

        pixels = [np.resize(np.float32(example.input_ids) / 64 - 1, (3, SIDE, SIDE)) for example in examples]
        targets = torch.tensor([example.target for example in examples], dtype=torch.int64)
        return {"pixel_values": torch.from_numpy(np.stack(pixels)), "targets": targets}

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        states = model(pixel_values=batch["pixel_values"]).last_hidden_state
        found: Tensor = head(states.flatten(2).mean(dim=2).float())
        return found


build = SamplePixels
usage = Usage(pooling="mean", pipeline_tag="image-classification", snippet="")
