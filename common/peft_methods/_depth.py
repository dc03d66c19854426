"""How deep below the top of a base model each tensor of an adapter lies, for learning rates that fall with depth.

Layer-wise decay as in ELECTRA (Clark et al. 2020, https://arxiv.org/abs/2003.10555, appendix B) and BEiT (Bao et al.
2021, https://arxiv.org/abs/2106.08254): of n blocks the top one is at depth 1 and the lowest at depth n, embeddings are
at n + 1, and the head is at 0, with every tensor that is in no block, such as virtual tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from common.peft_methods import _targets
from common.state import HEAD

if TYPE_CHECKING:
    from torch import nn

EMBEDDINGS: Final = frozenset(
    {"embeddings", "embed_tokens", "embed_positions", "embed_in", "word_embeddings", "tok_embeddings", "wte", "wpe"}
)
"""What BERT and ViT, Llama, OPT, GPT-NeoX, Bloom, ModernBERT and GPT-2 call them."""


@dataclass(frozen=True)
class Stack:
    """The blocks of a base model: the name that they share, as adapters write it, and how many there are."""

    name: str
    blocks: int


def stack_of(model: nn.Module) -> Stack:
    """Return the blocks of a model with its method attached. Raises StudyError where it has none."""
    names = [name for name, _ in _targets.blocks(model)]
    shared = names[0].rpartition(".")[0].removeprefix("base_model.").removeprefix("model.")
    whole = names[0].rpartition(".")[0]
    return Stack(shared if whole.startswith("base_model.") else whole, len(names))


def depth(name: str, stack: Stack) -> int:
    """Return how far below the top the tensor of this name is.

    >>> [depth(f"encoder.layer.{i}.output.dense.weight", Stack("encoder.layer", 12)) for i in (11, 0)]
    [1, 12]
    >>> depth("head.weight", Stack("encoder.layer", 12)), depth("embeddings.LayerNorm.bias", Stack("encoder.layer", 12))
    (0, 13)
    """
    if name.startswith(f"{stack.name}."):
        block = name.removeprefix(f"{stack.name}.").partition(".")[0]
        return stack.blocks - int(block)
    is_embedding = not name.startswith(HEAD) and not EMBEDDINGS.isdisjoint(name.split("."))
    return stack.blocks + 1 if is_embedding else 0


def rate_factors(names: Iterable[str], stack: Stack, *, decay: float) -> dict[str, float]:
    """Return what each tensor's learning rate is multiplied by: decay ** depth, with decay in (0, 1].

    >>> rate_factors(["head.bias", "h.1.ln_1.bias", "h.0.ln_1.bias", "wte.weight"], Stack("h", 2), decay=0.5)
    {'head.bias': 1.0, 'h.1.ln_1.bias': 0.5, 'h.0.ln_1.bias': 0.25, 'wte.weight': 0.125}
    """
    return {name: decay ** depth(name, stack) for name in names}
