"""Weights in 8 bits: w ~ s q, with q (out, in) whole numbers within 127, and s (out, 1) = max |w| / 127 per output.

Symmetric, of weights only (Wu et al. 2020, https://arxiv.org/abs/2004.09602, section 3): activations keep their
precision, so no data are needed to calibrate. What is multiplied is s q, made anew for each batch in the precision of
the activations: on a CPU that costs next to nothing beside the product itself, while PyTorch's own product of 8-bit
weights (`_weight_int8pack_mm`) took 2.8 times as long as the one in bf16 at a batch of 32 texts of 64 tokens.
Linear layers and the table of word embeddings are kept so; norms, biases and all else are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any  # transformers' models are untyped

if TYPE_CHECKING:
    from torch import Tensor, nn

SCALE = ".scale"
MOST = 127


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return q (out, in) in int8, and s (out, 1) in float32; a row of zeros has s = 1."""
    import torch

    most = weight.detach().float().abs().amax(dim=1, keepdim=True)
    scale = torch.where(most > 0, most / MOST, torch.ones_like(most))
    return (weight.detach().float() / scale).round().clamp(-MOST, MOST).to(torch.int8), scale


def dequantise(q: Tensor, scale: Tensor, dtype: Any = None) -> Tensor:
    """Return s q, in float32 or in `dtype`."""
    found = q * scale
    return found if dtype is None else found.to(dtype)


def quantisable(base: Any) -> set[str]:
    """Return the names of the weights that are kept in 8 bits."""
    from torch import nn

    words = base.get_input_embeddings() if hasattr(base.config, "vocab_size") else None
    return {
        f"{name}.weight"
        for name, module in base.named_modules()
        if type(module) is nn.Linear or (module is words and type(module) is nn.Embedding)
    }


def quantised_state(weights: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """Return the weights with those of `names` in 8 bits, their scales under `<name>.scale`."""
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name in names:
            found[name], found[name + SCALE] = quantise(weight)
        else:
            found[name] = weight
    return found


def split_state(state: Mapping[str, Tensor]) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Return {name: (q, s)} of the weights in 8 bits, and the weights that are not."""
    short = {name: (state[name], state[name + SCALE]) for name in state if name + SCALE in state}
    return short, {name: w for name, w in state.items() if name not in short and not name.endswith(SCALE)}


def install(model: nn.Module, kept: Mapping[int, tuple[Tensor, Tensor]]) -> int:
    """Have layers whose weight, known by its id, is in `kept` compute from it; a weight that is trained stays.

    Return the number of layers. Their hooks and what hangs on them move with them.
    """
    from torch import nn

    from client.int8_layers import Int8Embedding, Int8Linear

    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.Linear | nn.Embedding) or child.weight.requires_grad:
                continue
            pair = kept.get(id(child.weight))
            if pair is not None:
                new = Int8Linear(child, *pair) if isinstance(child, nn.Linear) else Int8Embedding(child, *pair)
                setattr(parent, name, new)
                count += 1
    return count
