"""A pair of factors and what is carried beside it as one pair: plain LoRA of a higher rank that computes the same.

s (B A + B_c A_c) = s [B B_c] [A; A_c], of rank r' = r + R; alpha' = s r' (with rsLoRA s sqrt(r')) keeps the scale s.
Exact to the last rounding of alpha'; (r + R)(m + n) numbers per layer of m x n.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any  # peft's configuration is JSON

import numpy as np

from common.carried import carried_pair, split_carried
from common.lora_pairs import Pair, pairs_of
from common.state import AdapterState, Array


def joined_pairs(state: AdapterState) -> dict[str, Array]:
    """Return the adapter's own tensors, each pair with what is carried beside it appended; nothing else is changed."""
    found, carried = split_carried(state)
    for pair in pairs_of(found):
        beside = carried_pair(pair)
        if beside.a in carried:
            found[pair.a] = np.concatenate([found[pair.a], carried[beside.a]], axis=0)
            found[pair.b] = np.concatenate([found[pair.b], carried[beside.b]], axis=1)
    return found


def joined_config(config: Mapping[str, Any], state: AdapterState) -> dict[str, Any]:
    """Return peft's configuration for `joined_pairs(state)`: the rank and alpha of each layer by name."""
    own, carried = split_carried(state)
    if not carried:
        return dict(config)
    joined, layers = joined_pairs(state), [pair.layer for pair in pairs_of(own)]
    ranks = {pair.layer: _rank(joined, pair) for pair in pairs_of(own)}
    alphas = {pair.layer: _alpha(config, pair.layer, _rank(own, pair), ranks[pair.layer]) for pair in pairs_of(own)}
    return {
        **config,
        "rank_pattern": {_pattern(layer, layers): rank for layer, rank in ranks.items()},
        "alpha_pattern": {_pattern(layer, layers): alpha for layer, alpha in alphas.items()},
        "init_lora_weights": True,  # an orthogonal start is of even ranks only
    }


def _pattern(layer: str, layers: Sequence[str]) -> str:
    """Return what peft finds this layer by, and no other one whose name ends in its name."""
    return f"^{layer}" if any(other.endswith(f".{layer}") for other in layers) else layer


def _rank(state: AdapterState, pair: Pair) -> int:
    return len(state[pair.a])


def _alpha(config: Mapping[str, Any], layer: str, rank: int, joined: int) -> float:
    """Return the alpha that gives rank `joined` the scale which the layer has at its own."""
    alpha: float = (config.get("alpha_pattern") or {}).get(layer, config["lora_alpha"])
    if joined == rank:
        return alpha
    return alpha * (sqrt(joined) / sqrt(rank) if config.get("use_rslora") else joined / rank)
