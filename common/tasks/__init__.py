"""Tasks: one file is one task (`task.kind` in the study): labels, head, collation, loss, and what it is measured by.

A task module has `build`, a frozen dataclass whose fields are the task's options, `labels` among them where it has
labels; `INFOS`, its metrics; and `usage` (see `common.usage`): how an exported adapter is used without fedpeft. The
module imports without torch: the server reads a task's measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable  # tokenizers are untyped

from common.metrics.measure import Labels, Measure

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Batch = Mapping[str, Tensor]

Architecture = Literal["encoder", "causal-lm", "image"]
"""What kind of base model a task works on; `common.models` loads each."""


class AnyExample(Protocol):
    """What a task makes of one row."""

    @property
    def length(self) -> int:
        """Size of the input, such as its tokens: rows of like size go into one batch."""
        ...


@dataclass(frozen=True)
class Example:
    """Token ids of one input, and its target, such as a class index."""

    input_ids: tuple[int, ...]
    target: Any

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.input_ids)


@runtime_checkable
class LooksAtInput(Protocol):
    """A task whose labels must fit the row's text."""

    def misfit(self, text: str, label: object) -> str | None:
        """Say, without a word of the text, why a label does not fit it; None where it does."""


class Task(Protocol):
    """What a task file's `build` makes. Only the methods that name a model, a tensor or a batch need torch."""

    @property
    def architecture(self) -> Architecture:
        """What kind of base model it works on."""
        ...

    @property
    def measure(self) -> Measure:
        """What its scores are measured by."""
        ...

    @property
    def expected(self) -> str:
        """What a row's label must be, in words."""
        ...

    def read_label(self, text: str) -> object | None:
        """Return the label in a cell of the target's column; None where it is none."""

    def stack(self, labels: Sequence[object]) -> Labels:
        """Return (n, ...) the labels of n rows as one array."""

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:
        """Return which of the rows (n,) are in each group that metrics speak of, such as those of one class, by name.

        Metrics are withheld where a group has too few patients; none where there is nothing to tell apart.
        """

    def open_reader(self, base_folder: Path) -> Any:
        """Return what reads inputs for the base model in this folder: its tokenizer, or an image reader."""

    def build_head(self, *, hidden_size: int) -> nn.Module:
        """Return the head, drawn from torch's current generator; its tensors are `head.*`."""

    def encode(
        self, reader: Any, inputs: Sequence[str], labels: Labels | None, *, max_length: int
    ) -> Sequence[AnyExample]:
        """Read every input once, cut at `max_length` tokens; without labels (to predict), targets mean nothing."""

    def collate(self, examples: Sequence[Any], *, pad_id: int) -> Batch:
        """Return tensors of one batch, padded to its longest example."""

    def logits(self, model: nn.Module, head: nn.Module, batch: Batch) -> Tensor:
        """Return what loss and scores are made of, (batch, ...) in float32."""

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of the batch, a scalar."""

    def scores(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return (batch, measure.width) in float64: what the measure takes of each row."""

    def predict(self, model: nn.Module, head: nn.Module, batch: Batch, reader: Any) -> list[dict[str, object]]:
        """Return the columns of each row's prediction, by name; the same names in every row."""
