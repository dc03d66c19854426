"""Tasks: one file is one task (`task.kind` in the study): head, collation, loss, predictions.

An example is a pair of token ids and a target; a task's `build` makes an object with the methods of `Task`, and its
`usage` (see `common.usage`) says how an exported adapter is used where fedpeft is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol  # tokenizers are untyped

if TYPE_CHECKING:
    from torch import Tensor, nn

    Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Example:
    """Token ids of one input, and its target (the class index)."""

    input_ids: tuple[int, ...]
    target: int


class Task(Protocol):
    """What a task file's `build` makes; every call needs torch."""

    def build_head(self, *, hidden_size: int, classes: int) -> nn.Module:
        """Return the head, drawn from torch's current generator; its tensors are `head.*`."""

    def encode(self, tokenizer: Any, texts: Sequence[str], targets: Sequence[int], *, max_length: int) -> list[Example]:
        """Tokenise once; inputs are cut at `max_length` tokens."""

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Batch:
        """Return tensors of one batch, padded to its longest example."""

    def logits(self, model: nn.Module, head: nn.Module, batch: Batch) -> Tensor:
        """Return (batch, classes) in float32."""

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of the batch, a scalar."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return (batch, classes), rows adding to one."""
