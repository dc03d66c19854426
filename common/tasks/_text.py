"""What tasks over texts share: token ids, padding, and the hidden states of the text's own positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any  # tokenizers are untyped

from common.tasks import Example
from common.tasks._precision import widened

if TYPE_CHECKING:
    from torch import Tensor, nn


def token_ids(tokenizer: Any, texts: Sequence[str], *, max_length: int) -> list[tuple[int, ...]]:
    """Tokenise with special tokens, cut at `max_length`."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, padding=False)
    return [tuple(ids) for ids in encoded["input_ids"]]


def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Return (rows, longest) int64, short rows filled up at their end."""
    import torch

    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.int64)


def text_batch(examples: Sequence[Example], *, pad_id: int) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask` (batch, longest), int64."""
    return {
        "input_ids": padded([e.input_ids for e in examples], pad_id),
        "attention_mask": padded([[1] * len(e.input_ids) for e in examples], 0),
    }


def text_states(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return (batch, length, hidden) in float32 at least: the last hidden states of the text.

    Methods that put virtual tokens into the sequence return more positions: the last ones are the text's.
    """
    mask = batch["attention_mask"]
    hidden: Tensor = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
    return widened(hidden[:, hidden.shape[1] - mask.shape[1] :])


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return (batch, hidden): the mean over the positions that are no padding."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def in_full_precision(head: nn.Module, features: Tensor) -> Tensor:
    """Return head(features) in float32: under autocast, rounded scores would tie where the model's own do not."""
    import torch

    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = head(features)
    return result
